//! `GET /v1/accounts/{id}/calls`: every charged call, the last charged first; as CSV without pages.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::Stream;

use crate::csv::{CALLS, call_line};
use crate::http::Api;
use crate::http::access::{Query, Reader};
use crate::http::csv::{self, Line};
use crate::http::fields::{Fielded, Fields, tag};
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::json::{CallJson, schema};
use crate::ledger::LedgerError;
use crate::ledger::accounts;
use crate::ledger::history::{self, Stretch};

pub(super) struct CallListRequest {
    tag: Option<String>,
    stretch: Stretch,
}

impl Fielded for CallListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { tag: fields.optional("tag", tag), stretch: stretch(fields) })
    }
}

/// Lists charged calls with what explains each, zero-cost ones too, the last charged first.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/calls", tag = "Accounts", operation_id = "listCalls",
    params(("account" = schema::AccountId, Path, description = "The account's id"), ListParameters, ("tag" = Option<schema::Tag>, Query, description = "Only calls with this tag")),
    responses((status = 200, description = "A page of calls; as CSV all of them, with an apostrophe before a text that begins with =, +, -, @ (full-width too), a tab or an end of line", content((List<CallJson> = "application/json"), (String = "text/csv")))),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-streams" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn calls(
    State(api): State<Api>,
    Query(Reader(id), listing): Query<Reader, CallListRequest>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &id).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    if csv::wanted(&headers) {
        drop(connection);
        return Ok(csv::respond(export(api, account_key, listing)));
    }
    let CallListRequest { tag, stretch } = listing;
    let page = history::calls(&mut connection, account_key, tag.as_deref(), &stretch).await?;
    Ok(csv::varying(Json(List::from_page(page, CallJson::from)).into_response()))
}

/// Exports all calls, page by page.
fn export(
    api: Api,
    account_key: i32,
    listing: CallListRequest,
) -> impl Stream<Item = Result<String, LedgerError>> {
    let CallListRequest { tag, stretch } = listing;
    csv::pages(CALLS, stretch, move |stretch| {
        let (api, tag) = (api.clone(), tag.clone());
        async move {
            let mut connection = api.store.read().await?;
            let page =
                history::calls(&mut connection, account_key, tag.as_deref(), &stretch).await?;
            let mut lines = String::new();
            for call in page.items {
                call_line(&CallJson::from(call), Line::default()).end(&mut lines);
            }
            Ok((lines, page.next))
        }
    })
}
