//! `/wallet/refills/{id}`: one address for a refill's whole life, so that reload, back and leaving
//! are safe.

use std::time::Duration;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use callmeter_core::domain::{
    PaymentIntentId, PaymentMethodId, RefillId, RefillStatus, RefillTrigger,
};
use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use super::Page;
use super::add_funds;
use super::assets::Assets;
use super::decline::{Decline, face};
use super::error::PageError;
use super::form::{Form, Query};
use super::frame::TakesCard;
use super::money::{cents, exact, field};
use super::next::NextPage;
use super::shell::{Entry, Shell};
use super::time::Time;
use super::visit::{Act, Look, Visit};
use crate::ledger::payments::refills::{self, Refill, Which};
use crate::payments::{Begun, CardChoice, NotBegun, OverLimit, Payments, RefillRequest};
use crate::stripe::PaymentIntent;

/// Stripe is asked about one refill at most once in this time.
const ASK_EVERY: TimeDelta = TimeDelta::seconds(1);
/// While somebody else asks, the refill is looked at so often, with this time between.
const LOOKS: usize = 10;
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Template)]
#[template(path = "refill.html")]
struct RefillPage {
    shell: Shell,
    part: RefillPart,
}

/// Leads back to the page that opened the bank's.
#[derive(Template)]
#[template(path = "bank-answered.html")]
struct AnsweredPage {
    at: String,
    assets: Assets,
}

/// What changes while the page is open.
#[derive(Template)]
#[template(path = "refill-part.html")]
struct RefillPart {
    at: String,
    id: String,
    /// `completed`, `failed`, `requires_action`, `requires_payment_method` or `pending`.
    status: String,
    is_operator: bool,
    is_auto: bool,
    amount: String,
    amount_field: String,
    card: Option<String>,
    payment: Option<String>,
    decline: Option<Decline>,
    available: String,
    balance: String,
    begun: Time,
    finished: Option<Time>,
    row: Option<i64>,
    email: Option<String>,
    redirect_url: Option<String>,
    /// What Stripe's script needs.
    browser: Option<Browser>,
    refunded: Option<String>,
    support_url: Option<String>,
    /// What the money was needed for.
    next: Option<NextPage>,
    asked: Time,
}

/// What Stripe's script needs to go on with a payment or a card.
#[derive(Clone, Debug)]
pub(super) struct Browser {
    pub(super) js_url: String,
    pub(super) publishable_key: String,
    pub(super) client_secret: String,
    /// Where Stripe leads back to.
    pub(super) return_url: String,
    /// `payment`, `setup` or `action`.
    pub(super) kind: &'static str,
    /// The page after it.
    pub(super) done: String,
    /// The text of the button.
    pub(super) button: String,
}

/// `POST /wallet/refills`: begins the refill that the summary showed. The same form twice is one
/// refill.
pub(super) async fn begin(
    State(page): State<Page>,
    Act(visit, form): Act,
) -> Result<Response, PageError> {
    let wish = add_funds::read(&page, &form).map_err(|_| PageError::BadForm)?;
    let key = form.one("request_key").filter(|key| is_request_key(key));
    let key = key.ok_or(PageError::BadForm)?.to_owned();
    let payments = configured(&page)?;
    let deadline = payments.deadline();
    let card = match wish.payment_method.as_str() {
        "new" => CardChoice::New { is_saved: wish.saves },
        id => CardChoice::Saved(PaymentMethodId::parse(id).ok()),
    };
    let named = format!("{} {} {}", wish.amount, wish.payment_method, wish.saves);
    let sha256: [u8; 32] = Sha256::digest(named).into();
    let return_url = page.base(&visit).map(|base| format!("{base}/wallet/refills/return"));
    let return_url = return_url.filter(|url| payments.accepts_return_url(url));
    let request = RefillRequest { amount: wish.amount, card, return_url };
    let (by, who) = (visit.by(&page), visit.session.visitor.who());
    let account = visit.session.account.clone();
    let begun = payments.begin(account, request, Some((key, sha256)), by).await?;
    let Begun { refill, is_new } = match begun {
        Ok(begun) => begun,
        Err(refusal) => return refused(&page, refusal, &field(wish.amount)),
    };
    if is_new {
        payments.advance(&refill.id, &who, deadline).await?;
    }
    let mut address = format!("{}/refills/{}", page.at, refill.id);
    if let Some(next) = page.next_in(&form) {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("next", &next.address)
            .finish();
        address = format!("{address}?{query}");
    }
    Ok(Redirect::to(&address).into_response())
}

