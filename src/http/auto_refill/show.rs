//! `GET /v1/accounts/{id}/auto-refill`: what was set, and how it stands.

use axum::Json;
use axum::extract::State;

use super::shown;
use crate::http::Api;
use crate::http::access::{Authorized, Viewer};
use crate::http::problem::Problem;
use crate::json::{AutoRefillJson, schema};
use crate::ledger::accounts;
use crate::payments::auto_refill_view;

/// Shows auto-refill. An account that never set it has `enabled: false` and no amounts.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/auto-refill", tag = "Refills", operation_id = "showAutoRefill",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "Auto-refill", body = AutoRefillJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Authorized(viewer): Authorized<Viewer>,
) -> Result<Json<AutoRefillJson>, Problem> {
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &viewer.account).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    let (limits, now) = (&api.auto_refill.limits, api.clock.now());
    let view = auto_refill_view(&mut connection, account_key, limits, now).await?;
    Ok(Json(shown(view, viewer.is_admin)))
}
