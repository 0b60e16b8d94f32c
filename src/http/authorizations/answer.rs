//! The answers to authorizations.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{CallSid, Money};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::balance::{BalanceError, Decision};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::metrics::{AUTHORIZATION_SECONDS, AUTHORIZATIONS};

/// Whether a call may go ahead.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decision)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub(super) enum DecisionJson<'a> {
    Allow {
        #[schema(value_type = schema::CallSid)]
        call_sid: &'a CallSid,
        /// The call's total since its answer.
        granted_seconds: u32,
        valid_until: DateTime<Utc>,
        /// True if no more can be granted now.
        #[serde(rename = "final")]
        is_final: bool,
        #[schema(value_type = schema::Amount)]
        rate_per_minute: Money,
    },
    Deny {
        #[schema(value_type = schema::DenialReason)]
        reason: &'static str,
        /// The missing money; zero if money would not help.
        #[schema(value_type = schema::Amount)]
        shortfall: Money,
    },
}

/// Counts the answer to an authorization; extensions are counted by their route.
pub(super) fn count(decision: &Result<Decision, BalanceError>, took: Duration) {
    let (decision, reason) = match decision {
        Ok(Decision::Allow(_)) => ("allow", "none"),
        Ok(Decision::Deny { reason, .. }) => ("deny", reason.as_str()),
        Ok(Decision::NotFound) => ("not_found", "none"),
        Ok(Decision::Unavailable) => ("unavailable", "holds_unavailable"),
        Err(_) => ("unavailable", "error"),
    };
    metrics::counter!(AUTHORIZATIONS, "decision" => decision, "reason" => reason).increment(1);
    metrics::histogram!(AUTHORIZATION_SECONDS).record(took);
}

/// Answers a decision; `absent` is the problem if the account or the hold does not exist.
pub(super) fn decided(
    decision: Result<Decision, BalanceError>,
    call_sid: &CallSid,
    absent: fn() -> Problem,
) -> Response {
    match decision {
        Ok(Decision::Allow(allowance)) => Json(DecisionJson::Allow {
            call_sid,
            granted_seconds: allowance.granted_seconds,
            valid_until: allowance.valid_until.trunc_subsecs(3),
            is_final: allowance.is_final,
            rate_per_minute: allowance.rate.per_minute(),
        })
        .into_response(),
        Ok(Decision::Deny { reason, shortfall }) => {
            Json(DecisionJson::Deny { reason: reason.as_str(), shortfall }).into_response()
        }
        Ok(Decision::Unavailable) => Problem::holds_unavailable().into_response(),
        Ok(Decision::NotFound) => absent().into_response(),
        Err(error) => Problem::undecided(error).into_response(),
    }
}
