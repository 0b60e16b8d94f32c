//! How far a request has to reach, said by the types that its handler takes.
//!
//! Every handler that needs a key takes an [`Authorized`], a [`Query`] or an [`AuthorizedCommand`] of an [`Access`]:
//! there is no other way to a credential, a query or a body. So nothing of a request is read, and no
//! fault in it told, before its key is known to reach what the path names.

use std::future::Future;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, RawQuery, Request};
use axum::http::request::Parts;
use callmeter_core::domain::AccountId;

use super::Api;
use super::auth::Credential;
use super::command::Command;
use super::fields::{Fielded, Fields};
use super::problem::Problem;

/// What a key has to reach, as one request names it.
pub(super) trait Access: Sized + Send {
    /// Finds it in a request whose key is known.
    ///
    /// # Errors
    /// 403 and 404 where the key does not reach it.
    fn of(
        credential: &Credential,
        parts: &mut Parts,
        api: &Api,
    ) -> impl Future<Output = Result<Self, Problem>> + Send;
}

/// What needs the scope `admin` and is done to no account in particular.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin;

impl Access for Admin {
    async fn of(credential: &Credential, _: &mut Parts, _: &Api) -> Result<Self, Problem> {
        credential.require_admin().map(|()| Self)
    }
}

/// What needs the scope `admin` and is done to the account that the path names.
#[derive(Clone, Debug)]
pub(super) struct AdminOf(pub(super) AccountId);

impl Access for AdminOf {
    async fn of(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        credential.require_admin()?;
        account_in(parts, api).await.map(Self).ok_or_else(Problem::unknown_account)
    }
}

/// What reads the account that the path names; a key of that account may, too.
#[derive(Clone, Debug)]
pub(super) struct Reader(pub(super) AccountId);

impl Access for Reader {
    async fn of(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        // Whoever reads no accounts learns no more than that; what cannot be an id is unknown.
        credential.require_some_account()?;
        let id = account_in(parts, api).await.ok_or_else(Problem::unknown_account)?;
        credential.require_account(&id)?;
        Ok(Self(id))
    }
}

/// What every key may ask; whose call it is about is in the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialer;

impl Access for Dialer {
    async fn of(_: &Credential, _: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Ok(Self)
    }
}

/// What a request reaches, where nothing else of it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authorized<R>(pub(super) R);

impl<R: Access> FromRequestParts<Api> for Authorized<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let credential = Credential::of(parts, api).await?;
        R::of(&credential, parts, api).await.map(Self)
    }
}

/// What a request reaches, and its query, read field by field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<R, T>(pub(super) R, pub(super) T);

impl<R: Access, T: Fielded + Send> FromRequestParts<Api> for Query<R, T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Authorized(reach) = Authorized::from_request_parts(parts, api).await?;
        Ok(Self(reach, query(parts).await?))
    }
}

/// What a request reaches, and what it would have done there.
#[derive(Clone, Debug)]
pub(super) struct AuthorizedCommand<R>(pub(super) R, pub(super) Command);

impl<R: Access> FromRequest<Api> for AuthorizedCommand<R> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let credential = Credential::of(&mut parts, api).await?;
        let reach = R::of(&credential, &mut parts, api).await?;
        let command = Command::of(credential, Request::from_parts(parts, body), api).await?;
        Ok(Self(reach, command))
    }
}

/// Reads the query of a request.
///
/// # Errors
/// 400 with every parameter at fault.
pub(super) async fn query<T: Fielded>(parts: &mut Parts) -> Result<T, Problem> {
    let query = RawQuery::from_request_parts(parts, &()).await;
    let RawQuery(query) = query.unwrap_or_else(|never| match never {});
    Fields::read_query(query.as_deref().unwrap_or_default())
}

/// The account that the path names, where it names one.
async fn account_in(parts: &mut Parts, api: &Api) -> Option<AccountId> {
    let parameters = RawPathParams::from_request_parts(parts, api).await.ok()?;
    let mut named = parameters.iter().filter(|(name, _)| *name == "account");
    named.next().and_then(|(_, id)| AccountId::parse(id).ok())
}
