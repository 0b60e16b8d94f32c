//! Explains the difference of a day, call by call. Pure.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// Call SIDs listed per difference.
const NAMED_MAX: usize = 1_000;

/// Completed calls as Twilio lists them: UTC day of the start, and whole minutes.
pub(super) type TwilioCalls = HashMap<String, (NaiveDate, i64)>;
/// Charged calls: UTC day of the start (if it is not Twilio's day, any other), and whole minutes.
/// Contains every call that Twilio lists on the day and that was ever charged.
pub(super) type ChargedCalls = HashMap<String, (NaiveDate, i64)>;

/// Why a day's minutes differ from Twilio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Completed at Twilio, never charged here: a sweep finds it.
    MissingHere,
    /// Charged here, but not listed by Twilio.
    MissingAtTwilio,
    /// Charged with another duration than Twilio lists now: a conflict, or a correction by Twilio.
    MinutesDiffer,
    /// Its start is on another day by Twilio's list than by its callback: seconds around midnight.
    OtherDay,
    /// The calls agree; Twilio's usage does not count all of them yet.
    UsageNotFinal,
    /// The calls agree, but Twilio billed other minutes for them.
    UsageDiffers,
    /// Not compared one by one: there are too many calls, or rows of Twilio cannot be read.
    NotCompared,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::MissingHere,
        Self::MissingAtTwilio,
        Self::MinutesDiffer,
        Self::OtherDay,
        Self::UsageNotFinal,
        Self::UsageDiffers,
        Self::NotCompared,
    ];

    /// Its spelling, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingHere => "missing_here",
            Self::MissingAtTwilio => "missing_at_twilio",
            Self::MinutesDiffer => "minutes_differ",
            Self::OtherDay => "other_day",
            Self::UsageNotFinal => "usage_not_final",
            Self::UsageDiffers => "usage_differs",
            Self::NotCompared => "not_compared",
        }
    }

    /// False if the difference will disappear.
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::UsageNotFinal)
    }
}

/// One part of a day's difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The reason.
    pub reason: Reason,
    /// Ours minus Twilio's; if the minutes differ, the number of such calls.
    pub calls: i64,
    /// Ours minus Twilio's.
    pub minutes: i64,
    /// The calls, sorted; at most a thousand.
    pub call_sids: Vec<String>,
}

impl Difference {
    pub(super) const fn new(reason: Reason, calls: i64, minutes: i64) -> Self {
        Self { reason, calls, minutes, call_sids: Vec::new() }
    }

    /// By how many calls the day's totals differ for this reason.
    pub(super) const fn net_calls(&self) -> i64 {
        match self.reason {
            Reason::MinutesDiffer => 0,
            _ => self.calls,
        }
    }
}

/// Compares the calls of a day by their SIDs.
pub(super) fn explain(
    day: NaiveDate,
    charged: &ChargedCalls,
    theirs: &TwilioCalls,
) -> Vec<Difference> {
    let mut found = BTreeMap::<Reason, Difference>::new();
    let mut add = |reason: Reason, calls: i64, minutes: i64, sid: &str| {
        let difference = found.entry(reason).or_insert_with(|| Difference::new(reason, 0, 0));
        difference.calls += calls;
        difference.minutes += minutes;
        difference.call_sids.push(sid.to_owned());
    };
    for (sid, (_, their_minutes)) in theirs.iter().filter(|(_, (their_day, _))| *their_day == day) {
        match charged.get(sid) {
            None => add(Reason::MissingHere, -1, -their_minutes, sid),
            Some((our_day, _)) if *our_day != day => add(Reason::OtherDay, -1, -their_minutes, sid),
            Some((_, minutes)) if minutes != their_minutes => {
                add(Reason::MinutesDiffer, 1, minutes - their_minutes, sid);
            }
            Some(_) => {}
        }
    }
    for (sid, (_, minutes)) in charged.iter().filter(|(_, (our_day, _))| *our_day == day) {
        match theirs.get(sid) {
            None => add(Reason::MissingAtTwilio, 1, *minutes, sid),
            Some((their_day, _)) if *their_day != day => add(Reason::OtherDay, 1, *minutes, sid),
            Some(_) => {}
        }
    }
    let mut differences: Vec<Difference> = found.into_values().collect();
    for difference in &mut differences {
        difference.call_sids.sort_unstable();
        difference.call_sids.truncate(NAMED_MAX);
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, number).unwrap()
    }

    fn calls(list: &[(&str, u32, i64)]) -> HashMap<String, (NaiveDate, i64)> {
        list.iter().map(|(sid, at, minutes)| ((*sid).to_owned(), (day(*at), *minutes))).collect()
    }

    #[test]
    fn each_difference_has_its_reason_and_together_they_add_up() {
        let ours = calls(&[
            ("CAsame", 5, 3),
            ("CAlonger", 5, 9),
            ("CAours", 5, 2),
            ("CAlate", 6, 4),
            ("CAearly", 5, 7),
        ]);
        let theirs = calls(&[
            ("CAsame", 5, 3),
            ("CAlonger", 5, 8),
            ("CAlost", 5, 1),
            ("CAgone", 5, 20),
            ("CAlate", 5, 4),
            ("CAearly", 4, 7),
            ("CAelsewhere", 6, 50),
        ]);
        let found = explain(day(5), &ours, &theirs);
        let parts: Vec<_> = found.iter().map(|it| (it.reason, it.calls, it.minutes)).collect();
        let expected = [
            (Reason::MissingHere, -2, -21),
            (Reason::MissingAtTwilio, 1, 2),
            (Reason::MinutesDiffer, 1, 1),
            (Reason::OtherDay, 0, 3),
        ];
        assert_eq!(parts, expected);
        assert_eq!(found[0].call_sids, ["CAgone", "CAlost"]);
        let of_day = |calls: &HashMap<String, (NaiveDate, i64)>| -> (i64, i64) {
            let of_day = calls.values().filter(|(at, _)| *at == day(5));
            of_day.fold((0, 0), |(calls, sum), (_, minutes)| (calls + 1, sum + minutes))
        };
        let ((calls, minutes), (their_calls, their_minutes)) = (of_day(&ours), of_day(&theirs));
        assert_eq!(found.iter().map(|it| it.minutes).sum::<i64>(), minutes - their_minutes);
        assert_eq!(found.iter().map(Difference::net_calls).sum::<i64>(), calls - their_calls);
        assert_eq!(explain(day(5), &ours, &ours), []);
    }
}
