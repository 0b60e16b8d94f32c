//! The time that all calls to Stripe of one request have together.

use std::time::Duration;

use tokio::time::Instant;

/// When an answer is no longer waited for. Copied from call to call, so that a request with many
/// calls takes no longer than `stripe.timeout_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline this long after now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The earlier of two deadlines.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }

    /// The time left; zero if it is over.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// True if no time is left.
    pub fn is_over(self) -> bool {
        self.remaining().is_zero()
    }

    /// The instant of the runtime's clock.
    pub fn instant(self) -> Instant {
        self.0
    }
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self(instant)
    }
}
