//! Repairs holds that Redis or the journal lacks.
//!
//! Money granted beyond the pool while a hold was missing is the stated exception of decision 0040,
//! and is counted.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::compare::Difference;
use crate::balance::journal::change::{CallChange, Change};
use crate::balance::model::{BalanceError, GrantedBy};
use crate::balance::scripts::{Restore, Restored, Void};
use crate::balance::state::Balance;
use crate::metrics::{HOLDS_BEYOND_POOL_DOLLARS, HOLDS_RESTORED_LATE, add_dollars};

impl Balance {
    /// Repairs differences; nothing happens if there is a later change.
    pub(crate) async fn repair(&self, differences: Vec<Difference>) -> Result<(), BalanceError> {
        let (mut in_redis, mut lacking, mut journaled) = (Vec::new(), 0, 0);
        for difference in differences {
            match difference {
                Difference::InRedis(change) => {
                    lacking += usize::from(change.change.hold().is_some());
                    in_redis.push(change);
                }
                Difference::InJournal(CallChange { account, call_sid, change }) => {
                    if let Change::Held(hold) = change
                        && self.0.journal.has_permit(&account)
                    {
                        journaled += 1;
                        self.0.journal.placed(&account, &call_sid, hold, true, Instant::now());
                    }
                }
            }
        }
        if lacking > 0 {
            tracing::warn!(holds = lacking, "redis lacks holds of the journal");
        }
        if journaled > 0 {
            tracing::warn!(holds = journaled, "the journal lacks holds of redis");
        }
        self.repair_redis(&in_redis).await
    }

    /// Repeats changes of the journal in Redis; nothing happens if they are there or were never
    /// lost.
    pub(crate) async fn repair_redis(&self, changes: &[CallChange]) -> Result<(), BalanceError> {
        let (mut holds, mut voids) = (Vec::new(), Vec::new());
        for CallChange { account, call_sid, change } in changes {
            match change {
                Change::Held(hold) => holds.push(Restore { account, call_sid, hold }),
                Change::Voided { .. } => {
                    voids.push(Void { account, call_sid, twilio_account_sid: None });
                }
            }
        }
        for (restore, answer) in holds.iter().zip(self.0.redis.bulk_many(&holds).await?) {
            self.count_restored(restore, answer?);
        }
        for answer in self.0.redis.bulk_many(&voids).await? {
            answer?;
        }
        Ok(())
    }

    fn count_restored(&self, restore: &Restore<'_>, restored: Restored) {
        let beyond = match restored {
            Restored::Restored { beyond } => beyond,
            Restored::Over => restore.hold.money,
            Restored::Standing | Restored::Unknown => return,
        };
        let Restore { account, call_sid, hold } = restore;
        let lost = hold.money;
        if hold.granted_by == GrantedBy::Postgres {
            // Granted by the account's policy, within its cap: it was not lost, and it is not late.
            tracing::info!(%account, %call_sid, %lost, "a call granted without redis is held now");
            if matches!(restored, Restored::Restored { .. }) {
                add_dollars(HOLDS_BEYOND_POOL_DOLLARS, None, beyond);
            }
            return;
        }
        tracing::warn!(%account, %call_sid, %lost, "a hold was restored late");
        add_dollars(HOLDS_BEYOND_POOL_DOLLARS, None, beyond);
        self.0.restored_late.fetch_add(lost.micros(), Ordering::Relaxed);
        metrics::counter!(HOLDS_RESTORED_LATE).increment(1);
    }
}
