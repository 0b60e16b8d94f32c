//! `GET /v1/accounts/{id}/wallet`: what the account has. One round trip to Postgres and one to Redis;
//! more after a new catalog was accepted, and where Redis is behind or does not know the account.
//!
//! While Redis is away the wallet is shown all the same: what is held is then the journal's word,
//! which `held_source` says.

use axum::Json;
use axum::extract::State;

use super::AccountPath;
use crate::http::Api;
use crate::http::auth::Credential;
use crate::http::problem::Problem;
use crate::wallet::WalletView;

pub(super) async fn wallet(
    State(api): State<Api>,
    credential: Credential,
    AccountPath(id): AccountPath,
) -> Result<Json<WalletView>, Problem> {
    credential.require_account(&id)?;
    let view = api.wallets.view(&id, api.clock.now()).await?;
    view.map(Json).ok_or_else(Problem::unknown_account)
}
