//! `GET /v1/accounts/{id}/transactions`: the ledger of an account, newest first; with
//! `Accept: text/csv` without pages.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{TransactionKind, TransactionStatus, TransactionType};
use futures::Stream;

use crate::csv::{TRANSACTIONS, transaction_line};
use crate::http::Api;
use crate::http::access::{Query, Reader};
use crate::http::csv::{self, Line};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::json::{TransactionJson, schema};
use crate::ledger::LedgerError;
use crate::ledger::accounts;
use crate::ledger::history::{self, Stretch, TransactionFilter};

#[derive(Clone, Copy, Debug)]
pub(super) struct TransactionListRequest {
    filter: TransactionFilter,
    stretch: Stretch,
}

impl Fielded for TransactionListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let filter = TransactionFilter {
            direction: fields.optional("type", parsed::<TransactionType>),
            kind: fields.optional("kind", parsed::<TransactionKind>),
            status: fields.optional("status", parsed::<TransactionStatus>),
        };
        Some(Self { filter, stretch: stretch(fields) })
    }
}

/// Lists the account's transactions, newest first; as CSV all that match the filters.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/transactions", tag = "Accounts", operation_id = "listTransactions",
    params(("account" = schema::AccountId, Path, description = "The account's id"), ListParameters, ("type" = Option<schema::TransactionType>, Query, description = "Only of this type"), ("kind" = Option<schema::TransactionKind>, Query, description = "Only of this kind"), ("status" = Option<schema::TransactionStatus>, Query, description = "Only transactions of this status")),
    responses((status = 200, description = "A page of transactions; as CSV all of them, with an apostrophe before a text that begins with =, +, -, @ (full-width too), a tab or an end of line", content((List<TransactionJson> = "application/json"), (String = "text/csv")))),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-streams" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn transactions(
    State(api): State<Api>,
    Query(Reader(id), listing): Query<Reader, TransactionListRequest>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut connection = api.store.read().await?;
    let account_key = accounts::key_of(&mut connection, &id).await?;
    let account_key = account_key.ok_or_else(Problem::unknown_account)?;
    if csv::wanted(&headers) {
        drop(connection);
        return Ok(csv::respond(export(api, account_key, listing)));
    }
    let TransactionListRequest { filter, stretch } = listing;
    let page = history::transactions(&mut connection, account_key, &filter, &stretch).await?;
    Ok(csv::varying(Json(List::from_page(page, TransactionJson::from)).into_response()))
}

/// Exports all transactions, page by page.
fn export(
    api: Api,
    account_key: i32,
    listing: TransactionListRequest,
) -> impl Stream<Item = Result<String, LedgerError>> {
    let TransactionListRequest { filter, stretch } = listing;
    csv::pages(TRANSACTIONS, stretch, move |stretch| {
        let api = api.clone();
        async move {
            let mut connection = api.store.read().await?;
            let page =
                history::transactions(&mut connection, account_key, &filter, &stretch).await?;
            let mut lines = String::new();
            for row in page.items {
                let row = TransactionJson::from(row);
                transaction_line(&row, Line::default()).end(&mut lines);
            }
            Ok((lines, page.next))
        }
    })
}
