//! `/wallet/add-funds`: the amount and the card, then a summary. Nothing is charged here.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{Money, RefillId};
use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::Page;
use super::controls::FieldError;
use super::decline::{Decline, face};
use super::error::PageError;
use super::form::{self, Form, Query};
use super::money::{cents, exact, field};
use super::next::NextPage;
use super::shell::{Entry, Shell};
use super::visit::{Owner, Visit};
use crate::ledger::history::Stretch;
use crate::ledger::payments::cards::SavedCard;
use crate::ledger::payments::refills::{self, Refill, Which};
use crate::payments::{CardsError, PaymentError};

/// A card that expires within this time is marked.
const EXPIRES_SOON: TimeDelta = TimeDelta::days(30);
/// A payment of the same amount within this time is pointed out.
const RECENT: TimeDelta = TimeDelta::minutes(10);
/// Amounts that customers choose from, in whole dollars.
const PRESETS: [i64; 4] = [25, 50, 100, 250];
const MICROS_PER_DOLLAR: i64 = 1_000_000;

#[derive(Template)]
#[template(path = "add-funds.html")]
struct FormPage {
    shell: Shell,
    now: Now,
    presets: Vec<Preset>,
    amount: String,
    minimum: String,
    cards: Vec<Card>,
    /// The chosen card; `new` for a new one.
    chosen: String,
    saves: bool,
    /// False: Stripe does not answer, or is not set up.
    has_cards: bool,
    errors: Vec<FieldError>,
    decline: Option<Declined>,
    problem: Option<&'static str>,
    next: Option<NextPage>,
}

#[derive(Template)]
#[template(path = "add-funds-confirm.html")]
struct CheckPage {
    shell: Shell,
    now: Now,
    amount: String,
    amount_field: String,
    afterwards: String,
    card: String,
    payment_method: String,
    saves: bool,
    email: Option<String>,
    /// Names the payment: the same form twice is one payment.
    request_key: String,
    /// A refill of the same amount a moment ago.
    repeated: Option<String>,
    next: Option<NextPage>,
}

#[derive(Clone, Debug)]
struct Preset {
    value: String,
    text: String,
    is_chosen: bool,
}

/// What the wallet has now.
#[derive(Clone, Debug)]
struct Now {
    available: String,
    plan_left: Option<(String, String)>,
}

/// A saved card.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark beside the card")]
pub(super) struct Card {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) expiry: String,
    pub(super) is_default: bool,
    pub(super) is_expired: bool,
    pub(super) expires_soon: bool,
    pub(super) was_declined: bool,
}

/// A refill that was declined just now.
#[derive(Clone, Debug)]
struct Declined {
    told: Decline,
    refill: String,
    payment: Option<String>,
    card: Option<String>,
}

/// What a customer wants to pay, read from the address or a form.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) amount: Money,
    /// A card's id, or `new`.
    pub(super) payment_method: String,
    pub(super) saves: bool,
}

impl FormPage {
    fn error(&self, field: &str) -> Option<&str> {
        let found = self.errors.iter().find(|error| error.field == field);
        found.map(|error| error.message.as_str())
    }
}

/// The smallest preset that takes the wallet above the level of "low".
pub(super) fn suggested(page: &Page, available: Money) -> Money {
    let lack = page.low_balance_threshold.micros().saturating_sub(available.micros());
    let presets = PRESETS.map(|dollars| Money::from_micros(dollars * MICROS_PER_DOLLAR));
    let enough = |preset: &&Money| preset.micros() >= lack && **preset >= page.minimum;
    presets.iter().find(enough).copied().unwrap_or(presets[presets.len() - 1])
}

/// `GET /wallet/add-funds?amount=&payment_method=&declined=`
pub(super) async fn form(
    State(page): State<Page>,
    Owner(visit): Owner,
    Query(query): Query,
) -> Result<Response, PageError> {
    show(&page, &visit, &query, Vec::new()).await
}

