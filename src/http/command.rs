//! Requests that change something. The transaction of the change also stores the answer for the
//! request's Idempotency-Key (`crate::change`).

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Api;
use super::auth::Credential;
use super::connections::Peer;
use super::fields::{Fielded, Fields, line};
use super::middleware::RequestId;
use super::problem::{self, Problem};
use crate::change::{Change, Once};
use crate::keys::SealingKey;
use crate::ledger::LedgerError;
use crate::ledger::audit::By;
use crate::ledger::idempotency::{Answer, RequestName};

/// Header that marks an answer to an earlier request.
const REPLAYED: &str = "idempotent-replayed";
/// A sealed stored answer begins with this; others are JSON.
const SEALED: &str = "sealed:";

/// A request that changes something.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// The caller, whose access was checked.
    pub(super) credential: Credential,
    /// The client's address.
    pub(super) address: Option<IpAddr>,
    path: String,
    idempotency_key: Option<String>,
    why: Option<String>,
    request_id: Option<String>,
    body: Bytes,
}

/// The outcome of a command: a change, or a refusal without effect.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The change is done.
    Done(StatusCode, String),
    /// The change is done. The answer holds a secret and is stored sealed.
    DoneInSecret(StatusCode, String),
    /// Nothing was written.
    Refused(Problem),
}

impl Outcome {
    /// Done; the answer is `body` as JSON.
    pub(super) fn done(status: StatusCode, body: &impl Serialize) -> Self {
        Self::written(body, |body| Self::Done(status, body))
    }

    /// Done; the answer is `body` as JSON, with a secret that must not be readable in the ledger.
    pub(super) fn done_in_secret(status: StatusCode, body: &impl Serialize) -> Self {
        Self::written(body, |body| Self::DoneInSecret(status, body))
    }

    /// Done, without a body.
    pub(super) const fn done_silently() -> Self {
        Self::Done(StatusCode::NO_CONTENT, String::new())
    }

    fn written(body: &impl Serialize, done: impl Fn(String) -> Self) -> Self {
        match serde_json::to_string(body) {
            Ok(body) => done(body),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                Self::Refused(Problem::internal())
            }
        }
    }
}

impl Command {
    /// Reads a request after its access was checked.
    ///
    /// # Errors
    /// 400, 413 and 415 for wrong headers and bodies.
    pub(super) async fn from_request(
        credential: Credential,
        request: Request,
        api: &Api,
    ) -> Result<Self, Problem> {
        let headers = request.headers();
        let (idempotency_key, why) = (idempotency_key(headers)?, reason(headers)?);
        let is_json = is_json(headers);
        let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        let address = request.extensions().get::<Peer>().map(|peer| peer.0);
        // Unescaped, so that each path has one spelling: stored answers are found by it.
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        let body = Bytes::from_request(request, api).await;
        let body = body.map_err(|rejection| match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::too_large(format!("at most {} bytes are read", api.body_bytes_max))
            }
            _ => Problem::malformed("the body cannot be read"),
        })?;
        if !body.is_empty() && !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body is not declared as JSON",
                "send `Content-Type: application/json`",
            ));
        }
        Ok(Self { credential, address, path, idempotency_key, why, request_id, body })
    }

    /// Reads the body.
    ///
    /// # Errors
    /// 400 with every wrong field.
    pub(super) fn read<T: Fielded>(&self) -> Result<T, Problem> {
        self.read_by(T::read)
    }

    /// Reads the body with a closure, which may use more than the body.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_by<T>(
        &self,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Result<T, Problem> {
        Fields::read_body(&self.body, read)
    }

    /// Sets the reason in the body, if the change requires one; it replaces `X-Reason`.
    #[must_use]
    pub(super) fn because(self, reason: String) -> Self {
        Self { why: Some(reason), ..self }
    }

    /// Runs a change once and answers it; a repeated request gets the stored answer.
    /// `answer` is pure: it may run several times, as the transaction may.
    ///
    /// # Errors
    /// 422 for an Idempotency-Key of another body; the ledger's errors; 504 if the change is
    /// committed but authorizations may not see it yet.
    pub(super) async fn run<C, A>(
        self,
        api: &Api,
        change: C,
        answer: A,
    ) -> Result<Response, Problem>
    where
        C: Change,
        A: Fn(Result<C::Done, C::Refusal>) -> Outcome + Clone + Send + Sync + 'static,
    {
        let (by, request) = (self.by(api), self.name()?);
        let sealing = self.credential.sealing;
        let ran = api.changes.run_once(change, by, request, move |result| {
            let outcome = answer(result);
            let kept = answer_of(&outcome, sealing)?;
            Ok((outcome, kept))
        });
        match ran.await? {
            Once::Now(Outcome::Done(status, body) | Outcome::DoneInSecret(status, body)) => {
                Ok(respond(status, body, false))
            }
            Once::Now(Outcome::Refused(problem)) => Err(problem),
            Once::Earlier(answer) => {
                let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
                let body = match answer.body.strip_prefix(SEALED) {
                    // Another key of this name sealed it: the admin key has changed since.
                    Some(sealed) => sealing.open(sealed).ok_or_else(another_request)?,
                    None => answer.body,
                };
                Ok(respond(status, body, true))
            }
            Once::OtherBody => Err(another_request()),
        }
    }

    /// Who asks, for the audit.
    pub(super) fn by(&self, api: &Api) -> By {
        let by = By::new(&self.credential.id, api.clock.now()).because(self.why.clone());
        by.at_request(self.request_id.clone())
    }

    /// The name of the request; `None` without an Idempotency-Key.
    ///
    /// # Errors
    /// 400 if the body is not JSON.
    pub(super) fn name(&self) -> Result<Option<RequestName>, Problem> {
        let Some(key) = self.idempotency_key.clone() else { return Ok(None) };
        // Serialized again after parsing, so that spaces and the order of keys do not matter.
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        let body = serde_json::from_slice(body).and_then(|body: Value| serde_json::to_vec(&body));
        let body = body.map_err(|error| Problem::malformed(error.to_string()))?;
        Ok(Some(RequestName {
            credential: self.credential.id.clone(),
            path: self.path.clone(),
            key,
            body_sha256: Sha256::digest(body).into(),
        }))
    }
}

