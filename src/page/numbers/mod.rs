//! `/wallet/numbers`: the account's numbers, and those that can be bought.

mod buy;
mod names;
mod owned;
mod release;
mod search;

pub(super) use buy::{ask as ask_to_buy, buy};
pub(super) use release::{ask as ask_to_release, release};

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{Money, NumberStatus};

use super::Page;
use super::error::PageError;
use super::form::{Form, Query};
use super::money::{cents, exact, field};
use super::shell::{Entry, Shell};
use super::visit::{Look, Visit};
use crate::ledger::history::Stretch;
use crate::ledger::numbers::{self, Number};
use crate::ledger::rentals;
use owned::Owned;
use search::{Found, Search};

/// Numbers of a page of the list.
const LISTED: u16 = 100;

#[derive(Template)]
#[template(path = "numbers.html")]
struct NumbersPage {
    shell: Shell,
    is_operator: bool,
    notice: Option<Notice>,
    search: Option<Search>,
    found: Option<Found>,
    /// Why nothing could be searched.
    problem: Option<&'static str>,
    owned: Vec<Owned>,
    /// The address of the next page.
    next: Option<String>,
    retry_days: u32,
}

/// What became of something, with its way on.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    tone: &'static str,
    title: String,
    text: String,
    /// Address and text of a button.
    way: Option<(String, String)>,
}

/// `GET /wallet/numbers?country=&type=&begins=&digits=&after=&bought=&released=`
pub(super) async fn numbers(
    State(page): State<Page>,
    Look(visit): Look,
    Query(query): Query,
) -> Result<Response, PageError> {
    let notice = notice(&page, &visit, &query).await?;
    show(&page, &visit, &query, notice, StatusCode::OK).await
}

async fn show(
    page: &Page,
    visit: &Visit,
    query: &Form,
    notice: Option<Notice>,
    status: StatusCode,
) -> Result<Response, PageError> {
    let is_failed = status != StatusCode::OK;
    let title = if is_failed { "Error: Numbers" } else { "Numbers" };
    let (shell, _) = page.shell(visit, Entry::Numbers, title).await?;
    let is_operator = visit.session.visitor.is_operator();
    let (mut found, mut problem, mut search) = (None, None, None);
    if !is_operator {
        let form = Search::read(page, query).await?;
        match search::found(page, visit, &form).await? {
            Ok(numbers) => found = numbers,
            Err(why) => problem = Some(why),
        }
        search = Some(form);
    }
    let stretch = Stretch {
        below: query.one("after").and_then(|after| after.parse().ok()),
        from: None,
        to: None,
        limit: LISTED,
    };
    let account_key = visit.session.account_key;
    let mut connection = page.store.read().await?;
    let listed = numbers::list(&mut connection, Some(account_key), None, &stretch).await?;
    let unpaid = rentals::unpaid(&mut connection, account_key).await?;
    drop(connection);
    let next = listed.next.map(|next| format!("{}/numbers?after={next}", page.at));
    let kept = listed.items.into_iter().filter(|number| !number.status.is_final());
    let suggestion = exact(page.minimum);
    let shown = NumbersPage {
        shell,
        is_operator,
        notice,
        search,
        found,
        problem,
        owned: kept.map(|it| Owned::new(page, it, &unpaid, &suggestion)).collect(),
        next,
        retry_days: page.retry_days,
    };
    Ok((status, super::html(&shown)).into_response())
}

/// What became of a purchase or a release that led here.
async fn notice(page: &Page, visit: &Visit, query: &Form) -> Result<Option<Notice>, PageError> {
    let name = query.one("bought").or_else(|| query.one("released"));
    let Some(name) = name else { return Ok(None) };
    Ok(find(page, visit, name).await?.map(|number| Notice::of(&number)))
}

impl Notice {
    fn of(number: &Number) -> Self {
        let name = &number.phone_number;
        let (tone, title, text) = match number.status {
            NumberStatus::Pending => (
                "info",
                format!("{name} is being bought"),
                "Twilio has not answered yet. It is bought, or its price is given back, within \
                 minutes; this page says which."
                    .to_owned(),
            ),
            NumberStatus::Failed => (
                "bad",
                format!("{name} was not bought"),
                "Twilio does not sell it. What was taken is given back.".to_owned(),
            ),
            NumberStatus::Active | NumberStatus::Unpaid | NumberStatus::Suspended => (
                "good",
                format!("{name} is yours"),
                format!(
                    "{} was taken from the wallet, the first month included.",
                    exact(number.price)
                ),
            ),
            NumberStatus::Releasing | NumberStatus::Released => (
                "good",
                format!("{name} is released"),
                "It costs nothing more. It is given back to Twilio within seconds.".to_owned(),
            ),
        };
        Self { tone, title, text, way: None }
    }

    /// A purchase for which the wallet lacks money.
    fn short(page: &Page, number: &str, missing: Money, again: &str) -> Self {
        let refill = page.refill_for(missing);
        let next = form_urlencoded::byte_serialize(again.as_bytes()).collect::<String>();
        Self {
            tone: "warn",
            title: format!("{number} was not bought: {} is missing", exact(missing)),
            text: "Nothing was taken. The number is not reserved, so another customer may take it."
                .to_owned(),
            way: Some((
                format!("{}/add-funds?amount={}&next={next}", page.at, field(refill)),
                format!("Add {} and buy it", exact(refill)),
            )),
        }
    }

    /// A purchase that is refused for another reason.
    fn refused(number: &str, text: &str) -> Self {
        let title = format!("{number} was not bought");
        Self { tone: "bad", title, text: format!("{text} Nothing was taken."), way: None }
    }
}

/// A number of the visit's account, by its id.
async fn find(page: &Page, visit: &Visit, name: &str) -> Result<Option<Number>, PageError> {
    let found = numbers::find_named(&mut *page.store.read().await?, name).await?;
    Ok(found.filter(|number| number.account_key == visit.session.account_key))
}

impl Page {
    /// A refill that covers what is missing: whole cents, at least the minimum.
    pub(super) fn refill_for(&self, missing: Money) -> Money {
        const CENT: i64 = 10_000;
        let micros = missing.micros().max(0);
        let up = micros.div_euclid(CENT) + i64::from(micros % CENT > 0);
        Money::from_micros(up.saturating_mul(CENT)).max(self.minimum)
    }

    /// What can be spent now.
    async fn available(&self, visit: &Visit) -> Result<(Money, String), PageError> {
        let view = self.wallets.view(&visit.session.account, self.clock.now()).await?;
        let available = view.ok_or(PageError::Internal)?.available;
        Ok((available, cents(available)))
    }
}
