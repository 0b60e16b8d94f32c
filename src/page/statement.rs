//! `GET /wallet/statements/{yyyy-mm}`: a month of the wallet, for printing.

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::TransactionType;
use chrono::{Datelike as _, Days};

use super::Page;
use super::error::PageError;
use super::money::{exact, grouped, signed};
use super::receipt::Seller;
use super::row::title;
use super::shell::{Entry, Shell};
use super::time::Time;
use super::visit::Look;
use crate::ledger::statements::Month;

#[derive(Template)]
#[template(path = "statement.html")]
struct StatementPage {
    shell: Shell,
    seller: Seller,
    month_name: String,
    begins: Time,
    ends: Time,
    is_closed: bool,
    opening: String,
    totals: Vec<Total>,
    credits: String,
    debits: String,
    closing: String,
    csv: String,
    earlier: String,
    later: Option<String>,
}

/// The total of one kind.
#[derive(Clone, Debug)]
struct Total {
    title: &'static str,
    rows: String,
    amount: String,
}

/// `GET /wallet/statements/{yyyy-mm}`
pub(super) async fn statement(
    State(page): State<Page>,
    Look(visit): Look,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, PageError> {
    let month = path.ok().and_then(|Path(month)| month.parse::<Month>().ok());
    let month = month.ok_or(PageError::NotFound)?;
    let now = page.clock.now();
    let read = page.wallets.statement(&visit.session.account, month, now).await?;
    let read = read.ok_or(PageError::NotFound)?;
    let month_name = month.start().format("%B %Y").to_string();
    let title_of_page = format!("Statement, {month_name}");
    let (shell, _) = page.shell(&visit, Entry::History, title_of_page).await?;
    let totals = read.totals.iter().map(|total| Total {
        title: title(total.kind),
        rows: grouped(total.transactions.unsigned_abs()),
        amount: signed(total.direction, total.amount),
    });
    let earlier = month.start().date_naive().checked_sub_days(Days::new(1)).unwrap_or_default();
    let (first, last) = (month.start().date_naive(), month.end().date_naive());
    let last = last.checked_sub_days(Days::new(1)).unwrap_or(last);
    let later = month.end().date_naive();
    let is_past = month.end() <= now;
    let shown = StatementPage {
        shell,
        seller: page.seller(),
        begins: Time::date(month.start()),
        ends: Time::date(month.end()),
        is_closed: read.is_closed,
        opening: exact(read.opening),
        totals: totals.collect(),
        credits: signed(TransactionType::Credit, read.credits),
        debits: signed(TransactionType::Debit, read.debits),
        closing: exact(read.closing),
        csv: format!("{}/history.csv?from={first}&to={last}", page.at),
        earlier: format!("{:04}-{:02}", earlier.year(), earlier.month()),
        later: is_past.then(|| format!("{:04}-{:02}", later.year(), later.month())),
        month_name,
    };
    Ok(super::html(&shown).into_response())
}
