//! `[privacy]`: how long numbers and names are kept.

use serde::{Deserialize, Serialize};

use super::error::{Problem, refuse};

/// `[privacy]`: how long numbers and names are kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Privacy {
    pub retention_months: u32,
}

impl Privacy {
    const RETENTION_MONTHS_MAX: u32 = 1_200;

    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.retention_months > Self::RETENTION_MONTHS_MAX {
            let fault = format!("is {} months", self.retention_months);
            return refuse("privacy.retention_months", fault, "give 0 to 1200");
        }
        Ok(())
    }

    /// Months after which numbers and names are blanked; none: never.
    pub fn retention(&self) -> Option<u32> {
        (self.retention_months > 0).then_some(self.retention_months)
    }
}
