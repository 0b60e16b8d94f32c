//! `DELETE /v1/authorizations/{call_sid}?account=`: the call is not made, or is over. Frees its hold;
//! none is placed for it again. Repeating it, or voiding what was never held, is answered the same.

use axum::extract::State;
use axum::http::StatusCode;

use super::CallPath;
use crate::http::Api;
use crate::http::auth::Credential;
use crate::http::problem::Problem;

pub(super) async fn void(
    State(api): State<Api>,
    credential: Credential,
    CallPath { account, call_sid }: CallPath,
) -> Result<StatusCode, Problem> {
    let account = credential.calls_account(account)?;
    if api.balance.void(&account, &call_sid).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::holds_unavailable())
    }
}
