//! Why a script does not know a wallet.

use super::reply::Reply;
use crate::balance::model::BalanceError;

/// The reason; each but [`Self::Moved`] leads to a load of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is not in Redis.
    Absent,
    /// It belongs to another server, or to the same one before it lost its memory.
    Epoch,
    /// Some of its holds, or a bucket of ended calls, are gone.
    Torn,
    /// The ledger went back in time since it was projected.
    Incarnation,
    /// It does not pay for the `AccountSid` by which it was found.
    Moved,
}

impl Unknown {
    /// The word of the scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Epoch => "epoch",
            Self::Torn => "torn",
            Self::Incarnation => "incarnation",
            Self::Moved => "moved",
        }
    }

    pub(super) fn read(reply: &mut Reply) -> Result<Self, BalanceError> {
        let word = reply.text()?;
        let all = [Self::Absent, Self::Epoch, Self::Torn, Self::Incarnation, Self::Moved];
        let found = all.into_iter().find(|why| why.as_str() == word);
        found.ok_or_else(|| reply.unreadable(&word))
    }
}