/// `GET /wallet/refills/return?payment_intent=`: where the bank's page leads back to. Where the wallet
/// stands in another site's frame, this is a tab without a session.
pub(super) async fn come_back(
    State(page): State<Page>,
    Query(query): Query,
    request: Request,
) -> Result<Response, PageError> {
    let (parts, _) = request.into_parts();
    let Some(visit) = Visit::find(&parts, &page).await? else {
        if page.settings.is_framed() {
            return Ok(Redirect::to(&format!("{}/refills/answered", page.at)).into_response());
        }
        return Err(PageError::NoSession(page.at.clone()));
    };
    let intent = query.one("payment_intent").and_then(|id| PaymentIntentId::parse(id).ok());
    let intent = intent.ok_or(PageError::NotFound)?;
    let found = refills::find(&mut *page.store.read().await?, Which::Intent(&intent)).await?;
    let refill = own(&visit, found)?;
    // The address held a secret of the payment: it is gone from the browser's bar now.
    Ok(Redirect::to(&format!("{}/refills/{}", page.at, refill.id)).into_response())
}

/// `GET /wallet/refills/answered`: the end of a tab that had the bank's page.
pub(super) async fn answered(State(page): State<Page>) -> Response {
    let answered = AnsweredPage { at: page.at.clone(), assets: page.assets() };
    super::html(&answered).into_response()
}

