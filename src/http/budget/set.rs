//! `PUT /v1/accounts/{id}/budget`: replaces the budget.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::policy::budget::Budget;
use serde_json::Value;
use utoipa::ToSchema;

use crate::accounts::UnknownAccount;
use crate::accounts::budget::{PERCENT_MAX, PERCENTS_MAX, SetBudget};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Reader};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, flag, list, positive_amount};
use crate::http::problem::Problem;
use crate::json::{BudgetJson, schema};

/// The budget of an account.
#[derive(ToSchema)]
#[schema(example = json!({ "monthly": "120.00", "warn_at_percent": [50, 80], "stop": true }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct BudgetBody {
    /// Dollars a UTC month, above zero; null removes the budget.
    #[schema(value_type = Option<schema::AmountGiven>, required = true)]
    monthly: Option<String>,
    /// Whole percents, rising; each is told once a month. Absent: none.
    #[schema(value_type = Option<Vec<i16>>, nullable = false, max_items = 20, minimum = 1, maximum = 1000)]
    warn_at_percent: Option<Vec<i16>>,
    /// True: new calls are denied once the budget is spent, and no call is granted more than is
    /// left. Absent: false.
    #[schema(nullable = false)]
    stop: Option<bool>,
}

struct Given(Option<Budget>);

impl Fielded for Given {
    fn read(fields: &mut Fields) -> Option<Self> {
        let monthly = fields.required_nullable("monthly", positive_amount);
        let warn_at_percent = fields.optional("warn_at_percent", percents).unwrap_or_default();
        let stop = fields.optional("stop", flag).unwrap_or_default();
        let budget = |monthly| Budget { monthly, warn_at_percent, stop };
        Some(Self(monthly?.map(budget)))
    }
}

fn percents(value: &Value) -> Result<Vec<i16>, String> {
    let percents = list(value, PERCENTS_MAX, percent)?;
    if percents.is_sorted_by(|one, next| one < next) {
        Ok(percents)
    } else {
        Err("is not rising".to_owned())
    }
}

fn percent(value: &Value) -> Result<i16, String> {
    let percent = value.as_i64().and_then(|percent| i16::try_from(percent).ok());
    let percent = percent.filter(|percent| (1..=PERCENT_MAX).contains(percent));
    percent.ok_or_else(|| format!("is not a whole number from 1 to {PERCENT_MAX}"))
}

/// Replaces the budget of an account. What it makes true already is told at once, each percent once a
/// month.
#[utoipa::path(
    put, path = "/v1/accounts/{account}/budget", tag = "Accounts", operation_id = "setBudget",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = BudgetBody,
    responses((status = 200, description = "The budget as it stands", body = BudgetJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)),
        ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn set(
    State(api): State<Api>,
    AuthorizedCommand(Reader(account), command): AuthorizedCommand<Reader>,
) -> Result<Response, Problem> {
    let Given(budget) = command.read()?;
    let now = api.clock.now();
    let answer = move |set| match set {
        Ok(watched) => Outcome::done(StatusCode::OK, &BudgetJson::new(&watched, now)),
        Err(UnknownAccount) => Outcome::Refused(Problem::unknown_account()),
    };
    command.run(&api, SetBudget { account, budget }, answer).await
}
