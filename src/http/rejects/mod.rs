//! Records that could not be charged, under `/v1/rejects`: listed, and closed for good; all of it
//! needs the scope `admin`. They are replayed by command only, since what the cap left in Kafka is
//! read from there.

mod close;
mod list;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

/// Paths that need the scope `admin`.
pub(super) fn admin_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(close::close))
}
