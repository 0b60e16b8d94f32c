//! `PUT /v1/accounts/{id}/subscription`: puts an account on a plan, or on none, from an instant on.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::PlanId;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::act::Outcome;
use crate::http::fields::{Fielded, Fields, instant, parsed};
use crate::http::openapi::schema;
use crate::http::problem::Problem;
use crate::http::reach::{AdminOf, Permitted};
use crate::ledger::subscriptions::{self, SubscriptionChanged};

#[derive(Clone, Debug)]
struct Wanted {
    plan: Option<PlanId>,
    starts_at: DateTime<Utc>,
}

/// A plan from an instant on.
#[derive(ToSchema)]
#[schema(example = json!({ "plan": "starter", "starts_at": "2026-12-01T00:00:00Z" }))]
#[expect(dead_code, reason = "tells the document what `Fields` reads")]
struct SubscriptionBody {
    /// Null ends the subscription.
    #[schema(value_type = Option<schema::PlanId>, required = true)]
    plan: Option<String>,
    /// Past instants too.
    starts_at: DateTime<Utc>,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = SubscriptionChange)]
struct ChangedJson<'a> {
    #[schema(value_type = Option<schema::PlanId>)]
    plan: Option<&'a PlanId>,
    starts_at: DateTime<Utc>,
    /// False where the plan was in force then already.
    changed: bool,
}

impl Fielded for Wanted {
    fn read(fields: &mut Fields) -> Option<Self> {
        let plan = fields.required_nullable("plan", parsed::<PlanId>);
        let starts_at = fields.required("starts_at", instant);
        Some(Self { plan: plan?, starts_at: starts_at? })
    }
}

/// Puts an account on a plan, or on none, from an instant on, until the next change.
#[utoipa::path(
    put, path = "/v1/accounts/{account}/subscription", tag = "Accounts", operation_id = "subscribeAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = SubscriptionBody,
    responses((status = 200, description = "It is so", body = ChangedJson<'_>)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account", "unknown_plan"])))
)]
pub(super) async fn subscribe(
    State(api): State<Api>,
    Permitted(AdminOf(id), act): Permitted<AdminOf>,
) -> Result<Response, Problem> {
    let wanted: Wanted = act.read()?;
    act.run(&api, "subscriptions::change", move |connection, by| {
        let (id, wanted) = (id.clone(), wanted.clone());
        async move {
            let Wanted { plan, starts_at } = &wanted;
            let changed =
                subscriptions::change(connection, &id, plan.as_ref(), *starts_at, &by).await?;
            Ok(answer(&wanted, &changed))
        }
        .boxed()
    })
    .await
}

fn answer(wanted: &Wanted, changed: &SubscriptionChanged) -> Outcome {
    let changed = match changed {
        SubscriptionChanged::Changed(_) => true,
        SubscriptionChanged::Unchanged => false,
        SubscriptionChanged::UnknownAccount => {
            return Outcome::Refused(Problem::unknown_account());
        }
        SubscriptionChanged::UnknownPlan { version } => {
            let message = match version {
                Some(version) => format!("catalog version {version} counts then and lacks it"),
                None => "no catalog was accepted yet".to_owned(),
            };
            return Outcome::Refused(Problem::unknown_name("unknown_plan", "plan", &message));
        }
    };
    let body = ChangedJson { plan: wanted.plan.as_ref(), starts_at: wanted.starts_at, changed };
    Outcome::done(StatusCode::OK, &body)
}
