//! The head of a wallet, and how one transaction is posted to it.
//!
//! Single postings (adjustments, refills, opening balances) use this module; the charging loop
//! writes many at once under the same lock. Nothing may write a wallet without its lock.

use std::collections::HashMap;

use callmeter_core::domain::{
    CallSid, Money, TransactionKind, TransactionStatus, TransactionType, balance_after,
};
use callmeter_core::policy::budget::spending_of;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::crossings::{Crossings, Moved};
use super::error::LedgerError;
use super::outbox::Fact;
use super::store::StoreError;
use super::watched::{self, Watched};

/// A wallet, read under its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletHead {
    /// Its account.
    pub account_key: i32,
    /// Balance after the last transaction.
    pub balance: Money,
    /// How far below zero the balance may go before calls are refused.
    pub credit_limit: Money,
    /// Number of the last transaction; 0: none.
    pub sequence: i64,
    /// Number of the last charge; 0: none.
    pub charge_sequence: i64,
    /// Raised by every change that a projection must see.
    pub version: i64,
    /// Time of the last row; the next is never earlier.
    pub last_at: DateTime<Utc>,
    /// Money set aside for refunds and purchases of numbers in progress: no call may take it.
    pub reserved: Money,
    /// Levels of the balance, and the month's spending with its budget.
    pub watched: Watched,
}

impl WalletHead {
    /// True if a rent can be paid: with the credit limit, holds ignored. A rent of zero always can.
    pub fn affords(&self, price: Money) -> bool {
        let funds = self.balance.checked_add(self.credit_limit);
        price.is_zero() || funds.is_none_or(|funds| funds >= price)
    }

    /// The last row, by the balance before it. Adds what it spends to the month.
    pub(super) fn moved_from(&mut self, before: Money, spends: Money) -> Moved<'_> {
        let Self { account_key, sequence, balance: after, last_at: at, .. } = *self;
        let spent_before = self.watched.spending.enter(at, spends);
        self.watched.spent_sequence = sequence;
        Moved { account_key, sequence, before, after, spent_before, watched: &self.watched, at }
    }

    /// The credit limit as admission sees it: what is reserved cannot be granted.
    pub fn admission_limit(&self) -> Money {
        self.credit_limit.checked_sub(self.reserved).unwrap_or(self.credit_limit)
    }

    /// The balance after a debit; `None`: it would be further out of its range.
    pub fn debited(&self, amount: Money) -> Option<Money> {
        balance_after(self.balance, amount.checked_neg()?, self.credit_limit)
    }

    /// The balance after a credit; `None`: it would be further out of its range.
    pub fn credited(&self, amount: Money) -> Option<Money> {
        balance_after(self.balance, amount, self.credit_limit)
    }
}

/// A transaction to post; its direction is that of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its kind.
    pub kind: TransactionKind,
    /// Whether it moves money.
    pub status: TransactionStatus,
    /// Positive.
    pub amount: Money,
    /// `None`: the standard text of the kind.
    pub description: Option<String>,
    /// Sequence of an older transaction of the same account.
    pub refers_to: Option<i64>,
    /// The payment behind a refill.
    pub payment_intent_id: Option<String>,
    /// The call behind a charge.
    pub call_sid: Option<CallSid>,
}

/// Locks a wallet until the transaction ends and reads its head; `None`: no such account.
///
/// Read what depends on it (allowances, subscriptions, the link of a Twilio account) in later
/// statements: a lock wait does not refresh the snapshot of the statement that waited.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn lock(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Option<WalletHead>, LedgerError> {
    let row = sqlx::query(
        "-- wallets::lock
         SELECT balance_micros, credit_limit_micros, sequence, charge_sequence, version, last_at,
             refill_level_micros, reserved_micros, budget_micros, budget_percents, budget_stops,
             spent_micros, spending_ends_at, spent_sequence,
             coalesce(alert_levels_micros,
                 (SELECT levels_micros FROM alert_defaults WHERE singleton), '{}') AS alert_levels
         FROM wallets WHERE account_key = $1 FOR UPDATE",
    )
    .bind(account_key)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut head = WalletHead {
        account_key,
        balance: Money::from_micros(row.try_get("balance_micros")?),
        credit_limit: Money::from_micros(row.try_get("credit_limit_micros")?),
        sequence: row.try_get("sequence")?,
        charge_sequence: row.try_get("charge_sequence")?,
        version: row.try_get("version")?,
        last_at: row.try_get("last_at")?,
        reserved: Money::from_micros(row.try_get("reserved_micros")?),
        watched: Watched::read(&row)?,
    };
    watched::catch_up(connection, [(account_key, head.sequence, &mut head.watched)]).await?;
    Ok(Some(head))
}

