//! `DELETE /v1/authorizations/{call_sid}?account=`: the call is not made, or is over. Frees its hold;
//! none is placed for it again. Repeating it, or voiding what was never held, is answered the same; an
//! account that does not exist is not.

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
    params(("call_sid" = schema::CallSid, Path, description = "The call"), ("account" = Option<schema::AccountId>, Query, description = "Whose call it is; a key of an account need not say it")),
    responses((status = 204, description = "The call holds nothing")),
    extensions(("x-scopes" = json!(["admin", "authorize", "account"])), ("x-problems" = json!(["unknown_account", "unknown_authorization", "holds_unavailable"])))
)]
pub(super) async fn void(
    State(api): State<Api>,
    Authorized(CallPath { account, call_sid }): Authorized<CallPath>,
) -> Result<StatusCode, Problem> {
    // A void is remembered in Redis: not for what is no account.
    if !api.balance.knows(&account).await.map_err(Problem::undecided)? {
        return Err(Problem::unknown_account());
    }
    if api.balance.void(&account, &call_sid).await.map_err(Problem::undecided)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::holds_unavailable())
    }
}
