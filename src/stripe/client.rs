//! Requests to Stripe: one at a time to its deadline, and what their failures mean.

use std::fmt;
use std::time::Duration;

use rand::RngExt as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::objects::{Complaint, Unreadable};
use super::{Deadline, Form, StripeError};
use crate::config::Secret;
use crate::http_client;
use crate::telemetry::one_line;

/// The version by which requests and answers are written (`Stripe-Version`).
pub const API_VERSION: &str = "2025-09-30.clover";

/// Longest time to connect: less than a request's deadline, so that an unreachable Stripe is known
/// to have received nothing.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// A connection that was idle longer is not used again: Stripe may be closing it, and a request
/// that meets its end has an unknown outcome.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Most bytes of an answer; a page of 100 payments has about 500,000.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The first wait after 429. Each next one is twice as long, and all are shortened at random, so
/// that processes that failed together do not retry together.
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// The longest wait, unless Stripe asks for more.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// An attempt after 429 has at least this long: "nothing was done" is better than an unknown
/// outcome.
const ATTEMPT_MIN: Duration = Duration::from_millis(500);
/// Stripe's own limit for an idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// A client of Stripe's API; cheap to clone, and its clones share their connections.
#[derive(Clone)]
pub struct StripeClient {
    http: Client,
    base: Url,
    is_live: bool,
}

/// A request that can be sent more than once, each time the same bytes.
struct Question<'a> {
    url: Url,
    act: Act<'a>,
}

/// What is done.
enum Act<'a> {
    Read,
    /// The body and the Idempotency-Key.
    Post(String, &'a str),
    Delete,
}

/// A failed attempt.
struct Failure {
    error: StripeError,
    /// True after 429: the request may be sent again.
    is_busy: bool,
    /// The wait that Stripe asks for.
    asked_wait: Option<Duration>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Complaint,
}

impl StripeClient {
    /// Prepares a client of the API at `api_base` (`stripe.api_base`); connects at the first
    /// request.
    ///
    /// # Errors
    /// `Client` if the base is not an HTTP address, or the key cannot be sent.
    pub fn open(api_base: &str, key: &Secret) -> Result<Self, StripeError> {
        let problem = |problem: &str| StripeError::Client { problem: problem.to_owned() };
        let base = Url::parse(api_base)
            .ok()
            .filter(|base| matches!(base.scheme(), "http" | "https") && base.host().is_some())
            .filter(|base| base.username().is_empty() && base.password().is_none())
            .ok_or_else(|| problem("stripe.api_base is not an HTTP address"))?;
        let key = key.expose();
        let is_word = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        let bearer = HeaderValue::from_str(&format!("Bearer {key}"));
        let mut bearer = bearer
            .ok()
            .filter(|_| is_word)
            .ok_or_else(|| problem("the stripe API key has a space or a control character"))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert("Stripe-Version", HeaderValue::from_static(API_VERSION));
        let http = http_client::client(|client| {
            client
                .connect_timeout(CONNECT_MAX)
                .pool_idle_timeout(IDLE_MAX)
                // The key goes only to the API.
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .default_headers(headers.clone())
        });
        let http = http.map_err(|error| problem(&one_line(&error.without_url())))?;
        let is_live = key.starts_with("sk_live_") || key.starts_with("rk_live_");
        Ok(Self { http, base, is_live })
    }

