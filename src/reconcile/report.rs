//! The result of a comparison, as shown and stored.

use std::collections::BTreeMap;

use callmeter_core::domain::Money;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::{Compared, Day, Reason, ReconcileError};
use crate::ledger::known_calls::LinkedAccount;
use crate::metrics::{TWILIO_DRIFT_MINUTES, TWILIO_MARGIN_DOLLARS, set_dollars};
use crate::telemetry::one_line;
use crate::twilio::TwilioError;

/// The whole result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every day with calls, by account, Twilio account and day.
    pub days: Vec<DayRow>,
    /// Every difference with its reason, in the same order.
    pub differences: Vec<DifferenceRow>,
    /// Twilio accounts without credentials.
    pub not_configured: Vec<String>,
    /// Twilio accounts that could not be compared.
    pub failed: Vec<Failure>,
    /// Rows of Twilio that cannot be read, with repetitions; the difference they cause is
    /// `not_compared`.
    pub unreadable: u64,
    /// The totals.
    pub summary: Summary,
}

/// A day of one Twilio account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayRow {
    /// The account that pays for it.
    pub account: String,
    /// The Twilio account.
    pub twilio_account_sid: String,
    /// UTC day of the calls' start.
    pub day: NaiveDate,
    /// Number of charges.
    pub calls: i64,
    /// Their whole minutes.
    pub minutes: i64,
    /// Calls that Twilio billed.
    pub twilio_calls: i64,
    /// Minutes that Twilio billed.
    pub twilio_minutes: i64,
    /// The amount charged to the account.
    pub price: Money,
    /// Twilio's price; `None`: not reported in US dollars.
    pub twilio_cost: Option<Money>,
    /// Price minus cost.
    pub margin: Option<Money>,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferenceRow {
    /// The account that pays for it.
    pub account: String,
    /// The Twilio account.
    pub twilio_account_sid: String,
    /// UTC day of the calls' start.
    pub day: NaiveDate,
    /// The reason.
    pub reason: Reason,
    /// Ours minus Twilio's; if the minutes differ, the number of such calls.
    pub calls: i64,
    /// Ours minus Twilio's.
    pub minutes: i64,
    /// The calls; at most a thousand.
    pub call_sids: Vec<String>,
}

/// Why one Twilio account was not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The Twilio account.
    pub twilio_account_sid: String,
    /// The error.
    pub error: String,
}

/// The totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Differing minutes, without their sign, by reason.
    pub drift_minutes: BTreeMap<Reason, i64>,
    /// Prices minus costs in micro-dollars, of the days with known costs.
    pub margin_micros: i64,
}

impl Report {
    /// Adds the result of one Twilio account.
    ///
    /// # Errors
    /// An error of Postgres, which does not belong to that account.
    pub(super) fn take(
        &mut self,
        linked: &LinkedAccount,
        compared: Result<Compared, ReconcileError>,
    ) -> Result<(), ReconcileError> {
        match compared {
            Ok(compared) => {
                self.unreadable += compared.unreadable;
                self.add(linked, &compared.days);
            }
            Err(ReconcileError::Twilio(TwilioError::NotConfigured)) => {
                self.not_configured.push(linked.sid.to_string());
            }
            Err(ReconcileError::Twilio(error)) => {
                let (twilio_account_sid, error) = (linked.sid.to_string(), one_line(&error));
                tracing::warn!(account = %linked.account, error, "twilio account not compared");
                self.failed.push(Failure { twilio_account_sid, error });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add(&mut self, linked: &LinkedAccount, days: &[Day]) {
        let (account, sid) = (linked.account.to_string(), linked.sid.to_string());
        for day in days {
            let margin = day.twilio.cost.and_then(|cost| day.ours.price.checked_sub(cost));
            let micros = margin.map_or(0, Money::micros);
            self.summary.margin_micros = self.summary.margin_micros.saturating_add(micros);
            self.days.push(DayRow {
                account: account.clone(),
                twilio_account_sid: sid.clone(),
                day: day.date,
                calls: day.ours.calls,
                minutes: day.ours.minutes,
                twilio_calls: day.twilio.calls,
                twilio_minutes: day.twilio.minutes,
                price: day.ours.price,
                twilio_cost: day.twilio.cost,
                margin,
            });
            for difference in &day.differences {
                let drift = self.summary.drift_minutes.entry(difference.reason).or_default();
                *drift += difference.minutes.abs();
                self.differences.push(DifferenceRow {
                    account: account.clone(),
                    twilio_account_sid: sid.clone(),
                    day: day.date,
                    reason: difference.reason,
                    calls: difference.calls,
                    minutes: difference.minutes,
                    call_sids: difference.call_sids.clone(),
                });
            }
        }
    }

    pub(super) fn sort(&mut self) {
        self.days.sort_by(|a, b| {
            (&a.account, &a.twilio_account_sid, a.day).cmp(&(
                &b.account,
                &b.twilio_account_sid,
                b.day,
            ))
        });
        self.differences.sort_by(|a, b| {
            (&a.account, &a.twilio_account_sid, a.day, a.reason).cmp(&(
                &b.account,
                &b.twilio_account_sid,
                b.day,
                b.reason,
            ))
        });
        self.not_configured.sort_unstable();
    }

    /// Number of differences that will not disappear.
    pub fn faults(&self) -> usize {
        self.differences.iter().filter(|difference| difference.reason.is_fault()).count()
    }

    /// True if nothing could be compared: there are Twilio accounts, and none has credentials.
    pub fn is_not_configured(&self) -> bool {
        !self.not_configured.is_empty() && self.failed.is_empty() && self.days.is_empty()
    }
}

impl Summary {
    /// Publishes the totals as metrics.
    pub fn publish(&self) {
        for reason in Reason::ALL {
            let minutes = self.drift_minutes.get(&reason).copied().unwrap_or_default();
            let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
            metrics::gauge!(TWILIO_DRIFT_MINUTES, "reason" => reason.as_str())
                .set(f64::from(minutes));
        }
        set_dollars(TWILIO_MARGIN_DOLLARS, Money::from_micros(self.margin_micros));
    }
}
