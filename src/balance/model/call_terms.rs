//! The terms of a requested call: what the scripts get of catalog and subscription.

use callmeter_core::domain::{Increments, Legs, Overage, RatePerMinute, rated_number};
use callmeter_core::rating::Terms;

use super::hold::CycleRef;

/// What a call would cost now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallTerms {
    /// The cycle whose allowance pays first.
    pub cycle: Option<CycleRef>,
    /// What that cycle includes, in seconds.
    pub included_seconds: u64,
    /// Rate of the rated number.
    pub rate: RatePerMinute,
    /// Increments of the tariff.
    pub increments: Increments,
    /// Beyond the allowance nothing is granted.
    pub blocks_overage: bool,
    /// The destination is refused.
    pub is_destination_blocked: bool,
}

/// The parties of a call and its direction, as its caller or Twilio names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallParties<'a> {
    /// `Direction`.
    pub direction: Option<&'a str>,
    /// `From`.
    pub from: Option<&'a str>,
    /// `To`.
    pub to: Option<&'a str>,
    /// Whether the leg was made for another one.
    pub is_child_leg: bool,
}

impl CallTerms {
    /// The terms of a call between these parties. A leg that the plan does not charge holds nothing.
    pub fn new(terms: &Terms<'_>, parties: CallParties<'_>) -> Self {
        let matched = terms.rate_for(rated_number(parties.direction, parties.from, parties.to));
        let is_free =
            parties.is_child_leg && terms.plan().is_some_and(|plan| plan.legs == Legs::ParentOnly);
        let increments = terms.tariff().increments;
        let is_destination_blocked = matched.blocked;
        if is_free {
            return Self {
                cycle: None,
                included_seconds: 0,
                rate: RatePerMinute::ZERO,
                increments,
                blocks_overage: false,
                is_destination_blocked,
            };
        }
        let (cycle, included_seconds) = match *terms {
            Terms::Standard { .. } => (None, 0),
            Terms::Plan { subscription, cycle, included_seconds, .. } => {
                (Some(CycleRef { subscription, start: cycle.start }), included_seconds)
            }
        };
        Self {
            cycle,
            included_seconds,
            rate: matched.rate,
            increments,
            blocks_overage: terms.plan().is_some_and(|plan| plan.overage == Overage::Block),
            is_destination_blocked,
        }
    }
}
