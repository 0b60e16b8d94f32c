//! The patrol: one round over all wallets in Redis, all the time.
//!
//! At each wallet it releases holds that are due, compares the version with Postgres's, and
//! projects the wallet again if it is behind. Then it compares holds with the journal, repairs both
//! sides, brings ended calls that did not fit into a load, and deletes old data. So it makes up for
//! everything that was dropped, or that a dead process left undone.
//!
//! Comparing holds takes the longest. It pauses for longer than it works, and is interrupted when
//! the next look at the wallets is due; the remaining wallets have their turn after that.

use std::collections::VecDeque;
use std::time::Duration;

use callmeter_core::domain::{AccountId, Money};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::balance::journal::days;
use crate::balance::model::BalanceError;
use crate::balance::projection::ended_calls::{self, Mark};
use crate::balance::repair::compare::Comparison;
use crate::balance::scripts::{Expire, Remember, Standing};
use crate::balance::state::Balance;
use crate::clock::beat;
use crate::ledger::store::StoreError;
use crate::ledger::{call_tags, incarnation, wallets};
use crate::metrics::{HELD_DOLLARS, HOLDS_ACTIVE, HOLDS_EXPIRED, set_dollars};

/// Least time between the starts of two rounds.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Time between two looks for old data: past days of the journal, and tags that no charge used.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// Keys that one step looks through; bounds how long Redis is busy with it.
const KEYS_PER_STEP: usize = 500;
/// Pause between two steps.
const STEP_EVERY: Duration = Duration::from_millis(10);
/// Pause after a page of holds: at least this long, and this multiple of the time that the page
/// took.
const REST: Duration = Duration::from_millis(10);
const REST_SHARE: u32 = 10;
/// Holds that one visit releases.
const EXPIRED_PER_VISIT_MAX: u32 = 64;
/// Tags that one statement deletes, and statements of one look: together more than can be written
/// in between.
const FORGOTTEN_MAX: i64 = 2_000;
const FORGETS_MAX: u32 = 100;

/// The sums of one look at all wallets.
#[derive(Debug, Default)]
struct Sums {
    holds: i64,
    held_micros: i64,
}

/// The visited wallets whose holds are still to be compared.
#[derive(Debug, Default)]
struct Holds {
    pages: VecDeque<Vec<(AccountId, Standing)>>,
    comparison: Option<Comparison>,
    /// Accounts of which Redis lacks ended calls, and how far back it knows them.
    unsure: Vec<(AccountId, i32, Mark)>,
}

/// Patrols until `shutdown`.
pub(crate) async fn run(balance: Balance, shutdown: CancellationToken) {
    let endless = async {
        let mut holds = Holds::default();
        let mut forget_at = Instant::now();
        loop {
            let next = Instant::now() + ROUND_EVERY;
            match round(&balance, &mut holds, next).await {
                Ok(sums) => {
                    let active = u32::try_from(sums.holds).unwrap_or(u32::MAX);
                    metrics::gauge!(HOLDS_ACTIVE).set(f64::from(active));
                    set_dollars(HELD_DOLLARS, Money::from_micros(sums.held_micros));
                }
                Err(error) => {
                    tracing::debug!(%error, "the patrol waits");
                    holds = Holds::default();
                }
            }
            if Instant::now() >= forget_at {
                match forget(&balance).await {
                    Ok(()) => forget_at = Instant::now() + FORGET_EVERY,
                    Err(error) => tracing::debug!(%error, "old data could not be deleted"),
                }
            }
            beat(ROUND_EVERY).await;
        }
    };
    let _: Option<()> = shutdown.run_until_cancelled(Box::pin(endless)).await;
}

async fn round(balance: &Balance, holds: &mut Holds, next: Instant) -> Result<Sums, BalanceError> {
    balance.0.redis.greet().await?;
    let sums = visit_all(balance, holds).await?;
    // Postgres may be away; the wallets were visited even so.
    if let Err(error) = holds.compare(balance, next).await {
        tracing::debug!(%error, "holds cannot be compared");
        *holds = Holds::default();
    }
    Ok(sums)
}

