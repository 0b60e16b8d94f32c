//! Sign-in links and sessions of the wallet page.
//!
//! The ledger never sees a token, only its SHA-256. A link begins one session; a session is read at
//! each request, so that an ended one is refused at once, in every process; those of open streams are
//! read together, once a second.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::accounts;
use super::audit::{self, Action, AuditEntry, By};
use super::error::LedgerError;
use super::store::{Store, StoreError};
use crate::masked::masked;

/// How long rows stay after they expired.
const KEPT: TimeDelta = TimeDelta::days(1);

/// Who is at the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visitor {
    /// The customer; the name is the platform's.
    Customer(Option<String>),
    /// Somebody who helps the customer: may look, and change nothing.
    Operator(String),
}

impl Visitor {
    /// The name in the audit.
    pub fn who(&self) -> String {
        match self {
            Self::Customer(Some(user)) => format!("user:{}", masked(user)),
            Self::Customer(None) => "customer".to_owned(),
            Self::Operator(operator) => format!("operator:{}", masked(operator)),
        }
    }

    /// True if it may only look.
    pub const fn is_operator(&self) -> bool {
        matches!(self, Self::Operator(_))
    }

    fn columns(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Customer(user) => (user.as_deref(), None),
            Self::Operator(operator) => (None, Some(operator)),
        }
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let operator: Option<String> = row.try_get("operator")?;
        Ok(match operator {
            Some(operator) => Self::Operator(operator),
            None => Self::Customer(row.try_get("user_name")?),
        })
    }
}

/// A link to create.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// Whose page it opens.
    pub account: AccountId,
    /// For whom.
    pub visitor: Visitor,
    /// Where the page begins; `None`: the overview.
    pub next: Option<String>,
    /// SHA-256 of its token.
    pub sha256: [u8; 32],
    /// How long it can be used.
    pub lifetime: TimeDelta,
}

/// A link that can still be used.
#[derive(Clone, Debug)]
pub struct OpenLink {
    /// Whose page it opens.
    pub account: AccountId,
    /// Where the page begins.
    pub next: Option<String>,
    account_key: i32,
    visitor: Visitor,
}

/// A session in force.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its number.
    pub session_key: i64,
    /// Whose page it shows.
    pub account: AccountId,
    /// Internal key.
    pub account_key: i32,
    /// Who is at the page.
    pub visitor: Visitor,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

/// Creates a link; returns when it expires, or `None`: there is no such account.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn create_link(
    connection: &mut PgConnection,
    new: &NewLink,
    by: &By,
) -> Result<Option<DateTime<Utc>>, LedgerError> {
    let Some(account_key) = accounts::key_of(connection, &new.account).await? else {
        return Ok(None);
    };
    let (user, operator) = new.visitor.columns();
    let expires_at = by.at + new.lifetime;
    sqlx::query(
        "/* wallet_sessions::create_link */
         INSERT INTO sign_in_links
             (sha256, account_key, user_name, operator, next, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.sha256.as_slice())
    .bind(account_key)
    .bind(user)
    .bind(operator)
    .bind(new.next.as_deref())
    .bind(by.at)
    .bind(expires_at)
    .execute(&mut *connection)
    .await?;
    let after = json!({ "for": new.visitor.who(), "expires_at": expires_at });
    note(connection, by, Action::SignInLinkCreated, account_key, &new.account, after).await?;
    Ok(Some(expires_at))
}

/// Finds a link that was not used and has not expired.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn open_link(
    connection: &mut PgConnection,
    sha256: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<OpenLink>, LedgerError> {
    let row = sqlx::query(
        "/* wallet_sessions::open_link */
         SELECT a.id, l.account_key, l.user_name, l.operator, l.next
         FROM sign_in_links AS l JOIN accounts AS a USING (account_key)
         WHERE l.sha256 = $1 AND l.used_at IS NULL AND l.expires_at > $2",
    )
    .bind(sha256.as_slice())
    .bind(now)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(OpenLink {
        account: read_account(row.try_get("id")?)?,
        next: row.try_get("next")?,
        account_key: row.try_get("account_key")?,
        visitor: Visitor::read(&row)?,
    }))
}

