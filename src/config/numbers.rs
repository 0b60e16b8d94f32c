//! `[numbers]`: numbers that customers buy.

use callmeter_core::domain::is_twilio_sid;
use serde::{Deserialize, Serialize};

use super::error::{Problem, refuse};

/// `[numbers]`: numbers that customers buy.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Numbers {
    pub timeout_seconds: u32,
    pub retry_seconds: u32,
    pub check_seconds: u32,
    pub release_automatically: bool,
    pub release_on_close: bool,
    pub voice_url: Option<String>,
    pub voice_application_sid: Option<String>,
    pub trunk_sid: Option<String>,
}

impl Numbers {
    pub(super) fn check(&self) -> Result<(), Problem> {
        const RANGE: &str = "config/callmeter.toml gives its range";
        if !(1..=60).contains(&self.timeout_seconds) {
            let fault = format!("is {}, out of its range", self.timeout_seconds);
            return refuse("numbers.timeout_seconds", fault, RANGE);
        }
        if !(1..=3_600).contains(&self.retry_seconds) {
            let fault = format!("is {}, out of its range", self.retry_seconds);
            return refuse("numbers.retry_seconds", fault, RANGE);
        }
        if !(1..=604_800).contains(&self.check_seconds) {
            let fault = format!("is {}, out of its range", self.check_seconds);
            return refuse("numbers.check_seconds", fault, RANGE);
        }
        let is_url = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if self.voice_url.as_deref().is_some_and(|url| !is_url(url)) {
            return refuse("numbers.voice_url", "is not an HTTP address", "give https://host/path");
        }
        let sids = [
            ("numbers.voice_application_sid", &self.voice_application_sid, "AP"),
            ("numbers.trunk_sid", &self.trunk_sid, "TK"),
        ];
        for (key, sid, prefix) in sids {
            if sid.as_deref().is_some_and(|sid| !is_twilio_sid(sid, prefix)) {
                let fault = format!("is not {prefix} and 32 hexadecimal digits");
                return refuse(key, fault, "give Twilio's id");
            }
        }
        let given = [
            self.voice_url.is_some(),
            self.voice_application_sid.is_some(),
            self.trunk_sid.is_some(),
        ];
        if given.into_iter().filter(|is_given| *is_given).count() > 1 {
            let fault = "is set beside another way to answer calls";
            let remedy = "give one of voice_url, voice_application_sid and trunk_sid";
            return refuse("numbers.voice_url", fault, remedy);
        }
        Ok(())
    }
}
