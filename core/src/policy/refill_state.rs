//! What comes next for a refill: one step at a time, from its row and from Stripe's payment intent.
//!
//! Place in the flow: the request, the web hook and the job all take the steps that this gives, so
//! each of them may die between two, and another goes on.
//!
//! It must never let a refill fail while its payment could still succeed: the intent is canceled
//! first.

use chrono::TimeDelta;

use crate::domain::RefillTrigger;

/// The status of a payment intent (<https://docs.stripe.com/payments/paymentintents/lifecycle>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentStatus {
    /// No card yet, or the last try was declined.
    RequiresPaymentMethod,
    /// Created with a card, not confirmed yet.
    RequiresConfirmation,
    /// The customer must confirm it (3-D Secure).
    RequiresAction,
    /// The bank has not answered yet.
    Processing,
    /// Paid.
    Succeeded,
    /// Canceled: it can never be paid.
    Canceled,
    /// A status that our payments never have.
    Other,
}

impl IntentStatus {
    /// Reads Stripe's word.
    pub fn parse(text: &str) -> Self {
        match text {
            "requires_payment_method" => Self::RequiresPaymentMethod,
            "requires_confirmation" => Self::RequiresConfirmation,
            "requires_action" => Self::RequiresAction,
            "processing" => Self::Processing,
            "succeeded" => Self::Succeeded,
            "canceled" => Self::Canceled,
            _ => Self::Other,
        }
    }
}

/// The settings of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefillLimits {
    /// How long a refill waits for the customer: a confirmation or a new card.
    pub action_max: TimeDelta,
}

impl RefillLimits {
    /// A manual refill that never reached Stripe is not charged later than this after the request.
    pub const MANUAL_START_MAX: TimeDelta = TimeDelta::minutes(15);
    /// A request is never repeated later: Stripe keeps its key for 24 hours.
    pub const REPEAT_MAX: TimeDelta = TimeDelta::hours(23);
    /// How long an automatic refill waits for the customer's confirmation.
    pub const AUTOMATIC_ACTION_MAX: TimeDelta = TimeDelta::hours(24);
    /// Declined tries of one refill with a new card.
    pub const TRIES_MAX: i32 = 5;
}

/// What the row of a refill says.
#[expect(clippy::struct_excessive_bools, reason = "facts, each true or false by itself")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefillFacts {
    /// Who asked for it.
    pub trigger: RefillTrigger,
    /// Paid with a card that the customer enters; else with a saved one.
    pub has_new_card: bool,
    /// The id of its payment intent is stored.
    pub has_intent: bool,
    /// Its intent is to be canceled.
    pub is_canceling: bool,
    /// Declined tries so far.
    pub declines: i32,
    /// The bank wants the customer to confirm it, who was not there: it waits for that.
    pub needs_customer: bool,
    /// The balance still wants it; always true of a manual one.
    pub is_needed: bool,
    /// Time since the request.
    pub age: TimeDelta,
}

/// Why a refill fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Stripe declined the card.
    Declined,
    /// The customer did not confirm it in time, or entered no card.
    NotConfirmed,
    /// Stripe never took the request; nothing was charged.
    NotSent,
    /// The balance was high enough again before an automatic refill was confirmed.
    NotNeeded,
}

/// The next step of a refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the payment intent, unconfirmed, with the key of this attempt; store its id.
    CreateIntent,
    /// Too late to create one: look for one among the customer's. If there is none, it fails.
    FindIntent,
    /// Read the payment intent.
    ReadIntent,
    /// Confirm the payment intent.
    Confirm,
    /// Note that the intent is to be canceled, then cancel it.
    Cancel(Failure),
    /// Credit the wallet.
    Complete,
    /// Write the failed row; the intent is canceled, or there is none.
    Fail(Failure),
    /// Wait for a new card.
    AwaitCard,
    /// Wait for the customer's confirmation.
    AwaitAction,
    /// Wait for the bank.
    AwaitBank,
}

impl Step {
    /// Every step; those with a reason once. A test kills the process at each of them.
    pub const ALL: [Self; 10] = [
        Self::CreateIntent,
        Self::FindIntent,
        Self::ReadIntent,
        Self::Confirm,
        Self::Cancel(Failure::Declined),
        Self::Complete,
        Self::Fail(Failure::Declined),
        Self::AwaitCard,
        Self::AwaitAction,
        Self::AwaitBank,
    ];
}

