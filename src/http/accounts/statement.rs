//! `GET /v1/accounts/{id}/statements/{yyyy-mm}`: a month of a wallet. A closed month must never
//! change.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{AccountId, Money, TransactionKind, TransactionType};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::access::{Authorized, Reader};
use crate::http::csv::{self, Line};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::ledger::statements::{Month, Statement, Total};

/// First line of an export.
const HEAD: &str = "account,month,status,line,type,kind,transactions,amount\r\n";

/// A month of a wallet. Opening + credits - debits = closing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
struct StatementJson {
    #[schema(value_type = schema::AccountId)]
    account: AccountId,
    #[schema(value_type = schema::Month)]
    month: String,
    /// `closed`: it never changes again. `open`: the month is not over.
    #[schema(value_type = StatementStatus)]
    status: &'static str,
    /// Always `USD`.
    currency: &'static str,
    /// Balance at the start.
    #[schema(value_type = schema::Amount)]
    opening: Money,
    /// Totals of the transactions that changed the balance; pending and failed ones do not.
    totals: Vec<TotalJson>,
    #[schema(value_type = schema::Amount)]
    credits: Money,
    #[schema(value_type = schema::Amount)]
    debits: Money,
    /// Balance at the end; for an open month the present balance.
    #[schema(value_type = schema::Amount)]
    closing: Money,
}

/// Whether a statement may change.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the words")]
enum StatementStatus {
    Open,
    Closed,
}

/// The total of one kind of transaction.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementTotal)]
struct TotalJson {
    #[serde(rename = "type")]
    #[schema(value_type = schema::TransactionType)]
    direction: TransactionType,
    #[schema(value_type = schema::TransactionKind)]
    kind: TransactionKind,
    /// The number of transactions.
    transactions: i64,
    #[schema(value_type = schema::Amount)]
    amount: Money,
}

impl From<Total> for TotalJson {
    fn from(total: Total) -> Self {
        let Total { direction, kind, transactions, amount } = total;
        Self { direction, kind, transactions, amount }
    }
}

impl StatementJson {
    fn new(account: AccountId, month: Month, statement: Statement) -> Self {
        Self {
            account,
            month: month.to_string(),
            status: if statement.is_closed { "closed" } else { "open" },
            currency: "USD",
            opening: statement.opening,
            totals: statement.totals.into_iter().map(TotalJson::from).collect(),
            credits: statement.credits,
            debits: statement.debits,
            closing: statement.closing,
        }
    }

    fn in_csv(&self) -> String {
        let mut export = HEAD.to_owned();
        let line = |word: &str| {
            let line = Line::default().value(&self.account).value(&self.month).value(self.status);
            line.value(word)
        };
        let sum = |word, amount: Money| line(word).value("").value("").value("").value(amount);
        sum("opening", self.opening).end(&mut export);
        for total in &self.totals {
            let line = line("total").value(total.direction).value(total.kind);
            line.value(total.transactions).value(total.amount).end(&mut export);
        }
        sum("credits", self.credits).end(&mut export);
        sum("debits", self.debits).end(&mut export);
        sum("closing", self.closing).end(&mut export);
        export
    }
}

/// Shows a month of a wallet: opening, totals by kind, closing. A closed month never changes.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/statements/{month}", tag = "Accounts",
    operation_id = "showStatement",
    params(
        ("account" = schema::AccountId, Path, description = "The account's id"),
        ("month" = schema::Month, Path, description = "A UTC month that has begun"),
    ),
    responses((status = 200, description = "The statement",
        content((StatementJson = "application/json"), (String = "text/csv")))),
    extensions(("x-scopes" = json!(["admin", "account"])),
        ("x-problems" = json!(["unknown_account", "unknown_statement"])))
)]
pub(super) async fn statement(
    State(api): State<Api>,
    Authorized(Reader(id)): Authorized<Reader>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("unknown_statement", "There is no statement of this month");
    let now = api.clock.now();
    let month = path.ok().and_then(|Path((_, month))| month.parse::<Month>().ok());
    let account = accounts_key(&api, &id).await?;
    account.ok_or_else(Problem::unknown_account)?;
    let month = month.ok_or_else(unknown)?;
    let statement = api.wallets.statement(&id, month, now).await?.ok_or_else(unknown)?;
    let statement = StatementJson::new(id, month, statement);
    if csv::wanted(&headers) {
        let media_type = [(header::CONTENT_TYPE, csv::MEDIA_TYPE)];
        return Ok(csv::varying((media_type, statement.in_csv()).into_response()));
    }
    Ok(csv::varying(Json(statement).into_response()))
}

async fn accounts_key(api: &Api, id: &AccountId) -> Result<Option<i32>, Problem> {
    let mut connection = api.store.read().await?;
    Ok(crate::ledger::accounts::key_of(&mut connection, id).await?)
}
