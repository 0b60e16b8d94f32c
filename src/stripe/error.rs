//! Why a call to Stripe failed; the kind says what to do.

use super::objects::Complaint;

/// A call to Stripe that failed. Its text holds no secret and nothing of a customer.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// Nothing reached Stripe: no address, no connection, no time left. Send it again under the
    /// same key.
    #[error("stripe cannot be reached ({what})")]
    NotSent {
        /// What happened.
        what: String,
    },
    /// Sent, without an answer that can be read: time-out, reset, an answer of something that is
    /// not Stripe. It may have had effect: ask again under the same key, byte for byte.
    #[error("the outcome at stripe is unknown ({what})")]
    Unknown {
        /// What happened.
        what: String,
    },
    /// 5xx: it may have had effect, and Stripe keeps this answer under the key. Look the object up.
    #[error("stripe failed (status {status})")]
    Server {
        /// The HTTP status.
        status: u16,
    },
    /// 409, or a lock at Stripe: the first request under this key, or another one on this object,
    /// is in progress. Ask again later under the same key.
    #[error("a request on the same key or object is in progress at stripe")]
    InUse,
    /// The key is known with other parameters: a fault of ours. This request did nothing.
    #[error("stripe knows the idempotency key with other parameters")]
    KeyReused,
    /// 429 up to the deadline; nothing was done.
    #[error("stripe refuses more requests for now")]
    Busy,
    /// 401 or 403: the key is wrong, or may not do this.
    #[error("stripe refuses the api key")]
    Unauthorized,
    /// There is no such object: the one of the path, or the one that the parameter `param` names.
    #[error("stripe knows no such object")]
    NotFound {
        /// The parameter at fault; Stripe names one for the path too (`id`, `intent`).
        param: Option<String>,
    },
    /// The card was declined, or must be confirmed (402).
    #[error("stripe reports a card error ({})", .0.reason())]
    Card(Box<Complaint>),
    /// Any other 4xx: the request is wrong, or does not fit the object's state.
    #[error("stripe refuses the request ({})", .0.reason())]
    Refused(Box<Complaint>),
    /// A listing has more pages than the limit.
    #[error("stripe's listing has more than {pages} pages")]
    TooManyPages {
        /// How many were read.
        pages: usize,
    },
    /// The client or the request cannot be created: `stripe.api_base`, the API key or the
    /// idempotency key has a wrong form. Nothing was sent.
    #[error("the request to stripe cannot be created: {problem}")]
    Client {
        /// Why.
        problem: String,
    },
}

impl StripeError {
    /// True if the outcome is not known: this request, or one before it under the same key, may
    /// have had effect. Never take such an error for a failure.
    ///
    /// A card error is a known outcome: the payment was tried, and is not paid.
    pub fn may_have_effect(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Server { .. } | Self::InUse)
    }

    /// True if the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        self.may_have_effect() || matches!(self, Self::NotSent { .. } | Self::Busy)
    }

    /// What Stripe said about the card or the request.
    pub fn complaint(&self) -> Option<&Complaint> {
        match self {
            Self::Card(complaint) | Self::Refused(complaint) => Some(complaint),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StripeError;

    #[test]
    fn an_unknown_outcome_is_never_a_failure() {
        let what = String::new;
        let table = [
            (StripeError::NotSent { what: what() }, false, true),
            (StripeError::Unknown { what: what() }, true, true),
            (StripeError::Server { status: 500 }, true, true),
            (StripeError::InUse, true, true),
            (StripeError::KeyReused, false, false),
            (StripeError::Busy, false, true),
            (StripeError::Unauthorized, false, false),
            (StripeError::NotFound { param: None }, false, false),
            (StripeError::Card(Box::default()), false, false),
            (StripeError::Refused(Box::default()), false, false),
            (StripeError::TooManyPages { pages: 1 }, false, false),
            (StripeError::Client { problem: what() }, false, false),
        ];
        for (error, may_have_effect, is_transient) in table {
            assert_eq!(error.may_have_effect(), may_have_effect, "{error}");
            assert_eq!(error.is_transient(), is_transient, "{error}");
        }
    }
}
