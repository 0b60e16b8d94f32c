//! An account's state in the ledger, read in one snapshot to be loaded or projected.
//!
//! Reads only. One repeatable-read transaction, so that the version, the balance, the charged calls
//! and the journal's holds belong together.

use callmeter_core::domain::{
    AccountId, AccountStatus, CallSid, CatalogVersion, Money, SubscriptionId, TwilioAccountSid,
};
use callmeter_core::policy::budget::BudgetStop;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};

use super::ended_calls::{self, Mark};
use crate::balance::journal::change::read_sid;
use crate::balance::journal::store as journal;
use crate::balance::model::{BalanceError, CycleRef, Document, Hold, Policy};
use crate::balance::scripts::{Load, Settle, WholeAccount};
use crate::ledger::accounts::OnRedisLoss;
use crate::ledger::store::{Begin, Store, StoreError};
use crate::ledger::watched::{self, Watched};
use crate::ledger::{LedgerError, subscriptions};

/// A call requested now may draw on cycles that started up to this long ago.
const CYCLE_AGE_MAX: TimeDelta = TimeDelta::days(70);
/// Most charges that one projection catches up with; beyond, the account is loaded again.
const CHARGES_MAX: i64 = 10_000;

/// The purpose of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To load the account with its holds.
    Load,
    /// The account alone, without any call.
    Wallet,
    /// To project it, with the calls charged after this number.
    Project {
        /// Number of the last charge that Redis knows.
        charge_sequence: i64,
    },
}

/// One account.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub account: AccountId,
    pub incarnation: i64,
    pub version: i64,
    pub charge_sequence: i64,
    pub balance: Money,
    pub credit_limit: Money,
    /// What is left of a budget that stops calls.
    pub budget: Option<BudgetStop>,
    pub status: AccountStatus,
    pub calls_in_progress_max: Option<i32>,
    pub document: Document,
    pub twilio_account_sids: Vec<TwilioAccountSid>,
    pub cycles: Vec<(CycleRef, u64)>,
    pub holds: Vec<(CallSid, Hold)>,
    /// Calls charged since, or for a load: the last ended calls.
    pub settled: Vec<CallSid>,
    /// How far back those were read, if the last day has more.
    pub unsure: Option<Mark>,
    /// More calls were charged than one projection catches up with.
    pub is_too_far: bool,
}

impl Snapshot {
    pub(crate) fn whole(&self) -> WholeAccount<'_> {
        WholeAccount {
            status: self.status,
            calls_in_progress_max: self.calls_in_progress_max,
            terms_revision: &self.document.revision,
            document: &self.document.text,
            twilio_account_sids: &self.twilio_account_sids,
        }
    }

    /// `unsure` is the snapshot's mark as text.
    pub(crate) fn load<'a>(&'a self, ticket: &'a str, unsure: Option<&'a str>) -> Load<'a> {
        Load {
            account: &self.account,
            ticket,
            account_key: self.document.account_key,
            version: self.version,
            charge_sequence: self.charge_sequence,
            balance: self.balance,
            credit_limit: self.credit_limit,
            budget: self.budget,
            whole: self.whole(),
            cycles: &self.cycles,
            holds: &self.holds,
            settled: &self.settled,
            unsure,
        }
    }

    pub(crate) fn settle(&self, from_version: i64) -> Settle<'_> {
        Settle {
            account: &self.account,
            from_version,
            version: self.version,
            charge_sequence: self.charge_sequence,
            balance: self.balance,
            credit_limit: self.credit_limit,
            budget: self.budget,
            whole: Some(self.whole()),
            cycles: &self.cycles,
            call_sids: &self.settled,
        }
    }
}

