//! A key without its text, as JSON.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::keys::Key;

/// The scope of a key.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the words")]
pub(crate) enum KeyScope {
    /// Everything.
    Admin,
    /// Authorizations of every account, and nothing else.
    Authorize,
    /// One account.
    Account,
    /// Reading one account, and nothing else.
    Read,
    /// Signing customers in to the wallet page, and nothing else.
    SignIn,
}

/// A key without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyJson {
    #[schema(value_type = schema::KeyId)]
    id: String,
    name: String,
    #[schema(value_type = KeyScope)]
    scope: &'static str,
    #[schema(value_type = Option<schema::AccountId>)]
    account: Option<AccountId>,
    /// The first characters of the key.
    prefix: String,
    created_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    /// Accurate to about a minute.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<Key> for KeyJson {
    fn from(key: Key) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            scope: key.scope.as_str(),
            account: key.scope.account().cloned(),
            prefix: key.prefix,
            created_at: key.created_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}
