//! `[privacy]`: how long numbers and names are kept.

use serde::{Deserialize, Serialize};

use super::error::{Problem, refuse};

/// `[privacy]`: how long numbers and names are kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Privacy {
    pub retention_months: u32,
    pub redact_after_days: u32,
}

impl Privacy {
    const RETENTION_MONTHS_MAX: u32 = 1_200;
    const REDACT_AFTER_DAYS_MAX: u32 = 3_650;

    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.retention_months > Self::RETENTION_MONTHS_MAX {
            let fault = format!("is {} months", self.retention_months);
            return refuse("privacy.retention_months", fault, "give 0 to 1200");
        }
        if self.redact_after_days > Self::REDACT_AFTER_DAYS_MAX {
            let fault = format!("is {} days", self.redact_after_days);
            return refuse("privacy.redact_after_days", fault, "give 0 to 3650");
        }
        Ok(())
    }

    /// Months after which numbers and names are blanked; none: never.
    pub fn retention(&self) -> Option<u32> {
        (self.retention_months > 0).then_some(self.retention_months)
    }
}
