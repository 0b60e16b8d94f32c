//! Runs every change, requested over HTTP or from the command line.
//!
//! Beside the flow. A caller parses, passes a [`Change`] to [`Changes::run`], and renders the
//! result. A change is one named transaction. It is committed only with its audit entry, and
//! returned only when every later authorization sees it.
//!
//! It must never commit a change without an audit entry, nor report a change as done while an
//! authorization may still miss it.

use std::future::Future;
use std::sync::Arc;

use callmeter_core::domain::AccountId;
use futures::FutureExt;
use sqlx::PgConnection;

use crate::balance::{Balance, BalanceError};
use crate::keys::KeyCache;
use crate::ledger::audit::By;
use crate::ledger::idempotency::{self, Answer, Earlier, RequestName};
use crate::ledger::keys::KeyId;
use crate::ledger::store::Store;
use crate::ledger::{LedgerError, Refusable};

/// A use case that changes something, with its input.
pub trait Change: Clone + Send + Sync + 'static {
    /// The result.
    type Done: Send + 'static;
    /// Why it is refused, without effect.
    type Refusal: Send + 'static;
    /// Name of the transaction in logs and metrics.
    const NAME: &'static str;

    /// Makes the change within a transaction. The transaction may run several times, so the only
    /// effects must be through the connection. Writes an audit entry through `by`, or calls
    /// [`By::changed_nothing`].
    fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> impl Future<Output = Refusable<Self::Done, Self::Refusal>> + Send;

    /// What every process must see before the change is answered. `done` is `None` if an earlier
    /// request made the change and only its stored answer is known.
    fn affects(&self, done: Option<&Self::Done>) -> Affected;
}

/// What a change invalidates in the memory of processes and in Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Accounts whose wallet or policy changed.
    pub accounts: Vec<AccountId>,
    /// The revoked key.
    pub revoked_key: Option<KeyId>,
}

impl Affected {
    /// Nothing that authorizations read.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One account.
    pub fn account(id: &AccountId) -> Self {
        Self { accounts: vec![id.clone()], revoked_key: None }
    }

    /// A revoked key.
    pub fn key(id: KeyId) -> Self {
        Self { accounts: Vec::new(), revoked_key: Some(id) }
    }
}

/// Why a change cannot be reported as done.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Nothing was changed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The change is committed, but authorizations may still miss it for a while.
    #[error("the change of account {account} is made, but authorizations may not see it yet")]
    NotVisible {
        /// The account.
        account: AccountId,
        /// Why neither Redis nor Postgres could be told.
        source: BalanceError,
    },
}

/// The result of a request that may be a repetition.
#[derive(Debug)]
pub enum Once<T> {
    /// It ran now.
    Now(T),
    /// It ran before, with this answer.
    Earlier(Answer),
    /// Its Idempotency-Key belongs to a request with another body. Nothing was changed.
    OtherBody,
}

/// Runs changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Changes {
    store: Store,
    balance: Balance,
    keys: KeyCache,
}

impl Changes {
    /// Runs changes in the ledger, and makes them visible to authorizations through `balance` and
    /// `keys`.
    pub fn new(store: Store, balance: Balance, keys: KeyCache) -> Self {
        Self { store, balance, keys }
    }

    /// What makes changes visible to authorizations.
    pub fn balance(&self) -> &Balance {
        &self.balance
    }

    /// Runs a change. When this returns a result, every later authorization sees it.
    ///
    /// # Errors
    /// `Ledger`: nothing was changed. `NotVisible`: it is changed, but may be missed for a while.
    pub async fn run<C: Change>(
        &self,
        change: C,
        by: By,
    ) -> Result<Result<C::Done, C::Refusal>, ChangeError> {
        match self.run_once(change, by, None, |result| Ok((result, None))).await? {
            Once::Now(result) => Ok(result),
            Once::Earlier(_) | Once::OtherBody => {
                Err(LedgerError::unreadable("a change", "an answer to a request without key")
                    .into())
            }
        }
    }

