//! Every reason of a declined payment, with its class and its advice.

use std::collections::BTreeMap;

use callmeter_core::domain::DeclineClass;
use callmeter_core::policy::decline;

/// Rows of Stripe's table: the class, a word of the advice, the reasons.
const TABLE: &[(&str, &str, &[&str])] = &[
    ("later", "funds", &["insufficient_funds"]),
    ("later", "limit", &["card_velocity_exceeded", "withdrawal_count_limit_exceeded"]),
    ("fix_card", "expired", &["expired_card"]),
    ("fix_input", "security code (CVC)", &["incorrect_cvc", "invalid_cvc"]),
    ("fix_input", "card number", &["incorrect_number", "invalid_number"]),
    ("fix_input", "expiry month", &["invalid_expiry_month"]),
    ("fix_input", "expiry year", &["invalid_expiry_year"]),
    ("fix_input", "postal code", &["incorrect_zip"]),
    ("on_session", "Open the link", &["authentication_required"]),
    (
        "on_session",
        "confirmation failed",
        &["payment_intent_authentication_failure", "setup_intent_authentication_failure"],
    ),
    (
        "bank",
        "Contact your bank",
        &[
            "generic_decline",
            "do_not_honor",
            "call_issuer",
            "no_action_taken",
            "transaction_not_allowed",
            "not_permitted",
            "security_violation",
            "service_not_allowed",
            "invalid_account",
        ],
    ),
    ("other_card", "country", &["currency_not_supported", "card_not_supported"]),
    (
        "retry",
        "Nothing was taken",
        &["processing_error", "issuer_not_available", "reenter_transaction", "try_again_later"],
    ),
    (
        "never",
        "switched off for this one",
        &[
            "do_not_try_again",
            "stop_payment_order",
            "revocation_of_authorization",
            "revocation_of_all_authorizations",
        ],
    ),
    ("check", "history", &["duplicate_transaction"]),
    ("generic", "The bank declined", &["testmode_decline", "pin_try_exceeded", "new_in_2031"]),
];

const HIDDEN: &[&str] = &[
    "lost_card",
    "stolen_card",
    "fraudulent",
    "merchant_blacklist",
    "pickup_card",
    "restricted_card",
];

#[test]
fn every_reason_has_its_class_and_its_advice() {
    let mut advices = BTreeMap::new();
    for (class, word, reasons) in TABLE {
        for reason in *reasons {
            // Stripe gives the reason as decline code, or as the error's code alone.
            for told in [
                decline(Some(reason), Some("card_declined")),
                decline(Some(reason), None),
                decline(None, Some(reason)),
                decline(Some(""), Some(reason)),
                decline(Some(reason), Some(reason)),
            ] {
                assert_eq!(told.code, *reason);
                assert_eq!(told.class.as_str(), *class, "{reason}");
                assert!(told.advice.contains(word), "{reason}: {}", told.advice);
                assert!(!told.is_hidden, "{reason}");
                let row = advices.entry(told.advice).or_insert((class, word));
                assert_eq!(*row, (class, word), "an advice belongs to one row: {}", told.advice);
            }
        }
    }
    assert_eq!(advices.len(), TABLE.len(), "a row has one advice");
    for advice in advices.keys() {
        let is_sentence = advice.starts_with(char::is_uppercase) && advice.ends_with('.');
        assert!(is_sentence && !advice.contains("  ") && !advice.contains('_'), "{advice}");
    }
    let classes: std::collections::BTreeSet<&str> = TABLE.iter().map(|row| row.0).collect();
    assert_eq!(classes.len(), DeclineClass::ALL.len(), "every class occurs");
}

#[test]
fn a_hidden_reason_looks_like_a_plain_decline_of_the_bank() {
    let plain = decline(Some("generic_decline"), Some("card_declined"));
    for reason in HIDDEN {
        for told in [
            decline(Some(reason), Some("card_declined")),
            decline(Some(reason), None),
            decline(None, Some(reason)),
            decline(Some(reason), Some("authentication_required")),
            decline(Some(reason), Some("expired_card")),
        ] {
            assert!(told.is_hidden, "{reason}");
            assert_eq!(
                (&told.code, told.class, told.advice),
                (&plain.code, plain.class, plain.advice),
                "{reason}"
            );
            assert!(!format!("{told:?}").contains(reason), "{told:?}");
        }
    }
}

#[test]
fn the_need_of_a_confirmation_comes_as_either() {
    for told in [
        decline(Some("authentication_required"), Some("card_declined")),
        decline(None, Some("authentication_required")),
        decline(Some("do_not_honor"), Some("authentication_required")),
    ] {
        assert_eq!((&*told.code, told.class.as_str()), ("authentication_required", "on_session"));
    }
}

#[test]
fn what_is_no_reason_is_a_decline_without_one() {
    let long = "a".repeat(65);
    for (reason, code) in [
        (None, None),
        (Some(""), Some("")),
        (None, Some("card_declined")),
        (Some("a b"), None),
        (Some("<script>"), Some("card_declined")),
        (Some("a\nb"), None),
        (Some(long.as_str()), None),
    ] {
        let told = decline(reason, code);
        assert_eq!((&*told.code, told.class.as_str()), ("card_declined", "generic"), "{reason:?}");
        assert!(!told.is_hidden);
    }
}
