//! Giving a number back: a page that asks first, then the release.

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::search::failed;
use super::{find, names};
use crate::ledger::numbers::Number;
use crate::numbers::NotReleased;
use crate::page::Page;
use crate::page::error::PageError;
use crate::page::money::exact;
use crate::page::shell::{Entry, Shell};
use crate::page::time::Time;
use crate::page::visit::{Act, Owner, Visit};

#[derive(Template)]
#[template(path = "number-release.html")]
struct ReleasePage {
    shell: Shell,
    id: String,
    phone_number: String,
    kind: String,
    since: Option<Time>,
    paid_until: Option<Time>,
    monthly: String,
}

/// `GET /wallet/numbers/{number}/release`: asks first.
pub(in crate::page) async fn ask(
    State(page): State<Page>,
    Owner(visit): Owner,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, PageError> {
    let number = own(&page, &visit, path).await?;
    let title = format!("Release {}", number.phone_number);
    let (shell, _) = page.shell(&visit, Entry::Numbers, title).await?;
    let shown = ReleasePage {
        shell,
        id: number.id.to_string(),
        kind: names::both(&number.country, number.number_type),
        phone_number: number.phone_number,
        since: number.bought_at.map(Time::date),
        paid_until: number.next_due_at.map(Time::date),
        monthly: exact(number.monthly),
    };
    Ok(super::super::html(&shown).into_response())
}

/// `POST /wallet/numbers/{number}/release`
pub(in crate::page) async fn release(
    State(page): State<Page>,
    request: Request,
) -> Result<Response, PageError> {
    let (mut parts, body) = request.into_parts();
    let path = Path::<String>::from_request_parts(&mut parts, &page).await;
    let request = Request::from_parts(parts, body);
    let act = <Act as axum::extract::FromRequest<Page>>::from_request(request, &page).await?;
    let Act(visit, _) = act;
    let number = own(&page, &visit, path).await?;
    let (account, by) = (visit.session.account.clone(), visit.by(&page));
    let released = page.numbers.release(account, number.id.as_str(), by).await;
    match released.map_err(|error| failed(&error))? {
        Ok(number) => {
            let address = format!("{}/numbers?released={}", page.at, number.id);
            Ok(Redirect::to(&address).into_response())
        }
        Err(NotReleased::UnknownNumber | NotReleased::NotBought) => Err(PageError::NotFound),
    }
}

/// The number in a path, if it is the visit's account's.
async fn own(
    page: &Page,
    visit: &Visit,
    path: Result<Path<String>, PathRejection>,
) -> Result<Number, PageError> {
    let Ok(Path(name)) = path else { return Err(PageError::NotFound) };
    find(page, visit, &name).await?.ok_or(PageError::NotFound)
}
