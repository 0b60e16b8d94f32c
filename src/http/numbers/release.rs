//! `DELETE /v1/accounts/{id}/numbers/{sid}`: gives a number back.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{numbers, unknown};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Reader};
use crate::http::command::respond;
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::json::{NumberJson, schema};
use crate::numbers::NotReleased;

/// Gives a number back to Twilio, by its id or Twilio's. It is `releasing`, costs nothing more, and is
/// `released` soon. Nothing is paid back for the period that has begun.
#[utoipa::path(
    delete, path = "/v1/accounts/{account}/numbers/{sid}", tag = "Numbers", operation_id = "releaseNumber",
    params(
        ("account" = schema::AccountId, Path, description = "The account's id"),
        ("sid" = String, Path, description = "The number's id (`nb_…`) or Twilio's (`PN…`)",
            example = "PN0123456789abcdef0123456789abcdef"),
    ),
    responses((status = 202, description = "The number, `releasing`", body = NumberJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_account", "unknown_number", "number_not_bought"])))
)]
pub(super) async fn release(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    AuthorizedCommand(Reader(account), command): AuthorizedCommand<Reader>,
) -> Result<Response, Problem> {
    let _: Nothing = command.read()?;
    let Ok(Path((_, name))) = path else { return Err(unknown()) };
    let released = numbers(&api)?.release(account, &name, command.by(&api)).await?;
    let number = released.map_err(|refusal| match refusal {
        NotReleased::UnknownNumber => unknown(),
        NotReleased::NotBought => {
            let title = "The number is not bought yet, or its purchase failed";
            Problem::taken("number_not_bought", title)
        }
    })?;
    let body = serde_json::to_string(&NumberJson::from(number));
    Ok(respond(StatusCode::ACCEPTED, body.map_err(|_| Problem::internal())?, false))
}
