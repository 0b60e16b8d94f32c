//! Which failed attempts at a rent the customer is told of: those of the first, the fifth and the
//! last day.

use chrono::{DateTime, TimeDelta, Utc};

/// The day on which the customer is told again.
const REMINDER_DAY: i64 = 5;

/// True if a failed attempt at `now` is told. `last_at` is the attempt before it, if there was one,
/// `first_at` the first, and `is_last` says that no other follows.
///
/// Days are counted from the first attempt, which is made on the first day. After an outage the
/// reminder comes with the first attempt that is made on the fifth day or later.
pub fn is_rent_told(
    first_at: DateTime<Utc>,
    last_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    day: TimeDelta,
    is_last: bool,
) -> bool {
    let day_of = |at: DateTime<Utc>| (at - first_at).num_seconds() / day.num_seconds().max(1) + 1;
    let Some(last_at) = last_at else { return true };
    is_last || day_of(last_at) < REMINDER_DAY && day_of(now) >= REMINDER_DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_the_fifth_and_the_last_day_are_told() {
        let first = DateTime::<Utc>::UNIX_EPOCH;
        let day = TimeDelta::days(1);
        let told = |days: &[i32]| {
            let attempts = days.iter().enumerate().map(|(place, number)| {
                let at = |number: i32| first + day * (number - 1) + TimeDelta::seconds(5);
                let last = place.checked_sub(1).map(|before| at(days[before]));
                (*number, is_rent_told(first, last, at(*number), day, place + 1 == days.len()))
            });
            attempts.filter(|(_, told)| *told).map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert_eq!(told(&[1, 2, 3, 4, 5, 6, 7, 8]), [1, 5, 8]);
        // An outage: the reminder comes once, with the first attempt after it.
        assert_eq!(told(&[1, 2, 6, 7, 8]), [1, 6, 8]);
        assert_eq!(told(&[1, 2, 3]), [1, 3]);
    }
}
