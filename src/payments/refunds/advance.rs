//! Brings a refund forward until Stripe's answer is booked.

use callmeter_core::domain::{PaymentIntentId, RefundId};
use chrono::TimeDelta;

use super::NotRefunded;
use super::book::Outcome;
use crate::ledger::LedgerError;
use crate::ledger::payments::refunds::{self, Refund, Which};
use crate::payments::requests::{refund_form, refund_key};
use crate::payments::{PaymentError, Payments};
use crate::stripe::{self, Deadline, StripeError};
use crate::telemetry::one_line;

/// Refunds of one round of the job.
const ROUND: i64 = 100;
/// A request is never repeated later: Stripe keeps its key for 24 hours.
const REPEAT_MAX: TimeDelta = TimeDelta::hours(23);
/// Time between two looks at a refund that the bank works on.
const BANK_EVERY: TimeDelta = TimeDelta::hours(1);

impl Payments {
    /// Brings a claimed refund forward, then ends the claim. If Stripe does not answer, it stays
    /// `pending`, and the job goes on.
    ///
    /// # Errors
    /// If the ledger cannot be read or written, or holds are unknown.
    pub(super) async fn advance_refund(
        &self,
        id: &RefundId,
        deadline: Deadline,
    ) -> Result<Result<(), NotRefunded>, PaymentError> {
        let advanced = Box::pin(self.take_refund_forward(id, deadline)).await;
        let now = self.clock.now();
        let found = refunds::find(&mut *self.store.read().await?, Which::Id(id)).await?;
        let is_at_bank = found.is_some_and(|refund| refund.stripe_refund.is_some());
        let again = if is_at_bank { now + BANK_EVERY } else { now };
        refunds::release(&self.store, id, again).await?;
        match advanced {
            Err(PaymentError::Stripe(error)) => {
                let error = one_line(&error);
                tracing::warn!(refund = %id, error, "the outcome of a refund is not known yet");
                Ok(Ok(()))
            }
            advanced => advanced,
        }
    }

    /// Brings a refund forward unless another process works on it.
    ///
    /// # Errors
    /// As [`Self::advance_refund`].
    pub(super) async fn advance_refund_if_free(
        &self,
        id: &RefundId,
        deadline: Deadline,
    ) -> Result<(), PaymentError> {
        let now = self.clock.now();
        if refunds::claim(&self.store, id, now, now + self.claim_time()).await? {
            // Withdrawn where the money is gone: nothing is left of it.
            let _: Result<(), NotRefunded> = self.advance_refund(id, deadline).await?;
        }
        Ok(())
    }

    /// Brings every unfinished refund forward that nobody works on.
    ///
    /// # Errors
    /// If the ledger cannot be read. An error about one does not stop the others.
    pub(in crate::payments) async fn look_up_refunds(&self) -> Result<(), PaymentError> {
        let now = self.clock.now();
        let ids = refunds::unattended(&mut *self.store.read().await?, now, ROUND).await?;
        for id in &ids {
            if let Err(error) = self.advance_refund_if_free(id, self.deadline()).await {
                tracing::warn!(refund = %id, error = one_line(&error), "a refund waits");
            }
        }
        Ok(())
    }

    async fn take_refund_forward(
        &self,
        id: &RefundId,
        deadline: Deadline,
    ) -> Result<Result<(), NotRefunded>, PaymentError> {
        let found = refunds::find(&mut *self.store.read().await?, Which::Id(id)).await?;
        let Some(refund) = found else { return Ok(Ok(())) };
        if refund.finished_at.is_some() {
            return Ok(Ok(()));
        }
        self.check_account(deadline).await?;
        if let Some(known) = &refund.stripe_refund {
            let read = self.stripe.refund(known, deadline).await?;
            self.book_refund(&read, None).await?;
            return Ok(Ok(()));
        }
        if !refund.is_checked
            && let Err(refusal) = self.check_funds(&refund).await?
        {
            return Ok(Err(refusal));
        }
        let made = self.create_refund(&refund, deadline).await?;
        match made {
            Made::Refund(made) => self.book_refund(&made, None).await?,
            Made::Refused => self.fail_refund(&refund).await?,
            Made::NotYet => return Ok(Ok(())),
        };
        Ok(Ok(()))
    }

    async fn create_refund(
        &self,
        refund: &Refund,
        deadline: Deadline,
    ) -> Result<Made, PaymentError> {
        let intent = refund.payment_intent.as_deref().map(PaymentIntentId::parse);
        let Some(Ok(intent)) = intent else {
            return Err(LedgerError::unreadable("a refund", "it has no payment").into());
        };
        if self.clock.now() - refund.created_at >= REPEAT_MAX {
            return Ok(match self.find_refund(&intent, refund, deadline).await? {
                Some(found) => Made::Refund(Box::new(found)),
                None => Made::Refused,
            });
        }
        let ledger = self.ledger_id().await?;
        let (form, key) = (refund_form(ledger, refund, &intent), refund_key(ledger, refund));
        let mut made = self.stripe.create_refund(&form, &key, deadline).await;
        if let Err(StripeError::Server { .. }) = &made {
            made = self.stripe.create_refund(&form, &key, deadline).await;
        }
        match made {
            Ok(made) => Ok(Made::Refund(Box::new(made))),
            // Stripe keeps its failure under this key: the next attempt has another one.
            Err(StripeError::Server { .. }) => {
                if let Some(found) = self.find_refund(&intent, refund, deadline).await? {
                    return Ok(Made::Refund(Box::new(found)));
                }
                refunds::next_attempt(&self.store, &refund.id).await?;
                Ok(Made::NotYet)
            }
            Err(StripeError::Refused(complaint) | StripeError::Card(complaint)) => {
                let reason = complaint.reason();
                tracing::warn!(refund = %refund.id, reason, "stripe refuses a refund");
                Ok(Made::Refused)
            }
            Err(StripeError::NotFound { .. }) => Ok(Made::Refused),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks for a refund among those of its payment.
    async fn find_refund(
        &self,
        intent: &PaymentIntentId,
        refund: &Refund,
        deadline: Deadline,
    ) -> Result<Option<stripe::Refund>, PaymentError> {
        let listed = self.stripe.refunds_of_payment(intent, deadline).await?;
        let is_it = |found: &stripe::Refund| {
            found.metadata.get("callmeter_refund").map(String::as_str) == Some(refund.id.as_str())
        };
        Ok(listed.into_iter().find(is_it))
    }

    async fn fail_refund(&self, refund: &Refund) -> Result<Outcome, PaymentError> {
        self.book_failure(refund).await
    }
}

/// What became of a request.
enum Made {
    Refund(Box<stripe::Refund>),
    Refused,
    NotYet,
}
