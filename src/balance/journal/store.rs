//! All SQL on the journal of holds: the table `hold_changes` with its partitions, and the views
//! `hold_states` (the last change of each call) and `open_holds` (neither voided nor charged).
//!
//! Rows are appended and never changed; of a call's rows the highest revision counts. So writers
//! never wait for each other, and writing a change twice changes nothing.

use std::collections::HashMap;
use std::ops::Range;

use callmeter_core::domain::{AccountId, CallSid, Money};
use chrono::{DateTime, Utc};
use sqlx::{Executor as _, PgConnection, Row as _, postgres::PgRow};

use super::accounts::AccountKeys;
use super::change::{AccountHolds, After, CallChange, Change, Expired, Known, hold, place, sid};
use crate::balance::model::{BalanceError, Hold};
use crate::ledger::copy::CopyRows;
use crate::ledger::store::{Begin, Store, StoreError};

/// Appends changes; skips those of accounts that the ledger does not have.
pub(super) async fn append(
    store: &Store,
    keys: &mut AccountKeys,
    changes: impl Iterator<Item = &CallChange> + Clone + Send,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut reserved = store.for_transaction().await?;
    let mut transaction = reserved.begin(Begin::Usual).await?;
    let accounts = changes.clone().map(|change| &change.account);
    let keys = keys.read(&mut transaction, accounts).await?;
    let statement = "/* balance::journal */ COPY hold_changes
        (account_key, call_sid, revision, granted_by, money_micros, hold, expires_at, journaled_at)
        FROM STDIN BINARY";
    let mut copy = CopyRows::begin(&mut transaction, statement, 8).await?;
    for (CallChange { call_sid, change, .. }, key) in changes.zip(keys) {
        let Some(key) = key else { continue };
        let hold = change.hold();
        copy.row()
            .int4(key)
            .text(call_sid.as_str())
            .int8(change.revision())
            .optional(hold, |row, hold| row.text(hold.granted_by.as_str()))
            .optional(hold, |row, hold| row.money(hold.money))
            .optional(hold, |row, hold| row.text(&hold.pack()))
            .instant(change.expires_at(now))
            .instant(now);
        copy.send().await?;
    }
    copy.finish().await?;
    Ok(transaction.commit().await?)
}

