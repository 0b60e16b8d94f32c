//! Money that goes back: refunds and disputes.

use callmeter_core::domain::PaymentIntentId;

use super::{Deadline, Dispute, Form, Refund, StripeClient, StripeError};

impl StripeClient {
    /// Creates a refund.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn create_refund(
        &self,
        form: &Form,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<Refund, StripeError> {
        self.post(&["refunds"], form, idempotency_key, deadline).await
    }

    /// Lists the refunds of a charge, newest first. A charge does not carry them itself in the
    /// present API version.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn refunds_of(
        &self,
        charge: &str,
        deadline: Deadline,
    ) -> Result<Vec<Refund>, StripeError> {
        self.list(&["refunds"], &[("charge", charge)], deadline).await
    }

    /// Lists the refunds of a payment, newest first.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn refunds_of_payment(
        &self,
        payment_intent: &PaymentIntentId,
        deadline: Deadline,
    ) -> Result<Vec<Refund>, StripeError> {
        let query = [("payment_intent", payment_intent.as_str())];
        self.list(&["refunds"], &query, deadline).await
    }

    /// Reads a refund.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn refund(&self, id: &str, deadline: Deadline) -> Result<Refund, StripeError> {
        self.object("refunds", id, deadline).await
    }

    /// Reads a dispute.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn dispute(&self, id: &str, deadline: Deadline) -> Result<Dispute, StripeError> {
        self.object("disputes", id, deadline).await
    }
}
