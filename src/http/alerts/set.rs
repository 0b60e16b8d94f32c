//! `PUT /v1/accounts/{id}/alerts`: replaces the thresholds.

use std::collections::HashSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::Money;
use serde_json::Value;
use utoipa::ToSchema;

use crate::accounts::UnknownAccount;
use crate::accounts::alerts::{SetAlerts, THRESHOLDS_MAX};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Reader};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, list};
use crate::http::problem::Problem;
use crate::http::refills::cents_amount;
use crate::json::{AlertsJson, schema};

/// The thresholds of an account.
#[derive(ToSchema)]
#[schema(example = json!({ "thresholds": ["20.00", "5.00"] }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct AlertsBody {
    /// All thresholds, distinct; an empty list clears them. An empty wallet is always told.
    #[schema(value_type = Vec<schema::RefillAmount>, max_items = 20)]
    thresholds: Vec<String>,
}

struct Thresholds(Vec<Money>);

impl Fielded for Thresholds {
    fn read(fields: &mut Fields) -> Option<Self> {
        fields.required("thresholds", thresholds).map(Self)
    }
}

fn thresholds(value: &Value) -> Result<Vec<Money>, String> {
    let thresholds = list(value, THRESHOLDS_MAX, cents_amount)?;
    let mut seen = HashSet::new();
    match thresholds.iter().find(|threshold| !seen.insert(**threshold)) {
        Some(twice) => Err(format!("has {twice} twice")),
        None => Ok(thresholds),
    }
}

/// Replaces the thresholds of an account. A threshold above the balance is told when the balance has
/// been at it, or above, and falls below it.
#[utoipa::path(
    put, path = "/v1/accounts/{account}/alerts", tag = "Accounts", operation_id = "setAlerts",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = AlertsBody,
    responses((status = 200, description = "The thresholds", body = AlertsJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)),
        ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn set(
    State(api): State<Api>,
    AuthorizedCommand(Reader(account), command): AuthorizedCommand<Reader>,
) -> Result<Response, Problem> {
    let Thresholds(thresholds) = command.read()?;
    let answer = |set| match set {
        Ok(thresholds) => Outcome::done(StatusCode::OK, &AlertsJson { thresholds }),
        Err(UnknownAccount) => Outcome::Refused(Problem::unknown_account()),
    };
    command.run(&api, SetAlerts { account, thresholds }, answer).await
}
