//! `[alerts]`: what customers are told of their balance.

use callmeter_core::domain::Money;
use serde::{Deserialize, Serialize};

use super::error::{Problem, refuse};

/// The word for no threshold; an empty variable counts as unset.
const NONE: &str = "none";
/// Most thresholds, as of an account.
const THRESHOLDS_MAX: usize = 20;

/// `[alerts]`: thresholds of the balance.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Those of accounts that never set any, separated by commas.
    pub default_thresholds: String,
}

impl Alerts {
    /// The thresholds, in their order.
    pub fn thresholds(&self) -> Vec<Money> {
        // Checked before.
        self.parse().unwrap_or_default()
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        let parsed = self.parse();
        let is_distinct = |all: &[Money]| {
            let mut sorted = all.to_vec();
            sorted.sort_unstable();
            sorted.windows(2).all(|two| two[0] != two[1])
        };
        match parsed {
            Some(all) if all.len() <= THRESHOLDS_MAX && is_distinct(&all) => Ok(()),
            _ => refuse(
                "alerts.default_thresholds",
                "is not a list of thresholds",
                "give at most 20 different amounts such as \"20.00,5.00\", or \"none\"",
            ),
        }
    }

    fn parse(&self) -> Option<Vec<Money>> {
        if self.default_thresholds.trim() == NONE {
            return Some(Vec::new());
        }
        let amounts = self.default_thresholds.split(',').map(|text| {
            let amount = Money::parse(text.trim()).ok()?;
            (!amount.is_negative() && amount.micros() % 10_000 == 0).then_some(amount)
        });
        amounts.collect()
    }
}
