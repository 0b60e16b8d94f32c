//! `POST /webhooks/stripe`: takes Stripe's events.
//!
//! Stripe delivers an event again after every answer but 2xx, for up to three days: 204 for all that
//! was applied, seen before, or is of no concern; 503 for what may succeed later.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::http::Api;
use crate::http::problem::Problem;
use crate::metrics::STRIPE_EVENTS;
use crate::payments::EventRefusal;

const SIGNATURE: &str = "stripe-signature";
/// Stripe's events are a few kilobytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Receives an event from Stripe, signed by `Stripe-Signature`.
#[utoipa::path(
    post, path = "/webhooks/stripe", tag = "Stripe", operation_id = "takeStripeEvent",
    responses((status = 204, description = "It is applied, or of no concern")),
    extensions(("x-scopes" = json!([])), ("x-problems" = json!(["bad_signature", "body_too_large",
        "invalid_request", "livemode_mismatch", "ledger_unavailable", "not_configured", "recovery_needed",
        "stripe_unavailable"])))
)]
pub(in crate::http) async fn events(
    State(api): State<Api>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let missing = || Problem::not_configured("STRIPE_API_KEY is not set");
    let payments = api.payments.as_ref().ok_or_else(missing)?;
    let mut signatures = request.headers().get_all(SIGNATURE).iter();
    let signature = signatures.next().and_then(|value| value.to_str().ok());
    let signature = signature.filter(|_| signatures.next().is_none()).map(str::to_owned);
    let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await;
    let body = body.map_err(|_| Problem::too_large(format!("at most {BODY_BYTES_MAX} bytes")))?;
    let taken = payments.take_event(signature.as_deref(), &body).await;
    let (kind, outcome) = match &taken {
        Ok((kind, outcome)) => (*kind, outcome.as_str()),
        Err(EventRefusal::NotConfigured) => ("other", "not_configured"),
        Err(EventRefusal::BadSignature) => ("other", "forged"),
        Err(EventRefusal::Unparsable) => ("other", "unparsable"),
        Err(EventRefusal::OtherMode) => ("other", "other_mode"),
        Err(EventRefusal::Failed(_)) => ("other", "failed"),
    };
    metrics::counter!(STRIPE_EVENTS, "type" => kind, "outcome" => outcome).increment(1);
    match taken {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(EventRefusal::NotConfigured) => {
            Err(Problem::not_configured("STRIPE_WEBHOOK_SECRET is not set"))
        }
        Err(error @ EventRefusal::BadSignature) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "bad_signature",
            "The signature is missing or wrong",
            error.to_string(),
        )),
        Err(error @ EventRefusal::Unparsable) => Err(Problem::malformed(error.to_string())),
        Err(error @ EventRefusal::OtherMode) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "livemode_mismatch",
            "The event is of the other mode than the key",
            error.to_string(),
        )),
        Err(EventRefusal::Failed(error)) => Err(error.into()),
    }
}
