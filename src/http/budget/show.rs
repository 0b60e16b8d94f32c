//! `GET /v1/accounts/{id}/budget`: the budget, what is spent, and a forecast.

use axum::Json;
use axum::extract::State;

use crate::http::Api;
use crate::http::access::{Authorized, Reader};
use crate::http::problem::Problem;
use crate::json::{BudgetJson, schema};
use crate::ledger::{accounts, watched};

/// Shows the budget, and what is spent in this UTC month, with or without one.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/budget", tag = "Accounts", operation_id = "showBudget",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "The budget as it stands", body = BudgetJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Authorized(Reader(account)): Authorized<Reader>,
) -> Result<Json<BudgetJson>, Problem> {
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &account).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    let watched = watched::find(&mut connection, account_key).await?;
    Ok(Json(BudgetJson::new(&watched, api.clock.now())))
}
