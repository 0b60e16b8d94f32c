//! `GET /v1/rejects`: records that could not be charged, newest first; open ones, or all.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::{AccountId, TwilioAccountSid};
use serde_json::Value;

use crate::http::Api;
use crate::http::access::{Admin, Query};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::page::{List, ListParameters, stretch};
use crate::http::problem::Problem;
use crate::ingest::decode::RejectReason;
use crate::json::{RejectJson, schema};
use crate::ledger::history::Stretch;
use crate::ledger::rejects::{self, RejectFilter};

pub(super) struct RejectListRequest {
    filter: RejectFilter,
    stretch: Stretch,
}

impl Fielded for RejectListRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let filter = RejectFilter {
            reason: fields.optional("reason", parsed::<RejectReason>),
            account: fields.optional("account", parsed::<AccountId>),
            twilio_account_sid: fields.optional("twilio_account_sid", twilio_account_sid),
            all: fields.optional("all", truth).unwrap_or_default(),
        };
        Some(Self { filter, stretch: stretch(fields) })
    }
}

fn twilio_account_sid(value: &Value) -> Result<TwilioAccountSid, String> {
    let text = value.as_str().unwrap_or_default();
    TwilioAccountSid::parse(text).map_err(|error| error.to_string())
}

fn truth(value: &Value) -> Result<bool, String> {
    match value.as_str() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// Lists records that could not be charged, newest first: open ones, or all.
#[utoipa::path(
    get, path = "/v1/rejects", tag = "Rejects", operation_id = "listRejects",
    params(ListParameters,
        ("reason" = Option<schema::RejectReason>, Query, description = "Only rejects of this reason"),
        ("account" = Option<schema::AccountId>, Query, description = "Only rejects of the Twilio accounts that this account pays for"),
        ("twilio_account_sid" = Option<schema::TwilioAccountSid>, Query, description = "Only rejects of this AccountSid"),
        ("all" = Option<bool>, Query, description = "Includes replayed and closed rejects")),
    responses((status = 200, description = "A page of rejects", body = List<RejectJson>)),
    extensions(("x-scopes" = json!(["admin"])))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Query(Admin, listing): Query<Admin, RejectListRequest>,
) -> Result<Json<List<RejectJson>>, Problem> {
    let mut connection = api.store.read().await?;
    let page = rejects::page(&mut connection, &listing.filter, &listing.stretch).await?;
    Ok(Json(List::from_page(page, RejectJson::from)))
}