/// Reads an account; `None`: there is no such account.
pub(crate) async fn read(
    store: &Store,
    account: &AccountId,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<Option<Snapshot>, BalanceError> {
    let mut reserved = store.for_transaction().await?;
    let mut transaction = reserved.begin(Begin::Snapshot).await?;
    let Some(mut snapshot) = read_wallet(&mut transaction, account).await? else {
        return Ok(None);
    };
    let account_key = snapshot.document.account_key;
    snapshot.cycles = read_cycles(&mut transaction, account_key, now).await?;
    match purpose {
        Purpose::Load => {
            let holds = journal::holds_of(&mut transaction, account_key, now).await?;
            snapshot.holds = holds.open;
            snapshot.settled = holds.charged;
            let mark = Mark::newest(snapshot.charge_sequence);
            let page = ended_calls::read(&mut transaction, account_key, &mark, now).await?;
            snapshot.settled.extend(page.call_sids);
            snapshot.unsure = page.next;
        }
        Purpose::Wallet => {}
        Purpose::Project { charge_sequence } => {
            snapshot.is_too_far = snapshot.charge_sequence - charge_sequence > CHARGES_MAX;
            if !snapshot.is_too_far {
                snapshot.settled =
                    read_charged(&mut transaction, account_key, charge_sequence).await?;
            }
        }
    }
    transaction.rollback().await.map_err(StoreError::from)?;
    Ok(Some(snapshot))
}

async fn read_wallet(
    connection: &mut PgConnection,
    account: &AccountId,
) -> Result<Option<Snapshot>, BalanceError> {
    let row = sqlx::query(
        "-- balance::snapshot, the wallet
         SELECT a.account_key, a.status, a.on_redis_loss, a.redis_loss_cap_micros,
             a.calls_in_progress_max, w.version, w.charge_sequence, w.balance_micros,
             w.credit_limit_micros - w.reserved_micros AS credit_limit_micros, w.sequence,
             w.refill_level_micros, '{}'::bigint[] AS alert_levels, w.budget_micros,
             w.budget_percents, w.budget_stops, w.spent_micros, w.spending_ends_at,
             w.spent_sequence, (SELECT incarnation FROM ledger_identity) AS incarnation,
             (SELECT coalesce(max(version), 0) FROM catalog_versions) AS catalog_version,
             ARRAY(SELECT t.twilio_account_sid FROM twilio_accounts AS t
                   WHERE t.account_key = a.account_key ORDER BY t.twilio_account_key) AS sids
         FROM accounts AS a JOIN wallets AS w USING (account_key) WHERE a.id = $1",
    )
    .bind(account.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let account_key = row.try_get("account_key")?;
    let mut watched = Watched::read(&row)?;
    let wallet = (account_key, row.try_get("sequence")?, &mut watched);
    watched::catch_up(connection, [wallet]).await?;
    let timeline = subscriptions::timeline(connection, account_key).await?;
    let policy: String = row.try_get("on_redis_loss")?;
    let policy = OnRedisLoss::parse(&policy)
        .ok_or_else(|| LedgerError::unreadable("on_redis_loss", &policy))?;
    let cap = Money::from_micros(row.try_get("redis_loss_cap_micros")?);
    let catalog_version = CatalogVersion(row.try_get("catalog_version")?);
    let status: String = row.try_get("status")?;
    let sids: Vec<String> = row.try_get("sids")?;
    let sids: Result<Vec<_>, _> = sids.iter().map(|sid| TwilioAccountSid::parse(sid)).collect();
    let status = AccountStatus::parse(&status)
        .map_err(|error| LedgerError::unreadable("an account's status", error))?;
    let calls_in_progress_max = row.try_get("calls_in_progress_max")?;
    let policy =
        Policy { on_redis_loss: policy, redis_loss_cap: cap, status, calls_in_progress_max };
    Ok(Some(Snapshot {
        account: account.clone(),
        incarnation: row.try_get("incarnation")?,
        version: row.try_get("version")?,
        charge_sequence: row.try_get("charge_sequence")?,
        balance: Money::from_micros(row.try_get("balance_micros")?),
        credit_limit: Money::from_micros(row.try_get("credit_limit_micros")?),
        budget: watched.budget_stop(),
        status,
        calls_in_progress_max,
        document: Document::write(account_key, timeline, policy, catalog_version)?,
        twilio_account_sids: sids
            .map_err(|error| LedgerError::unreadable("an AccountSid", error))?,
        cycles: Vec::new(),
        holds: Vec::new(),
        settled: Vec::new(),
        unsure: None,
        is_too_far: false,
    }))
}

async fn read_cycles(
    connection: &mut PgConnection,
    account_key: i32,
    now: DateTime<Utc>,
) -> Result<Vec<(CycleRef, u64)>, BalanceError> {
    let rows = sqlx::query(
        "-- balance::snapshot, the cycles
         SELECT subscription_id, cycle_start, used_seconds FROM cycles
         WHERE account_key = $1 AND cycle_start > $2",
    )
    .bind(account_key)
    .bind(now - CYCLE_AGE_MAX)
    .fetch_all(connection)
    .await?;
    let cycles = rows.into_iter().map(|row| {
        let subscription = SubscriptionId(row.try_get("subscription_id")?);
        let used: i64 = row.try_get("used_seconds")?;
        let cycle = CycleRef { subscription, start: row.try_get("cycle_start")? };
        Ok((cycle, u64::try_from(used).unwrap_or_default()))
    });
    cycles.collect()
}

async fn read_charged(
    connection: &mut PgConnection,
    account_key: i32,
    after: i64,
) -> Result<Vec<CallSid>, BalanceError> {
    let sids: Vec<String> = sqlx::query_scalar(
        "-- balance::snapshot, the charged calls
         SELECT call_sid FROM charges WHERE account_key = $1 AND charge_sequence > $2",
    )
    .bind(account_key)
    .bind(after)
    .fetch_all(connection)
    .await?;
    sids.iter().map(|sid| read_sid(sid)).collect()
}
