//! `POST /v1/accounts/{id}/close` and `/reopen`: whether an account takes new calls. Late calls of a
//! closed account are still charged.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{AccountId, AccountStatus};
use futures::FutureExt;

use crate::http::Api;
use crate::http::act::{Act, Outcome};
use crate::http::fields::Nothing;
use crate::http::openapi::schema;
use crate::http::problem::Problem;
use crate::http::reach::{AdminOf, Permitted};
use crate::http::render::AccountJson;
use crate::ledger::accounts;

/// Closes an account: no new calls; late ones are still charged.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/close", tag = "Accounts", operation_id = "closeAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "As it is then", body = AccountJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn close(
    State(api): State<Api>,
    Permitted(AdminOf(id), act): Permitted<AdminOf>,
) -> Result<Response, Problem> {
    set_status(&api, id, act, AccountStatus::Closed).await
}

/// Opens a closed account again.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/reopen", tag = "Accounts", operation_id = "reopenAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "As it is then", body = AccountJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn reopen(
    State(api): State<Api>,
    Permitted(AdminOf(id), act): Permitted<AdminOf>,
) -> Result<Response, Problem> {
    set_status(&api, id, act, AccountStatus::Open).await
}

async fn set_status(
    api: &Api,
    id: AccountId,
    act: Act,
    status: AccountStatus,
) -> Result<Response, Problem> {
    act.read::<Nothing>()?;
    act.run(api, "accounts::set_status", move |connection, by| {
        let id = id.clone();
        async move {
            Ok(match accounts::set_status(connection, &id, status, &by).await? {
                Some(account) => Outcome::done(StatusCode::OK, &AccountJson::from(account)),
                None => Outcome::Refused(Problem::unknown_account()),
            })
        }
        .boxed()
    })
    .await
}