/// Appends a grant by Postgres; false: the call has a hold or void that is not due or is later.
pub(crate) async fn grant(
    connection: &mut PgConnection,
    account_key: i32,
    call_sid: &CallSid,
    hold: &Hold,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let written = sqlx::query(
        "-- balance::journal, grant
         INSERT INTO hold_changes
             (account_key, call_sid, revision, granted_by, money_micros, hold, expires_at, journaled_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8
         WHERE NOT EXISTS (
             SELECT FROM hold_states
             WHERE account_key = $1 AND call_sid = $2 AND (expires_at > $8 OR revision >= $3))",
    )
    .bind(account_key)
    .bind(call_sid.as_str())
    .bind(hold.revision)
    .bind(hold.granted_by.as_str())
    .bind(hold.money.micros())
    .bind(hold.pack())
    .bind(hold.expires_at)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Checks that the journal can be written: waits up to a second for the table's lock.
pub(crate) async fn probe(store: &Store) -> Result<(), StoreError> {
    let mut reserved = store.for_transaction().await?;
    let mut transaction = reserved.begin(Begin::Usual).await?;
    let statements = "-- balance::probe
         SET LOCAL lock_timeout = '1s';
         LOCK TABLE hold_changes IN ROW EXCLUSIVE MODE";
    transaction.execute(statements).await?;
    Ok(transaction.commit().await?)
}

/// The holds that a load of the account needs.
pub(crate) async fn holds_of(
    connection: &mut PgConnection,
    account_key: i32,
    now: DateTime<Utc>,
) -> Result<AccountHolds, BalanceError> {
    let rows = sqlx::query(
        "-- balance::journal, the holds of an account
         SELECT call_sid, hold, is_charged(account_key, call_sid) AS is_charged FROM hold_states
         WHERE account_key = $1 AND hold IS NOT NULL AND expires_at > $2",
    )
    .bind(account_key)
    .bind(now)
    .fetch_all(connection)
    .await?;
    let mut holds = AccountHolds::default();
    for row in &rows {
        if row.try_get("is_charged")? {
            holds.charged.push(sid(row)?);
        } else {
            holds.open.push((sid(row)?, hold(row)?));
        }
    }
    Ok(holds)
}

/// A page of voided calls, the last ones first: those before this time and call.
pub(crate) async fn voided(
    connection: &mut PgConnection,
    account_key: i32,
    before: (DateTime<Utc>, &str),
    most: i64,
    now: DateTime<Utc>,
) -> Result<Vec<(CallSid, DateTime<Utc>)>, BalanceError> {
    let rows = sqlx::query(
        "-- balance::journal, the voids of an account
         SELECT call_sid, expires_at FROM hold_states
         WHERE account_key = $1 AND hold IS NULL AND expires_at > $2 AND (expires_at, call_sid) < ($3, $4)
         ORDER BY expires_at DESC, call_sid DESC LIMIT $5",
    )
    .bind(account_key)
    .bind(now)
    .bind(before.0)
    .bind(before.1)
    .bind(most)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((sid(row)?, row.try_get("expires_at")?))).collect()
}

/// Whether a call ended: it is charged or voided.
pub(crate) async fn has_ended(
    store: &Store,
    account_key: i32,
    call_sid: &CallSid,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let has_ended = sqlx::query_scalar(
        "-- balance::has_ended
         SELECT is_charged($1, $2) OR EXISTS (
             SELECT FROM hold_states
             WHERE account_key = $1 AND call_sid = $2 AND hold IS NULL AND expires_at > $3)",
    );
    let has_ended = has_ended.bind(account_key).bind(call_sid.as_str()).bind(now);
    Ok(has_ended.fetch_one(&mut *store.read().await?).await?)
}

/// Reads the facts that decide about a call while Redis is away since `since`, in micro-seconds.
pub(crate) async fn known(
    connection: &mut PgConnection,
    account_key: i32,
    call_sid: &CallSid,
    counts_holds: bool,
    since: i64,
    now: DateTime<Utc>,
) -> Result<Known, BalanceError> {
    let row = sqlx::query(
        "-- balance::journal, what is known of a call
         WITH own AS (
             SELECT hold FROM hold_states WHERE account_key = $1 AND call_sid = $2 AND expires_at > $3),
         charged AS (SELECT is_charged($1, $2) AS it)
         SELECT (SELECT hold FROM own WHERE NOT (SELECT it FROM charged)) AS hold,
             (SELECT it FROM charged) OR EXISTS (SELECT FROM own WHERE hold IS NULL) AS has_ended,
             CASE WHEN $4 THEN (
                 SELECT count(*) FROM open_holds WHERE account_key = $1 AND expires_at > $3)
             ELSE 0 END AS holds,
             CASE WHEN $4 THEN (
                 SELECT coalesce(sum(money_micros), 0)::bigint FROM open_holds
                 WHERE account_key = $1 AND expires_at > $3)
             ELSE 0 END AS held,
             (SELECT coalesce(sum(money_micros), 0)::bigint FROM hold_states
              WHERE account_key = $1 AND granted_by = 'postgres' AND revision > $5) AS spent",
    )
    .bind(account_key)
    .bind(call_sid.as_str())
    .bind(now)
    .bind(counts_holds)
    .bind(since)
    .fetch_one(connection)
    .await?;
    Ok(Known {
        standing: row.try_get::<Option<&str>, _>("hold")?.map(Hold::unpack).transpose()?,
        has_ended: row.try_get("has_ended")?,
        holds: row.try_get("holds")?,
        held: Money::from_micros(row.try_get("held")?),
        spent: Money::from_micros(row.try_get("spent")?),
    })
}

/// The next calls of each account with a hold, charged or not, in the order of expiry; and where to
/// read on.
pub(crate) async fn next_holds(
    store: &Store,
    after: &[After],
    most: usize,
) -> Result<(HashMap<AccountId, Vec<CallSid>>, Vec<After>), BalanceError> {
    let ids: Vec<&str> = after.iter().map(|(account, ..)| account.as_str()).collect();
    let instants: Vec<DateTime<Utc>> = after.iter().map(|(_, at, _)| *at).collect();
    let calls: Vec<&str> = after.iter().map(|(.., call)| call.as_str()).collect();
    let rows = sqlx::query(
        "-- balance::journal, a page of holds
         SELECT n.place, j.call_sid, j.expires_at
         FROM unnest($1::text[], $2::timestamptz[], $3::text[]) WITH ORDINALITY
             AS n (id, expires_at, call_sid, place) JOIN accounts AS a ON a.id = n.id
         CROSS JOIN LATERAL (
             SELECT call_sid, expires_at FROM hold_changes
             WHERE account_key = a.account_key AND hold IS NOT NULL
               AND (expires_at, call_sid) > (n.expires_at, n.call_sid)
             ORDER BY expires_at, call_sid LIMIT $4) AS j
         ORDER BY n.place, j.expires_at, j.call_sid",
    )
    .bind(&ids)
    .bind(&instants)
    .bind(&calls)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(&mut *store.read().await?)
    .await?;
    let mut page: HashMap<AccountId, Vec<CallSid>> = HashMap::new();
    let mut more = Vec::new();
    for row in &rows {
        let Some((account, ..)) = place(row)?.and_then(|place| after.get(place)) else { continue };
        let calls = page.entry(account.clone()).or_default();
        if calls.len() + 1 == most {
            let call = row.try_get("call_sid")?;
            more.push((account.clone(), row.try_get("expires_at")?, call));
        }
        calls.push(sid(row)?);
    }
    Ok((page, more))
}

/// The holds of these calls that are neither voided nor charged.
pub(crate) async fn open_holds(
    store: &Store,
    calls: &[(AccountId, String)],
) -> Result<Vec<CallChange>, BalanceError> {
    let rows = of_calls(
        store,
        calls.iter().map(|(account, call)| (account.as_str(), call.as_str())),
        "-- balance::journal, open holds
         SELECT n.place, j.call_sid, j.hold
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (id, call_sid, place)
         JOIN accounts AS a ON a.id = n.id
         JOIN open_holds AS j ON j.account_key = a.account_key AND j.call_sid = n.call_sid",
    )
    .await?;
    let changes = rows.iter().map(|row| {
        let Some((account, _)) = place(row)?.and_then(|place| calls.get(place)) else {
            return Ok(None);
        };
        let change = Change::Held(hold(row)?);
        Ok(Some(CallChange { account: account.clone(), call_sid: sid(row)?, change }))
    });
    changes.filter_map(Result::transpose).collect()
}

/// The last revision of each of these calls, and whether it is a void; `None`: there is no row.
pub(crate) async fn revisions(
    store: &Store,
    calls: &[CallChange],
) -> Result<Vec<Option<(i64, bool)>>, BalanceError> {
    let rows = of_calls(
        store,
        calls.iter().map(|it| (it.account.as_str(), it.call_sid.as_str())),
        "-- balance::journal, revisions
         SELECT n.place, j.revision, j.hold IS NULL AS is_void
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (id, call_sid, place)
         JOIN accounts AS a ON a.id = n.id
         JOIN hold_states AS j ON j.account_key = a.account_key AND j.call_sid = n.call_sid",
    )
    .await?;
    let mut revisions = vec![None; calls.len()];
    for row in &rows {
        if let Some(revision) = place(row)?.and_then(|place| revisions.get_mut(place)) {
            *revision = Some((row.try_get("revision")?, row.try_get("is_void")?));
        }
    }
    Ok(revisions)
}

/// Rows about these calls: the statement gets the accounts and the `CallSid`s.
async fn of_calls<'a>(
    store: &Store,
    calls: impl Iterator<Item = (&'a str, &'a str)>,
    statement: &'static str,
) -> Result<Vec<PgRow>, StoreError> {
    let (ids, sids): (Vec<&str>, Vec<&str>) = calls.unzip();
    let rows = sqlx::query(statement).bind(&ids).bind(&sids);
    Ok(rows.fetch_all(&mut *store.read().await?).await?)
}

