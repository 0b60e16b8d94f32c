//! `GET /v1/keys`: every key without its text, newest first, including revoked ones.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::AccountId;

use crate::http::Api;
use crate::http::access::{Admin, Query};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::json::KeyJson;
use crate::json::schema;
use crate::ledger::history::Stretch;
use crate::ledger::keys;

pub(super) struct KeyListRequest {
    account: Option<AccountId>,
    stretch: Stretch,
}

impl Fielded for KeyListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let account = fields.optional("account", parsed::<AccountId>);
        Some(Self { account, stretch: stretch(fields) })
    }
}

/// Lists keys without their texts, newest first, including revoked ones.
#[utoipa::path(
    get, path = "/v1/keys", tag = "Keys", operation_id = "listKeys",
    params(ListParameters, ("account" = Option<schema::AccountId>, Query, description = "Only keys of this account")),
    responses((status = 200, description = "A page of keys", body = List<KeyJson>)),
    extensions(("x-scopes" = json!(["admin"])))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Query(Admin, listing): Query<Admin, KeyListRequest>,
) -> Result<Json<List<KeyJson>>, Problem> {
    let mut connection = api.store.read().await?;
    let KeyListRequest { account, stretch } = listing;
    let page = keys::list(&mut connection, account.as_ref(), &stretch).await?;
    Ok(Json(List::from_page(page, KeyJson::from)))
}
