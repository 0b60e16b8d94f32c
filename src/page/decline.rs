//! A declined payment as customers read it: what happened to which card, that nothing was charged,
//! and what to do, best first.

use callmeter_core::domain::DeclineClass;
use callmeter_core::policy;

use crate::ledger::payments::refills::{CardFace, Refill, StoredDecline};

/// A declined payment.
#[derive(Clone, Debug)]
pub(super) struct Decline {
    /// What happened.
    pub(super) headline: String,
    /// What can be done, as the core says it.
    pub(super) advice: &'static str,
    /// The reason in plain words.
    pub(super) answer: String,
    /// What to do, best first.
    pub(super) steps: Vec<&'static str>,
    /// True if the card's own date can be corrected.
    pub(super) offers_expiry: bool,
}

impl Decline {
    /// The decline of a refill; `None`: it was not declined.
    pub(super) fn of(refill: &Refill) -> Option<Self> {
        refill.decline.as_ref().map(|stored| Self::new(stored, refill.card.as_ref()))
    }

    fn new(stored: &StoredDecline, card: Option<&CardFace>) -> Self {
        let told = policy::decline(stored.decline_code.as_deref(), stored.code.as_deref());
        let card = card.map_or_else(|| "the card".to_owned(), face);
        let code = told.code.as_str();
        let (headline, steps) = words(told.class, code, &card);
        Self {
            headline,
            advice: told.advice,
            answer: match code {
                "generic_decline" | "do_not_honor" => "declined, no reason given".to_owned(),
                code => code.replace('_', " "),
            },
            steps,
            offers_expiry: told.class == DeclineClass::FixCard,
        }
    }
}

fn words(class: DeclineClass, code: &str, card: &str) -> (String, Vec<&'static str>) {
    const OTHER: &str = "Or pay with another card.";
    match class {
        DeclineClass::Later if code == "insufficient_funds" => (
            format!("Declined: not enough funds on {card}"),
            vec!["Try a smaller amount on the same card.", OTHER],
        ),
        DeclineClass::Later => (
            format!("Declined: {card} has reached its limit"),
            vec!["Pay with another card.", "Or wait until the card's limit is lifted."],
        ),
        DeclineClass::FixCard => (
            format!("Declined: {card} has expired"),
            vec!["Enter the new expiry date, if the number stayed the same.", OTHER],
        ),
        DeclineClass::FixInput => (
            format!("Declined: something on {card} is not right"),
            vec!["Enter the card's data again.", OTHER],
        ),
        DeclineClass::OnSession => (
            format!("The confirmation for {card} did not succeed"),
            vec!["Try again, and confirm the payment with your bank.", OTHER],
        ),
        DeclineClass::OtherCard => {
            (format!("Declined: {card} cannot be used here"), vec!["Pay with another card."])
        }
        DeclineClass::Retry => (
            "A passing fault: nothing was taken".to_owned(),
            vec!["Try again now: it usually works.", OTHER],
        ),
        DeclineClass::Never => {
            ("Your bank declined for good".to_owned(), vec!["Pay with another card."])
        }
        DeclineClass::Check => (
            "You paid the same amount a moment ago".to_owned(),
            vec!["Look at your history before you pay again."],
        ),
        DeclineClass::Bank | DeclineClass::Generic => (
            "Your bank declined this payment".to_owned(),
            vec![
                "Call the number on the back of your card and ask them to allow the payment.",
                "Then try again here.",
                "In a hurry? Pay with another card.",
            ],
        ),
    }
}

/// A card as customers know it: `Visa •••• 4242`.
pub(super) fn face(card: &CardFace) -> String {
    let mut letters = card.brand.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let brand = match card.brand.as_str() {
        "amex" => "American Express".to_owned(),
        "jcb" => "JCB".to_owned(),
        _ => format!("{first}{}", letters.as_str()).replace('_', " "),
    };
    format!("{brand}\u{a0}••••\u{a0}{}", card.last4)
}
