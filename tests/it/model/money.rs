//! Money of the model: whole micro-dollars.

/// Micro-dollars.
pub(crate) type Micros = i128;

/// Parses an amount as the API writes it: a sign, digits, a point and exactly six digits.
pub(crate) fn parse(text: &str) -> Option<Micros> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.')?;
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() != 6 {
        return None;
    }
    let micros = whole.parse::<i128>().ok()? * 1_000_000 + fraction.parse::<i128>().ok()?;
    Some(if negative { -micros } else { micros })
}

/// Parses a price as an event or a catalog writes it: up to six decimal places.
pub(crate) fn parse_price(text: &str) -> Option<Micros> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 6 || (text.contains('.') && fraction.is_empty()) {
        return None;
    }
    parse(&format!("{whole}.{fraction:0<6}")).filter(|_| !text.starts_with('-'))
}

/// Writes an amount as the API does.
pub(crate) fn show(micros: Micros) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let size = micros.abs();
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}

/// The price of `seconds` at a rate per minute, rounded half away from zero.
pub(crate) fn price(rate_per_minute: Micros, seconds: i64) -> Micros {
    let sixtieths = rate_per_minute * i128::from(seconds);
    let (whole, rest) = (sixtieths.div_euclid(60), sixtieths.rem_euclid(60));
    if rest >= 30 { whole + 1 } else { whole }
}

#[test]
fn the_model_reads_and_writes_amounts_with_six_places() {
    assert_eq!(parse("0.014000"), Some(14_000));
    assert_eq!(parse("-12.000001"), Some(-12_000_001));
    for bad in ["0.014", "1", "", ".000000", "1.0000000", "1.00000a", "+1.000000", "1e0.000000"] {
        assert_eq!(parse(bad), None, "{bad}");
    }
    assert_eq!(show(-12_000_001), "-12.000001");
    assert_eq!(show(14_000), "0.014000");
    assert_eq!(parse_price("1.15"), Some(1_150_000));
    assert_eq!(parse_price("29"), Some(29_000_000));
    for bad in ["-1.15", "1.1500000", "1.", "free", ""] {
        assert_eq!(parse_price(bad), None, "{bad}");
    }
}

#[test]
fn the_model_prices_and_rounds_by_hand_computed_examples() {
    assert_eq!(price(20_000, 60), 20_000, "one minute at two cents");
    assert_eq!(price(14_000, 16), 3_733, "16/60 of 14,000 is 3,733.33");
    assert_eq!(price(14_000, 20), 4_667, "20/60 of 14,000 is 4,666.67");
    assert_eq!(price(1, 30), 1, "half a micro-dollar goes up");
    assert_eq!(price(1, 29), 0);
    assert_eq!(price(0, 86_400), 0);
}
