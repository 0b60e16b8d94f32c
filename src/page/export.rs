//! `GET /wallet/history.csv`: what the list shows as CSV, all pages in one.

use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};

use super::Page;
use super::error::PageError;
use super::form::Query;
use super::history::{Filter, search};
use super::visit::Look;
use crate::csv::{self, CALLS, Line, TRANSACTIONS, call_line, transaction_line};
use crate::json::{CallJson, TransactionJson};
use crate::ledger::LedgerError;
use crate::ledger::history::{self, Stretch, Transaction, TransactionFilter};

type Lines = Pin<Box<dyn Stream<Item = Result<String, LedgerError>> + Send>>;

/// `GET /wallet/history.csv`
pub(super) async fn export(
    State(page): State<Page>,
    Look(visit): Look,
    Query(query): Query,
) -> Result<Response, PageError> {
    let filter = Filter::read(&query);
    let account_key = visit.session.account_key;
    let stretch = Stretch { below: None, ..filter.stretch(1) };
    let lines: Lines = if !filter.q.is_empty() {
        let found = found(&page, account_key, &filter).await?;
        Box::pin(stream::once(async move { Ok(found) }))
    } else if filter.shows_calls {
        Box::pin(calls(page, account_key, stretch))
    } else {
        Box::pin(rows(page, account_key, filter.of_ledger(), stretch))
    };
    // If it fails midway the connection breaks, so that the file is seen to be incomplete.
    let body = Body::from_stream(lines.map(|part| part.map(Bytes::from)));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(csv::MEDIA_TYPE));
    let name = HeaderValue::from_static("attachment; filename=\"wallet-history.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// What a search found: rows, or the call that cost nothing and has none.
async fn found(page: &Page, account_key: i32, filter: &Filter) -> Result<String, LedgerError> {
    let mut connection = page.store.read().await?;
    let (entries, free) = search(&mut connection, account_key, filter).await?;
    let (mut lines, mut calls) = (TRANSACTIONS.to_owned(), CALLS.to_owned());
    if entries.is_empty() && !free.is_empty() {
        for charge in free {
            call_line(&CallJson::from(charge.call), Line::default()).end(&mut calls);
        }
        return Ok(calls);
    }
    for entry in entries {
        add(&mut lines, entry.transaction);
    }
    Ok(lines)
}

fn add(lines: &mut String, row: Transaction) {
    transaction_line(&TransactionJson::from(row), Line::default()).end(lines);
}

fn rows(
    page: Page,
    account_key: i32,
    filter: TransactionFilter,
    stretch: Stretch,
) -> impl Stream<Item = Result<String, LedgerError>> {
    csv::pages(TRANSACTIONS, stretch, move |stretch| {
        let page = page.clone();
        async move {
            let mut connection = page.store.read().await?;
            let found =
                history::transactions(&mut connection, account_key, &filter, &stretch).await?;
            let mut lines = String::new();
            found.items.into_iter().for_each(|row| add(&mut lines, row));
            Ok((lines, found.next))
        }
    })
}

fn calls(
    page: Page,
    account_key: i32,
    stretch: Stretch,
) -> impl Stream<Item = Result<String, LedgerError>> {
    csv::pages(CALLS, stretch, move |stretch| {
        let page = page.clone();
        async move {
            let mut connection = page.store.read().await?;
            let found = history::calls(&mut connection, account_key, None, &stretch).await?;
            let mut lines = String::new();
            for call in found.items {
                call_line(&CallJson::from(call), Line::default()).end(&mut lines);
            }
            Ok((lines, found.next))
        }
    })
}
