//! `POST /v1/accounts/{id}/numbers`: buys a number.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{NumberStatus, is_twilio_sid};
use serde_json::Value;
use utoipa::ToSchema;

use super::{country, number_type, numbers, phone_number, twilio_unavailable};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Reader};
use crate::http::command::{another_request, respond};
use crate::http::fields::{Fielded, Fields};
use crate::http::problem::Problem;
use crate::json::{NumberJson, schema};
use crate::ledger::numbers::Number;
use crate::numbers::{NO_ADDRESS, NO_ANSWER, NotBought, PurchaseRequest};

/// A number to buy.
#[derive(ToSchema)]
#[schema(example = json!({ "phone_number": "+12015551000", "country": "US", "type": "local" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct PurchaseBody {
    #[schema(value_type = schema::PhoneNumber)]
    phone_number: String,
    #[schema(value_type = schema::Country)]
    country: String,
    #[schema(value_type = schema::NumberType)]
    r#type: String,
    /// The address that the country asks for.
    #[schema(value_type = Option<schema::AddressSid>)]
    address_sid: Option<String>,
    /// The regulatory bundle that the country asks for.
    #[schema(value_type = Option<schema::BundleSid>)]
    bundle_sid: Option<String>,
}

impl Fielded for PurchaseRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let phone_number = fields.required("phone_number", phone_number);
        let country = fields.required("country", country);
        let number_type = fields.required("type", number_type);
        let address_sid = fields.nullable("address_sid", address_sid).flatten();
        let bundle_sid = fields.nullable("bundle_sid", bundle_sid).flatten();
        Some(Self {
            phone_number: phone_number?,
            country: country?,
            number_type: number_type?,
            address_sid,
            bundle_sid,
        })
    }
}

fn address_sid(value: &Value) -> Result<String, String> {
    sid(value, "AD")
}

fn bundle_sid(value: &Value) -> Result<String, String> {
    sid(value, "BU")
}

fn sid(value: &Value, prefix: &str) -> Result<String, String> {
    let text = value.as_str().filter(|text| is_twilio_sid(text, prefix));
    text.map(str::to_owned).ok_or_else(|| format!("is not {prefix} and 32 hexadecimal digits"))
}

/// Buys a number in the account's Twilio account. Twilio is asked for what the country requires before
/// any debit; then the price is debited, and the number is bought. An outcome that is not known yet is
/// `pending`. The same Idempotency-Key always gives the same number.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/numbers", tag = "Numbers", operation_id = "buyNumber",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = PurchaseBody,
    responses((status = 201, description = "The number", body = NumberJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_account", "account_closed", "no_price", "address_required", "number_unavailable",
        "twilio_token_refused", "insufficient_balance", "balance_out_of_range", "request_in_progress", "holds_unavailable",
        "twilio_unavailable", "not_configured", "recovery_needed"])))
)]
pub(super) async fn purchase(
    State(api): State<Api>,
    AuthorizedCommand(Reader(account), command): AuthorizedCommand<Reader>,
) -> Result<Response, Problem> {
    let request: PurchaseRequest = command.read()?;
    let key = command.name()?.map(|name| (name.key, name.body_sha256));
    let has_key = key.is_some();
    let bought = numbers(&api)?.buy(account, request, key, command.by(&api)).await?;
    let (number, is_new) = bought.map_err(refused)?;
    if number.status == NumberStatus::Failed {
        return Err(failed(&number));
    }
    let body = serde_json::to_string(&NumberJson::from(number));
    let body = body.map_err(|_| Problem::internal())?;
    Ok(respond(StatusCode::CREATED, body, has_key && !is_new))
}

fn unavailable(detail: String) -> Problem {
    let title = "Twilio does not sell this number, or it is rented already";
    Problem::new(StatusCode::CONFLICT, "number_unavailable", title, detail)
}

fn address_required(detail: &str) -> Problem {
    let title = "The number's country asks for an address or a bundle";
    Problem::refused("address_required", title, detail)
}

fn refused(refusal: NotBought) -> Problem {
    match refusal {
        NotBought::UnknownAccount => Problem::unknown_account(),
        NotBought::AccountClosed => Problem::taken("account_closed", "The account is closed"),
        NotBought::NoPrice => {
            let title = "The catalog has no price for this country and type of number";
            Problem::refused("no_price", title, "see GET /v1/numbers/prices")
        }
        NotBought::AddressRequired { field } => {
            address_required(&format!("give {field}; nothing is debited"))
        }
        NotBought::Unavailable => unavailable("nothing is debited".to_owned()),
        NotBought::Insufficient { shortfall } => Problem::insufficient(shortfall),
        NotBought::OtherBody => another_request(),
        NotBought::InProgress => Problem::in_progress(),
    }
}

/// A purchase that failed after its debit: the price was given back.
fn failed(number: &Number) -> Problem {
    match number.reason.as_deref() {
        Some(NO_ADDRESS) => address_required("Twilio refused it; the price was given back"),
        Some(NO_ANSWER) => twilio_unavailable(),
        _ => unavailable(format!("{} failed; the price was given back", number.id)),
    }
}
