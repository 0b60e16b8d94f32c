//! Authentication and scopes: bearer keys.
//!
//! The admin key of the settings is compared in the process; every other key is in the ledger. Only
//! [`Api::credential_of`] may create a [`Credential`]. The types of a handler say which scope it
//! needs (`access`).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use callmeter_core::domain::AccountId;

use super::Api;
use super::connections::Peer;
use super::problem::Problem;
use crate::keys::{KeyDigest, SealingKey};
pub(super) use crate::ledger::keys::Scope;
use crate::ledger::keys::{Key, KeyId};

/// Longest key that is checked. Created keys are shorter; an admin key of the settings should be
/// too.
const KEY_CHARACTERS_MAX: usize = 1_024;

/// A known key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credential {
    /// Its name for idempotency keys, logs and audit rows; never the key itself.
    pub(super) id: String,
    /// Its scope.
    pub(super) scope: Scope,
    /// Seals stored answers that only this key may read.
    pub(super) sealing: SealingKey,
}

impl Credential {
    /// Returns the credential of a request, and caches it in the request.
    ///
    /// # Errors
    /// 401 without a key or with an unknown one; 403 if a key that only reads is to change something;
    /// 429 above a rate limit.
    pub(super) async fn from_request(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let credential = api.let_in(parts).await?;
        if matches!(credential.scope, Scope::Read(_)) && !parts.method.is_safe() {
            return Err(Problem::forbidden());
        }
        parts.extensions.insert(credential.clone());
        Ok(credential)
    }

    /// Requires the scope `admin`.
    ///
    /// # Errors
    /// 403 for every other scope.
    pub(super) fn require_admin(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Admin => Ok(()),
            _ => Err(Problem::forbidden()),
        }
    }

    /// Requires access to sign customers in.
    ///
    /// # Errors
    /// 403 for every scope but `admin` and `sign_in`.
    pub(super) fn require_sign_in(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Admin | Scope::SignIn => Ok(()),
            _ => Err(Problem::forbidden()),
        }
    }

    /// Requires access to the calls of at least one account, before the account is known.
    ///
    /// # Errors
    /// 403 for a key that authorizes no calls.
    pub(super) fn require_some_calls(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Admin | Scope::Authorize | Scope::Account(_) => Ok(()),
            Scope::Read(_) | Scope::SignIn => Err(Problem::forbidden()),
        }
    }

    /// Requires access to read one account.
    ///
    /// # Errors
    /// 403 for a key that reads no accounts; 404 for an account that is not the key's, as for one
    /// that does not exist.
    pub(super) fn require_account(&self, id: &AccountId) -> Result<(), Problem> {
        match &self.scope {
            Scope::Admin => Ok(()),
            Scope::Account(own) | Scope::Read(own) if own == id => Ok(()),
            Scope::Account(_) | Scope::Read(_) => Err(Problem::unknown_account()),
            Scope::Authorize | Scope::SignIn => Err(Problem::forbidden()),
        }
    }

    /// Requires access to read at least one account, before the account is known.
    ///
    /// # Errors
    /// 403 for a key that reads no accounts.
    pub(super) fn require_some_account(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Admin | Scope::Account(_) | Scope::Read(_) => Ok(()),
            Scope::Authorize | Scope::SignIn => Err(Problem::forbidden()),
        }
    }

    /// Requires a key of an account.
    ///
    /// # Errors
    /// 403 for every other key.
    pub(super) fn require_owner(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Account(_) | Scope::Read(_) => Ok(()),
            Scope::Admin | Scope::Authorize | Scope::SignIn => Err(Problem::forbidden()),
        }
    }

    /// The account of a key of one account.
    pub(super) fn own_account(&self) -> Option<AccountId> {
        match &self.scope {
            Scope::Account(own) | Scope::Read(own) => Some(own.clone()),
            Scope::Admin | Scope::Authorize | Scope::SignIn => None,
        }
    }

    /// True for the scope `admin`.
    pub(super) fn is_admin(&self) -> bool {
        self.scope == Scope::Admin
    }

    /// Requires access to authorize, extend and void calls of an account.
    ///
    /// # Errors
    /// 404 for an account that is not the key's.
    pub(super) fn require_calls_of<'a>(&self, id: &'a AccountId) -> Result<&'a AccountId, Problem> {
        match &self.scope {
            Scope::Admin | Scope::Authorize => Ok(id),
            Scope::Account(own) if own == id => Ok(id),
            Scope::Account(_) => Err(Problem::unknown_account()),
            Scope::Read(_) | Scope::SignIn => Err(Problem::forbidden()),
        }
    }

    /// The account of a call; with a key of one account the name is optional.
    ///
    /// # Errors
    /// 400 if a key of many accounts names none; else as [`Self::require_calls_of`].
    pub(super) fn calls_account(&self, named: Option<AccountId>) -> Result<AccountId, Problem> {
        match (named, &self.scope) {
            (Some(id), _) => self.require_calls_of(&id).cloned(),
            (None, Scope::Account(own)) => Ok(own.clone()),
            (None, _) => Err(Problem::missing("account", "is missing; give it in the query")),
        }
    }
}

