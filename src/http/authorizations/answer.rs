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

/// Answers a decision and counts it in the metric `counted`; `absent` is what is said where there is
/// nothing to decide on.
pub(super) fn decided(
    decision: Result<Decision, BalanceError>,
    call_sid: &CallSid,
    counted: &'static str,
    absent: fn() -> Problem,
) -> Response {
    let (word, reason, response) = match decision {
        Ok(Decision::Allow(allowance)) => {
            let body = DecisionJson::Allow {
                call_sid,
                granted_seconds: allowance.granted_seconds,
                // A second is what callers act upon.
                valid_until: allowance.valid_until.trunc_subsecs(3),
                is_final: allowance.is_final,
                rate_per_minute: allowance.rate.per_minute(),
            };
            ("allow", "", Json(body).into_response())
        }
        Ok(Decision::Deny { reason, shortfall }) => {
            let reason = reason.as_str();
            ("deny", reason, Json(DecisionJson::Deny { reason, shortfall }).into_response())
        }
        Ok(Decision::Unavailable) => {
            ("unavailable", "holds_unavailable", Problem::holds_unavailable().into_response())
        }
        Ok(Decision::NotFound) => return absent().into_response(),
        Err(error) => ("unavailable", "error", Problem::from(error).into_response()),
    };
    metrics::counter!(counted, "decision" => word, "reason" => reason).increment(1);
    response
}
