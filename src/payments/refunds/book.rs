//! Books what Stripe says of a refund: one transaction, which answer, web hook and job may all run,
//! in any order and however often.

use callmeter_core::domain::{
    AccountId, EventType, Money, PaymentIntentId, RefillId, RefundId, RefundStatus,
    TransactionKind, TransactionStatus,
};
use serde_json::json;
use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::outbox::{self, Fact};
use crate::ledger::payments::events;
use crate::ledger::payments::refills::{self, Refill, Which as WhichRefill};
use crate::ledger::payments::refunds::{self, NewRefund, Refund, Standing, Which};
use crate::ledger::wallets::{self, Entry};
use crate::ledger::{LedgerError, Refusable, accounts};
use crate::payments::{PaymentError, Payments, dollars_of};
use crate::stripe;

const WHO: &str = "stripe:refund";

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payments) enum Booked {
    /// Something changed.
    Changed,
    /// It was booked before.
    Before,
    /// It is of a payment that this ledger did not credit.
    Foreign,
}

/// Nothing to book: the refill is unknown.
pub(super) type Outcome = Booked;

/// Books a refund as Stripe has it.
#[derive(Clone, Debug)]
struct BookRefund {
    account: AccountId,
    refill: RefillId,
    payment_intent: String,
    /// Our refund, from the metadata; `None`: it was made at Stripe.
    ours: Option<RefundId>,
    /// The id of a row for one that was made at Stripe.
    new_id: RefundId,
    /// Stripe's id; `None`: Stripe refused to make it.
    stripe_refund: Option<String>,
    amount: Money,
    status: RefundStatus,
    /// True if the money is on its way, whatever the status.
    takes_money: bool,
    event: Option<(String, String)>,
}

impl Change for BookRefund {
    type Done = Booked;
    type Refusal = ();
    const NAME: &'static str = "payments::book_refund";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<Booked, ()> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(()));
        };
        if let Some((event, kind)) = &self.event
            && !events::note(connection, (event, kind), "applied", by.at).await?
        {
            by.changed_nothing();
            return Ok(Ok(Booked::Before));
        }
        let credit = refunds::credit_of(connection, &self.payment_intent).await?;
        let Some(credit) = credit else {
            by.changed_nothing();
            return Ok(Ok(Booked::Foreign));
        };
        let row = self.row(connection, head.account_key, by).await?;
        let entry = |kind, refers_to| Entry {
            kind,
            status: TransactionStatus::Completed,
            amount: row.amount,
            description: None,
            refers_to: Some(refers_to),
            payment_intent_id: Some(self.payment_intent.clone()),
            call_sid: None,
        };
        let (mut debit, mut reversal) = (row.debit_sequence, row.reversal_sequence);
        let is_new_debit = debit.is_none() && self.takes_money;
        // A late event of an earlier state changes nothing.
        let is_over = row.status == RefundStatus::Failed && row.finished_at.is_some();
        if is_over || (!is_new_debit && row.status == self.status && row.stripe_refund.is_some()) {
            by.changed_nothing();
            return Ok(Ok(Booked::Before));
        }
        let is_reserved = row.is_ours && row.debit_sequence.is_none();
        if is_reserved && (is_new_debit || self.status == RefundStatus::Failed) {
            let back = Money::from_micros(-row.amount.micros());
            refunds::reserve(connection, &mut head, back).await?;
        }
        if is_new_debit {
            let entry = entry(TransactionKind::RefillRefund, credit);
            debit = Some(wallets::post(connection, &mut head, &entry, by.at).await?);
        }
        if self.status == RefundStatus::Failed
            && let Some(debit) = debit
            && reversal.is_none()
        {
            let entry = entry(TransactionKind::RefillRefundReversal, debit);
            reversal = Some(wallets::post(connection, &mut head, &entry, by.at).await?);
        }
        let standing = Standing {
            status: self.status,
            stripe_refund: self.stripe_refund.as_deref(),
            debit_sequence: debit,
            reversal_sequence: reversal,
        };
        refunds::note(connection, &row.id, &standing, by.at).await?;
        if is_new_debit {
            let data = json!({
                "refund": { "id": row.id, "refill": row.refill, "amount": row.amount,
                    "status": self.status },
                "payment_intent": self.payment_intent,
            });
            let fact = Fact {
                account_key: head.account_key,
                kind: EventType::RefillRefunded,
                at: by.at,
                sequence: debit,
                data: Some(data),
            };
            outbox::add(connection, &[fact]).await?;
        }
        let action = match self.status {
            RefundStatus::Failed => Action::RefundFailed,
            _ => Action::RefundBooked,
        };
        let audited = AuditEntry {
            action,
            account_key: Some(head.account_key),
            subject: row.id.to_string(),
            before: json!({ "status": row.status }),
            after: json!({ "status": self.status, "amount": row.amount, "balance": head.balance }),
        };
        audit::note(connection, by, &audited).await?;
        Ok(Ok(Booked::Changed))
    }

    fn affects(&self, done: Option<&Booked>) -> Affected {
        match done {
            Some(Booked::Before | Booked::Foreign) => Affected::nothing(),
            _ => Affected::account(&self.account),
        }
    }
}

