//! The end of a refill: its outcome row and, if it was paid, the credit. One transaction, which
//! answer, web hook and job may all run, in any order and however often.
//!
//! It must never credit a payment that does not fit the refill, nor one payment twice.

use callmeter_core::domain::{
    AccountId, EventType, Money, PaymentIntentId, PaymentMethodId, RefillId, RefillStatus,
    RefillTrigger, StripeCustomerId, TransactionStatus,
};
use chrono::TimeDelta;
use serde_json::json;
use sqlx::PgConnection;

use super::begin::kind_of;
use super::{Payments, auto_refill, facts};
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::payments::refill_progress::{self, End};
use crate::ledger::payments::refills::{self, CardFace, Refill, StoredDecline, Which};
use crate::ledger::payments::unmatched::{self, Mismatch, Unmatched};
use crate::ledger::payments::{cards, events};
use crate::ledger::wallets::{self, Entry};
use crate::ledger::{LedgerError, Refusable, accounts};
use crate::stripe::{Deadline, Expandable, PaymentIntent, PaymentMethod};

/// A succeeded payment, as Stripe reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paid {
    /// Its payment intent.
    pub payment_intent: PaymentIntentId,
    /// Cents that were received.
    pub amount: i64,
    /// Lower-case, such as `usd`.
    pub currency: String,
    /// The customer.
    pub customer: Option<String>,
    /// The card that paid, if known.
    pub card: Option<(PaymentMethodId, CardFace)>,
}

/// How a payment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It succeeded.
    Paid(Paid),
    /// It never will: its intent is canceled, or was never made.
    Failed {
        /// Its payment intent, if there is one.
        payment_intent: Option<PaymentIntentId>,
        /// Why.
        decline: StoredDecline,
    },
}

/// Ends a refill.
#[derive(Clone, Debug)]
pub(super) struct Settle {
    /// The refill.
    pub refill: RefillId,
    /// Its account.
    pub account: AccountId,
    /// How its payment ended.
    pub ended: Ended,
    /// The event of Stripe that reports it: id and type. A repeated one changes nothing.
    pub event: Option<(String, String)>,
    /// Where the page of the wallet is.
    pub public_url: Option<String>,
    /// The first wait of auto-refill after a soft decline.
    pub backoff: TimeDelta,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The wallet was credited.
    Credited,
    /// The refill failed.
    Failed,
    /// It had ended before; nothing changed.
    Before,
    /// The payment does not fit; it is kept.
    Mismatch {
        /// Why.
        reason: Mismatch,
        /// True if it was not kept before.
        is_new: bool,
    },
}

/// There is no such refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownRefill;

impl Change for Settle {
    type Done = Settled;
    type Refusal = UnknownRefill;
    const NAME: &'static str = "payments::settle";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Settled, UnknownRefill> {
        let head = accounts::lock(connection, &self.account).await?;
        // Read after the lock: the refill may have ended while this waited.
        let refill = refills::find(connection, Which::Id(&self.refill)).await?;
        let (Some(mut head), Some(refill)) = (head, refill) else {
            return Ok(Err(UnknownRefill));
        };
        if let Some((event, kind)) = &self.event
            && !events::note(connection, (event, kind), "applied", by.at).await?
        {
            by.changed_nothing();
            return Ok(Ok(Settled::Before));
        }
        let settled = match &self.ended {
            Ended::Paid(paid) => credit(connection, &mut head, &refill, paid, by).await?,
            Ended::Failed { .. } if refill.is_finished() => Settled::Before,
            Ended::Failed { payment_intent, decline } => {
                let intent = payment_intent.as_ref().or(refill.payment_intent.as_ref());
                let entry = entry(&refill, TransactionStatus::Failed, intent);
                let sequence = wallets::post(connection, &mut head, &entry, by.at).await?;
                let status = RefillStatus::Failed;
                let decline = Some(decline.clone());
                let end = End { status, sequence, decline, card: None, at: by.at };
                refill_progress::end(connection, &refill.id, intent, &end).await?;
                Settled::Failed
            }
        };
        note(connection, by, &refill, settled, head.balance).await?;
        let told = match settled {
            Settled::Credited if !refill.is_finished() => Some(EventType::RefillCompleted),
            Settled::Failed => Some(EventType::RefillFailed),
            _ => None,
        };
        if told.is_some() && refill.trigger == RefillTrigger::Auto {
            let declined = match &self.ended {
                Ended::Failed { decline, .. } => Some(decline),
                Ended::Paid(_) => None,
            };
            auto_refill::learn(connection, &refill, declined, self.backoff, by.at).await?;
        }
        if let Some(kind) = told {
            let public_url = self.public_url.as_deref();
            facts::tell_refill(connection, kind, &refill.id, public_url, by.at).await?;
        }
        Ok(Ok(settled))
    }

    fn affects(&self, done: Option<&Settled>) -> Affected {
        match done {
            Some(Settled::Before | Settled::Mismatch { .. }) => Affected::nothing(),
            _ => Affected::account(&self.account),
        }
    }
}

