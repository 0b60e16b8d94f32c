//! Accounts and their wallets, under `/v1/accounts`.

mod adjust;
mod calls;
mod create;
mod events;
mod insights;
mod show;
mod sign_in;
mod statement;
mod status;
mod subscribe;
mod transactions;
mod update;
mod wallet;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

/// Paths for a key of the account too.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show::show))
        .routes(routes!(wallet::wallet))
        .routes(routes!(events::events))
        .routes(routes!(transactions::transactions))
        .routes(routes!(calls::calls))
        .routes(routes!(statement::statement))
        .routes(routes!(insights::insights))
        .routes(routes!(sign_in::create_link))
        .routes(routes!(sign_in::end_sessions))
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
