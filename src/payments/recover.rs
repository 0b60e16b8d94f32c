//! Brings back what Stripe knows and this ledger does not, after Postgres was restored from an older
//! backup: payments by their metadata, with the accounts and refills that these name.
//!
//! It must never credit a payment twice, nor one of another ledger.

use callmeter_core::domain::{
    AccountId, PaymentIntentId, RefillId, RefillTrigger, StripeCustomerId,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

use super::begin::write_refill;
use super::settle::{Ended, Settle};
use super::{PaymentError, Payments, Settled, cents};
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::payments::refill_progress;
use crate::ledger::payments::refills::{self, NewRefill, Refill, Which};
use crate::ledger::payments::unmatched::{self, Mismatch, Unmatched};
use crate::ledger::payments::{cards, recovery};
use crate::ledger::{LedgerError, Refusable, accounts, incarnation};
use crate::stripe::{Deadline, PaymentIntent, StripeError};

/// The longest time of one question to Stripe.
const ASKED_MAX: std::time::Duration = std::time::Duration::from_mins(1);

/// A refund that succeeded may still fail: the bank gives the money back within 30 days
/// (<https://docs.stripe.com/refunds#failed-refunds>).
const REFUND_FAILS_WITHIN: TimeDelta = TimeDelta::days(45);

/// What a recovery did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Payments of this ledger that Stripe has.
    pub payments: usize,
    /// Of those, succeeded ones that the ledger lacked and that are credited now.
    pub credited: usize,
    /// Unfinished payments of refills that the ledger lacks; they are canceled.
    pub canceled: usize,
    /// Refunds and disputes that the ledger lacked and that are booked now.
    pub moved_back: usize,
    /// Payments that could not be matched, with the reason.
    pub unmatched: Vec<NotMatched>,
}

/// A payment that could not be matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotMatched {
    /// The payment.
    pub payment_intent: PaymentIntentId,
    /// Why: `account`, `customer`, `refill`, or a mismatch of the refill. `processing`: the bank has
    /// not answered yet; run it again later.
    pub reason: String,
}

/// What became of one payment.
enum Found {
    Known,
    Credited,
    Unmatched(String),
}

impl Payments {
    /// Notes that acts on money must wait for a recovery.
    ///
    /// # Errors
    /// If Postgres is unavailable.
    pub async fn require_recovery(&self, reason: &str) -> Result<(), PaymentError> {
        Ok(recovery::require(&self.store, reason, self.clock.now()).await?)
    }

    /// Fails if acts on money must wait.
    pub(super) async fn check_recovery(&self) -> Result<(), PaymentError> {
        let required = recovery::required(&mut *self.store.read().await?).await?;
        required.map_or(Ok(()), |_| Err(PaymentError::RecoveryNeeded))
    }

    /// Looks whether Stripe has a payment of this ledger that the ledger lacks: it went back in
    /// time. Then acts on money wait.
    pub(super) async fn look_for_lost_payments(
        &self,
        deadline: Deadline,
    ) -> Result<(), PaymentError> {
        let ledger = self.ledger_id().await?;
        for intent in self.stripe.newest_payment_intents(deadline).await? {
            let is_ours = noted(&intent, "callmeter_ledger") == Some(ledger);
            if !is_ours || intent.status != "succeeded" || self.refill_of(&intent).await?.is_some()
            {
                continue;
            }
            let mut connection = self.store.read().await?;
            let is_explained = unmatched::is_explained(&mut connection, &intent.id).await?;
            drop(connection);
            if !is_explained {
                tracing::error!(payment_intent = %intent.id, "the ledger lacks a payment");
                // Raised once, however often this is asked until it is recovered.
                self.check_recovery().await?;
                self.require_recovery("lost_payment").await?;
                incarnation::raise(&self.store).await?;
                return Err(PaymentError::RecoveryNeeded);
            }
        }
        Ok(())
    }

