//! Accounts: created, read, changed, opened and closed.
//!
//! Every function takes the caller's connection, so that what belongs to the change (the answer
//! kept for an idempotency key) is in the same transaction. A refusal is a result, before any
//! write.

use callmeter_core::domain::{
    AccountId, AccountStatus, Money, TransactionKind, TransactionStatus, TwilioAccountSid,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::audit::{self, Action, AuditEntry, By};
use super::error::{LedgerError, Refusable};
use super::payments::{auto_refills, refills};
use super::store::StoreError;
use super::wallets::{self, Entry, WalletHead};

/// An account with the limits of its wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Internal key.
    pub account_key: i32,
    /// The public name.
    pub id: AccountId,
    /// Display name.
    pub name: String,
    /// Email address.
    pub email: Option<String>,
    /// Open or closed.
    pub status: AccountStatus,
    /// Twilio accounts that it pays for, in the order they were linked.
    pub twilio_account_sids: Vec<TwilioAccountSid>,
    /// How far below zero the balance may go before calls are refused.
    pub credit_limit: Money,
    /// How authorizations are decided while Redis is lost.
    pub on_redis_loss: OnRedisLoss,
    /// The most that `fail_open` grants meanwhile.
    pub redis_loss_cap: Money,
    /// Limit of calls in progress; `None`: no limit.
    pub calls_in_progress_max: Option<i32>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Account {
    /// What the audit keeps of it; personal data is masked.
    pub(super) fn audited(&self) -> Value {
        json!({
            "name": audit::masked(&self.name),
            "email": self.email.as_deref().map(audit::masked),
            "status": self.status,
            "twilio_account_sids": self.twilio_account_sids,
            "credit_limit": self.credit_limit,
            "on_redis_loss": self.on_redis_loss,
            "redis_loss_cap": self.redis_loss_cap,
            "calls_in_progress_max": self.calls_in_progress_max,
        })
    }
}

/// Writes an audit entry about an account, with its state before and after.
pub(super) async fn note(
    connection: &mut PgConnection,
    by: &By,
    action: Action,
    account: &Account,
    (before, after): (Value, Value),
) -> Result<(), StoreError> {
    let (subject, account_key) = (account.id.to_string(), Some(account.account_key));
    audit::note(connection, by, &AuditEntry { action, account_key, subject, before, after }).await
}

/// How authorizations are decided while Redis is lost.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRedisLoss {
    /// Answer 503.
    FailClosed,
    /// Grant up to the account's cap.
    FailOpen,
}

impl OnRedisLoss {
    /// Both policies.
    pub const ALL: [Self; 2] = [Self::FailClosed, Self::FailOpen];

    /// The policy's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailClosed => "fail_closed",
            Self::FailOpen => "fail_open",
        }
    }

    /// Reads a policy by its spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text)
    }
}

/// An account to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// The public name; never changes.
    pub id: AccountId,
    /// Display name.
    pub name: String,
    /// Email address.
    pub email: Option<String>,
    /// The first Twilio account that it pays for.
    pub twilio_account_sid: TwilioAccountSid,
    /// Zero or more; if more, it is posted as transaction 1.
    pub opening_balance: Money,
}

/// Why an account is not created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCreated {
    /// Another account has the id.
    IdTaken,
    /// Another account pays for the Twilio account.
    TwilioAccountSidTaken,
}

