//! Compares Stripe's books with the ledger: each payment of this ledger with its credit, its refunds
//! and its disputes; and reads fees and payouts.
//!
//! Beside the flow; it writes only its own tables. It asks Stripe by lists, page by page, and moves
//! no money: a difference is told, never repaired here. Payments of other ledgers on the same Stripe
//! account are not looked at.

mod compare;
mod found;
mod ours;
mod payouts;
mod report;
mod store;
mod theirs;

use std::time::Duration;

use callmeter_core::domain::{Money, PaymentIntentId};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

pub use compare::{Difference, Reason};
pub use report::{Counts, NotPaidOut, PayoutRow, Report, Settled, Sums};
pub use store::{Open, open};

use crate::clock::Clock;
use crate::config::Settings;
use crate::ledger::LedgerError;
use crate::ledger::payments::stripe_account;
use crate::ledger::store::{Store, StoreError};
use crate::reconcile::DayRange;
use crate::stripe::{Created, Deadline, ListedPayment, StripeClient, StripeError};
use compare::{InLedger, explain};
use found::{Found, report};
use ours::Credit;
use store::Settlement;
use theirs::{Returns, instant, settlement};

/// Name of the job and of its lock.
pub const NAME: &str = "reconcile_stripe";

/// What moved later than this before now may not have reached the other side yet.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(10);
/// Longest wait for a page of Stripe's.
const PAGE_MAX: Duration = Duration::from_secs(30);
/// Payments read from Postgres at once.
const AT_ONCE: usize = 1_000;
/// Credits without a payment in Stripe's lists that are asked for one by one. Usually there is none,
/// or one that was made at midnight.
const LOOKUPS_MAX: usize = 1_000;
/// Earlier days with open differences that a review compares again.
const OLD_DAYS_MAX: i64 = 31;

/// What a comparison needs.
#[derive(Clone, Debug)]
pub struct Books {
    store: Store,
    stripe: StripeClient,
    clock: Clock,
    is_live: bool,
}

/// Why a comparison ended early.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// Postgres could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Stripe could not be asked.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// The key belongs to another Stripe account or mode than this ledger's payments.
    #[error("the key is of another Stripe account or mode than this ledger's payments")]
    OtherStripeAccount,
}

impl From<StoreError> for BooksError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl Books {
    /// Prepares a comparison, if a key of Stripe is set; connects on first use.
    ///
    /// # Errors
    /// If the client cannot be created.
    pub fn from_settings(
        settings: &Settings,
        store: Store,
        clock: Clock,
    ) -> Result<Option<Self>, StripeError> {
        let Some(key) = &settings.stripe.api_key else { return Ok(None) };
        let stripe = StripeClient::open(&settings.stripe.api_base, key)?;
        Ok(Some(Self { store, stripe, clock, is_live: settings.stripe.is_live() }))
    }

    /// Compares these days, and earlier ones that still have open differences; returns what is open.
    ///
    /// # Errors
    /// If Postgres or Stripe fails.
    pub async fn review(&self, range: DayRange) -> Result<Open, BooksError> {
        self.compare(range).await?;
        let mut connection = self.store.read().await?;
        let old = store::open_days(&mut connection, begin(range.first), OLD_DAYS_MAX).await?;
        drop(connection);
        for day in old {
            self.compare(DayRange { first: day, last: day }).await?;
        }
        Ok(open(&mut *self.store.read().await?).await?)
    }

