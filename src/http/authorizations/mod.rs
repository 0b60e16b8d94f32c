//! Authorizations of calls, under `/v1/authorizations`: whether a call may go ahead, and how long.
//!
//! Idempotent by call, without an Idempotency-Key: a caller that lost an answer repeats the
//! request.

mod answer;
mod authorize;
mod extend;
mod void;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use callmeter_core::domain::{AccountId, CallSid};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::access::{Access, query};
use super::auth::Credential;
use super::fields::{Fielded, Fields, parsed};
use super::problem::Problem;

/// The longest duration that a call may request; the settings limit a grant further.
const ASKED_SECONDS_MAX: u32 = 86_400;

/// Paths for keys of the scope `authorize` and of the account.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(authorize::authorize))
        .routes(routes!(void::void))
        .routes(routes!(extend::extend))
}

/// The call in the path, of the account in the query or of the key.
#[derive(Clone, Debug)]
struct CallPath {
    account: AccountId,
    call_sid: CallSid,
}

/// The query of a request that names a call in its path.
#[derive(Clone, Debug)]
struct Named {
    account: Option<AccountId>,
}

impl Fielded for Named {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { account: fields.optional("account", parsed::<AccountId>) })
    }
}

impl Access for CallPath {
    async fn check(credential: &Credential, parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Named { account } = query(parts).await?;
        let account = credential.calls_account(account)?;
        let path = axum::extract::Path::<String>::from_request_parts(parts, api).await;
        let call_sid = path.ok().and_then(|path| CallSid::parse(&path).ok());
        let call_sid = call_sid.ok_or_else(unknown_authorization)?;
        Ok(Self { account, call_sid })
    }
}

/// 404: the call has no hold of an account of this key.
fn unknown_authorization() -> Problem {
    let title = "The call has no authorization in force";
    Problem::not_found("unknown_authorization", title)
}

/// Reads a number of seconds from 1 to a day.
fn seconds(value: &Value) -> Result<u32, String> {
    let seconds = value.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
    let seconds = seconds.filter(|seconds| (1..=ASKED_SECONDS_MAX).contains(seconds));
    seconds.ok_or_else(|| format!("is not a whole number from 1 to {ASKED_SECONDS_MAX}"))
}
