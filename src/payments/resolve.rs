//! Settles a payment that fits no refill, once: an administrator credits it, or sends it back.

use callmeter_core::domain::{
    PaymentIntentId, RefillId, RefillStatus, StripeCustomerId, TransactionKind, TransactionStatus,
};
use serde_json::json;
use sqlx::PgConnection;

use super::begin::kind_of;
use super::{PaymentError, Payments, dollars_of, requests};
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::payments::cards;
use crate::ledger::payments::refill_progress::{self, End};
use crate::ledger::payments::refills::{self, Refill, StoredDecline, Which};
use crate::ledger::payments::unmatched::{self, Kept, Resolution};
use crate::ledger::wallets::{self, Entry, WalletHead};
use crate::ledger::{LedgerError, Refusable};
use crate::stripe::{Deadline, Form, StripeError};

/// Why a payment is not settled. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotResolved {
    /// It is not kept as one that fits no refill.
    #[error("no such payment waits for an administrator")]
    Unknown,
    /// It was settled before.
    #[error("the payment was resolved before")]
    Before,
    /// It is not in USD, so it cannot be credited.
    #[error("the payment is not in USD: refund it")]
    NotInDollars,
    /// Nobody knows whose it is.
    #[error("no account is known for the payment: refund it")]
    NoAccount,
}

/// Settles a payment.
#[derive(Clone, Debug)]
struct ResolvePayment {
    payment_intent: PaymentIntentId,
    resolution: Resolution,
}

impl Change for ResolvePayment {
    type Done = Option<callmeter_core::domain::AccountId>;
    type Refusal = NotResolved;
    const NAME: &'static str = "payments::resolve";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Self::Done, NotResolved> {
        let Some(kept) = unmatched::find(connection, &self.payment_intent).await? else {
            return Ok(Err(NotResolved::Unknown));
        };
        let refill = match kept.refill.as_deref().map(RefillId::parse) {
            Some(Ok(id)) => refills::find(connection, Which::Id(&id)).await?,
            _ => None,
        };
        let account_key = match &refill {
            Some(refill) => Some(refill.account_key),
            None => owner(connection, &kept).await?,
        };
        let mut head = match account_key {
            Some(key) => wallets::lock(connection, key).await?,
            None => None,
        };
        // Read again under the lock: two administrators settle it once.
        if !unmatched::resolve(connection, &self.payment_intent, self.resolution, by.at).await? {
            return Ok(Err(NotResolved::Before));
        }
        if self.resolution == Resolution::Credit {
            let amount = dollars_of(kept.amount).filter(|_| kept.currency == "usd");
            let Some(amount) = amount else { return refused(NotResolved::NotInDollars) };
            let Some(head) = &mut head else { return refused(NotResolved::NoAccount) };
            let entry = Entry {
                kind: TransactionKind::AdjustmentCredit,
                status: TransactionStatus::Completed,
                amount,
                description: Some(format!("Payment {} credited by hand", self.payment_intent)),
                refers_to: None,
                payment_intent_id: Some(self.payment_intent.to_string()),
                call_sid: None,
            };
            wallets::post(connection, head, &entry, by.at).await?;
        }
        if let (Some(head), Some(refill)) = (&mut head, refill.filter(|it| !it.is_finished())) {
            end_refill(connection, head, &refill, by).await?;
        }
        let entry = AuditEntry {
            action: Action::PaymentResolved,
            account_key,
            subject: self.payment_intent.to_string(),
            before: json!({ "reason": kept.reason }),
            after: json!({ "resolution": self.resolution.as_str(), "cents": kept.amount }),
        };
        audit::note(connection, by, &entry).await?;
        match account_key {
            Some(key) => Ok(Ok(cards::account_id(connection, key).await?)),
            None => Ok(Ok(None)),
        }
    }

    fn affects(&self, done: Option<&Self::Done>) -> Affected {
        done.and_then(Option::as_ref).map_or_else(Affected::nothing, Affected::account)
    }
}

