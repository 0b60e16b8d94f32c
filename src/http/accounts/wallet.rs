//! `GET /v1/accounts/{id}/wallet`: what the account has. One round trip to Postgres, two after a new
//! catalog was accepted.

use axum::Json;
use axum::extract::State;

use super::AccountPath;
use crate::http::Api;
use crate::http::auth::Credential;
use crate::http::problem::Problem;
use crate::ledger::overview;
use crate::wallet::{WalletView, view};

pub(super) async fn wallet(
    State(api): State<Api>,
    credential: Credential,
    AccountPath(id): AccountPath,
) -> Result<Json<WalletView>, Problem> {
    credential.require_account(&id)?;
    let now = api.clock.now();
    let mut connection = api.store.read().await?;
    let overview = overview::read(&mut connection, &id, now).await?;
    drop(connection);
    let overview = overview.ok_or_else(Problem::unknown_account)?;
    let catalogs = match overview.catalog {
        Some(stamp) => Some(api.catalogs.history(&api.store, stamp).await?),
        None => None,
    };
    let history = catalogs.as_ref().map(|kept| &kept.1);
    Ok(Json(view(&overview, history, api.low_balance_threshold, now)?))
}
