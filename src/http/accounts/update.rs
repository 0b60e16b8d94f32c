//! `PATCH /v1/accounts/{id}`: changes an account; what is not named stays.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures::FutureExt;
use serde_json::Value;

use super::AccountPath;
use crate::http::Api;
use crate::http::act::{Act, Outcome};
use crate::http::fields::{Fielded, Fields, amount, email, line, positive_number};
use crate::http::problem::Problem;
use crate::http::render::AccountJson;
use crate::ledger::accounts::{self, AccountChanges, OnRedisLoss};

impl Fielded for AccountChanges {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.optional("name", line),
            email: fields.nullable("email", email),
            credit_limit: fields.optional("credit_limit", amount),
            on_redis_loss: fields.optional("on_redis_loss", on_redis_loss),
            redis_loss_cap: fields.optional("redis_loss_cap", amount),
            calls_in_progress_max: fields.nullable("calls_in_progress_max", positive_number),
        })
    }
}

fn on_redis_loss(value: &Value) -> Result<OnRedisLoss, String> {
    let policy = value.as_str().and_then(OnRedisLoss::parse);
    policy.ok_or_else(|| "is neither \"fail_closed\" nor \"fail_open\"".to_owned())
}

pub(super) async fn update(
    State(api): State<Api>,
    AccountPath(id): AccountPath,
    act: Act,
) -> Result<Response, Problem> {
    act.credential.require_admin()?;
    let changes: AccountChanges = act.read()?;
    act.run(&api, "accounts::update", move |connection, _| {
        let (id, changes) = (id.clone(), changes.clone());
        async move {
            Ok(match accounts::update(connection, &id, &changes).await? {
                Some(account) => Outcome::done(StatusCode::OK, &AccountJson::from(account)),
                None => Outcome::Refused(Problem::unknown_account()),
            })
        }
        .boxed()
    })
    .await
}
