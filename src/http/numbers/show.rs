//! `GET /v1/accounts/{id}/numbers/{sid}`: one number.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::unknown;
use crate::http::Api;
use crate::http::access::{Authorized, Viewer};
use crate::http::problem::Problem;
use crate::json::{NumberJson, schema};
use crate::ledger::numbers;

/// Shows a number, by its id or Twilio's.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/numbers/{sid}", tag = "Numbers", operation_id = "showNumber",
    params(
        ("account" = schema::AccountId, Path, description = "The account's id"),
        ("sid" = String, Path, description = "The number's id (`nb_…`) or Twilio's (`PN…`)",
            example = "PN0123456789abcdef0123456789abcdef"),
    ),
    responses((status = 200, description = "The number", body = NumberJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account", "unknown_number"])))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Authorized(viewer): Authorized<Viewer>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<NumberJson>, Problem> {
    let Ok(Path((_, name))) = path else { return Err(unknown()) };
    let found = numbers::find_named(&mut *api.store.read().await?, &name).await?;
    let found = found.filter(|found| found.account == viewer.account);
    found.map(|number| Json(number.into())).ok_or_else(unknown)
}