/// `GET /wallet/add-funds/confirm`: says what will be charged.
pub(super) async fn check(
    State(page): State<Page>,
    Owner(visit): Owner,
    Query(query): Query,
) -> Result<Response, PageError> {
    let wish = match read(&page, &query) {
        Ok(wish) => wish,
        Err(errors) => return show(&page, &visit, &query, errors).await,
    };
    let card = if wish.payment_method == "new" {
        "a new card, which you enter next".to_owned()
    } else {
        let cards = saved(&page, &visit).await?.unwrap_or_default();
        let chosen = cards.iter().find(|card| card.id.as_str() == wish.payment_method);
        let Some(card) = chosen else {
            let message = "This card was removed. Choose another one.".to_owned();
            let error = FieldError::new("payment_method", message);
            return show(&page, &visit, &query, vec![error]).await;
        };
        face(&card.face)
    };
    let (shell, account) = page.shell(&visit, Entry::AddFunds, "Add funds: check").await?;
    let now = page.clock.now();
    let account_id = &visit.session.account;
    let view = page.wallets.view(account_id, now).await?.ok_or(PageError::Internal)?;
    let afterwards = view.available.checked_add(wish.amount).unwrap_or(view.available);
    let shown = CheckPage {
        shell,
        now: now_of(&page, &visit).await?,
        amount: exact(wish.amount),
        amount_field: field(wish.amount),
        afterwards: cents(afterwards),
        card,
        payment_method: wish.payment_method,
        saves: wish.saves,
        email: account.email,
        request_key: format!("page-{:032x}", rand::random::<u128>()),
        repeated: repeated(&page, &visit, wish.amount, now).await?,
        next: page.next_in(&query),
    };
    Ok(super::html(&shown).into_response())
}

/// Reads what a customer wants to pay.
///
/// # Errors
/// What is wrong with each field.
pub(super) fn read(page: &Page, form: &Form) -> Result<Wish, Vec<FieldError>> {
    let mut errors = Vec::new();
    // A typed amount counts; without one, the chosen preset.
    let text = form.one("amount").or_else(|| form.one("preset")).unwrap_or_default();
    let amount = match form::amount(text) {
        Ok(amount) if amount < page.minimum => {
            let minimum = exact(page.minimum);
            Err(format!("{} is below the minimum. Enter {minimum} or more.", exact(amount)))
        }
        read => read,
    };
    let amount = amount.map_err(|message| errors.push(FieldError::new("amount", message)));
    let payment_method = form.text("payment_method");
    if payment_method.is_empty() {
        let message = "Choose a card.".to_owned();
        errors.push(FieldError::new("payment_method", message));
    }
    match amount {
        Ok(amount) if errors.is_empty() => {
            Ok(Wish { amount, payment_method, saves: form.is_checked("save") })
        }
        _ => Err(errors),
    }
}

async fn show(
    page: &Page,
    visit: &Visit,
    query: &Form,
    errors: Vec<FieldError>,
) -> Result<Response, PageError> {
    let title = if errors.is_empty() { "Add funds" } else { "Error: Add funds" };
    let (shell, _) = page.shell(visit, Entry::AddFunds, title).await?;
    let now = page.clock.now();
    let declined = declined(page, visit, query).await?;
    let saved = saved(page, visit).await?;
    let refused = declined.as_ref().and_then(|declined| declined.card.clone());
    let list = saved.clone().unwrap_or_default();
    let cards: Vec<Card> =
        list.iter().map(|card| Card::new(card, now, refused.as_deref())).collect();
    let chosen = query.one("payment_method").map_or_else(|| preselected(&cards), str::to_owned);
    let typed = query.text("amount");
    let preset = query.one("preset").map(str::to_owned);
    // An amount in the address that is a preset is shown as one.
    let wanted = if errors.is_empty() { form::amount(&typed).ok() } else { None };
    let presets: Vec<Preset> = PRESETS
        .iter()
        .map(|dollars| {
            let value = format!("{dollars}.00");
            let is_wanted = wanted.is_some_and(|wanted| field(wanted) == value);
            let is_default = typed.is_empty() && preset.is_none() && *dollars == 50;
            let is_given = typed.is_empty() && preset.as_deref() == Some(value.as_str());
            let text = format!("${dollars}");
            Preset { value, text, is_chosen: is_wanted || is_given || is_default }
        })
        .collect();
    let is_preset = wanted.is_some() && presets.iter().any(|preset| preset.is_chosen);
    let has_errors = !errors.is_empty();
    let shown = FormPage {
        shell,
        now: now_of(page, visit).await?,
        amount: if is_preset { String::new() } else { typed },
        presets,
        minimum: exact(page.minimum),
        chosen,
        saves: query.one("payment_method").is_none() || query.is_checked("save"),
        has_cards: saved.is_some(),
        cards,
        errors,
        decline: declined,
        problem: query.one("problem").and_then(problem),
        next: page.next_in(query),
    };
    let status = if has_errors { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, super::html(&shown)).into_response())
}

