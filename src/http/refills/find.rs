//! `GET /v1/refills`: finds a refill by its payment intent, for support.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::PaymentIntentId;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::payments;
use crate::http::Api;
use crate::http::access::{Admin, Query};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::problem::Problem;
use crate::json::{RefillJson, Shown, UnmatchedPaymentJson};
use crate::ledger::payments::refills::{self, Which};
use crate::ledger::payments::unmatched;

#[derive(Debug)]
pub(super) struct FindRequest {
    payment_intent: PaymentIntentId,
}

impl Fielded for FindRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let payment_intent = fields.required("payment_intent", parsed::<PaymentIntentId>)?;
        Some(Self { payment_intent })
    }
}

/// Names the payment.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct FindParameters {
    /// Stripe's id of the payment.
    #[param(pattern = "^pi_[A-Za-z0-9_]{1,200}$", example = "pi_1QzXyAbCdEfGh")]
    payment_intent: String,
}

/// The refill of a payment, if there is one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FoundRefills)]
pub(super) struct FoundJson {
    items: Vec<RefillJson>,
    /// The payment, if it fits no refill; it is not credited by itself.
    unmatched: Option<UnmatchedPaymentJson>,
}

/// Finds a refill by its payment. While it is unfinished, Stripe is asked first.
#[utoipa::path(
    get, path = "/v1/refills", tag = "Refills", operation_id = "findRefill",
    params(FindParameters),
    responses((status = 200, description = "The refill, or none", body = FoundJson)),
    extensions(("x-scopes" = json!(["admin"])))
)]
pub(super) async fn find(
    State(api): State<Api>,
    Query(Admin, request): Query<Admin, FindRequest>,
) -> Result<Json<FoundJson>, Problem> {
    let mut connection = api.store.read().await?;
    let found = refills::find(&mut connection, Which::Intent(&request.payment_intent)).await?;
    let unmatched = unmatched::find(&mut connection, &request.payment_intent).await?;
    let unmatched = unmatched.map(UnmatchedPaymentJson::from);
    drop(connection);
    let Some(mut refill) = found else {
        return Ok(Json(FoundJson { items: Vec::new(), unmatched }));
    };
    if let Ok(payments) = payments(&api)
        && !refill.is_finished()
        && let Some(advanced) =
            payments.advance_if_free(&refill.id, "admin", payments.deadline()).await?
    {
        refill = advanced.refill;
    }
    let shown = Shown { to_admin: true, secrets: None };
    Ok(Json(FoundJson { items: vec![RefillJson::new(refill, shown)], unmatched }))
}
