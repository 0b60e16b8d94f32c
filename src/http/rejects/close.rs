//! `POST /v1/rejects/{reject}/close`: closes a reject for good. It no longer counts as open, and is
//! listed only with `all=true`. Repeating it changes nothing.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::access::{Admin, AuthorizedCommand};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, line};
use crate::http::problem::Problem;
use crate::json::{ClosedJson, schema};
use crate::ledger::rejects::NotClosed;
use crate::operator::close_reject::CloseReject;

#[derive(Clone, Debug)]
struct ClosingRequest {
    reason: String,
}

/// Why a reject is closed.
#[derive(ToSchema)]
#[schema(example = json!({ "reason": "charged by hand, see ticket 4711" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct RejectClosingBody {
    /// Stored with the reject and in the audit, instead of `X-Reason`.
    #[schema(value_type = schema::Line)]
    reason: String,
}

impl Fielded for ClosingRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { reason: fields.required("reason", line)? })
    }
}

/// Closes a reject for good; it no longer counts as open.
#[utoipa::path(
    post, path = "/v1/rejects/{reject}/close", tag = "Rejects", operation_id = "closeReject",
    params(("reject" = i64, Path, minimum = 1, description = "The reject's id")),
    request_body = RejectClosingBody,
    responses((status = 200, description = "The closed reject", body = ClosedJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_reject", "reject_replayed"])))
)]
pub(super) async fn close(
    State(api): State<Api>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    AuthorizedCommand(Admin, command): AuthorizedCommand<Admin>,
) -> Result<Response, Problem> {
    let ClosingRequest { reason } = command.read()?;
    let id = path.ok().and_then(|Path(text)| text.parse::<i64>().ok());
    let id = id.ok_or_else(unknown_reject)?;
    let answer = |closed| match closed {
        Ok(closed) => Outcome::done(StatusCode::OK, &ClosedJson::new(closed)),
        Err(NotClosed::Unknown) => Outcome::Refused(unknown_reject()),
        Err(NotClosed::Replayed) => Outcome::Refused(replayed()),
    };
    command.because(reason).run(&api, CloseReject(id), answer).await
}

fn unknown_reject() -> Problem {
    Problem::not_found("unknown_reject", "There is no such reject")
}

fn replayed() -> Problem {
    let title = "A replay settled this reject before; there is nothing to close";
    Problem::taken("reject_replayed", title)
}