impl Api {
    /// Returns the credential of a request, within the rate limits.
    async fn let_in(&self, parts: &Parts) -> Result<Credential, Problem> {
        let (credential, id) = self.credential_of(parts).await?;
        self.rates.take(id, &credential.scope, self.clock.now())?;
        Ok(credential)
    }

    /// Checks again the key of a request that was let in before; no rate limit.
    pub(super) async fn still(&self, parts: &Parts) -> Result<Credential, Problem> {
        Ok(self.credential_of(parts).await?.0)
    }

    /// Returns the credential of a request, and the id of its key if it is in the ledger.
    async fn credential_of(&self, parts: &Parts) -> Result<(Credential, Option<KeyId>), Problem> {
        let key = bearer(&parts.headers).ok_or_else(Problem::unauthorized)?;
        let (digest, sealing) = (KeyDigest::new(key), SealingKey::new(key));
        if self.admin_key.is_some_and(|admin| admin.is(digest)) {
            let id = "admin".to_owned();
            return Ok((Credential { id, scope: Scope::Admin, sealing }, None));
        }
        let found = match self.keys.known(digest) {
            Some(known) => self.keys.confirm(digest, known).await?,
            None => Box::pin(self.first_seen(digest, peer(parts))).await?,
        };
        let key = found.ok_or_else(Problem::unauthorized)?;
        let (id, scope) = (key.id.to_string(), key.scope.clone());
        Ok((Credential { id, scope, sealing }, Some(key.id)))
    }

    /// Queries the ledger for a key that is not cached, within the limit on failed logins.
    async fn first_seen(
        &self,
        digest: KeyDigest,
        peer: IpAddr,
    ) -> Result<Option<Arc<Key>>, Problem> {
        self.rates.may_try(peer, self.clock.now())?;
        let found = self.keys.ask(digest).await?;
        if found.is_none() {
            self.rates.failed(peer, self.clock.now());
        }
        Ok(found)
    }
}

/// The bearer key of a request, if there is one of an allowed length.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())?;
    (1..=KEY_CHARACTERS_MAX).contains(&key.len()).then_some(key)
}

/// The client's address; `0.0.0.0` for a request that did not come through a listener.
fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
}

#[cfg(test)]
mod tests {
    use callmeter_core::domain::AccountId;

    use super::{Credential, Scope, SealingKey};

    #[test]
    fn a_key_reaches_what_its_scope_says_and_nothing_else() {
        let own = AccountId::parse("own").unwrap();
        let foreign = AccountId::parse("foreign").unwrap();
        // Each scope, and its status where `admin` is needed, for its own account, for another.
        let cases = [
            (Scope::Admin, [None, None, None]),
            (Scope::Authorize, [Some(403), Some(403), Some(403)]),
            (Scope::SignIn, [Some(403), Some(403), Some(403)]),
            (Scope::Account(own.clone()), [Some(403), None, Some(404)]),
            (Scope::Read(own.clone()), [Some(403), None, Some(404)]),
        ];
        for (scope, expected) in cases {
            let credential =
                Credential { id: "key".to_owned(), scope, sealing: SealingKey::new("key") };
            let answers = [
                credential.require_admin(),
                credential.require_account(&own),
                credential.require_account(&foreign),
            ];
            let statuses = answers.map(|answer| answer.err().map(|p| p.status().as_u16()));
            assert_eq!(statuses, expected, "{credential:?}");
        }
    }

    #[test]
    fn a_key_authorizes_calls_of_every_account_or_of_its_own() {
        let own = AccountId::parse("own").unwrap();
        let foreign = AccountId::parse("foreign").unwrap();
        // Each scope, and its result if it names its own account, another, none.
        let cases = [
            (Scope::Admin, [Ok("own"), Ok("foreign"), Err(400)]),
            (Scope::Authorize, [Ok("own"), Ok("foreign"), Err(400)]),
            (Scope::Account(own.clone()), [Ok("own"), Err(404), Ok("own")]),
        ];
        for (scope, expected) in cases {
            let credential =
                Credential { id: "key".to_owned(), scope, sealing: SealingKey::new("key") };
            let named = [Some(own.clone()), Some(foreign.clone()), None];
            let found = named.map(|named| credential.calls_account(named));
            let found = found.each_ref().map(|found| {
                found.as_ref().map(AccountId::as_str).map_err(|p| p.status().as_u16())
            });
            assert_eq!(found, expected, "{credential:?}");
        }
    }
}
