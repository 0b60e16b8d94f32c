//! Customers, setups of their cards, and the account of the API key.

use callmeter_core::domain::StripeCustomerId;

use super::listing::id_part;
use super::{Account, Customer, Deadline, Form, SetupIntent, StripeClient, StripeError};

impl StripeClient {
    /// Creates a customer.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn create_customer(
        &self,
        form: &Form,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<Customer, StripeError> {
        self.post(&["customers"], form, idempotency_key, deadline).await
    }

    /// Reads a customer, a deleted one too.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn customer(
        &self,
        id: &StripeCustomerId,
        deadline: Deadline,
    ) -> Result<Customer, StripeError> {
        self.get(&["customers", id.as_str()], &[], deadline).await
    }

    /// Deletes a customer with its cards. Its payments stay, and can be refunded.
    ///
    /// # Errors
    /// As for [`Self::delete`].
    pub async fn delete_customer(
        &self,
        id: &StripeCustomerId,
        deadline: Deadline,
    ) -> Result<Customer, StripeError> {
        self.delete(&["customers", id.as_str()], deadline).await
    }

    /// Creates a setup, by which the browser saves a card.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn create_setup_intent(
        &self,
        form: &Form,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<SetupIntent, StripeError> {
        self.post(&["setup_intents"], form, idempotency_key, deadline).await
    }

    /// Reads a setup.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn setup_intent(
        &self,
        id: &str,
        deadline: Deadline,
    ) -> Result<SetupIntent, StripeError> {
        self.object("setup_intents", id, deadline).await
    }

    /// Cancels a setup that is not confirmed. `Refused` if its state forbids it.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn cancel_setup_intent(
        &self,
        id: &str,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<SetupIntent, StripeError> {
        let path = ["setup_intents", id_part(id)?, "cancel"];
        self.post(&path, &Form::new(), idempotency_key, deadline).await
    }

    /// Reads the account of the API key.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn account(&self, deadline: Deadline) -> Result<Account, StripeError> {
        self.get(&["account"], &[], deadline).await
    }
}
