//! `GET /v1/unmatched-payments` and `POST /v1/unmatched-payments/{payment_intent}/resolve`: payments
//! at Stripe that fit none of our refills.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use callmeter_core::domain::PaymentIntentId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::payments;
use crate::http::Api;
use crate::http::access::{Admin, Authorized, AuthorizedCommand};
use crate::http::fields::{Fielded, Fields, line};
use crate::http::problem::Problem;
use crate::json::{UnmatchedPaymentJson, schema};
use crate::ledger::payments::unmatched::{self, Resolution};
use crate::payments::NotResolved;

/// Payments that wait for an administrator, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnmatchedPayments)]
pub(super) struct UnmatchedPaymentsJson {
    items: Vec<UnmatchedPaymentJson>,
}

#[derive(Clone, Debug)]
struct ResolveRequest {
    resolution: Resolution,
    reason: String,
}

/// What becomes of a payment.
#[derive(ToSchema)]
#[schema(example = json!({ "resolution": "credit", "reason": "the customer paid twice, see ticket 4711" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct ResolveBody {
    /// `credit`: to the wallet of its account. `refund`: back to the card.
    #[schema(value_type = schema::PaymentResolution)]
    resolution: String,
    /// Stored in the audit, instead of `X-Reason`.
    #[schema(value_type = schema::Line)]
    reason: String,
}

impl Fielded for ResolveRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let resolution = fields.required("resolution", resolution);
        let reason = fields.required("reason", line);
        Some(Self { resolution: resolution?, reason: reason? })
    }
}

fn resolution(value: &Value) -> Result<Resolution, String> {
    let word = value.as_str().and_then(Resolution::parse);
    word.ok_or_else(|| "is neither credit nor refund".to_owned())
}

/// Lists payments that fit no refill and that nobody has settled, the oldest first, at most 1,000.
#[utoipa::path(
    get, path = "/v1/unmatched-payments", tag = "Refills", operation_id = "listUnmatchedPayments",
    responses((status = 200, description = "The payments", body = UnmatchedPaymentsJson)),
    extensions(("x-scopes" = json!(["admin"])))
)]
pub(super) async fn unmatched(
    State(api): State<Api>,
    Authorized(Admin): Authorized<Admin>,
) -> Result<Json<UnmatchedPaymentsJson>, Problem> {
    let kept = unmatched::list_open(&mut *api.store.read().await?).await?;
    Ok(Json(UnmatchedPaymentsJson { items: kept.into_iter().map(Into::into).collect() }))
}

/// Settles a payment that fits no refill, once: credits it to its account, or refunds it to the
/// card. A settled one is answered as it was settled, if that is what is asked for.
#[utoipa::path(
    post, path = "/v1/unmatched-payments/{payment_intent}/resolve", tag = "Refills",
    operation_id = "resolveUnmatchedPayment",
    params(("payment_intent" = schema::PaymentIntentId, Path, description = "Stripe's id of the payment")),
    request_body = ResolveBody,
    responses((status = 200, description = "The settled payment", body = UnmatchedPaymentJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_payment", "payment_resolved", "payment_not_creditable", "stripe_unavailable",
        "not_configured", "recovery_needed"])))
)]
pub(super) async fn resolve(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    AuthorizedCommand(Admin, command): AuthorizedCommand<Admin>,
) -> Result<Response, Problem> {
    let request: ResolveRequest = command.read()?;
    let intent = path.ok().and_then(|Path(id)| PaymentIntentId::parse(&id).ok());
    let intent = intent.ok_or_else(unknown)?;
    let payments = payments(&api)?;
    let command = command.because(request.reason);
    let resolved = payments.resolve(&intent, request.resolution, command.by(&api)).await?;
    let kept = unmatched::find(&mut *api.store.read().await?, &intent).await?;
    let kept = kept.ok_or_else(unknown)?;
    match resolved {
        // A repeated request has the effect of one.
        Err(NotResolved::Before)
            if kept.resolution.as_deref() == Some(request.resolution.as_str()) => {}
        Err(refusal) => return Err(refused(refusal)),
        Ok(()) => {}
    }
    Ok(Json(UnmatchedPaymentJson::from(kept)).into_response())
}

fn unknown() -> Problem {
    Problem::not_found("unknown_payment", "No such payment waits for an administrator")
}

fn refused(refusal: NotResolved) -> Problem {
    match refusal {
        NotResolved::Unknown => unknown(),
        NotResolved::Before => {
            Problem::taken("payment_resolved", "The payment was settled before, in another way")
        }
        NotResolved::NotInDollars | NotResolved::NoAccount => Problem::refused(
            "payment_not_creditable",
            "The payment cannot be credited to a wallet",
            refusal.to_string(),
        ),
    }
}
