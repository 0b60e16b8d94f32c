//! `GET /wallet/history.csv`: the rows of the list as CSV, all pages in one.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};

use super::Page;
use super::error::PageError;
use super::form::Query;
use super::history::Filter;
use super::visit::Look;
use crate::csv::{self, Line, TRANSACTIONS, transaction_line};
use crate::json::TransactionJson;
use crate::ledger::LedgerError;
use crate::ledger::history::{self, Stretch, TransactionFilter};

/// `GET /wallet/history.csv`
pub(super) async fn export(
    State(page): State<Page>,
    Look(visit): Look,
    Query(query): Query,
) -> Result<Response, PageError> {
    let filter = Filter::read(&query);
    let stretch = Stretch { below: None, ..filter.stretch(1) };
    let lines = lines(page, visit.session.account_key, filter.of_ledger(), stretch);
    // If it fails midway the connection breaks, so that the file is seen to be incomplete.
    let body = Body::from_stream(lines.map(|part| part.map(Bytes::from)));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(csv::MEDIA_TYPE));
    let name = HeaderValue::from_static("attachment; filename=\"wallet-history.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

fn lines(
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
            for row in found.items {
                transaction_line(&TransactionJson::from(row), Line::default()).end(&mut lines);
            }
            Ok((lines, found.next))
        }
    })
}
