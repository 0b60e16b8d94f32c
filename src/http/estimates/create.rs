//! `POST /v1/accounts/{id}/estimates`: what calls will cost, before they are made.

use std::borrow::Cow;
use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::{Share, rounded_decimal};
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Reader};
use crate::http::fields::{Fielded, Fields, tag};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::wallet::{
    AVERAGE_SECONDS_MAX, CALLS_MAX, EstimateJson, EstimateRequest, NotEstimated,
    TAG_CHARACTERS_MAX, is_destination,
};

/// Calls that are to be made.
#[derive(ToSchema)]
#[schema(example = json!({
    "calls": 8000, "average_seconds": 112, "answer_rate": 0.38, "to": "+12125550123", "tag": "spring",
}))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct EstimateBody {
    /// Calls to place.
    #[schema(minimum = 1, maximum = 10_000_000)]
    calls: u32,
    /// Average length of an answered call, in seconds; further places than three are rounded. Absent:
    /// the lengths of the account's own latest calls, of which it needs 20.
    #[schema(value_type = Option<f64>, nullable = false, minimum = 1, maximum = 86400)]
    average_seconds: Option<String>,
    /// Share of the calls that is answered, as a number or a string from 0 to 1; further places than
    /// six are rounded. Absent: all, so that `calls` are answered calls.
    #[schema(value_type = Option<AnswerRate>, nullable = false)]
    answer_rate: Option<String>,
    /// The number called, or how it begins. Absent: the destinations of the own calls, without own
    /// calls the default rate.
    #[schema(value_type = Option<schema::Destination>)]
    to: Option<String>,
    /// The campaign. The estimate is kept, and the calls with this tag are compared with it on the
    /// wallet page; a later estimate of the tag replaces it. At most 256 characters.
    #[schema(value_type = Option<schema::CampaignTag>)]
    tag: Option<String>,
}

/// A share: a number, or the same as a string.
struct AnswerRate;

impl PartialSchema for AnswerRate {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Number);
        let number = number.minimum(Some(0)).maximum(Some(1));
        let text = ObjectBuilder::new().schema_type(Type::String);
        let text = text.pattern(Some(r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"));
        OneOfBuilder::new().item(number).item(text).examples([json!(0.38)]).into()
    }
}

impl ToSchema for AnswerRate {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("AnswerRate")
    }
}

struct Given(EstimateRequest);

impl Fielded for Given {
    fn read(fields: &mut Fields) -> Option<Self> {
        let calls = fields.required("calls", calls);
        let average_milliseconds = fields.optional("average_seconds", average);
        let answered = fields.optional("answer_rate", share).unwrap_or(Share::ALL);
        let to = fields.nullable("to", destination).flatten();
        let tag = fields.nullable("tag", campaign).flatten();
        Some(Self(EstimateRequest { calls: calls?, average_milliseconds, answered, to, tag }))
    }
}

fn calls(value: &Value) -> Result<NonZeroU32, String> {
    let calls = value.as_u64().and_then(|calls| u32::try_from(calls).ok());
    let calls = calls.filter(|calls| *calls <= CALLS_MAX).and_then(NonZeroU32::new);
    calls.ok_or_else(|| format!("is not a whole number from 1 to {CALLS_MAX}"))
}

/// Seconds as milliseconds. The text of the number is read: a float never is.
fn average(value: &Value) -> Result<u64, String> {
    let text = value.as_number().map(ToString::to_string);
    let read = text.and_then(|text| rounded_decimal(&text, 3));
    let read =
        read.filter(|milliseconds| (1_000..=AVERAGE_SECONDS_MAX * 1_000).contains(milliseconds));
    read.ok_or_else(|| format!("is not a number of seconds from 1 to {AVERAGE_SECONDS_MAX}"))
}

fn share(value: &Value) -> Result<Share, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => in_places(&number.to_string()),
        _ => String::new(),
    };
    Share::parse(&text).map_err(|_| "is not a number from 0 to 1, such as 0.38".to_owned())
}

/// A number below one as JSON may write it, `1.5e-7`, without its exponent.
fn in_places(text: &str) -> String {
    let parts = text.split_once("e-");
    let zeros = |exponent: &str| exponent.parse::<usize>().ok()?.checked_sub(1);
    let parts = parts.and_then(|(digits, exponent)| Some((digits, zeros(exponent)?)));
    match parts {
        Some((digits, zeros)) => {
            let zeros: String = std::iter::repeat_n('0', zeros).collect();
            format!("0.{zeros}{}", digits.replace('.', ""))
        }
        None => text.to_owned(),
    }
}

fn destination(value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| is_destination(text));
    let fault = "is not a \"+\" and 1 to 15 digits, nor a sip: or client: address";
    text.map(str::to_owned).ok_or_else(|| fault.to_owned())
}

fn campaign(value: &Value) -> Result<String, String> {
    let tag = tag(value)?;
    if tag.chars().count() > TAG_CHARACTERS_MAX {
        return Err(format!("is not 1 to {TAG_CHARACTERS_MAX} characters long"));
    }
    Ok(tag)
}

/// Estimates what calls will cost, by the rules that charge them: each is rounded to the increments of
/// the account's terms, its plan's minutes go first, the rest is priced by destination. Nothing is
/// charged and no call is held; with a `tag` the estimate is kept.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/estimates", tag = "Accounts", operation_id = "estimateCalls",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = EstimateBody,
    responses((status = 200, description = "The estimate", body = EstimateJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!([
        "unknown_account", "destination_blocked", "balance_out_of_range", "holds_unavailable"])))
)]
pub(super) async fn create(
    State(api): State<Api>,
    AuthorizedCommand(Reader(account), command): AuthorizedCommand<Reader>,
) -> Result<Json<EstimateJson>, Problem> {
    let Given(request) = command.read()?;
    let now = api.clock.now();
    let estimated = api.wallets.estimate(&account, &request, api.estimates, now).await?;
    let estimated = estimated.map_err(|refusal| match refusal {
        NotEstimated::UnknownAccount => Problem::unknown_account(),
        NotEstimated::NoAverage { own_calls, needed } => {
            let fault = format!(
                "is missing: the account has {own_calls} charged calls, and their lengths tell \
                 nothing before there are {needed}"
            );
            Problem::missing("average_seconds", &fault)
        }
        NotEstimated::Blocked { prefix } => Problem::refused(
            "destination_blocked",
            "Calls to this destination are refused",
            format!("calls to {prefix} are refused under the account's terms"),
        ),
        NotEstimated::OutOfRange => {
            let title = "The cost is beyond the range of amounts";
            Problem::refused("balance_out_of_range", title, "estimate fewer calls")
        }
    })?;
    Ok(Json(EstimateJson::from(&estimated)))
}
