//! Ids and words of payments.

use callmeter_core::domain::{
    IdError, PaymentIntentId, PaymentMethodId, RefillId, RefillStatus, RefillTrigger,
    StripeCustomerId,
};
use proptest::prelude::*;

#[test]
fn a_refill_id_is_rf_and_32_lower_case_digits() {
    let id = RefillId::from_random([
        0x00, 0x01, 0x0f, 0x10, 0x7f, 0x80, 0xab, 0xcd, 0xef, 0xff, 2, 3, 4, 5, 6, 7,
    ]);
    assert_eq!(id.as_str(), "rf_00010f107f80abcdefff020304050607");
    let digits = &id.as_str()[3..];
    for wrong in [
        String::new(),
        "rf_".to_owned(),
        digits.to_owned(),
        format!("rf_{}", digits.to_uppercase()),
        format!("rf_{}", &digits[1..]),
        format!("rf_{digits}0"),
        format!("RF_{digits}"),
        format!(" rf_{digits}"),
        format!("rf_{}g", &digits[1..]),
        format!("pi_{digits}"),
    ] {
        let refused = RefillId::parse(&wrong);
        assert!(matches!(refused, Err(IdError::NotOfForm { .. })), "{wrong:?}: {refused:?}");
    }
    let error = RefillId::parse("rf_1").expect_err("too short").to_string();
    assert_eq!(error, "the refill id is not rf_ and 32 lower-case hexadecimal digits");
}

proptest! {
    #[test]
    fn a_refill_id_of_random_bytes_reads_back_and_differs(
        bytes in any::<[u8; 16]>(),
        other in any::<[u8; 16]>(),
    ) {
        let id = RefillId::from_random(bytes);
        prop_assert_eq!(RefillId::parse(id.as_str()), Ok(id.clone()));
        prop_assert_eq!(id == RefillId::from_random(other), bytes == other);
    }
}

#[test]
fn stripes_ids_are_known_by_their_prefix_and_safe_in_a_path() {
    let longest = format!("pi_{}", "a".repeat(250));
    for text in ["pi_3MtwBwLkdIwHu7ix28a3tqPa", "pi_1", "pi_a_b", longest.as_str()] {
        assert_eq!(PaymentIntentId::parse(text).map(|id| id.to_string()), Ok(text.to_owned()));
    }
    let too_long = format!("{longest}a");
    for text in [
        "",
        "pi_",
        "pi",
        "PI_1",
        "pm_1",
        "3Mtw",
        " pi_1",
        "pi_1 ",
        "pi_a/b",
        "pi_a/../b",
        "pi_é",
        "pi_1\n",
        "pi_a?b=c",
        "pi_a%2Fb",
        "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
        too_long.as_str(),
    ] {
        let refused = PaymentIntentId::parse(text);
        assert!(matches!(refused, Err(IdError::NotOfForm { .. })), "{text:?}: {refused:?}");
    }
    for text in ["pm_1Q0PsIJvEtkwdCNYMSaVuRz6", "card_1", "src_1"] {
        assert!(PaymentMethodId::parse(text).is_ok(), "{text}");
    }
    for text in ["cus_NffrFeUfNV2Hib", "seti_1", "tok_visa", "new"] {
        assert!(PaymentMethodId::parse(text).is_err(), "{text}");
    }
    assert!(StripeCustomerId::parse("cus_NffrFeUfNV2Hib").is_ok());
    assert!(StripeCustomerId::parse("pm_1").is_err());
}

#[test]
fn two_states_of_a_refill_are_final() {
    let table = [
        ("pending", false),
        ("requires_payment_method", false),
        ("requires_action", false),
        ("completed", true),
        ("failed", true),
    ];
    assert_eq!(table.len(), RefillStatus::ALL.len());
    for (name, is_final) in table {
        let status = RefillStatus::parse(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((status.as_str(), status.is_final()), (name, is_final));
    }
    let names: Vec<&str> = RefillTrigger::ALL.iter().map(|trigger| trigger.as_str()).collect();
    assert_eq!(names, ["manual", "auto"]);
}