/// Notes a page of expired holds whose calls are not charged in `expired_holds`: those of a
/// partition, or of the whole table. Returns how many are new, and where the next page begins.
/// The table `expired_holds` belongs to `src/sweep`; this only adds rows.
pub(super) async fn note_expired(
    store: &Store,
    partition: &str,
    expired: &Range<DateTime<Utc>>,
    after: &Expired,
    most: i64,
    now: DateTime<Utc>,
) -> Result<(i64, Option<Expired>), StoreError> {
    // Account by account: an index by expiry alone is not needed. `is_charged` costs a call for each row.
    let statement = format!(
        "-- balance::note_expired
         WITH page AS MATERIALIZED (
             SELECT a.account_key, h.call_sid, h.revision, h.change_id, h.expires_at
             FROM accounts AS a CROSS JOIN LATERAL (
                 SELECT call_sid, revision, change_id, expires_at FROM {partition}
                 WHERE account_key = a.account_key AND hold IS NOT NULL
                   AND expires_at >= $2 AND expires_at < $7
                   AND expires_at >= CASE WHEN a.account_key = $3 THEN $4 ELSE $2 END
                   AND (a.account_key, expires_at, call_sid) > ($3, $4, $5)
                 ORDER BY expires_at, call_sid LIMIT $6) AS h
             WHERE a.account_key >= $3 ORDER BY a.account_key, h.expires_at, h.call_sid LIMIT $6),
         noted AS (
             INSERT INTO expired_holds (account_key, call_sid, expired_at, next_attempt_at)
             SELECT p.account_key, p.call_sid, p.expires_at, $1 FROM page AS p
             WHERE NOT EXISTS (
                 SELECT FROM hold_changes AS later
                 WHERE later.account_key = p.account_key AND later.call_sid = p.call_sid
                   AND (later.revision, later.change_id) > (p.revision, p.change_id) OFFSET 0)
               AND NOT EXISTS (
                 SELECT FROM twilio_accounts JOIN call_keys AS k USING (account_key, twilio_account_key)
                 WHERE account_key = p.account_key AND k.call_key = call_key_of(p.call_sid) OFFSET 0)
             ON CONFLICT ON CONSTRAINT expired_holds_pk DO NOTHING RETURNING 1)
         SELECT (SELECT count(*) FROM page) AS looked, (SELECT count(*) FROM noted) AS noted, last.*
         FROM (SELECT 1) AS one LEFT JOIN (SELECT account_key, expires_at, call_sid FROM page
             ORDER BY account_key DESC, expires_at DESC, call_sid DESC LIMIT 1) AS last ON true"
    );
    let mut reserved = store.for_transaction().await?;
    let mut transaction = reserved.begin(Begin::Usual).await?;
    let row = sqlx::query(&statement)
        .bind(now)
        .bind(expired.start)
        .bind(after.0)
        .bind(after.1)
        .bind(&after.2)
        .bind(most)
        .bind(expired.end)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let is_last = row.try_get::<i64, _>("looked")? < most;
    let next =
        || Ok((row.try_get("account_key")?, row.try_get("expires_at")?, row.try_get("call_sid")?));
    let more: Result<Option<Expired>, sqlx::Error> = (!is_last).then(next).transpose();
    Ok((row.try_get("noted")?, more?))
}