/// Visits every wallet. They are queued for comparison if none is left of the visit before.
async fn visit_all(balance: &Balance, holds: &mut Holds) -> Result<Sums, BalanceError> {
    match incarnation::current(&balance.0.store).await {
        Ok(incarnation) => balance.0.redis.saw_incarnation(incarnation),
        // Holds expire also while Postgres is away.
        Err(error) => tracing::debug!(%error, "versions cannot be compared"),
    }
    let are_compared = holds.pages.is_empty();
    let mut sums = Sums::default();
    let mut cursor = 0;
    loop {
        let (next, accounts) = balance.0.redis.scan(cursor, KEYS_PER_STEP).await?;
        let standings = visit(balance, &accounts).await?;
        for (_, standing) in &standings {
            sums.holds += standing.holds;
            sums.held_micros += standing.held.micros();
            let expired = u64::try_from(standing.expired).unwrap_or_default();
            metrics::counter!(HOLDS_EXPIRED).increment(expired);
        }
        if let Err(error) = compare_versions(balance, &standings).await {
            tracing::debug!(%error, "versions cannot be compared");
        }
        if are_compared && !standings.is_empty() {
            holds.pages.push_back(standings);
        }
        cursor = next;
        if cursor == 0 {
            return Ok(sums);
        }
        tokio::time::sleep(STEP_EVERY).await;
    }
}

/// Releases holds that are due, and reads the accounts' state.
async fn visit(
    balance: &Balance,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, Standing)>, BalanceError> {
    let visits: Vec<Expire<'_>> =
        accounts.iter().map(|account| Expire { account, most: EXPIRED_PER_VISIT_MAX }).collect();
    let answers = balance.0.redis.bulk_many(&visits).await?;
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

/// Projects wallets again that are behind. Postgres is read after Redis, so it is never the one
/// behind.
async fn compare_versions(
    balance: &Balance,
    standings: &[(AccountId, Standing)],
) -> Result<(), BalanceError> {
    if standings.is_empty() {
        return Ok(());
    }
    let keys: Vec<i32> = standings.iter().map(|(_, standing)| standing.account_key).collect();
    let versions = wallets::versions(&mut *balance.0.store.read().await?, &keys).await?;
    for (account, standing) in standings {
        if versions.get(&standing.account_key) != Some(&standing.version) {
            balance.refresh(account).await?;
        }
    }
    Ok(())
}

impl Holds {
    /// Compares page after page until `next`, but one at least, and pauses after each.
    async fn compare(&mut self, balance: &Balance, next: Instant) -> Result<(), BalanceError> {
        loop {
            let began = Instant::now();
            if let Some((account, key, mark)) = self.unsure.pop() {
                if let Some(mark) = bring_ended_calls(balance, &account, key, &mark).await? {
                    self.unsure.push((account, key, mark));
                }
            } else if let Some(comparison) = &mut self.comparison {
                let Some(differences) = comparison.next(balance).await? else {
                    self.comparison = None;
                    continue;
                };
                balance.repair(differences).await?;
            } else if let Some(page) = self.pages.pop_front() {
                self.begin(balance, page);
                continue;
            } else {
                return Ok(());
            }
            tokio::time::sleep(REST.max(began.elapsed() * REST_SHARE)).await;
            if Instant::now() >= next {
                return Ok(());
            }
        }
    }

    fn begin(&mut self, balance: &Balance, page: Vec<(AccountId, Standing)>) {
        let unsure = page.iter().filter_map(|(account, standing)| {
            let mark = Mark::parse(standing.unsure.as_ref()?)?;
            Some((account.clone(), standing.account_key, mark))
        });
        self.unsure = unsure.collect();
        let holding = page.iter().filter(|(_, standing)| standing.holds > 0);
        let holding = holding.map(|(account, _)| account.clone()).collect();
        let all = page.into_iter().map(|(account, _)| account).collect();
        self.comparison = Some(Comparison::new(holding, all, balance.0.clock.now()));
    }
}

/// Brings a page of ended calls that Redis does not know yet; returns where to read on.
async fn bring_ended_calls(
    balance: &Balance,
    account: &AccountId,
    account_key: i32,
    mark: &Mark,
) -> Result<Option<Mark>, BalanceError> {
    let now = balance.0.clock.now();
    let mut connection = balance.0.store.read().await?;
    let page = ended_calls::read(&mut connection, account_key, mark, now).await?;
    drop(connection); // It is not kept while Redis answers.
    let (unsure, next) = (&mark.to_string(), page.next.as_ref().map(ToString::to_string));
    let remember = Remember { account, unsure, next: next.as_deref(), settled: &page.call_sids };
    let was_next = balance.0.redis.bulk(&remember).await?;
    Ok(page.next.filter(|_| was_next))
}

/// Deletes tags that no charge used, and past days of the journal.
async fn forget(balance: &Balance) -> Result<(), StoreError> {
    let (store, now) = (&balance.0.store, balance.0.clock.now());
    for _ in 0..FORGETS_MAX {
        let tags = call_tags::forget(store, now, FORGOTTEN_MAX).await?;
        if i64::try_from(tags).is_ok_and(|tags| tags < FORGOTTEN_MAX) {
            break;
        }
    }
    days::keep(store, now).await
}