    /// Compares the payments that were created on these days, and stores the result.
    ///
    /// # Errors
    /// If Postgres or Stripe fails.
    pub async fn compare(&self, range: DayRange) -> Result<Report, BooksError> {
        self.check_account().await?;
        let ledger = stripe_account::ledger_id(&mut *self.store.read().await?).await?;
        let now = self.clock.now();
        let (from, to) = (begin(range.first), begin(after(range.last)));
        // Stripe is asked first: what it has, the ledger has at the latest now, or it is under way.
        let created = Created { from, to: now + UNDER_WAY };
        let returns = Returns::list(&self.stripe, created).await?;
        let (mut found, mut credits) = (Found::default(), Vec::new());
        let last = range.last.min(after(now.date_naive()));
        for day in range.first.iter_days().take_while(|day| *day <= last) {
            let created = Created { from: begin(day), to: begin(after(day)) };
            let payments = self.stripe.payments_created(created, PAGE_MAX).await?;
            let is_ours = |payment: &ListedPayment| {
                payment.status == "succeeded"
                    && payment.metadata.get("callmeter_ledger") == Some(&ledger)
            };
            let payments: Vec<ListedPayment> = payments.into_iter().filter(is_ours).collect();
            for payments in payments.chunks(AT_ONCE) {
                self.compare_payments(payments, &returns, now, &mut found).await?;
            }
            let mut connection = self.store.read().await?;
            credits.extend(ours::credits(&mut connection, created.from, created.to).await?);
        }
        self.look_for(credits, now, &mut found).await?;
        store::keep_differences(&self.store, (from, to), &found.differences, now).await?;
        let payouts = self.payouts(Created { from, to }, now).await?;
        Ok(report(range, found, payouts))
    }

    /// Refuses a key of another account than the one whose payments the ledger knows.
    async fn check_account(&self) -> Result<(), BooksError> {
        let recorded = stripe_account::read(&mut *self.store.read().await?).await?;
        let Some(recorded) = recorded else { return Ok(()) };
        let account = self.stripe.account(Deadline::after(PAGE_MAX)).await?;
        if recorded.id == account.id && recorded.livemode == self.is_live {
            return Ok(());
        }
        Err(BooksError::OtherStripeAccount)
    }

    async fn compare_payments(
        &self,
        payments: &[ListedPayment],
        returns: &Returns,
        now: DateTime<Utc>,
        found: &mut Found,
    ) -> Result<(), BooksError> {
        let ids: Vec<&str> = payments.iter().map(|payment| payment.id.as_str()).collect();
        let ours = ours::payments(&mut *self.store.read().await?, &ids).await?;
        let nothing = InLedger::default();
        for payment in payments {
            found.add_up(payment, returns);
            let made = payment.latest_charge.as_ref().map(|charge| charge.created);
            if instant(made.unwrap_or(payment.created)) > now - UNDER_WAY {
                found.counts.under_way += 1;
                continue;
            }
            let ours = ours.get(&payment.id).unwrap_or(&nothing);
            let theirs = returns.with(payment);
            found.differences.extend(explain(&theirs, ours, now - UNDER_WAY));
        }
        let settlements: Vec<Settlement> = payments.iter().filter_map(settlement).collect();
        Ok(store::keep_settlements(&self.store, &settlements, now).await?)
    }

    /// Finds the payments of credits that Stripe's lists of these days do not have.
    async fn look_for(
        &self,
        credits: Vec<Credit>,
        now: DateTime<Utc>,
        found: &mut Found,
    ) -> Result<(), BooksError> {
        let is_settled = |credit: &Credit| credit.moved.at < now - UNDER_WAY;
        let missing = credits.into_iter().filter(is_settled);
        let missing: Vec<Credit> =
            missing.filter(|credit| !found.seen.contains(&credit.payment_intent)).collect();
        for (number, credit) in missing.into_iter().enumerate() {
            if number < LOOKUPS_MAX && self.is_paid(&credit.payment_intent).await? {
                continue;
            }
            found.differences.push(Difference {
                payment_intent: credit.payment_intent,
                ours: credit.moved.amount,
                stripe: Money::ZERO,
                reason: Reason::NotAtStripe,
                currency: "usd".to_owned(),
                paid_at: credit.begun_at,
                objects: Vec::new(),
            });
        }
        Ok(())
    }

    /// True if Stripe has a payment and it succeeded: it is of another day then.
    async fn is_paid(&self, id: &str) -> Result<bool, BooksError> {
        let Ok(id) = PaymentIntentId::parse(id) else { return Ok(false) };
        match self.stripe.payment_intent(&id, Deadline::after(PAGE_MAX)).await {
            Ok(payment) => Ok(payment.status == "succeeded"),
            Err(StripeError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn begin(day: NaiveDate) -> DateTime<Utc> {
    DateTime::from_naive_utc_and_offset(day.into(), Utc)
}

fn after(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}
