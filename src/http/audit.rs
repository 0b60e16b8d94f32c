//! `GET /v1/audit`: who did what, newest first.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::Api;
use super::auth::Credential;
use super::fields::{Fielded, Fields, Query, parsed};
use super::page::{List, stretch};
use super::problem::Problem;
use crate::ledger::audit::{self, Action, Noted};
use crate::ledger::history::Stretch;

/// Paths that need the scope `admin`.
pub(super) fn admin_routes() -> Router<Api> {
    Router::new().route("/v1/audit", get(list))
}

/// One act of an administrator.
#[derive(Debug, Serialize)]
struct NotedJson {
    id: String,
    at: DateTime<Utc>,
    who: String,
    action: String,
    account: Option<String>,
    subject: String,
    before: Option<Value>,
    after: Option<Value>,
    why: Option<String>,
    request_id: Option<String>,
}

impl From<Noted> for NotedJson {
    fn from(noted: Noted) -> Self {
        Self {
            id: format!("audit_{}", noted.audit_id),
            at: noted.at,
            who: noted.who,
            action: noted.action,
            account: noted.account,
            subject: noted.subject,
            before: noted.before,
            after: noted.after,
            why: noted.why,
            request_id: noted.request_id,
        }
    }
}

struct Listing {
    account: Option<AccountId>,
    action: Option<Action>,
    stretch: Stretch,
}

impl Fielded for Listing {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            account: fields.optional("account", parsed::<AccountId>),
            action: fields.optional("action", parsed::<Action>),
            stretch: stretch(fields),
        })
    }
}

async fn list(
    State(api): State<Api>,
    credential: Credential,
    Query(listing): Query<Listing>,
) -> Result<Json<List<NotedJson>>, Problem> {
    credential.require_admin()?;
    let Listing { account, action, stretch } = listing;
    let mut connection = api.store.read().await?;
    let page = audit::list(&mut connection, account.as_ref(), action, &stretch).await?;
    Ok(Json(List::of(page, NotedJson::from)))
}
