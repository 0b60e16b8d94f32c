//! Creates the missing customers of the simulated world, through the ledger's own functions.
//!
//! An account's properties follow from its number alone, so every run finds the same customers for
//! any seed: every third has no plan; the others are spread over the catalog's plans with anchors
//! on all days of the month, and some have changed their plan lately.

use callmeter_core::domain::{AccountId, IdError, Money, PlanId, TwilioAccountSid};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use futures::FutureExt;
use sqlx::PgConnection;

use super::traffic::account_sid;
use crate::ledger::LedgerError;
use crate::ledger::accounts::{self, NewAccount, NotCreated};
use crate::ledger::audit::By;
use crate::ledger::catalogs;
use crate::ledger::store::{AsStoreError, Store, StoreError};
use crate::ledger::subscriptions;

/// Accounts created in one transaction.
const ACCOUNTS_PER_TRANSACTION: u32 = 100;

/// Why the customers could not be created.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The ledger did not answer, or is broken.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Another account has what a simulated account needs.
    #[error("{sid} belongs to another account than {id}; simulate on a ledger of its own")]
    Taken {
        /// The simulated account.
        id: AccountId,
        /// Its `AccountSid`.
        sid: TwilioAccountSid,
    },
    /// A plan is gone from the catalog.
    #[error("plan {plan} cannot be subscribed to: the catalog changed meanwhile; run again")]
    Plan {
        /// The plan.
        plan: PlanId,
    },
    /// A number that gives no valid id.
    #[error("account {index} cannot be named")]
    Name {
        /// The account's number, from 0.
        index: u32,
        /// The reason.
        source: IdError,
    },
}

impl From<StoreError> for AccountsError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<sqlx::Error> for AccountsError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl AsStoreError for AccountsError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Ledger(error) => error.as_store_error(),
            _ => None,
        }
    }
}

/// A simulated customer.
#[derive(Clone, Debug)]
struct Customer {
    account: NewAccount,
    /// Plans and their starts, in order; empty if it has none.
    plans: Vec<(PlanId, DateTime<Utc>)>,
}

/// Creates the missing ones of the first `count` accounts, with `opening_balance` each; returns how
/// many. Reports progress to `made`.
///
/// # Errors
/// If the ledger does not answer, or contains something else in their place. Run again: accounts
/// that exist are kept.
pub async fn ensure(
    store: &Store,
    count: u32,
    opening_balance: Money,
    now: DateTime<Utc>,
    made: impl Fn(u32),
) -> Result<u32, AccountsError> {
    let mut connection = store.read().await?;
    let history = catalogs::load_history(&mut connection).await?;
    drop(connection);
    let plans: Vec<PlanId> = history
        .map(|history| history.latest().catalog.plans.keys().cloned().collect())
        .unwrap_or_default();
    let mut made_count = 0;
    for first in (0..count).step_by(ACCOUNTS_PER_TRANSACTION as usize) {
        let last = count.min(first + ACCOUNTS_PER_TRANSACTION);
        let customers = (first..last).map(|index| customer(index, &plans, opening_balance, now));
        let customers = customers.collect::<Result<Vec<_>, _>>()?;
        let new = store.transact("simulate::accounts", move |connection| {
            let customers = customers.clone();
            async move {
                let mut new = 0;
                for customer in &customers {
                    new += u32::from(ensure_one(connection, customer, now).await?);
                }
                Ok::<_, AccountsError>(new)
            }
            .boxed()
        });
        made_count += new.await?;
        made(last);
    }
    Ok(made_count)
}

/// The id of a simulated account; indices count from 0.
pub(super) fn id_text(index: u32) -> String {
    format!("sim-{:04}", index + 1)
}

fn customer(
    index: u32,
    plans: &[PlanId],
    opening_balance: Money,
    now: DateTime<Utc>,
) -> Result<Customer, AccountsError> {
    let named = |source| AccountsError::Name { index, source };
    let number = index + 1;
    let id = id_text(index);
    let sid = String::from_utf8_lossy(&account_sid(index)).into_owned();
    let account = NewAccount {
        id: AccountId::parse(&id).map_err(named)?,
        name: format!("Simulated customer {number}"),
        email: None,
        twilio_account_sid: TwilioAccountSid::parse(&sid).map_err(named)?,
        opening_balance,
    };
    let mut subscribed = Vec::new();
    if !plans.is_empty() && !index.is_multiple_of(3) {
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        let days_ago = 45 + i64::from(index * 7 % 60);
        let plan = |place: u32| plans[place as usize % plans.len()].clone();
        subscribed.push((plan(index / 3 + index), hour - TimeDelta::days(days_ago)));
        if index % 10 == 7 {
            subscribed.push((plan(index / 3 + index + 1), hour - TimeDelta::days(10)));
        }
    }
    Ok(Customer { account, plans: subscribed })
}

/// Returns true if the account was missing. An account is created with its plans or not at all.
async fn ensure_one(
    connection: &mut PgConnection,
    customer: &Customer,
    now: DateTime<Utc>,
) -> Result<bool, AccountsError> {
    let by = By::new("simulate", now);
    let new = &customer.account;
    let taken = || AccountsError::Taken { id: new.id.clone(), sid: new.twilio_account_sid.clone() };
    match accounts::create(connection, new, &by).await? {
        Ok(_) => {}
        Err(NotCreated::TwilioAccountSidTaken) => return Err(taken()),
        Err(NotCreated::IdTaken) => {
            let found = accounts::find(connection, &new.id).await?;
            let ours = found.is_some_and(|account| {
                account.twilio_account_sids.contains(&new.twilio_account_sid)
            });
            return if ours { Ok(false) } else { Err(taken()) };
        }
    }
    for (plan, starts_at) in &customer.plans {
        let changed = subscriptions::change(connection, &new.id, Some(plan), *starts_at, &by);
        if changed.await?.is_err() {
            return Err(AccountsError::Plan { plan: plan.clone() });
        }
    }
    Ok(true)
}
