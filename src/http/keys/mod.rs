//! Keys of the API, under `/v1/keys`: made, listed, revoked; all of it needs the scope `admin`.

mod create;
mod list;
mod revoke;

use axum::Router;
use axum::routing::{delete, post};
use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Api;
use crate::ledger::keys::Key;

/// Paths that need the scope `admin`.
pub(super) fn admin_routes() -> Router<Api> {
    Router::new()
        .route("/v1/keys", post(create::create).get(list::list))
        .route("/v1/keys/{key}", delete(revoke::revoke))
}

/// A key, without what makes it one.
#[derive(Debug, Serialize)]
pub(crate) struct KeyJson {
    id: String,
    name: String,
    scope: &'static str,
    account: Option<AccountId>,
    prefix: String,
    created_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
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
