//! Changes that wait to be journaled, and those that this process knows to be journaled.

use std::collections::hash_map::Entry;

use callmeter_core::domain::{AccountId, CallSid};
use foldhash::{HashMap, HashMapExt as _};
use tokio::time::Instant;

use super::change::{CallChange, Change};
use crate::balance::model::Recent;

/// Calls of one generation whose last journaled revision is remembered; there are two generations.
const KNOWN_MAX: usize = 20_000;
/// Changes that may wait to be checked in Redis; beyond, they are left to the patrol.
const LATE_MAX: usize = 20_000;

/// An account's call.
type Key = (AccountId, CallSid);

#[derive(Debug)]
pub(super) struct Pending {
    pub changes: HashMap<Key, Asked>,
    /// Tags of calls whose changes wait.
    pub tags: HashMap<(i32, CallSid), Box<str>>,
    by_account: HashMap<AccountId, usize>,
    /// By account, how many changes are being written: they count until that is done.
    in_flight: HashMap<AccountId, usize>,
    /// When the oldest of those began to wait.
    in_flight_since: Option<Instant>,
    /// Number of the last change.
    pub last: u64,
    /// When the oldest change began to wait.
    since: Option<Instant>,
    /// Revisions that were noted here: a repeated answer need not be written again.
    known: Recent<Key, i64>,
    /// Changes to check in Redis.
    late: Vec<CallChange>,
}

/// A change, and when it was requested.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub change: Change,
    pub at: Instant,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            changes: HashMap::new(),
            tags: HashMap::new(),
            by_account: HashMap::new(),
            in_flight: HashMap::new(),
            in_flight_since: None,
            last: 0,
            since: None,
            known: Recent::new(KNOWN_MAX),
            late: Vec::new(),
        }
    }
}

impl Pending {
    /// Nothing is to be written or checked.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.tags.is_empty()
            && self.in_flight.is_empty()
            && self.late.is_empty()
    }

    pub(super) fn put(&mut self, key: Key, asked: Asked) {
        self.last += 1;
        self.known.insert(key.clone(), asked.change.revision());
        self.put_back(key, asked);
    }

    /// Whether this very revision, or a later one, was noted before.
    pub(super) fn is_known(&self, key: &Key, revision: i64) -> bool {
        self.known.get(key).is_some_and(|known| *known >= revision)
    }

    /// Notes changes to check in Redis.
    pub(super) fn look_after(&mut self, changes: impl IntoIterator<Item = CallChange>) {
        let room = LATE_MAX.saturating_sub(self.late.len());
        self.late.extend(changes.into_iter().take(room));
    }

    pub(super) fn take_late(&mut self) -> Vec<CallChange> {
        std::mem::take(&mut self.late)
    }

    pub(super) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Keeps the later of two changes of one call.
    pub(super) fn put_back(&mut self, key: Key, asked: Asked) {
        self.since = Some(self.since.map_or(asked.at, |since| since.min(asked.at)));
        match self.changes.entry(key) {
            Entry::Occupied(mut standing) => {
                if standing.get().change.revision() < asked.change.revision() {
                    standing.insert(asked);
                }
            }
            Entry::Vacant(vacant) => {
                let account = &vacant.key().0;
                if let Some(count) = self.by_account.get_mut(account) {
                    *count += 1;
                } else {
                    self.by_account.insert(account.clone(), 1);
                }
                vacant.insert(asked);
            }
        }
    }

    /// Takes everything to be written; it counts until [`Self::landed`].
    pub(super) fn take(&mut self) -> (HashMap<Key, Asked>, u64) {
        self.in_flight = std::mem::take(&mut self.by_account);
        self.in_flight_since = self.since.take();
        (std::mem::take(&mut self.changes), self.last)
    }

    /// The taken changes are written, or about to be put back.
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

    fn put(pending: &mut Pending, id: &str, call: &str, revision: i64) {
        let asked = Asked { change: Change::Voided { revision }, at: Instant::now() };
        pending.put((account(id), CallSid::parse(call).unwrap()), asked);
    }

    #[test]
    fn what_is_being_written_counts_until_it_is() {
        let (mut pending, one, two) = (Pending::default(), account("one"), account("two"));
        put(&mut pending, "one", "CA1", 1);
        put(&mut pending, "one", "CA2", 1);
        put(&mut pending, "two", "CA3", 1);
        let (changes, last) = pending.take();
        assert_eq!((changes.len(), last), (3, 3));
        put(&mut pending, "one", "CA4", 1);
        assert_eq!((pending.all(), pending.of_account(&one), pending.of_account(&two)), (4, 3, 1));
        assert!(pending.oldest().is_some_and(|oldest| pending.since.is_some_and(|it| oldest < it)));
        // Postgres is away: everything waits again.
        pending.landed();
        for (key, change) in changes {
            pending.put_back(key, change);
        }
        assert_eq!((pending.all(), pending.of_account(&one), pending.of_account(&two)), (4, 3, 1));
        pending.take();
        pending.landed();
        assert_eq!((pending.all(), pending.of_account(&one), pending.oldest()), (0, 0, None));
    }

    #[test]
    fn what_was_noted_is_known_and_a_later_revision_is_not() {
        let mut pending = Pending::default();
        put(&mut pending, "one", "CA1", 7);
        let key = (account("one"), CallSid::parse("CA1").unwrap());
        assert!(pending.is_known(&key, 7) && pending.is_known(&key, 6));
        assert!(!pending.is_known(&key, 8));
        for call in 0..KNOWN_MAX {
            put(&mut pending, "two", &format!("CA{call}"), 1);
        }
        assert!(pending.is_known(&key, 7), "of the calls before");
        for call in 0..=KNOWN_MAX {
            put(&mut pending, "three", &format!("CA{call}"), 1);
        }
        assert!(!pending.is_known(&key, 7), "forgotten");
    }
}
