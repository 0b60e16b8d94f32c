//! `DELETE /v1/keys/{key}`: revokes a key. Answers when every process refuses it, after one second.
//! A repeated request has the same answer.

use axum::extract::{Path, State};
use axum::response::Response;

use crate::accounts::keys::{RevokeKey, UnknownKey};
use crate::http::Api;
use crate::http::access::{Admin, AuthorizedCommand};
use crate::http::command::Outcome;
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::json::schema;
use crate::ledger::keys::KeyId;

/// Revokes a key; answers when every process refuses it, within about a second.
#[utoipa::path(
    delete, path = "/v1/keys/{key}", tag = "Keys", operation_id = "revokeKey",
    params(("key" = schema::KeyId, Path, description = "The key's id")),
    responses((status = 204, description = "The key is revoked")),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_key"])))
)]
pub(super) async fn revoke(
    State(api): State<Api>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    AuthorizedCommand(Admin, command): AuthorizedCommand<Admin>,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let id = path.ok().and_then(|Path(text)| text.parse::<KeyId>().ok());
    let id = id.ok_or_else(unknown_key)?;
    let answer = |revoked| match revoked {
        Ok(_) => Outcome::done_silently(),
        Err(UnknownKey) => Outcome::Refused(unknown_key()),
    };
    command.run(&api, RevokeKey(id), answer).await
}

fn unknown_key() -> Problem {
    Problem::not_found("unknown_key", "There is no such key")
}
