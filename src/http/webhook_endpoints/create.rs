//! `POST /v1/webhook-endpoints`: creates a receiver of web hooks. Its secret is only in this answer;
//! the answer stored for an Idempotency-Key is sealed with the caller's key.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{AccountId, EventType};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::not_configured;
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Receivers};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, line, parsed};
use crate::http::problem::Problem;
use crate::json::{EndpointJson, schema};
use crate::ledger::webhooks::{self, NewEndpoint};
use crate::notify::webhooks::{CreateEndpoint, NotCreated, Targets, random_secret};

#[derive(Clone, Debug)]
struct EndpointRequest {
    url: url::Url,
    account: Option<AccountId>,
    types: Option<Vec<EventType>>,
    description: Option<String>,
}

/// A receiver of web hooks to create.
#[derive(ToSchema)]
#[schema(example = json!({ "url": "https://hooks.example/wallet", "account": "acme",
    "events": ["callmeter.refill.completed", "callmeter.alert.empty"], "description": "Billing" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct WebhookEndpointBody {
    /// `https://`, without user information and fragment. Its addresses must be public.
    #[schema(value_type = schema::TargetUrl)]
    url: String,
    /// Whose events it gets. With an account's key: that account. Absent with an admin key: all.
    #[schema(value_type = Option<schema::AccountId>)]
    account: Option<String>,
    /// The types of events that it gets; absent: all.
    #[schema(value_type = Option<Vec<schema::EventType>>, min_items = 1)]
    events: Option<Vec<String>>,
    /// What it is for.
    #[schema(value_type = Option<schema::Line>)]
    description: Option<String>,
}

impl Fielded for EndpointRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let url = fields.required("url", target);
        let account = fields.nullable("account", parsed::<AccountId>).flatten();
        let types = fields.nullable("events", types).flatten();
        let description = fields.nullable("description", line).flatten();
        Some(Self { url: url?, account, types, description })
    }
}

fn target(value: &Value) -> Result<url::Url, String> {
    let text = value.as_str().ok_or("is not a string")?;
    Targets::parse(text).map_err(|error| error.to_string())
}

fn types(value: &Value) -> Result<Vec<EventType>, String> {
    let given = value.as_array().ok_or("is not a list of types")?;
    let mut types = Vec::new();
    for value in given {
        let name = value.as_str().and_then(|name| name.strip_prefix(EventType::PREFIX));
        let kind = name.and_then(|name| EventType::parse(name).ok());
        let kind = kind.ok_or_else(|| format!("{value} is no type of an event"))?;
        if types.contains(&kind) {
            return Err(format!("{value} is given twice"));
        }
        types.push(kind);
    }
    if types.is_empty() {
        Err("is empty; leave it out for all types".to_owned())
    } else {
        Ok(types)
    }
}

/// A receiver of web hooks with its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpointCreated)]
pub(super) struct CreatedJson<'a> {
    #[serde(flatten)]
    shown: EndpointJson,
    /// Signs what is posted; shown only here.
    #[schema(value_type = schema::WebhookSecret)]
    secret: &'a str,
}

impl<'a> CreatedJson<'a> {
    pub(super) fn new(endpoint: webhooks::Endpoint, secret: &'a str) -> Self {
        Self { shown: EndpointJson::from(endpoint), secret }
    }
}

/// Creates a receiver of web hooks. Its secret is in this answer only.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints", tag = "Web hooks", operation_id = "createWebhookEndpoint",
    request_body = WebhookEndpointBody,
    responses((status = 201, description = "The receiver", body = CreatedJson<'_>)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_account", "target_not_allowed", "too_many_webhook_endpoints", "not_configured"])))
)]
pub(super) async fn create(
    State(api): State<Api>,
    AuthorizedCommand(Receivers(owner), command): AuthorizedCommand<Receivers>,
) -> Result<Response, Problem> {
    let EndpointRequest { url, account, types, description } = command.read()?;
    let account = match (owner, account) {
        (Some(own), Some(named)) if named != own => return Err(Problem::unknown_account()),
        (Some(own), _) => Some(own),
        (None, named) => named,
    };
    let target = api.webhooks.targets.check(&url).await;
    let secret = random_secret().ok_or_else(Problem::internal)?;
    let endpoint = NewEndpoint { account, url: url.into(), types, description };
    let secrets = api.webhooks.secrets.clone();
    let change = CreateEndpoint { secrets, endpoint, secret, target };
    let answer = |created: Result<crate::notify::webhooks::Created, NotCreated>| match created {
        Ok(created) => {
            let body = CreatedJson::new(created.endpoint, created.secret.expose());
            Outcome::done_in_secret(StatusCode::CREATED, &body)
        }
        Err(refusal) => Outcome::Refused(refused(refusal)),
    };
    command.run(&api, change, answer).await
}

fn refused(refusal: NotCreated) -> Problem {
    match refusal {
        NotCreated::NotConfigured => not_configured(),
        NotCreated::Ledger(webhooks::NotCreated::UnknownAccount) => Problem::unknown_account(),
        NotCreated::Ledger(webhooks::NotCreated::TooMany) => Problem::refused(
            "too_many_webhook_endpoints",
            "There are as many receivers of web hooks as there may be",
            format!("at most {}; delete one first", webhooks::ENDPOINTS_MAX),
        ),
        NotCreated::Target(refused) => Problem::refused(
            "target_not_allowed",
            "The address may not receive web hooks",
            refused.to_string(),
        ),
    }
}
