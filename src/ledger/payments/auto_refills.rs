//! Auto-refill: what each account set, and what became of it.
//!
//! Everything here is written under the wallet's lock, so that two processes make one refill.

use callmeter_core::domain::{AccountId, Money, PaymentMethodId, RefillStatus};
use callmeter_core::policy::auto_refill::{AutoRefillFacts, AutoRefillTerms, RefillSize};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Row};

use crate::ledger::error::LedgerError;
use crate::ledger::store::StoreError;

/// Auto-refill of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct AutoRefill {
    pub is_enabled: bool,
    pub terms: AutoRefillTerms,
    pub payment_method: Option<PaymentMethodId>,
    pub off_reason: Option<String>,
    pub soft_declines: i32,
    pub retry_at: Option<DateTime<Utc>>,
    pub capped_month: Option<NaiveDate>,
}

/// Reads what an account set; `None`: nothing yet.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn find(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Option<AutoRefill>, LedgerError> {
    let row = sqlx::query(
        "/* auto_refills::find */
         SELECT is_enabled, threshold_micros, amount_micros, target_micros, monthly_cap_micros,
             payment_method, off_reason, soft_declines, retry_at, capped_month
         FROM auto_refills WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let money = |name: &str| {
        Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(name)?.map(Money::from_micros))
    };
    let size = match (money("amount_micros")?, money("target_micros")?) {
        (Some(amount), _) => RefillSize::Amount(amount),
        (None, Some(target)) => RefillSize::Target(target),
        (None, None) => return Err(LedgerError::unreadable("auto-refill", "it has no size")),
    };
    let method: Option<String> = row.try_get("payment_method")?;
    let method = method.map(|id| PaymentMethodId::parse(&id)).transpose();
    Ok(Some(AutoRefill {
        is_enabled: row.try_get("is_enabled")?,
        terms: AutoRefillTerms {
            threshold: money("threshold_micros")?.unwrap_or_default(),
            size,
            monthly_cap: money("monthly_cap_micros")?,
        },
        payment_method: method
            .map_err(|error| LedgerError::unreadable("a payment method", error))?,
        off_reason: row.try_get("off_reason")?,
        soft_declines: row.try_get("soft_declines")?,
        retry_at: row.try_get("retry_at")?,
        capped_month: row.try_get("capped_month")?,
    }))
}

/// Stores what an account set. What became of earlier refills is forgotten, and if it is enabled
/// the balance is looked at soon.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn set(
    connection: &mut PgConnection,
    account_key: i32,
    terms: &AutoRefillTerms,
    payment_method: Option<&PaymentMethodId>,
    is_enabled: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (amount, target) = match terms.size {
        RefillSize::Amount(amount) => (Some(amount), None),
        RefillSize::Target(target) => (None, Some(target)),
    };
    sqlx::query(
        "/* auto_refills::set */
         INSERT INTO auto_refills (account_key, is_enabled, threshold_micros, amount_micros,
             target_micros, monthly_cap_micros, payment_method, set_at, look_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $2 THEN $8 END)
         ON CONFLICT (account_key) DO UPDATE SET is_enabled = EXCLUDED.is_enabled,
             threshold_micros = EXCLUDED.threshold_micros, amount_micros = EXCLUDED.amount_micros,
             target_micros = EXCLUDED.target_micros, set_at = EXCLUDED.set_at,
             monthly_cap_micros = EXCLUDED.monthly_cap_micros, look_at = EXCLUDED.look_at,
             payment_method = EXCLUDED.payment_method, off_reason = NULL, soft_declines = 0,
             retry_at = NULL, capped_month = NULL",
    )
    .bind(account_key)
    .bind(is_enabled)
    .bind(terms.threshold.micros())
    .bind(amount.map(Money::micros))
    .bind(target.map(Money::micros))
    .bind(terms.monthly_cap.map(Money::micros))
    .bind(payment_method.map(PaymentMethodId::as_str))
    .bind(now)
    .execute(&mut *connection)
    .await?;
    watch(connection, account_key, is_enabled.then_some(terms.threshold)).await
}

/// Sets the level of the balance that charging watches.
async fn watch(
    connection: &mut PgConnection,
    account_key: i32,
    level: Option<Money>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* auto_refills::watch */ UPDATE wallets SET refill_level_micros = $2
         WHERE account_key = $1",
    )
    .bind(account_key)
    .bind(level.map(Money::micros))
    .execute(connection)
    .await?;
    Ok(())
}

/// Switches auto-refill off, for a reason, or by the customer; true if it was on.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn switch_off(
    connection: &mut PgConnection,
    account_key: i32,
    reason: Option<&str>,
) -> Result<bool, StoreError> {
    let switched = sqlx::query(
        "/* auto_refills::switch_off */
         UPDATE auto_refills SET is_enabled = false, off_reason = $2, look_at = NULL,
             retry_at = NULL WHERE account_key = $1 AND is_enabled",
    )
    .bind(account_key)
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    watch(connection, account_key, None).await?;
    Ok(switched.rows_affected() == 1)
}

