//! Compares our charges with Twilio's bill: minutes and money by account and UTC day of the start.
//!
//! Beside the flow; it writes only its own tables. Twilio's usage records give a day's minutes. If
//! they differ from ours, the day's calls are compared one by one, and each difference gets a
//! reason. An unexplained rest must never be hidden: the reasons of a day add up to its difference.

mod charges;
mod compare;
mod report;
mod store;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;

use callmeter_core::domain::Money;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use futures::stream::{self, StreamExt};

pub use charges::DayTotal;
pub use compare::{Difference, Reason};
pub use report::{DayRow, DifferenceRow, Failure, Report, Summary};

use crate::clock::Clock;
use crate::config::Settings;
use crate::ledger::LedgerError;
use crate::ledger::known_calls::{self, LinkedAccount};
use crate::ledger::store::{Store, StoreError};
use crate::twilio::{AccessError, Accesses, Credentials, TwilioClient, TwilioError, UsageRecord};
use compare::explain;

/// Name of the job and of its lock.
pub const NAME: &str = "reconcile";

/// Twilio accounts read from Postgres at once.
const PAGE: i64 = 500;
/// Most calls of an account and day that are compared one by one; bounds the memory.
const CALLS_MAX: usize = 500_000;

/// UTC days, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayRange {
    /// The first day.
    pub first: NaiveDate,
    /// The last day.
    pub last: NaiveDate,
}

/// The clients and settings of a comparison.
#[derive(Clone, Debug)]
pub struct Reconciler {
    store: Store,
    twilio: TwilioClient,
    accesses: Accesses,
    clock: Clock,
    categories: Vec<String>,
    final_after: TimeDelta,
    accounts_at_once: usize,
}

/// Why a comparison ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Postgres could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Twilio failed for an account.
    #[error(transparent)]
    Twilio(#[from] TwilioError),
}

impl From<StoreError> for ReconcileError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<AccessError> for ReconcileError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Ledger(error) => Self::Ledger(error),
            AccessError::Twilio(error) => Self::Twilio(error),
        }
    }
}

/// The result of one Twilio account.
#[derive(Clone, Debug)]
struct Compared {
    days: Arc<[Day]>,
    /// Rows of Twilio that cannot be read.
    unreadable: u64,
}

/// A day of one Twilio account, ours and Twilio's.
#[derive(Clone, Debug)]
struct Day {
    date: NaiveDate,
    ours: DayTotal,
    twilio: UsageRecord,
    differences: Vec<Difference>,
}

impl DayRange {
    /// The last `days` days before today.
    pub fn before(now: DateTime<Utc>, days: u32) -> Self {
        let today = now.date_naive();
        let back = |days: u32| today.checked_sub_days(Days::new(days.into())).unwrap_or(today);
        Self { first: back(days), last: back(1) }
    }
}

impl Reconciler {
    /// Prepares a comparison from the settings; connects on first use.
    ///
    /// # Errors
    /// If a Twilio setting is invalid.
    pub fn from_settings(
        settings: &Settings,
        store: Store,
        clock: Clock,
    ) -> Result<Self, TwilioError> {
        let reconcile = &settings.reconcile;
        Ok(Self {
            store,
            twilio: TwilioClient::open(&settings.twilio.api_base)?,
            accesses: Accesses::from_settings(settings, clock.clone()),
            clock,
            categories: reconcile.categories().map(str::to_owned).collect(),
            final_after: TimeDelta::hours(reconcile.final_after_hours.into()),
            accounts_at_once: settings.sweep.accounts_at_once,
        })
    }

    /// Compares these days of every Twilio account, and stores the result.
    ///
    /// # Errors
    /// If Postgres fails. An error of Twilio is in the report and does not stop other accounts.
    pub async fn reconcile(&self, range: DayRange) -> Result<Report, ReconcileError> {
        let mut report = Report::default();
        let totals = charges::totals(&mut *self.store.read().await?, range).await?;
        let mut after = 0;
        loop {
            let mut connection = self.store.read().await?;
            let page = known_calls::linked_accounts(&mut connection, after, PAGE).await?;
            drop(connection);
            let Some(last) = page.last() else { break };
            after = last.twilio_account_key;
            let totals = &totals;
            let compared = stream::iter(page).map(|linked| async move {
                let ours = totals.get(&linked.twilio_account_key);
                let compared = self.compare_and_keep(&linked, ours, range).await;
                (linked, compared)
            });
            // No await between two polls: accounts that are not polled would keep their
            // connections.
            let mut compared = compared.buffer_unordered(self.accounts_at_once.max(1));
            while let Some((linked, compared)) = compared.next().await {
                report.take(&linked, compared)?;
            }
        }
        report.sort();
        Ok(report)
    }

