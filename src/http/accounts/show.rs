//! `GET /v1/accounts/{id}`: an account and its limits.

use axum::Json;
use axum::extract::State;

use crate::http::Api;
use crate::http::access::{Authorized, Reader};
use crate::http::problem::Problem;
use crate::json::AccountJson;
use crate::json::schema;
use crate::ledger::accounts;

/// Shows an account and its limits.
#[utoipa::path(
    get, path = "/v1/accounts/{account}", tag = "Accounts", operation_id = "showAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "The account", body = AccountJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Authorized(Reader(id)): Authorized<Reader>,
) -> Result<Json<AccountJson>, Problem> {
    let mut connection = api.store.read().await?;
    let account = accounts::find(&mut connection, &id).await?;
    account.map(|account| Json(account.into())).ok_or_else(Problem::unknown_account)
}
