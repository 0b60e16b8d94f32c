//! The money and allowance that an account's calls in progress hold, for display: from Redis, or
//! else from the journal.
//!
//! The journal has every hold granted more than some 50 ms ago, so a wallet can be shown while
//! Redis is away, or before an idle account is loaded. It must never be the basis of a grant.

use callmeter_core::domain::{AccountId, Money};
use serde::Serialize;

use super::snapshot::{Purpose, Snapshot};
use crate::balance::model::{BalanceError, CycleRef, Hold};
use crate::balance::scripts::{Holds, Standing, inspect};
use crate::balance::state::Balance;

/// The amounts that an account's calls in progress hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Number of holds.
    pub holds: i64,
    /// Money.
    pub money: Money,
    /// Held allowance seconds of each cycle.
    pub cycles: Vec<(CycleRef, u64)>,
    /// Where these were read.
    pub source: HeldSource,
    /// The ledger's version at which they were read: a charge and its hold's end are one step.
    pub version: i64,
}

/// Where held amounts were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldSource {
    /// Redis: as of now.
    Live,
    /// The journal in Postgres, because Redis does not know the account: as of at most some 50 ms
    /// ago.
    #[default]
    Journal,
}

impl Held {
    /// Seconds held of one cycle's allowance.
    pub fn seconds_of(&self, cycle: CycleRef) -> u64 {
        self.cycles.iter().find(|(it, _)| *it == cycle).map_or(0, |(_, seconds)| *seconds)
    }
}

impl Balance {
    /// Returns what an account's calls in progress hold, at `version` of the ledger or later;
    /// `None`: there is no such account.
    ///
    /// Waits for a projection that is still running, so that a charge is not counted beside the
    /// hold that it settles.
    ///
    /// # Errors
    /// If Redis does not have the account and Postgres fails.
    pub async fn held(
        &self,
        account: &AccountId,
        version: i64,
    ) -> Result<Option<Held>, BalanceError> {
        match self.held_in_redis(account, version).await {
            Ok(Some(held)) => return Ok(Some(held)),
            // Absent, lost, or projected faster than it can be read: use the journal.
            Ok(None) | Err(BalanceError::Lost(_) | BalanceError::NotLoaded { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(self.read(account, Purpose::Load).await?.as_ref().map(Held::from_snapshot))
    }

    /// The same from Redis alone; `None`: Redis does not have the account.
    ///
    /// # Errors
    /// `Lost` if Redis cannot be reached.
    pub async fn held_in_redis(
        &self,
        account: &AccountId,
        version: i64,
    ) -> Result<Option<Held>, BalanceError> {
        let mut standing = self.0.redis.bulk(&inspect(account)).await?;
        if standing.as_ref().is_some_and(|it| it.version < version) {
            self.refresh(account).await?;
            standing = self.0.redis.bulk(&inspect(account)).await?;
        }
        // An older incarnation belongs to a ledger that is gone.
        let is_believed = |it: &Standing| it.incarnation >= self.0.redis.incarnation();
        Ok(standing.filter(is_believed).map(|it| Held {
            holds: it.holds,
            money: it.held,
            cycles: it.cycles,
            source: HeldSource::Live,
            version: it.version,
        }))
    }

    /// Some holds of an account, at most `most` or a few more, with the `CallSids`; none where Redis
    /// does not have the account. In no order.
    ///
    /// # Errors
    /// `Lost` if Redis cannot be reached.
    pub async fn some_holds(
        &self,
        account: &AccountId,
        most: usize,
    ) -> Result<Vec<(String, Hold)>, BalanceError> {
        let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
        while found.len() < most {
            let request = Holds { account, cursor: &cursor, count: most };
            let some = self.0.redis.bulk(&request).await?;
            found.extend(some.holds);
            let Some(next) = some.cursor else { break };
            cursor = next;
        }
        // A scan may answer with a hold twice.
        found.sort_unstable_by(|one, next| one.0.cmp(&next.0));
        found.dedup_by(|one, next| one.0 == next.0);
        Ok(found)
    }

    /// Number of holds and held micro-dollars of each account that Redis has, in one round trip.
    ///
    /// # Errors
    /// `Lost` if Redis cannot be reached.
    pub async fn held_sums(
        &self,
        accounts: &[AccountId],
    ) -> Result<Vec<Option<(i64, i64)>>, BalanceError> {
        self.0.redis.held_sums(accounts).await
    }
}

impl Held {
    /// Adds up the holds of a snapshot, which are neither charged, nor voided, nor due.
    fn from_snapshot(snapshot: &Snapshot) -> Self {
        let mut held = Self { version: snapshot.version, ..Self::default() };
        for (_, hold) in &snapshot.holds {
            held.holds += 1;
            let micros = held.money.micros().saturating_add(hold.money.micros());
            held.money = Money::from_micros(micros);
            let Some(cycle) = hold.cycle else { continue };
            let seconds = u64::from(hold.allowance_seconds);
            match held.cycles.iter_mut().find(|(it, _)| *it == cycle) {
                Some((_, sum)) => *sum += seconds,
                None => held.cycles.push((cycle, seconds)),
            }
        }
        held
    }
}
