//! Why Twilio did not answer; the kind says what to do.

/// A question that Twilio did not answer.
#[derive(Debug, thiserror::Error)]
pub enum TwilioError {
    /// No connection, no answer in time, 429 or 5xx, also after several attempts: ask later.
    #[error("twilio does not answer ({what})")]
    Unavailable {
        /// What happened last.
        what: String,
    },
    /// There is no token for this account: `not_configured`.
    #[error("not_configured: the account has no auth token, and twilio.auth_token is not set")]
    NotConfigured,
    /// The stored token of this account cannot be opened: give the key of the settings, or set it
    /// anew.
    #[error("{problem}")]
    Token {
        /// Why.
        problem: String,
    },
    /// 401 or 403: the token is wrong, or may not ask for this account. Give another one.
    #[error("twilio refuses the credentials (status {status}, code {code})")]
    Unauthorized {
        /// The HTTP status.
        status: u16,
        /// Twilio's own code, 0 where there is none.
        code: i64,
    },
    /// 404: Twilio knows no such thing under this account.
    #[error("twilio knows no such resource")]
    NotFound,
    /// Any other status: the request is wrong, and stays so.
    #[error("twilio refuses the request (status {status}, code {code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's own code, 0 where there is none.
        code: i64,
    },
    /// The answer is not what the documentation says.
    #[error("twilio's answer cannot be read: {problem}")]
    Unreadable {
        /// What was wrong with it.
        problem: String,
    },
    /// The listing has more pages than are read in one go.
    #[error("twilio's listing has more than {pages} pages; ask for a shorter period")]
    TooManyPages {
        /// How many were read.
        pages: usize,
    },
    /// The client cannot be made, or `twilio.api_base` is no URL.
    #[error("the client of twilio cannot be made: {problem}")]
    Client {
        /// Why.
        problem: String,
    },
}

impl TwilioError {
    /// True where the same question may be answered later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