    /// Runs a change once per `request`. `answer` turns the result into the caller's answer and
    /// into the text stored for the next request of the same name; both must be pure.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_once<C, T, A>(
        &self,
        change: C,
        by: By,
        request: Option<RequestName>,
        answer: A,
    ) -> Result<Once<T>, ChangeError>
    where
        C: Change,
        T: Send + 'static,
        A: Fn(Result<C::Done, C::Refusal>) -> Result<(T, Option<Answer>), LedgerError>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let by = Arc::new(by);
        let affected_before = change.affects(None);
        let ran = self.store.transact(C::NAME, move |connection| {
            let (change, by) = (change.clone(), Arc::clone(&by));
            let (request, answer) = (request.clone(), answer.clone());
            async move { run_in(connection, &change, &by, request.as_ref(), answer).await }.boxed()
        });
        Ok(match ran.await? {
            Ran::Now(answer, affected) => {
                self.make_visible(affected).await?;
                Once::Now(answer)
            }
            Ran::Earlier(answer) => {
                // The process that made it may have died before the change was visible.
                self.make_visible(affected_before).await?;
                Once::Earlier(answer)
            }
            Ran::OtherBody => Once::OtherBody,
        })
    }

    /// Returns when every later authorization sees what a change affects. Where Redis is silent,
    /// Postgres notes the account, and this waits one lease (decision 0041).
    ///
    /// # Errors
    /// `NotVisible`: an authorization may miss it for a while.
    pub async fn make_visible(&self, affected: Affected) -> Result<(), ChangeError> {
        for account in affected.accounts {
            if let Err(source) = self.balance.make_visible(&account).await {
                let error = &source as &dyn std::error::Error;
                tracing::error!(%account, error, "authorizations may not see a change yet");
                return Err(ChangeError::NotVisible { account, source });
            }
        }
        if let Some(key) = affected.revoked_key {
            self.keys.until_refused(key).await;
        }
        Ok(())
    }
}

/// Runs a change in the ledger alone, for a change of which authorizations know nothing, or whose
/// caller shows it to them. The same audit check holds.
///
/// # Errors
/// Nothing was changed.
pub async fn commit<C: Change>(
    store: &Store,
    change: C,
    by: By,
) -> Result<Result<C::Done, C::Refusal>, LedgerError> {
    let by = Arc::new(by);
    let committed = store.transact(C::NAME, move |connection| {
        let (change, by) = (change.clone(), Arc::clone(&by));
        async move { apply(connection, &change, &by).await }.boxed()
    });
    committed.await
}

/// Applies a change, and refuses one that the audit does not note.
async fn apply<C: Change>(
    connection: &mut PgConnection,
    change: &C,
    by: &By,
) -> Refusable<C::Done, C::Refusal> {
    let noted_before = by.noted();
    let result = change.apply(connection, by).await?;
    if result.is_ok() && by.noted() == noted_before {
        return Err(LedgerError::Unaudited);
    }
    Ok(result)
}

/// What one transaction came to.
enum Ran<T> {
    Now(T, Affected),
    Earlier(Answer),
    OtherBody,
}

async fn run_in<C, T, A>(
    connection: &mut PgConnection,
    change: &C,
    by: &By,
    request: Option<&RequestName>,
    answer: A,
) -> Result<Ran<T>, LedgerError>
where
    C: Change,
    A: Fn(Result<C::Done, C::Refusal>) -> Result<(T, Option<Answer>), LedgerError>,
{
    if let Some(request) = request {
        match idempotency::earlier(connection, request, by.at).await? {
            Earlier::Nothing => {}
            Earlier::Answered(answer) => return Ok(Ran::Earlier(answer)),
            Earlier::OtherBody => return Ok(Ran::OtherBody),
        }
    }
    let result = apply(connection, change, by).await?;
    let affected = match &result {
        Ok(done) => change.affects(Some(done)),
        Err(_) => Affected::nothing(),
    };
    let (answer, kept) = answer(result)?;
    if let (Some(request), Some(kept)) = (request, kept) {
        idempotency::keep(connection, request, &kept, by.at).await?;
    }
    Ok(Ran::Now(answer, affected))
}
