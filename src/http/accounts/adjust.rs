//! `POST /v1/accounts/{id}/adjustments`: corrects a wallet by hand.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{Money, TransactionType};
use futures::FutureExt;

use super::AccountPath;
use crate::http::Api;
use crate::http::act::{Act, Outcome};
use crate::http::fields::{Fielded, Fields, line, parsed, positive_amount};
use crate::http::problem::Problem;
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

pub(super) async fn adjust(
    State(api): State<Api>,
    AccountPath(id): AccountPath,
    act: Act,
) -> Result<Response, Problem> {
    act.credential.require_admin()?;
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
