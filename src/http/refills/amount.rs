//! Amounts that a card is charged.

use callmeter_core::domain::Money;
use serde_json::Value;

use crate::config::PAYMENT_MAX;

/// Reads an amount of whole cents: one to six digits, and at most two after a point.
pub(in crate::http) fn cents_amount(value: &Value) -> Result<Money, String> {
    let expected = || "is not dollars as a string with at most two places, such as \"50.00\"";
    let text = value.as_str().ok_or_else(expected)?;
    let (dollars, cents) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(dollars, 6) || !digits(cents, 2) {
        return Err(expected().to_owned());
    }
    let amount = Money::parse(text).map_err(|error| error.to_string())?;
    if amount > PAYMENT_MAX {
        return Err("is more than 999999.99, the most that Stripe takes at once".to_owned());
    }
    Ok(amount)
}
