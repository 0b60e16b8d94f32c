//! When the periods of a rented number begin.

use callmeter_core::domain::{RentalAnchor, rental_period_start};
use chrono::{Datelike, Months, NaiveDate, TimeDelta};
use proptest::prelude::*;

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap_or_else(|error| panic!("{text} is no date: {error}"))
}

#[track_caller]
fn check(anchor: RentalAnchor, first: &str, starts: &[(u32, &str)]) {
    for (n, start) in starts {
        let actual = rental_period_start(date(first), *n, anchor);
        assert_eq!(actual, Some(date(start)), "period {n} after {first}");
    }
}

#[test]
fn twilios_anchor_moves_to_a_months_last_day_and_stays_there() {
    check(
        RentalAnchor::TwilioSticky,
        "2026-01-31",
        &[
            (0, "2026-01-31"),
            (1, "2026-02-28"),
            (2, "2026-03-28"),
            (12, "2027-01-28"),
            (26, "2028-03-28"),
        ],
    );
    check(
        RentalAnchor::TwilioSticky,
        "2026-08-31",
        &[(1, "2026-09-30"), (2, "2026-10-30"), (6, "2027-02-28"), (7, "2027-03-28")],
    );
}

#[test]
fn twilios_anchor_loses_the_leap_day_in_the_year_after() {
    check(
        RentalAnchor::TwilioSticky,
        "2024-01-31",
        &[
            (1, "2024-02-29"),
            (2, "2024-03-29"),
            (12, "2025-01-29"),
            (13, "2025-02-28"),
            (14, "2025-03-28"),
            (49, "2028-02-28"),
        ],
    );
}

#[test]
fn the_calendar_anchor_returns_to_its_day() {
    check(
        RentalAnchor::Calendar,
        "2026-01-31",
        &[
            (0, "2026-01-31"),
            (1, "2026-02-28"),
            (2, "2026-03-31"),
            (3, "2026-04-30"),
            (25, "2028-02-29"),
        ],
    );
}

#[test]
fn a_day_that_every_month_has_stays_under_both_anchors() {
    for anchor in [RentalAnchor::TwilioSticky, RentalAnchor::Calendar] {
        check(anchor, "2026-12-28", &[(1, "2027-01-28"), (2, "2027-02-28"), (14, "2028-02-28")]);
    }
}

#[test]
fn past_the_end_of_the_calendar_there_is_no_period() {
    for anchor in [RentalAnchor::TwilioSticky, RentalAnchor::Calendar] {
        assert_eq!(rental_period_start(date("2026-01-31"), u32::MAX, anchor), None);
    }
}

proptest! {
    #[test]
    fn two_years_have_one_period_in_each_month(day in 0_i64..3_000, calendar in any::<bool>()) {
        let anchor = if calendar { RentalAnchor::Calendar } else { RentalAnchor::TwilioSticky };
        let first = date("2024-01-01") + TimeDelta::days(day);
        let mut before = first.day();
        for n in 1..=24 {
            let start = rental_period_start(first, n, anchor).expect("within the calendar");
            let month = first.with_day(1).expect("a day") + Months::new(n);
            prop_assert_eq!((start.year(), start.month()), (month.year(), month.month()));
            // The month's last day, or the day that it had: the first, or the one before.
            let last = (month + Months::new(1) - TimeDelta::days(1)).day();
            let wanted = if calendar { first.day() } else { before };
            prop_assert_eq!(start.day(), wanted.min(last));
            before = start.day();
        }
    }
}
