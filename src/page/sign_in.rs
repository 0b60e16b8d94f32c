//! Signing in by a link, and signing out.

use askama::Template;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use callmeter_core::domain::AccountId;

use super::Page;
use super::assets::Assets;
use super::error::{self, Around, PageError};
use super::form::Query;
use super::frame;
use super::visit::{Visit, any_form, is_tried};
use crate::accounts::sign_in::{BeginSession, EndSession, NoSuchLink};
use crate::change;
use crate::keys::{Token, TokenKind};
use crate::ledger::accounts;
use crate::ledger::audit::By;
use crate::ledger::wallet_sessions;

/// Who begins a session, for the audit; the entry names for whom the link was.
const WHO: &str = "sign-in link";

/// Asks before a link replaces another account's session.
#[derive(Template)]
#[template(path = "sign-in.html")]
struct AskPage {
    at: String,
    assets: Assets,
    now: String,
    then: String,
    link: String,
    form_token: String,
}

/// Opens the wallet elsewhere, where a browser keeps no cookie in a frame.
#[derive(Template)]
#[template(path = "own-tab.html")]
struct TabPage {
    at: String,
    assets: Assets,
    link: String,
    is_in_frame: bool,
}

/// `GET /wallet/sign-in?link=`: turns a link into a session, and redirects at once. Where the
/// browser has a session of another account, it asks first.
pub(super) async fn open(
    State(page): State<Page>,
    request: Request,
) -> Result<Response, PageError> {
    let (mut parts, _) = request.into_parts();
    if parts.method == Method::HEAD {
        // Those who only look at a link must not use it up.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Query(query) = Query::from_request_parts(&mut parts, &page).await?;
    let link = query.one("link").and_then(|text| Token::parse(TokenKind::SignInLink, text));
    let link = link.ok_or(PageError::DeadLink)?;
    let before = Visit::find(&parts, &page).await?;
    let tries = page.settings.is_framed() && before.is_none() && !is_tried(&parts.headers);
    if tries && query.one("tried").is_none() {
        return try_cookie(&page, &link);
    }
    if tries {
        return offer_tab(&page, &parts, &link).await;
    }
    if let Some(before) = &before {
        let mut connection = page.store.read().await?;
        let now = page.clock.now();
        let open = wallet_sessions::open_link(&mut connection, &link.sha256(), now).await?;
        drop(connection);
        let then = open.ok_or(PageError::DeadLink)?.account;
        if then != before.session.account {
            return ask(&page, before, &then, &link).await;
        }
    }
    begin(&page, &parts, &link, before).await
}

/// `POST /wallet/sign-in`: the answer to the question of [`open`].
pub(super) async fn confirm(
    State(page): State<Page>,
    request: Request,
) -> Result<Response, PageError> {
    let (visit, form) = any_form(request, &page).await?;
    let link = form.one("link").and_then(|text| Token::parse(TokenKind::SignInLink, text));
    let link = link.ok_or(PageError::DeadLink)?;
    let (parts, ()) = axum::http::Request::new(()).into_parts();
    begin(&page, &parts, &link, Some(visit)).await
}

/// `POST /wallet/sign-out`: ends the session and its streams at once.
pub(super) async fn sign_out(
    State(page): State<Page>,
    request: Request,
) -> Result<Response, PageError> {
    let (visit, _) = any_form(request, &page).await?;
    let ended = change::commit(&page.store, EndSession(visit.session.clone()), visit.by(&page));
    ended.await?.unwrap_or_else(|never| match never {});
    page.streams.end(visit.session.session_key);
    let cookie = HeaderValue::from_str(&page.cookie(None, 0)).map_err(|_| PageError::Internal)?;
    let mut response = Redirect::to(&format!("{}/signed-out", page.at)).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// `GET /wallet/signed-out`
pub(super) async fn signed_out(State(page): State<Page>) -> Response {
    let around = Around {
        at: &page.at,
        assets: page.assets(),
        request_id: "",
        now: page.clock.now(),
        sign_in_url: page.settings.sign_in_url.as_deref().or(page.settings.back_url.as_deref()),
        support_url: None,
    };
    let lead = "Nobody can see your wallet in this browser any more.";
    error::signed_out(StatusCode::OK, "You are signed out", lead, &around)
}

/// Tries whether the browser keeps a cookie here, before the link is used up: in another site's frame
/// some keep none.
fn try_cookie(page: &Page, link: &Token) -> Result<Response, PageError> {
    let address = format!("{}/sign-in?link={}&tried=1", page.at, link.expose());
    let mut response = Redirect::to(&address).into_response();
    let cookie = HeaderValue::from_str(&page.trial_cookie()).map_err(|_| PageError::Internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    hide_address(&mut response);
    Ok(response)
}

/// Offers the wallet in a tab of its own.
async fn offer_tab(page: &Page, parts: &Parts, link: &Token) -> Result<Response, PageError> {
    let mut connection = page.store.read().await?;
    let now = page.clock.now();
    let open = wallet_sessions::open_link(&mut connection, &link.sha256(), now).await?;
    open.ok_or(PageError::DeadLink)?;
    let mut response = super::html(&TabPage {
        at: page.at.clone(),
        assets: page.assets(),
        link: link.expose().to_owned(),
        is_in_frame: frame::is_in_frame(&parts.headers),
    })
    .into_response();
    hide_address(&mut response);
    Ok(response)
}

/// The address has a link in it, which no other site may see.
fn hide_address(response: &mut Response) {
    let policy = HeaderValue::from_static("no-referrer");
    response.headers_mut().insert(header::REFERRER_POLICY, policy);
}

/// Begins the session of a link. The browser's session so far is ended, so that its cookie never
/// outlives the sign-in of somebody else.
async fn begin(
    page: &Page,
    parts: &Parts,
    link: &Token,
    before: Option<Visit>,
) -> Result<Response, PageError> {
    let token = Token::random(TokenKind::Session).ok_or(PageError::Internal)?;
    let lifetime = page.settings.session_lifetime();
    let ended = before.as_ref().map(|before| before.session.session_key);
    let change = BeginSession {
        link: link.sha256(),
        session: token.sha256(),
        lifetime,
        before: before.map(|before| before.session),
    };
    let request_id = parts.extensions.get::<frame::RequestId>().map(|id| id.0.clone());
    let by = By::new(WHO, page.clock.now()).at_request(request_id);
    let begun = change::commit(&page.store, change, by).await?;
    let link = begun.map_err(|NoSuchLink| PageError::DeadLink)?;
    if let Some(ended) = ended {
        page.streams.end(ended);
    }
    let cookie = page.cookie(Some(&token), lifetime.num_seconds());
    let cookie = HeaderValue::from_str(&cookie).map_err(|_| PageError::Internal)?;
    let next = link.next.unwrap_or_else(|| page.at.clone());
    let mut response = Redirect::to(&next).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    hide_address(&mut response);
    Ok(response)
}

async fn ask(
    page: &Page,
    before: &Visit,
    then: &AccountId,
    link: &Token,
) -> Result<Response, PageError> {
    let mut connection = page.store.read().await?;
    let now = accounts::find(&mut connection, &before.session.account).await?;
    let then = accounts::find(&mut connection, then).await?;
    let (now, then) = now.zip(then).ok_or(PageError::Internal)?;
    let page = AskPage {
        at: page.at.clone(),
        assets: page.assets(),
        now: now.name,
        then: then.name,
        link: link.expose().to_owned(),
        form_token: before.token.form_token(),
    };
    Ok(super::html(&page).into_response())
}
