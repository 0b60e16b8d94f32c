//! What must not stand in any log line or metric: phone numbers, tokens, keys.
//!
//! When a system ends, the logs and metrics of all its processes are searched for the phone numbers
//! that its test used, whole and in part, but never for text that only looks like a number, since
//! any figure may. Metrics must not even name an account or a call.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::api::ADMIN_KEY;

/// Texts that reveal a secret.
const SECRETS: [&str; 8] =
    [ADMIN_KEY, "cmk_", "cml_", "cms_", "whsec_", "Bearer ", "hunter2", "an-admin-key"];
/// Prefixes of Twilio's sids: two letters, then 32 hexadecimal digits, which are not secret.
const SIDS: [&str; 7] = ["AC", "CA", "PN", "EZ", "SM", "VW", "NO"];
/// Digits of a phone number with its country code.
const NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// Digits of the shortest part that is searched for in longer numbers.
const PART_DIGITS: usize = 10;

/// The phone numbers that a test used; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(Arc<Mutex<Used>>);

#[derive(Debug, Default)]
struct Used {
    /// Whole, without the plus sign.
    whole: HashSet<String>,
    /// All parts that are searched for, including the whole.
    parts: HashSet<String>,
}

impl Numbers {
    /// Notes every number in data that a test sends.
    pub(crate) fn note(&self, sent: &[u8]) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers(&String::from_utf8_lossy(sent)) {
            if !used.whole.insert(number.to_owned()) {
                continue;
            }
            used.parts.insert(number.to_owned());
            for length in PART_DIGITS..number.len() {
                let parts =
                    (0..=number.len() - length).map(|at| number[at..at + length].to_owned());
                used.parts.extend(parts);
            }
        }
    }

    /// Everything in a text that must not be there, in words.
    pub(crate) fn found(&self, text: &str) -> Vec<String> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for line in text.replace("%2B", "+").lines() {
            let mut tell = |what: &str| found.push(format!("{what} in: {line}"));
            if SECRETS.iter().any(|secret| line.contains(secret)) {
                tell("a key");
            }
            if used.is_told_by(line) {
                tell("a phone number of the test");
            }
            // The id of a refill, refund or number is no secret: it keeps its prefix.
            let words = line.replace("rf_", "rf").replace("rr_", "rr").replace("nb_", "nb");
            if words.split(|c: char| !c.is_ascii_alphanumeric()).any(is_token) {
                tell("a token or its digest");
            }
            // A figure never has a plus sign.
            if numbers(line).next().is_some() {
                tell("a phone number");
            }
        }
        found
    }

    /// Everything that must not be in metrics: as in logs, and any id of an account or a call.
    pub(crate) fn found_in_metrics(&self, text: &str) -> Vec<String> {
        let mut found = self.found(text);
        for line in text.lines() {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
            let is_sid =
                |word: &str| word.len() == 34 && SIDS.iter().any(|it| word.starts_with(it));
            if words.any(is_sid) || line.contains("account=") || line.contains("watchman") {
                found.push(format!("a name of an account or a call in: {line}"));
            }
        }
        found
    }
}

impl Used {
    fn is_told_by(&self, line: &str) -> bool {
        let mut words = line.split(|c: char| !c.is_ascii_digit() && c != '.');
        words.any(|word| {
            // A figure with a fraction may contain any ten digits; it reveals a number only as a
            // whole.
            let is_fraction = word.trim_matches('.').contains('.');
            let looked_for = if is_fraction { &self.whole } else { &self.parts };
            word.split('.').any(|run| looked_for.contains(run.trim_start_matches('0')))
        })
    }
}

/// The digits of each number in a text: those after a plus sign or its escape.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let begins = text.match_indices(['+', '%']).filter_map(|(at, _)| {
        let rest = &text[at..];
        rest.strip_prefix('+').or_else(|| rest.strip_prefix("%2B"))
    });
    let digits = begins.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        &rest[..end]
    });
    digits.filter(|digits| NUMBER_DIGITS.contains(&digits.len()))
}

fn is_token(word: &str) -> bool {
    // Redis names its runs with 40 digits.
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex && [32, 64].contains(&word.len()) && !SIDS.iter().any(|sid| word.starts_with(sid))
}

/// The metrics of a process that listens at a port; none if it does not answer.
pub(crate) fn metrics_at(port: u16) -> Option<String> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let request = "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
