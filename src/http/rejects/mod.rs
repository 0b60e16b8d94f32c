//! Records that could not be charged, under `/v1/rejects`: list, and close for good. All need the
//! scope `admin`. Only the command line replays them, because that reads from Kafka the bytes that
//! the cap did not store.

mod close;
mod list;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

/// Paths that need the scope `admin`.
pub(super) fn admin_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(close::close))
}
