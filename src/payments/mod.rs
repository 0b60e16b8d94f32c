//! Payments by card through Stripe: refills, saved cards, Stripe's web hooks.
//!
//! Beside the flow: HTTP, web hooks and a job call the use cases here. A refill is a row with a
//! state; `callmeter_core::policy::refill_state` says which step comes next, and `advance` takes
//! it. Only this module asks Stripe to move money.
//!
//! It must never assume that a request to Stripe without an answer had no effect, credit a payment
//! that does not fit, or see the data of a card.

mod action;
mod advance;
mod auto_refill;
mod begin;
mod cards;
mod customers;
mod endpoint;
mod facts;
mod limits;
mod recover;
mod refunds;
mod requests;
mod resolve;
mod settle;
mod stripe_event;
mod unfinished;

use std::sync::Arc;
use std::time::Duration;

use callmeter_core::domain::{AccountId, Money, RefillId};
use callmeter_core::policy::auto_refill::AutoRefillLimits;
use callmeter_core::policy::refill_state::RefillLimits;
use chrono::TimeDelta;
use tokio::sync::OnceCell;

pub(crate) use auto_refill::view as auto_refill_view;
pub(crate) use auto_refill::{AutoRefillRequest, CapGiven, CardGiven, NotSet, SetAutoRefill};
pub use begin::{Begun, CardChoice, NotBegun, RefillRequest};
pub use cards::{CardSetup, CardsError};
pub use endpoint::{EndpointCheck, STRIPE_CHECK, StripeCheck, WEBHOOK_PATH};
pub use limits::{OverLimit, RefillRules};
pub use recover::{NotMatched, Recovered};
pub(crate) use refunds::{NotRefunded, RefundRequest};
pub use resolve::NotResolved;
pub use settle::Settled;
pub use stripe_event::{EventOutcome, EventRefusal};

use crate::change::{ChangeError, Changes};
use crate::clock::Clock;
use crate::config::{Secret, Settings};
use crate::ledger::LedgerError;
use crate::ledger::audit::By;
use crate::ledger::payments::refills::{self, Refill, Which};
use crate::ledger::payments::stripe_account::{self, StripeAccount};
use crate::ledger::store::{AsStoreError, Store, StoreError};
use crate::stripe::{Deadline, StripeClient, StripeError};
use crate::wallet::Wallets;

/// Micro-dollars of a cent.
const MICROS_PER_CENT: i64 = 10_000;

/// Why a use case of payments ends without a result.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The change is committed, but authorizations may not see it yet.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Stripe did not do what it was asked for.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// The key belongs to another Stripe account or mode than this ledger.
    #[error("the key is of another Stripe account or mode than this ledger's payments")]
    OtherStripeAccount,
    /// The ledger went back in time, and may lack payments: `callmeter recover` brings them back.
    #[error("the ledger may lack payments that stripe has: run callmeter recover")]
    RecoveryNeeded,
    /// Nobody knows how much calls hold, so no money can be set aside.
    #[error("holds are unknown right now")]
    HoldsUnknown,
}

impl From<StoreError> for PaymentError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl AsStoreError for PaymentError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Ledger(error) | Self::Change(ChangeError::Ledger(error)) => {
                error.as_store_error()
            }
            _ => None,
        }
    }
}

/// The settings of payments.
#[derive(Clone, Debug)]
struct PaymentSettings {
    publishable_key: String,
    webhook_secrets: Vec<Secret>,
    is_live: bool,
    public_url: Option<String>,
    timeout: Duration,
    limits: RefillLimits,
    rules: RefillRules,
    auto_limits: AutoRefillLimits,
}

/// The use cases of payments. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Payments(Arc<Inner>);

/// The parts of [`Payments`].
#[derive(Debug)]
pub struct Inner {
    store: Store,
    changes: Changes,
    wallets: Wallets,
    stripe: StripeClient,
    clock: Clock,
    settings: PaymentSettings,
    /// This ledger's id at Stripe; read when it is first needed.
    ledger_id: OnceCell<String>,
    /// Whether the key is of the ledger's own Stripe account; set once that is known.
    account_is_ours: OnceCell<bool>,
    /// Set once Stripe was asked for payments that the ledger lacks, and has none.
    has_no_lost_payment: OnceCell<()>,
}

impl std::ops::Deref for Payments {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Payments {
    /// The use cases, if a key of Stripe is set.
    ///
    /// # Errors
    /// If the client cannot be created.
    pub fn from_settings(
        settings: &Settings,
        store: Store,
        changes: Changes,
        clock: Clock,
    ) -> Result<Option<Self>, StripeError> {
        let (stripe, refill) = (&settings.stripe, &settings.refill);
        let Some(key) = stripe.api_key.clone() else { return Ok(None) };
        let is_live = stripe.is_live();
        let rules = RefillRules {
            minimum: refill.minimum,
            declines_per_hour: refill.declines_per_hour(is_live),
            setups_per_hour: refill.setups_per_hour(is_live),
            daily_max: refill.daily_max,
        };
        let action_max = TimeDelta::minutes(stripe.action_minutes.into());
        let low_balance = settings.wallet.low_balance_threshold;
        let auto_limits = settings.auto_refill.limits(&settings.refill);
        let settings = PaymentSettings {
            publishable_key: stripe.publishable_key.clone().unwrap_or_default(),
            webhook_secrets: stripe.webhook_secrets(),
            is_live,
            public_url: settings.http.public_url.clone(),
            timeout: Duration::from_secs(stripe.timeout_seconds.into()),
            limits: RefillLimits { action_max },
            rules,
            auto_limits,
        };
        let wallets = Wallets::new(store.clone(), changes.balance().clone(), low_balance);
        Ok(Some(Self(Arc::new(Inner {
            store,
            changes,
            wallets,
            stripe: StripeClient::open(&stripe.api_base, &key)?,
            clock,
            settings,
            ledger_id: OnceCell::new(),
            account_is_ours: OnceCell::new(),
            has_no_lost_payment: OnceCell::new(),
        }))))
    }

