//! Cycles partition time, whatever the anchor.

use callmeter_core::domain::{Cycle, cycle_containing};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;

use crate::world::instant;

#[track_caller]
fn check(anchor: &str, table: &[(&str, &str, &str)]) {
    for (at, start, end) in table {
        let expected = Cycle { start: instant(start), end: instant(end) };
        assert_eq!(cycle_containing(instant(anchor), instant(at)), expected, "at {at}");
    }
}

#[test]
fn a_leap_day_anchor_falls_on_28_february_in_common_years() {
    check(
        "2024-02-29T23:59:59Z",
        &[
            ("2024-03-29T23:59:58Z", "2024-02-29T23:59:59Z", "2024-03-29T23:59:59Z"),
            ("2025-02-28T23:59:58Z", "2025-01-29T23:59:59Z", "2025-02-28T23:59:59Z"),
            ("2025-03-01T00:00:00Z", "2025-02-28T23:59:59Z", "2025-03-29T23:59:59Z"),
            ("2028-02-29T23:59:59Z", "2028-02-29T23:59:59Z", "2028-03-29T23:59:59Z"),
            ("2100-03-01T00:00:00Z", "2100-02-28T23:59:59Z", "2100-03-29T23:59:59Z"),
        ],
    );
}

#[test]
fn a_cycle_crosses_the_year_and_keeps_fractions_of_a_second() {
    check(
        "2026-11-30T12:34:56.789Z",
        &[
            ("2027-01-01T00:00:00Z", "2026-12-30T12:34:56.789Z", "2027-01-30T12:34:56.789Z"),
            ("2027-02-28T12:34:56.788Z", "2027-01-30T12:34:56.789Z", "2027-02-28T12:34:56.789Z"),
            ("2027-02-28T12:34:56.789Z", "2027-02-28T12:34:56.789Z", "2027-03-30T12:34:56.789Z"),
        ],
    );
}

#[test]
fn before_the_anchor_cycles_go_on_backwards() {
    check(
        "2026-03-31T10:00:00Z",
        &[
            ("2026-03-31T09:59:59Z", "2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z"),
            ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00Z", "2024-03-31T10:00:00Z"),
        ],
    );
}

#[test]
fn at_the_ends_of_the_calendar_there_is_still_a_cycle() {
    let anchor = instant("2026-01-31T10:00:00Z");
    for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let cycle = cycle_containing(anchor, at);
        assert!(cycle.start <= at && at <= cycle.end, "{cycle:?}");
    }
}

/// Days of a month by the calendar's own rule, not by the library that is used.
fn days_in_month(year: i32, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Any time of 1990 to 2110, half of them on one of a month's last three days.
fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    let dates = (1990..2110_i32, 1..=12_u32, 1..=31_u32, any::<bool>()).prop_map(
        |(year, month, day, late)| {
            let last = days_in_month(year, month);
            let day = if late { last - day % 3 } else { day.min(last) };
            NaiveDate::from_ymd_opt(year, month, day).expect("a day of the month")
        },
    );
    (dates, 0..86_400_u32, 0..1_000_000_u32).prop_map(|(date, second, micro)| {
        let midnight = date.and_hms_opt(0, 0, 0).expect("midnight").and_utc();
        midnight + TimeDelta::seconds(second.into()) + TimeDelta::microseconds(micro.into())
    })
}

const TICK: TimeDelta = TimeDelta::nanoseconds(1);

proptest! {
    #[test]
    fn each_instant_is_in_exactly_one_cycle(
        anchor in instants(),
        at in instants(),
        share in 0..1000_i32,
    ) {
        let cycle = cycle_containing(anchor, at);
        prop_assert!(cycle.contains(at), "{cycle:?}");
        // Any time of the cycle gives this cycle and no other.
        let inside = cycle.start + (cycle.end - cycle.start) * share / 1000;
        for instant in [cycle.start, inside, cycle.end - TICK] {
            prop_assert_eq!(cycle_containing(anchor, instant), cycle);
        }
    }

    #[test]
    fn consecutive_cycles_touch(anchor in instants(), at in instants()) {
        let cycle = cycle_containing(anchor, at);
        prop_assert_eq!(cycle_containing(anchor, cycle.end).start, cycle.end);
        prop_assert_eq!(cycle_containing(anchor, cycle.start - TICK).end, cycle.start);
    }

    #[test]
    fn later_instants_are_in_the_same_or_a_later_cycle(
        anchor in instants(),
        one in instants(),
        other in instants(),
    ) {
        let (earlier, later) = (one.min(other), one.max(other));
        let (before, after) = (cycle_containing(anchor, earlier), cycle_containing(anchor, later));
        prop_assert!(before == after || before.end <= after.start, "{before:?} {after:?}");
    }

    #[test]
    fn a_cycle_begins_on_the_anchors_day_or_the_months_last(
        anchor in instants(),
        at in instants(),
    ) {
        let cycle = cycle_containing(anchor, at);
        for boundary in [cycle.start, cycle.end] {
            let last = days_in_month(boundary.year(), boundary.month());
            prop_assert_eq!(boundary.day(), anchor.day().min(last));
            prop_assert_eq!(boundary.time(), anchor.time());
        }
        let months = |at: DateTime<Utc>| at.year() * 12 + i32::try_from(at.month0()).unwrap_or(0);
        prop_assert_eq!(months(cycle.end), months(cycle.start) + 1);
    }

    #[test]
    fn the_first_cycle_begins_at_the_anchor(anchor in instants()) {
        prop_assert_eq!(cycle_containing(anchor, anchor).start, anchor);
    }
}
