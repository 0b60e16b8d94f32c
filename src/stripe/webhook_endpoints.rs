//! Endpoints of web hooks at Stripe (<https://docs.stripe.com/api/webhook_endpoints>).

use serde::Deserialize;

use super::{Deadline, Form, Identified, StripeClient, StripeError};
use crate::config::Secret;

/// Where Stripe delivers events to.
#[derive(Debug, Deserialize)]
pub struct WebhookEndpoint {
    /// Its id (`we_…`).
    pub id: String,
    /// The address.
    pub url: String,
    /// The version of the API that events have; none: the account's own.
    pub api_version: Option<String>,
    /// The types of events, or `*` for all.
    pub enabled_events: Vec<String>,
    /// `enabled` or `disabled`.
    pub status: String,
    /// What signs the events; only in the answer that creates it.
    pub secret: Option<Secret>,
}

impl Identified for WebhookEndpoint {
    const OBJECT: &str = "webhook_endpoint";

    fn id(&self) -> &str {
        &self.id
    }
}

impl StripeClient {
    /// Lists the account's endpoints, newest first.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn webhook_endpoints(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<WebhookEndpoint>, StripeError> {
        self.list(&["webhook_endpoints"], &[], deadline).await
    }

    /// Creates an endpoint.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn create_webhook_endpoint(
        &self,
        form: &Form,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<WebhookEndpoint, StripeError> {
        self.post(&["webhook_endpoints"], form, idempotency_key, deadline).await
    }
}
