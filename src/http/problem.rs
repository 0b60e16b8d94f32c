//! Errors as problem+json (RFC 9457), each with a code that never changes.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;

use crate::balance::BalanceError;
use crate::change::ChangeError;
use crate::ledger::LedgerError;
use crate::ledger::store::StoreError;

/// Media type of an error's body.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Seconds after which a caller should retry if a server was not available.
const RETRY_AFTER_SECONDS: u32 = 2;

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Problem {
    /// A URN of the code.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// Never changes; callers may rely on it.
    code: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after_seconds: Option<u32>,
}

/// What is wrong with one field of a body or a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The field's name; empty for the body or query as a whole.
    pub(super) field: String,
    /// What is wrong, and what is expected.
    pub(super) message: String,
}

impl Problem {
    /// Creates a problem; `detail` is about this request.
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind_of(code),
            title,
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// 400 with the wrong fields.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .iter()
            .map(|error| match error.field.as_str() {
                "" => error.message.clone(),
                field => format!("{field}: {}", error.message),
            })
            .collect::<Vec<_>>()
            .join("; ");
        let status = StatusCode::BAD_REQUEST;
        Self { errors, ..Self::new(status, "invalid_request", "The request is not valid", detail) }
    }

    /// 400 for a well-formed field that names something unknown.
    pub(super) fn unknown_name(code: &'static str, field: &str, message: &str) -> Self {
        let error = FieldError { field: field.to_owned(), message: message.to_owned() };
        let problem = Self::invalid(vec![error]);
        Self { kind: kind_of(code), code, ..problem }
    }

    /// 400 for a body or query as a whole.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: String::new(), message: message.into() }])
    }

    /// 400 for a missing field.
    pub(super) fn missing(field: &str, message: &str) -> Self {
        Self::wrong(field, message)
    }

    /// 400 for one field.
    pub(super) fn wrong(field: &str, message: &str) -> Self {
        let error = FieldError { field: field.to_owned(), message: message.to_owned() };
        Self::invalid(vec![error])
    }

    /// 401: no key, or an unknown one.
    pub(super) fn unauthorized() -> Self {
        let detail = "send `Authorization: Bearer <key>` with a key of this service";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "No key, or an unknown key", detail)
    }

    /// 403: the key lacks the scope.
    pub(super) fn forbidden() -> Self {
        let detail = "use a key of another scope";
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The key's scope does not allow this", detail)
    }

    /// 404: an account that does not exist or is not the key's.
    pub(super) fn unknown_account() -> Self {
        Self::not_found("unknown_account", "There is no such account")
    }

    /// 404: something that does not exist or is not the key's.
    pub(super) fn not_found(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, title, "")
    }

    /// 404: a path that does not exist.
    pub(super) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_path", "There is nothing at this path", "")
    }

    /// 405: a path that has other methods.
    pub(super) fn method_not_allowed() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "method_not_allowed", "The path has no such method", "")
    }

    /// 409: an id is taken, or a state forbids the change.
    pub(super) fn taken(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, code, title, "")
    }

    /// 422: valid, but refused.
    pub(super) fn refused(
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, detail)
    }

    /// 503: a server is not available.
    pub(super) fn unavailable(code: &'static str, title: &'static str) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title, "try again");
        Self { retry_after_seconds: Some(RETRY_AFTER_SECONDS), ..problem }
    }

    /// 429: a rate limit was exceeded; the next token comes after `wait`.
    pub(super) fn rate_limited(wait: TimeDelta) -> Self {
        let whole = u32::try_from(wait.num_seconds()).unwrap_or(0);
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests in a short time",
            "try again after the seconds in Retry-After",
        );
        Self { retry_after_seconds: Some(whole.saturating_add(1)), ..problem }
    }

    /// 409: a request with the same Idempotency-Key is still in progress.
    pub(super) fn in_progress() -> Self {
        let title = "A request with this Idempotency-Key has not been answered yet";
        let problem = Self::taken("request_in_progress", title);
        Self { retry_after_seconds: Some(RETRY_AFTER_SECONDS), ..problem }
    }

    /// 429: an account's cards were declined too often.
    pub(super) fn too_many_declines() -> Self {
        let title = "The account's cards were declined too often in the last hour";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let detail = "try again in an hour, with a card that works";
        let problem = Self::new(status, "too_many_declines", title, detail);
        Self { retry_after_seconds: Some(3_600), ..problem }
    }

    /// 429: an account began too many setups of cards.
    pub(super) fn too_many_setups() -> Self {
        let title = "The account began too many setups of cards in the last hour";
        let detail = "try again in an hour";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_setups", title, detail);
        Self { retry_after_seconds: Some(3_600), ..problem }
    }

    /// 413: the body exceeds its limit.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "body_too_large", "The body is too large", detail)
    }

    /// 503: a setting that the request needs is missing.
    pub(super) fn not_configured(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "not_configured", "A setting of the service is missing", detail)
    }

    /// 503: Redis is down, or an account cannot be loaded into it.
    pub(super) fn holds_unavailable() -> Self {
        let title = "Holds are unknown right now: a call is neither allowed nor denied";
        Self::unavailable("holds_unavailable", title)
    }

    /// 504: it is not known in time whether the request took effect.
    pub(super) fn timeout() -> Self {
        let detail = "it may or may not have taken effect: repeat it with the same Idempotency-Key";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "The request took too long", detail)
    }

    /// 503 for a call that could not be decided or changed because a server is not available. Such
    /// a call must never be answered as denied.
    pub(super) fn undecided(error: BalanceError) -> Self {
        match error {
            BalanceError::Ledger(error) if !error.is_transient() => error.into(),
            error => {
                tracing::warn!(error = &error as &dyn std::error::Error, "holds are unknown");
                Self::holds_unavailable()
            }
        }
    }

    /// 500: a fault of the service, which the log describes.
    pub(super) fn internal() -> Self {
        let detail = "the log has more under the id of this request";
        let title = "The service failed";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", title, detail)
    }

    /// Its HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// True if the answer is final: the same request would be refused again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status, StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY)
    }
}

fn kind_of(code: &str) -> String {
    format!("urn:callmeter:problem:{code}")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_number<S: serde::Serializer>(status: &StatusCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u16(status.as_u16())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after_seconds);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Ledger(error) => error.into(),
            ChangeError::NotVisible { .. } => Self::timeout(),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Store(store) => Self::from(store),
            LedgerError::BalanceOutOfRange { .. } => Self::refused(
                "balance_out_of_range",
                "The balance would leave the range of amounts",
                "a wallet can have (with its credit limit) or owe 9007199254.740991 dollars at most",
            ),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "request failed");
                Self::internal()
            }
        }
    }
}

impl From<BalanceError> for Problem {
    /// For a request that must know the holds.
    fn from(error: BalanceError) -> Self {
        match error {
            BalanceError::Ledger(error) => error.into(),
            error => Self::undecided(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            tracing::warn!(error = &error as &dyn std::error::Error, "request needs Postgres");
            return Self::unavailable("ledger_unavailable", "The ledger cannot be reached");
        }
        tracing::error!(error = &error as &dyn std::error::Error, "request failed");
        Self::internal()
    }
}
