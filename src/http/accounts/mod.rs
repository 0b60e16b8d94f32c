//! Accounts and their wallets, under `/v1/accounts`.

mod adjust;
mod calls;
mod create;
mod show;
mod status;
mod subscribe;
mod transactions;
mod update;
mod wallet;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::routing::{get, patch, post, put};
use callmeter_core::domain::AccountId;

use super::Api;
use super::auth::Credential;
use super::problem::Problem;

/// Paths that a key of the account may reach too.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/accounts/{account}", get(show::show))
        .route("/v1/accounts/{account}/wallet", get(wallet::wallet))
        .route("/v1/accounts/{account}/transactions", get(transactions::transactions))
        .route("/v1/accounts/{account}/calls", get(calls::calls))
}

/// Paths that need the scope `admin`.
pub(super) fn admin_routes() -> Router<Api> {
    Router::new()
        .route("/v1/accounts", post(create::create))
        .route("/v1/accounts/{account}", patch(update::update))
        .route("/v1/accounts/{account}/close", post(status::close))
        .route("/v1/accounts/{account}/reopen", post(status::reopen))
        .route("/v1/accounts/{account}/subscription", put(subscribe::subscribe))
        .route("/v1/accounts/{account}/adjustments", post(adjust::adjust))
}

/// The account that the path names; what cannot be an id is unknown. Without a known key nobody
/// learns even that.
#[derive(Clone, Debug)]
struct AccountPath(AccountId);

impl FromRequestParts<Api> for AccountPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Credential::from_request_parts(parts, api).await?;
        let path = axum::extract::Path::<String>::from_request_parts(parts, api).await;
        let id = path.ok().and_then(|path| AccountId::parse(&path).ok());
        id.map(Self).ok_or_else(Problem::unknown_account)
    }
}
