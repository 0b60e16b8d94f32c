//! `POST /v1/accounts/{id}/adjustments`: corrects a wallet by hand.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{Money, TransactionType};
use futures::FutureExt;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::act::Outcome;
use crate::http::fields::{Fielded, Fields, line, parsed, positive_amount};
use crate::http::openapi::schema;
use crate::http::problem::Problem;
use crate::http::reach::{AdminOf, Permitted};
use crate::http::render::{TransactionId, TransactionJson};
use crate::ledger::accounts;
use crate::ledger::adjustments::{self, Adjusted, Adjustment};

#[derive(Clone, Debug)]
struct Wanted {
    direction: TransactionType,
    amount: Money,
    description: String,
    refers_to: Option<TransactionId>,
}

/// A correction.
#[derive(ToSchema)]
#[schema(example = json!({ "type": "credit", "amount": "2.50", "description": "Goodwill" }))]
#[expect(dead_code, reason = "tells the document what `Fields` reads")]
struct AdjustmentBody {
    /// A credit favours the customer, a debit us.
    #[schema(value_type = schema::TransactionType)]
    r#type: String,
    /// More than zero.
    #[schema(value_type = schema::AmountGiven)]
    amount: String,
    /// Why; customers read it.
    #[schema(value_type = schema::Line)]
    description: String,
    /// The transaction that it corrects.
    #[schema(value_type = Option<schema::TransactionId>)]
    refers_to: Option<String>,
}

impl Fielded for Wanted {
    fn read(fields: &mut Fields) -> Option<Self> {
        let direction = fields.required("type", parsed::<TransactionType>);
        let amount = fields.required("amount", positive_amount);
        let description = fields.required("description", line);
        let refers_to = fields.nullable("refers_to", parsed::<TransactionId>);
        Some(Self {
            direction: direction?,
            amount: amount?,
            description: description?,
            refers_to: refers_to.flatten(),
        })
    }
}

/// Corrects a wallet by hand.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/adjustments", tag = "Accounts", operation_id = "adjustWallet",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = AdjustmentBody,
    responses((status = 201, description = "The transaction", body = TransactionJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account", "unknown_reference", "balance_out_of_range"])))
)]
pub(super) async fn adjust(
    State(api): State<Api>,
    Permitted(AdminOf(id), act): Permitted<AdminOf>,
) -> Result<Response, Problem> {
    let wanted: Wanted = act.read()?;
    act.run(&api, "adjustments::adjust", move |connection, by| {
        let (id, wanted) = (id.clone(), wanted.clone());
        async move {
            if let Some(reference) = wanted.refers_to {
                match accounts::key_of(connection, &id).await? {
                    None => return Ok(Outcome::Refused(Problem::unknown_account())),
                    Some(key) if key != reference.account_key => return Ok(unknown_reference()),
                    Some(_) => {}
                }
            }
            let adjustment = Adjustment {
                direction: wanted.direction,
                amount: wanted.amount,
                description: wanted.description,
                refers_to: wanted.refers_to.map(|id| id.sequence),
            };
            Ok(match adjustments::adjust(connection, &id, &adjustment, &by).await? {
                Adjusted::Posted(row) => {
                    Outcome::done(StatusCode::CREATED, &TransactionJson::from(row))
                }
                Adjusted::UnknownAccount => Outcome::Refused(Problem::unknown_account()),
                Adjusted::UnknownReference => unknown_reference(),
            })
        }
        .boxed()
    })
    .await
}

fn unknown_reference() -> Outcome {
    let message = "names no transaction of this account";
    Outcome::Refused(Problem::unknown_name("unknown_reference", "refers_to", message))
}
