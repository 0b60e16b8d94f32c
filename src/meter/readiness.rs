//! Whether this process takes part: the group has assigned its partitions once, and each has
//! started.
//!
//! Records published after that are charged at once. A later rebalance does not change it: each
//! partition reports its own state.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::health::Health;
use crate::ingest::client::TopicPartition;

/// Its component name in `/readyz`.
pub(crate) const COMPONENT: &str = "assignment";

/// Progress of the process with its first assignment.
#[derive(Debug)]
pub(super) struct Readiness {
    health: Health,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Nothing is assigned yet, or the assignment was revoked before all of it had started.
    Waits,
    /// These have not started yet.
    Starts(HashSet<TopicPartition>),
    /// It takes part, for good.
    TakesPart,
}

impl Readiness {
    pub(super) fn new(health: Health) -> Self {
        health.down(COMPONENT, "no partitions are assigned yet");
        Self { health, state: Mutex::new(State::Waits) }
    }

    /// Reports why it waits.
    pub(super) fn waits(&self, reason: String) {
        if let State::Waits = *self.lock() {
            self.health.down(COMPONENT, reason);
        }
    }

    /// The group assigned these partitions; none is a valid assignment too.
    pub(super) fn assigned(&self, partitions: &[TopicPartition]) {
        let mut state = self.lock();
        if !matches!(*state, State::TakesPart) {
            *state = State::Starts(partitions.iter().cloned().collect());
            self.settle(&mut state);
        }
    }

    /// The whole assignment is revoked.
    pub(super) fn revoked(&self) {
        let mut state = self.lock();
        if !matches!(*state, State::TakesPart) {
            *state = State::Waits;
        }
    }

    /// A partition is being read, or has reported why it is not.
    pub(super) fn started(&self, name: &TopicPartition) {
        let mut state = self.lock();
        if let State::Starts(names) = &mut *state {
            names.remove(name);
            self.settle(&mut state);
        }
    }

    fn settle(&self, state: &mut State) {
        let State::Starts(names) = state else { return };
        if let Some(name) = names.iter().next() {
            self.health.down(COMPONENT, format!("partition {name} has not started yet"));
        } else {
            *state = State::TakesPart;
            self.health.up(COMPONENT);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn name(partition: i32) -> TopicPartition {
        TopicPartition { topic: "calls".to_owned(), partition }
    }

    fn fresh() -> (Health, Readiness) {
        let health = Health::new(Clock::system());
        let readiness = Readiness::new(health.clone());
        (health, readiness)
    }

    #[test]
    fn it_takes_part_once_every_partition_of_an_assignment_has_started() {
        let (health, readiness) = fresh();
        assert!(!health.report().is_ready(), "nothing is assigned");
        readiness.assigned(&[name(0), name(1)]);
        readiness.started(&name(0));
        assert!(!health.report().is_ready(), "one has not started");
        readiness.started(&name(1));
        assert!(health.report().is_ready());
        readiness.revoked();
        readiness.assigned(&[name(2)]);
        assert!(health.report().is_ready(), "a later rebalance changes nothing");
    }

    #[test]
    fn an_assignment_that_was_taken_away_early_does_not_count_and_an_empty_one_does() {
        let (health, readiness) = fresh();
        readiness.assigned(&[name(0)]);
        readiness.revoked();
        readiness.started(&name(0));
        assert!(!health.report().is_ready(), "it had not started when it was taken away");
        readiness.assigned(&[]);
        assert!(health.report().is_ready());
    }
}
