//! Books what Stripe says of a dispute. Its rows in Stripe's balance prove that money moved: what
//! was withdrawn is a chargeback, what was reinstated its reversal, once each and in this order.

use callmeter_core::domain::{
    AccountId, EventType, PaymentIntentId, RefillId, TransactionKind, TransactionStatus,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::Booked;
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::outbox::{self, Fact};
use crate::ledger::payments::disputes::{self, Told};
use crate::ledger::payments::refills::{self, Which};
use crate::ledger::payments::{events, refunds};
use crate::ledger::wallets::{self, Entry};
use crate::ledger::{Refusable, accounts};
use crate::payments::{PaymentError, Payments, auto_refill, dollars_of};
use crate::stripe::Dispute;

const WHO: &str = "stripe:dispute";

/// Books a dispute as Stripe has it.
#[derive(Clone, Debug)]
struct BookDispute {
    account: AccountId,
    refill: RefillId,
    payment_intent: String,
    dispute: Dispute,
    event: Option<(String, String)>,
}

impl BookDispute {
    fn is_closed(&self) -> bool {
        ["won", "lost", "warning_closed", "prevented"].contains(&self.dispute.status.as_str())
    }
}

impl Change for BookDispute {
    type Done = Booked;
    type Refusal = ();
    const NAME: &'static str = "payments::book_dispute";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<Booked, ()> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(()));
        };
        let account_key = head.account_key;
        if let Some((event, kind)) = &self.event
            && !events::note(connection, (event, kind), "applied", by.at).await?
        {
            by.changed_nothing();
            return Ok(Ok(Booked::Before));
        }
        let dispute = &self.dispute;
        let before = disputes::before(connection, &dispute.id).await?;
        let credit = refunds::credit_of(connection, &self.payment_intent).await?;
        let Some(credit) = credit else {
            by.changed_nothing();
            return Ok(Ok(Booked::Foreign));
        };
        let moved = |is_out: bool| {
            dispute.balance_transactions.iter().any(|row| (row.amount < 0) == is_out)
        };
        let amount = dollars_of(dispute.amount).filter(|_| dispute.currency == "usd");
        let needs_operator = amount.is_none() && moved(true);
        let entry = |kind, refers_to| Entry {
            kind,
            status: TransactionStatus::Completed,
            amount: amount.unwrap_or_default(),
            description: None,
            refers_to: Some(refers_to),
            payment_intent_id: Some(self.payment_intent.clone()),
            call_sid: None,
        };
        let (mut withdrawn, mut reinstated) = (before.withdrawn, before.reinstated);
        if withdrawn.is_none() && moved(true) && amount.is_some() {
            let entry = entry(TransactionKind::Chargeback, credit);
            withdrawn = Some(wallets::post(connection, &mut head, &entry, by.at).await?);
            auto_refill::disable(connection, account_key, "chargeback", Value::Null, by.at).await?;
        }
        if let Some(withdrawn) = withdrawn
            && reinstated.is_none()
            && moved(false)
        {
            let entry = entry(TransactionKind::ChargebackReversal, withdrawn);
            reinstated = Some(wallets::post(connection, &mut head, &entry, by.at).await?);
        }
        let told = Told {
            dispute: &dispute.id,
            refill: &self.refill,
            account_key,
            amount_cents: dispute.amount,
            currency: &dispute.currency,
            status: &dispute.status,
            reason: &dispute.reason,
            needs_operator,
            is_closed: self.is_closed(),
        };
        disputes::store(connection, &told, (withdrawn, reinstated), by.at).await?;
        let is_closed_now = self.is_closed() && !before.is_closed;
        let kinds = [
            (!before.is_known).then_some(EventType::DisputeOpened),
            is_closed_now.then_some(EventType::DisputeClosed),
        ];
        let data = json!({
            "dispute": dispute.id, "refill": self.refill, "payment_intent": self.payment_intent,
            "amount": amount, "status": dispute.status, "reason": dispute.reason,
        });
        let facts = kinds.into_iter().flatten().map(|kind| Fact {
            account_key,
            kind,
            at: by.at,
            sequence: reinstated.or(withdrawn),
            data: Some(data.clone()),
        });
        let facts: Vec<Fact> = facts.collect();
        outbox::add(connection, &facts).await?;
        let is_new = withdrawn != before.withdrawn || reinstated != before.reinstated;
        if !is_new && facts.is_empty() {
            by.changed_nothing();
            return Ok(Ok(Booked::Before));
        }
        let audited = AuditEntry {
            action: Action::DisputeTold,
            account_key: Some(account_key),
            subject: dispute.id.clone(),
            before: json!({ "withdrawn": before.withdrawn, "reinstated": before.reinstated }),
            after: json!({ "status": dispute.status, "withdrawn": withdrawn,
                "reinstated": reinstated, "balance": head.balance }),
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

impl Payments {
    /// Books a dispute as Stripe has it, once, however often it is told.
    ///
    /// # Errors
    /// If the ledger cannot be read or written.
    pub(in crate::payments) async fn book_dispute(
        &self,
        dispute: &Dispute,
        event: Option<(String, String)>,
    ) -> Result<Booked, PaymentError> {
        let intent =
            dispute.payment_intent.as_deref().and_then(|id| PaymentIntentId::parse(id).ok());
        let Some(intent) = intent else { return Ok(Booked::Foreign) };
        let refill = refills::find(&mut *self.store.read().await?, Which::Intent(&intent)).await?;
        let Some(refill) = refill else { return Ok(Booked::Foreign) };
        if dispute.currency != "usd" {
            let dispute = dispute.id.as_str();
            tracing::error!(dispute, "a dispute is not in USD; it is not booked");
        }
        let change = BookDispute {
            account: refill.account.clone(),
            refill: refill.id.clone(),
            payment_intent: intent.to_string(),
            dispute: dispute.clone(),
            event,
        };
        let booked = self.changes.run(change, By::new(WHO, self.clock.now())).await?;
        Ok(booked.unwrap_or(Booked::Foreign))
    }
}
