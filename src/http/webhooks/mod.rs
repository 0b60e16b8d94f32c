//! What others post to us: signed by them, without a key of ours.

mod twilio;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

/// Paths without a key: the signature stands for it. They have their own limit of bytes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(twilio::voice))
        .routes(routes!(twilio::events))
        .layer(DefaultBodyLimit::disable())
}
