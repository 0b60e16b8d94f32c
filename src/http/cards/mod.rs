//! Saved cards, under `/v1/accounts/{id}/payment-methods`: only for the customer's own keys.

mod choose;
mod list;
mod remove;
mod render;
mod renew;
mod setup;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use callmeter_core::domain::PaymentMethodId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::Problem;
use crate::payments::CardsError;

/// Paths for a key of the account.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(setup::setup))
        .routes(routes!(choose::choose))
        .routes(routes!(renew::renew))
        .routes(routes!(remove::remove))
}

/// The card in a path.
///
/// # Errors
/// 404 `unknown_payment_method`.
fn card_in(
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<PaymentMethodId, Problem> {
    let card = path.ok().and_then(|Path((_, card))| PaymentMethodId::parse(&card).ok());
    card.ok_or_else(unknown_card)
}

fn unknown_card() -> Problem {
    Problem::not_found("unknown_payment_method", "The account has no such card")
}

impl From<CardsError> for Problem {
    fn from(error: CardsError) -> Self {
        match error {
            CardsError::UnknownAccount => Self::unknown_account(),
            CardsError::UnknownCard => unknown_card(),
            CardsError::TooMany => Self::refused(
                "too_many_payment_methods",
                "The account has as many cards as it may have",
                "remove a card first",
            ),
            CardsError::TooManySetups => Self::too_many_setups(),
            CardsError::TooManyDeclines => Self::too_many_declines(),
            CardsError::RefusedDate => Self::refused(
                "payment_method_refused",
                "Stripe refuses the new date of expiry",
                "check the date, or add the card again",
            ),
            CardsError::Failed(error) => error.into(),
        }
    }
}
