//! `GET /v1/webhook-endpoints`: receivers of web hooks without their secrets, newest first.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::AccountId;

use crate::http::Api;
use crate::http::access::{AskedReceivers, Query};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::json::{EndpointJson, schema};
use crate::ledger::history::Stretch;
use crate::ledger::webhooks;

pub(super) struct EndpointListRequest {
    account: Option<AccountId>,
    stretch: Stretch,
}

impl Fielded for EndpointListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let account = fields.optional("account", parsed::<AccountId>);
        Some(Self { account, stretch: stretch(fields) })
    }
}

/// Lists receivers of web hooks without their secrets, newest first.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints", tag = "Web hooks", operation_id = "listWebhookEndpoints",
    params(ListParameters, ("account" = Option<schema::AccountId>, Query, description = "Only those of this account")),
    responses((status = 200, description = "A page of receivers", body = List<EndpointJson>)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Query(AskedReceivers(owner), listing): Query<AskedReceivers, EndpointListRequest>,
) -> Result<Json<List<EndpointJson>>, Problem> {
    let account = owner.or(listing.account);
    let mut connection = api.store.read().await?;
    let page = webhooks::endpoints(&mut connection, account.as_ref(), &listing.stretch).await?;
    Ok(Json(List::from_page(page, EndpointJson::from)))
}
