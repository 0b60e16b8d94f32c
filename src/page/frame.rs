//! Around every request of the page: an id, a permit, a time limit, metrics, the headers that keep
//! other sites out, and the pages of errors.
//!
//! Requests run on the page's own runtime, so that people who look at pages do not take the threads
//! of authorizations. A request that a browser gives up still ends: a payment must not stop halfway.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use tracing::Instrument as _;
use uuid::Uuid;

use super::Page;
use super::error::{Around, PageError};
use crate::config;
use crate::metrics::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};

/// Longest time that a request waits for its turn.
const PLACE_MAX: Duration = Duration::from_secs(2);
const REQUEST_ID: &str = "x-request-id";
/// Nothing but our own files, no inline script or style, no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What browsers may do with the answers.
#[derive(Debug)]
pub(super) struct Policies {
    plain: String,
    /// Of pages that take a card.
    card: String,
    is_framed: bool,
}

impl Policies {
    /// The policies of these settings.
    pub(super) fn new(page: &config::Page, stripe: &config::Stripe) -> Self {
        let mut plain = POLICY.to_owned();
        if page.is_framed() {
            let ancestors = format!("frame-ancestors {}", page.frame_ancestors.0.join(" "));
            plain = plain.replace("frame-ancestors 'none'", &ancestors);
        }
        let card = card_policy(&plain, &stripe.js_url, &stripe.api_base);
        Self { plain, card, is_framed: page.is_framed() }
    }
}

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Marks an answer whose page takes a card: Stripe's script may run there.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakesCard;

/// Runs a request of the page.
pub(super) async fn frame(State(page): State<Page>, mut request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = method_label(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("/wallet", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("page", id = %id, method, route);
    let is_in_frame = is_in_frame(request.headers());
    let started = std::time::Instant::now();
    let handled = page.runtime.spawn(within(page.clone(), request, next).instrument(span));
    let mut response = match handled.await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a page's handler ended early");
            PageError::Internal.into_response()
        }
    };
    if let Some(error) = response.extensions_mut().remove::<PageError>() {
        response = explain(&page, &error, &id, is_in_frame);
    }
    let (seconds, status) = (started.elapsed().as_secs_f64(), response.status().as_u16());
    metrics::histogram!(HTTP_REQUEST_SECONDS, "method" => method, "route" => route.clone())
        .record(seconds);
    let status = status.to_string();
    metrics::counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status)
        .increment(1);
    protect(&page, &mut response, &id);
    response
}

async fn within(page: Page, request: Request, next: Next) -> Response {
    // A change of many wallets makes many fetches at once: they wait for each other.
    let place = tokio::time::timeout(PLACE_MAX, page.places.acquire()).await;
    let Ok(Ok(_place)) = place else {
        return PageError::Overloaded.into_response();
    };
    let answered = tokio::time::timeout(page.request_time_max, next.run(request)).await;
    let lead = "It took too long, and may or may not have been done.";
    answered.unwrap_or_else(|_| PageError::Unavailable(lead).into_response())
}

/// The page of an error; who has no session is sent to sign in. In a frame, a link leads there: few
/// sites let themselves be signed in to in a frame.
fn explain(page: &Page, error: &PageError, request_id: &str, is_in_frame: bool) -> Response {
    let mut sign_in_url = page.settings.sign_in_url.clone();
    if let (PageError::NoSession(next), Some(url)) = (error, &sign_in_url) {
        let url = with_next(url, next);
        if !is_in_frame {
            return Redirect::to(&url).into_response();
        }
        sign_in_url = Some(url);
    }
    error.page(&Around {
        at: &page.at,
        assets: page.assets(),
        request_id,
        now: page.clock.now(),
        sign_in_url: sign_in_url.as_deref(),
        support_url: page.settings.support_url.as_deref(),
    })
}

/// The address of the platform's sign-in, which comes back to a path of ours.
fn with_next(url: &str, next: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{query}")
}

/// The headers of every answer.
fn protect(page: &Page, response: &mut Response, id: &str) {
    let takes_card = response.extensions_mut().remove::<TakesCard>().is_some();
    let policies = &page.policies;
    let policy = if takes_card { &policies.card } else { &policies.plain };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_SECURITY_POLICY, policy);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if !policies.is_framed {
        set(header::X_FRAME_OPTIONS, "DENY");
    }
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static(REQUEST_ID), id);
    if !headers.contains_key(header::REFERRER_POLICY) {
        // With `no-referrer`, browsers send no origin with forms, which we check.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The policy of pages that take a card: Stripe's script, its frames, and its API.
fn card_policy(plain: &str, js_url: &str, api_base: &str) -> String {
    let origin = |url: &str| {
        reqwest::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    };
    let (script, api) = (origin(js_url), origin(api_base));
    plain
        .replace("script-src 'self'", &format!("script-src 'self' {script}"))
        .replace("connect-src 'self'", &format!("connect-src 'self' {api}"))
        + &format!("; frame-src {script} https://*.js.stripe.com https://hooks.stripe.com")
}

/// How long one request may take.
pub(super) fn request_time_max(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// True if a browser shows the answer in a frame. Source: Fetch Metadata Request Headers.
pub(super) fn is_in_frame(headers: &HeaderMap) -> bool {
    let kind = headers.get("sec-fetch-dest").and_then(|kind| kind.to_str().ok());
    matches!(kind, Some("iframe" | "frame"))
}

/// A path below `/wallet` that has no page.
pub(super) async fn not_found() -> PageError {
    PageError::NotFound
}

/// A method that a page does not have.
pub(super) async fn wrong_method() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

/// A closed set: an invented method must not create a new series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::{POLICY, card_policy, with_next};

    #[test]
    fn the_policy_of_cards_adds_stripe_alone() {
        let policy = card_policy(POLICY, "https://js.stripe.com/v3/", "https://api.stripe.com");
        assert!(policy.contains("script-src 'self' https://js.stripe.com;"), "{policy}");
        assert!(policy.contains("connect-src 'self' https://api.stripe.com;"), "{policy}");
        assert!(policy.contains("frame-src https://js.stripe.com "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn the_path_to_come_back_to_is_one_parameter() {
        let url = with_next("https://app.example.com/in?from=w", "/wallet/history?kind=a&x=1");
        let expected =
            "https://app.example.com/in?from=w&next=%2Fwallet%2Fhistory%3Fkind%3Da%26x%3D1";
        assert_eq!(url, expected);
    }
}
