//! Records that could not be charged: kept by the charging loop; listed, replayed and closed here.
//!
//! A reject is open until a replay settles it or an administrator closes it. Closing is final: if a
//! conflict is repeated, only the count of its row rises.

use callmeter_core::domain::{AccountId, Money, TransactionKind, TwilioAccountSid};
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row};

use super::audit::{self, Action, AuditEntry, By};
use super::batch::{Charger, CommitError, Outcome, Source};
use super::error::{LedgerError, Refusable};
use super::history::{Page, Stretch, page as page_of};
use super::offsets::{self, Stream};
use super::store::{Store, StoreError};
use crate::ingest::batch::Batch;
use crate::ingest::decode::{Limits, RejectReason, Topic, decode};

/// A rejected record, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its number.
    pub id: i64,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its Kafka timestamp.
    pub record_at: Option<DateTime<Utc>>,
    /// `undecodable`, `invalid`, `unknown_account` or `conflict`.
    pub reason: String,
    /// The details.
    pub detail: String,
    /// How often it came; above 1 only for a conflict.
    pub count: i64,
    /// When it was rejected.
    pub at: DateTime<Utc>,
    /// When a replay settled it.
    pub replayed_at: Option<DateTime<Utc>>,
    /// Length of the record's value.
    pub bytes: i32,
    /// `AccountSid` of the record, if readable.
    pub twilio_account_sid: Option<String>,
    /// `CallSid` of the record, if readable.
    pub call_sid: Option<String>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// Why it was closed.
    pub closed_reason: Option<String>,
}

/// A rejected record with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// The record without its bytes.
    pub reject: Reject,
    /// Key, unchanged.
    pub key: Option<Vec<u8>>,
    /// Value, unchanged; `None` if it was empty, or was left in Kafka because of the cap.
    pub value: Option<Vec<u8>>,
}

impl RejectedRecord {
    /// True if the total cap was reached: only Kafka has the bytes.
    pub const fn is_left_in_kafka(&self) -> bool {
        self.value.is_none() && self.reject.bytes > 0
    }
}

/// Selects rejects.
#[derive(Clone, Debug, Default)]
pub struct RejectFilter {
    /// Only this reason.
    pub reason: Option<RejectReason>,
    /// Only records of Twilio accounts that this account pays for.
    pub account: Option<AccountId>,
    /// Only records of this Twilio account.
    pub twilio_account_sid: Option<TwilioAccountSid>,
    /// Include replayed and closed ones.
    pub all: bool,
}

/// The result of closing a reject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its current state.
    pub reject: Reject,
    /// False if it was closed before; then nothing changed.
    pub changed: bool,
}

/// Why a reject cannot be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotClosed {
    /// There is no such reject.
    Unknown,
    /// A replay settled it before.
    Replayed,
}

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The outcome of the record.
    pub outcome: Outcome,
    /// The debited amount.
    pub debited: Money,
    /// The accounts whose wallets changed.
    pub accounts: Vec<AccountId>,
}

/// Open rejects of one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectTotal {
    /// The reason.
    pub reason: String,
    /// How many.
    pub records: i64,
    /// When the oldest was rejected.
    pub oldest_at: DateTime<Utc>,
}

const COLUMNS: &str =
    "reject_id, topic, partition, record_offset, record_at, reason, detail, count,
    rejected_at, replayed_at, record_bytes, twilio_account_sid, call_sid, closed_at, closed_reason";

/// The condition of a [`RejectFilter`], except whether a reject is open.
const MEANT: &str = "($1::text IS NULL OR reason = $1)
    AND ($2::text IS NULL OR twilio_account_sid = $2)
    AND ($3::text IS NULL OR EXISTS (
        SELECT FROM accounts AS a JOIN twilio_accounts AS t USING (account_key)
        WHERE a.id = $3 AND t.twilio_account_sid = rejects.twilio_account_sid))";

/// Neither replayed nor closed; an index covers these.
const OPEN: &str = "replayed_at IS NULL AND closed_at IS NULL";

impl RejectFilter {
    /// The condition for a statement whose first parameters are those of [`Self::bind`].
    fn condition(&self) -> String {
        if self.all { MEANT.to_owned() } else { format!("{MEANT} AND {OPEN}") }
    }