    async fn compare_and_keep(
        &self,
        linked: &LinkedAccount,
        ours: Option<&BTreeMap<NaiveDate, DayTotal>>,
        range: DayRange,
    ) -> Result<Compared, ReconcileError> {
        let compared = self.compare_as_anyone(linked, ours, range).await?;
        store::keep(&self.store, linked, range, &compared.days, self.clock.now()).await?;
        Ok(compared)
    }

    /// Compares an account with the first credentials that Twilio accepts.
    async fn compare_as_anyone(
        &self,
        linked: &LinkedAccount,
        ours: Option<&BTreeMap<NaiveDate, DayTotal>>,
        range: DayRange,
    ) -> Result<Compared, ReconcileError> {
        let mut refusal = TwilioError::NotConfigured;
        for credentials in self.accesses.for_account(&self.store, &linked.sid).await? {
            match self.compare(linked, &credentials, ours, range).await {
                Err(ReconcileError::Twilio(error @ TwilioError::Unauthorized { .. })) => {
                    refusal = error;
                }
                compared => return compared,
            }
        }
        Err(refusal.into())
    }

    async fn compare(
        &self,
        linked: &LinkedAccount,
        credentials: &Credentials,
        ours: Option<&BTreeMap<NaiveDate, DayTotal>>,
        range: DayRange,
    ) -> Result<Compared, ReconcileError> {
        let usage = self.usage(linked, credentials, range).await?;
        let (mut days, mut unreadable) = (Vec::new(), usage.unreadable_rows);
        for day in range.first.iter_days().take_while(|day| *day <= range.last) {
            let ours = ours.and_then(|ours| ours.get(&day)).copied().unwrap_or_default();
            let mut twilio = usage.by_day.get(&day).cloned().unwrap_or_else(|| nothing(day));
            let is_read = !usage.unreadable_days.contains(&day);
            twilio.cost = twilio.cost.filter(|_| is_read);
            let is_empty = ours.calls == 0 && twilio.calls == 0 && twilio.minutes == 0;
            if is_empty && is_read {
                continue;
            }
            let differences = if !is_read {
                // The readable part is not all that Twilio billed.
                let (calls, minutes) = (ours.calls - twilio.calls, ours.minutes - twilio.minutes);
                vec![Difference::new(Reason::NotCompared, calls, minutes)]
            } else if (ours.calls, ours.minutes) == (twilio.calls, twilio.minutes) {
                Vec::new()
            } else {
                let explained = self.explain_day(linked, credentials, &twilio, ours).await?;
                unreadable += explained.1;
                explained.0
            };
            days.push(Day { date: day, ours, twilio, differences });
        }
        Ok(Compared { days: days.into(), unreadable })
    }

    /// Compares a day's calls one by one; also returns how many rows of Twilio cannot be read.
    async fn explain_day(
        &self,
        linked: &LinkedAccount,
        credentials: &Credentials,
        twilio: &UsageRecord,
        ours: DayTotal,
    ) -> Result<(Vec<Difference>, u64), ReconcileError> {
        let day = twilio.day;
        let open = DateTime::<Utc>::from_naive_utc_and_offset(day.into(), Utc) + TimeDelta::days(1);
        let is_final = self.clock.now() >= open + self.final_after
            && twilio.as_of.is_none_or(|as_of| as_of >= open);
        let rest = |explained: &[Difference]| {
            let sum = |part: fn(&Difference) -> i64| explained.iter().map(part).sum::<i64>();
            let calls = ours.calls - twilio.calls - sum(Difference::net_calls);
            let minutes = ours.minutes - twilio.minutes - sum(|difference| difference.minutes);
            (calls, minutes)
        };
        let theirs = self.calls_around(linked, credentials, day).await?;
        let (mut differences, unreadable) = match theirs {
            Some(theirs) if ours.calls <= i64::try_from(CALLS_MAX).unwrap_or(i64::MAX) => {
                let mut connection = self.store.read().await?;
                let calls = &theirs.calls;
                let mut charged =
                    charges::calls_around(&mut connection, linked, day, calls).await?;
                charged.retain(|sid, _| !theirs.unreadable.contains(sid));
                (explain(day, &charged, calls), theirs.unreadable_rows)
            }
            _ => {
                let (calls, minutes) = rest(&[]);
                (vec![Difference::new(Reason::NotCompared, calls, minutes)], 0)
            }
        };
        let (calls, minutes) = rest(&differences);
        if (calls, minutes) != (0, 0) {
            let reason = match (unreadable, is_final) {
                (1.., _) => Reason::NotCompared,
                (0, true) => Reason::UsageDiffers,
                (0, false) => Reason::UsageNotFinal,
            };
            differences.push(Difference::new(reason, calls, minutes));
        }
        Ok((differences, unreadable))
    }
}

/// A day without a record at Twilio: nothing was billed.
fn nothing(day: NaiveDate) -> UsageRecord {
    UsageRecord { day, calls: 0, minutes: 0, cost: Some(Money::ZERO), as_of: None }
}
