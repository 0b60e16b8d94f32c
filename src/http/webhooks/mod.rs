//! Webhooks: requests that others sign, without a key of this service.

mod stripe;
mod twilio;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

/// Paths with a signature instead of a key. They have their own limit of bytes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(twilio::voice))
        .routes(routes!(twilio::events))
        .routes(routes!(stripe::events))
        .layer(DefaultBodyLimit::disable())
}
