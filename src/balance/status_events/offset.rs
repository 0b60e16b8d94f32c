//! How far the status events of a partition are applied to holds.
//!
//! Kafka is the log of status events, and applying one again changes nothing. So only an offset is
//! kept: the events of every record below it are applied. Missed events (Redis is away, too much
//! waits, the process died) lie between it and the committed offset, and are read again. Events
//! applied after such a gap count as soon as the gap is closed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How far the status events of one partition are applied, while one worker has it.
#[derive(Debug)]
pub struct StatusEventsOffset {
    marks: Mutex<Marks>,
    missed: Notify,
    committed: Notify,
}

#[derive(Debug)]
struct Marks {
    /// Everything below is applied.
    applied: i64,
    /// The records from `applied` up to here were missed; none if it is not above `applied`.
    missed_to: i64,
    /// What was committed after both, in order: the end offset, and whether it is applied.
    later: VecDeque<(i64, bool)>,
}

impl StatusEventsOffset {
    /// For a partition whose events are applied below `applied`, and charged below `committed`.
    pub fn between(applied: i64, committed: i64) -> Self {
        let marks = Marks { applied, missed_to: committed, later: VecDeque::new() };
        Self { marks: Mutex::new(marks), missed: Notify::new(), committed: Notify::new() }
    }

    /// The offset below which all events are applied.
    pub fn offset(&self) -> i64 {
        self.lock().applied
    }

    /// How many charged records have unapplied events.
    pub fn behind(&self) -> i64 {
        let marks = self.lock();
        let committed = marks.later.back().map_or(marks.missed_to, |(to, _)| *to);
        (committed - marks.applied).max(0)
    }

    /// The missed records, to be read again.
    pub fn gap(&self) -> Option<Range<i64>> {
        let marks = self.lock();
        (marks.applied < marks.missed_to).then_some(marks.applied..marks.missed_to)
    }

    /// Returns when something was missed since it last returned.
    pub async fn something_is_missed(&self) {
        self.missed.notified().await;
    }

    /// Returns when something was committed since it last returned.
    pub async fn something_is_committed(&self) {
        self.committed.notified().await;
    }

    /// The gap is closed up to `to`.
    pub fn read_again(&self, to: i64) {
        let mut marks = self.lock();
        marks.applied = to.min(marks.missed_to).max(marks.applied);
        marks.go_on();
    }

    /// The records up to `to` are committed; `is_applied`: none of them has an event to apply.
    pub(crate) fn committed(&self, to: i64, is_applied: bool) {
        let mut marks = self.lock();
        marks.later.push_back((to, is_applied));
        marks.go_on();
        drop(marks);
        self.committed.notify_one();
    }

    /// The events of the batch that ended at `to` are applied.
    pub(crate) fn apply(&self, to: i64) {
        let mut marks = self.lock();
        if let Some(mark) = marks.later.iter_mut().find(|(end, _)| *end == to) {
            mark.1 = true;
            marks.go_on();
        }
    }

    /// They are not applied, and must be read again.
    pub(crate) fn miss(&self, to: i64) {
        let mut marks = self.lock();
        if to <= marks.applied || to <= marks.missed_to {
            return;
        }
        marks.missed_to = to;
        while marks.later.front().is_some_and(|(end, _)| *end <= to) {
            marks.later.pop_front();
        }
        drop(marks);
        self.missed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    /// Moves over applied batches. Those behind a gap wait; applied neighbours are merged.
    fn go_on(&mut self) {
        while self.applied >= self.missed_to
            && let Some((to, true)) = self.later.front()
        {
            self.applied = *to;
            self.later.pop_front();
        }
        let mut before = false;
        let mut kept = VecDeque::with_capacity(self.later.len());
        for (to, is_applied) in self.later.drain(..) {
            if before && is_applied {
                kept.pop_back();
            }
            kept.push_back((to, is_applied));
            before = is_applied;
        }
        self.later = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a story of steps: `c` committed with events, `n` committed without, `a` applied, `m`
    /// missed, `r` read again; then compares the offset and the gap.
    #[track_caller]
    fn check(steps: &str, offset: i64, gap: Option<Range<i64>>) {
        let applied = StatusEventsOffset::between(10, 10);
        for step in steps.split_whitespace() {
            let (what, to) = step.split_at(1);
            let to = to.parse().unwrap();
            match what {
                "c" => applied.committed(to, false),
                "n" => applied.committed(to, true),
                "a" => applied.apply(to),
                "m" => applied.miss(to),
                "r" => applied.read_again(to),
                other => panic!("no step {other}"),
            }
        }
        assert_eq!((applied.offset(), applied.gap()), (offset, gap), "{steps}");
    }

    #[test]
    fn the_offset_follows_what_is_applied_in_order() {
        check("", 10, None);
        check("c20", 10, None);
        check("c20 a20", 20, None);
        check("n20", 20, None);
        check("c20 n30 n40", 10, None);
        check("c20 n30 n40 a20", 40, None);
        check("c20 c30 a30", 10, None);
        check("c20 c30 a30 a20", 30, None);
    }

    #[test]
    fn what_was_missed_is_a_gap_until_it_is_read_again() {
        check("c20 m20", 10, Some(10..20));
        check("c20 m20 c30 a30", 10, Some(10..20));
        check("c20 m20 c30 a30 r15", 15, Some(15..20));
        check("c20 m20 c30 a30 r15 r20", 30, None);
        check("c20 m20 c30 m30 r20", 20, Some(20..30));
        check("c20 c30 m30 a20", 10, Some(10..30));
        check("c20 m20 r20 m20", 20, None);
        check("c20 m20 r99", 20, None);
    }

    #[test]
    fn a_partition_that_was_charged_further_than_its_events_begins_with_a_gap() {
        let applied = StatusEventsOffset::between(10, 25);
        assert_eq!((applied.gap(), applied.behind()), (Some(10..25), 15));
        applied.committed(30, true);
        assert_eq!((applied.offset(), applied.behind()), (10, 20));
        applied.read_again(25);
        assert_eq!((applied.offset(), applied.behind(), applied.gap()), (30, 0, None));
    }

    #[test]
    fn a_gap_that_stays_for_long_takes_no_memory() {
        let applied = StatusEventsOffset::between(0, 1);
        for to in 2..1_000 {
            applied.committed(to, to % 2 == 0);
            applied.apply(to);
        }
        assert_eq!(applied.lock().later.len(), 1);
    }
}
