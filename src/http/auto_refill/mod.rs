//! Auto-refill: charges a saved card when the balance falls below a threshold.

mod set;
mod show;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use crate::json::AutoRefillJson;

/// Paths for a key of the account too.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show::show, set::set))
}

/// Hides the card from an administrator.
fn shown(view: AutoRefillJson, to_admin: bool) -> AutoRefillJson {
    AutoRefillJson { payment_method: view.payment_method.filter(|_| !to_admin), ..view }
}