/// Creates the partitions of a day and of so many behind it.
pub(super) async fn make_days(
    store: &Store,
    first: DateTime<Utc>,
    more: i32,
) -> Result<u64, StoreError> {
    let sql = "-- balance::partitions, ahead
         SELECT ensure_hold_changes_partition($1::timestamptz + n * interval '1 day')
         FROM generate_series(0, $2) AS n";
    store.execute("balance::partitions", || sqlx::query(sql).bind(first).bind(more)).await
}

/// The names of the partitions.
pub(super) async fn days(store: &Store) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar(
        "-- balance::partitions
         SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'hold_changes'::regclass ORDER BY 1",
    );
    Ok(names.fetch_all(&mut *store.read().await?).await?)
}

/// Deletes what expired before, of the rows whose day had no partition.
pub(super) async fn forget(store: &Store, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let sql = "/* balance::partitions */ DELETE FROM hold_changes_default WHERE expires_at < $1";
    store.execute("balance::partitions", || sqlx::query(sql).bind(before)).await
}

/// Drops a partition; if somebody uses it now, a later look drops it.
pub(super) async fn drop_day(store: &Store, name: &str) -> Result<(), StoreError> {
    let mut reserved = store.for_transaction().await?;
    let mut transaction = reserved.begin(Begin::Usual).await?;
    transaction.execute("/* balance::drop_partition */ SET LOCAL lock_timeout = '200ms'").await?;
    let sql = format!("/* balance::drop_partition */ DROP TABLE IF EXISTS {name}");
    transaction.execute(sql.as_str()).await?;
    Ok(transaction.commit().await?)
}