/// 422: the Idempotency-Key was used before for another request.
pub(super) fn another_request() -> Problem {
    Problem::refused(
        "idempotency_key_reused",
        "The Idempotency-Key belongs to another request",
        "send another key, or the body that it was first sent with",
    )
}

/// The answer to store; `None` if a repeated request may succeed later.
fn answer_of(outcome: &Outcome, sealing: SealingKey) -> Result<Option<Answer>, LedgerError> {
    let answer = |status: StatusCode, body| Some(Answer { status: status.as_u16(), body });
    Ok(match outcome {
        Outcome::Done(status, body) => answer(*status, body.clone()),
        Outcome::DoneInSecret(status, body) => {
            let sealed = sealing.seal(body);
            let sealed =
                sealed.ok_or_else(|| LedgerError::unreadable("an answer", "unsealable"))?;
            answer(*status, format!("{SEALED}{sealed}"))
        }
        Outcome::Refused(problem) if problem.is_final() => {
            let body = serde_json::to_string(problem).ok();
            body.and_then(|body| answer(problem.status(), body))
        }
        Outcome::Refused(_) => None,
    })
}

/// An answer with a JSON body; `replayed` marks that of an earlier request.
pub(super) fn respond(status: StatusCode, body: String, replayed: bool) -> Response {
    let media_type = if status.is_success() { "application/json" } else { problem::MEDIA_TYPE };
    let is_empty = body.is_empty();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if is_empty {
        headers.remove(header::CONTENT_TYPE);
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::malformed("the header Idempotency-Key is given twice"));
    }
    // A header's value may contain tabs, a key must not.
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key = key.filter(|key| key.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let fault = || {
        Problem::malformed("the header Idempotency-Key is not 1 to 255 printable ASCII characters")
    };
    key.map(|key| Some(key.to_owned())).ok_or_else(fault)
}

/// The administrator's reason in the header `X-Reason`: UTF-8, one line.
fn reason(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("x-reason") else { return Ok(None) };
    let fault = |why: &str| Problem::malformed(format!("the header X-Reason {why}"));
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| fault("is not UTF-8"))?;
    line(&Value::from(text)).map(Some).map_err(|why| fault(&why))
}