/// Uses a link up and begins a session. `None`: it was used before, has expired, or never was.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn begin(
    connection: &mut PgConnection,
    link: &[u8; 32],
    session: &[u8; 32],
    lifetime: TimeDelta,
    by: &By,
) -> Result<Option<OpenLink>, LedgerError> {
    let Some(open) = open_link(connection, link, by.at).await? else { return Ok(None) };
    // Of two requests with one link, one waits here for the other and then finds it used.
    let marked = sqlx::query(
        "/* wallet_sessions::begin, the link */
         UPDATE sign_in_links SET used_at = $2 WHERE sha256 = $1 AND used_at IS NULL",
    )
    .bind(link.as_slice())
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    if marked.rows_affected() == 0 {
        return Ok(None);
    }
    let (user, operator) = open.visitor.columns();
    sqlx::query(
        "/* wallet_sessions::begin */
         INSERT INTO wallet_sessions
             (sha256, account_key, user_name, operator, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(session.as_slice())
    .bind(open.account_key)
    .bind(user)
    .bind(operator)
    .bind(by.at)
    .bind(by.at + lifetime)
    .execute(&mut *connection)
    .await?;
    let after = json!({ "who": open.visitor.who(), "expires_at": by.at + lifetime });
    note(connection, by, Action::SignedIn, open.account_key, &open.account, after).await?;
    Ok(Some(open))
}

/// Finds a session in force.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn find(
    connection: &mut PgConnection,
    sha256: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<Session>, LedgerError> {
    let row = sqlx::query(
        "/* wallet_sessions::find */
         SELECT s.session_key, a.id, s.account_key, s.user_name, s.operator, s.expires_at
         FROM wallet_sessions AS s JOIN accounts AS a USING (account_key)
         WHERE s.sha256 = $1 AND s.ended_at IS NULL AND s.expires_at > $2",
    )
    .bind(sha256.as_slice())
    .bind(now)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Session {
        session_key: row.try_get("session_key")?,
        account: read_account(row.try_get("id")?)?,
        account_key: row.try_get("account_key")?,
        visitor: Visitor::read(&row)?,
        expires_at: row.try_get("expires_at")?,
    }))
}

/// Which of these sessions are in force.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn in_force(
    connection: &mut PgConnection,
    session_keys: &[i64],
    now: DateTime<Utc>,
) -> Result<Vec<i64>, StoreError> {
    let found = sqlx::query_scalar(
        "/* wallet_sessions::in_force */
         SELECT session_key FROM wallet_sessions
         WHERE session_key = ANY($1) AND ended_at IS NULL AND expires_at > $2",
    );
    Ok(found.bind(session_keys).bind(now).fetch_all(connection).await?)
}

/// Ends one session. False: it had ended before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn end(
    connection: &mut PgConnection,
    session: &Session,
    by: &By,
) -> Result<bool, LedgerError> {
    let ended = sqlx::query(
        "/* wallet_sessions::end */
         UPDATE wallet_sessions SET ended_at = $2 WHERE session_key = $1 AND ended_at IS NULL",
    )
    .bind(session.session_key)
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() == 0 {
        by.changed_nothing();
        return Ok(false);
    }
    let (account_key, account) = (session.account_key, &session.account);
    note(connection, by, Action::SignedOut, account_key, account, Value::Null).await?;
    Ok(true)
}

/// Ends all sessions of an account, and its unused links. Returns how many sessions, or `None`:
/// there is no such account.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn end_all(
    connection: &mut PgConnection,
    account: &AccountId,
    by: &By,
) -> Result<Option<u64>, LedgerError> {
    let Some(account_key) = accounts::key_of(connection, account).await? else { return Ok(None) };
    // First the links: a session that one of them begins meanwhile is committed then, and ended too.
    let links = sqlx::query(
        "/* wallet_sessions::end_all, links */
         UPDATE sign_in_links SET used_at = $2 WHERE account_key = $1 AND used_at IS NULL",
    )
    .bind(account_key)
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    let ended = sqlx::query(
        "/* wallet_sessions::end_all */
         UPDATE wallet_sessions SET ended_at = $2 WHERE account_key = $1 AND ended_at IS NULL",
    )
    .bind(account_key)
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    let sessions = ended.rows_affected();
    if sessions == 0 && links.rows_affected() == 0 {
        by.changed_nothing();
        return Ok(Some(0));
    }
    let after = json!({ "sessions": sessions });
    note(connection, by, Action::SessionsEnded, account_key, account, after).await?;
    Ok(Some(sessions))
}

/// Notes that an operator looked at a page.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_look(
    connection: &mut PgConnection,
    session: &Session,
    path: &str,
    by: &By,
) -> Result<(), LedgerError> {
    let (account_key, account) = (session.account_key, &session.account);
    let after = json!({ "page": path });
    note(connection, by, Action::PageViewed, account_key, account, after).await
}

/// Deletes links and sessions that expired a day ago.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn forget(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* wallet_sessions::forget */
             WITH links AS (DELETE FROM sign_in_links WHERE expires_at < $1)
             DELETE FROM wallet_sessions WHERE expires_at < $1",
        )
        .bind(now - KEPT)
    };
    store.execute("wallet_sessions::forget", statement).await?;
    Ok(())
}

async fn note(
    connection: &mut PgConnection,
    by: &By,
    action: Action,
    account_key: i32,
    account: &AccountId,
    after: Value,
) -> Result<(), LedgerError> {
    let (before, account_key) = (Value::Null, Some(account_key));
    let entry = AuditEntry { action, account_key, subject: account.to_string(), before, after };
    Ok(audit::note(connection, by, &entry).await?)
}

fn read_account(id: &str) -> Result<AccountId, LedgerError> {
    AccountId::parse(id).map_err(|error| LedgerError::unreadable("an account id", error))
}
