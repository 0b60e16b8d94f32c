//! Why a page is not shown. The frame around every request writes the page of an error: only it
//! knows the request's id.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};

use super::assets::Assets;
use super::time::Time;
use crate::accounts::UnknownAccount;
use crate::balance::BalanceError;
use crate::change::ChangeError;
use crate::ledger::LedgerError;
use crate::ledger::store::StoreError;
use crate::payments::{CardsError, PaymentError};
use crate::telemetry::one_line;

/// Why a page is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PageError {
    /// The browser has no session; it wanted to see this path.
    NoSession(String),
    /// The link was used before, has expired, or never was.
    DeadLink,
    /// There is no such page.
    NotFound,
    /// An operator may not do or see this.
    OnlyCustomers,
    /// The form is of another session, or comes from another site. Nothing was done.
    ForeignForm,
    /// The form cannot be read. Nothing was done.
    BadForm,
    /// Too many requests, or too many open streams.
    Overloaded,
    /// A server does not answer right now.
    Unavailable(&'static str),
    /// A fault of this service.
    Internal,
}

/// What the page of an error needs.
#[derive(Debug)]
pub(super) struct Around<'a> {
    pub(super) at: &'a str,
    pub(super) assets: Assets,
    pub(super) request_id: &'a str,
    pub(super) now: DateTime<Utc>,
    pub(super) sign_in_url: Option<&'a str>,
    pub(super) support_url: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    at: &'a str,
    assets: Assets,
    title: &'a str,
    lead: &'a str,
    request_id: &'a str,
    when: Time,
    support_url: Option<&'a str>,
    /// After a payment the history says what became of it.
    names_history: bool,
}

#[derive(Template)]
#[template(path = "signed-out.html")]
struct SignedOutPage<'a> {
    at: &'a str,
    assets: Assets,
    title: &'a str,
    lead: &'a str,
    sign_in_url: Option<&'a str>,
}

impl PageError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSession(_) | Self::DeadLink => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::OnlyCustomers | Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::BadForm => StatusCode::BAD_REQUEST,
            Self::Overloaded | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The page of this error.
    pub(super) fn page(&self, around: &Around<'_>) -> Response {
        let (title, lead) = match self {
            Self::NoSession(_) => {
                let title = "You are signed out";
                let lead = "Your session has ended, so that nobody else can use it. Nothing is \
                            wrong with your wallet.";
                return signed_out(self.status(), title, lead, around);
            }
            Self::DeadLink => {
                let title = "This sign-in link has expired";
                let lead = "Links work once and for 60 seconds, so that nobody else can use yours. \
                            Nothing is wrong with your wallet.";
                return signed_out(self.status(), title, lead, around);
            }
            Self::NotFound => ("There is no such page", "The address may be old or incomplete."),
            Self::OnlyCustomers => (
                "Only the customer can do this",
                "You are looking at this page as an operator: you may read it, but neither change \
                 anything nor see cards.",
            ),
            Self::ForeignForm => (
                "This form is out of date",
                "It was made for another session, so nothing was done. Open the page again and \
                 repeat what you entered.",
            ),
            Self::BadForm => (
                "This form cannot be read",
                "Nothing was done. Open the page again and repeat what you entered.",
            ),
            Self::Overloaded => (
                "Too many people are here right now",
                "Nothing was done. It works again in a moment.",
            ),
            Self::Unavailable(lead) => ("We cannot do this right now", *lead),
            Self::Internal => (
                "We could not show this page",
                "The fault is ours. Your money is safe: nothing was charged by this, and calls go \
                 on being counted.",
            ),
        };
        let page = ErrorPage {
            at: around.at,
            assets: around.assets.clone(),
            title,
            lead,
            request_id: around.request_id,
            when: Time::second(around.now),
            support_url: around.support_url,
            names_history: matches!(self, Self::Internal | Self::Unavailable(_)),
        };
        (self.status(), super::html(&page)).into_response()
    }
}

/// The page of somebody without a session.
pub(super) fn signed_out(
    status: StatusCode,
    title: &str,
    lead: &str,
    around: &Around<'_>,
) -> Response {
    let (at, sign_in_url) = (around.at, around.sign_in_url);
    let page = SignedOutPage { at, assets: around.assets.clone(), title, lead, sign_in_url };
    (status, super::html(&page)).into_response()
}

impl IntoResponse for PageError {
    /// Only the status; the frame writes the page.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

const LEDGER: &str =
    "Our ledger does not answer right now. Calls go on being counted, and nothing was charged.";

impl From<LedgerError> for PageError {
    fn from(error: LedgerError) -> Self {
        if error.is_transient() {
            return Self::Unavailable(LEDGER);
        }
        tracing::error!(error = one_line(&error), "a page cannot be read from the ledger");
        Self::Internal
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        LedgerError::from(error).into()
    }
}

impl From<BalanceError> for PageError {
    fn from(error: BalanceError) -> Self {
        match error {
            BalanceError::Ledger(error) => error.into(),
            error => {
                tracing::error!(error = one_line(&error), "a wallet cannot be read");
                Self::Internal
            }
        }
    }
}

impl From<ChangeError> for PageError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Ledger(error) => error.into(),
            error @ ChangeError::NotVisible { .. } => {
                tracing::error!(error = one_line(&error), "a change may not be seen yet");
                Self::Unavailable("It is done, but calls may not see it for a moment.")
            }
        }
    }
}

impl From<PaymentError> for PageError {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::Ledger(error) => error.into(),
            PaymentError::Change(error) => error.into(),
            error => {
                tracing::warn!(error = one_line(&error), "a payment cannot go on");
                Self::Unavailable("Stripe, which takes our payments, does not answer right now.")
            }
        }
    }
}

impl From<CardsError> for PageError {
    fn from(error: CardsError) -> Self {
        match error {
            CardsError::UnknownCard => Self::NotFound,
            CardsError::Failed(error) => error.into(),
            error => {
                tracing::warn!(error = one_line(&error), "cards cannot be changed");
                Self::Internal
            }
        }
    }
}

impl From<UnknownAccount> for PageError {
    fn from(_: UnknownAccount) -> Self {
        // A session is of an account, and accounts are never deleted.
        Self::Internal
    }
}
