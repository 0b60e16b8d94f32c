//! Receivers of web hooks and what is posted to them, as JSON.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{event_type, schema};
use crate::ledger::webhooks::{Delivery, Endpoint};

/// A receiver of web hooks, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct EndpointJson {
    #[schema(value_type = schema::WebhookEndpointId)]
    id: String,
    url: String,
    /// Whose events it gets; null: those of all accounts.
    #[schema(value_type = Option<schema::AccountId>)]
    account: Option<AccountId>,
    /// The types of events that it gets; null: all.
    #[schema(value_type = Option<Vec<schema::EventType>>)]
    events: Option<Vec<String>>,
    description: Option<String>,
    #[schema(value_type = schema::WebhookEndpointStatus)]
    status: &'static str,
    /// Why it is disabled: `gone` (it answered 410) or `failed` (the last retry failed).
    #[schema(value_type = Option<schema::WebhookDisabledReason>)]
    disabled_reason: Option<&'static str>,
    disabled_at: Option<DateTime<Utc>>,
    /// The first failed attempt since the last success.
    failing_since: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<Endpoint> for EndpointJson {
    fn from(endpoint: Endpoint) -> Self {
        let full = |types: Vec<String>| types.iter().map(|kind| event_type(kind)).collect();
        Self {
            id: endpoint.id.to_string(),
            status: endpoint.status().as_str(),
            url: endpoint.url,
            account: endpoint.account,
            events: endpoint.types.map(full),
            description: endpoint.description,
            disabled_reason: endpoint.disabled.map(|(_, reason)| reason.as_str()),
            disabled_at: endpoint.disabled.map(|(at, _)| at),
            failing_since: endpoint.failing_since,
            created_at: endpoint.created_at,
        }
    }
}

/// An event that is posted to a receiver, and its last answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(crate) struct DeliveryJson {
    #[schema(value_type = schema::WebhookDeliveryId)]
    id: String,
    #[schema(value_type = schema::WebhookEndpointId)]
    endpoint: String,
    /// The event's id: the header `webhook-id`.
    event: String,
    /// The event's type.
    #[serde(rename = "type")]
    kind: String,
    #[schema(value_type = schema::WebhookDeliveryStatus)]
    status: &'static str,
    /// Attempts since it was created or last replayed.
    attempts: i32,
    created_at: DateTime<Utc>,
    last_attempt_at: Option<DateTime<Utc>>,
    /// Null: there is none.
    next_attempt_at: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last answer; null: there was none.
    answer_status: Option<i32>,
    /// The beginning of its body.
    answer: Option<String>,
    /// Why the last attempt failed.
    error: Option<String>,
}

impl From<Delivery> for DeliveryJson {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            endpoint: delivery.endpoint.to_string(),
            event: delivery.event.to_string(),
            status: delivery.status().as_str(),
            kind: event_type(&delivery.kind),
            attempts: delivery.attempts,
            created_at: delivery.created_at,
            last_attempt_at: delivery.last_attempt_at,
            next_attempt_at: delivery.due_at,
            delivered_at: delivery.delivered_at,
            answer_status: delivery.answer_status,
            answer: delivery.answer,
            error: delivery.error,
        }
    }
}
