//! What comes next for a number: one step at a time, from its row and from what Twilio says.
//!
//! Place in the flow: the request and the loop of the role `jobs` take the steps that this gives, so
//! each of them may die between two, and another goes on.
//!
//! It must never let a number be bought that is not debited, nor give its price back while a request
//! to buy it could still take effect. Twilio has no idempotency keys: before each further request the
//! number is looked up.

use chrono::TimeDelta;

use crate::domain::NumberStatus;

/// How long Twilio is asked to buy a number. Whoever asked for it does not wait longer.
pub const PURCHASE_MAX: TimeDelta = TimeDelta::minutes(15);
/// A request without an answer may take effect for this long.
pub const IN_FLIGHT_MAX: TimeDelta = TimeDelta::seconds(60);

/// What the row of a number says.
#[expect(clippy::struct_excessive_bools, reason = "facts, each true or false by itself")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberFacts {
    /// Its stored state.
    pub status: NumberStatus,
    /// Its price is set aside, and no call can take it.
    pub is_checked: bool,
    /// Its price was taken from the wallet.
    pub is_debited: bool,
    /// Twilio was asked to buy it, at least once.
    pub was_asked: bool,
    /// Twilio refused the last request: it had no effect.
    pub is_refused: bool,
    /// A request whose answer nobody saw may still take effect.
    pub is_in_flight: bool,
    /// Time since the purchase was asked for.
    pub age: TimeDelta,
}

/// What Twilio says about the number in its Twilio account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtTwilio {
    /// It is there, bought by this purchase.
    Bought,
    /// It is not there, or was bought by somebody else.
    Absent,
}

/// The next step of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make sure that the money set aside is there; else withdraw the purchase.
    CheckFunds,
    /// Take the price from the wallet.
    Debit,
    /// Note the request, then ask Twilio to buy the number.
    Buy,
    /// Look the number up at Twilio.
    LookUp,
    /// Note that it is bought.
    Confirm,
    /// Give the price back; the purchase failed.
    Refund,
    /// Wait until no request can take effect any more.
    Await,
    /// Remove the number at Twilio.
    Remove,
    /// Note that it is released.
    Finish,
    /// Nothing is to be done.
    Rest,
}

impl Step {
    /// Every step.
    pub const ALL: &[Self] = &[
        Self::CheckFunds,
        Self::Debit,
        Self::Buy,
        Self::LookUp,
        Self::Confirm,
        Self::Refund,
        Self::Await,
        Self::Remove,
        Self::Finish,
        Self::Rest,
    ];
}

/// The next step of a number. `at_twilio` is what Twilio just said.
pub fn next(number: &NumberFacts, at_twilio: Option<AtTwilio>) -> Step {
    match (number.status, at_twilio) {
        (NumberStatus::Pending, _) => next_of_purchase(number, at_twilio),
        (NumberStatus::Releasing, Some(AtTwilio::Absent)) => Step::Finish,
        (NumberStatus::Releasing, _) => Step::Remove,
        _ => Step::Rest,
    }
}

fn next_of_purchase(number: &NumberFacts, at_twilio: Option<AtTwilio>) -> Step {
    if !number.is_checked {
        return Step::CheckFunds;
    }
    if !number.is_debited {
        return Step::Debit;
    }
    let is_late = number.age >= PURCHASE_MAX;
    if !number.was_asked {
        return if is_late { Step::Refund } else { Step::Buy };
    }
    match at_twilio {
        None => Step::LookUp,
        Some(AtTwilio::Bought) => Step::Confirm,
        Some(AtTwilio::Absent) => match (number.is_refused || is_late, number.is_in_flight) {
            (true, true) => Step::Await,
            (true, false) => Step::Refund,
            (false, _) => Step::Buy,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> NumberFacts {
        NumberFacts {
            status: NumberStatus::Pending,
            is_checked: true,
            is_debited: true,
            was_asked: true,
            is_refused: false,
            is_in_flight: false,
            age: TimeDelta::seconds(1),
        }
    }

    #[test]
    fn money_is_checked_and_taken_before_twilio_is_asked() {
        let new =
            NumberFacts { is_checked: false, is_debited: false, was_asked: false, ..pending() };
        assert_eq!(next(&new, None), Step::CheckFunds);
        let checked = NumberFacts { is_checked: true, ..new };
        assert_eq!(next(&checked, None), Step::Debit);
        let debited = NumberFacts { is_debited: true, ..checked };
        assert_eq!(next(&debited, None), Step::Buy);
        assert_eq!(next(&NumberFacts { age: PURCHASE_MAX, ..debited }, None), Step::Refund);
    }

    #[test]
    fn a_number_is_looked_up_before_it_is_bought_again_or_given_up() {
        assert_eq!(next(&pending(), None), Step::LookUp);
        assert_eq!(next(&pending(), Some(AtTwilio::Absent)), Step::Buy);
        let refused = NumberFacts { is_refused: true, ..pending() };
        let late = NumberFacts { age: PURCHASE_MAX, ..pending() };
        for ends in [refused, late] {
            assert_eq!(next(&ends, None), Step::LookUp);
            assert_eq!(next(&ends, Some(AtTwilio::Bought)), Step::Confirm);
            assert_eq!(next(&ends, Some(AtTwilio::Absent)), Step::Refund);
            let in_flight = NumberFacts { is_in_flight: true, ..ends };
            assert_eq!(next(&in_flight, Some(AtTwilio::Absent)), Step::Await);
        }
    }

    #[test]
    fn a_release_removes_the_number_first() {
        let releasing = NumberFacts { status: NumberStatus::Releasing, ..pending() };
        assert_eq!(next(&releasing, None), Step::Remove);
        assert_eq!(next(&releasing, Some(AtTwilio::Bought)), Step::Remove);
        assert_eq!(next(&releasing, Some(AtTwilio::Absent)), Step::Finish);
    }

    #[test]
    fn nothing_is_done_for_a_number_that_rests() {
        for status in NumberStatus::ALL {
            let is_open = matches!(status, NumberStatus::Pending | NumberStatus::Releasing);
            let number = NumberFacts { status: *status, ..pending() };
            assert_eq!(next(&number, None) == Step::Rest, !is_open, "{status}");
        }
    }
}
