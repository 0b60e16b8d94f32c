//! `/wallet/cards`: saved cards. Never for operators.

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use callmeter_core::domain::PaymentMethodId;

use super::Page;
use super::add_funds::{self, Card};
use super::error::PageError;
use super::form::Query;
use super::frame::TakesCard;
use super::refill::{Browser, configured};
use super::shell::{Entry, Shell};
use super::visit::{Act, Owner, Visit};
use crate::payments::{CardsError, auto_refill_view};

#[derive(Template)]
#[template(path = "cards.html")]
struct CardsPage {
    shell: Shell,
    cards: Vec<Listed>,
    has_cards: bool,
    problem: Option<&'static str>,
    done: Option<&'static str>,
    /// Names the setup: the same form twice is one setup.
    request_key: String,
    years: Vec<i32>,
    expiring: Option<String>,
}

/// A saved card, and what it is used for.
#[derive(Clone, Debug)]
struct Listed {
    card: Card,
    month: u32,
    year: i32,
    is_for_auto_refill: bool,
}

#[derive(Template)]
#[template(path = "card-new.html")]
struct NewCardPage {
    shell: Shell,
    browser: Browser,
}

#[derive(Template)]
#[template(path = "card-remove.html")]
struct RemovePage {
    shell: Shell,
    card: Card,
    is_for_auto_refill: bool,
}

/// `GET /wallet/cards`
pub(super) async fn cards(
    State(page): State<Page>,
    Owner(visit): Owner,
    Query(query): Query,
) -> Result<Response, PageError> {
    let (shell, _) = page.shell(&visit, Entry::Cards, "Cards").await?;
    let listed = list(&page, &visit).await?;
    let has_cards = listed.is_some();
    let cards = listed.unwrap_or_default();
    let year = chrono::Datelike::year(&page.clock.now());
    let soon = cards.iter().find(|listed| listed.card.expires_soon);
    let shown = CardsPage {
        shell,
        expiring: soon.map(|listed| listed.card.name.clone()),
        cards,
        has_cards,
        problem: query.one("problem").and_then(problem),
        done: query.one("done").and_then(done),
        request_key: format!("page-{:032x}", rand::random::<u128>()),
        years: (year..year + 20).collect(),
    };
    Ok(super::html(&shown).into_response())
}

/// `POST /wallet/cards/setup`: the page on which Stripe takes a new card.
pub(super) async fn set_up(
    State(page): State<Page>,
    Act(visit, form): Act,
) -> Result<Response, PageError> {
    let key = form.one("request_key").ok_or(PageError::BadForm)?;
    let request = format!("{} {key}", visit.session.session_key);
    let payments = configured(&page)?;
    let setup = match payments.set_up_card(&visit.session.account, &request).await {
        Ok(setup) => setup,
        Err(error) => return after(&page, Err(error), ""),
    };
    let (shell, _) = page.shell(&visit, Entry::Cards, "Add a card").await?;
    let base = page.base(&visit).unwrap_or_default();
    let browser = Browser {
        js_url: page.js_url.clone(),
        publishable_key: payments.publishable_key().to_owned(),
        client_secret: setup.client_secret,
        return_url: format!("{base}/wallet/cards?done=added"),
        kind: "setup",
        done: format!("{}/cards?done=added", page.at),
        button: "Save card".to_owned(),
    };
    let mut response = super::html(&NewCardPage { shell, browser }).into_response();
    response.extensions_mut().insert(TakesCard);
    Ok(response)
}

/// `POST /wallet/cards/{card}/default`
pub(super) async fn choose(
    State(page): State<Page>,
    request: Request,
) -> Result<Response, PageError> {
    let (card, Act(visit, _)) = card_and_form(request, &page).await?;
    let payments = configured(&page)?;
    let chosen = payments.choose_card(&visit.session.account, &card, visit.by(&page)).await;
    after(&page, chosen, "default")
}

/// `POST /wallet/cards/{card}/expiry`
pub(super) async fn renew(
    State(page): State<Page>,
    request: Request,
) -> Result<Response, PageError> {
    let (card, Act(visit, form)) = card_and_form(request, &page).await?;
    let number = |name| form.one(name).and_then(|text| text.parse::<u32>().ok());
    let month = number("exp_month").filter(|month| (1..=12).contains(month));
    let year = number("exp_year").filter(|year| (2000..=2100).contains(year));
    let date = month.zip(year).ok_or(PageError::BadForm)?;
    let renewed = configured(&page)?.renew_card(&visit.session.account, &card, date).await;
    after(&page, renewed.map(|_| ()), "expiry")
}

