//! `DELETE /v1/keys/{key}`: revokes a key. Answered when no process lets it pass any more, which
//! takes a second. Repeating it is answered the same.

use axum::extract::{Path, State};
use axum::response::Response;
use futures::FutureExt;

use crate::http::Api;
use crate::http::act::Outcome;
use crate::http::fields::Nothing;
use crate::http::openapi::schema;
use crate::http::problem::Problem;
use crate::http::reach::{Admin, Permitted};
use crate::ledger::keys::{self, KeyId};

/// Revokes a key; answered when no process lets it pass any more, which takes a second.
#[utoipa::path(
    delete, path = "/v1/keys/{key}", tag = "Keys", operation_id = "revokeKey",
    params(("key" = schema::KeyId, Path, description = "The key's id")),
    responses((status = 204, description = "It is refused from now on")),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_key"])))
)]
pub(super) async fn revoke(
    State(api): State<Api>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    Permitted(Admin, act): Permitted<Admin>,
) -> Result<Response, Problem> {
    act.read::<Nothing>()?;
    let id = path.ok().and_then(|Path(text)| text.parse::<KeyId>().ok());
    let id = id.ok_or_else(unknown_key)?;
    let revoked = act.run(&api, "keys::revoke", move |connection, by| {
        async move {
            Ok(match keys::revoke(connection, id, &by).await? {
                Some(_) => Outcome::done_silently(),
                None => Outcome::Refused(unknown_key()),
            })
        }
        .boxed()
    });
    let answer = revoked.await?;
    api.keys.until_disbelieved(id).await;
    Ok(answer)
}

fn unknown_key() -> Problem {
    Problem::not_found("unknown_key", "There is no such key")
}
