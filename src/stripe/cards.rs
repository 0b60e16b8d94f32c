//! Saved cards.

use callmeter_core::domain::{PaymentMethodId, StripeCustomerId};

use super::{Deadline, Form, PaymentMethod, StripeClient, StripeError};

impl StripeClient {
    /// Lists a customer's cards, newest first.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn payment_methods(
        &self,
        customer: &StripeCustomerId,
        deadline: Deadline,
    ) -> Result<Vec<PaymentMethod>, StripeError> {
        let path = ["customers", customer.as_str(), "payment_methods"];
        self.list(&path, &[("type", "card")], deadline).await
    }

    /// Reads a card.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn payment_method(
        &self,
        id: &PaymentMethodId,
        deadline: Deadline,
    ) -> Result<PaymentMethod, StripeError> {
        self.get(&["payment_methods", id.as_str()], &[], deadline).await
    }

    /// Changes the month (1 to 12) and year (four digits) in which a card expires.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn update_card(
        &self,
        id: &PaymentMethodId,
        exp_month: u32,
        exp_year: u32,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<PaymentMethod, StripeError> {
        let form = Form::new()
            .with("card[exp_month]", exp_month.to_string())
            .with("card[exp_year]", exp_year.to_string());
        self.post(&["payment_methods", id.as_str()], &form, idempotency_key, deadline).await
    }

    /// Removes a card from its customer, for good. `Refused` if it is attached to none.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn detach(
        &self,
        id: &PaymentMethodId,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<PaymentMethod, StripeError> {
        let path = ["payment_methods", id.as_str(), "detach"];
        self.post(&path, &Form::new(), idempotency_key, deadline).await
    }
}
