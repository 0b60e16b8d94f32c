//! The daily look at Twilio: prices that are above the catalog's, and numbers of which ledger and
//! Twilio disagree.
//!
//! A number that a purchase bought after its price was given back is removed at Twilio. What the
//! ledger does not know is only told: `callmeter recover` brings it back.

use std::collections::{BTreeSet, HashMap};

use callmeter_core::domain::{Money, NumberStatus, NumberType, TwilioAccountSid};
use chrono::TimeDelta;
use futures::FutureExt;
use serde::{Deserialize, Serialize};

use super::mark::Mark;
use super::{NumberError, Numbers};
use crate::ledger::numbers::{self, Number, Which};
use crate::ledger::payments::stripe_account::ledger_id;
use crate::metrics::{NUMBERS_ASTRAY, NUMBERS_UNDERPRICED};
use crate::telemetry::one_line;
use crate::twilio::{IncomingNumber, TwilioError};

/// The job's name.
pub const NAME: &str = "numbers";
/// A number that Twilio lists is compared only this long after its purchase.
const SETTLED: TimeDelta = TimeDelta::minutes(5);
/// The longest time of all pages of one Twilio account.
const ACCOUNT_MAX: std::time::Duration = std::time::Duration::from_mins(2);

/// A type of number that costs more at Twilio than in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underpriced {
    /// ISO 3166.
    pub country: String,
    /// The type.
    pub number_type: NumberType,
    /// Our price of a month.
    pub ours: Money,
    /// Twilio's.
    pub twilio: Money,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Types that cost more at Twilio than in the catalog.
    pub underpriced: Vec<Underpriced>,
    /// Numbers bought by this ledger that it does not know.
    pub unknown: usize,
    /// Numbers of the ledger that Twilio does not have.
    pub missing: usize,
    /// Numbers whose price was given back, removed at Twilio now.
    pub removed: usize,
    /// Twilio accounts that could not be listed.
    pub failed: usize,
}

impl Report {
    /// Publishes it; every process does, whichever looked.
    pub fn publish(&self) {
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        ::metrics::gauge!(NUMBERS_UNDERPRICED).set(count(self.underpriced.len()));
        ::metrics::gauge!(NUMBERS_ASTRAY, "where" => "twilio").set(count(self.unknown));
        ::metrics::gauge!(NUMBERS_ASTRAY, "where" => "ledger").set(count(self.missing));
    }
}

impl Numbers {
    /// Compares the catalog's prices with Twilio's, and the ledger's numbers with Twilio's.
    ///
    /// # Errors
    /// If the ledger cannot be read, or Twilio tells no prices.
    pub async fn check(&self) -> Result<Report, NumberError> {
        let sids = numbers::twilio_accounts(&mut *self.store.read().await?).await?;
        let underpriced = match self.settings.own_account.as_ref().or(sids.first()) {
            Some(account) => self.underpriced(account).await?,
            None => Vec::new(),
        };
        let mut report = Report { underpriced, ..Report::default() };
        for Underpriced { country, number_type, ours, twilio } in &report.underpriced {
            let kind = number_type.as_str();
            tracing::warn!(country, kind, %ours, %twilio, "twilio takes more than the catalog");
        }
        for sid in &sids {
            if let Err(error) = self.compare(sid, &mut report).await {
                if error.is_transient() {
                    return Err(error);
                }
                report.failed += 1;
                tracing::warn!(%sid, error = one_line(&error), "numbers are not compared");
            }
        }
        Ok(report)
    }

    async fn underpriced(&self, own: &TwilioAccountSid) -> Result<Vec<Underpriced>, NumberError> {
        let prices = self.prices().await?;
        let countries: BTreeSet<&str> = prices.iter().map(|price| &*price.country).collect();
        let mut dearer = Vec::new();
        for country in countries {
            let told = self.ask(own, self.deadline(), |credentials| {
                let (twilio, country) = (self.twilio.clone(), country.to_owned());
                async move { twilio.number_prices(credentials, &country).await }.boxed()
            });
            let told = match told.await {
                Err(NumberError::Twilio(TwilioError::NotConfigured)) => return Ok(Vec::new()),
                Err(NumberError::Twilio(TwilioError::NotFound)) => continue,
                told => told?,
            };
            for ours in prices.iter().filter(|price| &*price.country == country) {
                let theirs = told.iter().find(|price| price.number_type == ours.number_type);
                let theirs = theirs.filter(|theirs| theirs.monthly > ours.monthly);
                dearer.extend(theirs.map(|theirs| Underpriced {
                    country: country.to_owned(),
                    number_type: ours.number_type,
                    ours: ours.monthly,
                    twilio: theirs.monthly,
                }));
            }
        }
        Ok(dearer)
    }

    /// Every number of a Twilio account.
    pub(super) async fn listed(
        &self,
        sid: &TwilioAccountSid,
    ) -> Result<Vec<IncomingNumber>, NumberError> {
        let deadline = tokio::time::Instant::now() + ACCOUNT_MAX;
        let listed = self.ask(sid, deadline, |credentials| {
            let (twilio, sid) = (self.twilio.clone(), sid.clone());
            async move { twilio.numbers(credentials, &sid).await }.boxed()
        });
        listed.await
    }

    async fn compare(
        &self,
        sid: &TwilioAccountSid,
        report: &mut Report,
    ) -> Result<(), NumberError> {
        let settled = self.clock.now() - SETTLED;
        let ours = numbers::bought_in(&mut *self.store.read().await?, sid, settled).await?;
        let ledger = ledger_id(&mut *self.store.read().await?).await?;
        let listed = self.listed(sid).await?;
        let by_sid: HashMap<&str, &IncomingNumber> =
            listed.iter().map(|number| (number.sid.as_str(), number)).collect();
        for missing in ours.iter().filter(|ours| !by_sid.contains_key(ours.as_str())) {
            report.missing += 1;
            tracing::warn!(number_sid = missing.as_str(), "twilio does not have a number");
        }
        for number in &listed {
            let mark = Mark::parse(&number.friendly_name).filter(|mark| mark.is_of(&ledger));
            let Some(mark) = mark else { continue };
            let found = numbers::find(&mut *self.store.read().await?, Which::Id(&mark.id)).await?;
            match found {
                None => {
                    report.unknown += 1;
                    tracing::warn!(number = %mark.id, "the ledger does not know a number");
                }
                Some(found) if is_stray(&found) => {
                    self.remove_stray(sid, number).await?;
                    report.removed += 1;
                    tracing::warn!(number = %mark.id, "a number of a failed purchase is removed");
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    async fn remove_stray(
        &self,
        sid: &TwilioAccountSid,
        number: &IncomingNumber,
    ) -> Result<(), NumberError> {
        let removed = self.ask(sid, self.deadline(), |credentials| {
            let (twilio, sid, number) = (self.twilio.clone(), sid.clone(), number.sid.clone());
            async move { twilio.remove_number(credentials, &sid, &number).await }.boxed()
        });
        removed.await
    }
}

/// True if nobody pays for it: its price was given back, or it is released.
fn is_stray(number: &Number) -> bool {
    matches!(number.status, NumberStatus::Failed | NumberStatus::Released)
}
