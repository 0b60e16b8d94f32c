//! Around every request: an id, a permit, a time limit and metrics; and the header of an answer
//! that streams.

use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tracing::Instrument;
use uuid::Uuid;

use super::problem::Problem;
use crate::metrics::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};

const REQUEST_ID: &str = "x-request-id";
/// With `no` a proxy does not buffer the answer; nginx reads it.
const BUFFERING: &str = "x-accel-buffering";

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Limits on requests.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Permits for requests in progress.
    places: Arc<Semaphore>,
    /// Longest time of a request.
    time_max: Duration,
}

impl Limits {
    /// The limits of one listener.
    pub(super) fn new(in_progress_max: usize, time_max: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(in_progress_max)), time_max }
    }
}

/// Runs a request within its limits, logs it and counts it.
pub(super) async fn frame(
    State(limits): State<Limits>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = method_label(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = %id, method, route);
    let started = std::time::Instant::now();
    let mut response = within(&limits, request, next).instrument(span).await;
    let seconds = started.elapsed().as_secs_f64();
    let status = response.status();
    tracing::debug!(%id, method, route, status = status.as_u16(), seconds, "request answered");
    metrics::histogram!(HTTP_REQUEST_SECONDS, "method" => method, "route" => route.clone())
        .record(seconds);
    let status = status.as_str().to_owned();
    metrics::counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status)
        .increment(1);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    unbuffered(response)
}

/// Keeps proxies from buffering an answer that streams. Only such an answer has no length, so no
/// handler needs to set the header.
pub fn unbuffered(mut response: Response) -> Response {
    if response.body().size_hint().exact().is_none() {
        response.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
    }
    response
}

async fn within(limits: &Limits, request: Request, next: Next) -> Response {
    let Ok(_place) = limits.places.try_acquire() else {
        let title = "Too many requests are in progress";
        return Problem::unavailable("overloaded", title).into_response();
    };
    match tokio::time::timeout(limits.time_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout().into_response(),
    }
}

/// The caller's own id if it is harmless, else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |id: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        (1..=128).contains(&id.len()) && id.bytes().all(allowed)
    };
    given.filter(harmless).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// A closed set: an invented method must not create a new series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The answer of a handler that panicked; the panic hook logs the panic.
pub(super) fn after_panic(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a request's handler panicked");
    Problem::internal().into_response()
}