/// Creates an account, its wallet, its first link and its opening balance.
///
/// # Errors
/// `BalanceOutOfRange` for an opening balance beyond the range.
pub async fn create(
    connection: &mut PgConnection,
    new: &NewAccount,
    by: &By,
) -> Refusable<Account, NotCreated> {
    let taken = sqlx::query(
        "-- accounts::create, what is taken
         SELECT EXISTS (SELECT FROM accounts WHERE id = $1) AS id_taken,
             EXISTS (SELECT FROM twilio_accounts WHERE twilio_account_sid = $2) AS sid_taken",
    )
    .bind(new.id.as_str())
    .bind(new.twilio_account_sid.as_str())
    .fetch_one(&mut *connection)
    .await?;
    if taken.try_get("id_taken")? {
        return Ok(Err(NotCreated::IdTaken));
    }
    if taken.try_get("sid_taken")? {
        return Ok(Err(NotCreated::TwilioAccountSidTaken));
    }
    // If another transaction takes the id or the SID meanwhile, this one runs again and is refused.
    let account_key: i32 = sqlx::query_scalar(
        "-- accounts::create
         WITH account AS (
             INSERT INTO accounts (id, name, email, created_at) VALUES ($1, $2, $3, $5)
             RETURNING account_key),
         wallet AS (
             INSERT INTO wallets (account_key, last_at) SELECT account_key, $5 FROM account),
         link AS (
             INSERT INTO twilio_accounts (account_key, twilio_account_sid, linked_at)
             SELECT account_key, $4, $5 FROM account)
         SELECT account_key FROM account",
    )
    .bind(new.id.as_str())
    .bind(&new.name)
    .bind(new.email.as_deref())
    .bind(new.twilio_account_sid.as_str())
    .bind(by.at)
    .fetch_one(&mut *connection)
    .await?;
    if new.opening_balance.is_positive() {
        let mut head = lock_known(connection, account_key).await?;
        let entry = Entry {
            kind: TransactionKind::AdjustmentCredit,
            status: TransactionStatus::Completed,
            amount: new.opening_balance,
            description: Some("Opening balance".to_owned()),
            refers_to: None,
            payment_intent_id: None,
            call_sid: None,
        };
        wallets::post(connection, &mut head, &entry, by.at).await?;
    }
    let account = find_known(connection, &new.id).await?;
    let mut after = account.audited();
    after["opening_balance"] = json!(new.opening_balance);
    note(connection, by, Action::AccountCreated, &account, (Value::Null, after)).await?;
    Ok(Ok(account))
}

/// Reads an account; `None`: there is none.
///
/// # Errors
/// `Unreadable` if the row holds what this program never writes.
pub async fn find(
    connection: &mut PgConnection,
    id: &AccountId,
) -> Result<Option<Account>, LedgerError> {
    let row = sqlx::query(
        "-- accounts::find
         SELECT a.account_key, a.id, a.name, a.email, a.status, a.on_redis_loss,
             a.redis_loss_cap_micros, a.calls_in_progress_max, a.created_at,
             w.credit_limit_micros,
             ARRAY(SELECT t.twilio_account_sid FROM twilio_accounts AS t
                   WHERE t.account_key = a.account_key ORDER BY t.twilio_account_key) AS sids
         FROM accounts AS a JOIN wallets AS w USING (account_key) WHERE a.id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read_account).transpose()
}

/// Reads the internal key of an account; `None`: there is none.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn key_of(
    connection: &mut PgConnection,
    id: &AccountId,
) -> Result<Option<i32>, StoreError> {
    let key = sqlx::query_scalar(
        "-- accounts::key_of
         SELECT account_key FROM accounts WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(key)
}

/// Changes of an account; `None` leaves a value as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChanges {
    /// New name.
    pub name: Option<String>,
    /// New address, or none.
    pub email: Option<Option<String>>,
    /// New credit limit.
    pub credit_limit: Option<Money>,
    /// New policy.
    pub on_redis_loss: Option<OnRedisLoss>,
    /// New cap.
    pub redis_loss_cap: Option<Money>,
    /// New limit, or none.
    pub calls_in_progress_max: Option<Option<i32>>,
}

/// Changes an account and returns it as changed; `None`: there is none.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn update(
    connection: &mut PgConnection,
    id: &AccountId,
    changes: &AccountChanges,
    by: &By,
) -> Result<Option<Account>, LedgerError> {
    let Some(mut head) = lock(connection, id).await? else { return Ok(None) };
    let before = find_known(connection, id).await?;
    sqlx::query(
        "-- accounts::update
         UPDATE accounts SET
             name = coalesce($2, name),
             email = CASE WHEN $3 THEN $4 ELSE email END,
             on_redis_loss = coalesce($5, on_redis_loss),
             redis_loss_cap_micros = coalesce($6, redis_loss_cap_micros),
             calls_in_progress_max = CASE WHEN $7 THEN $8 ELSE calls_in_progress_max END
         WHERE account_key = $1",
    )
    .bind(head.account_key)
    .bind(changes.name.as_deref())
    .bind(changes.email.is_some())
    .bind(changes.email.clone().flatten())
    .bind(changes.on_redis_loss.map(OnRedisLoss::as_str))
    .bind(changes.redis_loss_cap.map(Money::micros))
    .bind(changes.calls_in_progress_max.is_some())
    .bind(changes.calls_in_progress_max.flatten())
    .execute(&mut *connection)
    .await?;
    match changes.credit_limit {
        Some(limit) => wallets::set_credit_limit(connection, &mut head, limit).await?,
        None => wallets::raise_version(connection, &mut head).await?,
    }
    let account = find_known(connection, id).await?;
    if account == before {
        by.changed_nothing();
        return Ok(Some(account));
    }
    let change = (before.audited(), account.audited());
    note(connection, by, Action::AccountChanged, &account, change).await?;
    Ok(Some(account))
}

