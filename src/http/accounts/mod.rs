//! Accounts and their wallets, under `/v1/accounts`.

mod adjust;
mod calls;
mod create;
mod events;
mod show;
mod statement;
mod status;
mod subscribe;
mod transactions;
mod update;
mod wallet;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use callmeter_core::domain::AccountId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Credential;
use super::problem::Problem;

/// Paths that a key of the account may reach too.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show::show))
        .routes(routes!(wallet::wallet))
        .routes(routes!(events::events))
        .routes(routes!(transactions::transactions))
        .routes(routes!(calls::calls))
        .routes(routes!(statement::statement))
}

/// Paths that need the scope `admin`.
pub(super) fn admin_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(update::update))
        .routes(routes!(status::close))
        .routes(routes!(status::reopen))
        .routes(routes!(subscribe::subscribe))
        .routes(routes!(adjust::adjust))
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
