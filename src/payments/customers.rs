//! The Stripe customer of each account.

use callmeter_core::domain::StripeCustomerId;

use super::{PaymentError, Payments, requests};
use crate::ledger::payments::cards;
use crate::stripe::{Deadline, StripeError};

impl Payments {
    /// The Stripe customer of an account; makes it at the first need.
    pub(super) async fn customer(
        &self,
        account: &str,
        account_key: i32,
        deadline: Deadline,
    ) -> Result<StripeCustomerId, PaymentError> {
        if let Some(customer) = self.stored_customer(account_key).await? {
            return Ok(customer);
        }
        let ledger = self.ledger_id().await?;
        let form = requests::customer(ledger, account);
        let key = requests::customer_key(ledger, account);
        let send = async |key: String| self.stripe.create_customer(&form, &key, deadline).await;
        let made = requests::under_keys(&key, send).await?;
        let (id, now) = (made.id, self.clock.now());
        let kept = self.store.transact("cards::keep_customer", move |connection| {
            let id = id.clone();
            Box::pin(async move { cards::keep_customer(connection, account_key, &id, now).await })
        });
        Ok(kept.await?)
    }

    /// Deletes an account's customer at Stripe with its cards, for good. Its payments stay there, and
    /// can be refunded.
    ///
    /// # Errors
    /// If Stripe does not answer: run it again.
    pub async fn delete_customer(&self, account_key: i32) -> Result<(), PaymentError> {
        let Some(customer) = self.stored_customer(account_key).await? else { return Ok(()) };
        let deadline = self.deadline();
        self.check_own_account(deadline).await?;
        match self.stripe.delete_customer(&customer, deadline).await {
            // Deleted before.
            Ok(_) | Err(StripeError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn stored_customer(
        &self,
        account_key: i32,
    ) -> Result<Option<StripeCustomerId>, PaymentError> {
        let mut connection = self.store.read().await?;
        Ok(cards::customer(&mut connection, account_key).await?)
    }
}
