//! One attempt to post a delivery.

use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};

use super::rules::{Scheme, TargetRefused};
use super::signature::signature;
use super::target::Targets;
use crate::clock::Clock;
use crate::http_client;
use crate::json::{event_data, event_type};
use crate::ledger::LedgerError;
use crate::ledger::webhooks::{Due, Posted, TEST_TYPE};
use crate::masked::masked;

/// Longest time until the receiver answers.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// Longest time for the answer's body, which changes nothing.
const BODY_MAX: Duration = Duration::from_secs(1);
/// Bytes of the answer's body that are read. What is longer costs the connection.
const BODY_BYTES_MAX: usize = 4_096;
/// Characters of it that are kept.
const BODY_KEPT: usize = 500;
/// Connections to a host that are kept, and for how long.
const IDLE_CONNECTIONS: usize = 2;
const IDLE_MAX: Duration = Duration::from_secs(30);

/// What an attempt came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status; `None`: no answer.
    pub(super) status: Option<u16>,
    /// The beginning of the body.
    pub(super) body: Option<String>,
    /// Why it failed; `None`: it is delivered.
    pub(super) error: Option<String>,
}

/// The clients that post: one for each scheme, because each has its own allowed addresses.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    targets: Targets,
    tls: Client,
    plain: Client,
    clock: Clock,
}

impl Clients {
    /// Creates the clients.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(super) fn new(targets: Targets, clock: Clock) -> reqwest::Result<Self> {
        let client = |scheme| {
            let resolver = std::sync::Arc::new(targets.resolver(scheme));
            http_client::client(move |client| {
                let client = client.no_proxy().redirect(redirect::Policy::none());
                let client = client.pool_max_idle_per_host(IDLE_CONNECTIONS);
                client.pool_idle_timeout(IDLE_MAX).dns_resolver(resolver.clone())
            })
        };
        let (tls, plain) = (client(Scheme::Tls)?, client(Scheme::Plain)?);
        Ok(Self { targets, tls, plain, clock })
    }

    /// Posts a delivery once.
    pub(super) async fn post(&self, due: &Due) -> Answer {
        let sent = tokio::time::timeout(ATTEMPT_MAX, self.send(due)).await;
        let failed = |error: String| Answer { error: Some(error), ..Answer::default() };
        match sent {
            Ok(Ok(response)) => read(response).await,
            Ok(Err(error)) => failed(error),
            Err(_) => failed(format!("no answer within {} s", ATTEMPT_MAX.as_secs())),
        }
    }

    async fn send(&self, due: &Due) -> Result<Response, String> {
        let url = Targets::parse(&due.url).map_err(|error| format!("the address {error}"))?;
        let client = match self.targets.check_text(&url).map_err(|refused| not_allowed(&refused))? {
            Scheme::Tls => &self.tls,
            Scheme::Plain => &self.plain,
        };
        let secrets = due.secrets.as_ref().map_err(String::clone)?;
        let message = Message::new(due).map_err(|error| error.to_string())?;
        // Receivers compare it with their own clocks.
        let seconds = self.clock.unmoved().timestamp();
        let signature = signature(secrets, &message.id, seconds, &message.body);
        let signature = signature.ok_or("the secret cannot be read")?;
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature)
            .body(message.body);
        request.send().await.map_err(|error| told(&error))
    }
}

/// What is posted.
struct Message {
    id: String,
    body: String,
}

impl Message {
    fn new(due: &Due) -> Result<Self, LedgerError> {
        let (id, kind, at, data) = match &due.posted {
            Posted::Event(event) => {
                let event = event.as_ref().clone();
                (event.id, event.kind.as_str(), event.at, event_data(event)?)
            }
            Posted::Test { id, at, account } => {
                let data = json!({ "account": account, "endpoint": due.endpoint.to_string() });
                (*id, TEST_TYPE, *at, data)
            }
        };
        Ok(Self { id: id.to_string(), body: body(kind, at, &data) })
    }
}

fn body(kind: &str, at: DateTime<Utc>, data: &Value) -> String {
    let timestamp = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    json!({ "type": event_type(kind), "timestamp": timestamp, "data": data }).to_string()
}

/// Reads an answer, and no more of its body than is kept or than lets the connection be used again.
async fn read(mut response: Response) -> Answer {
    let status = response.status();
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(BODY_BYTES_MAX - body.len())]);
            if body.len() >= BODY_BYTES_MAX {
                break;
            }
        }
    };
    drop(tokio::time::timeout(BODY_MAX, reading).await);
    let error = match status.as_u16() {
        200..=299 => None,
        300..=399 => Some(format!("answered {}: redirects are not followed", status.as_u16())),
        status => Some(format!("answered {status}")),
    };
    Answer { status: Some(status.as_u16()), body: kept(&body), error }
}

/// The beginning of a body as the ledger keeps it.
fn kept(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body).replace('\0', "\u{fffd}");
    let text: String = masked(&text).chars().take(BODY_KEPT).collect();
    Some(text).filter(|text| !text.is_empty())
}

fn not_allowed(refused: &TargetRefused) -> String {
    format!("target_not_allowed: {refused}")
}

/// Why a request failed, without its address.
fn told(error: &reqwest::Error) -> String {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<TargetRefused>() {
            return not_allowed(refused);
        }
        last = cause.to_string();
        source = cause.source();
    }
    let what = if error.is_connect() { "no connection" } else { "no answer" };
    let text: String = format!("{what}: {last}").chars().take(BODY_KEPT).collect();
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::kept;

    #[test]
    fn what_is_kept_of_an_answer_is_short_and_can_be_stored() {
        assert_eq!(kept(b""), None);
        assert_eq!(kept(b"a\0b\xff").as_deref(), Some("a\u{fffd}b\u{fffd}"));
        assert_eq!(kept(b"call +15005550006").as_deref(), Some("call +15*******06"));
        assert_eq!(kept(&[b'x'; 4_096]).map(|text| text.len()), Some(500));
    }
}
