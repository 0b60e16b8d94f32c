//! The access that a request needs, as the types of its handler's arguments.
//!
//! Every handler that needs a key takes an [`Authorized`], a [`Query`] or an [`AuthorizedCommand`]
//! of an [`Access`]: there is no other way to a credential, a query or a body. So no query or body
//! may be read, and no fault in it reported, before the key is known to have access to the path.

use std::future::Future;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, RawQuery, Request};
use axum::http::request::Parts;
use callmeter_core::domain::AccountId;

use super::Api;
use super::auth::Credential;
use super::command::Command;
use super::fields::{Fielded, Fields};
use super::problem::Problem;

/// The access that a request needs.
pub(super) trait Access: Sized + Send {
    /// Checks a request whose key is known.
    ///
    /// # Errors
    /// 403 or 404 if the key has no access.
    fn check(
        credential: &Credential,
        parts: &mut Parts,
        api: &Api,
    ) -> impl Future<Output = Result<Self, Problem>> + Send;
}

/// The scope `admin`, for a path without an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin;

impl Access for Admin {
    async fn check(credential: &Credential, _: &mut Parts, _: &Api) -> Result<Self, Problem> {
        credential.require_admin().map(|()| Self)
    }
}

/// The scope `admin`, for the account in the path.
#[derive(Clone, Debug)]
pub(super) struct AdminOf(pub(super) AccountId);

impl Access for AdminOf {
    async fn check(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        credential.require_admin()?;
        account_in(parts, api).await.map(Self).ok_or_else(Problem::unknown_account)
    }
}

/// Reading the account in the path: the scope `admin`, or a key of that account.
#[derive(Clone, Debug)]
pub(super) struct Reader(pub(super) AccountId);

impl Access for Reader {
    async fn check(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        // A key that reads no accounts gets only a 403; an invalid id is an unknown account.
        credential.require_some_account()?;
        let id = account_in(parts, api).await.ok_or_else(Problem::unknown_account)?;
        credential.require_account(&id)?;
        Ok(Self(id))
    }
}

/// Reading the account in the path, as [`Reader`], where the answer depends on who reads.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    /// The account.
    pub(super) account: AccountId,
    /// The caller's name for the audit.
    pub(super) who: String,
    /// True for the scope `admin`.
    pub(super) is_admin: bool,
}

impl Access for Viewer {
    async fn check(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Reader(account) = Reader::check(credential, parts, api).await?;
        Ok(Self { account, who: credential.id.clone(), is_admin: credential.is_admin() })
    }
}

/// The customer: a key of the account in the path, and no other. Cards are theirs alone.
#[derive(Clone, Debug)]
pub(super) struct Owner(pub(super) AccountId);

impl Access for Owner {
    async fn check(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        credential.require_owner()?;
        let id = account_in(parts, api).await.ok_or_else(Problem::unknown_account)?;
        credential.require_account(&id)?;
        Ok(Self(id))
    }
}

/// Reading an account that the query may name: the one of the key, or any for the scope `admin`.
#[derive(Clone, Debug)]
pub(super) struct SomeReader(pub(super) Option<AccountId>);

impl Access for SomeReader {
    async fn check(credential: &Credential, parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        credential.require_some_account()?;
        // Before the rest of the query is read, so that no fault in it tells of another's account.
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let named = form_urlencoded::parse(query).find(|(name, _)| name == "account");
        let Some((_, id)) = named else { return Ok(Self(credential.own_account())) };
        let id = AccountId::parse(&id).map_err(|_| Problem::unknown_account())?;
        credential.require_account(&id)?;
        Ok(Self(Some(id)))
    }
}

/// Receivers of web hooks: those of the key's account, or with the scope `admin` all.
#[derive(Clone, Debug)]
pub(super) struct Receivers(pub(super) Option<AccountId>);

impl Access for Receivers {
    async fn check(credential: &Credential, _: &mut Parts, _: &Api) -> Result<Self, Problem> {
        credential.require_some_account()?;
        Ok(Self(credential.scope.account().cloned()))
    }
}

/// As [`Receivers`], where the query may name an account: no other than the key's.
#[derive(Clone, Debug)]
pub(super) struct AskedReceivers(pub(super) Option<AccountId>);

impl Access for AskedReceivers {
    async fn check(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Receivers(owner) = Receivers::check(credential, parts, api).await?;
        let query = parts.uri.query().unwrap_or_default();
        let mut named =
            form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "account");
        if let Some(own) = &owner
            && named.any(|(_, id)| id != own.as_str())
        {
            return Err(Problem::unknown_account());
        }
        Ok(Self(owner))
    }
}

/// Any key that authorizes calls; the account of the call is in the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialer;

impl Access for Dialer {
    async fn check(credential: &Credential, _: &mut Parts, _: &Api) -> Result<Self, Problem> {
        credential.require_some_calls().map(|()| Self)
    }
}

/// Signing customers of the account in the path in: the scope `admin` or `sign_in`.
#[derive(Clone, Debug)]
pub(super) struct SignIn(pub(super) AccountId);

impl Access for SignIn {
    async fn check(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        credential.require_sign_in()?;
        account_in(parts, api).await.map(Self).ok_or_else(Problem::unknown_account)
    }
}

/// The access of a request without query or body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authorized<R>(pub(super) R);

impl<R: Access> FromRequestParts<Api> for Authorized<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let credential = Credential::from_request(parts, api).await?;
        R::check(&credential, parts, api).await.map(Self)
    }
}

/// The access of a request, and its query, read field by field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<R, T>(pub(super) R, pub(super) T);

impl<R: Access, T: Fielded + Send> FromRequestParts<Api> for Query<R, T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Authorized(reach) = Authorized::from_request_parts(parts, api).await?;
        Ok(Self(reach, query(parts).await?))
    }
}

/// The access of a request, and its command.
#[derive(Clone, Debug)]
pub(super) struct AuthorizedCommand<R>(pub(super) R, pub(super) Command);

impl<R: Access> FromRequest<Api> for AuthorizedCommand<R> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let credential = Credential::from_request(&mut parts, api).await?;
        let reach = R::check(&credential, &mut parts, api).await?;
        let command =
            Command::from_request(credential, Request::from_parts(parts, body), api).await?;
        Ok(Self(reach, command))
    }
}

/// Reads the query of a request.
///
/// # Errors
/// 400 with every wrong parameter.
pub(super) async fn query<T: Fielded>(parts: &mut Parts) -> Result<T, Problem> {
    let query = RawQuery::from_request_parts(parts, &()).await;
    let RawQuery(query) = query.unwrap_or_else(|never| match never {});
    Fields::read_query(query.as_deref().unwrap_or_default())
}

/// The account in the path, if there is one.
async fn account_in(parts: &mut Parts, api: &Api) -> Option<AccountId> {
    let parameters = RawPathParams::from_request_parts(parts, api).await.ok()?;
    let mut named = parameters.iter().filter(|(name, _)| *name == "account");
    named.next().and_then(|(_, id)| AccountId::parse(id).ok())
}
