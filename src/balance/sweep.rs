//! The sweep: walks over all wallets in Redis, a page at a time, all the time.
//!
//! At each wallet it releases holds that are due, compares the version with Postgres's and projects
//! the wallet again where it is behind; and it adds up what is held, for the gauges. So projections
//! that were dropped, and those of a process that died, are made up for within a round.

use std::collections::HashMap;
use std::time::Duration;

use callmeter_core::domain::{AccountId, Money};
use redis::Value;
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use super::error::BalanceError;
use super::scripts::{Expire, Standing};
use super::stage::Balance;
use crate::ledger::store::StoreError;
use crate::ledger::{call_tags, incarnation};
use crate::metrics::{HELD_DOLLARS, HOLDS_ACTIVE, HOLDS_EXPIRED, set_dollars};

/// Keys that one step looks through; bounds how long Redis is busy with it.
const KEYS_PER_STEP: usize = 500;
/// Pause between two steps.
const STEP_EVERY: Duration = Duration::from_millis(10);
/// A round begins at most so often.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Holds that one visit releases.
const EXPIRED_PER_VISIT_MAX: u32 = 64;
/// Time between two looks for what is old; what they forget is past its time by an hour or more.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// Rows of the journal, or tags, that are forgotten at once, and how often after one round: together
/// more than can be written meanwhile.
const FORGOTTEN_MAX: i64 = 2_000;
const FORGETS_MAX: u32 = 100;

/// What a round found.
#[derive(Debug, Default)]
struct Round {
    holds: i64,
    held_micros: i64,
}

/// Sweeps until `shutdown`.
pub(super) async fn run(balance: Balance, shutdown: CancellationToken) {
    let mut forget_at = tokio::time::Instant::now();
    loop {
        let began = tokio::time::Instant::now();
        let round = shutdown.run_until_cancelled(round(&balance)).await;
        match round {
            None => return,
            Some(Ok(round)) => {
                let holds = u32::try_from(round.holds).unwrap_or(u32::MAX);
                metrics::gauge!(HOLDS_ACTIVE).set(f64::from(holds));
                set_dollars(HELD_DOLLARS, Money::from_micros(round.held_micros));
            }
            Some(Err(error)) => tracing::debug!(%error, "the sweep waits"),
        }
        if began >= forget_at {
            match shutdown.run_until_cancelled(forget(&balance)).await {
                Some(Ok(())) => forget_at = began + FORGET_EVERY,
                Some(Err(error)) => tracing::debug!(%error, "what is old is not forgotten"),
                None => return,
            }
        }
        let next = began + ROUND_EVERY;
        if shutdown.run_until_cancelled(tokio::time::sleep_until(next)).await.is_none() {
            return;
        }
    }
}

/// Forgets tags that nobody came for, and rows of the journal whose holds are due for long.
async fn forget(balance: &Balance) -> Result<(), StoreError> {
    let is_full = |forgotten: u64| i64::try_from(forgotten).is_ok_and(|it| it == FORGOTTEN_MAX);
    for _ in 0..FORGETS_MAX {
        let now = balance.0.clock.now();
        let tags = call_tags::forget(&balance.0.store, now, FORGOTTEN_MAX).await?;
        let rows = balance.0.journal.forget_expired(FORGOTTEN_MAX).await?;
        if !is_full(tags) && !is_full(rows) {
            break;
        }
    }
    Ok(())
}

async fn round(balance: &Balance) -> Result<Round, BalanceError> {
    match incarnation::current(&balance.0.store).await {
        Ok(incarnation) => balance.saw_incarnation(incarnation),
        // Holds expire also while Postgres is away.
        Err(error) => tracing::debug!(%error, "versions cannot be compared"),
    }
    let mut round = Round::default();
    let mut cursor = 0;
    loop {
        let (next, accounts) = scan(balance, cursor).await?;
        let standings = visit(balance, &accounts).await?;
        for (_, standing) in &standings {
            round.holds += standing.holds;
            round.held_micros += standing.held.micros();
            let expired = u64::try_from(standing.expired).unwrap_or_default();
            metrics::counter!(HOLDS_EXPIRED).increment(expired);
        }
        if let Err(error) = compare(balance, &standings).await {
            tracing::debug!(%error, "versions cannot be compared");
        }
        cursor = next;
        if cursor == 0 {
            return Ok(round);
        }
        tokio::time::sleep(STEP_EVERY).await;
    }
}

/// The next page of wallets; the cursor 0 begins and ends a round.
pub(super) async fn scan(
    balance: &Balance,
    cursor: u64,
) -> Result<(u64, Vec<AccountId>), BalanceError> {
    let mut command = redis::cmd("SCAN");
    command.arg(cursor).arg("MATCH").arg("cm:{*}").arg("COUNT").arg(KEYS_PER_STEP);
    let answer = balance.look(&command).await?;
    let unreadable = || BalanceError::unreadable("SCAN", "no cursor and keys");
    let Value::Array(parts) = answer else { return Err(unreadable()) };
    let [cursor, keys] = <[Value; 2]>::try_from(parts).map_err(|_| unreadable())?;
    let cursor: u64 = redis::from_redis_value(cursor).map_err(|_| unreadable())?;
    let keys: Vec<String> = redis::from_redis_value(keys).map_err(|_| unreadable())?;
    let accounts = keys.iter().filter_map(|key| {
        let id = key.strip_prefix("cm:{")?.strip_suffix('}')?;
        AccountId::parse(id).ok()
    });
    Ok((cursor, accounts.collect()))
}

/// Releases what is due, and looks how the accounts stand.
async fn visit(
    balance: &Balance,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, Standing)>, BalanceError> {
    let visits: Vec<Expire<'_>> =
        accounts.iter().map(|account| Expire { account, most: EXPIRED_PER_VISIT_MAX }).collect();
    let answers = balance.bulk_many(&visits).await?;
    let mut standings = Vec::with_capacity(accounts.len());
    for (account, answer) in accounts.iter().zip(answers) {
        match answer {
            Ok(Some(standing)) => standings.push((account.clone(), standing)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%account, %error, "the wallet in redis cannot be read"),
        }
    }
    Ok(standings)
}

/// Projects again what is behind. Postgres is read after Redis, so it is never behind by itself.
async fn compare(
    balance: &Balance,
    standings: &[(AccountId, Standing)],
) -> Result<(), BalanceError> {
    if standings.is_empty() {
        return Ok(());
    }
    let keys: Vec<i32> = standings.iter().map(|(_, standing)| standing.account_key).collect();
    let rows = sqlx::query(
        "-- balance::sweep
         SELECT account_key, version FROM wallets WHERE account_key = ANY($1)",
    )
    .bind(&keys)
    .fetch_all(&mut *balance.0.store.read().await?)
    .await?;
    let mut versions: HashMap<i32, i64> = HashMap::with_capacity(rows.len());
    for row in rows {
        versions.insert(row.try_get("account_key")?, row.try_get("version")?);
    }
    for (account, standing) in standings {
        if versions.get(&standing.account_key) != Some(&standing.version) {
            balance.refresh(account).await?;
        }
    }
    Ok(())
}