/// `GET /wallet/cards/{card}/remove`: asks first.
pub(super) async fn ask_to_remove(
    State(page): State<Page>,
    Owner(visit): Owner,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, PageError> {
    let card = card_in(path)?;
    let found = list(&page, &visit).await?.unwrap_or_default();
    let found = found.into_iter().find(|listed| listed.card.id == card.as_str());
    let Listed { card, is_for_auto_refill, .. } = found.ok_or(PageError::NotFound)?;
    let (shell, _) = page.shell(&visit, Entry::Cards, "Remove a card").await?;
    Ok(super::html(&RemovePage { shell, card, is_for_auto_refill }).into_response())
}

/// `POST /wallet/cards/{card}/remove`
pub(super) async fn remove(
    State(page): State<Page>,
    request: Request,
) -> Result<Response, PageError> {
    let (card, Act(visit, _)) = card_and_form(request, &page).await?;
    let payments = configured(&page)?;
    let removed = payments.remove_card(&visit.session.account, &card, visit.by(&page)).await;
    after(&page, removed, "removed")
}

async fn list(page: &Page, visit: &Visit) -> Result<Option<Vec<Listed>>, PageError> {
    let Some(saved) = add_funds::saved(page, visit).await? else { return Ok(None) };
    let (now, account_key) = (page.clock.now(), visit.session.account_key);
    let mut connection = page.store.read().await?;
    let auto = auto_refill_view(&mut connection, account_key, &page.auto_limits, now).await?;
    let is_used = |id: &str, is_default: bool| {
        auto.enabled && auto.payment_method.as_deref().map_or(is_default, |named| named == id)
    };
    let listed = saved.iter().map(|saved| Listed {
        month: u32::from(saved.exp_month.unsigned_abs()),
        year: saved.exp_year.into(),
        is_for_auto_refill: is_used(saved.id.as_str(), saved.is_default),
        card: Card::new(saved, now, None),
    });
    Ok(Some(listed.collect()))
}

async fn card_and_form(request: Request, page: &Page) -> Result<(PaymentMethodId, Act), PageError> {
    let (mut parts, body) = request.into_parts();
    let path = Path::<String>::from_request_parts(&mut parts, page).await;
    let card = card_in(path)?;
    let request = Request::from_parts(parts, body);
    let act = <Act as axum::extract::FromRequest<Page>>::from_request(request, page).await?;
    Ok((card, act))
}

fn card_in(path: Result<Path<String>, PathRejection>) -> Result<PaymentMethodId, PageError> {
    let card = path.ok().and_then(|Path(card)| PaymentMethodId::parse(&card).ok());
    card.ok_or(PageError::NotFound)
}

/// Leads back to the list, with what was done or why not.
fn after(page: &Page, result: Result<(), CardsError>, done: &str) -> Result<Response, PageError> {
    let word = match result {
        Ok(()) => format!("done={done}"),
        Err(CardsError::TooMany) => "problem=too_many".to_owned(),
        Err(CardsError::TooManySetups) => "problem=too_many_setups".to_owned(),
        Err(CardsError::TooManyDeclines) => "problem=too_many_declines".to_owned(),
        Err(CardsError::RefusedDate) => "problem=refused_date".to_owned(),
        Err(error) => return Err(error.into()),
    };
    Ok(Redirect::to(&format!("{}/cards?{word}", page.at)).into_response())
}

fn problem(word: &str) -> Option<&'static str> {
    Some(match word {
        "too_many" => "The account has 10 cards, as many as it may have. Remove one first.",
        "too_many_setups" => {
            "Too many cards were added in the last hour. Try again in an hour, or contact support."
        }
        "too_many_declines" => {
            "Cards of this account were declined too often in the last hour. Try again in an hour, \
             or contact support."
        }
        "refused_date" => "The card's bank refuses this date. Check it, or add the card again.",
        _ => return None,
    })
}

fn done(word: &str) -> Option<&'static str> {
    Some(match word {
        "added" => "The card is saved.",
        "default" => "The default card is changed.",
        "expiry" => "The expiry date is changed.",
        "removed" => "The card is removed.",
        _ => return None,
    })
}
