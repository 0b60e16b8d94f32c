//! The settings of the jobs `sweep` and `reconcile`, which compare this service with Twilio, and of
//! those behind the insights. The setting of `blanking` is in `privacy.rs`.

use serde::{Deserialize, Serialize};

use super::error::{Problem, refuse};

/// `[sweep]`: the search for calls that were never charged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Sweep {
    pub every_seconds: u32,
    pub overlap_seconds: u32,
    pub accounts_at_once: usize,
}

/// `[reconcile]`: the comparison of our charges with Twilio's usage.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Reconcile {
    pub every_seconds: u32,
    pub days: u32,
    pub final_after_hours: u32,
    pub usage_categories: String,
}

/// `[insights]`: the read models behind the insights.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Insights {
    pub every_seconds: u32,
    pub plans_seconds: u32,
}

const RANGE: &str = "config/callmeter.toml gives its range";

impl Sweep {
    pub(super) fn check(&self) -> Result<(), Problem> {
        let ranges = [
            ("sweep.every_seconds", self.every_seconds, 1..=86_400),
            ("sweep.overlap_seconds", self.overlap_seconds, 0..=30 * 86_400),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                return refuse(key, format!("is {value}, out of its range"), RANGE);
            }
        }
        match self.accounts_at_once {
            1..=64 => Ok(()),
            other => {
                refuse("sweep.accounts_at_once", format!("is {other}, out of its range"), RANGE)
            }
        }
    }
}

impl Insights {
    pub(super) fn check(&self) -> Result<(), Problem> {
        let ranges = [
            ("insights.every_seconds", self.every_seconds, 1..=3_600),
            ("insights.plans_seconds", self.plans_seconds, 1..=7 * 86_400),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                return refuse(key, format!("is {value}, out of its range"), RANGE);
            }
        }
        Ok(())
    }
}

impl Reconcile {
    pub(super) fn check(&self) -> Result<(), Problem> {
        let ranges = [
            ("reconcile.every_seconds", self.every_seconds, 1..=7 * 86_400),
            ("reconcile.days", self.days, 1..=60),
            ("reconcile.final_after_hours", self.final_after_hours, 0..=720),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                return refuse(key, format!("is {value}, out of its range"), RANGE);
            }
        }
        let is_category = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        };
        if self.categories().all(is_category) {
            return Ok(());
        }
        let fault = "is not a list of Twilio's usage categories";
        refuse("reconcile.usage_categories", fault, "give names such as \"calls,calls-client\"")
    }

    /// The categories, one by one.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.usage_categories.split(',').map(str::trim)
    }
}
