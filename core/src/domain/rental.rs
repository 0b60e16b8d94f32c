//! Monthly periods of a rented number.
//!
//! Place in the flow: the scheduler of rentals computes when a number's next period begins; the
//! ledger charges each period once.
//!
//! It must never prorate: a period begins on a date and is paid in full.

use chrono::{Datelike, Months, NaiveDate};

use super::named::named_enum;

named_enum! {
    /// How a rental's day moves in a month that lacks it.
    #[derive(Default)]
    pub enum RentalAnchor ("rental anchor") {
        /// It moves to the month's last day and stays there, as Twilio does: 31 January,
        /// 28 February, 28 March.
        #[default]
        TwilioSticky = "twilio_sticky",
        /// It returns to the first period's day: 31 January, 28 February, 31 March.
        Calendar = "calendar",
    }
}

/// The last day that every month has.
const DAY_IN_EVERY_MONTH: u32 = 28;

/// Returns the day on which the `n`th period after the first begins; the 0th is `first` itself.
///
/// `None` past the end of the calendar (docs/charging.md, "Numbers").
pub fn rental_period_start(first: NaiveDate, n: u32, anchor: RentalAnchor) -> Option<NaiveDate> {
    match anchor {
        RentalAnchor::Calendar => first.checked_add_months(Months::new(n)),
        RentalAnchor::TwilioSticky => sticky_period_start(first, n),
    }
}

/// Steps month by month until the day exists in every month. That is the second February at the
/// latest, so the loop is bounded for any `n`.
fn sticky_period_start(first: NaiveDate, n: u32) -> Option<NaiveDate> {
    let mut start = first;
    let mut months_left = n;
    while months_left > 0 && start.day() > DAY_IN_EVERY_MONTH {
        start = start.checked_add_months(Months::new(1))?;
        months_left -= 1;
    }
    start.checked_add_months(Months::new(months_left))
}
