//! Compares Redis with Postgres for `callmeter verify`: sums over holds, versions, balances, used
//! seconds, and holds of the journal that Redis lacks.
//!
//! It may run beside a working service. A wallet is compared only once its version is Postgres's;
//! one that stays behind for longer than the patrol takes is projected here, as the patrol would.
//! An absent wallet is no drift, nor is one that no script uses: of another epoch or incarnation,
//! or torn.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use callmeter_core::domain::{AccountId, Money};

use futures::{StreamExt as _, TryStreamExt as _};

use super::compare::{Comparison, Difference};
use crate::balance::model::{BalanceError, Hold};
use crate::balance::projection::snapshot::{Purpose, Snapshot};
use crate::balance::scripts::{Standing, inspect, keys, written_budget};
use crate::balance::state::Balance;

/// Keys that one step looks through.
const KEYS_PER_STEP: usize = 500;
/// Accounts that are compared at the same time.
const AT_ONCE: usize = 8;
/// After this many looks a wallet that is behind is projected.
const LOOKS_FOR_THE_PATROL: u32 = 8;
/// Most looks at a wallet until its version is Postgres's.
const LOOKS_MAX: u32 = 20;
/// Time between two looks; all of them are longer than a round of the patrol.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One thing in which Redis differs from Postgres, or from itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The account.
    pub account: AccountId,
    /// What differs.
    pub what: String,
    /// The difference, if it is money.
    pub amount: Money,
}

impl fmt::Display for Drift {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "account {}: {}", self.account, self.what)
    }
}

/// The fields and holds of one account, read in one step.
struct Contents {
    fields: BTreeMap<String, String>,
    holds: BTreeMap<String, String>,
    expiries: i64,
}

impl Balance {
    /// Compares every account in Redis with Postgres; returns the differences.
    ///
    /// # Errors
    /// If Redis or Postgres fails.
    pub async fn verify(&self) -> Result<Vec<Drift>, BalanceError> {
        let mut drift = Vec::new();
        let mut cursor = 0;
        loop {
            let (next, accounts) = self.0.redis.scan(cursor, KEYS_PER_STEP).await?;
            let accounts = accounts.into_iter().map(|account| self.verify_account(account));
            let mut verified = futures::stream::iter(accounts).buffer_unordered(AT_ONCE);
            while let Some(found) = verified.try_next().await? {
                drift.extend(found);
            }
            cursor = next;
            if cursor == 0 {
                return Ok(drift);
            }
        }
    }

