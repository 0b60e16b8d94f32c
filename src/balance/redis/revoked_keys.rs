//! Revoked keys, noted in Redis for processes that cannot ask the ledger.

use redis::Value;

use super::Redis;
use crate::balance::model::BalanceError;
use crate::ledger::keys::KeyId;

/// Longer than any process accepts a key that the ledger does not confirm (`src/keys`).
const KEPT_SECONDS: u32 = 2 * 86_400;

impl Redis {
    /// Notes that a key is revoked.
    ///
    /// # Errors
    /// `Lost` if Redis cannot be reached.
    pub async fn note_key_revoked(&self, id: KeyId) -> Result<(), BalanceError> {
        let mut command = redis::cmd("SET");
        command.arg(name(id)).arg(1).arg("EX").arg(KEPT_SECONDS);
        self.command(&command).await.map(drop)
    }

    /// Whether a key was revoked within the last two days.
    ///
    /// # Errors
    /// `Lost` if Redis cannot be reached.
    pub async fn is_key_revoked(&self, id: KeyId) -> Result<bool, BalanceError> {
        Ok(self.command(redis::cmd("GET").arg(name(id))).await? != Value::Nil)
    }
}

fn name(id: KeyId) -> String {
    format!("cm:revoked:{id}")
}
