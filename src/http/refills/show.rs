//! `GET /v1/accounts/{id}/refills/{refill}`: one refill, as Stripe has it now.

use axum::Json;
use axum::extract::{Path, State};
use callmeter_core::domain::{RefillId, RefillStatus};
use chrono::TimeDelta;

use super::payments;
use crate::http::Api;
use crate::http::access::{Authorized, Viewer};
use crate::http::problem::Problem;
use crate::json::{RefillJson, Shown, schema};
use crate::ledger::payments::refills::{self, Refill, Which};
use crate::payments::Payments;
use crate::stripe::{Deadline, PaymentIntent};

/// Stripe is asked about one refill at most once in this time.
const ASK_EVERY: TimeDelta = TimeDelta::seconds(1);

/// Shows a refill. While it is unfinished, Stripe is asked first, at most once a second.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/refills/{refill}", tag = "Refills", operation_id = "showRefill",
    params(
        ("account" = schema::AccountId, Path, description = "The account's id"),
        ("refill" = schema::RefillId, Path, description = "The refill's id"),
    ),
    responses((status = 200, description = "The refill", body = RefillJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account", "unknown_refill"])))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Authorized(viewer): Authorized<Viewer>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Result<Json<RefillJson>, Problem> {
    let id = path.ok().and_then(|Path((_, refill))| RefillId::parse(&refill).ok());
    let id = id.ok_or_else(unknown)?;
    let mut connection = api.store.read().await?;
    let found = refills::find(&mut connection, Which::Id(&id)).await?;
    drop(connection);
    let mut refill = found.filter(|found| found.account == viewer.account).ok_or_else(unknown)?;
    let mut shown = Shown { to_admin: viewer.is_admin, secrets: None };
    if let Ok(payments) = payments(&api)
        && !refill.is_finished()
    {
        let (deadline, mut intent) = (payments.deadline(), None);
        let is_due = refill.asked_at.is_none_or(|asked| asked + ASK_EVERY <= api.clock.now());
        if is_due
            && let Some(advanced) = payments.advance_if_free(&id, &viewer.who, deadline).await?
        {
            (refill, intent) = (advanced.refill, advanced.intent);
        }
        shown.secrets = secrets(payments, &refill, intent.as_ref(), deadline).await;
    }
    Ok(Json(RefillJson::new(refill, shown)))
}

/// What a browser needs to go on with a refill that waits for the customer.
pub(super) async fn secrets(
    payments: &Payments,
    refill: &Refill,
    intent: Option<&PaymentIntent>,
    deadline: Deadline,
) -> Option<(String, String)> {
    let waits = [RefillStatus::RequiresAction, RefillStatus::RequiresPaymentMethod];
    if !waits.contains(&refill.status) {
        return None;
    }
    let secret = match intent.and_then(|intent| intent.client_secret.as_ref()) {
        Some(secret) => Some(secret.expose().to_owned()),
        None => payments.client_secret(refill, deadline).await,
    };
    secret.map(|secret| (secret, payments.publishable_key().to_owned()))
}

fn unknown() -> Problem {
    Problem::not_found("unknown_refill", "The account has no such refill")
}
