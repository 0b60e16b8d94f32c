//! Requests to Twilio: each with a time limit; a GET also with retries.

use std::time::Duration;

use form_urlencoded::Serializer;
use rand::RngExt as _;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Credentials, TwilioError};
use crate::http_client;

/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest time for one answer with its body; a page of 1,000 calls takes Twilio seconds.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Most attempts of one request.
const ATTEMPTS_MAX: u32 = 5;
/// The first wait between two attempts. Each next one is twice as long, and all are shortened at
/// random, so that processes that failed together do not retry together.
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// The longest wait, even if Twilio asks for more.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Most bytes of an answer; a page of 1,000 calls has about 2.5 million.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A client of Twilio's API; cheap to clone.
#[derive(Clone, Debug)]
pub struct TwilioClient {
    http: Client,
    base: Url,
}

/// Twilio's error body: `{"code": 20003, "message": …, "more_info": …, "status": 401}`. The message
/// may repeat the request, so it is not kept.
#[derive(Default, Deserialize)]
struct Complaint {
    #[serde(default)]
    code: i64,
}

impl TwilioClient {
    /// Prepares a client of the API at `base` (`twilio.api_base`); connects at the first request.
    ///
    /// # Errors
    /// `Client` if `base` is not an HTTP address or the client cannot be created.
    pub fn open(base: &str) -> Result<Self, TwilioError> {
        let problem = |problem: String| TwilioError::Client { problem };
        let base = Url::parse(base).map_err(|error| problem(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(problem("twilio.api_base is not an HTTP address".to_owned()));
        }
        let http = http_client::client(|client| {
            client
                .connect_timeout(CONNECT_MAX)
                .timeout(ANSWER_MAX)
                // Credentials go only to the API.
                .redirect(reqwest::redirect::Policy::none())
        });
        let http =
            http.map_err(|error| problem(crate::telemetry::one_line(&error.without_url())))?;
        Ok(Self { http, base })
    }

    /// The address of a resource below `/2010-04-01/Accounts`; each part is escaped.
    pub(super) fn resource(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["2010-04-01", "Accounts"]).extend(parts);
        }
        if !query.is_empty() {
            // `StartTime>` and a date become `StartTime%3E=2026-11-24`, as Twilio's own clients
            // send.
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The address of a listing's next page; Twilio gives a path with a query.
    pub(super) fn next_page(&self, next: &str) -> Result<Url, TwilioError> {
        let unreadable = || TwilioError::Unreadable {
            problem: "next_page_uri is not a path of this API".to_owned(),
        };
        let url = self.base.join(next).map_err(|_| unreadable())?;
        // Credentials never go to another host.
        if url.origin() == self.base.origin() { Ok(url) } else { Err(unreadable()) }
    }

    /// Reads a resource; retries if Twilio is busy or unreachable.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        credentials: &Credentials,
        url: &Url,
    ) -> Result<T, TwilioError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (error, asked_wait) = match self.ask(credentials, url).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if !error.is_transient() || attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            let wait = wait_before(attempt, asked_wait);
            tracing::debug!(%error, attempt, ?wait, "a request to twilio is retried");
            tokio::time::sleep(wait).await;
        }
    }

    /// The address of a resource of another of Twilio's APIs, such as `pricing`, which has a host of
    /// its own at Twilio; elsewhere the base.
    pub(super) fn resource_of(&self, api: &str, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        let rest = url.host_str().and_then(|host| host.strip_prefix("api.")).map(str::to_owned);
        if let Some(rest) = rest.filter(|rest| rest.ends_with("twilio.com")) {
            // The host is one already: only its first label changes.
            let _ = url.set_host(Some(&format!("{api}.{rest}")));
        }
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a form once: whoever asks decides whether it may be sent again.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        credentials: &Credentials,
        url: &Url,
        form: &[(&str, &str)],
    ) -> Result<T, TwilioError> {
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(url.clone()).body(body);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(credentials, request).await.map_err(|(error, _)| error)?;
        parse(&answer)
    }

    /// Deletes a resource, with one request.
    pub(super) async fn delete(
        &self,
        credentials: &Credentials,
        url: &Url,
    ) -> Result<(), TwilioError> {
        let request = self.http.delete(url.clone());
        self.send(credentials, request).await.map(|_| ()).map_err(|(error, _)| error)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        credentials: &Credentials,
        url: &Url,
    ) -> Result<T, (TwilioError, Option<Duration>)> {
        let answer = self.send(credentials, self.http.get(url.clone())).await?;
        parse(&answer).map_err(|error| (error, None))
    }

    /// Sends one request; an error comes with the wait that Twilio asks for.
    async fn send(
        &self,
        credentials: &Credentials,
        request: RequestBuilder,
    ) -> Result<Vec<u8>, (TwilioError, Option<Duration>)> {
        let token = credentials.auth_token.expose();
        let request = request.basic_auth(credentials.account_sid.as_str(), Some(token));
        let response = request.send().await.map_err(|error| (unavailable(error), None))?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let body = read(response).await.map_err(|error| (error, None))?;
        if status.is_success() {
            return Ok(body);
        }
        let code = serde_json::from_slice::<Complaint>(&body).unwrap_or_default().code;
        let (number, is_busy) = (status.as_u16(), status == StatusCode::TOO_MANY_REQUESTS);
        let error = match status {
            _ if is_busy || status.is_server_error() => {
                TwilioError::Unavailable { what: format!("status {number}, code {code}") }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                TwilioError::Unauthorized { status: number, code }
            }
            StatusCode::NOT_FOUND => TwilioError::NotFound,
            _ => TwilioError::Refused { status: number, code },
        };
        Err((error, wait))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, TwilioError> {
    serde_json::from_slice(body).map_err(|error| {
        // serde's message may repeat a value; the place of the fault is enough.
        let problem = format!("line {}, column {}", error.line(), error.column());
        TwilioError::Unreadable { problem }
    })
}

/// Reads a body up to its limit.
async fn read(mut response: Response) -> Result<Vec<u8>, TwilioError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            let problem = format!("it has more than {ANSWER_BYTES_MAX} bytes");
            return Err(TwilioError::Unreadable { problem });
        }
    }
    Ok(body)
}

