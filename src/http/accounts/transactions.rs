//! `GET /v1/accounts/{id}/transactions`: the ledger of an account, newest first.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::{TransactionKind, TransactionStatus, TransactionType};

use super::AccountPath;
use crate::http::Api;
use crate::http::auth::Credential;
use crate::http::fields::{Fielded, Fields, Query, parsed};
use crate::http::page::{List, stretch};
use crate::http::problem::Problem;
use crate::http::render::TransactionJson;
use crate::ledger::accounts;
use crate::ledger::history::{self, Stretch, TransactionFilter};

pub(super) struct Listing {
    filter: TransactionFilter,
    stretch: Stretch,
}

impl Fielded for Listing {
    fn read(fields: &mut Fields) -> Option<Self> {
        let filter = TransactionFilter {
            direction: fields.optional("type", parsed::<TransactionType>),
            kind: fields.optional("kind", parsed::<TransactionKind>),
            status: fields.optional("status", parsed::<TransactionStatus>),
        };
        Some(Self { filter, stretch: stretch(fields) })
    }
}

pub(super) async fn transactions(
    State(api): State<Api>,
    credential: Credential,
    AccountPath(id): AccountPath,
    Query(listing): Query<Listing>,
) -> Result<Json<List<TransactionJson>>, Problem> {
    credential.require_account(&id)?;
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &id).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    let Listing { filter, stretch } = listing;
    let page = history::transactions(&mut connection, account_key, &filter, &stretch).await?;
    Ok(Json(List::of(page, TransactionJson::from)))
}
