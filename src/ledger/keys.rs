//! API keys: created, listed, found by their digest, revoked.
//!
//! The ledger never sees a key, only its SHA-256. `src/keys` decides how long a process may cache
//! what it read here.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::accounts;
use super::audit::{self, Action, AuditEntry, By};
use super::error::LedgerError;
use super::history::{Page, Stretch, page};
use super::store::{Store, StoreError};

/// What a key may access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Authorizations of every account, nothing else.
    Authorize,
    /// One account.
    Account(AccountId),
    /// Reading one account, nothing else.
    Read(AccountId),
    /// Signing customers in to the wallet page, nothing else.
    SignIn,
}

impl Scope {
    /// Its spelling.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Authorize => "authorize",
            Self::Account(_) => "account",
            Self::Read(_) => "read",
            Self::SignIn => "sign_in",
        }
    }

    /// The account, if the scope is one account.
    pub const fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Account(account) | Self::Read(account) => Some(account),
            Self::Admin | Self::Authorize | Self::SignIn => None,
        }
    }
}

/// The id of a key: its name in logs, audit rows and paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub i32);

impl std::fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "key_{}", self.0)
    }
}

impl std::str::FromStr for KeyId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix("key_").and_then(|number| number.parse().ok()).map(Self);
        id.filter(|id| id.to_string() == text).ok_or("is no key's id, such as key_12")
    }
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Display name.
    pub name: String,
    /// What it may access.
    pub scope: Scope,
    /// Its first characters.
    pub prefix: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A key to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Display name.
    pub name: String,
    /// What it may access.
    pub scope: Scope,
    /// Its first characters.
    pub prefix: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

const COLUMNS: &str = "k.key_id, k.name, k.scope, a.id AS account, k.prefix, k.created_at,
    k.revoked_at, k.last_used_at, k.account_key";

/// Creates a key; `None`: there is no such account.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn create(
    connection: &mut PgConnection,
    new: &NewKey,
    by: &By,
) -> Result<Option<Key>, LedgerError> {
    let account_key = match new.scope.account() {
        Some(account) => match accounts::key_of(connection, account).await? {
            Some(key) => Some(key),
            None => return Ok(None),
        },
        None => None,
    };
    let key_id: i32 = sqlx::query_scalar(
        "-- keys::create
         INSERT INTO keys (name, scope, account_key, prefix, sha256, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING key_id",
    )
    .bind(&new.name)
    .bind(new.scope.as_str())
    .bind(account_key)
    .bind(&new.prefix)
    .bind(new.sha256.as_slice())
    .bind(by.at)
    .fetch_one(&mut *connection)
    .await?;
    let (key, _) = find_by_id(connection, KeyId(key_id)).await?.ok_or_else(|| {
        LedgerError::unreadable("a key", format!("key_{key_id} vanished after its making"))
    })?;
    let entry = AuditEntry {
        action: Action::KeyCreated,
        account_key,
        subject: key.id.to_string(),
        before: serde_json::Value::Null,
        after: json!({
            "name": key.name, "scope": key.scope.as_str(), "account": key.scope.account(),
            "prefix": key.prefix,
        }),
    };
    audit::note(connection, by, &entry).await?;
    Ok(Some(key))
}

/// Revokes a key; has no effect on a revoked one. `None`: there is no such key.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn revoke(
    connection: &mut PgConnection,
    id: KeyId,
    by: &By,
) -> Result<Option<Key>, LedgerError> {
    let Some((before, account_key)) = find_by_id(connection, id).await? else { return Ok(None) };
    if before.revoked_at.is_some() {
        by.changed_nothing();
        return Ok(Some(before));
    }
    sqlx::query(
        "-- keys::revoke
         UPDATE keys SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL",
    )
    .bind(id.0)
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    let after = find_by_id(connection, id).await?.map(|(key, _)| key);
    let entry = AuditEntry {
        action: Action::KeyRevoked,
        account_key,
        subject: id.to_string(),
        before: json!({ "revoked_at": before.revoked_at }),
        after: json!({ "revoked_at": after.as_ref().and_then(|key| key.revoked_at) }),
    };
    audit::note(connection, by, &entry).await?;
    Ok(after)
}

