//! Rate limits: requests of one key, and failed logins from one address.
//!
//! Checked before the ledger, so that a caller who guesses keys costs almost nothing. Each process
//! counts alone, and in memory only: that is enough to keep one caller from taking the capacity of
//! others, and is not meant for more.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::problem::Problem;
use crate::config;
use crate::ledger::keys::{KeyId, Scope};
use crate::metrics::HTTP_RATE_LIMITED;

/// Most buckets at once; all further callers share one more.
const BUCKETS_MAX: usize = 10_000;

/// The limits of a process; `None`: no limit.
#[derive(Debug)]
pub(super) struct RateLimits {
    account_keys: Option<Buckets<KeyId>>,
    /// Keys of the scopes `admin` and `authorize`; no id: the admin key of the settings.
    other_keys: Option<Buckets<Option<KeyId>>>,
    failed_logins: Option<Buckets<IpAddr>>,
}

impl RateLimits {
    /// The limits of the settings.
    pub(super) fn from_settings(http: &config::Http) -> Self {
        Self {
            account_keys: Buckets::new(
                http.account_key_requests_per_second,
                http.account_key_requests_burst,
            ),
            other_keys: Buckets::new(
                http.other_key_requests_per_second,
                http.other_key_requests_burst,
            ),
            failed_logins: Buckets::new(http.failed_logins_per_second, http.failed_logins_burst),
        }
    }

    /// Counts a request of a known key; `id` none: the admin key of the settings.
    ///
    /// # Errors
    /// 429 if the key exceeds its limit.
    pub(super) fn take(
        &self,
        id: Option<KeyId>,
        scope: &Scope,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let (limit, taken) = match (scope, id) {
            (Scope::Account(_) | Scope::Read(_), Some(id)) => {
                ("account_key", self.account_keys.as_ref().map(|keys| keys.take(&id, now)))
            }
            _ => ("other_key", self.other_keys.as_ref().map(|keys| keys.take(&id, now))),
        };
        taken.unwrap_or(Ok(())).map_err(|wait| limited(limit, wait))
    }

    /// Checks whether an address may try a key that is not cached.
    ///
    /// # Errors
    /// 429 if too many of its keys were unknown.
    pub(super) fn may_try(&self, peer: IpAddr, now: DateTime<Utc>) -> Result<(), Problem> {
        let Some(logins) = &self.failed_logins else { return Ok(()) };
        logins.look(&network(peer), now).map_err(|wait| limited("failed_login", wait))
    }

    /// Counts a failed login of an address.
    pub(super) fn failed(&self, peer: IpAddr, now: DateTime<Utc>) {
        if let Some(logins) = &self.failed_logins {
            logins.spend(&network(peer), now);
        }
    }
}

fn limited(limit: &'static str, wait: TimeDelta) -> Problem {
    metrics::counter!(HTTP_RATE_LIMITED, "limit" => limit).increment(1);
    Problem::rate_limited(wait)
}

/// The network of one customer of a provider: an IPv4 address, or the first 64 bits of an IPv6 one.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A token bucket for each `K`: it has a size, and refills at a steady rate.
#[derive(Debug)]
struct Buckets<K> {
    /// Time to add one token.
    interval: TimeDelta,
    /// Time to fill an empty bucket.
    whole: TimeDelta,
    state: Mutex<State<K>>,
}

