//! Lists each Twilio account's completed calls, and publishes those that were never charged.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::CallSid;
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::event::{Told, event};
use super::{Failure, Period, Report, SweepError, Sweeper, progress};
use crate::ledger::known_calls::{self, LinkedAccount};
use crate::metrics::{SWEEP_CALLS, SWEEP_FAILURES};
use crate::telemetry::one_line;
use crate::twilio::{CallRecord, CallsPage, Credentials, TwilioError};

/// Twilio accounts read from Postgres at once.
const PAGE: i64 = 500;
/// Twilio counts as unavailable after this many accounts in a row without an answer.
const AWAY_AFTER: usize = 10;

/// The counts of one Twilio account.
#[derive(Debug, Default)]
struct Counts {
    calls: u64,
    published: u64,
    rejected: u64,
    unusable: u64,
}

/// Counts accounts in a row for which Twilio did not answer.
#[derive(Debug, Default)]
struct Away(usize);

impl Away {
    /// The error, once Twilio counts as unavailable: further accounts would only take time.
    fn after(&mut self, listed: &Listed) -> Option<String> {
        match listed {
            Listed::Failed(error) if error.is_transient() => self.0 += 1,
            _ => self.0 = 0,
        }
        match listed {
            Listed::Failed(error) if self.0 >= AWAY_AFTER => Some(one_line(error)),
            _ => None,
        }
    }
}

enum Listed {
    Done(Counts),
    NotConfigured,
    Failed(TwilioError),
}

impl Sweeper {
    /// Lists all Twilio accounts, several at a time. `period` gets the time up to which an account
    /// was last swept; `by_the_clock`: the progress of each account is stored.
    pub(super) async fn list_accounts(
        &self,
        report: &mut Report,
        period: impl Fn(Option<DateTime<Utc>>) -> Period,
        by_the_clock: bool,
    ) -> Result<(), SweepError> {
        let (mut after, mut away) = (0, Away::default());
        let handed_over = std::mem::take(&mut report.handed_over);
        loop {
            let mut connection = self.store.read().await?;
            let page = known_calls::linked_accounts(&mut connection, after, PAGE).await?;
            drop(connection);
            let Some(last) = page.last() else { return Ok(()) };
            after = last.twilio_account_key;
            let sids: Vec<_> = page.iter().map(|linked| linked.sid.clone()).collect();
            let configured = &self.accesses.configured(&self.store, &sids).await?;
            let (period, handed_over) = (&period, &handed_over);
            let listed = stream::iter(page).map(|linked| async move {
                if !configured.contains(&linked.sid) {
                    return Ok((linked, Listed::NotConfigured));
                }
                let period = if by_the_clock {
                    period(progress::swept_to(&self.store, linked.twilio_account_key).await?)
                } else {
                    period(None)
                };
                let published =
                    handed_over.iter().filter(|(key, _)| *key == linked.twilio_account_key);
                let published = published.map(|(_, sid)| sid.clone()).collect();
                let listed = self.list_account(&linked, period, &published).await?;
                if by_the_clock {
                    self.note(&linked, period, &listed).await?;
                }
                Ok::<_, SweepError>((linked, listed))
            });
            let mut listed = listed.buffer_unordered(self.accounts_at_once.max(1));
            while let Some((linked, listed)) = listed.try_next().await? {
                if let Some(error) = away.after(&listed) {
                    return Err(SweepError::TwilioAway { error });
                }
                report.add(&linked, listed);
            }
        }
    }

    async fn note(
        &self,
        linked: &LinkedAccount,
        period: Period,
        listed: &Listed,
    ) -> Result<(), SweepError> {
        let key = linked.twilio_account_key;
        match listed {
            Listed::Done(_) => progress::swept(&self.store, key, period.to).await?,
            Listed::Failed(error) => {
                progress::failed(&self.store, key, self.clock.now(), &one_line(error)).await?;
            }
            Listed::NotConfigured => {}
        }
        Ok(())
    }

    async fn list_account(
        &self,
        linked: &LinkedAccount,
        period: Period,
        published: &HashSet<CallSid>,
    ) -> Result<Listed, SweepError> {
        let error = match self.list_as_anyone(linked, period, published).await {
            Ok(counts) => return Ok(Listed::Done(counts)),
            Err(SweepError::Twilio(error)) => error,
            Err(other) => return Err(other),
        };
        if matches!(error, TwilioError::NotConfigured) {
            return Ok(Listed::NotConfigured);
        }
        let sid = &linked.sid;
        tracing::warn!(account = %linked.account, %sid, %error, "twilio account not swept");
        Ok(Listed::Failed(error))
    }