impl Payments {
    /// A succeeded payment as the ledger compares it. The card is read only of a new one; without
    /// Stripe's answer it stays unknown.
    pub(super) async fn paid(
        &self,
        refill: &Refill,
        intent: &PaymentIntent,
        deadline: Deadline,
    ) -> Paid {
        let method = intent.payment_method.as_ref().filter(|_| refill.has_new_card);
        let card = match method {
            None => None,
            Some(Expandable::Object(method)) => face(method),
            Some(Expandable::Id(id)) => match PaymentMethodId::parse(id) {
                Ok(id) => {
                    let read = self.stripe.payment_method(&id, deadline).await;
                    read.ok().as_ref().and_then(face)
                }
                Err(_) => None,
            },
        };
        Paid {
            payment_intent: intent.id.clone(),
            amount: intent.amount_received,
            currency: intent.currency.clone(),
            customer: intent.customer.clone(),
            card,
        }
    }
}

fn face(method: &PaymentMethod) -> Option<(PaymentMethodId, CardFace)> {
    let card = method.card.as_ref()?;
    let face = CardFace { brand: card.brand.clone(), last4: card.last4.clone() };
    Some((method.id.clone(), face))
}

async fn credit(
    connection: &mut PgConnection,
    head: &mut wallets::WalletHead,
    refill: &Refill,
    paid: &Paid,
    by: &By,
) -> Result<Settled, LedgerError> {
    let intent = &paid.payment_intent;
    let customer = cards::customer(connection, refill.account_key).await?;
    let is_theirs = customer.as_ref().map(StripeCustomerId::as_str) == paid.customer.as_deref();
    let is_other_intent = refill.payment_intent.as_ref().is_some_and(|known| known != intent);
    let mismatch = if super::cents(refill.amount) != Some(paid.amount) {
        Some(Mismatch::Amount)
    } else if paid.currency != "usd" {
        Some(Mismatch::Currency)
    } else if !is_theirs {
        Some(Mismatch::Customer)
    } else if refill.status == RefillStatus::Completed && is_other_intent {
        Some(Mismatch::PaidTwice)
    } else {
        None
    };
    if let Some(reason) = mismatch {
        let payment = Unmatched {
            payment_intent: intent.as_str(),
            refill: Some(refill.id.as_str()),
            reason,
            amount: paid.amount,
            currency: &paid.currency,
            customer: paid.customer.as_deref(),
        };
        let is_new = unmatched::keep(connection, &payment, by.at).await?;
        return Ok(Settled::Mismatch { reason, is_new });
    }
    if refills::is_credited(connection, intent).await? {
        return Ok(Settled::Before);
    }
    if !unmatched::close_credited(connection, intent, by.at).await? {
        return Ok(Settled::Before);
    }
    let mut entry = entry(refill, TransactionStatus::Completed, Some(intent));
    if refill.is_finished() {
        // It failed, and was paid all the same.
        entry.refers_to = refill.outcome_sequence;
    }
    let sequence = wallets::post(connection, head, &entry, by.at).await?;
    let (status, card) = (RefillStatus::Completed, paid.card.clone());
    let end = End { status, sequence, decline: None, card, at: by.at };
    refill_progress::end(connection, &refill.id, Some(intent), &end).await?;
    Ok(Settled::Credited)
}

fn entry(refill: &Refill, status: TransactionStatus, intent: Option<&PaymentIntentId>) -> Entry {
    Entry {
        kind: kind_of(refill.trigger),
        status,
        amount: refill.amount,
        description: None,
        refers_to: Some(refill.pending_sequence),
        payment_intent_id: intent.map(ToString::to_string),
        call_sid: None,
    }
}

async fn note(
    connection: &mut PgConnection,
    by: &By,
    refill: &Refill,
    settled: Settled,
    balance: Money,
) -> Result<(), LedgerError> {
    let action = match settled {
        Settled::Before | Settled::Mismatch { is_new: false, .. } => {
            by.changed_nothing();
            return Ok(());
        }
        Settled::Credited => Action::RefillCompleted,
        Settled::Failed => Action::RefillFailed,
        Settled::Mismatch { .. } => Action::PaymentUnmatched,
    };
    let after = match settled {
        Settled::Mismatch { reason, .. } => json!({ "reason": reason.as_str() }),
        _ => json!({ "amount": refill.amount, "balance": balance }),
    };
    let entry = AuditEntry {
        action,
        account_key: Some(refill.account_key),
        subject: refill.id.to_string(),
        before: json!({ "status": refill.status }),
        after,
    };
    Ok(audit::note(connection, by, &entry).await?)
}
