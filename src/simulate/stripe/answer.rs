//! Errors in the format of Stripe's API (<https://docs.stripe.com/api/errors>).

use serde_json::{Map, Value, json};
use thiserror::Error;

/// An error as Stripe answers it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{status} {}", error["message"].as_str().unwrap_or_default())]
pub struct Complaint {
    /// Status of the HTTP answer.
    pub status: u16,
    /// The object below `error` of the answer's body.
    pub error: Value,
    /// True if the request was refused before it began, so that its idempotency key stays free.
    pub(super) is_before_start: bool,
}

impl Complaint {
    /// An error of a type, with a code where Stripe gives one.
    pub(super) fn new(status: u16, kind: &str, code: Option<&str>, message: &str) -> Self {
        let mut error = Map::new();
        if let Some(code) = code {
            error.insert("code".to_owned(), json!(code));
            let page = code.replace('_', "-");
            error.insert("doc_url".to_owned(), json!(format!("{PAGES}/{page}")));
        }
        error.insert("message".to_owned(), json!(message));
        error.insert("type".to_owned(), json!(kind));
        Self { status, error: Value::Object(error), is_before_start: false }
    }

    /// A 400 `invalid_request_error`.
    pub(super) fn invalid(code: &str, message: &str) -> Self {
        Self::new(400, "invalid_request_error", Some(code), message)
    }

    /// A 400 `invalid_request_error` without a code.
    pub(super) fn refused(message: &str) -> Self {
        Self::new(400, "invalid_request_error", None, message)
    }

    /// A 400 for a parameter that is not well-formed; nothing is kept for its idempotency key.
    pub(super) fn parameter(code: &str, name: &str, message: &str) -> Self {
        let mut complaint = Self::invalid(code, message).about(name);
        complaint.is_before_start = true;
        complaint
    }

    /// An object that does not exist, named by a parameter of the request.
    pub(super) fn missing(kind: &str, id: &str, parameter: &str) -> Self {
        Self::invalid("resource_missing", &no_such(kind, id)).about(parameter)
    }

    /// The same, for an object that the path names.
    pub(super) fn not_found(mut self) -> Self {
        self.status = 404;
        self
    }

    /// Names the parameter.
    pub(super) fn about(self, parameter: &str) -> Self {
        self.with("param", json!(parameter))
    }

    /// Adds a member.
    pub(super) fn with(mut self, member: &str, value: Value) -> Self {
        self.error[member] = value;
        self
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> Value {
        json!({ "error": self.error })
    }
}

const PAGES: &str = "https://stripe.com/docs/error-codes";

/// The sentence for an unknown id; Stripe spells the names of resources in three ways.
fn no_such(kind: &str, id: &str) -> String {
    let word = match kind {
        "payment_method" => "PaymentMethod".to_owned(),
        "webhook_endpoint" => "webhook endpoint".to_owned(),
        "balance_transaction" => "balance transaction".to_owned(),
        other => other.to_owned(),
    };
    let tail = if kind == "payment_method" {
        "; It's possible this PaymentMethod exists on one of your connected accounts, in which \
         case you should retry this request on that connected account."
    } else {
        ""
    };
    format!("No such {word}: '{id}'{tail}")
}

/// No key was given.
pub(super) fn no_key() -> Complaint {
    let message = "You did not provide an API key. You need to provide your API key in the \
                   Authorization header, using Bearer auth (e.g. 'Authorization: Bearer \
                   YOUR_SECRET_KEY').";
    Complaint::new(401, "invalid_request_error", None, message)
}

/// A key that is not the account's; only its last characters are shown.
pub(super) fn wrong_key(key: &str) -> Complaint {
    let tail: String = key.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
    let message = format!("Invalid API Key provided: ********{tail}");
    Complaint::new(401, "invalid_request_error", None, &message)
}

/// A publishable key where only a secret one may ask.
pub(super) fn secret_key_required() -> Complaint {
    let message = "This API call cannot be made with a publishable API key. Please use a secret \
                   API key. You can find a list of your API keys at \
                   https://dashboard.stripe.com/account/apikeys.";
    Complaint::new(401, "invalid_request_error", Some("secret_key_required"), message)
}

/// A path that the API does not have.
pub(super) fn unknown_path(method: &str, path: &str) -> Complaint {
    let message = format!(
        "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we \
         can help at https://support.stripe.com/."
    );
    Complaint::new(404, "invalid_request_error", None, &message)
}

/// Too many requests.
pub(super) fn busy() -> Complaint {
    let message = "Request rate limit exceeded. Learn more about rate limits \
                   https://stripe.com/docs/rate-limits.";
    Complaint::new(429, "invalid_request_error", Some("rate_limit"), message)
}

/// Another request has the object (<https://docs.stripe.com/rate-limits#object-lock-timeouts>).
pub(super) fn locked() -> Complaint {
    let message = "This object cannot be accessed right now because another API request or \
                   Stripe process is currently accessing it. If you see this error \
                   intermittently, retry the request.";
    Complaint::new(429, "invalid_request_error", Some("lock_timeout"), message)
}

/// Stripe's own failure.
pub(super) fn broken(status: u16) -> Complaint {
    let message = "Sorry! There was an error while talking to one of our backends. Support has \
                   been notified.";
    Complaint::new(status, "api_error", None, message)
}
