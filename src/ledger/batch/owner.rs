//! The owner of an event.

/// The Twilio account of an event, and the account that pays for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub twilio_account_key: i32,
    pub account_key: i32,
}

impl Owner {
    /// Orders owners as the ledger's index does.
    pub(super) fn rank(self) -> (i32, i32) {
        (self.account_key, self.twilio_account_key)
    }
}