    /// Brings back every payment of this ledger that Stripe created at `since` or later. Afterwards
    /// acts on money are allowed again.
    ///
    /// # Errors
    /// If Stripe or the ledger does not answer: nothing is lost, run it again.
    pub async fn recover(
        &self,
        since: DateTime<Utc>,
        who: &str,
    ) -> Result<Recovered, PaymentError> {
        self.check_own_account(Deadline::after(ASKED_MAX)).await?;
        let ledger = self.ledger_id().await?;
        let listed = self.stripe.payment_intents_since(since, Deadline::after(ASKED_MAX)).await?;
        let mut recovered = Recovered::default();
        // Oldest first, as they were made.
        for mut intent in listed.into_iter().rev() {
            if noted(&intent, "callmeter_ledger") != Some(ledger) {
                continue;
            }
            recovered.payments += 1;
            if !is_over(&intent) && self.refill_of(&intent).await?.is_none() {
                let Some(meanwhile) = self.cancel_lost(&intent).await? else {
                    recovered.canceled += 1;
                    continue;
                };
                intent = meanwhile;
                if !is_over(&intent) {
                    let (payment_intent, reason) = (intent.id, intent.status);
                    recovered.unmatched.push(NotMatched { payment_intent, reason });
                    continue;
                }
            }
            match self.recover_payment(&intent, who).await? {
                Found::Known => {}
                Found::Credited => recovered.credited += 1,
                Found::Unmatched(reason) => {
                    self.keep_unmatched(&intent).await?;
                    let payment_intent = intent.id.clone();
                    recovered.unmatched.push(NotMatched { payment_intent, reason });
                }
            }
        }
        recovered.moved_back = self.book_lost(since - REFUND_FAILS_WITHIN).await?;
        recovery::finish(&self.store).await?;
        Ok(recovered)
    }

    /// Keeps what could not be matched, until an administrator resolves it.
    async fn keep_unmatched(&self, intent: &PaymentIntent) -> Result<(), PaymentError> {
        let (intent, now) = (intent.clone(), self.clock.now());
        let kept = self.store.transact("unmatched::keep", move |connection| {
            let intent = intent.clone();
            Box::pin(async move {
                let payment = Unmatched {
                    payment_intent: intent.id.as_str(),
                    refill: noted(&intent, "callmeter_refill"),
                    reason: Mismatch::UnknownRefill,
                    amount: intent.amount_received,
                    currency: &intent.currency,
                    customer: intent.customer.as_deref(),
                };
                unmatched::keep(connection, &payment, now).await?;
                Ok::<_, LedgerError>(unmatched::note_recovery(connection, &intent.id, now).await?)
            })
        });
        kept.await?;
        Ok(())
    }

    async fn recover_payment(
        &self,
        intent: &PaymentIntent,
        who: &str,
    ) -> Result<Found, PaymentError> {
        let is_paid = intent.status == "succeeded";
        if let Some(refill) = self.refill_of(intent).await? {
            if !is_paid {
                return Ok(Found::Known);
            }
            return self.credit_again(&refill, intent, who).await;
        }
        if !is_paid {
            return Ok(Found::Known);
        }
        let account = noted(intent, "callmeter_account").and_then(|id| AccountId::parse(id).ok());
        let id = noted(intent, "callmeter_refill").and_then(|id| RefillId::parse(id).ok());
        let customer = intent.customer.as_deref().and_then(|id| StripeCustomerId::parse(id).ok());
        let (Some(account), Some(id), Some(customer)) = (account, id, customer) else {
            return Ok(Found::Unmatched("refill".to_owned()));
        };
        let restore = RestoreRefill {
            account,
            id: id.clone(),
            customer,
            payment_intent: intent.id.clone(),
            cents: intent.amount,
            is_automatic: noted(intent, "callmeter_trigger") == Some("auto"),
            request: request_of(intent),
        };
        let restored = self.changes.run(restore, By::new(who, self.clock.now())).await?;
        match restored {
            Ok(()) => {}
            Err(NotRestored::Resolved) => return Ok(Found::Known),
            Err(NotRestored::Account) => return Ok(Found::Unmatched("account".to_owned())),
            Err(NotRestored::Customer) => return Ok(Found::Unmatched("customer".to_owned())),
        }
        let refill = refills::find(&mut *self.store.read().await?, Which::Id(&id)).await?;
        match refill {
            Some(refill) => self.credit_again(&refill, intent, who).await,
            None => Ok(Found::Unmatched("refill".to_owned())),
        }
    }

