//! `GET /v1/accounts/{id}/numbers`: lists numbers, newest first.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::NumberStatus;
use utoipa::IntoParams;

use crate::http::Api;
use crate::http::access::{Query, Viewer};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::json::{NumberJson, schema};
use crate::ledger::history::Stretch;
use crate::ledger::{accounts, numbers};

#[derive(Debug)]
pub(super) struct NumberListRequest {
    status: Option<NumberStatus>,
    stretch: Stretch,
}

impl Fielded for NumberListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let status = fields.optional("status", parsed::<NumberStatus>);
        Some(Self { status, stretch: stretch(fields) })
    }
}

/// Filters of numbers.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct NumberFilters {
    #[param(value_type = Option<schema::NumberStatus>)]
    status: Option<String>,
}

/// Lists the numbers of an account, newest first, those that are given back too.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/numbers", tag = "Numbers", operation_id = "listNumbers",
    params(("account" = schema::AccountId, Path, description = "The account's id"), ListParameters, NumberFilters),
    responses((status = 200, description = "A page of numbers", body = List<NumberJson>)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Query(viewer, request): Query<Viewer, NumberListRequest>,
) -> Result<Json<List<NumberJson>>, Problem> {
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &viewer.account).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    let NumberListRequest { status, stretch } = request;
    let page = numbers::list(&mut connection, Some(account_key), status, &stretch).await?;
    Ok(Json(List::from_page(page, NumberJson::from)))
}