/// A refusal after a statement: the transaction must not be committed, so it is an error that the
/// caller turns back.
fn refused<T>(why: NotResolved) -> Result<T, LedgerError> {
    Err(LedgerError::unreadable("a payment", why))
}

async fn owner(connection: &mut PgConnection, kept: &Kept) -> Result<Option<i32>, LedgerError> {
    match kept.customer.as_deref().map(StripeCustomerId::parse) {
        Some(Ok(customer)) => Ok(cards::owner(connection, &customer).await?),
        _ => Ok(None),
    }
}

/// The refill of a settled payment ends: its own payment was never made.
async fn end_refill(
    connection: &mut PgConnection,
    head: &mut WalletHead,
    refill: &Refill,
    by: &By,
) -> Result<(), LedgerError> {
    let entry = Entry {
        kind: kind_of(refill.trigger),
        status: TransactionStatus::Failed,
        amount: refill.amount,
        description: None,
        refers_to: Some(refill.pending_sequence),
        payment_intent_id: refill.payment_intent.as_ref().map(ToString::to_string),
        call_sid: None,
    };
    let sequence = wallets::post(connection, head, &entry, by.at).await?;
    let decline = StoredDecline { code: Some("resolved".to_owned()), ..StoredDecline::default() };
    let status = RefillStatus::Failed;
    let end = End { status, sequence, decline: Some(decline), card: None, at: by.at };
    refill_progress::end(connection, &refill.id, refill.payment_intent.as_ref(), &end).await?;
    Ok(())
}

impl Payments {
    /// Settles a payment that fits no refill: credits it to its account, or refunds it at Stripe.
    ///
    /// # Errors
    /// If Stripe or the ledger does not answer: run it again, it has one effect.
    pub async fn resolve(
        &self,
        payment_intent: &PaymentIntentId,
        resolution: Resolution,
        by: By,
    ) -> Result<Result<(), NotResolved>, PaymentError> {
        let kept = unmatched::find(&mut *self.store.read().await?, payment_intent).await?;
        let Some(kept) = kept else { return Ok(Err(NotResolved::Unknown)) };
        if kept.resolved_at.is_some() {
            return Ok(Err(NotResolved::Before));
        }
        match resolution {
            Resolution::Credit if kept.currency != "usd" => {
                return Ok(Err(NotResolved::NotInDollars));
            }
            Resolution::Credit => {
                let mut connection = self.store.read().await?;
                let refill = match kept.refill.as_deref().map(RefillId::parse) {
                    Some(Ok(id)) => refills::find(&mut connection, Which::Id(&id)).await?,
                    _ => None,
                };
                if refill.is_none() && owner(&mut connection, &kept).await?.is_none() {
                    return Ok(Err(NotResolved::NoAccount));
                }
            }
            Resolution::Refund => {
                let deadline = self.deadline();
                self.check_own_account(deadline).await?;
                let ledger = self.ledger_id().await?;
                let form = Form::new()
                    .with("payment_intent", payment_intent.as_str())
                    .with("metadata[callmeter_ledger]", ledger);
                self.refund_unmatched(payment_intent, &form, ledger, deadline).await?;
            }
        }
        let change = ResolvePayment { payment_intent: payment_intent.clone(), resolution };
        Ok(self.changes.run(change, by).await?.map(|_| ()))
    }

    /// Sends a payment back, once: after a 5xx its refunds are listed before another key is used.
    async fn refund_unmatched(
        &self,
        intent: &PaymentIntentId,
        form: &Form,
        ledger: &str,
        deadline: Deadline,
    ) -> Result<(), PaymentError> {
        for key in requests::keys(&format!("{ledger}-{intent}-resolve")) {
            match self.stripe.create_refund(form, &key, deadline).await {
                Ok(_) => return Ok(()),
                Err(StripeError::Server { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let listed = self.stripe.refunds_of_payment(intent, deadline).await?;
            let is_ours = |refund: &crate::stripe::Refund| {
                refund.metadata.get("callmeter_ledger").map(String::as_str) == Some(ledger)
            };
            if listed.iter().any(is_ours) {
                return Ok(());
            }
        }
        Err(StripeError::Busy.into())
    }
}
