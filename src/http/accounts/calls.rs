//! `GET /v1/accounts/{id}/calls`: every charged call with its evidence, the last charged first.

use axum::Json;
use axum::extract::State;

use super::AccountPath;
use crate::http::Api;
use crate::http::auth::Credential;
use crate::http::fields::{Fielded, Fields, Query, line};
use crate::http::openapi::schema;
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::http::render::CallJson;
use crate::ledger::accounts;
use crate::ledger::history::{self, Stretch};

pub(super) struct Listing {
    tag: Option<String>,
    stretch: Stretch,
}

impl Fielded for Listing {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { tag: fields.optional("tag", line), stretch: stretch(fields) })
    }
}

/// Every charged call with its evidence, zero-cost ones too; the last charged first.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/calls", tag = "Accounts", operation_id = "listCalls",
    params(("account" = schema::AccountId, Path, description = "The account's id"), ListParameters, ("tag" = Option<schema::Line>, Query, description = "Only calls with this tag")),
    responses((status = 200, description = "A page of calls", body = List<CallJson>)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn calls(
    State(api): State<Api>,
    credential: Credential,
    AccountPath(id): AccountPath,
    Query(listing): Query<Listing>,
) -> Result<Json<List<CallJson>>, Problem> {
    credential.require_account(&id)?;
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &id).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    let Listing { tag, stretch } = listing;
    let page = history::calls(&mut connection, account_key, tag.as_deref(), &stretch).await?;
    Ok(Json(List::of(page, CallJson::from)))
}
