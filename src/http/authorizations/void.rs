//! `DELETE /v1/authorizations/{call_sid}?account=`: the call was not made, or is over. Frees its
//! hold; no hold is placed for it again. A repeated request, and one without a hold, has the same
//! answer; an account that does not exist is 404.

use axum::extract::State;
use axum::http::StatusCode;

use super::CallPath;
use crate::http::Api;
use crate::http::access::Authorized;
use crate::http::problem::Problem;
use crate::json::schema;

/// Voids a call's authorization and frees its hold. Repeating it has the same answer.
#[utoipa::path(
    delete, path = "/v1/authorizations/{call_sid}", tag = "Authorizations", operation_id = "voidCall",
    params(("call_sid" = schema::CallSid, Path, description = "The call"), ("account" = Option<schema::AccountId>, Query, description = "The account of the call; optional with a key of an account")),
    responses((status = 204, description = "The call holds nothing")),
    extensions(("x-scopes" = json!(["admin", "authorize", "account"])), ("x-problems" = json!(["unknown_account", "unknown_authorization", "holds_unavailable"])))
)]
pub(super) async fn void(
    State(api): State<Api>,
    Authorized(CallPath { account, call_sid }): Authorized<CallPath>,
) -> Result<StatusCode, Problem> {
    // A void is stored in Redis: do not store one for an account that does not exist.
    if !api.balance.knows(&account).await.map_err(Problem::undecided)? {
        return Err(Problem::unknown_account());
    }
    if api.balance.void(&account, &call_sid).await.map_err(Problem::undecided)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::holds_unavailable())
    }
}
