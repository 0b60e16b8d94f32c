//! What must stand in no log line and no metric: phone numbers, tokens, keys.
//!
//! When a system ends, the logs of all its processes and their metrics are searched. Metrics may not
//! even name an account or a call.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::api::ADMIN_KEY;

/// Beginnings of the numbers that the tests call from and to, without the plus sign.
const NUMBERS: [&str; 10] =
    ["1500", "121", "155", "1415", "1646", "1999", "4420", "4416", "4477", "8816"];
/// Words that a secret is known by.
const SECRETS: [&str; 5] = [ADMIN_KEY, "cmk_", "Bearer ", "hunter2", "an-admin-key"];
/// Twilio's names for things: two letters, then 32 hexadecimal digits, which are no secret.
const SIDS: [&str; 7] = ["AC", "CA", "PN", "EZ", "SM", "VW", "NO"];

/// Everything in a text that should not be there, in words.
pub(crate) fn found(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.replace("%2B", "+").lines() {
        let mut tell = |what: &str| found.push(format!("{what} in: {line}"));
        if SECRETS.iter().any(|secret| line.contains(secret)) {
            tell("a key");
        }
        for word in line.split(|c: char| !c.is_ascii_alphanumeric()) {
            let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
            // The digits behind the point of a measured figure may begin like anything.
            let is_fraction = (0..10).any(|digit| line.contains(&format!("{digit}.{word}")));
            let is_known = NUMBERS.iter().any(|number| word.starts_with(number));
            if is_number && !is_fraction && is_known && word.len() > 9 {
                tell("a phone number of the tests");
            }
            let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
            // Redis names its runs by 40 digits.
            if is_hex
                && [32, 64].contains(&word.len())
                && !SIDS.iter().any(|sid| word.starts_with(sid))
            {
                tell("a token or its digest");
            }
        }
        if line.match_indices('+').any(|(at, _)| digits(&line[at + 1..]) >= 8) {
            tell("a phone number");
        }
    }
    found
}

/// What should not be in metrics: as in logs, and no name of an account or a call.
pub(crate) fn found_in_metrics(text: &str) -> Vec<String> {
    let mut found = found(text);
    for line in text.lines() {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        let sid = words.find(|word| word.len() == 34 && SIDS.iter().any(|it| word.starts_with(it)));
        if sid.is_some() || line.contains("account=") || line.contains("watchman") {
            found.push(format!("a name of an account or a call in: {line}"));
        }
    }
    found
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The metrics of a process that listens at a port; none: it does not answer.
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
