//! `POST /v1/accounts/{id}/refills`: charges a card and credits the wallet.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::PaymentMethodId;
use utoipa::ToSchema;

use super::show::secrets;
use super::{cents_amount, payments};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Reader};
use crate::http::command::{another_request, respond};
use crate::http::fields::{Fielded, Fields, flag, line};
use crate::http::problem::Problem;
use crate::json::{RefillJson, Shown, schema};
use crate::ledger::payments::refills::Refill;
use crate::payments::{Begun, CardChoice, NotBegun, OverLimit, Payments, RefillRequest};
use crate::stripe::Deadline;

/// Time between two looks at a request that works on the same refill.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A refill to make.
#[derive(ToSchema)]
#[schema(example = json!({ "amount": "50.00" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct RefillBody {
    /// At least the minimum, at most 999999.99, at most two decimal places.
    #[schema(value_type = schema::RefillAmount)]
    amount: String,
    /// A saved card; `new` for one that the browser sends to Stripe; absent: the default card.
    payment_method: Option<String>,
    /// With `new`: keeps the card for later payments.
    save: Option<bool>,
    /// Where the bank's page leads back to: an address of this service.
    return_url: Option<String>,
}

/// Refills a wallet from a card. Answers 201 with the refill whatever became of it: a declined one
/// is `failed`, and one whose outcome is not known yet is `pending`. Without an Idempotency-Key the
/// same request twice is two refills.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/refills", tag = "Refills", operation_id = "createRefill",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = RefillBody,
    responses((status = 201, description = "The refill", body = RefillJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_account", "account_closed", "no_payment_method", "unknown_payment_method", "daily_max_exceeded",
        "request_in_progress", "too_many_declines", "not_configured", "recovery_needed"])))
)]
pub(super) async fn create(
    State(api): State<Api>,
    AuthorizedCommand(Reader(account), command): AuthorizedCommand<Reader>,
) -> Result<Response, Problem> {
    let request: RefillRequest = command.read()?;
    let payments = payments(&api)?;
    let deadline = payments.deadline();
    check(&request, payments)?;
    let key = command.name()?.map(|name| (name.key, name.body_sha256));
    let has_key = key.is_some();
    let who = command.credential.id.clone();
    let begun = payments.begin(account, request, key, command.by(&api)).await?;
    let Begun { refill, is_new } = begun.map_err(refused)?;
    let advanced = if is_new {
        Some(payments.advance(&refill.id, &who, deadline).await?)
    } else {
        unclaimed(payments, &api, &refill, deadline).await?;
        payments.advance_if_free(&refill.id, &who, deadline).await?
    };
    let (refill, intent) = match advanced {
        Some(advanced) => (advanced.refill, advanced.intent),
        None => (payments.refill(&refill.id).await?.unwrap_or(refill), None),
    };
    let secrets = secrets(payments, &refill, intent.as_ref(), deadline).await;
    let shown = Shown { to_admin: command.credential.is_admin(), secrets };
    let body = serde_json::to_string(&RefillJson::new(refill, shown));
    let body = body.map_err(|_| Problem::internal())?;
    Ok(respond(StatusCode::CREATED, body, has_key && !is_new))
}

/// Waits until no other request works on a refill.
async fn unclaimed(
    payments: &Payments,
    api: &Api,
    refill: &Refill,
    deadline: Deadline,
) -> Result<(), Problem> {
    loop {
        let Some(now) = payments.refill(&refill.id).await? else { return Ok(()) };
        if now.is_finished() || now.claimed_until <= api.clock.now() {
            return Ok(());
        }
        if deadline.is_over() {
            return Err(Problem::in_progress());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Fielded for RefillRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let amount = fields.required("amount", cents_amount);
        let method = fields.nullable("payment_method", line).flatten();
        let save = fields.nullable("save", flag).flatten();
        let return_url = fields.nullable("return_url", line).flatten();
        let card = match method.as_deref() {
            None => CardChoice::Default,
            Some("new") => CardChoice::New { is_saved: save == Some(true) },
            Some(id) => CardChoice::Saved(PaymentMethodId::parse(id).ok()),
        };
        if save.is_some() && !matches!(card, CardChoice::New { .. }) {
            fields.fault("save", "is only for the payment_method \"new\"");
        }
        Some(Self { amount: amount?, card, return_url })
    }
}

/// Checks what the settings limit.
fn check(request: &RefillRequest, payments: &Payments) -> Result<(), Problem> {
    if request.amount < payments.minimum() {
        let message = format!("is below the minimum of {}", payments.minimum());
        return Err(Problem::wrong("amount", &message));
    }
    match &request.return_url {
        Some(url) if !payments.accepts_return_url(url) => {
            let message = "is not an address of this service (http.public_url)";
            Err(Problem::wrong("return_url", message))
        }
        _ => Ok(()),
    }
}

fn refused(refusal: NotBegun) -> Problem {
    match refusal {
        NotBegun::UnknownAccount => Problem::unknown_account(),
        NotBegun::AccountClosed => Problem::taken("account_closed", "The account is closed"),
        NotBegun::NoPaymentMethod => Problem::refused(
            "no_payment_method",
            "No card is named, and the account has no default card",
            "add a card, or pay with payment_method \"new\"",
        ),
        NotBegun::UnknownPaymentMethod => Problem::refused(
            "unknown_payment_method",
            "The account has no such card",
            "list the account's cards",
        ),
        NotBegun::OtherBody => another_request(),
        NotBegun::OverLimit(OverLimit::TooManyDeclines) => Problem::too_many_declines(),
        NotBegun::OverLimit(OverLimit::DailyMax { left }) => Problem::refused(
            "daily_max_exceeded",
            "The account would pay more than it may in a day",
            format!("{left} are left until midnight, UTC"),
        ),
    }
}
