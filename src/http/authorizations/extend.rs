//! `POST /v1/authorizations/{call_sid}/extend?account=`: extends a call in progress. The requested
//! seconds are the call's total since its answer, so a repeated request adds nothing.

use axum::extract::State;
use axum::response::Response;
use utoipa::ToSchema;

use super::answer::{DecisionJson, decided};
use super::{CallPath, seconds, unknown_authorization};
use crate::http::Api;
use crate::http::access::AuthorizedCommand;
use crate::http::fields::{Fielded, Fields};
use crate::http::problem::Problem;
use crate::json::schema;

#[derive(Clone, Copy, Debug)]
struct ExtensionRequest {
    seconds: u32,
}

/// The duration of a call in progress.
#[derive(ToSchema)]
#[schema(example = json!({ "seconds": 600 }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct ExtensionBody {
    /// The call's total since its answer.
    #[schema(minimum = 1, maximum = 86400)]
    seconds: u32,
}

impl Fielded for ExtensionRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { seconds: fields.required("seconds", seconds)? })
    }
}

/// Extends a call in progress to a longer total.
#[utoipa::path(
    post, path = "/v1/authorizations/{call_sid}/extend", tag = "Authorizations", operation_id = "extendCall",
    params(("call_sid" = schema::CallSid, Path, description = "The call"), ("account" = Option<schema::AccountId>, Query, description = "The account of the call; optional with a key of an account")),
    request_body = ExtensionBody,
    responses((status = 200, description = "Allowed or denied", body = DecisionJson<'_>)),
    extensions(("x-scopes" = json!(["admin", "authorize", "account"])), ("x-problems" = json!(["unknown_account", "unknown_authorization", "holds_unavailable"])))
)]
pub(super) async fn extend(
    State(api): State<Api>,
    AuthorizedCommand(CallPath { account, call_sid }, act): AuthorizedCommand<CallPath>,
) -> Result<Response, Problem> {
    let wanted: ExtensionRequest = act.read()?;
    let decision = api.balance.extend(&account, &call_sid, wanted.seconds).await;
    Ok(decided(decision, &call_sid, unknown_authorization))
}