    /// True if the key is one of live mode: objects and events of the other mode are not ours.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Sends `form` to `path` below `/v1`, whose parts are escaped. The same call again, with the
    /// same form and key, is the same request byte for byte. After 429 it is sent again within the
    /// deadline; nothing else is sent twice.
    ///
    /// # Errors
    /// [`StripeError::may_have_effect`] says whether the outcome is known.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        form: &Form,
        idempotency_key: &str,
        deadline: Deadline,
    ) -> Result<T, StripeError> {
        let is_key = (1..=KEY_BYTES_MAX).contains(&idempotency_key.len())
            && idempotency_key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_key {
            let problem = "the idempotency key is not 1 to 255 visible ASCII characters".to_owned();
            return Err(StripeError::Client { problem });
        }
        let act = Act::Post(form.encode(), idempotency_key);
        self.answer(&Question { url: self.resource(path, &[]), act }, deadline).await
    }

    /// Reads `path` below `/v1`, whose parts are escaped.
    ///
    /// # Errors
    /// As for [`Self::post`]; nothing that it reads is changed.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        deadline: Deadline,
    ) -> Result<T, StripeError> {
        self.answer(&Question { url: self.resource(path, query), act: Act::Read }, deadline).await
    }

    /// Deletes what `path` below `/v1` names; to delete it again is no error of ours.
    ///
    /// # Errors
    /// As for [`Self::post`]; `NotFound` if it is deleted already.
    pub async fn delete<T: DeserializeOwned>(
        &self,
        path: &[&str],
        deadline: Deadline,
    ) -> Result<T, StripeError> {
        self.answer(&Question { url: self.resource(path, &[]), act: Act::Delete }, deadline).await
    }

    fn resource(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Asks until there is an answer that is not 429, or until there is no time for another one.
    async fn answer<T: DeserializeOwned>(
        &self,
        question: &Question<'_>,
        deadline: Deadline,
    ) -> Result<T, StripeError> {
        if deadline.is_over() {
            return Err(StripeError::NotSent { what: "no time is left".to_owned() });
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let asked = tokio::time::timeout_at(deadline.instant(), self.ask(question)).await;
            let Failure { error, is_busy, asked_wait } = match asked {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(unknown("no answer in time")),
            };
            let wait = wait_within(deadline.remaining(), attempt, asked_wait);
            let Some(wait) = wait.filter(|_| is_busy) else { return Err(error) };
            tracing::debug!(%error, attempt, ?wait, "a request to stripe is retried");
            tokio::time::sleep(wait).await;
        }
    }

    fn request(&self, question: &Question<'_>) -> RequestBuilder {
        match &question.act {
            Act::Read => self.http.get(question.url.clone()),
            Act::Delete => self.http.delete(question.url.clone()),
            Act::Post(body, key) => self
                .http
                .post(question.url.clone())
                .header("Idempotency-Key", *key)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body.clone()),
        }
    }

    /// Sends the request once.
    async fn ask<T: DeserializeOwned>(&self, question: &Question<'_>) -> Result<T, Failure> {
        let finally = |error| Failure { error, is_busy: false, asked_wait: None };
        let sent = self.request(question).send().await;
        let response = sent.map_err(|error| finally(failed(error)))?;
        let status = response.status();
        let asked_wait = header(&response, RETRY_AFTER.as_str())
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_secs);
        let request_id = header(&response, "Request-Id");
        let body = read(response).await.map_err(finally)?;
        if status.is_success() {
            let read = serde_json::from_slice(&body).map_err(|error| Unreadable::at(&error));
            return read.map_err(|problem| finally(unknown(&format!("its answer: {problem}"))));
        }
        let error = refusal(status, &body);
        tracing::debug!(%error, status = status.as_u16(), request_id, "stripe refused");
        Err(Failure { error, is_busy: status == StatusCode::TOO_MANY_REQUESTS, asked_wait })
    }
}

/// Shows no key.
impl fmt::Debug for StripeClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("StripeClient");
        shown.field("base", &self.base.as_str()).field("is_live", &self.is_live);
        shown.finish_non_exhaustive()
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Reads a body up to its limit.
async fn read(mut response: Response) -> Result<Vec<u8>, StripeError> {
    let too_large = || unknown("its answer is too large");
    let announced = response.content_length().and_then(|bytes| usize::try_from(bytes).ok());
    if announced.is_some_and(|bytes| bytes > ANSWER_BYTES_MAX) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Only where there was no connection, nothing was sent. Omits the address: its query may name a
/// customer.
fn failed(error: reqwest::Error) -> StripeError {
    let (was_sent, error) = (!error.is_connect() && !error.is_builder(), error.without_url());
    let what = one_line(&error);
    if was_sent { StripeError::Unknown { what } } else { StripeError::NotSent { what } }
}

fn unknown(what: &str) -> StripeError {
    StripeError::Unknown { what: what.to_owned() }
}

/// What an answer other than 2xx means. One below 500 that has not Stripe's form is another's, of
/// a proxy perhaps: the request may have gone through all the same.
fn refusal(status: StatusCode, body: &[u8]) -> StripeError {
    let number = status.as_u16();
    if status.is_server_error() {
        return StripeError::Server { status: number };
    }
    let complaint = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error);
    if number == 429 {
        let code = complaint.ok().and_then(|complaint| complaint.code);
        let is_locked = code.as_deref() == Some("lock_timeout");
        return if is_locked { StripeError::InUse } else { StripeError::Busy };
    }
    let Ok(complaint) = complaint else {
        return StripeError::Unknown { what: format!("status {number}, not in stripe's form") };
    };
    match (number, complaint.kind.as_str(), complaint.code.as_deref()) {
        (409, ..) | (_, _, Some("idempotency_key_in_use" | "lock_timeout")) => StripeError::InUse,
        (_, "idempotency_error", _) => StripeError::KeyReused,
        (401 | 403, ..) => StripeError::Unauthorized,
        (_, "card_error", _) => StripeError::Card(Box::new(complaint)),
        (_, _, Some("resource_missing")) => StripeError::NotFound { param: complaint.param },
        // A path that Stripe does not know names no parameter: that is a fault of ours.
        (404, _, None) if complaint.param.is_some() => {
            StripeError::NotFound { param: complaint.param }
        }
        (400..500, ..) => StripeError::Refused(Box::new(complaint)),
        _ => StripeError::Unknown { what: format!("status {number}") },
    }
}

/// The wait before the next attempt; none if there is no time for both.
fn wait_within(remaining: Duration, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
    let doubled = WAIT_FIRST.saturating_mul(1 << attempt.min(16).saturating_sub(1));
    let longest = doubled.min(WAIT_MAX);
    let wait = rand::rng().random_range(longest / 2..=longest).max(asked.unwrap_or_default());
    (wait.saturating_add(ATTEMPT_MIN) <= remaining).then_some(wait)
}

#[cfg(test)]
#[path = "client_tests/mod.rs"]
mod tests;