    /// The key with which a browser talks to Stripe.
    pub fn publishable_key(&self) -> &str {
        &self.settings.publishable_key
    }

    /// The least amount of a refill.
    pub fn minimum(&self) -> Money {
        self.settings.rules.minimum
    }

    /// Until when all questions to Stripe of a request that begins now may take.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.settings.timeout)
    }

    /// True if a bank's page may lead back to an address: one of this service, which
    /// `http.public_url` names. With a test key and without that setting, any.
    pub fn accepts_return_url(&self, url: &str) -> bool {
        let Ok(url) = reqwest::Url::parse(url) else { return false };
        let own = self.settings.public_url.as_deref().map(reqwest::Url::parse);
        match own {
            Some(Ok(own)) => own.origin() == url.origin(),
            _ => !self.settings.is_live && matches!(url.scheme(), "http" | "https"),
        }
    }

    /// The client secret of a refill that waits for the customer; `None` while Stripe is away.
    pub async fn client_secret(&self, refill: &Refill, deadline: Deadline) -> Option<String> {
        let intent = refill.payment_intent.as_ref()?;
        let read = self.stripe.payment_intent(intent, deadline).await.ok()?;
        read.client_secret.map(|secret| secret.expose().to_owned())
    }

    /// Begins a refill, or finds the one that an earlier request with the same key began. A new one
    /// is claimed for this process: call [`Self::advance`] next.
    ///
    /// # Errors
    /// Nothing is begun, unless the error is `NotVisible`. `OtherStripeAccount` once that is known.
    pub async fn begin(
        &self,
        account: AccountId,
        request: RefillRequest,
        key: Option<(String, [u8; 32])>,
        by: By,
    ) -> Result<Result<Begun, NotBegun>, PaymentError> {
        if self.account_is_ours.get() == Some(&false) {
            return Err(PaymentError::OtherStripeAccount);
        }
        self.check_recovery().await?;
        let change = begin::BeginRefill {
            account,
            id: RefillId::from_random(rand::random()),
            request,
            key,
            rules: self.settings.rules,
            claimed_for: self.claim_time(),
        };
        Ok(self.changes.run(change, by).await?)
    }

    /// Reads a refill.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn refill(&self, id: &RefillId) -> Result<Option<Refill>, PaymentError> {
        Ok(refills::find(&mut *self.store.read().await?, Which::Id(id)).await?)
    }

    /// A request works on a refill for the time limit; a process that died frees it soon after.
    fn claim_time(&self) -> TimeDelta {
        TimeDelta::from_std(self.settings.timeout).unwrap_or_default() + TimeDelta::seconds(1)
    }

    async fn ledger_id(&self) -> Result<&str, PaymentError> {
        let read =
            || async { Ok(stripe_account::ledger_id(&mut *self.store.read().await?).await?) };
        self.ledger_id.get_or_try_init(read).await.map(String::as_str)
    }

    /// Checks before the first act on money that the key is of the Stripe account that the ledger
    /// recorded, and records it if none is recorded.
    /// Stripe is a witness too: if it has a payment that the ledger lacks, acts on money wait.
    async fn check_account(&self, deadline: Deadline) -> Result<(), PaymentError> {
        self.check_own_account(deadline).await?;
        let look = || self.look_for_lost_payments(deadline);
        self.has_no_lost_payment.get_or_try_init(look).await.copied()
    }

    /// Checks that the key is of the Stripe account that the ledger recorded.
    async fn check_own_account(&self, deadline: Deadline) -> Result<(), PaymentError> {
        let check = || async {
            let account = self.stripe.account(deadline).await?;
            let ours = StripeAccount { id: account.id, livemode: self.settings.is_live };
            let (found, now) = (ours.clone(), self.clock.now());
            let recorded = self.store.transact("stripe_account::record", move |connection| {
                let found = found.clone();
                Box::pin(async move { stripe_account::record(connection, &found, now).await })
            });
            Ok::<_, PaymentError>(recorded.await? == ours)
        };
        let is_ours = *self.account_is_ours.get_or_try_init(check).await?;
        if is_ours { Ok(()) } else { Err(PaymentError::OtherStripeAccount) }
    }
}

/// Dollars of an amount in cents; `None`: beyond the range of amounts.
fn dollars_of(cents: i64) -> Option<Money> {
    cents.checked_mul(MICROS_PER_CENT).map(Money::from_micros)
}

/// An amount in cents; `None`: it has fractions of a cent.
pub fn cents(amount: Money) -> Option<i64> {
    (amount.micros() % MICROS_PER_CENT == 0).then(|| amount.micros() / MICROS_PER_CENT)
}
