//! `[page]`: the wallet page.

use std::path::PathBuf;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::error::{Problem, refuse};
use super::{Colour, Items};

/// The least contrast of text: WCAG 2.2, level AA.
const CONTRAST_MIN: f64 = 4.5;
/// The grounds on which the page writes with its accent, as `assets/wallet.css` has them.
const GROUNDS: [[&str; 2]; 2] = [["#f5f6f4", "#ffffff"], ["#0f1312", "#171c1b"]];

/// `[page]`: the wallet page.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Page {
    pub sign_in_url: Option<String>,
    pub session_minutes: u32,
    pub back_url: Option<String>,
    pub support_url: Option<String>,
    pub name: Option<String>,
    pub logo_file: Option<PathBuf>,
    pub accent: Option<Colour>,
    pub accent_dark: Option<Colour>,
    pub frame_ancestors: Items<String>,
    pub seller_name: Option<String>,
    pub seller_address: Option<String>,
    pub seller_tax_id: Option<String>,
}

impl Page {
    /// How long a session lasts.
    pub fn session_lifetime(&self) -> TimeDelta {
        TimeDelta::minutes(self.session_minutes.into())
    }

    /// True if other sites may show the page in a frame.
    pub fn is_framed(&self) -> bool {
        !self.frame_ancestors.0.is_empty()
    }

    pub(super) fn check(&self, public_url: Option<&str>) -> Result<(), Problem> {
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
        self.check_looks()?;
        if let Some(origin) = self.frame_ancestors.0.iter().find(|it| !is_https_origin(it)) {
            let fault = format!("has {origin:?}, which is not an origin of https");
            let remedy = "give https://host, https://host:port or https://*.host";
            return refuse("page.frame_ancestors", fault, remedy);
        }
        if self.is_framed() && !public_url.is_some_and(|url| url.starts_with("https://")) {
            let fault =
                "needs http.public_url with https: browsers keep no other cookie in a frame";
            return refuse("page.frame_ancestors", fault, "set http.public_url");
        }
        Ok(())
    }

    fn check_looks(&self) -> Result<(), Problem> {
        if self.name.as_ref().is_some_and(|name| name.trim().is_empty() || name.len() > 60) {
            return refuse("page.name", "is empty or long", "give 1 to 60 bytes");
        }
        let accents = [("page.accent", self.accent), ("page.accent_dark", self.accent_dark)];
        for ((key, accent), grounds) in accents.into_iter().zip(GROUNDS) {
            let Some(accent) = accent else { continue };
            for ground in grounds {
                let ratio = ground.parse().map_or(1.0, |ground| accent.contrast(ground));
                if ratio < CONTRAST_MIN {
                    let fault = format!("reads at {ratio:.1}:1 on {ground}, below 4.5:1");
                    let dark = key.ends_with("dark");
                    let remedy = if dark { "give a lighter one" } else { "give a darker one" };
                    return refuse(key, fault, remedy);
                }
            }
        }
        Ok(())
    }
}

/// True for `https://host`, also with a port, or with `*.` before the host: what a browser compares
/// a page around a frame with, and nothing else that a policy could read.
fn is_https_origin(text: &str) -> bool {
    let Some(host) = text.strip_prefix("https://") else { return false };
    let plain = format!("https://{}", host.strip_prefix("*.").unwrap_or(host));
    let parsed = reqwest::Url::parse(&plain);
    parsed.is_ok_and(|url| url.origin().ascii_serialization() == plain)
}

/// True for an address that a browser may be sent to.
pub(super) fn is_web_address(address: &str) -> bool {
    let parsed = reqwest::Url::parse(address);
    parsed.is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
}
