//! One request to the API: faults, keys, idempotency, effect, answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::answer::{Complaint, broken, busy, locked, no_key, wrong_key};
use super::behaviour::{Fault, hit};
use super::form::Parameters;
use super::idempotency::Kept;
use super::routes;
use super::world::{API_VERSION, LocalStripe, Request, World};

/// A request as it arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Vec<u8>,
    pub authorization: Option<String>,
    pub idempotency_key: Option<String>,
    pub version: Option<String>,
}

/// An answer, or none: the connection is closed.
#[derive(Debug)]
pub(super) struct Answered {
    pub status: u16,
    pub body: String,
    pub request: String,
    /// The request whose answer this is, if it is replayed.
    pub original: Option<String>,
    pub should_retry: Option<bool>,
    pub retry_after: Option<u64>,
}

/// What comes before the effect.
enum Begun {
    Close,
    Answer(Answered),
    Go { request: String, is_secret_key: bool, fault: Option<Fault> },
}

/// Answers a request; none: the connection must be closed without an answer. It must not be dropped
/// when the client goes away: the effect comes all the same.
pub(super) async fn answer(stripe: LocalStripe, arrived: Arrived) -> Option<Answered> {
    let release = stripe.lock().releases;
    let begun = stripe.with(|world| begin(world, &arrived));
    let (request, is_secret_key, fault) = match begun {
        Begun::Answer(answered) => return Some(answered),
        Begun::Close => return None,
        Begun::Go { fault: Some(Fault::HangBeforeEffect), .. } => {
            stripe.released(release).await;
            return None;
        }
        Begun::Go { request, is_secret_key, fault } => (request, is_secret_key, fault),
    };
    let latency = stripe.lock().behaviour.latency_milliseconds;
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    if fault == Some(Fault::HangThenEffect) {
        stripe.released(release).await;
    }
    let answered = stripe.with(|world| act(world, &arrived, request, is_secret_key, fault));
    match fault {
        Some(Fault::HangAfterEffect) => stripe.released(release).await,
        Some(Fault::ResetAfterEffect) => return None,
        Some(Fault::UnreadableAfterEffect) => {
            return Some(Answered { body: "<html>Bad gateway</html>".to_owned(), ..answered });
        }
        _ => {}
    }
    Some(answered)
}

fn begin(world: &mut World, arrived: &Arrived) -> Begun {
    let request = format!("req_{}", world.word(14));
    let fault = hit(&mut world.rules, &arrived.method, &arrived.path);
    world.requests.push(Request {
        id: request.clone(),
        method: arrived.method.clone(),
        path: arrived.path.clone(),
        query: arrived.query.clone(),
        body: String::from_utf8_lossy(&arrived.body).into_owned(),
        idempotency_key: arrived.idempotency_key.clone(),
        fault,
        status: None,
    });
    let count = u64::try_from(world.requests.len()).unwrap_or(u64::MAX);
    let every = world.behaviour.busy_every;
    if fault == Some(Fault::ResetBeforeEffect) {
        return Begun::Close;
    }
    let refusal = match fault {
        Some(Fault::Busy) => Err(busy()),
        Some(Fault::LockTimeout) => Err(locked()),
        Some(Fault::Unavailable) => Err(broken(503)),
        _ if every > 0 && count.is_multiple_of(every) => Err(busy()),
        _ => Ok(()),
    };
    let admitted = refusal.and_then(|()| admit(world, arrived));
    let is_secret_key = match admitted {
        Ok(is_secret_key) => is_secret_key,
        Err(complaint) => return Begun::Answer(finish(world, request, Err(complaint))),
    };
    if fault != Some(Fault::HangBeforeEffect)
        && let Some(key) = arrived.key()
    {
        let now = world.now;
        match world.answers.begin(key, &arrived.path, &arrived.body, now) {
            Ok(None) => {}
            Ok(Some(kept)) => return Begun::Answer(replay(world, request, kept)),
            Err(complaint) => return Begun::Answer(finish(world, request, Err(complaint))),
        }
    }
    Begun::Go { request, is_secret_key, fault }
}