/// The next step of an unfinished refill. `intent` is its payment intent as just read from Stripe.
pub fn next(refill: &RefillFacts, intent: Option<IntentStatus>, limits: RefillLimits) -> Step {
    let start_max = match refill.trigger {
        RefillTrigger::Manual => RefillLimits::MANUAL_START_MAX,
        RefillTrigger::Auto => RefillLimits::REPEAT_MAX,
    };
    let action_max = match refill.trigger {
        RefillTrigger::Manual => limits.action_max,
        RefillTrigger::Auto => RefillLimits::AUTOMATIC_ACTION_MAX,
    };
    if !refill.has_intent {
        let may_start = refill.age < start_max && !refill.is_canceling;
        return if may_start { Step::CreateIntent } else { Step::FindIntent };
    }
    let Some(intent) = intent else { return Step::ReadIntent };
    match intent {
        IntentStatus::Succeeded => Step::Complete,
        IntentStatus::Canceled => Step::Fail(canceled_for(refill, action_max)),
        IntentStatus::Processing | IntentStatus::Other => Step::AwaitBank,
        _ if refill.is_canceling => Step::Cancel(canceled_for(refill, action_max)),
        IntentStatus::RequiresConfirmation if refill.has_new_card => Step::AwaitCard,
        IntentStatus::RequiresConfirmation if !refill.is_needed => Step::Cancel(Failure::NotNeeded),
        IntentStatus::RequiresConfirmation if refill.age < start_max => Step::Confirm,
        IntentStatus::RequiresConfirmation => Step::Cancel(Failure::NotSent),
        IntentStatus::RequiresPaymentMethod if refill.needs_customer => {
            if refill.age < action_max {
                Step::AwaitAction
            } else {
                Step::Cancel(Failure::NotConfirmed)
            }
        }
        IntentStatus::RequiresPaymentMethod if !refill.has_new_card => {
            Step::Cancel(Failure::Declined)
        }
        IntentStatus::RequiresPaymentMethod if refill.declines >= RefillLimits::TRIES_MAX => {
            Step::Cancel(Failure::Declined)
        }
        IntentStatus::RequiresPaymentMethod if refill.age < action_max => Step::AwaitCard,
        IntentStatus::RequiresAction if refill.age < action_max => Step::AwaitAction,
        IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresAction => {
            Step::Cancel(Failure::NotConfirmed)
        }
    }
}

