//! `GET /v1/accounts/{id}/insights`: where the money went, by day and kind, and the cheapest plan.

use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use serde_json::Value;

use crate::http::Api;
use crate::http::access::{Query, Reader};
use crate::http::fields::{Fielded, Fields, instant};
use crate::http::problem::{FieldError, Problem};
use crate::json::schema;
use crate::ledger::insights::Days;
use crate::wallet::insights::InsightsView;

/// The days asked for.
pub(super) struct DaysAsked {
    first: Option<NaiveDate>,
    last: Option<NaiveDate>,
}

impl Fielded for DaysAsked {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { first: fields.optional("from", day), last: fields.optional("to", day) })
    }
}

/// Reads a UTC day.
fn day(value: &Value) -> Result<NaiveDate, String> {
    let is_day = value.as_str().is_some_and(|text| text.len() == 10);
    let day = instant(value).ok().filter(|_| is_day).map(|at| at.date_naive());
    day.ok_or_else(|| "is not a day such as 2026-12-01".to_owned())
}

/// Shows what was spent by day and kind, what rounding cost, overage by cycle, and what the last whole
/// cycle would have cost under each plan. At most 400 days.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/insights", tag = "Accounts", operation_id = "showInsights",
    params(("account" = schema::AccountId, Path, description = "The account's id"),
        ("from" = Option<NaiveDate>, Query, description = "The first UTC day; the default makes it 30 days"),
        ("to" = Option<NaiveDate>, Query, description = "The last UTC day, included; the default is today")),
    responses((status = 200, description = "The insights", body = InsightsView)),
    extensions(("x-scopes" = json!(["admin", "account"])),
        ("x-problems" = json!(["unknown_account", "holds_unavailable"])))
)]
pub(super) async fn insights(
    State(api): State<Api>,
    Query(Reader(id), asked): Query<Reader, DaysAsked>,
) -> Result<Json<InsightsView>, Problem> {
    let now = api.clock.now();
    let days = Days::new(asked.first, asked.last, now.date_naive()).map_err(|fault| {
        let fault = FieldError { field: "from".to_owned(), message: fault.to_string() };
        Problem::invalid(vec![fault])
    })?;
    let view = api.wallets.insights(&id, days, now).await?;
    view.map(Json).ok_or_else(Problem::unknown_account)
}
