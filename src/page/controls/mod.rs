//! `/wallet/auto-refill`: three forms, saved each by itself. We refill the wallet, we tell the
//! customer, and we stop where the customer says.

mod alerts;
mod auto_refill;
mod budget;

pub(super) use alerts::set as set_alerts;
pub(super) use auto_refill::{
    AutoRefillSummaries, AutoRefillSummary, SUMMARY_STANDS, set as set_auto_refill,
};
pub(super) use budget::{Of, set as set_budget};

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::Page;
use super::error::PageError;
use super::form::Query;
use super::money::{cents, exact};
use super::shell::{Entry, Shell};
use super::visit::{Look, Visit};
use crate::ledger::payments::cards;
use crate::ledger::watched;
use crate::payments::auto_refill_view;
use auto_refill::{CardChoice, Values};

#[derive(Template)]
#[template(path = "controls.html")]
struct ControlsPage {
    shell: Shell,
    is_operator: bool,
    is_configured: bool,
    /// The form that was saved just now.
    saved: String,
    auto: AutoRefillSummary,
    minimum: String,
    cards: Vec<CardChoice>,
    values: Values,
    errors: Faults,
    month: String,
    refilled: String,
    balance: String,
    alerts: alerts::Shown,
    /// Whom we tell.
    told: String,
    budget: budget::Shown,
}

/// What is wrong with a field.
#[derive(Clone, Debug)]
pub(super) struct FieldError {
    /// The id of the field.
    pub(super) field: String,
    pub(super) message: String,
}

/// What is wrong with a form.
type Faults = Vec<FieldError>;

/// A form that is shown again as it was sent.
#[derive(Clone, Debug)]
enum Given {
    Nothing,
    AutoRefill(Values),
    Alerts(Vec<String>),
    Budget(budget::Values),
}

impl FieldError {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl ControlsPage {
    fn error(&self, field: &str) -> Option<&str> {
        let found = self.errors.iter().find(|error| error.field == field);
        found.map(|error| error.message.as_str())
    }
}

/// `GET /wallet/auto-refill`
pub(super) async fn controls(
    State(page): State<Page>,
    Look(visit): Look,
    Query(query): Query,
) -> Result<Response, PageError> {
    let saved = query.text("saved");
    Ok(super::html(&read(&page, &visit, Given::Nothing, Faults::new(), saved).await?)
        .into_response())
}

/// Shows a form again, with what is wrong with it. Nothing was saved.
async fn show(
    page: &Page,
    visit: &Visit,
    given: Given,
    errors: Faults,
) -> Result<Response, PageError> {
    let shown = read(page, visit, given, errors, String::new()).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, super::html(&shown)).into_response())
}

/// Leads back to the page after a form was saved.
fn saved(page: &Page, form: &str) -> Response {
    Redirect::to(&format!("{}/auto-refill?saved={form}#{form}", page.at)).into_response()
}

async fn read(
    page: &Page,
    visit: &Visit,
    given: Given,
    errors: Faults,
    saved: String,
) -> Result<ControlsPage, PageError> {
    let title = "Auto-refill and alerts";
    let title = if errors.is_empty() { title.to_owned() } else { format!("Error: {title}") };
    let (shell, account) = page.shell(visit, Entry::AutoRefill, title).await?;
    let now = page.clock.now();
    let is_operator = visit.session.visitor.is_operator();
    let auto = page.auto_refill_summary(visit, now).await?;
    let view = page.wallets.view(&visit.session.account, now).await?.ok_or(PageError::Internal)?;
    let account_key = visit.session.account_key;
    let mut connection = page.store.read().await?;
    let refills = auto_refill_view(&mut connection, account_key, &page.auto_limits, now).await?;
    let cards = cards::list(&mut connection, account_key).await?;
    let thresholds = crate::ledger::alerts::find(&mut connection, account_key).await?;
    let watched = watched::find(&mut connection, account_key).await?;
    drop(connection);
    let is_faulty = !errors.is_empty();
    let (mut values, mut texts, mut budget_values) = (None, None, None);
    match given {
        Given::Nothing => {}
        Given::AutoRefill(given) => values = Some(given),
        Given::Alerts(given) => texts = Some(given),
        Given::Budget(given) => budget_values = Some(given),
    }
    Ok(ControlsPage {
        shell,
        is_operator,
        is_configured: page.payments.is_some(),
        saved,
        auto,
        minimum: exact(page.minimum),
        cards: if is_operator {
            Vec::new()
        } else {
            cards.iter().map(auto_refill::choice).collect()
        },
        values: values.unwrap_or_else(|| auto_refill::values_of(&refills)),
        month: now.format("%B").to_string(),
        refilled: exact(refills.refilled_this_month),
        balance: cents(view.balance),
        alerts: alerts::Shown::new(&thresholds, texts, is_faulty),
        told: page.told(account.email.as_deref()),
        budget: budget::Shown::new(&watched, budget_values, is_faulty, now),
        errors,
    })
}

impl Page {
    /// Whom alerts reach, in a sentence.
    fn told(&self, email: Option<&str>) -> String {
        match email {
            Some(email) if self.sends_mail => {
                format!("By e-mail to {email}, to your web hooks, and on this page.")
            }
            _ => "To your web hooks, and on this page. There is no address for e-mail.".to_owned(),
        }
    }
}