/// When each bucket is full again; a full bucket may be absent.
#[derive(Debug)]
struct State<K> {
    each: HashMap<K, DateTime<Utc>>,
    /// The shared bucket of all further callers.
    others: DateTime<Utc>,
    /// When full buckets were dropped last.
    swept: DateTime<Utc>,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Buckets of `burst` tokens; `None` for a rate of 0: no limit.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let interval = TimeDelta::nanoseconds(1_000_000_000_i64.checked_div(per_second.into())?);
        let never = DateTime::UNIX_EPOCH;
        let state = State { each: HashMap::new(), others: never, swept: never };
        let whole = interval * i32::try_from(burst).unwrap_or(i32::MAX);
        Some(Self { interval, whole, state: Mutex::new(state) })
    }

    /// Takes a token; the error is the time until there is one.
    fn take(&self, key: &K, now: DateTime<Utc>) -> Result<(), TimeDelta> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = state.bucket(key, now, self.latest(now));
        self.wait(*full_at, now)?;
        *full_at = (*full_at).max(now) + self.interval;
        Ok(())
    }

    /// Checks for a token; the error is the time until there is one.
    fn look(&self, key: &K, now: DateTime<Utc>) -> Result<(), TimeDelta> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.wait(*state.bucket(key, now, self.latest(now)), now)
    }

    /// Takes a token, even if there is none.
    fn spend(&self, key: &K, now: DateTime<Utc>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = self.latest(now);
        let full_at = state.bucket(key, now, latest);
        *full_at = ((*full_at).max(now) + self.interval).min(latest);
    }

    /// No caller owes more than one bucket of tokens.
    fn latest(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.whole * 2
    }

    fn wait(&self, full_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), TimeDelta> {
        let wait = full_at.max(now) - now + self.interval - self.whole;
        if wait <= TimeDelta::zero() { Ok(()) } else { Err(wait) }
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    /// When a bucket is full again; at most `latest`, even if the clock went back.
    fn bucket(&mut self, key: &K, now: DateTime<Utc>, latest: DateTime<Utc>) -> &mut DateTime<Utc> {
        let is_crowded = self.each.len() >= BUCKETS_MAX && !self.each.contains_key(key);
        // At most once a second: it scans all of them.
        if is_crowded && (now - self.swept).abs() >= TimeDelta::seconds(1) {
            self.each.retain(|_, full_at| *full_at > now);
            self.swept = now;
        }
        let full_at = if is_crowded && self.each.len() >= BUCKETS_MAX {
            &mut self.others
        } else {
            self.each.entry(key.clone()).or_insert(now)
        };
        *full_at = (*full_at).min(latest);
        full_at
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::{BUCKETS_MAX, Buckets, network};

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + milliseconds).unwrap()
    }

    /// How many of 100 attempts get a token.
    fn taken(buckets: &Buckets<u32>, key: u32, now: DateTime<Utc>) -> usize {
        (0..100).filter(|_| buckets.take(&key, now).is_ok()).count()
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_one_by_one() {
        let buckets = Buckets::new(10, 5).unwrap();
        assert_eq!(taken(&buckets, 1, at(0)), 5);
        assert_eq!(buckets.take(&1, at(0)), Err(TimeDelta::milliseconds(100)));
        assert_eq!(taken(&buckets, 1, at(99)), 0);
        assert_eq!(taken(&buckets, 1, at(100)), 1);
        assert_eq!(taken(&buckets, 1, at(300)), 2);
        assert_eq!(taken(&buckets, 2, at(300)), 5, "another's bucket is full");
        assert_eq!(taken(&buckets, 1, at(60_000)), 5, "no more than it holds");
        assert!(Buckets::<u32>::new(0, 5).is_none(), "no rate is no limit");
    }

    #[test]
    fn who_spends_what_is_not_there_waits_longer_but_not_for_ever() {
        let buckets = Buckets::new(10, 5).unwrap();
        for _ in 0..7 {
            buckets.spend(&1, at(0));
        }
        assert_eq!(buckets.look(&1, at(0)), Err(TimeDelta::milliseconds(300)));
        for _ in 0..1_000 {
            buckets.spend(&1, at(0));
        }
        assert_eq!(buckets.look(&1, at(0)), Err(TimeDelta::milliseconds(600)));
        assert_eq!(buckets.look(&1, at(600)), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out() {
        let buckets = Buckets::new(10, 5).unwrap();
        for _ in 0..7 {
            buckets.spend(&1, at(3_600_000));
        }
        assert_eq!(buckets.look(&1, at(0)), Err(TimeDelta::milliseconds(600)));
        assert_eq!(buckets.look(&1, at(600)), Ok(()));
    }

    #[test]
    fn however_many_come_no_more_are_kept_than_there_is_room_for() {
        let buckets = Buckets::new(1, 2).unwrap();
        let many = u32::try_from(BUCKETS_MAX).unwrap() + 500;
        for key in 0..many {
            buckets.spend(&key, at(0));
        }
        let kept = || buckets.state.lock().unwrap().each.len();
        assert_eq!(kept(), BUCKETS_MAX);
        assert!(buckets.look(&(many + 1), at(0)).is_err(), "those beyond it share one");
        assert_eq!(buckets.look(&0, at(0)), Ok(()), "and the others have their own");
        buckets.spend(&many, at(5_000));
        assert_eq!(kept(), 1, "full ones are forgotten");
    }

    #[test]
    fn an_address_is_that_of_a_network() {
        for (peer, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(network(peer.parse().unwrap()).to_string(), expected);
        }
    }
}
