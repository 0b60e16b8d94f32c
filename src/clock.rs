//! The only place that reads the machine's clock. All other code gets a [`Clock`] or a time, so
//! that tests and simulations set the time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::time::Instant;

/// The present time: the machine's, or one that a test sets.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    offset: TimeDelta,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
        Self { read: Arc::new(Utc::now), offset: TimeDelta::zero() }
    }

    /// This clock, ahead by `offset`.
    #[must_use]
    pub fn moved_by(self, offset: TimeDelta) -> Self {
        Self { offset, ..self }
    }

    /// A clock that returns what `now` returns.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(now), offset: TimeDelta::zero() }
    }

    /// The present time, in whole microseconds (Postgres's resolution).
    pub fn now(&self) -> DateTime<Utc> {
        self.unmoved() + self.offset
    }

    /// The time without the offset: for what others date, such as a signature.
    pub fn unmoved(&self) -> DateTime<Utc> {
        (self.read)().trunc_subsecs(6)
    }

    /// How far it is ahead.
    pub fn offset(&self) -> TimeDelta {
        self.offset
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Clock")
    }
}

/// Sleeps until the next multiple of `every` since the process first slept so. Loops that use this wake
/// together, so an idle process wakes less often (decision 0044).
pub async fn beat(every: Duration) {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let (first, now) = (*FIRST.get_or_init(Instant::now), Instant::now());
    tokio::time::sleep_until(next_beat(first, now, every)).await;
}

fn next_beat(first: Instant, now: Instant, every: Duration) -> Instant {
    let every_nanos = every.as_nanos().max(1);
    let over = now.duration_since(first).as_nanos() % every_nanos;
    now + Duration::from_nanos_u128(every_nanos - over)
}

#[cfg(test)]
mod tests {
    use super::next_beat;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn beats_are_the_multiples_of_a_period_and_never_now() {
        let first = Instant::now();
        let ms = Duration::from_millis;
        for (now, next) in [(0, 300), (1, 300), (299, 300), (300, 600), (301, 600), (1000, 1200)] {
            assert_eq!(next_beat(first, first + ms(now), ms(300)), first + ms(next), "{now}");
        }
        assert!(next_beat(first, first, Duration::ZERO) > first);
    }
}
