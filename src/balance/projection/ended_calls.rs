//! Ended calls: charged within the last day, or voided. Redis must know them, so that none of them
//! gets a hold again.
//!
//! After a loss they are read from Postgres, the last ones first: one page with the load, the rest
//! later. Meanwhile the wallet carries a mark of how far back they were read, and a call that Redis
//! does not know is looked up in Postgres.

use std::fmt;

use callmeter_core::domain::CallSid;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::balance::journal::change::read_sid;
use crate::balance::journal::store as journal;
use crate::balance::model::BalanceError;

/// Charged calls of one page at most, and voided calls as many.
const PAGE: i64 = 2_000;
/// How long a charged call is remembered; a void's row says how long it is.
const CHARGED_AGE_MAX: TimeDelta = TimeDelta::days(1);

/// How far back ended calls were read: older ones are still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Charges up to this number; 0: none is left.
    charge_sequence: i64,
    /// Voids that are forgotten before this time; the epoch: none is left.
    voids_before: DateTime<Utc>,
    /// Of those forgotten at that time, the calls before this one.
    void_before: String,
}

/// A page of ended calls.
pub(crate) struct Page {
    pub call_sids: Vec<CallSid>,
    /// Where to read on; `None`: these were the last.
    pub next: Option<Mark>,
}

impl Mark {
    /// The start: nothing was read yet of an account with this many charges.
    pub(crate) fn newest(charge_sequence: i64) -> Self {
        let voids_before = DateTime::<Utc>::MAX_UTC;
        Self { charge_sequence, voids_before, void_before: String::new() }
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        Some(Self {
            charge_sequence: words.next()?.parse().ok()?,
            voids_before: DateTime::from_timestamp_micros(words.next()?.parse().ok()?)?,
            void_before: words.next()?.to_owned(),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { charge_sequence, voids_before, void_before } = self;
        write!(formatter, "{charge_sequence} {} {void_before}", voids_before.timestamp_micros())
    }
}

/// Reads the next page: the calls before the mark, the last ones first.
pub(crate) async fn read(
    connection: &mut PgConnection,
    account_key: i32,
    mark: &Mark,
    now: DateTime<Utc>,
) -> Result<Page, BalanceError> {
    let first = mark.charge_sequence - PAGE;
    let charged: Vec<String> = sqlx::query_scalar(
        "-- balance::ended_calls
         SELECT call_sid FROM charges
         WHERE account_key = $1 AND charge_sequence > $2 AND charge_sequence <= $3 AND charged_at > $4",
    )
    .bind(account_key)
    .bind(first)
    .bind(mark.charge_sequence)
    .bind(now - CHARGED_AGE_MAX)
    .fetch_all(&mut *connection)
    .await?;
    let before = (mark.voids_before, mark.void_before.as_str());
    let voided = journal::voided(connection, account_key, before, PAGE, now).await?;
    // Charges are numbered without gaps: if one of the page is too old, so are all before it.
    let is_full = i64::try_from(charged.len()).is_ok_and(|count| count == PAGE);
    let mut next = Mark {
        charge_sequence: if is_full { first } else { 0 },
        voids_before: DateTime::UNIX_EPOCH,
        void_before: String::new(),
    };
    let mut call_sids = charged.iter().map(|sid| read_sid(sid)).collect::<Result<Vec<_>, _>>()?;
    if let Some((call_sid, expires_at)) = voided.last()
        && i64::try_from(voided.len()).is_ok_and(|count| count == PAGE)
    {
        next.voids_before = *expires_at;
        call_sid.as_str().clone_into(&mut next.void_before);
    }
    call_sids.extend(voided.into_iter().map(|(call_sid, _)| call_sid));
    let is_last = next.charge_sequence == 0 && next.voids_before == DateTime::UNIX_EPOCH;
    Ok(Page { call_sids, next: (!is_last).then_some(next) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_as_it_was_written() {
        let voids_before = DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap();
        let odd = Mark { charge_sequence: 7, voids_before, void_before: "call SID".to_owned() };
        for mark in [odd, Mark { void_before: String::new(), ..Mark::newest(0) }] {
            let micros = mark.voids_before.timestamp_micros();
            let voids_before = DateTime::from_timestamp_micros(micros).unwrap();
            assert_eq!(Mark::parse(&mark.to_string()), Some(Mark { voids_before, ..mark }));
        }
        assert_eq!(Mark::parse("7"), None);
    }
}