/// `GET /wallet/refills/{refill}`
pub(super) async fn refill(
    State(page): State<Page>,
    Look(visit): Look,
    Query(query): Query,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, PageError> {
    let part = read(&page, &visit, path, &query).await?;
    let (shell, _) = page.shell(&visit, Entry::AddFunds, "Refill").await?;
    let takes_card = part.browser.is_some();
    let mut response = super::html(&RefillPage { shell, part }).into_response();
    if takes_card {
        response.extensions_mut().insert(TakesCard);
    }
    Ok(response)
}

/// `GET /wallet/refills/{refill}/part`: the part of the page that changes.
pub(super) async fn part(
    State(page): State<Page>,
    visit: Visit,
    Query(query): Query,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, PageError> {
    Ok(super::html(&read(&page, &visit, path, &query).await?).into_response())
}

/// The refill in a path, if it is the visit's account's.
pub(super) async fn find(
    page: &Page,
    visit: &Visit,
    path: Result<Path<String>, PathRejection>,
) -> Result<Refill, PageError> {
    let id = path.ok().and_then(|Path(id)| RefillId::parse(&id).ok());
    let id = id.ok_or(PageError::NotFound)?;
    let found = refills::find(&mut *page.store.read().await?, Which::Id(&id)).await?;
    own(visit, found)
}

fn own(visit: &Visit, found: Option<Refill>) -> Result<Refill, PageError> {
    let own = |refill: &Refill| refill.account_key == visit.session.account_key;
    found.filter(own).ok_or(PageError::NotFound)
}

/// Reads a refill for its page. While it is unfinished, Stripe is asked first.
async fn read(
    page: &Page,
    visit: &Visit,
    path: Result<Path<String>, PathRejection>,
    query: &Form,
) -> Result<RefillPart, PageError> {
    let mut refill = find(page, visit, path).await?;
    let (now, who) = (page.clock.now(), visit.session.visitor.who());
    let is_operator = visit.session.visitor.is_operator();
    let mut browser = None;
    if let Some(payments) = page.payments.as_ref().filter(|_| !refill.is_finished()) {
        let (deadline, mut intent) = (payments.deadline(), None);
        let is_due = |refill: &Refill| refill.asked_at.is_none_or(|asked| asked + ASK_EVERY <= now);
        for _ in 0..LOOKS {
            if refill.is_finished() || !is_due(&refill) {
                break;
            }
            if let Some(advanced) = payments.advance_if_free(&refill.id, &who, deadline).await? {
                (refill, intent) = (advanced.refill, advanced.intent);
                break;
            }
            // A web hook or another page asks right now, and its answer is newer.
            tokio::time::sleep(LOOK_EVERY).await;
            let id = refill.id.clone();
            let found = refills::find(&mut *page.store.read().await?, Which::Id(&id)).await?;
            refill = own(visit, found)?;
        }
        let waits = [RefillStatus::RequiresAction, RefillStatus::RequiresPaymentMethod];
        if !is_operator && waits.contains(&refill.status) {
            let secret = secret(payments, &refill, intent).await;
            browser = secret.map(|secret| page.browser_of(visit, payments, &refill, secret));
        }
    }
    let account = &visit.session.account;
    let view = page.wallets.view(account, now).await?.ok_or(PageError::Internal)?;
    let card = refill.card.as_ref().filter(|_| !is_operator).map(face);
    Ok(RefillPart {
        at: page.at.clone(),
        id: refill.id.to_string(),
        status: refill.status.to_string(),
        is_operator,
        is_auto: refill.trigger == RefillTrigger::Auto,
        amount: exact(refill.amount),
        amount_field: field(refill.amount),
        card,
        payment: refill.payment_intent.as_ref().map(ToString::to_string),
        decline: Decline::of(&refill),
        available: cents(view.available),
        balance: cents(view.balance),
        begun: Time::second(refill.created_at),
        finished: refill.finished_at.map(Time::second),
        row: refill.outcome_sequence,
        email: refill.receipt_email.clone(),
        // Another site's address: a link, never a redirect.
        redirect_url: refill.redirect_url.clone().filter(|_| !is_operator),
        browser,
        refunded: (!refill.refunded.is_zero()).then(|| exact(refill.refunded)),
        support_url: page.settings.support_url.clone(),
        next: page.next_in(query),
        asked: Time::clock(now),
    })
}

async fn secret(
    payments: &Payments,
    refill: &Refill,
    intent: Option<PaymentIntent>,
) -> Option<String> {
    match intent.and_then(|intent| intent.client_secret) {
        Some(secret) => Some(secret.expose().to_owned()),
        None => payments.client_secret(refill, payments.deadline()).await,
    }
}

impl Page {
    /// What Stripe's script needs to go on with a refill.
    fn browser_of(
        &self,
        visit: &Visit,
        payments: &Payments,
        refill: &Refill,
        client_secret: String,
    ) -> Browser {
        let is_action = refill.status == RefillStatus::RequiresAction;
        let base = self.base(visit).unwrap_or_default();
        Browser {
            js_url: self.js_url.clone(),
            publishable_key: payments.publishable_key().to_owned(),
            client_secret,
            return_url: format!("{base}/wallet/refills/return"),
            kind: if is_action { "action" } else { "payment" },
            done: format!("{}/refills/{}", self.at, refill.id),
            button: if is_action {
                "Open the bank's confirmation".to_owned()
            } else {
                format!("Add {}", exact(refill.amount))
            },
        }
    }

    /// The public address of this service.
    pub(super) fn base(&self, visit: &Visit) -> Option<String> {
        match &self.public_url {
            Some(url) => Some(url.trim_end_matches('/').to_owned()),
            None => visit.host.as_ref().map(|host| format!("http://{host}")),
        }
    }
}

/// The use cases of payments.
pub(super) fn configured(page: &Page) -> Result<&Payments, PageError> {
    let missing = PageError::Unavailable("Payments by card are not set up here.");
    page.payments.as_ref().ok_or(missing)
}

pub(super) fn is_request_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (8..=64).contains(&key.len()) && key.bytes().all(allowed)
}

/// Leads back to the form with the reason.
fn refused(page: &Page, refusal: NotBegun, amount: &str) -> Result<Response, PageError> {
    let word = match refusal {
        NotBegun::UnknownAccount => return Err(PageError::Internal),
        NotBegun::AccountClosed => "account_closed",
        NotBegun::NoPaymentMethod | NotBegun::UnknownPaymentMethod => "unknown_card",
        NotBegun::OtherBody => "other_form",
        NotBegun::OverLimit(OverLimit::TooManyDeclines) => "too_many_declines",
        NotBegun::OverLimit(OverLimit::DailyMax { .. }) => "daily_max",
    };
    let address = format!("{}/add-funds?amount={amount}&problem={word}", page.at);
    Ok(Redirect::to(&address).into_response())
}
