//! Idempotency keys: the first answer is kept and replayed
//! (<https://docs.stripe.com/api/idempotent_requests>).
//!
//! Parameters are compared byte for byte as they were sent.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::answer::Complaint;

/// Stripe may remove a key after this time.
const KEPT_FOR: TimeDelta = TimeDelta::hours(24);
const KEY_LENGTH_MAX: usize = 255;

/// An answer that is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub status: u16,
    pub body: String,
    pub request: String,
}

#[derive(Debug)]
struct Entry {
    path: String,
    body: Vec<u8>,
    at: DateTime<Utc>,
    /// None while the first request is in progress.
    kept: Option<Kept>,
}

#[derive(Debug, Default)]
pub(super) struct Answers(HashMap<String, Entry>);

impl Answers {
    /// Begins a request under a key; gives the answer if there is one already.
    pub(super) fn begin(
        &mut self,
        key: &str,
        path: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Option<Kept>, Complaint> {
        if key.len() > KEY_LENGTH_MAX {
            let message = "Idempotency-Key can have at most 255 characters";
            return Err(Complaint::refused(message));
        }
        self.0.retain(|_, entry| entry.kept.is_none() || now - entry.at < KEPT_FOR);
        if let Some(entry) = self.0.get(key) {
            return entry.answer(key, path, body);
        }
        let entry = Entry { path: path.to_owned(), body: body.to_owned(), at: now, kept: None };
        self.0.insert(key.to_owned(), entry);
        Ok(None)
    }

    /// Keeps the answer of a request.
    pub(super) fn keep(&mut self, key: &str, kept: Kept) {
        if let Some(entry) = self.0.get_mut(key) {
            entry.kept = Some(kept);
        }
    }

    /// Frees the key of a request that did not begin.
    pub(super) fn free(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Forgets every answer, as if a day had passed.
    pub(super) fn forget(&mut self) {
        self.0.retain(|_, entry| entry.kept.is_none());
    }
}

impl Entry {
    fn answer(&self, key: &str, path: &str, body: &[u8]) -> Result<Option<Kept>, Complaint> {
        let error = |message: &str| Err(Complaint::new(400, "idempotency_error", None, message));
        if self.path != path {
            return error(&format!(
                "Keys for idempotent requests can only be used for the same endpoint they were \
                 first used for ('{path}' vs '{}'). Try using a key other than '{key}' if you \
                 meant to execute a different request.",
                self.path
            ));
        }
        if self.body != body {
            return error(&format!(
                "Keys for idempotent requests can only be used with the same parameters they \
                 were first used with. Try using a key other than '{key}' if you meant to execute \
                 a different request."
            ));
        }
        if let Some(kept) = &self.kept {
            return Ok(Some(kept.clone()));
        }
        let message = format!(
            "There is currently another in-progress request using this Idempotent Key (that \
             probably means you submitted twice, and the other request is still going through): \
             {key}. Please try again later."
        );
        let code = Some("idempotency_key_in_use");
        Err(Complaint::new(409, "invalid_request_error", code, &message))
    }
}
