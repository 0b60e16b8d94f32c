//! Expired holds: no end of their call was ever received, so the calls are looked up at Twilio.
//!
//! When a hold expires, it is copied from the journal to the table `expired_holds` before the
//! journal forgets it. It stays there until it is decided: its charge is committed, Twilio reports
//! its end, Twilio knows no such call, or a week has passed.

use callmeter_core::domain::CallSid;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};

use super::event::{Told, event};
use super::{Report, SweepError, Sweeper};
use crate::ledger::known_calls::{self, LinkedAccount};
use crate::ledger::store::{Store, StoreError};
use crate::metrics::{EXPIRED_HOLDS, SWEEP_CALLS};
use crate::twilio::{CallRecord, TwilioError};

/// Most holds looked up in one sweep; the others wait for the next.
const LOOKUPS_MAX: usize = 5_000;
/// Holds read from Postgres at once.
const PAGE: i64 = 100;
/// A call in progress is looked up again after this time, doubled each time.
const RETRY_FIRST: TimeDelta = TimeDelta::minutes(15);
/// Longest time between two attempts.
const RETRY_MAX: TimeDelta = TimeDelta::hours(6);
/// A hold is given up if its call does not end for this long: no call lasts longer than a day.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(7);
/// How long decided holds are kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// A hold to be looked up at Twilio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredHold {
    account_key: i32,
    /// The call.
    pub call_sid: CallSid,
    /// When the hold expired.
    pub expired_at: DateTime<Utc>,
    attempts: i32,
}

/// The result for a hold's call.
#[derive(Debug)]
enum Decision {
    /// It is charged.
    Charged,
    /// Its end was published to Kafka.
    Published,
    /// None of the account's Twilio accounts knows it.
    Unknown,
    /// Not decided yet: in progress, or the look-up failed.
    Later(Option<String>),
    /// Twilio is unavailable.
    Away(String),
}

