//! The mender: holds Redis and the journal against each other, account by account, all the time.
//!
//! Holds that the journal lacks are journaled: whoever granted them died before it did, or Postgres was
//! restored from an older backup. Holds that Redis lacks are put back. And calls that are over and that
//! the load after a loss had no room for are brought to Redis. All is read in pages, and after each of
//! them the mender rests for longer than it took, so that it takes but a share of the servers.
//!
//! It must never undo: what it writes is refused where a later change stands.

mod journaled;
mod standing;

use std::time::Duration;

use callmeter_core::domain::AccountId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::BalanceError;
use super::over::{self, Mark};
use super::scripts::{Expire, Remember, Standing};
use super::stage::Balance;
use super::sweep::scan;

pub(super) use journaled::{JournalPages, lacking};

/// A round begins at most so often.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Rest after a page, at least; and how many times what it took.
const REST: Duration = Duration::from_millis(10);
const REST_SHARE: u32 = 10;
/// Holds of one page, of all its accounts together.
const PAGE: usize = 500;
/// Holds of one account on a page, at least.
const PAGE_OF_ONE: usize = 20;

/// Mends until `shutdown`.
pub(super) async fn run(balance: Balance, shutdown: CancellationToken) {
    loop {
        let began = Instant::now();
        match shutdown.run_until_cancelled(round(&balance)).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "the mender waits"),
        }
        let next = began + ROUND_EVERY;
        if shutdown.run_until_cancelled(tokio::time::sleep_until(next)).await.is_none() {
            return;
        }
    }
}

async fn round(balance: &Balance) -> Result<(), BalanceError> {
    balance.greet().await?;
    let mut cursor = 0;
    loop {
        let began = Instant::now();
        let (next, ids) = scan(balance, cursor).await?;
        let accounts = look(balance, &ids).await?;
        rest(began).await;
        for (account, standing) in &accounts {
            if let Some(mark) = &standing.unsure {
                bring_what_is_over(balance, account, standing.account_key, mark).await?;
            }
        }
        let holding = accounts.iter().filter(|(_, standing)| standing.holds > 0);
        let holding = holding.map(|(account, _)| (*account).clone()).collect();
        standing::journal_what_is_missing(balance, holding).await?;
        let all = accounts.iter().map(|(account, _)| (*account).clone()).collect();
        put_back(balance, all).await?;
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

async fn rest(began: Instant) {
    tokio::time::sleep(REST.max(began.elapsed() * REST_SHARE)).await;
}

/// Holds of each of so many accounts on one page.
fn share(accounts: usize) -> usize {
    (PAGE / accounts.max(1)).max(PAGE_OF_ONE)
}

async fn look<'a>(
    balance: &Balance,
    ids: &'a [AccountId],
) -> Result<Vec<(&'a AccountId, Standing)>, BalanceError> {
    let looks: Vec<_> = ids.iter().map(|account| Expire { account, most: 0 }).collect();
    let answers = balance.bulk_many(&looks).await?;
    // What cannot be read is told by the sweep.
    let known = ids.iter().zip(answers);
    Ok(known.filter_map(|(account, answer)| Some((account, answer.ok().flatten()?))).collect())
}

/// Puts back what Redis lacks of the journal's holds.
async fn put_back(balance: &Balance, accounts: Vec<AccountId>) -> Result<(), BalanceError> {
    let mut pages = JournalPages::of(accounts, balance.0.clock.now());
    loop {
        let began = Instant::now();
        let Some(page) = pages.next(balance).await? else { return Ok(()) };
        let lacking = lacking(balance, &page).await?;
        if !lacking.is_empty() {
            tracing::warn!(holds = lacking.len(), "redis lacks holds of the journal");
            balance.restore(&lacking).await?;
        }
        rest(began).await;
    }
}

/// Brings the calls that are over and that Redis does not know yet, page by page.
async fn bring_what_is_over(
    balance: &Balance,
    account: &AccountId,
    account_key: i32,
    mark: &str,
) -> Result<(), BalanceError> {
    let mut unsure = mark.to_owned();
    while let Some(mark) = Mark::parse(&unsure) {
        let began = Instant::now();
        let now = balance.0.clock.now();
        let mut connection = balance.0.store.read().await?;
        let page = over::read(&mut connection, account_key, &mark, now).await?;
        drop(connection);
        let next = page.next.map(|mark| mark.to_string());
        let settled = &page.call_sids;
        let remember = Remember { account, unsure: &unsure, next: next.as_deref(), settled };
        let was_next = balance.bulk(&remember).await?;
        rest(began).await;
        match next {
            Some(next) if was_next => unsure = next,
            _ => return Ok(()),
        }
    }
    Ok(())
}
