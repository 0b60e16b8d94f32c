//! Why a request to Twilio failed; the kind says what to do.

/// A request to Twilio that failed.
#[derive(Debug, thiserror::Error)]
pub enum TwilioError {
    /// No connection, no answer in time, 429 or 5xx, also after several attempts: retry later.
    #[error("twilio does not answer ({what})")]
    Unavailable {
        /// What happened last.
        what: String,
    },
    /// No token is set for this account: `not_configured`.
    #[error("not_configured: the account has no auth token, and twilio.auth_token is not set")]
    NotConfigured,
    /// The stored token of this account cannot be opened: set the key that sealed it, or set the
    /// token again.
    #[error("{problem}")]
    Token {
        /// Why.
        problem: String,
    },
    /// 401 or 403: the token is wrong, or may not read this account. Set another one.
    #[error("twilio refuses the credentials (status {status}, code {code})")]
    Unauthorized {
        /// The HTTP status.
        status: u16,
        /// Twilio's own code, 0 if there is none.
        code: i64,
    },
    /// 404: this account has no such resource at Twilio.
    #[error("twilio knows no such resource")]
    NotFound,
    /// Any other status: the request is wrong; a retry does not help.
    #[error("twilio refuses the request (status {status}, code {code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's own code, 0 if there is none.
        code: i64,
    },
    /// The answer is not as documented.
    #[error("twilio's answer cannot be read: {problem}")]
    Unreadable {
        /// What is wrong.
        problem: String,
    },
    /// The listing has more pages than the limit.
    #[error("twilio's listing has more than {pages} pages; ask for a shorter period")]
    TooManyPages {
        /// How many were read.
        pages: usize,
    },
    /// The client cannot be created, or `twilio.api_base` is not an HTTP address.
    #[error("the twilio client cannot be created: {problem}")]
    Client {
        /// Why.
        problem: String,
    },
}

impl TwilioError {
    /// True if a retry may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
