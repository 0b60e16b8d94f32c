//! The only rounding function of the system.
//!
//! Place in the flow: below [`Money`](super::Money). Only a rate times a time can have a fraction
//! of a micro-dollar, so only [`RatePerMinute::price`](super::RatePerMinute::price) and its
//! inverse, the grant, depend on it.
//!
//! It must never round twice: the caller passes the exact numerator.

/// Divides and rounds to the nearest integer, halves away from zero (docs/charging.md, "Money and
/// time"): 5/2 is 3 and -5/2 is -3.
///
/// # Panics
/// If the denominator is not positive. Callers pass a constant count of seconds or units.
pub const fn divide_half_away_from_zero(numerator: i128, denominator: i128) -> i128 {
    assert!(denominator > 0, "the denominator is a positive count of units");
    let quotient = numerator / denominator;
    let remainder = (numerator % denominator).unsigned_abs();
    // `remainder >= denominator - remainder` is `2 * remainder >= denominator` without overflow.
    if remainder >= denominator.unsigned_abs() - remainder {
        quotient + numerator.signum()
    } else {
        quotient
    }
}
