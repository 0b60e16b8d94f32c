//! Alert thresholds as JSON.

use callmeter_core::domain::Money;
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;

/// The thresholds of an account: each time the balance falls below one, that is told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Alerts)]
pub(crate) struct AlertsJson {
    /// Those that were set, in their order; the defaults of the settings if none ever were.
    #[schema(value_type = Vec<schema::Amount>, max_items = 20)]
    pub(crate) thresholds: Vec<Money>,
}