    fn bind<'q>(&'q self, statement: &'q str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(statement)
            .bind(self.reason.map(RejectReason::as_str))
            .bind(self.twilio_account_sid.as_ref().map(TwilioAccountSid::as_str))
            .bind(self.account.as_ref().map(AccountId::as_str))
    }
}

fn read(row: &sqlx::postgres::PgRow) -> Result<Reject, sqlx::Error> {
    Ok(Reject {
        id: row.try_get(0)?,
        topic: row.try_get(1)?,
        partition: row.try_get(2)?,
        offset: row.try_get(3)?,
        record_at: row.try_get(4)?,
        reason: row.try_get(5)?,
        detail: row.try_get(6)?,
        count: row.try_get(7)?,
        at: row.try_get(8)?,
        replayed_at: row.try_get(9)?,
        bytes: row.try_get(10)?,
        twilio_account_sid: row.try_get(11)?,
        call_sid: row.try_get(12)?,
        closed_at: row.try_get(13)?,
        closed_reason: row.try_get(14)?,
    })
}

/// At most `limit` rejects with a number above `after`, by number.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn list(
    store: &Store,
    filter: &RejectFilter,
    after: i64,
    limit: i64,
) -> Result<Vec<Reject>, StoreError> {
    let condition = filter.condition();
    let statement = format!(
        "/* rejects::list */ SELECT {COLUMNS} FROM rejects
          WHERE {condition} AND reject_id > $4 ORDER BY reject_id LIMIT $5"
    );
    let asked = filter.bind(&statement).bind(after).bind(limit);
    let rows = asked.fetch_all(&mut *store.read().await?).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// A page of rejects, newest first; `from` and `to` apply to when they were rejected.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn page(
    connection: &mut PgConnection,
    filter: &RejectFilter,
    stretch: &Stretch,
) -> Result<Page<Reject>, LedgerError> {
    let condition = filter.condition();
    let statement = format!(
        "/* rejects::page */ SELECT {COLUMNS} FROM rejects
          WHERE {condition} AND reject_id < $4
            AND rejected_at >= coalesce($5, '-infinity') AND rejected_at < coalesce($6, 'infinity')
          ORDER BY reject_id DESC LIMIT $7"
    );
    let asked = filter.bind(&statement).bind(stretch.below.unwrap_or(i64::MAX));
    let asked = asked.bind(stretch.from).bind(stretch.to).bind(i64::from(stretch.limit) + 1);
    let rows = asked.fetch_all(connection).await?;
    let rejects = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(page_of(rejects, stretch.limit, |reject| reject.id))
}

/// Closes a reject for good, for the reason given in `by`. Closing it again changes nothing.
///
/// # Errors
/// If Postgres refuses it, or `by` gives no reason.
pub async fn close(
    connection: &mut PgConnection,
    id: i64,
    by: &By,
) -> Refusable<Closed, NotClosed> {
    let statement = format!(
        "/* rejects::close, as it was */ SELECT {COLUMNS} FROM rejects
          WHERE reject_id = $1 FOR UPDATE"
    );
    let row = sqlx::query(&statement).bind(id).fetch_optional(&mut *connection).await?;
    let Some(before) = row.as_ref().map(read).transpose()? else {
        return Ok(Err(NotClosed::Unknown));
    };
    if before.closed_at.is_some() {
        by.changed_nothing();
        return Ok(Ok(Closed { reject: before, changed: false }));
    }
    if before.replayed_at.is_some() {
        return Ok(Err(NotClosed::Replayed));
    }
    let statement = format!(
        "/* rejects::close */ UPDATE rejects SET closed_at = $2, closed_reason = $3
          WHERE reject_id = $1 RETURNING {COLUMNS}"
    );
    let asked = sqlx::query(&statement).bind(id).bind(by.at);
    let reason = by.why.as_deref().unwrap_or_default();
    let after = read(&asked.bind(reason).fetch_one(&mut *connection).await?)?;
    let entry = AuditEntry {
        action: Action::RejectClosed,
        account_key: None,
        subject: format!("reject {id}"),
        before: json!({ "closed_at": before.closed_at }),
        after: json!({
            "closed_at": after.closed_at, "rejected_as": after.reason, "count": after.count,
        }),
    };
    audit::note(connection, by, &entry).await?;
    Ok(Ok(Closed { reject: after, changed: true }))
}