    /// Lists an account with the first credentials that Twilio accepts.
    async fn list_as_anyone(
        &self,
        linked: &LinkedAccount,
        period: Period,
        published: &HashSet<CallSid>,
    ) -> Result<Counts, SweepError> {
        let mut refusal = TwilioError::NotConfigured;
        for credentials in self.accesses.for_account(&self.store, &linked.sid).await? {
            match self.pages(linked, &credentials, period, published.clone()).await {
                Err(SweepError::Twilio(error @ TwilioError::Unauthorized { .. })) => {
                    refusal = error;
                }
                listed => return listed,
            }
        }
        Err(refusal.into())
    }

    async fn pages(
        &self,
        linked: &LinkedAccount,
        credentials: &Credentials,
        period: Period,
        mut published: HashSet<CallSid>,
    ) -> Result<Counts, SweepError> {
        let mut counts = Counts::default();
        if period.from >= period.to {
            return Ok(counts);
        }
        let first = period.from.date_naive();
        let last = (period.to - TimeDelta::microseconds(1)).date_naive();
        // A SID may be repeated on any later page.
        let mut page = self.twilio.calls(credentials, &linked.sid, first, last).await?;
        loop {
            self.publish_missing(linked, period, &page, &mut published, &mut counts).await?;
            match self.twilio.more_calls(credentials, &page).await? {
                Some(next) => page = next,
                None => return Ok(counts),
            }
        }
    }

    async fn publish_missing(
        &self,
        linked: &LinkedAccount,
        period: Period,
        page: &CallsPage,
        published: &mut HashSet<CallSid>,
        counts: &mut Counts,
    ) -> Result<(), SweepError> {
        let of_period = |call: &&CallRecord| {
            let started_at = call.started_at();
            call.is_completed()
                && call.is_of(&linked.sid)
                && started_at.is_none_or(|at| at >= period.from && at < period.to)
        };
        for sid in &page.unreadable {
            counts.unusable += 1;
            tracing::warn!(account = %linked.account, call = sid, "twilio's row cannot be read");
        }
        let mut calls = HashMap::new();
        for call in page.calls.iter().filter(of_period) {
            match CallSid::parse(&call.sid) {
                Ok(sid) => drop(calls.insert(sid, call)),
                Err(_) => counts.unusable += 1,
            }
        }
        counts.calls += u64::try_from(calls.len()).unwrap_or_default();
        let sids: Vec<CallSid> = calls.keys().cloned().collect();
        let mut connection = self.store.read().await?;
        let charged = known_calls::charged(&mut connection, linked, &sids).await?;
        drop(connection);
        calls.retain(|sid, _| !charged.contains_key(sid) && published.insert(sid.clone()));
        let records = self.records(linked, &calls, counts).await?;
        let published = u64::try_from(records.len()).unwrap_or_default();
        self.publish(&linked.sid, records).await?;
        counts.published += published;
        metrics::counter!(SWEEP_CALLS, "found_by" => "listing").increment(published);
        Ok(())
    }

    /// The records to publish for calls that were never charged. A call that will be rejected is
    /// published once, so that it is kept as a reject and not only logged.
    async fn records(
        &self,
        linked: &LinkedAccount,
        calls: &HashMap<CallSid, &CallRecord>,
        counts: &mut Counts,
    ) -> Result<Vec<Vec<u8>>, SweepError> {
        let now = self.clock.now();
        let (mut records, mut rejected) = (Vec::new(), HashMap::new());
        for (sid, call) in calls {
            match event(&linked.sid, call, now, self.limits) {
                Told::Usable(record) => records.push(record),
                Told::Rejected(record) => drop(rejected.insert(sid.clone(), record)),
                Told::NotYet => {
                    counts.unusable += 1;
                    tracing::warn!(account = %linked.account, call = %sid, "no usable end yet");
                }
            }
        }
        if rejected.is_empty() {
            return Ok(records);
        }
        counts.rejected += u64::try_from(rejected.len()).unwrap_or_default();
        let sids: Vec<CallSid> = rejected.keys().cloned().collect();
        let mut connection = self.store.read().await?;
        for sid in known_calls::rejected(&mut connection, &linked.sid, &sids).await? {
            rejected.remove(&sid);
        }
        records.extend(rejected.into_values());
        Ok(records)
    }
}

impl Report {
    fn add(&mut self, linked: &LinkedAccount, listed: Listed) {
        let twilio_account_sid = linked.sid.to_string();
        match listed {
            Listed::Done(counts) => {
                self.accounts += 1;
                self.calls += counts.calls;
                self.published += counts.published;
                self.rejected += counts.rejected;
                self.unusable += counts.unusable;
            }
            Listed::NotConfigured => self.not_configured.push(twilio_account_sid),
            Listed::Failed(error) => {
                metrics::counter!(SWEEP_FAILURES).increment(1);
                let error = one_line(&error);
                self.failed.push(Failure { twilio_account_sid, error });
            }
        }
    }
}
