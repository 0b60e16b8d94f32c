//! Ids, increments and the words of statuses and kinds.

use callmeter_core::domain::{
    AccountId, CallSid, CallStatus, IdError, Increments, IncrementsError, PhoneNumberSid, PlanId,
    TransactionKind, TransactionType, TwilioAccountSid, ZeroDurationCompleted,
};
use proptest::prelude::*;

#[test]
fn our_own_ids_are_plain_words() {
    let longest = "a".repeat(64);
    for text in ["a", "7", "acme", "Acme-2.eu_west", longest.as_str()] {
        assert_eq!(AccountId::parse(text).map(|id| id.to_string()), Ok(text.to_owned()));
        assert_eq!(PlanId::parse(text).map(|id| id.to_string()), Ok(text.to_owned()));
    }
    for text in ["-a", ".a", "_a", "a b", "a/b", "a{b}", "é", "a\0", "a\n", "a:b"] {
        let refused = AccountId::parse(text);
        assert!(matches!(refused, Err(IdError::InvalidCharacter { .. })), "{text:?}: {refused:?}");
    }
}

#[test]
fn twilios_ids_are_taken_as_they_come_without_control_characters() {
    for text in ["CA0123456789abcdef", "call SID", "ключ", "a/b?c=d", "{}"] {
        assert_eq!(CallSid::parse(text).map(|id| id.to_string()), Ok(text.to_owned()));
        assert_eq!(PhoneNumberSid::parse(text).map(|id| id.to_string()), Ok(text.to_owned()));
    }
    for text in ["CA\0", "CA\n", "\u{7f}", "\u{85}"] {
        assert!(matches!(CallSid::parse(text), Err(IdError::InvalidCharacter { .. })), "{text:?}");
    }
    assert!(TwilioAccountSid::parse("ACnot-insisted-on").is_ok());
    assert!(TwilioAccountSid::parse("xyz").is_ok());
    for text in ["AC 1", "AC\t1", "AC\u{a0}1", "AC\0"] {
        let refused = TwilioAccountSid::parse(text);
        assert!(matches!(refused, Err(IdError::InvalidCharacter { .. })), "{text:?}: {refused:?}");
    }
}

#[test]
fn an_account_of_twilios_that_an_administrator_names_has_the_form_of_twilios() {
    let digits = "0123456789abcdefABCDEF0123456789";
    let sid = format!("AC{digits}");
    assert_eq!(TwilioAccountSid::parse_issued(&sid).map(|sid| sid.to_string()), Ok(sid.clone()));
    for text in [
        format!("CA{digits}"),
        format!("ac{digits}"),
        format!("Ac{digits}"),
        format!("AC{}", &digits[1..]),
        format!("{sid}0"),
        format!("AC{}g", &digits[1..]),
        format!("AC{}\u{ff11}", &digits[1..]),
        digits.to_owned(),
    ] {
        let refused = TwilioAccountSid::parse_issued(&text);
        assert!(matches!(refused, Err(IdError::NotIssued { .. })), "{text:?}: {refused:?}");
        assert!(TwilioAccountSid::parse(&text).is_ok(), "{text:?} may be decoded and stored");
    }
    let refused = TwilioAccountSid::parse_issued("");
    assert_eq!(refused, Err(IdError::Empty { what: "Twilio account SID" }));
}

#[test]
fn an_id_has_1_to_64_bytes() {
    let (long, long_in_bytes) = ("a".repeat(65), "é".repeat(33));
    assert_eq!(AccountId::parse(""), Err(IdError::Empty { what: "account id" }));
    assert_eq!(CallSid::parse(""), Err(IdError::Empty { what: "call SID" }));
    assert_eq!(AccountId::parse(&long), Err(IdError::TooLong { what: "account id", bytes: 65 }));
    assert_eq!(
        CallSid::parse(&long_in_bytes),
        Err(IdError::TooLong { what: "call SID", bytes: 66 })
    );
}

#[test]
fn an_id_error_says_what_and_where() {
    let error = PlanId::parse("a b").expect_err("a space").to_string();
    assert_eq!(
        error,
        "the plan id has ' ' at byte 1: letters, digits, '.', '_' and '-' are allowed, the first \
         a letter or digit"
    );
}