impl BookRefund {
    /// The refund's row; one that was made at Stripe gets a new one.
    async fn row(
        &self,
        connection: &mut PgConnection,
        account_key: i32,
        by: &By,
    ) -> Result<Refund, LedgerError> {
        if let Some(known) = &self.stripe_refund
            && let Some(row) = refunds::find(connection, Which::Stripe(known)).await?
        {
            return Ok(row);
        }
        if let Some(ours) = &self.ours
            && let Some(row) = refunds::find(connection, Which::Id(ours)).await?
        {
            return Ok(row);
        }
        let new = NewRefund {
            id: &self.new_id,
            refill: &self.refill,
            account_key,
            amount: self.amount,
            is_ours: false,
            is_checked: true,
            stripe_refund: None,
            request: None,
            created_at: by.at,
            claimed_until: by.at,
        };
        refunds::insert(connection, &new).await?;
        let row = refunds::find(connection, Which::Id(&self.new_id)).await?;
        row.ok_or_else(|| LedgerError::unreadable("a refund", "it vanished"))
    }
}

impl Payments {
    /// Books a refund as Stripe has it, once, however often it is told.
    ///
    /// # Errors
    /// If the ledger cannot be read or written.
    pub(in crate::payments) async fn book_refund(
        &self,
        refund: &stripe::Refund,
        event: Option<(String, String)>,
    ) -> Result<Booked, PaymentError> {
        let intent =
            refund.payment_intent.as_deref().and_then(|id| PaymentIntentId::parse(id).ok());
        let Some(intent) = intent else { return Ok(Booked::Foreign) };
        let which = WhichRefill::Intent(&intent);
        let refill = refills::find(&mut *self.store.read().await?, which).await?;
        let Some(refill) = refill else { return Ok(Booked::Foreign) };
        let amount = dollars_of(refund.amount).filter(|_| refund.currency == "usd");
        let Some(amount) = amount else {
            let refund = refund.id.as_str();
            tracing::error!(refund, "a refund is not in USD; it is not booked");
            return Ok(Booked::Foreign);
        };
        let (status, takes_money) = match refund.status.as_deref() {
            Some("succeeded") => (RefundStatus::Completed, true),
            Some("failed" | "canceled") => (RefundStatus::Failed, false),
            _ => (RefundStatus::Pending, true),
        };
        let ours = refund.metadata.get("callmeter_refund").map(|id| RefundId::parse(id));
        let change = BookRefund {
            account: refill.account.clone(),
            refill: refill.id.clone(),
            payment_intent: intent.to_string(),
            ours: ours.and_then(Result::ok),
            new_id: RefundId::from_random(rand::random()),
            stripe_refund: Some(refund.id.clone()),
            amount,
            status,
            takes_money,
            event,
        };
        self.run_booking(&refill, change).await
    }

    /// Ends a refund that Stripe refused to make.
    pub(super) async fn book_failure(&self, refund: &Refund) -> Result<Booked, PaymentError> {
        let which = WhichRefill::Id(&refund.refill);
        let refill = refills::find(&mut *self.store.read().await?, which).await?;
        let refill = refill.ok_or_else(|| LedgerError::unreadable("a refill", "it vanished"))?;
        let change = BookRefund {
            account: refund.account.clone(),
            refill: refund.refill.clone(),
            payment_intent: refund.payment_intent.clone().unwrap_or_default(),
            ours: Some(refund.id.clone()),
            new_id: RefundId::from_random(rand::random()),
            stripe_refund: None,
            amount: refund.amount,
            status: RefundStatus::Failed,
            takes_money: false,
            event: None,
        };
        self.run_booking(&refill, change).await
    }

    async fn run_booking(
        &self,
        refill: &Refill,
        change: BookRefund,
    ) -> Result<Booked, PaymentError> {
        let booked = self.changes.run(change, By::new(WHO, self.clock.now())).await?;
        if booked == Ok(Booked::Changed) {
            tracing::info!(refill = %refill.id, "a refund is booked");
        }
        Ok(booked.unwrap_or(Booked::Foreign))
    }
}
