//! `[clock]`: a moved clock, for tests.

use serde::{Deserialize, Serialize};

use super::error::{Problem, refuse};

/// Ten years, either way.
const OFFSET_SECONDS_MAX: i64 = 10 * 366 * 86_400;
/// Twilio's own API.
const TWILIO_API: &str = "https://api.twilio.com";

/// `[clock]`: a moved clock, for tests.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct ClockSettings {
    pub offset_seconds: i64,
}

impl ClockSettings {
    pub(super) fn check(self, is_live: bool, twilio_api: &str) -> Result<(), Problem> {
        const KEY: &str = "clock.offset_seconds";
        if self.offset_seconds == 0 {
            return Ok(());
        }
        if self.offset_seconds.abs() > OFFSET_SECONDS_MAX {
            return refuse(KEY, "is more than ten years", "give fewer seconds");
        }
        if is_live {
            return refuse(KEY, "is set, and the key of Stripe is live", "give 0, or a test key");
        }
        if twilio_api.trim_end_matches('/') == TWILIO_API {
            let remedy = "give 0, or another twilio.api_base";
            return refuse(KEY, "is set, and twilio.api_base is Twilio's own", remedy);
        }
        Ok(())
    }
}
