//! Payments and their charges.

use callmeter_core::domain::{PaymentIntentId, StripeCustomerId};
use chrono::{DateTime, Utc};

use super::{Charge, Deadline, Form, PaymentIntent, StripeClient, StripeError};

const RESOURCE: &str = "payment_intents";

impl StripeClient {
    /// Creates a payment.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn create_payment_intent(
        &self,
        form: &Form,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<PaymentIntent, StripeError> {
        self.post(&[RESOURCE], form, idempotency_key, deadline).await
    }

    /// Reads a payment.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn payment_intent(
        &self,
        id: &PaymentIntentId,
        deadline: Deadline,
    ) -> Result<PaymentIntent, StripeError> {
        self.get(&[RESOURCE, id.as_str()], &[], deadline).await
    }

    /// Confirms a payment: takes the money, or says what is missing. A declined card is `Card`, with
    /// the payment in it.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn confirm(
        &self,
        id: &PaymentIntentId,
        form: &Form,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<PaymentIntent, StripeError> {
        self.post(&[RESOURCE, id.as_str(), "confirm"], form, idempotency_key, deadline).await
    }

    /// Cancels a payment. `Refused` if its state forbids it: it may be paid meanwhile.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn cancel(
        &self,
        id: &PaymentIntentId,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<PaymentIntent, StripeError> {
        let path = [RESOURCE, id.as_str(), "cancel"];
        self.post(&path, &Form::new(), idempotency_key, deadline).await
    }

    /// Lists a customer's payments that were created at `created_since` or later, newest first.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn payment_intents_of(
        &self,
        customer: &StripeCustomerId,
        created_since: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Vec<PaymentIntent>, StripeError> {
        let since = created_since.timestamp().to_string();
        let query = [("customer", customer.as_str()), ("created[gte]", since.as_str())];
        self.list(&[RESOURCE], &query, deadline).await
    }

    /// Lists all payments that were created at `created_since` or later, newest first.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn payment_intents_since(
        &self,
        created_since: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Vec<PaymentIntent>, StripeError> {
        let since = created_since.timestamp().to_string();
        self.list(&[RESOURCE], &[("created[gte]", since.as_str())], deadline).await
    }

    /// The newest payments, at most a page of them.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn newest_payment_intents(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<PaymentIntent>, StripeError> {
        Ok(self.page(&[RESOURCE], &[], None, deadline).await?.data)
    }

    /// Reads a charge.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn charge(&self, id: &str, deadline: Deadline) -> Result<Charge, StripeError> {
        self.object("charges", id, deadline).await
    }
}