/// The default card, unless it was declined just now or has expired; else the first other one.
fn preselected(cards: &[Card]) -> String {
    let usable = |card: &&Card| !card.was_declined && !card.is_expired;
    let default = cards.iter().filter(usable).find(|card| card.is_default);
    let card = default.or_else(|| cards.iter().find(usable));
    card.map_or_else(|| "new".to_owned(), |card| card.id.clone())
}

/// The saved cards; `None`: Stripe does not answer, or is not set up.
pub(super) async fn saved(page: &Page, visit: &Visit) -> Result<Option<Vec<SavedCard>>, PageError> {
    let Some(payments) = &page.payments else { return Ok(None) };
    match payments.cards(&visit.session.account).await {
        Ok(cards) => Ok(Some(cards)),
        Err(CardsError::Failed(PaymentError::Ledger(error))) => Err(error.into()),
        Err(error) => {
            tracing::warn!(error = crate::telemetry::one_line(&error), "cards cannot be listed");
            Ok(None)
        }
    }
}

impl Card {
    /// A saved card at a time; `declined` is the name of one that was declined just now.
    pub(super) fn new(card: &SavedCard, now: DateTime<Utc>, declined: Option<&str>) -> Self {
        let (month, year) = (u32::from(card.exp_month.unsigned_abs()), i32::from(card.exp_year));
        let soon = now + EXPIRES_SOON;
        // A card is valid until the end of its month.
        let is_expired = (year, month) < (now.year(), now.month());
        Self {
            id: card.id.to_string(),
            name: face(&card.face),
            expiry: format!("{month:02}/{year}"),
            is_default: card.is_default,
            is_expired,
            expires_soon: !is_expired && (year, month) < (soon.year(), soon.month()),
            was_declined: declined == Some(card.id.as_str()),
        }
    }
}

async fn now_of(page: &Page, visit: &Visit) -> Result<Now, PageError> {
    let now = page.clock.now();
    let view = page.wallets.view(&visit.session.account, now).await?.ok_or(PageError::Internal)?;
    let plan = view.allowance.map(|allowance| {
        let minutes = super::time::minutes;
        (minutes(allowance.remaining_seconds), minutes(allowance.included_seconds))
    });
    Ok(Now { available: cents(view.available), plan_left: plan })
}

/// The refill that the address says was declined, if it is the account's.
async fn declined(page: &Page, visit: &Visit, query: &Form) -> Result<Option<Declined>, PageError> {
    let id = query.one("declined").and_then(|id| RefillId::parse(id).ok());
    let Some(id) = id else { return Ok(None) };
    let found = refills::find(&mut *page.store.read().await?, Which::Id(&id)).await?;
    let own = |refill: &Refill| refill.account_key == visit.session.account_key;
    let Some(refill) = found.filter(own) else { return Ok(None) };
    let Some(told) = Decline::of(&refill) else { return Ok(None) };
    Ok(Some(Declined {
        told,
        refill: refill.id.to_string(),
        payment: refill.payment_intent.map(|id| id.to_string()),
        card: refill.payment_method.map(|id| id.to_string()),
    }))
}

/// The latest refill, if it is of the same amount and a moment old.
async fn repeated(
    page: &Page,
    visit: &Visit,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<Option<String>, PageError> {
    let stretch = Stretch { below: None, from: Some(now - RECENT), to: None, limit: 1 };
    let mut connection = page.store.read().await?;
    let account_key = visit.session.account_key;
    let found = refills::list(&mut connection, account_key, None, None, &stretch).await?;
    let latest = found.items.into_iter().next();
    let is_open_or_paid = |refill: &Refill| !refill.is_finished() || refill.decline.is_none();
    let same = latest.filter(|refill| refill.amount == amount).filter(is_open_or_paid);
    Ok(same.map(|refill| refill.id.to_string()))
}

/// What a refusal means, by the word in the address.
fn problem(word: &str) -> Option<&'static str> {
    Some(match word {
        "account_closed" => "The account is closed, so nothing can be paid in.",
        "too_many_declines" => {
            "Cards of this account were declined too often in the last hour. Nothing was charged. \
             Try again in an hour, or contact support."
        }
        "daily_max" => {
            "With this amount you would pay more than is possible in a day. Nothing was charged. \
             Choose a smaller amount, or go on after midnight, UTC."
        }
        "unknown_card" => "This card was removed. Nothing was charged. Choose another one.",
        "other_form" => "This form was sent before with other values. Nothing more was charged.",
        _ => return None,
    })
}
