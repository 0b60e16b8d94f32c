//! What charging watches of a wallet: levels of its balance, and the month's spending with its
//! budget. It is read with the wallet's lock, and changed only under it.

use std::collections::HashMap;

use callmeter_core::domain::{Money, TransactionKind, TransactionStatus};
use callmeter_core::policy::budget::{Budget, BudgetStop, Spending, spending_of};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;

/// What is watched of one wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The threshold of auto-refill while it is enabled.
    pub refill_level: Option<Money>,
    /// The account's alert thresholds, or the defaults if it never set any; falling.
    pub alert_levels: Vec<Money>,
    /// What the account may spend in a month.
    pub budget: Option<Budget>,
    /// What it spent in the month of its last row.
    pub spending: Spending,
    /// Number of the last row that `spending` counts.
    pub spent_sequence: i64,
}

impl Watched {
    /// Reads the columns `refill_level_micros`, `alert_levels`, `budget_micros`, `budget_percents`,
    /// `budget_stops`, `spent_micros`, `spending_ends_at` and `spent_sequence`.
    pub(crate) fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let optional = |name: &str| {
            Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(name)?.map(Money::from_micros))
        };
        let mut alert_levels: Vec<i64> = row.try_get("alert_levels")?;
        alert_levels.sort_unstable_by(|one, other| other.cmp(one));
        let budget = match optional("budget_micros")? {
            None => None,
            Some(monthly) => Some(Budget {
                monthly,
                warn_at_percent: row.try_get("budget_percents")?,
                stop: row.try_get("budget_stops")?,
            }),
        };
        Ok(Self {
            refill_level: optional("refill_level_micros")?,
            alert_levels: alert_levels.into_iter().map(Money::from_micros).collect(),
            budget,
            spending: Spending {
                spent: Money::from_micros(row.try_get("spent_micros")?),
                ends_at: row.try_get("spending_ends_at")?,
            },
            spent_sequence: row.try_get("spent_sequence")?,
        })
    }

    /// What new calls may use of the budget; `None`: it stops none.
    pub fn budget_stop(&self) -> Option<BudgetStop> {
        self.budget.as_ref().and_then(|budget| budget.stop(self.spending))
    }
}

/// Reads what is watched of a wallet, without its lock.
///
/// # Errors
/// If Postgres fails, or there is no such wallet.
pub async fn find(connection: &mut PgConnection, account_key: i32) -> Result<Watched, LedgerError> {
    let row = sqlx::query(
        "/* watched::find */
         SELECT refill_level_micros, budget_micros, budget_percents, budget_stops, spent_micros,
             spending_ends_at, spent_sequence, sequence,
             coalesce(alert_levels_micros,
                 (SELECT levels_micros FROM alert_defaults WHERE singleton), '{}') AS alert_levels
         FROM wallets WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_one(&mut *connection)
    .await?;
    let mut watched = Watched::read(&row)?;
    catch_up(connection, [(account_key, row.try_get("sequence")?, &mut watched)]).await?;
    Ok(watched)
}

/// Counts the rows that processes of an older release wrote, which know nothing of spending. Each
/// wallet comes with its account's key and the number of its last row.
pub(crate) async fn catch_up<'a>(
    connection: &mut PgConnection,
    wallets: impl IntoIterator<Item = (i32, i64, &'a mut Watched)>,
) -> Result<(), LedgerError> {
    let wallets = wallets.into_iter();
    let behind = wallets.filter(|(_, sequence, watched)| watched.spent_sequence < *sequence);
    let mut behind: HashMap<i32, &mut Watched> =
        behind.map(|(account_key, _, watched)| (account_key, watched)).collect();
    if behind.is_empty() {
        return Ok(());
    }
    let (account_keys, sequences): (Vec<i32>, Vec<i64>) =
        behind.iter().map(|(account_key, watched)| (*account_key, watched.spent_sequence)).unzip();
    // Sums, because there may be millions of rows.
    let rows = sqlx::query(
        "/* watched::catch_up */
         SELECT account_key, max(t.sequence) AS sequence, max(t.at) AS at, t.kind::text AS kind,
             t.status::text AS status, sum(t.amount_micros)::bigint AS amount_micros
         FROM unnest($1::integer[], $2::bigint[]) AS behind (account_key, counted)
         JOIN transactions AS t USING (account_key)
         WHERE t.sequence > behind.counted
         GROUP BY account_key, date_trunc('month', t.at AT TIME ZONE 'UTC'), t.kind, t.status
         ORDER BY account_key, date_trunc('month', t.at AT TIME ZONE 'UTC')",
    )
    .bind(&account_keys)
    .bind(&sequences)
    .fetch_all(connection)
    .await?;
    let unreadable = |error| LedgerError::unreadable("a transaction", error);
    for row in &rows {
        let account_key: i32 = row.try_get("account_key")?;
        let Some(watched) = behind.get_mut(&account_key) else { continue };
        let kind = TransactionKind::parse(row.try_get("kind")?).map_err(unreadable)?;
        let status = TransactionStatus::parse(row.try_get("status")?).map_err(unreadable)?;
        let amount = Money::from_micros(row.try_get("amount_micros")?);
        watched.spending.enter(row.try_get("at")?, spending_of(kind, status, amount));
        watched.spent_sequence = watched.spent_sequence.max(row.try_get("sequence")?);
    }
    Ok(())
}
