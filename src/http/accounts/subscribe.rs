//! `PUT /v1/accounts/{id}/subscription`: sets the account's plan, or none, effective from a given
//! time.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::PlanId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::subscribe::Subscribe;
use crate::http::Api;
use crate::http::access::{AdminOf, AuthorizedCommand};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, instant, parsed};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::ledger::subscriptions::{NotSubscribed, SubscriptionChanged};

#[derive(Clone, Debug)]
struct SubscriptionRequest {
    plan: Option<PlanId>,
    starts_at: DateTime<Utc>,
}

/// A plan, and the time from which it is effective.
#[derive(ToSchema)]
#[schema(example = json!({ "plan": "starter", "starts_at": "2026-12-01T00:00:00Z" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct SubscriptionBody {
    /// Null ends the subscription.
    #[schema(value_type = Option<schema::PlanId>, required = true)]
    plan: Option<String>,
    /// May be in the past.
    starts_at: DateTime<Utc>,
}

/// The subscription after the change.
#[derive(Serialize, ToSchema)]
#[schema(as = SubscriptionChange)]
struct ChangedJson<'a> {
    #[schema(value_type = Option<schema::PlanId>)]
    plan: Option<&'a PlanId>,
    starts_at: DateTime<Utc>,
    /// False if the plan was already in force then.
    changed: bool,
}

impl Fielded for SubscriptionRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let plan = fields.required_nullable("plan", parsed::<PlanId>);
        let starts_at = fields.required("starts_at", instant);
        Some(Self { plan: plan?, starts_at: starts_at? })
    }
}

/// Sets the account's plan, or none, effective from a given time until the next change.
#[utoipa::path(
    put, path = "/v1/accounts/{account}/subscription", tag = "Accounts", operation_id = "subscribeAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = SubscriptionBody,
    responses((status = 200, description = "The subscription", body = ChangedJson<'_>)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account", "unknown_plan"])))
)]
pub(super) async fn subscribe(
    State(api): State<Api>,
    AuthorizedCommand(AdminOf(account), command): AuthorizedCommand<AdminOf>,
) -> Result<Response, Problem> {
    let SubscriptionRequest { plan, starts_at } = command.read()?;
    let change = Subscribe { account, plan: plan.clone(), starts_at };
    let answer = move |subscribed| match subscribed {
        Ok(change) => {
            let changed = matches!(change, SubscriptionChanged::Changed(_));
            let body = ChangedJson { plan: plan.as_ref(), starts_at, changed };
            Outcome::done(StatusCode::OK, &body)
        }
        Err(NotSubscribed::UnknownAccount) => Outcome::Refused(Problem::unknown_account()),
        Err(NotSubscribed::UnknownPlan { version }) => {
            let message = match version {
                Some(version) => format!("catalog version {version} is in force then and lacks it"),
                None => "no catalog has been accepted".to_owned(),
            };
            Outcome::Refused(Problem::unknown_name("unknown_plan", "plan", &message))
        }
    };
    command.run(&api, change, answer).await
}
