//! `[http]`: the addresses and limits of the API.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Secret;
use super::error::{Problem, refuse};

/// `[http]`: the addresses and limits of the API.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Http {
    pub listen: SocketAddr,
    pub internal_listen: Option<SocketAddr>,
    pub admin_key: Option<Secret>,
    pub public_url: Option<String>,
    pub body_bytes_max: usize,
    pub request_seconds_max: u32,
    pub requests_in_progress_max: usize,
    pub connections_max: usize,
    pub authorization_threads: usize,
    pub account_key_requests_per_second: u32,
    pub account_key_requests_burst: u32,
    pub other_key_requests_per_second: u32,
    pub other_key_requests_burst: u32,
    pub failed_logins_per_second: u32,
    pub failed_logins_burst: u32,
}

impl Http {
    const ADMIN_KEY_CHARACTERS_MIN: usize = 32;
    const AUTHORIZATION_THREADS_MAX: usize = 64;

    pub(super) fn check(&self) -> Result<(), Problem> {
        if let Some(key) = &self.admin_key {
            let characters = key.expose().chars().count();
            if characters < Self::ADMIN_KEY_CHARACTERS_MIN {
                let problem = format!("has {characters} characters, fewer than 32");
                return refuse("http.admin_key", problem, "make one with `openssl rand -hex 32`");
            }
            if !key.expose().chars().all(|character| character.is_ascii_graphic()) {
                let problem = "has spaces, control characters or characters beyond ASCII";
                return refuse("http.admin_key", problem, "make one with `openssl rand -hex 32`");
            }
        }
        if let Some(fault) = self.public_url.as_deref().and_then(fault_of_public_url) {
            let remedy = "give https://host, or https://host/path, and nothing after it";
            return refuse("http.public_url", fault, remedy);
        }
        self.check_rates()?;
        if !(1..=Self::AUTHORIZATION_THREADS_MAX).contains(&self.authorization_threads) {
            return refuse("http.authorization_threads", "is 0 or more than 64", "give 1 to 64");
        }
        if self.internal_listen == Some(self.listen) && self.listen.port() != 0 {
            let remedy = "give another address or port than http.listen";
            return refuse("http.internal_listen", "is the same as http.listen", remedy);
        }
        Ok(())
    }

    /// Checks the range of rates and bursts. A rate of 0 is no limit.
    fn check_rates(&self) -> Result<(), Problem> {
        const MAX: u32 = 1_000_000;
        let rates = [
            ("http.account_key_requests_per_second", self.account_key_requests_per_second, 0),
            ("http.account_key_requests_burst", self.account_key_requests_burst, 1),
            ("http.other_key_requests_per_second", self.other_key_requests_per_second, 0),
            ("http.other_key_requests_burst", self.other_key_requests_burst, 1),
            ("http.failed_logins_per_second", self.failed_logins_per_second, 0),
            ("http.failed_logins_burst", self.failed_logins_burst, 1),
        ];
        match rates.into_iter().find(|(_, value, least)| !(*least..=MAX).contains(value)) {
            Some((key, _, 0)) => refuse(key, "is more than 1000000", "give 0 to 1000000"),
            Some((key, ..)) => refuse(key, "is 0 or more than 1000000", "give 1 to 1000000"),
            None => Ok(()),
        }
    }
}

/// Why callbacks cannot be signed over this address; their path and query are appended to it.
fn fault_of_public_url(url: &str) -> Option<&'static str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else { return Some("is not a URL") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest.contains('#') {
        Some("has a fragment")
    } else if rest.contains('?') {
        Some("has a query")
    } else if authority.contains('@') {
        Some("has a user")
    } else if url.parse::<axum::http::Uri>().is_err()
        || authority.is_empty()
        || authority.starts_with(':')
    {
        Some("is not a URL")
    } else {
        None
    }
}