/// Notes when the balance is to be looked at again; `None`: when it crosses the threshold.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn look_again(
    connection: &mut PgConnection,
    account_key: i32,
    at: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* auto_refills::look_again */ UPDATE auto_refills SET look_at = $2
         WHERE account_key = $1 AND is_enabled",
    )
    .bind(account_key)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that the month's cap is reached; true if that was not told in this month.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_capped(
    connection: &mut PgConnection,
    account_key: i32,
    month: NaiveDate,
) -> Result<bool, StoreError> {
    let noted = sqlx::query(
        "/* auto_refills::note_capped */ UPDATE auto_refills SET capped_month = $2
         WHERE account_key = $1 AND capped_month IS DISTINCT FROM $2",
    )
    .bind(account_key)
    .bind(month)
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Notes the soft declines in a row, and the end of the back-off, at which the balance is looked at
/// again.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_declines(
    connection: &mut PgConnection,
    account_key: i32,
    soft_declines: i32,
    retry_at: Option<DateTime<Utc>>,
    look_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* auto_refills::note_declines */
         UPDATE auto_refills SET soft_declines = $2, retry_at = $3, look_at = $4
         WHERE account_key = $1 AND is_enabled",
    )
    .bind(account_key)
    .bind(soft_declines)
    .bind(retry_at)
    .bind(look_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Accounts whose balance is to be looked at, the longest waiting first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn due(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<AccountId>, LedgerError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "/* auto_refills::due */
         SELECT a.id FROM auto_refills AS r JOIN accounts AS a USING (account_key)
         WHERE r.look_at <= $1 ORDER BY r.look_at LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let unreadable = |error| LedgerError::unreadable("an account id", error);
    ids.iter().map(|id| AccountId::parse(id).map_err(unreadable)).collect()
}

/// The balance of an account.
///
/// # Errors
/// If Postgres is unavailable, or there is no such account.
pub async fn balance(connection: &mut PgConnection, account_key: i32) -> Result<Money, StoreError> {
    let micros = sqlx::query_scalar(
        "/* auto_refills::balance */ SELECT balance_micros FROM wallets WHERE account_key = $1",
    );
    Ok(Money::from_micros(micros.bind(account_key).fetch_one(connection).await?))
}

/// What the ledger says of an account's automatic refills, and the one that is not finished: its
/// status, and when it was begun. `month` is the month's first instant, `burst` the time in which
/// bursts are counted.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn facts(
    connection: &mut PgConnection,
    account_key: i32,
    (balance, retry_at): (Money, Option<DateTime<Utc>>),
    month: DateTime<Utc>,
    burst: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(AutoRefillFacts, Option<(RefillStatus, DateTime<Utc>)>), LedgerError> {
    let row = sqlx::query(
        "/* auto_refills::facts */
         SELECT (SELECT status FROM refills WHERE account_key = $1 AND trigger = 'auto'
                 AND finished_at IS NULL LIMIT 1) AS status,
             (SELECT created_at FROM refills WHERE account_key = $1 AND trigger = 'auto'
                 AND finished_at IS NULL LIMIT 1) AS begun_at,
             coalesce(sum(amount_micros)
                 FILTER (WHERE created_at >= $2 AND status <> 'failed'), 0)::bigint AS this_month,
             count(*) FILTER (WHERE created_at > $3) AS begun_lately,
             min(created_at) FILTER (WHERE created_at > $3) AS first_lately_at
         FROM refills
         WHERE account_key = $1 AND trigger = 'auto' AND created_at >= least($2, $3)",
    )
    .bind(account_key)
    .bind(month)
    .bind(now - burst)
    .fetch_one(connection)
    .await?;
    let status: Option<String> = row.try_get("status")?;
    let status = status.map(|status| RefillStatus::parse(&status)).transpose();
    let status = status.map_err(|error| LedgerError::unreadable("a refill", error))?;
    let facts = AutoRefillFacts {
        balance,
        is_in_flight: status.is_some(),
        this_month: Money::from_micros(row.try_get("this_month")?),
        begun_lately: row.try_get("begun_lately")?,
        first_lately_at: row.try_get("first_lately_at")?,
        retry_at,
    };
    Ok((facts, status.zip(row.try_get("begun_at")?)))
}

/// What the customer agreed to.
#[derive(Clone, Debug)]
pub struct Consent<'a> {
    /// The sentence as shown.
    pub sentence: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Who agreed.
    pub who: &'a str,
    /// The client's address.
    pub address: Option<&'a str>,
    /// Amounts and card.
    pub settings: Value,
}

/// Keeps a consent.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn keep_consent(
    connection: &mut PgConnection,
    account_key: i32,
    consent: &Consent<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* auto_refills::keep_consent */
         INSERT INTO auto_refill_consents
             (account_key, at, who, address, version, sentence, settings)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(account_key)
    .bind(now)
    .bind(consent.who)
    .bind(consent.address)
    .bind(consent.version)
    .bind(consent.sentence)
    .bind(&consent.settings)
    .execute(connection)
    .await?;
    Ok(())
}