/// One reject with its bytes.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn show(store: &Store, id: i64) -> Result<Option<RejectedRecord>, StoreError> {
    let statement = format!(
        "/* rejects::show */ SELECT {COLUMNS}, record_key, record_value FROM rejects
          WHERE reject_id = $1"
    );
    let row = sqlx::query(&statement).bind(id).fetch_optional(&mut *store.read().await?).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(RejectedRecord {
        reject: read(&row)?,
        key: row.try_get("record_key").map_err(StoreError::from)?,
        value: row.try_get("record_value").map_err(StoreError::from)?,
    }))
}

/// Open rejects by reason.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn totals(store: &Store) -> Result<Vec<RejectTotal>, StoreError> {
    let statement = format!(
        "/* rejects::totals */
         SELECT reason, count(*), min(rejected_at) FROM rejects
          WHERE {OPEN} GROUP BY reason ORDER BY reason"
    );
    let rows = sqlx::query(&statement).fetch_all(&mut *store.read().await?).await?;
    rows.iter()
        .map(|row| {
            Ok(RejectTotal {
                reason: row.try_get(0)?,
                records: row.try_get(1)?,
                oldest_at: row.try_get(2)?,
            })
        })
        .collect()
}

/// Total amounts debited by replays, by kind.
///
/// # Errors
/// `Unreadable` if a row holds what this program never writes.
pub async fn replayed_amounts(store: &Store) -> Result<Vec<(TransactionKind, Money)>, LedgerError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "/* rejects::replayed_amounts */ SELECT kind::text, amount_micros FROM replayed_amounts",
    )
    .fetch_all(&mut *store.read().await?)
    .await?;
    let read = |(kind, micros): &(String, i64)| {
        let kind = TransactionKind::parse(kind)
            .map_err(|error| LedgerError::unreadable("the kind of a replay", error))?;
        Ok((kind, Money::from_micros(*micros)))
    };
    rows.iter().map(read).collect()
}

/// Total size of the rejected records on disk, in bytes.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn bytes_on_disk(store: &Store) -> Result<i64, StoreError> {
    let row = sqlx::query("/* rejects::bytes_on_disk */ SELECT pg_table_size('rejects')")
        .fetch_one(&mut *store.read().await?)
        .await?;
    Ok(row.try_get(0)?)
}

/// Replays a rejected record under the current rules and limits, in one transaction that also marks
/// it if it is settled. A closed one may be replayed; the audit records that. `value` is the
/// record's value, from [`show`] or from Kafka.
///
/// # Errors
/// Nothing changed; the kind says whether to retry.
pub async fn replay(
    charger: &Charger,
    record: &RejectedRecord,
    value: Option<&[u8]>,
    topic: Topic,
    limits: Limits,
    by: &By,
) -> Result<Replayed, CommitError> {
    let reject = &record.reject;
    let mut connection = charger.store().read().await?;
    let stored = offsets::find(&mut connection, &reject.topic, reject.partition).await?;
    drop(connection);
    let stream: Stream =
        stored.map(|it| it.stream).ok_or(StoreError::Refused(sqlx::Error::RowNotFound))?;
    let event = decode(topic, value.unwrap_or_default(), reject.record_at.unwrap_or(by.at), limits);
    let mut batch = Batch::starting_at(reject.offset);
    batch.push(reject.offset, reject.record_at, event, record.key.as_deref(), value);
    let source = Source::Replay { stream: &stream, reject_id: reject.id, by };
    let committed = charger.commit_batch(source, &batch, by.at, true).await?;
    let outcome = committed.outcomes.first().copied().unwrap_or(Outcome::Rejected);
    let debited = committed.debited();
    let accounts = committed.wallets.into_iter().map(|wallet| wallet.account).collect();
    Ok(Replayed { outcome, debited, accounts })
}
