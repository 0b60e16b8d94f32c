//! What a declined payment means for the customer.
//!
//! Place in the flow: Stripe's answer or event about a declined payment gives two words; this table
//! turns them into a class and an advice. Rows, events, exports and HTTP show only its result.
//!
//! The true reason of a hidden decline must never leave this function: whoever tests stolen cards
//! would learn from it. Such a decline looks the same as a plain one of the bank.
//!
//! Source: Stripe's decline codes (<https://docs.stripe.com/declines/codes>) and error codes
//! (<https://docs.stripe.com/error-codes>).

use crate::domain::DeclineClass;

/// The error code of a declined card, which gives no reason.
const CARD_DECLINED: &str = "card_declined";
/// The code under which hidden reasons are told.
const GENERIC_DECLINE: &str = "generic_decline";
/// The most bytes of a reason that is repeated.
const CODE_BYTES_MAX: usize = 64;

const BANK_DECLINED: &str =
    "Your bank declined the payment. Contact your bank or use another card.";

/// A declined payment, as the customer may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// The reason: Stripe's word, or `generic_decline` if it is hidden.
    pub code: String,
    /// What can be done about it.
    pub class: DeclineClass,
    /// What the customer can do: whole sentences.
    pub advice: &'static str,
    /// True if Stripe's reason differs from `code` and only an administrator may read it. The card
    /// must not be asked again.
    pub is_hidden: bool,
}

/// Explains a declined payment by Stripe's `decline_code`, else by the error's `code`.
///
/// The need of a confirmation comes as either: it counts as `code` too, whatever the bank's reason,
/// unless that reason is hidden. An unknown reason is of class `generic`: the caller logs it.
pub fn decline(decline_code: Option<&str>, code: Option<&str>) -> Decline {
    let reason = decline_code.filter(|reason| !reason.is_empty());
    let code = code.filter(|code| !code.is_empty());
    if reason.or(code).is_some_and(is_hidden) {
        return Decline {
            code: GENERIC_DECLINE.to_owned(),
            class: DeclineClass::Bank,
            advice: BANK_DECLINED,
            is_hidden: true,
        };
    }
    let confirmation = code.filter(|code| of_class(code) == DeclineClass::OnSession);
    let reason = confirmation.or(reason).or(code).filter(|reason| is_word(reason));
    let reason = reason.unwrap_or(CARD_DECLINED);
    let (class, advice) = row(reason);
    Decline { code: reason.to_owned(), class, advice, is_hidden: false }
}

/// Reasons that tell a thief something.
fn is_hidden(reason: &str) -> bool {
    matches!(
        reason,
        "lost_card"
            | "stolen_card"
            | "fraudulent"
            | "merchant_blacklist"
            | "pickup_card"
            | "restricted_card"
    )
}

fn of_class(reason: &str) -> DeclineClass {
    row(reason).0
}

/// Class and advice of a reason that is not hidden.
fn row(reason: &str) -> (DeclineClass, &'static str) {
    use DeclineClass::{
        Bank, Check, FixCard, FixInput, Generic, Later, Never, OnSession, OtherCard, Retry,
    };
    match reason {
        "insufficient_funds" => (
            Later,
            "The card does not have enough funds. Try a smaller amount or use another card.",
        ),
        "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" => (
            Later,
            "The card has reached its limit. Wait until the limit is lifted, or use another card.",
        ),
        "expired_card" => (FixCard, "The card has expired. Update it or use another card."),
        "incorrect_cvc" | "invalid_cvc" => {
            (FixInput, "The security code (CVC) of the card is wrong. Enter it again.")
        }
        "incorrect_number" | "invalid_number" => {
            (FixInput, "The card number is wrong. Enter it again.")
        }
        "invalid_expiry_month" => (FixInput, "The expiry month is wrong. Enter it again."),
        "invalid_expiry_year" => (FixInput, "The expiry year is wrong. Enter it again."),
        "incorrect_zip" => (FixInput, "The postal code (ZIP) is wrong. Enter it again."),
        "authentication_required" => {
            (OnSession, "Your bank wants you to confirm the payment. Open the link to confirm it.")
        }
        "payment_intent_authentication_failure" | "setup_intent_authentication_failure" => (
            OnSession,
            "The confirmation failed. Try again and confirm with your bank, or use another card.",
        ),
        "generic_decline"
        | "do_not_honor"
        | "call_issuer"
        | "no_action_taken"
        | "transaction_not_allowed"
        | "not_permitted"
        | "security_violation"
        | "service_not_allowed"
        | "invalid_account" => (Bank, BANK_DECLINED),
        "currency_not_supported" | "card_not_supported" => (
            OtherCard,
            "This card cannot be used here. Some cards work only in their own country or \
             currency. Use another card.",
        ),
        "processing_error" | "issuer_not_available" | "reenter_transaction" | "try_again_later" => {
            (Retry, "The payment failed for a temporary reason. Nothing was taken. Try again now.")
        }
        "do_not_try_again"
        | "stop_payment_order"
        | "revocation_of_authorization"
        | "revocation_of_all_authorizations" => (
            Never,
            "The bank allows no more payments with this card. Use another card. Auto-refill is \
             switched off for this one.",
        ),
        "duplicate_transaction" => (
            Check,
            "A payment of this amount was just made. Check the history before you pay again.",
        ),
        // Ours: the payment ended without a decline of Stripe's.
        "not_confirmed" => {
            (OnSession, "The payment was not confirmed in time. Nothing was taken. Start again.")
        }
        "not_needed" => (
            Generic,
            "The balance was high enough again before the card was charged. Nothing was taken.",
        ),
        "not_sent" => (Retry, "The payment could not be made. Nothing was taken. Try again now."),
        // The card was removed at Stripe meanwhile.
        "resource_missing" => (OtherCard, "This card is not saved any more. Use another card."),
        _ => (Generic, "The bank declined the payment. Contact the bank or use another card."),
    }
}

/// True if the text looks like one of Stripe's words, so that it can be shown.
fn is_word(reason: &str) -> bool {
    reason.len() <= CODE_BYTES_MAX
        && reason.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
