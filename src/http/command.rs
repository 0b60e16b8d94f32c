//! Requests that change something. The answer is kept for the request's Idempotency-Key, in the
//! transaction of the change itself (`crate::change`).

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
use super::fields::{Fielded, Fields, line};
use super::middleware::RequestId;
use super::problem::{self, Problem};
use crate::change::{Change, Once};
use crate::keys::SealingKey;
use crate::ledger::LedgerError;
use crate::ledger::audit::By;
use crate::ledger::idempotency::{Answer, RequestName};

/// Says that an answer is an earlier one.
const REPLAYED: &str = "idempotent-replayed";
/// How a kept answer begins that is sealed; no other does, being JSON.
const SEALED: &str = "sealed:";

/// A request that changes something.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// Who asks, and reaches this.
    pub(super) credential: Credential,
    path: String,
    idempotency_key: Option<String>,
    why: Option<String>,
    request_id: Option<String>,
    body: Bytes,
}

/// What a command answers: a change that is done, or a refusal without effect.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The change is made.
    Done(StatusCode, String),
    /// The change is made, and the answer holds a secret: it is kept sealed.
    DoneInSecret(StatusCode, String),
    /// Nothing was written.
    Refused(Problem),
}

impl Outcome {
    /// Done, answering `body` as JSON.
    pub(super) fn done(status: StatusCode, body: &impl Serialize) -> Self {
        Self::written(body, |body| Self::Done(status, body))
    }

    /// Done, answering `body` as JSON, which holds a secret that nobody must find in the ledger.
    pub(super) fn done_in_secret(status: StatusCode, body: &impl Serialize) -> Self {
        Self::written(body, |body| Self::DoneInSecret(status, body))
    }

    /// Done, with nothing to answer.
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
    /// Takes what a request wants, once its key is known to reach it.
    ///
    /// # Errors
    /// 400, 413 and 415 for headers and bodies that cannot be used.
    pub(super) async fn of(
        credential: Credential,
        request: Request,
        api: &Api,
    ) -> Result<Self, Problem> {
        let headers = request.headers();
        let (idempotency_key, why) = (idempotency_key(headers)?, reason(headers)?);
        let is_json = is_json(headers);
        let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        // One spelling, whatever was escaped: kept answers are found by it.
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
        Ok(Self { credential, path, idempotency_key, why, request_id, body })
    }

    /// Reads the body.
    ///
    /// # Errors
    /// 400 with every field at fault.
    pub(super) fn read<T: Fielded>(&self) -> Result<T, Problem> {
        self.read_by(T::read)
    }

    /// Reads the body by a reader that knows more than the body.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_by<T>(
        &self,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Result<T, Problem> {
        Fields::read_body(&self.body, read)
    }

    /// With the reason that the body gives, where a change must have one; it takes the place of `X-Reason`.
    #[must_use]
    pub(super) fn because(self, reason: String) -> Self {
        Self { why: Some(reason), ..self }
    }

    /// Runs a change once and answers it; a request that was answered before gets that answer again.
    /// `answer` is pure: it may run several times, as the transaction may.
    ///
    /// # Errors
    /// 422 for a key that came with another body before; the ledger's errors; 504 where the change is
    /// made and authorizations may miss it.
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
        let by = By::new(&self.credential.id, api.clock.now()).because(self.why.clone());
        let by = by.at_request(self.request_id.clone());
        let request = self.name()?;
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
                    // Sealed by another key of this name: the admin key was changed meanwhile.
                    Some(sealed) => sealing.open(sealed).ok_or_else(another_request)?,
                    None => answer.body,
                };
                Ok(respond(status, body, true))
            }
            Once::OtherBody => Err(another_request()),
        }
    }

    /// What the request is called; `None` where its sender gave no key.
    fn name(&self) -> Result<Option<RequestName>, Problem> {
        let Some(key) = self.idempotency_key.clone() else { return Ok(None) };
        // Written again from its parsed form, so that spaces and the order of keys do not matter.
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

/// 422: the Idempotency-Key was used before, and not for this.
fn another_request() -> Problem {
    Problem::refused(
        "idempotency_key_reused",
        "The Idempotency-Key belongs to another request",
        "send another key, or the body that it was first sent with",
    )
}

/// The answer to keep; `None` where the same request may fare better later.
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

fn respond(status: StatusCode, body: String, replayed: bool) -> Response {
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
    // A header's value may hold tabs, a key may not.
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key = key.filter(|key| key.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let fault = || {
        Problem::malformed("the header Idempotency-Key has not 1 to 255 printable ASCII characters")
    };
    key.map(|key| Some(key.to_owned())).ok_or_else(fault)
}

/// Why an administrator does it, as the header `X-Reason` tells it: UTF-8, one line.
fn reason(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("x-reason") else { return Ok(None) };
    let fault = |why: &str| Problem::malformed(format!("the header X-Reason {why}"));
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| fault("is not UTF-8"))?;
    line(&Value::from(text)).map(Some).map_err(|why| fault(&why))
}