/// Omits the address: its query may hold personal data.
fn unavailable(error: reqwest::Error) -> TwilioError {
    TwilioError::Unavailable { what: crate::telemetry::one_line(&error.without_url()) }
}

fn wait_before(attempt: u32, asked: Option<Duration>) -> Duration {
    let doubled = WAIT_FIRST.saturating_mul(1 << attempt.min(16).saturating_sub(1));
    let longest = doubled.max(asked.unwrap_or_default()).min(WAIT_MAX);
    let shortest = asked.unwrap_or(longest / 2).min(longest);
    rand::rng().random_range(shortest..=longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> TwilioClient {
        TwilioClient::open(base).expect("an address")
    }

    #[test]
    fn what_is_asked_for_is_escaped_and_stays_below_the_base() {
        let client = client("http://127.0.0.1:1/twilio/");
        let url =
            client.resource(&["AC1", "Calls", "a/../b c.json"], &[("StartTime>", "2026-11-24")]);
        let expected = "http://127.0.0.1:1/twilio/2010-04-01/Accounts/AC1/Calls/a%2F..%2Fb%20c.json\
                        ?StartTime%3E=2026-11-24";
        assert_eq!(url.as_str(), expected);
    }

    #[test]
    fn another_api_of_twilio_has_a_host_of_its_own() {
        let parts = ["v1", "PhoneNumbers", "Countries", "US"];
        let cases = [
            ("https://api.twilio.com", "https://pricing.twilio.com"),
            ("https://api.dublin.ie1.twilio.com", "https://pricing.dublin.ie1.twilio.com"),
            ("http://127.0.0.1:1/twilio", "http://127.0.0.1:1/twilio"),
        ];
        for (base, other) in cases {
            let url = client(base).resource_of("pricing", &parts, &[]);
            assert_eq!(url.as_str(), format!("{other}/v1/PhoneNumbers/Countries/US"));
        }
    }

    #[test]
    fn credentials_follow_no_page_to_another_place() {
        let client = client("https://api.twilio.com");
        let next = "/2010-04-01/Accounts/AC1/Calls.json?Page=1&PageToken=PA1";
        assert_eq!(
            client.next_page(next).unwrap().as_str(),
            format!("https://api.twilio.com{next}")
        );
        for elsewhere in ["https://example.com/x", "//example.com/x", "http://api.twilio.com/x"] {
            assert!(client.next_page(elsewhere).is_err(), "{elsewhere}");
        }
        for base in ["", "api.twilio.com", "file:///etc/passwd", "ftp://x"] {
            assert!(TwilioClient::open(base).is_err(), "{base}");
        }
    }

    #[test]
    fn waits_grow_are_spread_and_have_an_end() {
        for attempt in 1..40 {
            let wait = wait_before(attempt, None);
            assert!(wait >= WAIT_FIRST / 2 && wait <= WAIT_MAX, "{attempt}: {wait:?}");
        }
        assert!(wait_before(1, Some(Duration::from_secs(3))) >= Duration::from_secs(3));
        assert!(wait_before(1, Some(Duration::from_hours(1))) <= WAIT_MAX);
    }
}
