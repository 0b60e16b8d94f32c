//! `POST` and `GET /v1/accounts/{id}/refills/{refill}/refunds`: sends money of a refill back to its
//! card.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{Money, RefillId, RefundStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::{cents_amount, payments};
use crate::http::Api;
use crate::http::access::{AdminOf, Authorized, AuthorizedCommand, Viewer};
use crate::http::command::{another_request, respond};
use crate::http::fields::{Fielded, Fields, flag};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::ledger::history::TransactionId;
use crate::ledger::payments::refills::{self, Which};
use crate::ledger::payments::refunds::{self, Refund};
use crate::payments::{NotRefunded, RefundRequest};

/// A refund to make.
#[derive(ToSchema)]
#[schema(example = json!({ "amount": "10.00" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct RefundBody {
    /// Absent: all that is left of the refill.
    #[schema(value_type = Option<schema::RefillAmount>)]
    amount: Option<String>,
    /// True: the wallet may go below zero. Else the amount must be available.
    allow_negative: Option<bool>,
}

/// A refund.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refund)]
struct RefundJson {
    #[schema(value_type = schema::RefundId)]
    id: String,
    #[schema(value_type = schema::RefillId)]
    refill: String,
    #[schema(value_type = schema::Amount)]
    amount: Money,
    #[schema(value_type = schema::RefundStatus)]
    status: RefundStatus,
    /// The row that took the money from the wallet; null before it is booked.
    #[schema(value_type = Option<schema::TransactionId>)]
    transaction_id: Option<String>,
}

/// The refunds of a refill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refunds)]
pub(super) struct RefundsJson {
    items: Vec<RefundJson>,
}

impl From<Refund> for RefundJson {
    fn from(refund: Refund) -> Self {
        let account_key = refund.account_key;
        let id = |sequence| TransactionId { account_key, sequence }.to_string();
        Self {
            id: refund.id.to_string(),
            refill: refund.refill.to_string(),
            amount: refund.amount,
            status: refund.status,
            transaction_id: refund.debit_sequence.map(id),
        }
    }
}

impl Fielded for RefundRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let amount = fields.nullable("amount", cents_amount);
        let allows_negative = fields.nullable("allow_negative", flag).flatten();
        if amount.flatten().is_some_and(Money::is_zero) {
            fields.fault("amount", "is zero");
        }
        Some(Self { amount: amount.flatten(), allows_negative: allows_negative == Some(true) })
    }
}

/// Sends money of a refill back to its card. Once Stripe was asked, the answer is 201 whatever
/// became of it: a refund whose outcome is not known yet is `pending`.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/refills/{refill}/refunds", tag = "Refills", operation_id = "createRefund",
    params(
        ("account" = schema::AccountId, Path, description = "The account's id"),
        ("refill" = schema::RefillId, Path, description = "The refill's id"),
    ),
    request_body = RefundBody,
    responses((status = 201, description = "The refund", body = RefundJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_account", "unknown_refill", "refill_not_completed", "refill_disputed",
        "refund_exceeds_refill", "insufficient_balance", "holds_unavailable", "stripe_unavailable",
        "not_configured", "recovery_needed"])))
)]
pub(super) async fn refund(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    AuthorizedCommand(AdminOf(account), command): AuthorizedCommand<AdminOf>,
) -> Result<Response, Problem> {
    let request: RefundRequest = command.read()?;
    let (payments, refill) = (payments(&api)?, refill_in(path)?);
    let key = command.name()?.map(|name| (name.key, name.body_sha256));
    let has_key = key.is_some();
    let refunded = payments.refund((account, refill), request, key, command.by(&api)).await?;
    let (refund, is_new) = refunded.map_err(refused)?;
    let body = serde_json::to_string(&RefundJson::from(refund));
    let body = body.map_err(|_| Problem::internal())?;
    Ok(respond(StatusCode::CREATED, body, has_key && !is_new))
}

/// Lists the refunds of a refill, newest first; also those that were made at Stripe.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/refills/{refill}/refunds", tag = "Refills", operation_id = "listRefunds",
    params(
        ("account" = schema::AccountId, Path, description = "The account's id"),
        ("refill" = schema::RefillId, Path, description = "The refill's id"),
    ),
    responses((status = 200, description = "The refunds", body = RefundsJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account", "unknown_refill"])))
)]
pub(super) async fn refunds(
    State(api): State<Api>,
    Authorized(viewer): Authorized<Viewer>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<RefundsJson>, Problem> {
    let id = refill_in(path)?;
    let mut connection = api.store.read().await?;
    let found = refills::find(&mut connection, Which::Id(&id)).await?;
    found.filter(|found| found.account == viewer.account).ok_or_else(unknown)?;
    let items = refunds::list(&mut connection, &id).await?;
    Ok(Json(RefundsJson { items: items.into_iter().map(RefundJson::from).collect() }))
}

fn refill_in(path: Result<Path<(String, String)>, PathRejection>) -> Result<RefillId, Problem> {
    let id = path.ok().and_then(|Path((_, refill))| RefillId::parse(&refill).ok());
    id.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("unknown_refill", "The account has no such refill")
}

fn refused(refusal: NotRefunded) -> Problem {
    match refusal {
        NotRefunded::UnknownRefill => unknown(),
        NotRefunded::NotCompleted => {
            Problem::taken("refill_not_completed", "The refill was not completed")
        }
        NotRefunded::Disputed => {
            Problem::taken("refill_disputed", "The bank took the money of the refill back")
        }
        NotRefunded::Exceeds { left } => Problem::refused(
            "refund_exceeds_refill",
            "It is more than is left of the refill",
            format!("{left} are left"),
        ),
        NotRefunded::Insufficient { shortfall } => Problem::refused(
            "insufficient_balance",
            "The wallet does not have the money",
            format!("{shortfall} are missing; allow_negative takes it below zero"),
        ),
        NotRefunded::OtherBody => another_request(),
    }
}
