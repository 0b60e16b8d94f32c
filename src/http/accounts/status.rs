//! `POST /v1/accounts/{id}/close` and `/reopen`: whether an account takes new calls. Late calls of a
//! closed account are still charged.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{AccountId, AccountStatus};

use crate::accounts::UnknownAccount;
use crate::accounts::status::SetStatus;
use crate::http::Api;
use crate::http::access::{AdminOf, AuthorizedCommand};
use crate::http::command::{Command, Outcome};
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::json::AccountJson;
use crate::json::schema;

/// Closes an account: new calls are refused, late ones are still charged.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/close", tag = "Accounts", operation_id = "closeAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "The account", body = AccountJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn close(
    State(api): State<Api>,
    AuthorizedCommand(AdminOf(id), command): AuthorizedCommand<AdminOf>,
) -> Result<Response, Problem> {
    set_status(&api, id, command, AccountStatus::Closed).await
}

/// Reopens a closed account.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/reopen", tag = "Accounts", operation_id = "reopenAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "The account", body = AccountJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn reopen(
    State(api): State<Api>,
    AuthorizedCommand(AdminOf(id), command): AuthorizedCommand<AdminOf>,
) -> Result<Response, Problem> {
    set_status(&api, id, command, AccountStatus::Open).await
}

async fn set_status(
    api: &Api,
    account: AccountId,
    command: Command,
    status: AccountStatus,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let answer = |changed| match changed {
        Ok(account) => Outcome::done(StatusCode::OK, &AccountJson::from(account)),
        Err(UnknownAccount) => Outcome::Refused(Problem::unknown_account()),
    };
    let change = SetStatus { account, status, releases_numbers: api.releases_on_close };
    command.run(api, change, answer).await
}
