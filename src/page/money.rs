//! Money as customers read it. A balance is in whole cents, rounded down; an amount has every place
//! that is not zero, and at least two.

use callmeter_core::domain::{Money, TransactionType};

const MICROS_PER_CENT: i64 = 10_000;
const MICROS_PER_DOLLAR: u64 = 1_000_000;
/// A true minus sign.
const MINUS: &str = "\u{2212}";

/// A balance: whole cents, rounded toward minus.
pub(super) fn cents(balance: Money) -> String {
    let micros = balance.micros().div_euclid(MICROS_PER_CENT).saturating_mul(MICROS_PER_CENT);
    exact(Money::from_micros(micros))
}

/// An amount to its last place.
pub(super) fn exact(amount: Money) -> String {
    let magnitude = amount.micros().unsigned_abs();
    let sign = if amount.is_negative() { MINUS } else { "" };
    let places = format!("{:06}", magnitude % MICROS_PER_DOLLAR);
    let places = format!("{:0<2}", places.trim_end_matches('0'));
    format!("{sign}${}.{places}", grouped(magnitude / MICROS_PER_DOLLAR))
}

/// Which way a forecast is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toward {
    Nearest,
    Down,
    Up,
}

/// A forecast or an average, zero or more: whole cents from a dollar on, else four places.
pub(super) fn about(amount: Money, toward: Toward) -> String {
    let micros = amount.micros();
    let is_small = micros.unsigned_abs() < MICROS_PER_DOLLAR;
    let step = if is_small { MICROS_PER_CENT / 100 } else { MICROS_PER_CENT };
    let up = match toward {
        Toward::Down => 0,
        Toward::Nearest => step / 2,
        Toward::Up => step - 1,
    };
    exact(Money::from_micros(micros.saturating_add(up).div_euclid(step).saturating_mul(step)))
}

/// An amount with the sign of its direction.
pub(super) fn signed(direction: TransactionType, amount: Money) -> String {
    let sign = match direction {
        TransactionType::Credit => "+",
        TransactionType::Debit => MINUS,
    };
    format!("{sign}{}", exact(amount))
}

/// An amount as a field of a form takes it: `20.00`.
pub(super) fn field(amount: Money) -> String {
    exact(amount).replace(['$', ','], "").replace(MINUS, "-")
}

/// A whole number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Toward, about, cents, exact, field, signed};
    use callmeter_core::domain::{Money, TransactionType};

    #[test]
    fn forecasts_are_in_cents_and_small_ones_in_hundredths_of_a_cent() {
        let all = |micros| {
            [Toward::Down, Toward::Nearest, Toward::Up]
                .map(|toward| about(Money::from_micros(micros), toward))
        };
        assert_eq!(all(130_669_918), ["$130.66", "$130.67", "$130.67"]);
        assert_eq!(all(41_969), ["$0.0419", "$0.042", "$0.042"]);
        assert_eq!(all(0), ["$0.00", "$0.00", "$0.00"]);
        assert_eq!(all(145_920_000), ["$145.92", "$145.92", "$145.92"]);
    }

    #[test]
    fn balances_are_rounded_down_and_amounts_are_exact() {
        let table = [
            (66_574_000, "$66.57", "$66.574"),
            (-412_000, "\u{2212}$0.42", "\u{2212}$0.412"),
            (0, "$0.00", "$0.00"),
            (1_234_567_890_000, "$1,234,567.89", "$1,234,567.89"),
            (1, "$0.00", "$0.000001"),
            (-1, "\u{2212}$0.01", "\u{2212}$0.000001"),
            (999_000_000, "$999.00", "$999.00"),
            (1_150_000, "$1.15", "$1.15"),
        ];
        for (micros, balance, amount) in table {
            let money = Money::from_micros(micros);
            assert_eq!((cents(money).as_str(), exact(money).as_str()), (balance, amount));
        }
        assert_eq!(signed(TransactionType::Debit, Money::from_micros(14_000)), "\u{2212}$0.014");
        assert_eq!(signed(TransactionType::Credit, Money::from_micros(50_000_000)), "+$50.00");
        assert_eq!(field(Money::from_micros(1_250_000_000)), "1250.00");
    }
}
