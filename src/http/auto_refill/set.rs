//! `PUT /v1/accounts/{id}/auto-refill`: sets or switches off auto-refill.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::PaymentMethodId;
use callmeter_core::policy::auto_refill::RefillSize;
use serde_json::Value;
use utoipa::ToSchema;

use super::shown;
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Reader};
use crate::http::command::Outcome;
use crate::http::fields::{Fields, flag, line};
use crate::http::problem::Problem;
use crate::http::refills::{cents_amount, payments};
use crate::json::{AutoRefillJson, schema};
use crate::payments::{AutoRefillRequest, CapGiven, CardGiven, NotSet, SetAutoRefill};

/// What an account sets. Exactly one of `amount` and `target` is given, unless it is switched off.
#[derive(ToSchema)]
#[schema(example = json!({ "enabled": true, "threshold": "20.00", "amount": "50.00", "monthly_cap": "300.00" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct AutoRefillBody {
    /// False switches it off; the other fields may then be left out.
    enabled: bool,
    /// The card is charged when the balance falls below this.
    #[schema(value_type = Option<schema::RefillAmount>)]
    threshold: Option<String>,
    /// What is charged each time.
    #[schema(value_type = Option<schema::RefillAmount>)]
    amount: Option<String>,
    /// The balance to which it is refilled.
    #[schema(value_type = Option<schema::RefillAmount>)]
    target: Option<String>,
    /// The most in a UTC month; absent: the default of the settings. `none`: no limit, only for
    /// administrators.
    monthly_cap: Option<String>,
    /// A saved card; absent: the default card at the time.
    payment_method: Option<String>,
}

/// Sets auto-refill: when the balance falls below the threshold, the card is charged without the
/// customer. The request is kept as the customer's consent.
#[utoipa::path(
    put, path = "/v1/accounts/{account}/auto-refill", tag = "Refills", operation_id = "setAutoRefill",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = AutoRefillBody,
    responses((status = 200, description = "Auto-refill", body = AutoRefillJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_account", "account_closed", "no_payment_method", "unknown_payment_method", "not_configured"])))
)]
pub(super) async fn set(
    State(api): State<Api>,
    AuthorizedCommand(Reader(account), command): AuthorizedCommand<Reader>,
) -> Result<Response, Problem> {
    let is_admin = command.credential.is_admin();
    let minimum = api.auto_refill.limits.minimum;
    let request = command.read_by(|fields| {
        let request = read(fields, is_admin)?;
        let amount = match request.terms {
            Some((_, RefillSize::Amount(amount))) if amount < minimum => "amount",
            Some((_, RefillSize::Target(target))) if target < minimum => "target",
            _ => return Some(request),
        };
        fields.fault(amount, format!("is below the minimum of {minimum}"));
        None
    })?;
    if request.is_enabled {
        payments(&api)?;
    }
    let change = SetAutoRefill {
        account,
        request,
        default_cap: api.auto_refill.monthly_cap,
        limits: api.auto_refill.limits,
        address: command.address.map(|address| address.to_string()),
    };
    let answer = move |set| match set {
        Ok(view) => Outcome::done(StatusCode::OK, &shown(view, is_admin)),
        Err(refusal) => Outcome::Refused(refused(refusal)),
    };
    command.run(&api, change, answer).await
}

fn read(fields: &mut Fields, is_admin: bool) -> Option<AutoRefillRequest> {
    let is_enabled = fields.required("enabled", flag);
    let threshold = fields.nullable("threshold", cents_amount).flatten();
    let amount = fields.nullable("amount", cents_amount).flatten();
    let target = fields.nullable("target", cents_amount).flatten();
    let cap = fields.nullable("monthly_cap", monthly_cap).flatten();
    let method = fields.nullable("payment_method", line).flatten();
    let is_enabled = is_enabled?;
    let blamed = ["threshold", "amount", "target"].iter().any(|name| fields.blames(name));
    let size = match (amount, target) {
        (Some(amount), None) => Some(RefillSize::Amount(amount)),
        (None, Some(target)) => Some(RefillSize::Target(target)),
        (Some(_), Some(_)) => {
            fields.fault("target", "is given beside amount; give one of them");
            None
        }
        (None, None) => None,
    };
    if is_enabled && !blamed {
        if threshold.is_none() {
            fields.fault("threshold", "is missing");
        }
        if amount.is_none() && target.is_none() {
            fields.fault("amount", "is missing; give it or target");
        }
    }
    if let (Some(threshold), Some(target)) = (threshold, target)
        && target <= threshold
    {
        fields.fault("target", "is not above the threshold");
    }
    if cap == Some(CapGiven::Unlimited) && !is_admin {
        fields.fault("monthly_cap", "may be \"none\" only for an administrator");
    }
    Some(AutoRefillRequest {
        terms: threshold.zip(size),
        monthly_cap: cap.unwrap_or(CapGiven::Default),
        card: method
            .map_or(CardGiven::Default, |id| CardGiven::Named(PaymentMethodId::parse(&id).ok())),
        is_enabled,
    })
}

/// Reads a monthly cap: dollars, or `none`.
fn monthly_cap(value: &Value) -> Result<CapGiven, String> {
    if value.as_str() == Some("none") {
        return Ok(CapGiven::Unlimited);
    }
    let cap = cents_amount(value)?;
    if cap.is_positive() { Ok(CapGiven::Cap(cap)) } else { Err("is not positive".to_owned()) }
}

fn refused(refusal: NotSet) -> Problem {
    match refusal {
        NotSet::UnknownAccount => Problem::unknown_account(),
        NotSet::AccountClosed => Problem::taken("account_closed", "The account is closed"),
        NotSet::NoPaymentMethod => Problem::refused(
            "no_payment_method",
            "No card is named, and the account has no default card",
            "add a card",
        ),
        NotSet::UnknownPaymentMethod => Problem::refused(
            "unknown_payment_method",
            "The account has no such card",
            "list the account's cards",
        ),
    }
}
