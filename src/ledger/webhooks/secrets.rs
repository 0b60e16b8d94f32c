//! The secrets that sign web hooks: sealed, rotated, opened, and sealed again by a new key.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::EndpointId;
use crate::config::{Secret, Settings};
use crate::ledger::LedgerError;
use crate::vault::{Sealed, Vault, VaultError};

/// Rows sealed again in one transaction.
const RESEALED_AT_ONCE: i64 = 100;

/// How secrets are sealed, and how long a replaced one goes on signing.
#[derive(Clone, Debug)]
pub struct WebhookSecrets {
    vault: Option<Vault>,
    previous_lasts: TimeDelta,
}

/// The secrets that sign for an endpoint now, the newest first.
pub type OpenedSecrets = Vec<Secret>;

/// The result of a round of maintenance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretsTended {
    /// Secrets that an older key had sealed, now sealed by the current one.
    pub resealed: u64,
    /// Endpoints whose secret no key in the settings opens.
    pub lost: i64,
}

impl WebhookSecrets {
    /// Takes the keys and the time of rotation from the settings.
    pub fn from_settings(settings: &Settings) -> Self {
        let previous_lasts = settings.webhooks.previous_secret_lasts();
        Self { vault: Vault::from_settings(settings), previous_lasts }
    }

    /// True if secrets can be sealed.
    pub const fn can_be_set(&self) -> bool {
        self.vault.is_some()
    }

    /// When a secret that is replaced now stops signing.
    pub(super) fn previous_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.previous_lasts
    }

    pub(super) fn seal(&self, id: EndpointId, secret: &Secret) -> Result<Sealed, LedgerError> {
        let vault = self.vault.as_ref().ok_or_else(|| unreadable("there is no key"))?;
        vault.seal(&bound_to(id), secret).map_err(unreadable)
    }

    /// Opens the secrets in a row of `webhook_endpoints` that sign at a time.
    pub(super) fn open_row(
        &self,
        id: EndpointId,
        row: &PgRow,
        now: DateTime<Utc>,
    ) -> Result<Result<OpenedSecrets, String>, LedgerError> {
        let mut sealed = vec![sealed(row, "sealed", "key_id")?];
        let until: Option<DateTime<Utc>> = row.try_get("previous_until")?;
        if until.is_some_and(|until| until > now) {
            sealed.push(self::sealed(row, "previous_sealed", "previous_key_id")?);
        }
        let open = |sealed: &Sealed| match &self.vault {
            Some(vault) => vault.open(&bound_to(id), sealed),
            None => Err(VaultError::UnknownKey { key_id: sealed.key_id.clone() }),
        };
        let opened: Result<Vec<_>, _> = sealed.iter().map(open).collect();
        Ok(opened.map_err(|error| format!("the secret cannot be opened: {error}")))
    }

    /// Forgets replaced secrets that no longer sign, and seals those of an older key again, a
    /// limited number at a time.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
    pub async fn tend(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<SecretsTended, LedgerError> {
        let mut tended = SecretsTended::default();
        sqlx::query(
            "/* webhooks::tend, replaced */ UPDATE webhook_endpoints
             SET previous_sealed = NULL, previous_key_id = NULL, previous_until = NULL
             WHERE previous_until <= $1",
        )
        .bind(now)
        .execute(&mut *connection)
        .await?;
        let Some(vault) = &self.vault else { return Ok(tended) };
        let rows = sqlx::query(
            "/* webhooks::tend, sealed by an older key */
             SELECT endpoint_number, sealed, key_id, previous_sealed, previous_key_id,
                 previous_until
             FROM webhook_endpoints
             WHERE deleted_at IS NULL AND (key_id = ANY ($2) OR previous_key_id = ANY ($2))
             ORDER BY endpoint_number LIMIT $1 FOR UPDATE SKIP LOCKED",
        )
        .bind(RESEALED_AT_ONCE)
        .bind(vault.older_key_ids())
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let id = EndpointId(row.try_get("endpoint_number")?);
            // A secret that cannot be opened stays as it is: the settings may have its key again
            // later.
            let Ok(secrets) = self.open_row(id, row, now)? else { continue };
            let mut sealed = Vec::new();
            for secret in &secrets {
                sealed.push(vault.seal(&bound_to(id), secret).map_err(unreadable)?);
            }
            let (Some(current), previous) = (sealed.first(), sealed.get(1)) else { continue };
            sqlx::query(
                "/* webhooks::tend */ UPDATE webhook_endpoints
                 SET sealed = $2, key_id = $3, previous_sealed = $4, previous_key_id = $5,
                     previous_until = CASE WHEN $4::bytea IS NOT NULL THEN previous_until END
                 WHERE endpoint_number = $1",
            )
            .bind(id.0)
            .bind(&current.bytes)
            .bind(&current.key_id)
            .bind(previous.map(|it| &it.bytes))
            .bind(previous.map(|it| &it.key_id))
            .execute(&mut *connection)
            .await?;
            tended.resealed += 1;
        }
        tended.lost = sqlx::query_scalar(
            "/* webhooks::tend, lost */ SELECT count(*) FROM webhook_endpoints
             WHERE deleted_at IS NULL AND NOT key_id = ANY ($1)",
        )
        .bind(vault.key_ids())
        .fetch_one(connection)
        .await?;
        Ok(tended)
    }
}

fn sealed(row: &PgRow, bytes: &str, key_id: &str) -> Result<Sealed, LedgerError> {
    Ok(Sealed { key_id: row.try_get(key_id)?, bytes: row.try_get(bytes)? })
}

/// What a sealed secret is bound to, so that it opens only there.
fn bound_to(id: EndpointId) -> String {
    format!("web hook secret of {id}")
}

fn unreadable(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::unreadable("a web hook's secret", error)
}
