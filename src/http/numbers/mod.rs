//! Numbers: prices, search, purchase and release.

mod available;
mod list;
mod prices;
mod purchase;
mod release;
mod show;

use callmeter_core::domain::{NumberType, is_e164};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::Problem;
use crate::numbers::{NumberError, Numbers};
use crate::twilio::TwilioError;

/// Paths for a key of the account too.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(prices::prices))
        .routes(routes!(available::available))
        .routes(routes!(list::list, purchase::purchase))
        .routes(routes!(show::show, release::release))
}

/// The use cases of numbers.
fn numbers(api: &Api) -> Result<&Numbers, Problem> {
    api.numbers.as_ref().ok_or_else(Problem::internal)
}

impl From<NumberError> for Problem {
    fn from(error: NumberError) -> Self {
        match error {
            NumberError::Ledger(error) => error.into(),
            NumberError::Change(error) => error.into(),
            NumberError::HoldsUnknown => {
                Self::unavailable("holds_unavailable", "Holds are unknown right now")
            }
            NumberError::RecoveryNeeded => {
                tracing::error!(%error, "purchases wait");
                Self::unavailable("recovery_needed", "Acts on money wait for an administrator")
            }
            NumberError::Twilio(TwilioError::NotConfigured) => {
                Self::not_configured("the account has no auth token of Twilio, and none is set")
            }
            NumberError::Twilio(_) | NumberError::Publish(_) => {
                let error = crate::telemetry::one_line(&error);
                tracing::warn!(error, "twilio did not do what it was asked for");
                twilio_unavailable()
            }
        }
    }
}

fn twilio_unavailable() -> Problem {
    Problem::unavailable("twilio_unavailable", "Twilio does not answer right now")
}

fn unknown() -> Problem {
    Problem::not_found("unknown_number", "The account has no such number")
}

/// Reads a country: two letters.
fn country(value: &Value) -> Result<String, String> {
    let country = value
        .as_str()
        .filter(|text| text.len() == 2 && text.bytes().all(|letter| letter.is_ascii_alphabetic()));
    let country = country.ok_or_else(|| "is not two letters, such as \"US\"".to_owned());
    country.map(str::to_ascii_uppercase)
}

/// Reads a type of number, as any interface of Twilio spells it.
fn number_type(value: &Value) -> Result<NumberType, String> {
    let text = value.as_str().ok_or_else(|| "is not a string".to_owned())?;
    match NumberType::parse_loosely(text) {
        Some(number_type) => Ok(number_type),
        None => NumberType::parse(text).map_err(|error| error.to_string()),
    }
}

/// Reads a phone number.
fn phone_number(value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| is_e164(text));
    text.map(str::to_owned).ok_or_else(|| "is not a number such as \"+12015551000\"".to_owned())
}
