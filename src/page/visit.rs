//! Who is at the page, as the types of its handlers' arguments. There is no other way to a session
//! or to a form.
//!
//! A [`Visit`] has a session. A [`Look`] is a whole page: an operator's is noted in the audit. An
//! [`Owner`] is the customer, never an operator. An [`Act`] is a form of the customer's own session,
//! sent from a page of ours.

use std::net::IpAddr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HOST, HeaderValue, ORIGIN};
use axum::http::request::Parts;

use super::Page;
use super::error::PageError;
use super::form::Form;
use super::frame::RequestId;
use crate::accounts::sign_in::LookAtPage;
use crate::change;
use crate::keys::{Token, TokenKind};
use crate::ledger::audit::By;
use crate::ledger::wallet_sessions::{self, Session};

/// The name of the cookie of a trial.
const TRIAL: &str = "__Host-callmeter-trial";
const TRIAL_SECONDS: i64 = 60;

/// The client's address, in the extensions of a request.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub IpAddr);

/// A request of a browser with a session.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// The session.
    pub(super) session: Session,
    /// Its cookie.
    pub(super) token: Token,
    /// The client's address.
    pub(super) address: Option<IpAddr>,
    /// The host that the request names.
    pub(super) host: Option<String>,
    request_id: Option<String>,
}

/// A visit that is known without the ledger where its session has an open stream, which ends within a
/// second of the session.
#[derive(Clone, Debug)]
pub(super) struct Watching(pub(super) Visit);

/// A whole page that is looked at.
#[derive(Clone, Debug)]
pub(super) struct Look(pub(super) Visit);

/// A page for customers alone.
#[derive(Clone, Debug)]
pub(super) struct Owner(pub(super) Visit);

/// A form of the customer's own session.
#[derive(Clone, Debug)]
pub(super) struct Act(pub(super) Visit, pub(super) Form);

impl Visit {
    /// Who acts, for the audit.
    pub(super) fn by(&self, page: &Page) -> By {
        By::new(self.session.visitor.who(), page.clock.now()).at_request(self.request_id.clone())
    }

    /// The visit of a request, if it has a session in force.
    pub(super) async fn find(parts: &Parts, page: &Page) -> Result<Option<Self>, PageError> {
        let Some(token) = cookie(&parts.headers, page.cookie_name()) else { return Ok(None) };
        let mut connection = page.store.read().await?;
        let now = page.clock.now();
        let session = wallet_sessions::find(&mut connection, &token.sha256(), now).await?;
        Ok(session.map(|session| Self::new(parts, session, token)))
    }

    fn new(parts: &Parts, session: Session, token: Token) -> Self {
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        let address = parts.extensions.get::<Client>().map(|client| client.0);
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        Self { session, token, address, host, request_id }
    }
}

impl FromRequestParts<Page> for Visit {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, PageError> {
        let found = Self::find(parts, page).await?;
        found.ok_or_else(|| PageError::NoSession(page.path_of(wanted(parts))))
    }
}

impl FromRequestParts<Page> for Watching {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, PageError> {
        if let Some(token) = cookie(&parts.headers, page.cookie_name())
            && let Some(session) = page.streams.find(&token.sha256())
        {
            return Ok(Self(Visit::new(parts, session, token)));
        }
        Ok(Self(Visit::from_request_parts(parts, page).await?))
    }
}

impl FromRequestParts<Page> for Look {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, PageError> {
        let visit = Visit::from_request_parts(parts, page).await?;
        if visit.session.visitor.is_operator() {
            let path = wanted(parts).split('?').next().unwrap_or_default().to_owned();
            let look = LookAtPage { session: visit.session.clone(), path };
            let noted = change::commit(&page.store, look, visit.by(page)).await?;
            noted.unwrap_or_else(|never| match never {});
        }
        Ok(Self(visit))
    }
}

impl FromRequestParts<Page> for Owner {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, PageError> {
        let visit = Visit::from_request_parts(parts, page).await?;
        if visit.session.visitor.is_operator() {
            return Err(PageError::OnlyCustomers);
        }
        Ok(Self(visit))
    }
}

impl FromRequest<Page> for Act {
    type Rejection = PageError;

    async fn from_request(request: Request, page: &Page) -> Result<Self, PageError> {
        let (visit, form) = any_form(request, page).await?;
        if visit.session.visitor.is_operator() {
            return Err(PageError::OnlyCustomers);
        }
        Ok(Self(visit, form))
    }
}

/// A form of the browser's own session, an operator's too.
pub(super) async fn any_form(request: Request, page: &Page) -> Result<(Visit, Form), PageError> {
    let (parts, body) = request.into_parts();
    if !page.is_own_origin(&parts.headers) {
        return Err(PageError::ForeignForm);
    }
    let visit = Visit::find(&parts, page).await?;
    let visit = visit.ok_or_else(|| PageError::NoSession(page.at.clone()))?;
    let form = Form::from_request(Request::from_parts(parts, body), page).await?;
    if !form.one("form_token").is_some_and(|text| visit.token.is_form_token(text)) {
        return Err(PageError::ForeignForm);
    }
    Ok((visit, form))
}

impl Page {
    /// True if a form comes from a page of this service: browsers name the origin with each.
    pub(super) fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let Some(origin) = text(ORIGIN) else { return false };
        if let Some(own) = &self.origin {
            return origin == own;
        }
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_some() && host == text(HOST)
    }

    /// The cookie's name. Browsers take `__Host-` only with `Secure`, for this host alone.
    pub(super) fn cookie_name(&self) -> &'static str {
        if self.is_https() { "__Host-callmeter" } else { "callmeter" }
    }

    /// The cookie of a session; without a token, the one that takes it away.
    pub(super) fn cookie(&self, token: Option<&Token>, seconds: i64) -> String {
        let value = token.map_or("", Token::expose);
        self.kept(self.cookie_name(), value, seconds)
    }

    /// A cookie that only tries whether the browser keeps one.
    pub(super) fn trial_cookie(&self) -> String {
        self.kept(TRIAL, "1", TRIAL_SECONDS)
    }

    /// In another site's frame, browsers keep a cookie only for that site's frames.
    fn kept(&self, name: &str, value: &str, seconds: i64) -> String {
        let scope = match (self.settings.is_framed(), self.is_https()) {
            (true, _) => "SameSite=None; Secure; Partitioned",
            (false, true) => "SameSite=Lax; Secure",
            (false, false) => "SameSite=Lax",
        };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; {scope}")
    }

    fn is_https(&self) -> bool {
        self.origin.as_deref().is_some_and(|origin| origin.starts_with("https://"))
    }

    /// A path of this service as browsers see it, behind a proxy that removes a part.
    pub(super) fn path_of(&self, path: &str) -> String {
        match path.strip_prefix("/wallet") {
            Some(rest) => format!("{}{rest}", self.at),
            None => path.to_owned(),
        }
    }
}

/// The path and query of a request.
fn wanted(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/wallet", |path| path.as_str())
}

/// True if the browser has brought the cookie of a trial.
pub(super) fn is_tried(headers: &HeaderMap) -> bool {
    cookies(headers).any(|(name, _)| name == TRIAL)
}

/// The token in the cookie of this name. A name that is given twice is none.
fn cookie(headers: &HeaderMap, name: &str) -> Option<Token> {
    let mut found = cookies(headers).filter(|(key, _)| *key == name);
    let (_, value) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    Token::parse(TokenKind::Session, value)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim(), value.trim()))
}
