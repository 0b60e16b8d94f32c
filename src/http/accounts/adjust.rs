//! `POST /v1/accounts/{id}/adjustments`: corrects a wallet manually.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{AdjustmentReason, TransactionType};
use utoipa::ToSchema;

use crate::accounts::adjust::Adjust;
use crate::http::Api;
use crate::http::access::{AdminOf, AuthorizedCommand};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, line, parsed, positive_amount};
use crate::http::problem::Problem;
use crate::json::{TransactionJson, schema};
use crate::ledger::adjustments::{Adjustment, NotAdjusted};
use crate::ledger::history::TransactionId;

#[derive(Clone, Debug)]
struct AdjustmentRequest {
    adjustment: Adjustment,
    refers_to: Option<TransactionId>,
}

/// A correction.
#[derive(ToSchema)]
#[schema(example = json!({ "type": "credit", "amount": "2.50", "description": "Goodwill" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct AdjustmentBody {
    /// A credit favours the customer, a debit the operator.
    #[schema(value_type = schema::TransactionType)]
    r#type: String,
    /// More than zero.
    #[schema(value_type = schema::AmountGiven)]
    amount: String,
    /// The reason; the customer reads it.
    #[schema(value_type = schema::Line)]
    description: String,
    /// The corrected transaction.
    #[schema(value_type = Option<schema::TransactionId>)]
    refers_to: Option<String>,
    /// Why, in the words of the books: reports sum adjustments by it.
    #[schema(value_type = Option<schema::AdjustmentReason>)]
    reason: Option<String>,
}

impl Fielded for AdjustmentRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let direction = fields.required("type", parsed::<TransactionType>);
        let amount = fields.required("amount", positive_amount);
        let description = fields.required("description", line);
        let refers_to = fields.nullable("refers_to", parsed::<TransactionId>);
        let reason = fields.nullable("reason", parsed::<AdjustmentReason>);
        let adjustment = Adjustment {
            direction: direction?,
            amount: amount?,
            description: description?,
            refers_to: None,
            reason: reason.flatten(),
        };
        Some(Self { adjustment, refers_to: refers_to.flatten() })
    }
}

/// Credits or debits a wallet as a correction.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/adjustments", tag = "Accounts", operation_id = "adjustWallet",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = AdjustmentBody,
    responses((status = 201, description = "The transaction", body = TransactionJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account", "unknown_reference", "balance_out_of_range"])))
)]
pub(super) async fn adjust(
    State(api): State<Api>,
    AuthorizedCommand(AdminOf(account), command): AuthorizedCommand<AdminOf>,
) -> Result<Response, Problem> {
    let AdjustmentRequest { adjustment, refers_to } = command.read()?;
    let change = Adjust { account, adjustment, refers_to };
    let answer = |adjusted| match adjusted {
        Ok(row) => Outcome::done(StatusCode::CREATED, &TransactionJson::from(row)),
        Err(NotAdjusted::UnknownAccount) => Outcome::Refused(Problem::unknown_account()),
        Err(NotAdjusted::UnknownReference) => unknown_reference(),
    };
    command.run(&api, change, answer).await
}

fn unknown_reference() -> Outcome {
    let message = "names no transaction of this account";
    Outcome::Refused(Problem::unknown_name("unknown_reference", "refers_to", message))
}
