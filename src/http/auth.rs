//! Who asks, and how far that reaches: bearer keys and their scopes.
//!
//! Today the only key is the admin key of the settings; a key of the ledger becomes a [`Credential`]
//! in [`Api::credential_of`] and nowhere else.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use callmeter_core::domain::AccountId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Api;
use super::problem::Problem;

/// A known key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credential {
    /// Its name, never the key itself: in idempotency keys, logs and audit rows.
    pub(super) id: String,
    /// How far it reaches.
    pub(super) scope: Scope,
}

/// How far a key reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "only keys of the ledger have the narrow scopes"))]
pub(super) enum Scope {
    /// Everything.
    Admin,
    /// Authorizations of every account, and nothing else.
    Authorize,
    /// One account.
    Account(AccountId),
}

impl Credential {
    /// Lets pass what needs the scope `admin`.
    ///
    /// # Errors
    /// 403 for every other scope.
    pub(super) fn require_admin(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Admin => Ok(()),
            Scope::Authorize | Scope::Account(_) => Err(Problem::forbidden()),
        }
    }

    /// Lets pass what reads one account.
    ///
    /// # Errors
    /// 403 for a key that reads no accounts; 404 for an account that is not the key's, which thus
    /// cannot be told from one that does not exist.
    pub(super) fn require_account(&self, id: &AccountId) -> Result<(), Problem> {
        match &self.scope {
            Scope::Admin => Ok(()),
            Scope::Account(own) if own == id => Ok(()),
            Scope::Account(_) => Err(Problem::unknown_account()),
            Scope::Authorize => Err(Problem::forbidden()),
        }
    }

    /// Lets pass what concerns calls of an account: authorizing, extending, voiding.
    ///
    /// # Errors
    /// 404 for an account that is not the key's.
    pub(super) fn require_calls_of<'a>(&self, id: &'a AccountId) -> Result<&'a AccountId, Problem> {
        match &self.scope {
            Scope::Admin | Scope::Authorize => Ok(id),
            Scope::Account(own) if own == id => Ok(id),
            Scope::Account(_) => Err(Problem::unknown_account()),
        }
    }

    /// The account whose call is meant; a key of an account need not name it.
    ///
    /// # Errors
    /// 400 where a key of many accounts names none; else as [`Self::require_calls_of`].
    pub(super) fn calls_account(&self, named: Option<AccountId>) -> Result<AccountId, Problem> {
        match (named, &self.scope) {
            (Some(id), _) => self.require_calls_of(&id).cloned(),
            (None, Scope::Account(own)) => Ok(own.clone()),
            (None, _) => Err(Problem::missing("account", "is missing; give it in the query")),
        }
    }
}

/// SHA-256 of a key: what is compared and kept, so that no key lies around in memory.
#[derive(Clone, Copy)]
pub(super) struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Digests a key.
    pub(super) fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    fn is(self, other: Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for KeyDigest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyDigest")
    }
}

impl Api {
    /// Finds the credential of a key; `None`: an unknown key.
    fn credential_of(&self, key: &str) -> Option<Credential> {
        let admin = self.admin_key?;
        admin
            .is(KeyDigest::of(key))
            .then(|| Credential { id: "admin".to_owned(), scope: Scope::Admin })
    }
}

impl FromRequestParts<Api> for Credential {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let key = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = key.and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
        key.and_then(|key| api.credential_of(key)).ok_or_else(Problem::unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use callmeter_core::domain::AccountId;

    use super::{Credential, Scope};

    #[test]
    fn a_key_reaches_what_its_scope_says_and_nothing_else() {
        let own = AccountId::parse("own").unwrap();
        let foreign = AccountId::parse("foreign").unwrap();
        // Each scope, and the status it gets: for what needs `admin`, its own account, another.
        let cases = [
            (Scope::Admin, [None, None, None]),
            (Scope::Authorize, [Some(403), Some(403), Some(403)]),
            (Scope::Account(own.clone()), [Some(403), None, Some(404)]),
        ];
        for (scope, expected) in cases {
            let credential = Credential { id: "key".to_owned(), scope };
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
        // Each scope, and what it gets: naming its own account, another, none.
        let cases = [
            (Scope::Admin, [Ok("own"), Ok("foreign"), Err(400)]),
            (Scope::Authorize, [Ok("own"), Ok("foreign"), Err(400)]),
            (Scope::Account(own.clone()), [Ok("own"), Err(404), Ok("own")]),
        ];
        for (scope, expected) in cases {
            let credential = Credential { id: "key".to_owned(), scope };
            let named = [Some(own.clone()), Some(foreign.clone()), None];
            let found = named.map(|named| credential.calls_account(named));
            let found = found.each_ref().map(|found| {
                found.as_ref().map(AccountId::as_str).map_err(|p| p.status().as_u16())
            });
            assert_eq!(found, expected, "{credential:?}");
        }
    }
}
