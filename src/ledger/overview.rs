//! One account as its wallet page needs it, in one statement: one round trip, one snapshot.

use std::collections::HashMap;

use callmeter_core::domain::{
    AccountId, AccountStatus, CatalogVersion, Money, SubscriptionId, SubscriptionTimeline,
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::catalogs::CatalogStamp;
use super::error::LedgerError;
use super::store::StoreError;
use super::subscriptions;

/// The data of a wallet page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Internal key.
    pub account_key: i32,
    /// Open or closed.
    pub status: AccountStatus,
    /// Version of the wallet.
    pub version: i64,
    /// Balance after the last transaction.
    pub balance: Money,
    /// How far below zero the balance may go before calls are refused.
    pub credit_limit: Money,
    /// Money set aside for refunds in progress.
    pub reserved: Money,
    /// The account's alert thresholds, or the defaults if it never set any.
    pub alert_levels: Vec<Money>,
    /// The plans over time.
    pub timeline: SubscriptionTimeline,
    /// Used seconds of recent cycles.
    pub cycles_used: Vec<CycleUsed>,
    /// The catalog accepted last; `None`: none was accepted yet.
    pub catalog: Option<CatalogStamp>,
}

/// Used seconds of one cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleUsed {
    /// The subscription of the cycle.
    pub subscription: SubscriptionId,
    /// Start of the cycle.
    pub start: DateTime<Utc>,
    /// Used allowance seconds.
    pub seconds: i64,
}

/// The version of each wallet.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn versions(
    connection: &mut PgConnection,
    accounts: &[AccountId],
) -> Result<HashMap<AccountId, i64>, StoreError> {
    let rows = sqlx::query(
        "-- overview::versions
         SELECT a.id, w.version FROM accounts AS a JOIN wallets AS w USING (account_key)
         WHERE a.id = ANY($1)",
    )
    .bind(accounts.iter().map(AccountId::as_str).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut versions = HashMap::with_capacity(rows.len());
    for row in rows {
        let id: String = row.try_get("id")?;
        if let Ok(id) = AccountId::parse(&id) {
            versions.insert(id, row.try_get("version")?);
        }
    }
    Ok(versions)
}

impl Overview {
    /// Used seconds of a cycle; zero if it has no call.
    pub fn used_seconds(&self, subscription: SubscriptionId, start: DateTime<Utc>) -> u64 {
        let of_cycle = |used: &&CycleUsed| used.subscription == subscription && used.start == start;
        let used = self.cycles_used.iter().find(of_cycle);
        used.map_or(0, |used| u64::try_from(used.seconds).unwrap_or(0))
    }
}

/// Reads the data of an account's wallet page; `None`: there is no such account.
///
/// # Errors
/// `Unreadable` if a row holds what this program never writes.
pub async fn read(
    connection: &mut PgConnection,
    id: &AccountId,
    now: DateTime<Utc>,
) -> Result<Option<Overview>, LedgerError> {
    // A cycle lasts at most 31 days: one that began earlier is not the current one.
    let row = sqlx::query(
        "-- overview::read
         SELECT a.account_key, a.status, w.version AS wallet_version, w.balance_micros, w.credit_limit_micros, w.reserved_micros,
             coalesce(w.alert_levels_micros,
                 (SELECT levels_micros FROM alert_defaults WHERE singleton), '{}') AS alert_levels,
             s.subscription_ids, s.plans, s.starts,
             c.cycle_subscription_ids, c.cycle_starts, c.used_seconds,
             v.version, v.accepted_at
         FROM accounts AS a
         JOIN wallets AS w USING (account_key)
         CROSS JOIN LATERAL (
             SELECT array_agg(subscription_id) AS subscription_ids, array_agg(plan) AS plans,
                 array_agg(starts_at) AS starts
             FROM subscriptions WHERE account_key = a.account_key) AS s
         CROSS JOIN LATERAL (
             SELECT array_agg(subscription_id) AS cycle_subscription_ids,
                 array_agg(cycle_start) AS cycle_starts, array_agg(used_seconds) AS used_seconds
             FROM cycles
             WHERE account_key = a.account_key
               AND cycle_start > $2 - interval '32 days' AND cycle_start <= $2) AS c
         LEFT JOIN LATERAL (
             SELECT version, accepted_at FROM catalog_versions
             ORDER BY version DESC LIMIT 1) AS v ON true
         WHERE a.id = $1",
    )
    .bind(id.as_str())
    .bind(now)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let ids: Vec<i64> = row.try_get::<Option<_>, _>("subscription_ids")?.unwrap_or_default();
    let plans: Vec<Option<String>> = row.try_get::<Option<_>, _>("plans")?.unwrap_or_default();
    let starts: Vec<DateTime<Utc>> = row.try_get::<Option<_>, _>("starts")?.unwrap_or_default();
    let entries = ids.into_iter().zip(plans).zip(starts);
    let entries = entries
        .map(|((id, plan), starts_at)| subscriptions::entry(id, plan.as_deref(), starts_at))
        .collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<i64> = row.try_get::<Option<_>, _>("cycle_subscription_ids")?.unwrap_or_default();
    let starts: Vec<DateTime<Utc>> =
        row.try_get::<Option<_>, _>("cycle_starts")?.unwrap_or_default();
    let used: Vec<i64> = row.try_get::<Option<_>, _>("used_seconds")?.unwrap_or_default();
    let cycles = ids.into_iter().zip(starts).zip(used);
    let alert_levels: Vec<i64> = row.try_get("alert_levels")?;
    let version: Option<i32> = row.try_get("version")?;
    let accepted_at: Option<DateTime<Utc>> = row.try_get("accepted_at")?;
    Ok(Some(Overview {
        account_key: row.try_get("account_key")?,
        status: AccountStatus::parse(row.try_get("status")?)
            .map_err(|error| LedgerError::unreadable("an account's status", error))?,
        version: row.try_get("wallet_version")?,
        balance: Money::from_micros(row.try_get("balance_micros")?),
        credit_limit: Money::from_micros(row.try_get("credit_limit_micros")?),
        reserved: Money::from_micros(row.try_get("reserved_micros")?),
        alert_levels: alert_levels.into_iter().map(Money::from_micros).collect(),
        timeline: SubscriptionTimeline::new(entries),
        cycles_used: cycles
            .map(|((id, start), seconds)| CycleUsed {
                subscription: SubscriptionId(id),
                start,
                seconds,
            })
            .collect(),
        catalog: version.zip(accepted_at).map(|(version, accepted_at)| CatalogStamp {
            version: CatalogVersion(version),
            accepted_at,
        }),
    }))
}