/// The versions of wallets, by account.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn versions(
    connection: &mut PgConnection,
    account_keys: &[i32],
) -> Result<HashMap<i32, i64>, StoreError> {
    let statement = "/* wallets::versions */
        SELECT account_key, version FROM wallets WHERE account_key = ANY($1)";
    let rows: Vec<(i32, i64)> =
        sqlx::query_as(statement).bind(account_keys).fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// Posts a transaction to a locked wallet and moves its head; returns the transaction's sequence.
/// The outbox tells it, and what it crosses.
///
/// # Errors
/// `BalanceOutOfRange` if the balance would be further out of its range; `HeadMoved` without the
/// lock.
pub async fn post(
    connection: &mut PgConnection,
    head: &mut WalletHead,
    entry: &Entry,
    now: DateTime<Utc>,
) -> Result<i64, LedgerError> {
    let balance_after = balance_with(head, entry)?;
    let at = now.max(head.last_at);
    let spends = spending_of(entry.kind, entry.status, entry.amount);
    let mut spending = head.watched.spending;
    spending.enter(at, spends);
    let written = sqlx::query(
        "-- wallets::post
         WITH posted AS (
             INSERT INTO transactions (
                 account_key, sequence, at, amount_micros, balance_before_micros,
                 balance_after_micros, refers_to, type, kind, status, description,
                 payment_intent_id, call_sid)
             VALUES ($1, $2 + 1, $4, $5, $6, $7, $8, $9::transaction_type,
                 $10::transaction_kind, $11::transaction_status, $12, $13, $14)
         )
         UPDATE wallets
         SET balance_micros = $7, sequence = $2 + 1, version = $3 + 1, last_at = $4,
             spent_micros = $15, spending_ends_at = $16, spent_sequence = $2 + 1
         WHERE account_key = $1 AND sequence = $2 AND version = $3",
    )
    .bind(head.account_key)
    .bind(head.sequence)
    .bind(head.version)
    .bind(at)
    .bind(entry.amount.micros())
    .bind(head.balance.micros())
    .bind(balance_after.micros())
    .bind(entry.refers_to)
    .bind(entry.kind.transaction_type().as_str())
    .bind(entry.kind.as_str())
    .bind(entry.status.as_str())
    .bind(entry.description.as_deref())
    .bind(entry.payment_intent_id.as_deref())
    .bind(entry.call_sid.as_ref().map(CallSid::as_str))
    .bind(spending.spent.micros())
    .bind(spending.ends_at)
    .execute(&mut *connection)
    .await?;
    check_moved(head, written.rows_affected())?;
    let before = head.balance;
    head.balance = balance_after;
    head.sequence += 1;
    head.version += 1;
    head.last_at = at;
    let mut crossings = Crossings::default();
    crossings.facts.push(Fact::transaction(head.account_key, head.sequence, at));
    crossings.note(head.moved_from(before, spends));
    let is_refill =
        matches!(entry.kind, TransactionKind::RefillManual | TransactionKind::RefillAuto);
    if is_refill && entry.status == TransactionStatus::Completed {
        crossings.refilled = Some(head.account_key);
    }
    crossings.write(connection, now).await?;
    Ok(head.sequence)
}

/// Raises the version of a locked wallet, after another change that a projection must see: a
/// subscription, a policy.
///
/// # Errors
/// `HeadMoved` if the lock was not held.
pub async fn raise_version(
    connection: &mut PgConnection,
    head: &mut WalletHead,
) -> Result<(), LedgerError> {
    let written = sqlx::query(
        "-- wallets::raise_version
         UPDATE wallets SET version = $2 + 1 WHERE account_key = $1 AND version = $2",
    )
    .bind(head.account_key)
    .bind(head.version)
    .execute(connection)
    .await?;
    check_moved(head, written.rows_affected())?;
    head.version += 1;
    Ok(())
}

/// Sets the credit limit of a locked wallet.
///
/// # Errors
/// `BalanceOutOfRange` if balance plus limit is out of range; `HeadMoved` if the lock was not held.
pub async fn set_credit_limit(
    connection: &mut PgConnection,
    head: &mut WalletHead,
    credit_limit: Money,
) -> Result<(), LedgerError> {
    if !is_exact(head.balance.checked_add(credit_limit)) {
        return Err(LedgerError::BalanceOutOfRange {
            account_key: head.account_key,
            balance: head.balance,
            amount: credit_limit,
        });
    }
    let written = sqlx::query(
        "-- wallets::set_credit_limit
         UPDATE wallets SET credit_limit_micros = $3, version = $2 + 1
         WHERE account_key = $1 AND version = $2",
    )
    .bind(head.account_key)
    .bind(head.version)
    .bind(credit_limit.micros())
    .execute(connection)
    .await?;
    check_moved(head, written.rows_affected())?;
    head.credit_limit = credit_limit;
    head.version += 1;
    Ok(())
}

fn balance_with(head: &WalletHead, entry: &Entry) -> Result<Money, LedgerError> {
    if entry.status != TransactionStatus::Completed {
        return Ok(head.balance);
    }
    let balance = match entry.kind.transaction_type() {
        TransactionType::Credit => head.credited(entry.amount),
        TransactionType::Debit => head.debited(entry.amount),
    };
    balance.ok_or(LedgerError::BalanceOutOfRange {
        account_key: head.account_key,
        balance: head.balance,
        amount: entry.amount,
    })
}

/// True if Redis can count the amount exactly: beyond that, holds cannot be checked against it.
fn is_exact(amount: Option<Money>) -> bool {
    let exact = -Money::EXACT_IN_LUA.micros()..=Money::EXACT_IN_LUA.micros();
    amount.is_some_and(|amount| exact.contains(&amount.micros()))
}

fn check_moved(head: &WalletHead, rows: u64) -> Result<(), LedgerError> {
    if rows == 1 {
        return Ok(());
    }
    Err(LedgerError::HeadMoved { account_key: head.account_key, sequence: head.sequence })
}
