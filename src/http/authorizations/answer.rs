//! What an authorization is answered.

use axum::Json;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{CallSid, Money};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use crate::balance::{BalanceError, Decision};
use crate::http::problem::Problem;

/// An authorization as JSON says it.
#[derive(Debug, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
enum DecisionJson<'a> {
    Allow {
        call_sid: &'a CallSid,
        granted_seconds: u32,
        valid_until: DateTime<Utc>,
        #[serde(rename = "final")]
        is_final: bool,
        rate_per_minute: Money,
    },
    Deny {
        reason: &'static str,
        shortfall: Money,
    },
}

/// Answers a decision, which the balance stage has counted; `absent` is what is said where there is
/// nothing to decide on.
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
        Err(error) => Problem::from(error).into_response(),
    }
}