/// Lists keys, newest first, with revoked ones; of one account, or all.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn list(
    connection: &mut PgConnection,
    account: Option<&AccountId>,
    stretch: &Stretch,
) -> Result<Page<Key>, LedgerError> {
    let statement = format!(
        "-- keys::list
         SELECT {COLUMNS} FROM keys AS k LEFT JOIN accounts AS a USING (account_key)
         WHERE k.key_id < $1
           AND k.created_at >= coalesce($2, '-infinity') AND k.created_at < coalesce($3, 'infinity')
           AND ($4::text IS NULL OR a.id = $4)
         ORDER BY k.key_id DESC LIMIT $5"
    );
    let rows = sqlx::query(&statement)
        .bind(stretch.below.unwrap_or(i64::MAX))
        .bind(stretch.from)
        .bind(stretch.to)
        .bind(account.map(AccountId::as_str))
        .bind(i64::from(stretch.limit) + 1)
        .fetch_all(connection)
        .await?;
    let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(page(items, stretch.limit, |key| i64::from(key.id.0)))
}

/// Finds a valid key by its SHA-256.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn find(
    connection: &mut PgConnection,
    sha256: &[u8; 32],
) -> Result<Option<Key>, LedgerError> {
    let statement = format!(
        "-- keys::find
         SELECT {COLUMNS} FROM keys AS k LEFT JOIN accounts AS a USING (account_key)
         WHERE k.sha256 = $1 AND k.revoked_at IS NULL"
    );
    let row = sqlx::query(&statement).bind(sha256.as_slice()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// Records that a key was used.
///
/// # Errors
/// Those of the store.
pub async fn note_use(store: &Store, id: KeyId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- keys::note_use
             UPDATE keys SET last_used_at = greatest(last_used_at, $2) WHERE key_id = $1",
        )
        .bind(id.0)
        .bind(now)
    };
    store.execute("keys::note_use", statement).await?;
    Ok(())
}

async fn find_by_id(
    connection: &mut PgConnection,
    id: KeyId,
) -> Result<Option<(Key, Option<i32>)>, LedgerError> {
    let statement = format!(
        "-- keys::find_by_id
         SELECT {COLUMNS} FROM keys AS k LEFT JOIN accounts AS a USING (account_key)
         WHERE k.key_id = $1"
    );
    let row = sqlx::query(&statement).bind(id.0).fetch_optional(connection).await?;
    row.map(|row| Ok((read(&row)?, row.try_get("account_key")?))).transpose()
}

fn read(row: &PgRow) -> Result<Key, LedgerError> {
    let (word, account): (&str, Option<&str>) = (row.try_get("scope")?, row.try_get("account")?);
    let scope = match (word, account) {
        ("admin", None) => Scope::Admin,
        ("authorize", None) => Scope::Authorize,
        ("sign_in", None) => Scope::SignIn,
        ("account" | "read", Some(account)) => {
            let account = AccountId::parse(account)
                .map_err(|error| LedgerError::unreadable("an account id", error))?;
            if word == "read" { Scope::Read(account) } else { Scope::Account(account) }
        }
        (word, _) => return Err(LedgerError::unreadable("a key's scope", word)),
    };
    Ok(Key {
        id: KeyId(row.try_get("key_id")?),
        name: row.try_get("name")?,
        scope,
        prefix: row.try_get("prefix")?,
        created_at: row.try_get("created_at")?,
        revoked_at: row.try_get("revoked_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::KeyId;

    #[test]
    fn a_key_id_is_read_back_from_its_one_spelling_only() {
        assert_eq!("key_12".parse(), Ok(KeyId(12)));
        for wrong in ["", "key_", "key_012", "key_+1", "12", "key_99999999999"] {
            assert!(wrong.parse::<KeyId>().is_err(), "{wrong}");
        }
    }
}