#[test]
fn increments_are_two_numbers_of_seconds_up_to_an_hour() {
    for (text, initial, increment) in
        [("60/60", 60, 60), ("1/1", 1, 1), ("30/6", 30, 6), ("3600/3600", 3600, 3600)]
    {
        let increments = Increments::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((increments.initial(), increments.increment()), (initial, increment));
        assert_eq!(increments.to_string(), text);
    }
    for text in ["0/60", "60/0", "3601/60", "60/3601"] {
        let refused = Increments::parse(text);
        assert!(matches!(refused, Err(IncrementsError::OutOfRange { .. })), "{text}: {refused:?}");
    }
    for text in ["", "60", "60/", "/60", "60/60/60", "+60/60", "60 / 60", "6O/60", "-1/60"] {
        let refused = Increments::parse(text);
        let wanted = matches!(refused, Err(IncrementsError::NotIncrements { .. }));
        assert!(wanted, "{text:?}: {refused:?}");
    }
}

#[test]
fn seconds_are_billed_by_the_initial_length_and_then_whole_steps() {
    for (increments, table) in [
        ("60/60", &[(0, 60), (1, 60), (60, 60), (61, 120), (3599, 3600), (3601, 3660)][..]),
        ("1/1", &[(0, 1), (1, 1), (36, 36)]),
        ("6/6", &[(0, 6), (6, 6), (7, 12), (13, 18)]),
        ("30/6", &[(0, 30), (30, 30), (31, 36), (36, 36), (37, 42)]),
        ("60/1", &[(0, 60), (59, 60), (60, 60), (61, 61), (75, 75)]),
        ("6/60", &[(6, 6), (7, 66), (66, 66), (67, 126)]),
        ("60/60", &[(u32::MAX, u32::MAX), (u32::MAX - 15, u32::MAX - 15)]),
        ("1/3600", &[(u32::MAX, u32::MAX)]),
    ] {
        let parsed = Increments::parse(increments).unwrap_or_else(|error| panic!("{error}"));
        for (seconds, billed) in table {
            assert_eq!(parsed.billed_seconds(*seconds), *billed, "{seconds} s by {increments}");
        }
    }
}

proptest! {
    #[test]
    fn a_billed_time_is_the_shortest_billing_length_that_holds_the_call(
        initial in 1..=3600_u32,
        increment in 1..=3600_u32,
        seconds in 0..=90_000_u32,
    ) {
        let increments = Increments::new(initial, increment).expect("within range");
        let billed = increments.billed_seconds(seconds);
        prop_assert!(billed >= seconds && billed >= initial);
        prop_assert_eq!((billed - initial) % increment, 0);
        prop_assert!(billed == initial || billed - increment < seconds);
        prop_assert_eq!(increments.billed_seconds(billed), billed);
    }
}

#[test]
fn only_completed_is_billable_and_five_statuses_are_terminal() {
    let table = [
        ("initiated", false, false),
        ("queued", false, false),
        ("ringing", false, false),
        ("in-progress", false, false),
        ("completed", true, true),
        ("busy", false, true),
        ("failed", false, true),
        ("no-answer", false, true),
        ("canceled", false, true),
    ];
    assert_eq!(table.len(), CallStatus::ALL.len());
    for (name, billable, terminal) in table {
        let status = CallStatus::parse(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(status.as_str(), name);
        assert_eq!((status.is_billable(), status.is_terminal()), (billable, terminal), "{name}");
    }
    for name in ["Completed", "answered", "no_answer", "cancelled", ""] {
        assert!(CallStatus::parse(name).is_err(), "{name:?}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let error = ZeroDurationCompleted::parse("maximum").expect_err("unknown").to_string();
    assert_eq!(error, "unknown zero_duration_completed \"maximum\"; known are minimum, free");
}

#[test]
fn every_kind_of_transaction_has_its_type_and_words() {
    use TransactionType::{Credit, Debit};
    let table = [
        ("refill_manual", Credit, "Wallet refill"),
        ("refill_auto", Credit, "Automatic wallet refill"),
        ("refund", Credit, "Refund"),
        ("chargeback_reversal", Credit, "Chargeback reversal"),
        ("refill_refund_reversal", Credit, "Refund to card returned"),
        ("adjustment_credit", Credit, "Adjustment credit"),
        ("call", Debit, "Call minutes deduction"),
        ("overage", Debit, "Overage minutes deduction"),
        ("number_purchase", Debit, "Phone number purchase"),
        ("number_rental", Debit, "Monthly number fee"),
        ("refill_refund", Debit, "Refund to card"),
        ("chargeback", Debit, "Chargeback"),
        ("adjustment_debit", Debit, "Adjustment debit"),
    ];
    assert_eq!(table.len(), TransactionKind::ALL.len());
    for (name, transaction_type, description) in table {
        let kind = TransactionKind::parse(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(kind.as_str(), name);
        assert_eq!(kind.transaction_type(), transaction_type, "{name}");
        assert_eq!(kind.default_description(), description, "{name}");
    }
}