    /// Cancels an unfinished payment of a refill that the ledger lacks: nobody would follow it, and
    /// the customer could still pay it. Returns the payment if it is not unfinished any more, or the
    /// bank works on it.
    async fn cancel_lost(
        &self,
        intent: &PaymentIntent,
    ) -> Result<Option<PaymentIntent>, PaymentError> {
        let key = super::requests::new_key(self.ledger_id().await?);
        let deadline = Deadline::after(ASKED_MAX);
        match self.stripe.cancel(&intent.id, &key, deadline).await {
            Ok(_) => Ok(None),
            Err(StripeError::Refused(_)) => {
                Ok(Some(self.stripe.payment_intent(&intent.id, deadline).await?))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn credit_again(
        &self,
        refill: &Refill,
        intent: &PaymentIntent,
        who: &str,
    ) -> Result<Found, PaymentError> {
        let paid = self.paid(refill, intent, Deadline::after(ASKED_MAX)).await;
        let change = Settle {
            refill: refill.id.clone(),
            account: refill.account.clone(),
            ended: Ended::Paid(paid),
            event: None,
            public_url: self.settings.public_url.clone(),
            backoff: self.settings.auto_limits.backoff,
        };
        Ok(match self.run_settle(refill, change, who).await? {
            Settled::Credited => Found::Credited,
            Settled::Mismatch { reason, .. } => Found::Unmatched(reason.as_str().to_owned()),
            Settled::Before | Settled::Failed => Found::Known,
        })
    }
}

/// True if a payment was made, or never will be.
fn is_over(intent: &PaymentIntent) -> bool {
    matches!(intent.status.as_str(), "succeeded" | "canceled")
}

/// What we noted with a payment.
fn noted<'a>(intent: &'a PaymentIntent, name: &str) -> Option<&'a str> {
    intent.metadata.get(name).map(String::as_str)
}

/// The request of a payment's refill: its Idempotency-Key and the hash of its body.
fn request_of(intent: &PaymentIntent) -> Option<(String, [u8; 32])> {
    let sha256 = hex::decode(noted(intent, "callmeter_request_sha256")?).ok()?;
    Some((noted(intent, "callmeter_request")?.to_owned(), sha256.try_into().ok()?))
}

/// Writes a refill that the ledger lost, `pending`, with its payment.
#[derive(Clone, Debug)]
struct RestoreRefill {
    account: AccountId,
    id: RefillId,
    customer: StripeCustomerId,
    payment_intent: PaymentIntentId,
    cents: i64,
    is_automatic: bool,
    request: Option<(String, [u8; 32])>,
}

/// Why a refill is not written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotRestored {
    /// The ledger has no such account.
    Account,
    /// The customer is another account's, or the account has another one.
    Customer,
    /// An administrator settled the payment by hand.
    Resolved,
}

impl Change for RestoreRefill {
    type Done = ();
    type Refusal = NotRestored;
    const NAME: &'static str = "payments::restore_refill";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<(), NotRestored> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(NotRestored::Account));
        };
        let account_key = head.account_key;
        if unmatched::is_resolved(connection, &self.payment_intent).await? {
            return Ok(Err(NotRestored::Resolved));
        }
        if refills::find(connection, Which::Id(&self.id)).await?.is_some() {
            by.changed_nothing();
            return Ok(Ok(()));
        }
        let owner = cards::owner(connection, &self.customer).await?;
        if owner.is_some_and(|owner| owner != account_key) {
            return Ok(Err(NotRestored::Customer));
        }
        let kept = cards::keep_customer(connection, account_key, &self.customer, by.at).await?;
        if kept != self.customer {
            return Ok(Err(NotRestored::Customer));
        }
        let amount = super::dollars_of(self.cents)
            .ok_or_else(|| LedgerError::unreadable("a payment's amount", self.cents))?;
        debug_assert_eq!(cents(amount), Some(self.cents));
        // A client that asked again before the recovery has another refill under its key.
        let mut request = self.request.clone();
        if let Some((key, _)) = &request
            && refills::find(connection, Which::Request(account_key, key)).await?.is_some()
        {
            request = None;
        }
        let trigger = if self.is_automatic { RefillTrigger::Auto } else { RefillTrigger::Manual };
        let new = NewRefill {
            id: self.id.clone(),
            account_key,
            trigger,
            amount,
            pending_sequence: 0,
            payment_method: None,
            saves_card: false,
            return_url: None,
            receipt_email: None,
            request,
            created_at: by.at,
            claimed_until: by.at,
        };
        write_refill(connection, &mut head, new, by).await?;
        refill_progress::restore_intent(connection, &self.id, &self.payment_intent).await?;
        let entry = AuditEntry {
            action: Action::RefillRestored,
            account_key: Some(account_key),
            subject: self.id.to_string(),
            before: serde_json::Value::Null,
            after: json!({ "payment_intent": self.payment_intent, "amount": amount }),
        };
        audit::note(connection, by, &entry).await?;
        Ok(Ok(()))
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        Affected::account(&self.account)
    }
}
