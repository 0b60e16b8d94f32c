//! What waits to be journaled, and what this process knows to be.

use std::collections::HashMap;

use callmeter_core::domain::{AccountId, CallSid};
use tokio::time::Instant;

use super::LateChange;
use crate::balance::hold::Hold;

/// Calls of which is remembered what was journaled last, twice.
const KNOWN_MAX: usize = 20_000;
/// Changes that may wait to be looked after in Redis; beyond, they are left to the mender.
const LATE_MAX: usize = 20_000;

/// An account's call.
type Key = (AccountId, CallSid);

#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub changes: HashMap<Key, Change>,
    /// Tags of calls whose changes wait.
    pub tags: HashMap<(i32, CallSid), Box<str>>,
    by_account: HashMap<AccountId, usize>,
    /// By account, how many changes are being written: they count until they are.
    in_flight: HashMap<AccountId, usize>,
    /// Since when the oldest of those waits.
    in_flight_since: Option<Instant>,
    /// Number of the last change.
    pub last: u64,
    /// Since when the oldest change waits.
    since: Option<Instant>,
    /// Revisions that were noted here: an answer that is given again need not be written again.
    known: [HashMap<Key, i64>; 2],
    /// Changes to look after in Redis.
    late: Vec<LateChange>,
}

/// A change of one call's hold.
#[derive(Clone, Debug)]
pub(in crate::balance) struct Change {
    pub revision: i64,
    /// `None`: voided.
    pub hold: Option<Hold>,
    /// When Redis was asked for it.
    pub asked_at: Instant,
}

impl Waiting {
    /// Nothing is to be written or looked after.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.tags.is_empty()
            && self.in_flight.is_empty()
            && self.late.is_empty()
    }

    pub(super) fn put(&mut self, key: Key, change: Change) {
        self.last += 1;
        self.know(&key, change.revision);
        self.put_back(key, change);
    }

    /// Whether this very revision, or a later one, was noted before.
    pub(super) fn is_known(&self, key: &Key, revision: i64) -> bool {
        let mut known = self.known.iter().filter_map(|known| known.get(key));
        known.any(|known| *known >= revision)
    }

    fn know(&mut self, key: &Key, revision: i64) {
        if self.known[0].len() >= KNOWN_MAX {
            self.known.swap(0, 1);
            self.known[0].clear();
        }
        self.known[0].insert(key.clone(), revision);
    }

    /// Notes what is to be looked after in Redis.
    pub(super) fn look_after(&mut self, changes: impl IntoIterator<Item = LateChange>) {
        let room = LATE_MAX.saturating_sub(self.late.len());
        self.late.extend(changes.into_iter().take(room));
    }

    pub(super) fn take_late(&mut self) -> Vec<LateChange> {
        std::mem::take(&mut self.late)
    }

    pub(super) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Keeps the later of two changes of one call.
    pub(super) fn put_back(&mut self, key: Key, change: Change) {
        let at = self.since.map_or(change.asked_at, |since| since.min(change.asked_at));
        self.since = Some(at);
        let account = key.0.clone();
        match self.changes.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut standing) => {
                if standing.get().revision < change.revision {
                    standing.insert(change);
                }
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(change);
                *self.by_account.entry(account).or_default() += 1;
            }
        }
    }

    /// Takes everything to be written; it counts until [`Self::landed`].
    pub(super) fn take(&mut self) -> (HashMap<Key, Change>, u64) {
        self.in_flight = std::mem::take(&mut self.by_account);
        self.in_flight_since = self.since.take();
        (std::mem::take(&mut self.changes), self.last)
    }

    /// What was taken is written, or about to be put back.
    pub(super) fn landed(&mut self) {
        self.in_flight.clear();
        self.in_flight_since = None;
    }

    pub(super) fn all(&self) -> usize {
        self.changes.len() + self.in_flight.values().sum::<usize>()
    }

    pub(super) fn of_account(&self, account: &AccountId) -> usize {
        let counts = [&self.by_account, &self.in_flight];
        counts.iter().filter_map(|counts| counts.get(account)).sum()
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.in_flight_since.into_iter().chain(self.since).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str) -> AccountId {
        AccountId::parse(id).unwrap()
    }

    fn put(waiting: &mut Waiting, id: &str, call: &str, revision: i64) {
        let change = Change { revision, hold: None, asked_at: Instant::now() };
        waiting.put((account(id), CallSid::parse(call).unwrap()), change);
    }

    #[test]
    fn what_is_being_written_counts_until_it_is() {
        let (mut waiting, one, two) = (Waiting::default(), account("one"), account("two"));
        put(&mut waiting, "one", "CA1", 1);
        put(&mut waiting, "one", "CA2", 1);
        put(&mut waiting, "two", "CA3", 1);
        let (changes, last) = waiting.take();
        assert_eq!((changes.len(), last), (3, 3));
        put(&mut waiting, "one", "CA4", 1);
        assert_eq!((waiting.all(), waiting.of_account(&one), waiting.of_account(&two)), (4, 3, 1));
        assert!(waiting.oldest().is_some_and(|oldest| waiting.since.is_some_and(|it| oldest < it)));
        // Postgres is away: everything waits again.
        waiting.landed();
        for (key, change) in changes {
            waiting.put_back(key, change);
        }
        assert_eq!((waiting.all(), waiting.of_account(&one), waiting.of_account(&two)), (4, 3, 1));
        waiting.take();
        waiting.landed();
        assert_eq!((waiting.all(), waiting.of_account(&one), waiting.oldest()), (0, 0, None));
    }

    #[test]
    fn what_was_noted_is_known_and_a_later_revision_is_not() {
        let mut waiting = Waiting::default();
        put(&mut waiting, "one", "CA1", 7);
        let key = (account("one"), CallSid::parse("CA1").unwrap());
        assert!(waiting.is_known(&key, 7) && waiting.is_known(&key, 6));
        assert!(!waiting.is_known(&key, 8));
        for call in 0..KNOWN_MAX {
            put(&mut waiting, "two", &format!("CA{call}"), 1);
        }
        assert!(waiting.is_known(&key, 7), "of the calls before");
        for call in 0..=KNOWN_MAX {
            put(&mut waiting, "three", &format!("CA{call}"), 1);
        }
        assert!(!waiting.is_known(&key, 7), "forgotten");
    }
}