/// Opens or closes an account and returns it; `None`: there is none. Does nothing if the account
/// has that status already.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn set_status(
    connection: &mut PgConnection,
    id: &AccountId,
    status: AccountStatus,
    by: &By,
) -> Result<Option<Account>, LedgerError> {
    let Some(mut head) = lock(connection, id).await? else { return Ok(None) };
    let before = find_known(connection, id).await?.audited();
    let changed = sqlx::query(
        "-- accounts::set_status
         UPDATE accounts SET status = $2 WHERE account_key = $1 AND status <> $2",
    )
    .bind(head.account_key)
    .bind(status.as_str())
    .execute(&mut *connection)
    .await?;
    let account = find_known(connection, id).await?;
    if changed.rows_affected() == 0 {
        by.changed_nothing();
        return Ok(Some(account));
    }
    wallets::raise_version(connection, &mut head).await?;
    match status {
        AccountStatus::Open => {
            auto_refills::look_again(connection, head.account_key, Some(by.at)).await?;
        }
        AccountStatus::Closed => refills::cancel_open(connection, head.account_key).await?,
    }
    let (action, after) = match status {
        AccountStatus::Open => (Action::AccountReopened, account.audited()),
        AccountStatus::Closed => (Action::AccountClosed, account.audited()),
    };
    note(connection, by, action, &account, (before, after)).await?;
    Ok(Some(account))
}

/// Locks the wallet of an account by its public id; `None`: there is none.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn lock(
    connection: &mut PgConnection,
    id: &AccountId,
) -> Result<Option<WalletHead>, LedgerError> {
    match key_of(connection, id).await? {
        Some(account_key) => lock_known(connection, account_key).await.map(Some),
        None => Ok(None),
    }
}

async fn lock_known(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<WalletHead, LedgerError> {
    let head = wallets::lock(connection, account_key).await?;
    head.ok_or_else(|| LedgerError::unreadable("account", format!("{account_key} has no wallet")))
}

pub(super) async fn find_known(
    connection: &mut PgConnection,
    id: &AccountId,
) -> Result<Account, LedgerError> {
    let account = find(connection, id).await?;
    account.ok_or_else(|| LedgerError::unreadable("account", format!("{id} has vanished")))
}

fn read_account(row: &PgRow) -> Result<Account, LedgerError> {
    let status: &str = row.try_get("status")?;
    let policy: &str = row.try_get("on_redis_loss")?;
    let sids: Vec<String> = row.try_get("sids")?;
    let sids = sids.iter().map(|sid| TwilioAccountSid::parse(sid)).collect::<Result<_, _>>();
    Ok(Account {
        account_key: row.try_get("account_key")?,
        id: AccountId::parse(row.try_get("id")?)
            .map_err(|error| LedgerError::unreadable("an account id", error))?,
        name: row.try_get("name")?,
        email: row.try_get("email")?,
        status: AccountStatus::parse(status)
            .map_err(|error| LedgerError::unreadable("an account's status", error))?,
        twilio_account_sids: sids
            .map_err(|error| LedgerError::unreadable("a Twilio account SID", error))?,
        credit_limit: Money::from_micros(row.try_get("credit_limit_micros")?),
        on_redis_loss: OnRedisLoss::parse(policy)
            .ok_or_else(|| LedgerError::unreadable("an account's on_redis_loss", policy))?,
        redis_loss_cap: Money::from_micros(row.try_get("redis_loss_cap_micros")?),
        calls_in_progress_max: row.try_get("calls_in_progress_max")?,
        created_at: row.try_get("created_at")?,
    })
}
