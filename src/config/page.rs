//! `[page]`: the wallet page.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::error::{Problem, refuse};

/// `[page]`: the wallet page.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Page {
    pub sign_in_url: Option<String>,
    pub session_minutes: u32,
    pub back_url: Option<String>,
    pub support_url: Option<String>,
    pub seller_name: Option<String>,
    pub seller_address: Option<String>,
    pub seller_tax_id: Option<String>,
}

impl Page {
    /// How long a session lasts.
    pub fn session_lifetime(&self) -> TimeDelta {
        TimeDelta::minutes(self.session_minutes.into())
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        if !(1..=43_200).contains(&self.session_minutes) {
            let fault = format!("is {}, out of its range", self.session_minutes);
            return refuse("page.session_minutes", fault, "give 1 to 43200");
        }
        let addresses = [
            ("page.sign_in_url", &self.sign_in_url, false),
            ("page.back_url", &self.back_url, false),
            ("page.support_url", &self.support_url, true),
        ];
        for (key, address, may_be_mail) in addresses {
            let Some(address) = address else { continue };
            let is_mail = may_be_mail && address.starts_with("mailto:");
            if !is_mail && !is_web_address(address) {
                return refuse(key, "is not an HTTP address", "give https://host/path");
            }
        }
        Ok(())
    }
}

/// True for an address that a browser may be sent to.
pub(super) fn is_web_address(address: &str) -> bool {
    let parsed = reqwest::Url::parse(address);
    parsed.is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
}
