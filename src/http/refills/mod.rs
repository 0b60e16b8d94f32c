//! Refills: how customers pay into their wallets, under `/v1/accounts/{id}/refills`.

mod amount;
mod create;
mod find;
mod list;
mod refund;
mod show;
mod unmatched;

pub(super) use amount::cents_amount;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::Problem;
use crate::payments::{PaymentError, Payments};

/// Paths for a key of the account too.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(list::list))
        .routes(routes!(show::show))
        .routes(routes!(refund::refunds))
}

/// Paths that need the scope `admin`.
pub(super) fn admin_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(find::find))
        .routes(routes!(refund::refund))
        .routes(routes!(unmatched::unmatched))
        .routes(routes!(unmatched::resolve))
}

/// The use cases of payments.
///
/// # Errors
/// 503 `not_configured` without a key of Stripe.
pub(super) fn payments(api: &Api) -> Result<&Payments, Problem> {
    let missing = || Problem::not_configured("STRIPE_API_KEY is not set: no card can be charged");
    api.payments.as_ref().ok_or_else(missing)
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::Ledger(error) => error.into(),
            PaymentError::Change(error) => error.into(),
            PaymentError::OtherStripeAccount | PaymentError::RecoveryNeeded => {
                tracing::error!(%error, "acts on money wait");
                Self::unavailable("recovery_needed", "Acts on money wait for an administrator")
            }
            PaymentError::HoldsUnknown => {
                Self::unavailable("holds_unavailable", "Holds are unknown right now")
            }
            PaymentError::Stripe(error) => {
                let error = crate::telemetry::one_line(&error);
                tracing::warn!(error, "stripe did not do what it was asked for");
                Self::unavailable("stripe_unavailable", "Stripe does not answer right now")
            }
        }
    }
}
