//! Holds that stand in Redis, and what the journal says of them.

use callmeter_core::domain::{AccountId, CallSid};
use sqlx::Row;
use tokio::time::Instant;

use super::super::error::BalanceError;
use super::super::hold::Hold;
use super::super::journal::LateChange;
use super::super::scripts::Holds;
use super::super::snapshot::read_sid;
use super::super::stage::Balance;
use super::{rest, share};

/// A hold that was changed so short ago is being journaled by whoever granted it.
const SETTLING_MICROS: i64 = 500_000;

/// A hold as it stands in Redis.
struct Standing {
    account: AccountId,
    call_sid: CallSid,
    hold: Hold,
}

/// Journals what stands in Redis and the journal lacks, and voids what the journal knows to be voided.
pub(super) async fn journal_what_is_missing(
    balance: &Balance,
    accounts: Vec<AccountId>,
) -> Result<(), BalanceError> {
    let mut left: Vec<_> = accounts.into_iter().map(|account| (account, "0".to_owned())).collect();
    while !left.is_empty() {
        let began = Instant::now();
        let (standing, more) = read_page(balance, &left).await?;
        compare(balance, standing).await?;
        left = more;
        rest(began).await;
    }
    Ok(())
}

/// The next holds of each account, and where to read on.
async fn read_page(
    balance: &Balance,
    left: &[(AccountId, String)],
) -> Result<(Vec<Standing>, Vec<(AccountId, String)>), BalanceError> {
    let count = share(left.len());
    let reads: Vec<_> =
        left.iter().map(|(account, cursor)| Holds { account, cursor, count }).collect();
    let latest = balance.0.clock.now().timestamp_micros() - SETTLING_MICROS;
    let (mut standing, mut more) = (Vec::new(), Vec::new());
    for ((account, _), answer) in left.iter().zip(balance.bulk_many(&reads).await?) {
        let some = answer?;
        for (call_sid, hold) in some.holds {
            if hold.revision < latest {
                let (account, call_sid) = (account.clone(), read_sid(&call_sid)?);
                standing.push(Standing { account, call_sid, hold });
            }
        }
        more.extend(some.cursor.map(|cursor| (account.clone(), cursor)));
    }
    Ok((standing, more))
}

async fn compare(balance: &Balance, standing: Vec<Standing>) -> Result<(), BalanceError> {
    if standing.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = standing.iter().map(|it| it.account.as_str()).collect();
    let sids: Vec<&str> = standing.iter().map(|it| it.call_sid.as_str()).collect();
    let revisions: Vec<i64> = standing.iter().map(|it| it.hold.revision).collect();
    let rows = sqlx::query(
        "-- balance::mend, what the journal lacks
         SELECT n.place, j.revision IS NOT NULL AND j.hold IS NULL AND j.revision > n.revision AS is_voided
         FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY
             AS n (id, call_sid, revision, place) JOIN accounts AS a ON a.id = n.id
         LEFT JOIN hold_journal AS j ON j.account_key = a.account_key AND j.call_sid = n.call_sid
         WHERE j.revision IS NULL OR j.revision < n.revision OR j.hold IS NULL",
    )
    .bind(&ids)
    .bind(&sids)
    .bind(&revisions)
    .fetch_all(&mut *balance.0.store.read().await?)
    .await?;
    let mut voided = Vec::new();
    let mut missing = 0;
    for row in &rows {
        let place = usize::try_from(row.try_get::<i64, _>("place")? - 1).unwrap_or(usize::MAX);
        let Some(Standing { account, call_sid, hold }) = standing.get(place) else { continue };
        if row.try_get("is_voided")? {
            let (account, call_sid) = (account.clone(), call_sid.clone());
            voided.push(LateChange { account, call_sid, hold: None });
        } else if balance.0.journal.has_room(account) {
            missing += 1;
            balance.0.journal.placed(account, call_sid, hold, true, Instant::now());
        }
    }
    if missing > 0 {
        tracing::warn!(holds = missing, "the journal lacks holds of redis");
    }
    balance.restore(&voided).await
}