/// Why a refill fails whose intent is canceled, or being canceled.
fn canceled_for(refill: &RefillFacts, action_max: TimeDelta) -> Failure {
    let was_declined = refill.declines > 0;
    match refill.has_new_card {
        _ if refill.needs_customer && refill.age >= action_max => Failure::NotConfirmed,
        false if was_declined => Failure::Declined,
        true if refill.declines >= RefillLimits::TRIES_MAX => Failure::Declined,
        _ if refill.age >= action_max => Failure::NotConfirmed,
        _ if was_declined => Failure::Declined,
        false if !refill.is_needed => Failure::NotNeeded,
        false => Failure::NotSent,
        true => Failure::NotConfirmed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RefillLimits = RefillLimits { action_max: TimeDelta::minutes(60) };

    fn manual() -> RefillFacts {
        RefillFacts {
            trigger: RefillTrigger::Manual,
            has_new_card: false,
            has_intent: true,
            is_canceling: false,
            declines: 0,
            needs_customer: false,
            is_needed: true,
            age: TimeDelta::seconds(1),
        }
    }

    #[test]
    fn an_automatic_refill_that_is_not_needed_any_more_is_canceled_before_it_is_confirmed() {
        let trigger = RefillTrigger::Auto;
        let waited = RefillFacts { trigger, is_needed: false, ..manual() };
        let unconfirmed = Some(IntentStatus::RequiresConfirmation);
        assert_eq!(next(&waited, unconfirmed, LIMITS), Step::Cancel(Failure::NotNeeded));
        let canceling = RefillFacts { is_canceling: true, ..waited };
        assert_eq!(next(&canceling, unconfirmed, LIMITS), Step::Cancel(Failure::NotNeeded));
        let canceled = Some(IntentStatus::Canceled);
        assert_eq!(next(&canceling, canceled, LIMITS), Step::Fail(Failure::NotNeeded));
        // Paid all the same.
        assert_eq!(next(&canceling, Some(IntentStatus::Succeeded), LIMITS), Step::Complete);
    }

    #[test]
    fn a_saved_card_is_created_then_confirmed_then_credited() {
        let new = RefillFacts { has_intent: false, ..manual() };
        assert_eq!(next(&new, None, LIMITS), Step::CreateIntent);
        assert_eq!(next(&manual(), None, LIMITS), Step::ReadIntent);
        let unconfirmed = Some(IntentStatus::RequiresConfirmation);
        assert_eq!(next(&manual(), unconfirmed, LIMITS), Step::Confirm);
        assert_eq!(next(&manual(), Some(IntentStatus::Succeeded), LIMITS), Step::Complete);
    }

    #[test]
    fn a_declined_payment_is_canceled_before_it_fails() {
        let declined = Some(IntentStatus::RequiresPaymentMethod);
        assert_eq!(next(&manual(), declined, LIMITS), Step::Cancel(Failure::Declined));
        let canceling = RefillFacts { is_canceling: true, declines: 1, ..manual() };
        assert_eq!(next(&canceling, declined, LIMITS), Step::Cancel(Failure::Declined));
        let canceled = Some(IntentStatus::Canceled);
        assert_eq!(next(&canceling, canceled, LIMITS), Step::Fail(Failure::Declined));
        // Paid while it was being canceled.
        assert_eq!(next(&canceling, Some(IntentStatus::Succeeded), LIMITS), Step::Complete);
    }

    #[test]
    fn a_new_card_has_five_tries_and_an_hour() {
        let new_card = RefillFacts { has_new_card: true, ..manual() };
        let waits = Some(IntentStatus::RequiresPaymentMethod);
        assert_eq!(next(&new_card, waits, LIMITS), Step::AwaitCard);
        let often = RefillFacts { declines: 5, ..new_card };
        assert_eq!(next(&often, waits, LIMITS), Step::Cancel(Failure::Declined));
        let old = RefillFacts { age: TimeDelta::minutes(60), ..new_card };
        assert_eq!(next(&old, waits, LIMITS), Step::Cancel(Failure::NotConfirmed));
        let action = Some(IntentStatus::RequiresAction);
        assert_eq!(next(&new_card, action, LIMITS), Step::AwaitAction);
        assert_eq!(next(&old, action, LIMITS), Step::Cancel(Failure::NotConfirmed));
    }

    #[test]
    fn an_automatic_refill_waits_a_day_for_the_customer() {
        let automatic = RefillFacts {
            trigger: RefillTrigger::Auto,
            declines: 1,
            needs_customer: true,
            age: TimeDelta::hours(23),
            ..manual()
        };
        let declined = Some(IntentStatus::RequiresPaymentMethod);
        assert_eq!(next(&automatic, declined, LIMITS), Step::AwaitAction);
        let old = RefillFacts { age: TimeDelta::hours(24), ..automatic };
        assert_eq!(next(&old, declined, LIMITS), Step::Cancel(Failure::NotConfirmed));
        let canceled = Some(IntentStatus::Canceled);
        assert_eq!(next(&old, canceled, LIMITS), Step::Fail(Failure::NotConfirmed));
        // The customer tried, and the bank declined for good.
        let refused = RefillFacts { needs_customer: false, ..automatic };
        assert_eq!(next(&refused, declined, LIMITS), Step::Cancel(Failure::Declined));
    }

    #[test]
    fn what_never_reached_stripe_is_not_charged_late() {
        let late = TimeDelta::minutes(15);
        let unsent = RefillFacts { has_intent: false, age: late, ..manual() };
        assert_eq!(next(&unsent, None, LIMITS), Step::FindIntent);
        let automatic = RefillFacts { trigger: RefillTrigger::Auto, ..unsent };
        assert_eq!(next(&automatic, None, LIMITS), Step::CreateIntent);
        let unconfirmed = Some(IntentStatus::RequiresConfirmation);
        let created = RefillFacts { age: late, ..manual() };
        assert_eq!(next(&created, unconfirmed, LIMITS), Step::Cancel(Failure::NotSent));
    }
}
