//! `GET /v1/accounts/{id}/calls`: every charged call with its evidence, the last charged first.

use axum::Json;
use axum::extract::State;

use super::AccountPath;
use crate::http::Api;
use crate::http::auth::Credential;
use crate::http::fields::{Fielded, Fields, Query, line};
use crate::http::page::{List, stretch};
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