/// How many holds wait whose next attempt was due before `at`, and when the oldest of them expired.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn overdue(
    connection: &mut PgConnection,
    at: DateTime<Utc>,
) -> Result<(i64, Option<DateTime<Utc>>), StoreError> {
    let row = sqlx::query(
        "-- sweep::overdue
         SELECT count(*), min(expired_at) FROM expired_holds WHERE next_attempt_at < $1",
    )
    .bind(at)
    .fetch_one(connection)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

impl Sweeper {
    /// Takes over expired holds, and looks up those that are due.
    pub(super) async fn look_up_expired_holds(
        &self,
        report: &mut Report,
    ) -> Result<(), SweepError> {
        let now = self.clock.now();
        crate::balance::note_expired_holds(&self.store, now).await?;
        forget_decided(&self.store, now).await?;
        for _ in 0..LOOKUPS_MAX / usize::try_from(PAGE).unwrap_or(1) {
            let due = due(&self.store, now).await?;
            if due.is_empty() {
                break;
            }
            let mut decisions = Vec::with_capacity(due.len());
            let decided = self.decide(&due, &mut decisions, report).await;
            // What was decided before an error is noted too.
            self.note_decisions(&due, &decisions).await?;
            decided?;
            if matches!(decisions.last(), Some(Decision::Away(_))) {
                // Further look-ups would only take time; they wait for the next sweep.
                break;
            }
        }
        Ok(())
    }

    /// Decides the holds of a page, in order. Ends at the first for which Twilio is unavailable.
    async fn decide(
        &self,
        due: &[ExpiredHold],
        decisions: &mut Vec<Decision>,
        report: &mut Report,
    ) -> Result<(), SweepError> {
        let calls: Vec<_> = due.iter().map(|hold| (hold.account_key, &hold.call_sid)).collect();
        let accounts: Vec<i32> = due.iter().map(|hold| hold.account_key).collect();
        let mut connection = self.store.read().await?;
        let charged = known_calls::charged_of(&mut connection, &calls).await?;
        let linked = known_calls::linked_to(&mut connection, &accounts).await?;
        drop(connection);
        for (place, hold) in due.iter().enumerate() {
            let decision = if charged.contains(&place) {
                Decision::Charged
            } else if is_of_twilio(&hold.call_sid) {
                let of_account =
                    linked.iter().filter(|linked| linked.account_key == hold.account_key);
                self.ask_twilio(hold, of_account, report).await?
            } else {
                // A caller may use its own name for a call, which Twilio does not know.
                Decision::Unknown
            };
            let is_away = matches!(decision, Decision::Away(_));
            decisions.push(decision);
            if is_away {
                break;
            }
        }
        Ok(())
    }

    /// Looks up the call of a hold at each Twilio account of its account.
    async fn ask_twilio(
        &self,
        hold: &ExpiredHold,
        linked: impl Iterator<Item = &LinkedAccount>,
        report: &mut Report,
    ) -> Result<Decision, SweepError> {
        report.holds_looked_up += 1;
        let mut failure = None;
        for linked in linked {
            match self.look_up(linked, &hold.call_sid).await {
                Ok(Some(call)) => {
                    return self.publish_end(linked, &hold.call_sid, &call, report).await;
                }
                Ok(None) => {}
                Err(SweepError::Twilio(error)) if error.is_transient() => {
                    return Ok(Decision::Away(error.to_string()));
                }
                Err(SweepError::Twilio(error)) => failure = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(failure.map_or(Decision::Unknown, |failure| Decision::Later(Some(failure))))
    }

    async fn look_up(
        &self,
        linked: &LinkedAccount,
        call_sid: &CallSid,
    ) -> Result<Option<CallRecord>, SweepError> {
        let credentials = self.accesses.for_account(&self.store, &linked.sid).await?;
        let mut refusal = TwilioError::NotConfigured;
        for credentials in &credentials {
            match self.twilio.call(credentials, &linked.sid, call_sid).await {
                Err(error @ TwilioError::Unauthorized { .. }) => refusal = error,
                found => return Ok(found?),
            }
        }
        Err(refusal.into())
    }

    /// Publishes the end of a call. If it is not billable, it leaves a tombstone.
    async fn publish_end(
        &self,
        linked: &LinkedAccount,
        call_sid: &CallSid,
        call: &CallRecord,
        report: &mut Report,
    ) -> Result<Decision, SweepError> {
        if call.is_under_way() {
            return Ok(Decision::Later(None));
        }
        let record = match event(&linked.sid, call, self.clock.now(), self.limits) {
            Told::Usable(record) => record,
            Told::Rejected(record) => {
                let mut connection = self.store.read().await?;
                let sids = std::slice::from_ref(call_sid);
                if !known_calls::rejected(&mut connection, &linked.sid, sids).await?.is_empty() {
                    return Ok(Decision::Published);
                }
                record
            }
            Told::NotYet => {
                let problem =
                    format!("twilio tells no usable end of a call that is {:?}", call.status);
                return Ok(Decision::Later(Some(problem)));
            }
        };
        self.publish(&linked.sid, vec![record]).await?;
        report.handed_over.insert((linked.twilio_account_key, call_sid.clone()));
        if call.is_completed() {
            report.published += 1;
            metrics::counter!(SWEEP_CALLS, "found_by" => "hold").increment(1);
        }
        report.holds_published += 1;
        Ok(Decision::Published)
    }

    /// Notes the decisions of a page in one transaction: the first belongs to the first hold.
    async fn note_decisions(
        &self,
        due: &[ExpiredHold],
        decisions: &[Decision],
    ) -> Result<(), SweepError> {
        if decisions.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let noted: Vec<Noted<'_>> = due
            .iter()
            .zip(decisions)
            .map(|(hold, decision)| Noted::new(hold, decision, now))
            .collect();
        let account_keys: Vec<i32> = noted.iter().map(|noted| noted.hold.account_key).collect();
        let call_sids: Vec<&str> = noted.iter().map(|noted| noted.hold.call_sid.as_str()).collect();
        let next: Vec<Option<DateTime<Utc>>> = noted.iter().map(|noted| noted.next_at).collect();
        let outcomes: Vec<&str> = noted.iter().map(|noted| noted.outcome).collect();
        let errors: Vec<Option<&str>> = noted.iter().map(|noted| noted.error).collect();
        let statement = || {
            sqlx::query(
                "-- sweep::note_decisions
                 UPDATE expired_holds AS held
                    SET attempts = held.attempts + 1, next_attempt_at = noted.next_attempt_at,
                        outcome = noted.outcome, last_error = noted.error,
                        decided_at = CASE WHEN noted.next_attempt_at IS NULL THEN $6 END
                   FROM unnest($1::int[], $2::text[], $3::timestamptz[], $4::text[], $5::text[])
                        AS noted (account_key, call_sid, next_attempt_at, outcome, error)
                  WHERE held.account_key = noted.account_key AND held.call_sid = noted.call_sid
                    AND held.outcome = 'waiting'",
            )
            .bind(&account_keys)
            .bind(&call_sids)
            .bind(&next)
            .bind(&outcomes)
            .bind(&errors)
            .bind(now)
        };
        self.store.execute("sweep::note_decisions", statement).await?;
        for noted in &noted {
            if noted.outcome == "given_up" {
                tracing::warn!(call = %noted.hold.call_sid, error = noted.error, "expired hold given up");
            }
            metrics::counter!(EXPIRED_HOLDS, "outcome" => noted.outcome).increment(1);
        }
        Ok(())
    }
}

/// A decision as its row will be.
struct Noted<'a> {
    hold: &'a ExpiredHold,
    outcome: &'static str,
    error: Option<&'a str>,
    /// None once decided.
    next_at: Option<DateTime<Utc>>,
}

impl<'a> Noted<'a> {
    fn new(hold: &'a ExpiredHold, decision: &'a Decision, now: DateTime<Utc>) -> Self {
        let (mut outcome, error) = match decision {
            Decision::Charged => ("charged", None),
            Decision::Published => ("published", None),
            Decision::Unknown => ("unknown", None),
            Decision::Later(error) => ("waiting", error.as_deref()),
            Decision::Away(error) => ("waiting", Some(error.as_str())),
        };
        if outcome == "waiting" && now - hold.expired_at > GIVEN_UP_AFTER {
            outcome = "given_up";
        }
        let doubled = RETRY_FIRST * (1 << hold.attempts.clamp(0, 5));
        let next_at = (outcome == "waiting").then(|| now + doubled.min(RETRY_MAX));
        Self { hold, outcome, error, next_at }
    }
}

/// True if it may be a SID of Twilio.
fn is_of_twilio(sid: &CallSid) -> bool {
    sid.as_str().starts_with("CA")
}

async fn due(store: &Store, now: DateTime<Utc>) -> Result<Vec<ExpiredHold>, StoreError> {
    let rows = sqlx::query(
        "-- sweep::due
         SELECT account_key, call_sid, expired_at, attempts FROM expired_holds
         WHERE next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $2",
    )
    .bind(now)
    .bind(PAGE)
    .fetch_all(&mut *store.read().await?)
    .await?;
    let read = |row: &sqlx::postgres::PgRow| {
        let call_sid = CallSid::parse(row.try_get("call_sid")?);
        Ok(ExpiredHold {
            account_key: row.try_get("account_key")?,
            call_sid: call_sid.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            expired_at: row.try_get("expired_at")?,
            attempts: row.try_get("attempts")?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
}

async fn forget_decided(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- sweep::forget_decided
             DELETE FROM expired_holds WHERE (account_key, call_sid) IN (
                 SELECT account_key, call_sid FROM expired_holds
                 WHERE decided_at < $1 ORDER BY decided_at LIMIT 10000)",
        )
        .bind(now - KEPT_FOR)
    };
    store.execute("sweep::forget_decided", statement).await?;
    Ok(())
}
