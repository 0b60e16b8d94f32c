//! `POST /webhooks/twilio/voice` and `/webhooks/twilio/events`: takes Twilio's callbacks and events
//! and publishes them to Kafka.
//!
//! Twilio does not retry after a 4xx, so only a request that can never be accepted may get one;
//! every other failure is a 5xx, and Twilio posts again.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;

use crate::bridge::{Bridge, Kind, Message, Refusal, Taken};
use crate::http::Api;
use crate::http::problem::Problem;
use crate::ledger::LedgerError;
use crate::ledger::tokens::TokenError;
use crate::metrics::{CALLBACK_RECORDS, CALLBACKS};

/// Twilio's headers, as the official SDKs name them: the signature, and the shared key that created
/// it, if one did.
const SIGNATURE: &str = "x-twilio-signature";
const SIGNATURE_SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// Receives a status callback from Twilio: a form, signed by `X-Twilio-Signature`, with an auth
/// token or with the shared key that `X-Twilio-Webhooks-Signature-Settings` names.
#[utoipa::path(
    post, path = "/webhooks/twilio/voice", tag = "Twilio", operation_id = "takeTwilioCallback",
    responses((status = 204, description = "Kafka has acknowledged it")),
    extensions(("x-scopes" = json!([])), ("x-problems" = json!(["bad_signature", "body_too_large",
        "invalid_request", "kafka_unavailable", "ledger_unavailable", "not_configured"])))
)]
pub(in crate::http) async fn voice(
    State(api): State<Api>,
    request: Request,
) -> Result<Response, Problem> {
    receive(&api, Kind::Voice, request).await
}

/// Receives events from a sink of Twilio's Event Streams: an array, signed by `X-Twilio-Signature`
/// over the address, which holds its hash as `bodySHA256`; with an auth token or with the shared
/// key that `X-Twilio-Webhooks-Signature-Settings` names.
#[utoipa::path(
    post, path = "/webhooks/twilio/events", tag = "Twilio", operation_id = "takeTwilioEvents",
    responses((status = 204, description = "Kafka has acknowledged it")),
    extensions(("x-scopes" = json!([])), ("x-problems" = json!(["bad_signature", "body_too_large",
        "invalid_request", "kafka_unavailable", "ledger_unavailable", "not_configured"])))
)]
pub(in crate::http) async fn events(
    State(api): State<Api>,
    request: Request,
) -> Result<Response, Problem> {
    receive(&api, Kind::Events, request).await
}

async fn receive(api: &Api, kind: Kind, request: Request) -> Result<Response, Problem> {
    let Some(bridge) = &api.bridge else { return Err(Problem::unknown_path()) };
    let is_by_key = request.headers().contains_key(SIGNATURE_SETTINGS);
    let signature = if is_by_key { "shared_key" } else { "token" };
    let received = take(bridge, kind, request).await;
    count(kind, signature, &received);
    match received {
        Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(problem) => Err(problem.into()),
    }
}

/// Why a callback is refused.
enum Fault {
    /// Longer than the limit.
    TooLarge(usize),
    /// Too many wait for Kafka.
    Overloaded,
    /// The connection broke.
    Unreadable,
    /// The bridge refused it.
    Refused(Refusal),
}

async fn take(bridge: &Bridge, kind: Kind, request: Request) -> Result<Taken, Fault> {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bytes_max = bridge.bytes_max();
    // A body without a length counts as the longest.
    let length = text(header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
    let length: usize = length.unwrap_or(bytes_max);
    if length > bytes_max {
        return Err(Fault::TooLarge(bytes_max));
    }
    let _place = bridge.reserve(length).ok_or(Fault::Overloaded)?;
    let body = to_bytes(request.into_body(), bytes_max).await.map_err(|error| {
        let cause = std::error::Error::source(&error);
        let too_long = cause.is_some_and(<dyn std::error::Error + 'static>::is::<LengthLimitError>);
        if too_long { Fault::TooLarge(bytes_max) } else { Fault::Unreadable }
    })?;
    let signature_settings: Vec<_> =
        headers.get_all(SIGNATURE_SETTINGS).iter().map(HeaderValue::as_bytes).collect();
    let message = Message {
        kind,
        path_and_query: uri.path_and_query().map_or("/", PathAndQuery::as_str),
        host: text(header::HOST.as_str()).or_else(|| uri.authority().map(Authority::as_str)),
        signature: text(SIGNATURE).filter(|_| headers.get_all(SIGNATURE).iter().count() == 1),
        signature_settings: &signature_settings,
        body: &body,
    };
    bridge.take(&message).await.map_err(Fault::Refused)
}

fn count(kind: Kind, signature: &'static str, received: &Result<Taken, Fault>) {
    let kind = match kind {
        Kind::Voice => "voice",
        Kind::Events => "events",
    };
    let outcome = match received {
        Ok(_) => "accepted",
        Err(Fault::Refused(Refusal::Forged)) => "forged",
        Err(Fault::TooLarge(_)) => "too_large",
        Err(Fault::Unreadable) => "unreadable",
        Err(Fault::Refused(Refusal::NotConfigured(_))) => "not_configured",
        Err(
            Fault::Overloaded
            | Fault::Refused(Refusal::Token(_) | Refusal::SharedKey(_) | Refusal::Publish(_)),
        ) => "unavailable",
    };
    metrics::counter!(CALLBACKS, "kind" => kind, "signature" => signature, "outcome" => outcome)
        .increment(1);
    if let Ok(taken) = received {
        let (published, foreign) = (taken.published as u64, taken.foreign as u64);
        metrics::counter!(CALLBACK_RECORDS, "outcome" => "published").increment(published);
        metrics::counter!(CALLBACK_RECORDS, "outcome" => "foreign").increment(foreign);
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge(bytes_max) => {
                Self::too_large(format!("at most {bytes_max} bytes are read"))
            }
            Fault::Overloaded => {
                Self::unavailable("overloaded", "Too many callbacks wait for Kafka")
            }
            Fault::Unreadable => Self::malformed("the body cannot be read"),
            Fault::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forged => Self::new(
                StatusCode::FORBIDDEN,
                "bad_signature",
                "The signature is missing or wrong",
                "sign with an auth token of the account, or with HMAC_SHA256 and the shared key of \
                 the account that X-Twilio-Webhooks-Signature-Settings names",
            ),
            Refusal::NotConfigured(why) => Self::not_configured(why),
            Refusal::Token(TokenError::Ledger(error)) => LedgerError::into(error),
            Refusal::Token(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a callback waits");
                Self::not_configured("an auth token cannot be opened; the log names it")
            }
            Refusal::SharedKey(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a callback waits");
                Self::not_configured("a shared key cannot be opened; the log names it")
            }
            Refusal::Publish(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a callback waits");
                Self::unavailable("kafka_unavailable", "Kafka does not acknowledge it")
            }
        }
    }
}
