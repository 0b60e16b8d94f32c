//! The endpoint at Stripe that delivers events to this service: made, and checked daily.

use serde::{Deserialize, Serialize};

use super::requests::new_key;
use super::stripe_event::KNOWN;
use super::{PaymentError, Payments};
use crate::stripe::{API_VERSION, Form, WebhookEndpoint};

/// The path of Stripe's web hooks, below `http.public_url`.
pub const WEBHOOK_PATH: &str = "/webhooks/stripe";

/// What Stripe has for this service.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct EndpointCheck {
    /// The address that events must come to.
    pub url: String,
    /// The endpoint of that address (`we_…`); none: there is none.
    pub id: Option<String>,
    /// What is wrong; none: events arrive.
    pub faults: Vec<String>,
}

/// The name of the daily job.
pub const STRIPE_CHECK: &str = "stripe_check";

/// What the daily look at Stripe found.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct StripeCheck {
    /// The endpoint of our web hooks; none: `http.public_url` is not set.
    pub endpoint: Option<EndpointCheck>,
}

/// An endpoint that was made.
#[derive(Debug)]
pub struct NewEndpoint {
    /// Its id (`we_…`).
    pub id: String,
    /// Its address.
    pub url: String,
    /// What signs its events; Stripe shows it once.
    pub secret: String,
}

impl Payments {
    /// Looks daily: whether the ledger lacks a payment that Stripe has, and whether our web hooks
    /// arrive.
    ///
    /// # Errors
    /// `RecoveryNeeded` if the ledger lacks one: acts on money wait from now on.
    pub async fn check(&self) -> Result<StripeCheck, PaymentError> {
        let deadline = self.deadline();
        self.check_own_account(deadline).await?;
        self.look_for_lost_payments(deadline).await?;
        Ok(StripeCheck { endpoint: self.check_endpoint().await? })
    }

    /// Where Stripe must deliver events to; `None`: `http.public_url` is not set.
    pub fn webhook_url(&self) -> Option<String> {
        let base = self.settings.public_url.as_deref()?;
        Some(format!("{}{WEBHOOK_PATH}", base.trim_end_matches('/')))
    }

    /// Compares the endpoint at Stripe with what this service needs. Of several endpoints for the
    /// address the best one counts. `None`: `http.public_url` is not set.
    ///
    /// # Errors
    /// If Stripe does not answer.
    pub async fn check_endpoint(&self) -> Result<Option<EndpointCheck>, PaymentError> {
        let Some(url) = self.webhook_url() else { return Ok(None) };
        let listed = self.stripe.webhook_endpoints(self.deadline()).await?;
        let best = listed
            .into_iter()
            .filter(|endpoint| endpoint.url == url)
            .map(|endpoint| (faults_of(&endpoint), endpoint.id))
            .min_by_key(|(faults, _)| faults.len());
        Ok(Some(match best {
            Some((faults, id)) => EndpointCheck { url, id: Some(id), faults },
            None => EndpointCheck { url, id: None, faults: vec!["there is none".to_owned()] },
        }))
    }

    /// Makes the endpoint. `None`: `http.public_url` is not set.
    ///
    /// # Errors
    /// If Stripe refuses it or does not answer.
    pub async fn create_endpoint(&self) -> Result<Option<NewEndpoint>, PaymentError> {
        let Some(url) = self.webhook_url() else { return Ok(None) };
        let form = Form::new().with("url", &url).with("api_version", API_VERSION);
        let form = KNOWN.iter().fold(form, |form, kind| form.with("enabled_events[]", *kind));
        let ledger = self.ledger_id().await?;
        let form = form.with("metadata[callmeter_ledger]", ledger);
        let key = new_key(ledger);
        let made = self.stripe.create_webhook_endpoint(&form, &key, self.deadline()).await?;
        let secret = made.secret.map(|secret| secret.expose().to_owned()).unwrap_or_default();
        Ok(Some(NewEndpoint { id: made.id, url: made.url, secret }))
    }
}

fn faults_of(endpoint: &WebhookEndpoint) -> Vec<String> {
    let mut faults = Vec::new();
    if endpoint.status != "enabled" {
        faults.push(format!("it is {}", endpoint.status));
    }
    let version = endpoint.api_version.as_deref().unwrap_or("the account's own");
    if version != API_VERSION {
        faults.push(format!("its version is {version}, not {API_VERSION}"));
    }
    let events = &endpoint.enabled_events;
    let has = |kind: &str| events.iter().any(|event| event == "*" || event == kind);
    let missing: Vec<&str> = KNOWN.into_iter().filter(|kind| !has(kind)).collect();
    if !missing.is_empty() {
        faults.push(format!("it lacks the events {}", missing.join(", ")));
    }
    faults
}
