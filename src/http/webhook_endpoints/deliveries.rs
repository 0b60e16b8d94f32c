//! `GET /v1/webhook-endpoints/{endpoint}/deliveries`: what was and will be posted to a receiver,
//! newest first, with the last answer and the next attempt. Kept for 30 days.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::{endpoint_in, unknown_endpoint};
use crate::http::Api;
use crate::http::access::{Query, Receivers};
use crate::http::fields::{Fielded, Fields};
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::json::{DeliveryJson, schema};
use crate::ledger::history::Stretch;
use crate::ledger::webhooks;

pub(super) struct DeliveryListRequest(Stretch);

impl Fielded for DeliveryListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self(stretch(fields)))
    }
}

/// Lists what was and will be posted to a receiver of web hooks, newest first.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{endpoint}/deliveries", tag = "Web hooks", operation_id = "listWebhookDeliveries",
    params(ListParameters, ("endpoint" = schema::WebhookEndpointId, Path, description = "The receiver's id")),
    responses((status = 200, description = "A page of deliveries", body = List<DeliveryJson>)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_webhook_endpoint"])))
)]
pub(super) async fn deliveries(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    Query(Receivers(owner), DeliveryListRequest(stretch)): Query<Receivers, DeliveryListRequest>,
) -> Result<Json<List<DeliveryJson>>, Problem> {
    let id = endpoint_in(path)?;
    let mut connection = api.store.read().await?;
    webhooks::find(&mut connection, id, &owner).await?.ok_or_else(unknown_endpoint)?;
    let page = webhooks::list(&mut connection, id, &stretch).await?;
    Ok(Json(List::from_page(page, DeliveryJson::from)))
}
