//! Callers that ask before they call, as a dialer does: they authorize, extend while the call
//! lasts, hang up when nothing more is granted, and void calls that are not made after all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::call::{Direction, Status};
use super::progress::Progress;
use super::render::{end_name, sid};
use super::traffic::Planned;

/// Callers that wait for an answer at the same time.
const CALLERS: usize = 64;
/// Calls that wait for a caller.
const WAITING_MAX: usize = 256;
/// Timeout of one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Seconds that a caller asks for at first, and with each extension.
const ASKED_SECONDS: u32 = 300;
const MORE_SECONDS: u32 = 600;
/// One allowed call in this many is not made.
const VOIDED_OF: u128 = 50;

/// Why callers cannot ask.
#[derive(Debug, thiserror::Error)]
pub enum DialerError {
    /// Nothing answers at the URL.
    #[error("the service does not answer at {url}; check --authorize and that it runs")]
    Unreachable {
        /// The URL.
        url: String,
        /// The error of the client.
        source: reqwest::Error,
    },
}

/// Counts of requests and answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Authorizations {
    /// Allowed calls.
    pub allowed: u64,
    /// Denied calls, by reason.
    pub denied: BTreeMap<String, u64>,
    /// Extensions of calls in progress.
    pub extended: u64,
    /// Calls that ended because nothing more was granted.
    pub cut: u64,
    /// Allowed calls that were not made.
    pub voided: u64,
    /// Calls that were not made because holds were unknown.
    pub unavailable: u64,
    /// Requests without an answer.
    pub failed: u64,
    /// The answer that ended the traffic: a wrong key, or a path that does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl fmt::Display for Authorizations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let denied: u64 = self.denied.values().sum();
        write!(
            formatter,
            "{} calls allowed, {denied} denied, {} extensions, {} cut short, {} voided, \
             {} not made while holds were unknown, {} requests without an answer",
            self.allowed, self.extended, self.cut, self.voided, self.unavailable, self.failed
        )?;
        for (reason, calls) in &self.denied {
            write!(formatter, "\n  denied, {reason}: {calls}")?;
        }
        Ok(())
    }
}