    async fn verify_account(&self, account: AccountId) -> Result<Vec<Drift>, BalanceError> {
        let account = &account;
        if self.0.redis.bulk(&inspect(account)).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut drift = self.verify_holds(account).await?;
        drift.extend(self.verify_journal(account).await?);
        for look in 1..=LOOKS_MAX {
            let Some(standing) = self.0.redis.bulk(&inspect(account)).await? else {
                return Ok(drift);
            };
            let Some(ledger) = self.read(account, Purpose::Wallet).await? else {
                drift.push(told(account, "is in redis and not in postgres", Money::ZERO));
                return Ok(drift);
            };
            if standing.incarnation < ledger.incarnation {
                return Ok(drift);
            }
            let is_alike =
                (ledger.incarnation, ledger.version) == (standing.incarnation, standing.version);
            if is_alike {
                drift.extend(compare(account, &standing, &ledger));
                drift.extend(self.compare_fields(account, &ledger).await?);
                return Ok(drift);
            }
            if look == LOOKS_FOR_THE_PATROL && standing.version < ledger.version {
                self.refresh(account).await?;
            } else if look == LOOKS_MAX {
                let (redis, postgres) = (standing.version, ledger.version);
                let what = format!("is at version {redis} in redis and {postgres} in postgres");
                let amount = difference(standing.balance, ledger.balance);
                drift.push(told(account, &what, amount));
                return Ok(drift);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(drift)
    }

    /// Compares the wallet's sums with its holds.
    async fn verify_holds(&self, account: &AccountId) -> Result<Vec<Drift>, BalanceError> {
        let contents = self.contents(account).await?;
        let number = |name: &str| contents.fields.get(name).and_then(|it| it.parse::<i64>().ok());
        if contents.fields.is_empty() {
            return Ok(Vec::new());
        }
        let (mut drift, mut sum) = (Vec::new(), 0);
        let mut allowance: BTreeMap<String, i64> = BTreeMap::new();
        for packed in contents.holds.values() {
            let hold = Hold::unpack(packed)?;
            sum += hold.money.micros();
            if let Some(cycle) = hold.cycle {
                *allowance.entry(format!("a:{cycle}")).or_default() +=
                    i64::from(hold.allowance_seconds);
            }
        }
        allowance.retain(|_, seconds| *seconds != 0);
        if number("held") != Some(sum) {
            let amount = Money::from_micros(sum - number("held").unwrap_or_default());
            let what = format!("holds {:?} in sum and {sum} in its holds", number("held"));
            drift.push(told(account, &what, amount));
        }
        let count = i64::try_from(contents.holds.len()).unwrap_or(i64::MAX);
        if number("holds") != Some(count) || contents.expiries != count {
            let (counted, expiries) = (number("holds"), contents.expiries);
            let what = format!("counts {counted:?} holds, has {count}, and {expiries} expiries");
            drift.push(told(account, &what, Money::ZERO));
        }
        let sums = contents.fields.iter().filter(|(name, _)| name.starts_with("a:"));
        let sums: BTreeMap<String, i64> =
            sums.map(|(name, seconds)| (name.clone(), seconds.parse().unwrap_or(-1))).collect();
        if sums != allowance {
            let what = format!("holds allowance {sums:?} in sum and {allowance:?} in its holds");
            drift.push(told(account, &what, Money::ZERO));
        }
        Ok(drift)
    }

    /// Holds that are in the journal and not in Redis, which has the account. A hold that is
    /// missing for longer than the patrol takes is drift.
    async fn verify_journal(&self, account: &AccountId) -> Result<Vec<Drift>, BalanceError> {
        let mut drift = Vec::new();
        for look in 1..=LOOKS_MAX {
            drift.clear();
            let now = self.0.clock.now();
            let mut comparison = Comparison::new(Vec::new(), vec![account.clone()], now);
            while let Some(differences) = comparison.next(self).await? {
                drift.extend(differences.iter().filter_map(|difference| {
                    let Difference::InRedis(call) = difference else { return None };
                    let hold = call.change.hold()?;
                    let what = format!("has no hold in redis for call {}", call.call_sid);
                    Some(told(account, &what, hold.money))
                }));
            }
            if drift.is_empty() || look == LOOKS_MAX {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(drift)
    }

    async fn compare_fields(
        &self,
        account: &AccountId,
        ledger: &Snapshot,
    ) -> Result<Vec<Drift>, BalanceError> {
        let contents = self.contents(account).await?;
        let version = contents.fields.get("version").and_then(|it| it.parse::<i64>().ok());
        if version != Some(ledger.version) {
            // It moved on meanwhile; the next run compares it.
            return Ok(Vec::new());
        }
        let mut drift = Vec::new();
        let budget = written_budget(ledger.budget);
        let projected = contents.fields.get("budget").map_or("", String::as_str);
        if projected != budget {
            let what = format!("has budget {projected:?} in redis and {budget:?} in postgres");
            drift.push(told(account, &what, Money::ZERO));
        }
        let differ = ledger.cycles.iter().filter_map(|(cycle, used)| {
            let projected = contents.fields.get(&format!("u:{cycle}"));
            let projected = projected.and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
            let what =
                format!("used {projected} s of cycle {cycle} in redis and {used} in postgres");
            (projected != *used).then(|| told(account, &what, Money::ZERO))
        });
        drift.extend(differ);
        Ok(drift)
    }

    /// Everything that an account has in Redis, in one step.
    async fn contents(&self, account: &AccountId) -> Result<Contents, BalanceError> {
        let [wallet, holds, expiries, ..] = keys(account);
        let mut command = redis::cmd("EVAL");
        command.arg(
            "return { redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]), \
             redis.call('ZCARD', KEYS[3]) }",
        );
        command.arg(3).arg(wallet).arg(holds).arg(expiries);
        let answer = self.0.redis.command(&command).await?;
        let (fields, holds, expiries) = redis::from_redis_value(answer)
            .map_err(|_| BalanceError::unreadable("a look at an account", "no hashes"))?;
        Ok(Contents { fields, holds, expiries })
    }
}

fn compare(account: &AccountId, standing: &Standing, ledger: &Snapshot) -> Vec<Drift> {
    let pairs = [
        ("balance", standing.balance, ledger.balance),
        ("credit limit", standing.credit_limit, ledger.credit_limit),
    ];
    let differ = pairs.into_iter().filter(|(_, redis, postgres)| redis != postgres);
    let drift = differ.map(|(name, redis, postgres)| {
        let what = format!("has {name} {redis} in redis and {postgres} in postgres");
        told(account, &what, difference(redis, postgres))
    });
    drift.collect()
}

fn difference(one: Money, other: Money) -> Money {
    Money::from_micros(one.micros().saturating_sub(other.micros()).saturating_abs())
}

fn told(account: &AccountId, what: &str, amount: Money) -> Drift {
    Drift { account: account.clone(), what: what.to_owned(), amount }
}
