//! What customers call countries and types of numbers.

use callmeter_core::domain::NumberType;

/// A country by its two letters; one that stands not here keeps them.
pub(super) fn country(code: &str) -> &str {
    match code {
        "AT" => "Austria",
        "AU" => "Australia",
        "BE" => "Belgium",
        "BR" => "Brazil",
        "CA" => "Canada",
        "CH" => "Switzerland",
        "CZ" => "Czechia",
        "DE" => "Germany",
        "DK" => "Denmark",
        "ES" => "Spain",
        "FI" => "Finland",
        "FR" => "France",
        "GB" => "United Kingdom",
        "HK" => "Hong Kong",
        "IE" => "Ireland",
        "IL" => "Israel",
        "IT" => "Italy",
        "JP" => "Japan",
        "MX" => "Mexico",
        "NL" => "Netherlands",
        "NO" => "Norway",
        "NZ" => "New Zealand",
        "PL" => "Poland",
        "PT" => "Portugal",
        "SE" => "Sweden",
        "SG" => "Singapore",
        "US" => "United States",
        "ZA" => "South Africa",
        other => other,
    }
}

/// A type as a word.
pub(super) const fn kind(kind: NumberType) -> &'static str {
    match kind {
        NumberType::Local => "local",
        NumberType::Mobile => "mobile",
        NumberType::National => "national",
        NumberType::TollFree => "toll free",
    }
}

/// Country and type, such as `US local`.
pub(super) fn both(code: &str, number_type: NumberType) -> String {
    format!("{code} {}", kind(number_type))
}
