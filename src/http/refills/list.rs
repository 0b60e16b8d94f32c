//! `GET /v1/accounts/{id}/refills`: lists refills, newest first.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::{RefillStatus, RefillTrigger};
use utoipa::IntoParams;

use crate::http::Api;
use crate::http::access::{Query, Viewer};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::json::{RefillJson, Shown, schema};
use crate::ledger::accounts;
use crate::ledger::history::Stretch;
use crate::ledger::payments::refills;

#[derive(Debug)]
pub(super) struct RefillListRequest {
    status: Option<RefillStatus>,
    trigger: Option<RefillTrigger>,
    stretch: Stretch,
}

impl Fielded for RefillListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let status = fields.optional("status", parsed::<RefillStatus>);
        let trigger = fields.optional("trigger", parsed::<RefillTrigger>);
        Some(Self { status, trigger, stretch: stretch(fields) })
    }
}

/// Filters of refills.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct RefillFilters {
    #[param(value_type = Option<schema::RefillStatus>)]
    status: Option<String>,
    #[param(value_type = Option<schema::RefillTrigger>)]
    trigger: Option<String>,
}

/// Lists the refills of an account, newest first.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/refills", tag = "Refills", operation_id = "listRefills",
    params(("account" = schema::AccountId, Path, description = "The account's id"), ListParameters, RefillFilters),
    responses((status = 200, description = "A page of refills", body = List<RefillJson>)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Query(viewer, request): Query<Viewer, RefillListRequest>,
) -> Result<Json<List<RefillJson>>, Problem> {
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &viewer.account).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    let RefillListRequest { status, trigger, stretch } = request;
    let page = refills::list(&mut connection, account_key, status, trigger, &stretch).await?;
    let to_admin = viewer.is_admin;
    let render = |refill| RefillJson::new(refill, Shown { to_admin, secrets: None });
    Ok(Json(List::from_page(page, render)))
}
