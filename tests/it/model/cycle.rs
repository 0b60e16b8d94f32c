//! Cycles of the model: found by walking the calendar day by day from the anchor.

use super::time::{At, DAY, date_of, days_in_month};

/// The start of the cycle that contains `at`, for a subscription begun at `anchor` (not after
/// `at`).
///
/// A cycle begins on the anchor's day and time of day; in a month without that day, on its last
/// day.
pub(crate) fn start(anchor: At, at: At) -> At {
    let wanted = date_of(anchor).day;
    let time_of_day = anchor.rem_euclid(DAY);
    let mut date = date_of(anchor);
    let mut begun = anchor;
    loop {
        date = date.next();
        let first_instant = date.day_number() * DAY;
        if first_instant > at {
            return begun;
        }
        let begins = date.day == wanted.min(days_in_month(date.year, date.month));
        if begins && first_instant + time_of_day <= at {
            begun = first_instant + time_of_day;
        }
    }
}

/// The end of the cycle that begins at `start`, if the plan does not change.
pub(crate) fn end(anchor: At, start: At) -> At {
    let mut probe = start;
    loop {
        probe += DAY;
        let later = self::start(anchor, probe);
        if later > start {
            return later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::time::{SECOND, at, parse_rfc3339, rfc3339};

    #[test]
    fn the_model_finds_cycles_by_hand_computed_examples() {
        let cases = [
            // anchor, instant, start and end of its cycle
            ("2024-01-31T10:20:30Z", "2024-02-29T10:20:29Z", "2024-01-31T10:20:30Z"),
            ("2024-01-31T10:20:30Z", "2024-02-29T10:20:30Z", "2024-02-29T10:20:30Z"),
            ("2024-01-31T10:20:30Z", "2024-03-31T10:20:29Z", "2024-02-29T10:20:30Z"),
            ("2024-01-31T10:20:30Z", "2024-03-31T10:20:30Z", "2024-03-31T10:20:30Z"),
            ("2024-01-31T10:20:30Z", "2025-02-28T10:20:30Z", "2025-02-28T10:20:30Z"),
            ("2024-02-29T00:00:00Z", "2025-02-28T00:00:00Z", "2025-02-28T00:00:00Z"),
            ("2024-02-29T00:00:00Z", "2025-03-28T23:59:59Z", "2025-02-28T00:00:00Z"),
            ("2024-02-29T00:00:00Z", "2025-03-29T00:00:00Z", "2025-03-29T00:00:00Z"),
            ("2024-12-30T23:59:59Z", "2025-01-30T23:59:58Z", "2024-12-30T23:59:59Z"),
            ("2024-12-30T23:59:59Z", "2025-02-28T23:59:59Z", "2025-02-28T23:59:59Z"),
            ("2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z"),
        ];
        for (anchor, at, expected) in cases {
            let instant = |text: &str| parse_rfc3339(text).expect(text);
            let start = super::start(instant(anchor), instant(at));
            assert_eq!(rfc3339(start), expected, "{anchor} at {at}");
        }
        let anchor = at((2024, 1, 31), (10, 20, 30));
        let february = at((2024, 2, 29), (10, 20, 30));
        assert_eq!(rfc3339(super::end(anchor, february)), "2024-03-31T10:20:30Z");
    }

    #[test]
    fn the_models_cycles_leave_no_gap() {
        for day in 1..=31 {
            let anchor = at((2023, 12, day), (7, 8, 9));
            let mut start = anchor;
            for _ in 0..40 {
                let end = super::end(anchor, start);
                assert_eq!(super::start(anchor, end - SECOND), start, "day {day}");
                assert_eq!(super::start(anchor, end), end, "day {day}");
                start = end;
            }
        }
    }
}