impl Arrived {
    /// The idempotency key, where it has a meaning.
    fn key(&self) -> Option<&str> {
        self.idempotency_key.as_deref().filter(|_| self.method == "POST")
    }

    fn parameters(&self) -> Parameters {
        Parameters::decode(self.query.as_bytes()).join(Parameters::decode(&self.body))
    }

    /// The API key: by Bearer, as the user of Basic, or, from the browser, as the parameter `key`.
    fn api_key(&self) -> Option<String> {
        let header = self.authorization.as_deref().unwrap_or_default();
        if let Some(key) = header.strip_prefix("Bearer ") {
            return Some(key.trim().to_owned());
        }
        if let Some(basic) = header.strip_prefix("Basic ") {
            let text = String::from_utf8(STANDARD.decode(basic.trim()).ok()?).ok()?;
            return Some(text.split(':').next().unwrap_or_default().to_owned());
        }
        self.parameters().raw("key").map(str::to_owned)
    }
}

/// True if the key is the secret one.
fn admit(world: &World, arrived: &Arrived) -> Result<bool, Complaint> {
    let key = arrived.api_key().filter(|key| !key.is_empty()).ok_or_else(no_key)?;
    let is_secret_key = key == world.keys.secret;
    if !is_secret_key && key != world.keys.publishable {
        return Err(wrong_key(&key));
    }
    match arrived.version.as_deref() {
        None | Some(API_VERSION) => Ok(is_secret_key),
        Some(other) => {
            let message = format!("Invalid Stripe API version: {other}");
            Err(Complaint::refused(&message))
        }
    }
}

/// Has the effect and keeps the answer for the key.
fn act(
    world: &mut World,
    arrived: &Arrived,
    request: String,
    is_secret_key: bool,
    fault: Option<Fault>,
) -> Answered {
    world.request = (Some(request.clone()), arrived.idempotency_key.clone());
    let form = arrived.parameters();
    let result = match fault {
        Some(Fault::ServerErrorBeforeEffect) => Err(broken(500)),
        _ => routes::run(world, &arrived.method, &arrived.path, &form, is_secret_key),
    };
    world.request = (None, None);
    let result = match fault {
        Some(Fault::ServerErrorAfterEffect) => Err(broken(500)),
        _ => result,
    };
    let is_free = result.as_ref().is_err_and(|complaint| complaint.is_before_start);
    let answered = finish(world, request, result);
    match arrived.key() {
        Some(key) if is_free => world.answers.free(key),
        Some(key) => {
            let (body, request) = (answered.body.clone(), answered.request.clone());
            world.answers.keep(key, Kept { status: answered.status, body, request });
        }
        None => {}
    }
    answered
}

fn finish(world: &mut World, request: String, result: Result<Value, Complaint>) -> Answered {
    let (status, body, code) = match result {
        Ok(value) => (200, value, String::new()),
        Err(complaint) => {
            let code = complaint.error["code"].as_str().unwrap_or_default().to_owned();
            let url = format!("{}/simulated/requests#{request}", world.base_url);
            let complaint = complaint.with("request_log_url", url.into());
            (complaint.status, complaint.body(), code)
        }
    };
    note(world, &request, status);
    let should_retry = matches!(code.as_str(), "lock_timeout" | "idempotency_key_in_use");
    let retry_after = world.behaviour.retry_after_seconds;
    Answered {
        status,
        body: serde_json::to_string_pretty(&body).unwrap_or_default(),
        request,
        original: None,
        should_retry: should_retry.then_some(true),
        retry_after: (status == 429 && retry_after > 0).then_some(retry_after),
    }
}

fn replay(world: &mut World, request: String, kept: Kept) -> Answered {
    note(world, &request, kept.status);
    Answered {
        status: kept.status,
        body: kept.body,
        request,
        original: Some(kept.request),
        // Another attempt with this key would answer the same.
        should_retry: (kept.status >= 500).then_some(false),
        retry_after: None,
    }
}

fn note(world: &mut World, request: &str, status: u16) {
    if let Some(noted) = world.requests.iter_mut().rev().find(|noted| noted.id == request) {
        noted.status = Some(status);
    }
}
