//! `[secrets]` and `[twilio]`: the keys that seal stored secrets, and the default Twilio account.

use callmeter_core::domain::TwilioAccountSid;
use serde::{Deserialize, Serialize};

use super::Secret;
use super::error::{Problem, refuse};
use super::shared_keys::{SharedKey, read_list};

/// `[secrets]`: the keys that seal the secrets in Postgres.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Secrets {
    pub key: Option<Secret>,
    pub previous_key: Option<Secret>,
}

/// `[twilio]`: the default Twilio account.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Twilio {
    pub account_sid: Option<String>,
    pub auth_token: Option<Secret>,
    pub shared_keys: Option<Secret>,
    pub previous_token_hours: u32,
    pub callback_bytes_max: usize,
    pub api_base: String,
}

impl Secrets {
    const KEY_CHARACTERS_MIN: usize = 32;

    pub(super) fn check(&self) -> Result<(), Problem> {
        let keys = [("secrets.key", &self.key), ("secrets.previous_key", &self.previous_key)];
        for (name, key) in keys {
            let Some(key) = key else { continue };
            let characters = key.expose().chars().count();
            if characters < Self::KEY_CHARACTERS_MIN {
                let fault = format!("has {characters} characters, fewer than 32");
                return refuse(name, fault, "make one with `openssl rand -hex 32`");
            }
        }
        Ok(())
    }
}

impl Twilio {
    const PREVIOUS_TOKEN_HOURS_MAX: u32 = 8_760;

    /// The shared keys, each with its id; empty if none is set.
    ///
    /// # Errors
    /// What is wrong with the list; never in loaded settings, which are checked.
    pub fn shared_keys(&self) -> Result<Vec<SharedKey>, String> {
        self.shared_keys.as_ref().map_or_else(|| Ok(Vec::new()), |list| read_list(list.expose()))
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.previous_token_hours > Self::PREVIOUS_TOKEN_HOURS_MAX {
            let fault = format!("is {} hours, more than a year", self.previous_token_hours);
            return refuse("twilio.previous_token_hours", fault, "give 0 to 8760");
        }
        if !(65_536..=67_108_864).contains(&self.callback_bytes_max) {
            let fault = format!("is {}, out of its range", self.callback_bytes_max);
            return refuse("twilio.callback_bytes_max", fault, "give 65536 to 67108864");
        }
        if let Err(fault) = self.shared_keys() {
            return refuse("twilio.shared_keys", fault, "give id=secret, or several with commas");
        }
        if let Some(sid) = &self.account_sid
            && let Err(error) = TwilioAccountSid::parse_issued(sid)
        {
            return refuse(
                "twilio.account_sid",
                error.to_string(),
                "give the account's AC... name",
            );
        }
        Ok(())
    }
}
