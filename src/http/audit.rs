//! `GET /v1/audit`: the audit, newest first.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::access::{Admin, Query};
use super::fields::{Fielded, Fields, parsed};
use super::page::{List, ListParameters, stretch};
use super::problem::Problem;
use crate::json::schema;
use crate::ledger::audit::{self, Action, Noted};
use crate::ledger::history::Stretch;

/// Paths that need the scope `admin`.
pub(super) fn admin_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// One change by an administrator.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Act)]
struct NotedJson {
    id: String,
    at: DateTime<Utc>,
    /// The id of the key, `admin` for that of the settings, `cli:USER`, or a part of the service.
    who: String,
    #[schema(value_type = schema::AuditAction)]
    action: String,
    #[schema(value_type = Option<schema::AccountId>)]
    account: Option<String>,
    /// What was changed.
    subject: String,
    /// The state before; null if there was none.
    #[schema(value_type = Option<schema::AnyObject>)]
    before: Option<Value>,
    /// The state after; null if there is none.
    #[schema(value_type = Option<schema::AnyObject>)]
    after: Option<Value>,
    /// The given reason.
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

struct AuditListRequest {
    account: Option<AccountId>,
    action: Option<Action>,
    stretch: Stretch,
}

impl Fielded for AuditListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            account: fields.optional("account", parsed::<AccountId>),
            action: fields.optional("action", parsed::<Action>),
            stretch: stretch(fields),
        })
    }
}

/// Lists who changed what, newest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "Audit", operation_id = "listAudit",
    params(ListParameters, ("account" = Option<schema::AccountId>, Query, description = "Only changes of this account"), ("action" = Option<schema::AuditAction>, Query, description = "Only this action")),
    responses((status = 200, description = "A page of audit entries", body = List<NotedJson>)),
    extensions(("x-scopes" = json!(["admin"])))
)]
async fn list(
    State(api): State<Api>,
    Query(Admin, listing): Query<Admin, AuditListRequest>,
) -> Result<Json<List<NotedJson>>, Problem> {
    let AuditListRequest { account, action, stretch } = listing;
    let mut connection = api.store.read().await?;
    let page = audit::list(&mut connection, account.as_ref(), action, &stretch).await?;
    Ok(Json(List::from_page(page, NotedJson::from)))
}
