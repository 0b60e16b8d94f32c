//! `GET /v1/accounts/{id}/alerts`: the thresholds that count.

use axum::Json;
use axum::extract::State;

use crate::http::Api;
use crate::http::access::{Authorized, Reader};
use crate::http::problem::Problem;
use crate::json::{AlertsJson, schema};
use crate::ledger::{accounts, alerts};

/// Shows the thresholds; those of the settings if the account never set any.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/alerts", tag = "Accounts", operation_id = "showAlerts",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "The thresholds", body = AlertsJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Authorized(Reader(account)): Authorized<Reader>,
) -> Result<Json<AlertsJson>, Problem> {
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &account).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    let thresholds = alerts::find(&mut connection, account_key).await?;
    Ok(Json(AlertsJson { thresholds }))
}