/// Parses the base URL of a service; removes a slash at its end.
///
/// # Errors
/// If it is not an `http://` URL.
pub fn service(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.scheme() != "http" || url.host_str().is_none() {
        return Err("is no URL such as http://127.0.0.1:8080".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// True for calls that are dialled through the service; others come in from outside.
pub(super) fn is_dialled(planned: &Planned) -> bool {
    planned.call.direction == Direction::OutboundApi
}

/// A pool of callers; answers arrive in any order.
pub struct Dialer {
    questions: Option<mpsc::Sender<Planned>>,
    answers: blocking::Receiver<Option<Planned>>,
    /// Calls asked for and not answered yet.
    waiting: u64,
    counts: Arc<Mutex<Authorizations>>,
}

impl Dialer {
    /// Checks that the service answers, and starts the callers.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn open(url: &str, key: &str, progress: Arc<Progress>) -> Result<Self, DialerError> {
        let unreachable = |source| DialerError::Unreachable { url: url.to_owned(), source };
        let client = crate::http_client::client(|client| {
            client.timeout(ANSWER_MAX).pool_max_idle_per_host(CALLERS)
        });
        let client = client.map_err(unreachable)?;
        client.get(format!("{url}/livez")).send().await.map_err(unreachable)?;
        let counts = Arc::new(Mutex::default());
        let (questions, asked) = mpsc::channel(WAITING_MAX);
        let (answered, answers) = blocking::channel();
        let caller = Caller {
            client,
            url: url.to_owned(),
            key: key.to_owned(),
            counts: Arc::clone(&counts),
            progress,
        };
        tokio::spawn(async move {
            let asked = futures::stream::unfold(asked, |mut asked| async {
                asked.recv().await.map(|planned| (planned, asked))
            });
            asked
                .for_each_concurrent(CALLERS, async |planned| {
                    // If the receiver is gone, nobody needs the answer.
                    let _ = answered.send(caller.call(planned).await);
                })
                .await;
        });
        Ok(Self { questions: Some(questions), answers, waiting: 0, counts })
    }

    /// Passes a call to the next free caller; waits while too many wait.
    pub(super) fn ask(&mut self, planned: Planned) {
        let Some(questions) = &self.questions else { return };
        if questions.blocking_send(planned).is_ok() {
            self.waiting += 1;
        }
    }

    /// A call that has been allowed; `None` if there is none at present.
    pub(super) fn allowed(&mut self) -> Option<Planned> {
        while let Ok(answer) = self.answers.try_recv() {
            self.waiting -= 1;
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    /// The next allowed call; `None` once every call is answered.
    pub(super) fn wait(&mut self) -> Option<Planned> {
        self.questions = None;
        while self.waiting > 0 {
            let answer = self.answers.recv().ok()?;
            self.waiting -= 1;
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    /// Returns the counts.
    pub(super) fn end(self) -> Authorizations {
        lock(&self.counts).clone()
    }
}

/// The state that all callers share.
struct Caller {
    client: Client,
    url: String,
    key: String,
    counts: Arc<Mutex<Authorizations>>,
    progress: Arc<Progress>,
}

impl Caller {
    /// Asks for one call; returns it as it will be made, or `None` if it will not.
    async fn call(&self, mut planned: Planned) -> Option<Planned> {
        let call_sid = text(&sid(*b"CA", planned.call.sid));
        let call = &planned.call;
        let question = json!({
            "twilio_account_sid": text(&planned.account_sid),
            "call_sid": call_sid,
            "from": end_name(call.from),
            "to": end_name(call.to),
            "direction": call.direction.word(),
            "seconds": ASKED_SECONDS,
        });
        let path = format!("{}/v1/authorizations", self.url);
        let answer = self.send(self.client.post(path).json(&question)).await?;
        let mut granted = self.read(&answer)?;
        lock(&self.counts).allowed += 1;
        if planned.call.sid.is_multiple_of(VOIDED_OF) {
            self.void(&planned, &call_sid).await;
            return None;
        }
        while planned.call.end == Status::Completed && planned.call.seconds > granted.seconds {
            if granted.is_final {
                planned.call.cut_to(granted.seconds);
                lock(&self.counts).cut += 1;
                break;
            }
            let wanted = planned.call.seconds.min(granted.seconds + MORE_SECONDS);
            let question = json!({ "seconds": wanted });
            let path = self.path_of(&planned, &call_sid, "/extend");
            let answer = self.send(self.client.post(path).json(&question)).await;
            let more = answer.and_then(|answer| Granted::read(&answer));
            // Without an answer the call ends after the time it was granted.
            granted = more.unwrap_or(Granted { is_final: true, ..granted });
            lock(&self.counts).extended += u64::from(more.is_some());
        }
        Some(planned)
    }

    /// Path of a call's authorization; simulated accounts are named by their number.
    fn path_of(&self, planned: &Planned, call_sid: &str, rest: &str) -> String {
        let account = super::accounts::id_text(planned.call.account);
        format!("{}/v1/authorizations/{call_sid}{rest}?account={account}", self.url)
    }

    async fn void(&self, planned: &Planned, call_sid: &str) {
        let path = self.path_of(planned, call_sid, "");
        if self.send(self.client.delete(path)).await.is_some() {
            lock(&self.counts).voided += 1;
        }
    }

    /// Reads a decision and counts a denial.
    fn read(&self, answer: &Value) -> Option<Granted> {
        let granted = Granted::read(answer);
        if granted.is_none() {
            let reason = answer["reason"].as_str().unwrap_or("no reason").to_owned();
            *lock(&self.counts).denied.entry(reason).or_default() += 1;
        }
        granted
    }

    /// Sends a request; a failure is counted and returns `None`.
    async fn send(&self, request: RequestBuilder) -> Option<Value> {
        let Ok(response) = request.bearer_auth(&self.key).send().await else {
            lock(&self.counts).failed += 1;
            return None;
        };
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        match status {
            StatusCode::OK | StatusCode::NO_CONTENT => {
                Some(serde_json::from_slice(&body).unwrap_or_default())
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                lock(&self.counts).unavailable += 1;
                None
            }
            StatusCode::NOT_FOUND => {
                let reason = "unknown to the service".to_owned();
                *lock(&self.counts).denied.entry(reason).or_default() += 1;
                None
            }
            status => {
                let said = String::from_utf8_lossy(&body).into_owned();
                let refused = format!("the service answered {status}: {said}");
                lock(&self.counts).refused.get_or_insert(refused);
                self.progress.stop.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}

/// The granted time of a call.
#[derive(Clone, Copy)]
struct Granted {
    seconds: u32,
    is_final: bool,
}

impl Granted {
    fn read(answer: &Value) -> Option<Self> {
        let seconds = u32::try_from(answer["granted_seconds"].as_u64()?).ok()?;
        Some(Self { seconds, is_final: answer["final"].as_bool()? })
    }
}

fn text(letters: &[u8]) -> String {
    String::from_utf8_lossy(letters).into_owned()
}

/// Nothing panics between two writes, so the data behind a poisoned lock is consistent.
fn lock(counts: &Mutex<Authorizations>) -> MutexGuard<'_, Authorizations> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
