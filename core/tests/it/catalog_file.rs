//! The catalog file: its meaning, and the message of each error.

use callmeter_core::domain::{Catalog, Increments, Legs, Money, NumberType, Overage, PrefixRate};

use crate::world::{instant, plan_id};

/// The file as it is documented.
const DOCUMENTED: &str = r#"
# effective_at = 2026-12-01T00:00:00Z   # optional; default: when accepted
[standard]                      # no subscription
per_minute = "0.020"
increments = "60/60"
rates = [{ prefix = "+44", per_minute = "0.030" }, { prefix = "+881", blocked = true }]

[[plans]]
id = "starter"
name = "Starter"
monthly_fee = "29.00"           # shown, and compared in insights; billed elsewhere
included_minutes = 100
per_minute = "0.014"            # overage
increments = "60/60"
overage = "wallet"              # or "block"
legs = "each"                   # or "parent_only"
rates = [{ prefix = "+44", per_minute = "0.030" }]

[[numbers]]
country = "US"
type = "local"                  # local, mobile, national, toll free
purchase = "1.15"
monthly = "1.15"
"#;

fn parsed(file: &str) -> Catalog {
    Catalog::parse(file).unwrap_or_else(|error| panic!("{error}"))
}

fn dollars(text: &str) -> Money {
    Money::parse(text).expect("an amount")
}

#[test]
fn the_documented_file_is_read_whole() {
    let catalog = parsed(DOCUMENTED);
    assert_eq!(catalog.effective_at, None);
    assert_eq!(catalog.standard.increments, Increments::PER_MINUTE);
    assert_eq!(catalog.standard.deck.default_rate().per_minute(), dollars("0.020"));
    let written: Vec<String> = catalog
        .standard
        .deck
        .prefixes()
        .map(|(prefix, rate)| match rate {
            PrefixRate::PerMinute(rate) => format!("{prefix} {rate}"),
            PrefixRate::Blocked => format!("{prefix} blocked"),
        })
        .collect();
    assert_eq!(written, ["+44 0.030000", "+881 blocked"]);

    let plan = &catalog.plans[&plan_id("starter")];
    assert_eq!((plan.id.as_str(), plan.name.as_str()), ("starter", "Starter"));
    assert_eq!(plan.monthly_fee, dollars("29"));
    assert_eq!(plan.included_seconds, 6000);
    assert_eq!(plan.rate().per_minute(), dollars("0.014"));
    assert_eq!(plan.tariff.increments, Increments::PER_MINUTE);
    assert_eq!((plan.overage, plan.legs), (Overage::Wallet, Legs::Each));
    let british = plan.tariff.deck.rate_for(Some("+4420"));
    assert_eq!((british.prefix, british.blocked), (Some("+44"), false));

    let [number] = &catalog.numbers[..] else { panic!("one number price") };
    assert_eq!((&*number.country, number.number_type), ("US", NumberType::Local));
    assert_eq!((number.purchase, number.monthly), (dollars("1.15"), dollars("1.15")));
}

#[test]
fn what_may_be_left_out_has_its_default() {
    let catalog = parsed(
        "[standard]\nper_minute = \"0.020\"\n[[plans]]\nid = \"bare\"\nname = \"Bare\"\n\
         monthly_fee = \"0\"\nincluded_minutes = 0\nper_minute = \"0\"\n",
    );
    assert_eq!(catalog.standard.increments, Increments::PER_MINUTE);
    assert_eq!(catalog.standard.deck.prefixes().count(), 0);
    let plan = &catalog.plans[&plan_id("bare")];
    assert_eq!(plan.tariff.increments, Increments::PER_MINUTE);
    assert_eq!((plan.overage, plan.legs), (Overage::Wallet, Legs::Each));
    assert!(catalog.numbers.is_empty());
}

#[test]
fn the_highest_amounts_and_minutes_are_accepted() {
    let file = DOCUMENTED
        .replace("per_minute = \"0.014\"", "per_minute = \"10000\"")
        .replace("monthly_fee = \"29.00\"", "monthly_fee = \"1000000\"")
        .replace("included_minutes = 100", "included_minutes = 1_000_000_000");
    let plan = &parsed(&file).plans[&plan_id("starter")];
    assert_eq!(plan.rate().per_minute(), Catalog::RATE_MAX);
    assert_eq!(plan.monthly_fee, Catalog::PRICE_MAX);
    assert_eq!(plan.included_seconds, 60_000_000_000);
}

#[test]
fn policies_are_read_by_name() {
    let file = DOCUMENTED
        .replace("overage = \"wallet\"", "overage = \"block\"")
        .replace("legs = \"each\"", "legs = \"parent_only\"")
        .replace("increments = \"60/60\"", "increments = \"30/6\"");
    let catalog = parsed(&file);
    let plan = &catalog.plans[&plan_id("starter")];
    assert_eq!((plan.overage, plan.legs), (Overage::Block, Legs::ParentOnly));
    assert_eq!(plan.tariff.increments.to_string(), "30/6");
}

#[test]
fn the_instant_of_effect_may_have_any_offset() {
    for (text, at) in [
        ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("2026-12-01T02:30:00+02:30", "2026-12-01T00:00:00Z"),
        ("2026-11-30 16:00:00.25-08:00", "2026-12-01T00:00:00.250Z"),
    ] {
        let file = format!("effective_at = {text}\n{DOCUMENTED}");
        assert_eq!(parsed(&file).effective_at, Some(instant(at)), "{text}");
    }
}

#[test]
fn a_blocked_destination_is_told_with_the_rate_it_is_charged_at() {
    let catalog = parsed(DOCUMENTED);
    let matched = catalog.standard.deck.rate_for(Some("+8816123"));
    assert_eq!((matched.prefix, matched.blocked), (Some("+881"), true));
    assert_eq!(matched.rate.per_minute(), dollars("0.020"));
    assert!(!catalog.standard.deck.rate_for(Some("+882")).blocked);
    assert!(!catalog.standard.deck.rate_for(None).blocked);
}

#[test]
fn number_prices_are_found_however_twilio_spells_the_type() {
    let toll_free = "[[numbers]]\ncountry = \"gb\"\ntype = \"toll free\"\npurchase = \"2.20\"\n\
                     monthly = \"2.10\"\n";
    let catalog = parsed(&format!("{DOCUMENTED}{toll_free}"));
    for (country, number_type, monthly) in [
        ("US", "local", Some("1.15")),
        ("us", "Local", Some("1.15")),
        ("GB", "toll free", Some("2.10")),
        ("gb", "TollFree", Some("2.10")),
        ("Gb", "toll-free", Some("2.10")),
        ("GB", "local", None),
        ("US", "mobile", None),
        ("US", "", None),
        ("", "local", None),
    ] {
        let found = catalog.number_price(country, number_type).map(|price| price.monthly);
        assert_eq!(found, monthly.map(dollars), "{country} {number_type}");
    }
}

/// Replaces one piece of the documented file and wants this one line in answer.
#[track_caller]
fn check_fault(piece: &str, instead: &str, told: &str) {
    assert!(DOCUMENTED.contains(piece), "the file has no {piece:?}");
    let file = DOCUMENTED.replacen(piece, instead, 1);
    let error = Catalog::parse(&file).expect_err("a fault").to_string();
    assert_eq!(error, told);
}

#[test]
fn a_fault_in_an_amount_names_line_key_and_remedy() {
    check_fault(
        "per_minute = \"0.014\"",
        "per_minute = \"0.0145678\"",
        "line 13, plans[0].per_minute: \"0.0145678\" has more than 6 decimal places; write \
         dollars with at most 6 decimal places, such as \"0.014\"",
    );
    check_fault(
        "per_minute = \"0.014\"",
        "per_minute = 0.014",
        "line 13, plans[0].per_minute: found a floating-point number; write dollars in quotes, \
         such as \"0.014\"",
    );
    check_fault(
        "monthly_fee = \"29.00\"",
        "monthly_fee = \"-29.00\"",
        "line 11, plans[0].monthly_fee: -29.000000 dollars is negative; write dollars with at \
         most 6 decimal places, such as \"0.014\"",
    );
    check_fault(
        "per_minute = \"0.020\"",
        "per_minute = \"10000.000001\"",
        "line 4, standard.per_minute: 10000.000001 dollars is more than 10000.000000; write a \
         smaller amount",
    );
    check_fault(
        "purchase = \"1.15\"",
        "purchase = \"1,15\"",
        "line 22, numbers[0].purchase: \"1,15\" is not an amount in dollars such as \"0.014\"; \
         write dollars with at most 6 decimal places, such as \"0.014\"",
    );
    check_fault(
        "monthly = \"1.15\"",
        "monthly = \"1000000.01\"",
        "line 23, numbers[0].monthly: 1000000.010000 dollars is more than 1000000.000000; write \
         a smaller amount",
    );
}

#[test]
fn a_fault_in_a_key_names_the_known_ones() {
    check_fault(
        "included_minutes",
        "included_minuts",
        "line 12, plans[0].included_minuts: unknown key; remove it, or use one of id, name, \
         monthly_fee, included_minutes, per_minute, increments, overage, legs, rates",
    );
    check_fault(
        "[[numbers]]",
        "[[number]]",
        "line 19, number: unknown key; remove it, or use one of effective_at, standard, plans, \
         numbers",
    );
    check_fault(
        "increments = \"60/60\"",
        "legs = \"each\"",
        "line 5, standard.legs: unknown key; remove it, or use one of per_minute, increments, \
         rates",
    );
    check_fault(
        "blocked = true",
        "block = true",
        "line 6, standard.rates[1].block: unknown key; remove it, or use one of prefix, \
         per_minute, blocked",
    );
}

#[test]
fn a_missing_key_is_told_with_an_example() {
    check_fault(
        "included_minutes = 100",
        "",
        "line 8, plans[0].included_minutes: missing; add included_minutes = 100",
    );
    check_fault(
        "per_minute = \"0.020\"",
        "",
        "line 3, standard.per_minute: missing; add per_minute = \"0.014\"",
    );
    check_fault(
        "country = \"US\"",
        "",
        "line 19, numbers[0].country: missing; add country = \"US\"",
    );
    let error = Catalog::parse("").expect_err("nothing in it").to_string();
    assert_eq!(error, "line 1, standard: missing; add [standard] with per_minute = \"0.020\"");
}

#[test]
fn what_must_differ_may_not_come_twice() {
    let second_plan = "[[plans]]\nid = \"starter\"\nname = \"Again\"\nmonthly_fee = \"1\"\n\
                       included_minutes = 1\nper_minute = \"1\"\n[[numbers]]";
    check_fault(
        "[[numbers]]",
        second_plan,
        "line 19, plans[1]: plan starter comes twice; remove one",
    );
    check_fault(
        "\"+881\", blocked = true",
        "\"+44\", blocked = true",
        "line 6, standard.rates[1]: prefix +44 comes twice; remove one",
    );
    let second_number = "[[numbers]]\ncountry = \"us\"\ntype = \"Local\"\npurchase = \"1\"\n\
                         monthly = \"1\"\n[[numbers]]";
    check_fault(
        "[[numbers]]",
        second_number,
        "line 24, numbers[1]: number US local comes twice; remove one",
    );
}

#[test]
fn a_prefix_is_a_plus_and_digits_with_a_rate_or_blocked() {
    for prefix in ["44", "+", "", "+44a", "+4 4", "++44", "+٤"] {
        let told = format!(
            "line 6, standard.rates[0].prefix: {prefix:?} is not a \"+\" and digits; write the \
             beginning of an E.164 number, such as \"+44\""
        );
        check_fault("\"+44\"", &format!("{prefix:?}"), &told);
    }
    let told = "line 6, standard.rates[1]: a prefix has either `per_minute` or `blocked = true`; \
                write one of them";
    check_fault("blocked = true", "blocked = false", told);
    check_fault("blocked = true", "blocked = true, per_minute = \"0.5\"", told);
    check_fault(", blocked = true", "", told);
}

#[test]
fn an_instant_needs_date_time_and_offset() {
    let told = "line 2, effective_at: not an instant; write date, time and offset, such as \
                2026-12-01T00:00:00Z";
    for text in ["2026-12-01T00:00:00", "2026-12-01", "00:00:00"] {
        check_fault(
            "# effective_at = 2026-12-01T00:00:00Z",
            &format!("effective_at = {text}"),
            told,
        );
    }
    check_fault(
        "# effective_at = 2026-12-01T00:00:00Z",
        "effective_at = \"2026-12-01T00:00:00Z\"",
        "line 2, effective_at: found a string; write a date and time without quotes",
    );
}

#[test]
fn every_other_value_is_checked_too() {
    check_fault(
        "id = \"starter\"",
        "id = \"the starter\"",
        "line 9, plans[0].id: the plan id has ' ' at byte 3: letters, digits, '.', '_' and '-' \
         are allowed, the first a letter or digit; write an id such as \"starter\"",
    );
    for name in ["", "  ", "a\\nb", &"x".repeat(101)] {
        check_fault(
            "name = \"Starter\"",
            &format!("name = \"{name}\""),
            "line 10, plans[0].name: not a name; write 1 to 100 printable characters",
        );
    }
    for (minutes, value) in
        [("-1", "-1"), ("1_000_000_001", "1000000001"), ("0xFFFFFFFFFF", "FFFFFFFFFF")]
    {
        check_fault(
            "included_minutes = 100",
            &format!("included_minutes = {minutes}"),
            &format!(
                "line 12, plans[0].included_minutes: {value} is out of range; write a whole \
                 number from 0 to 1000000000"
            ),
        );
    }
    check_fault(
        "included_minutes = 100",
        "included_minutes = \"100\"",
        "line 12, plans[0].included_minutes: found a string; write a whole number without quotes",
    );
    check_fault(
        "increments = \"60/60\"",
        "increments = \"60\"",
        "line 5, standard.increments: \"60\" is not of the form \"initial/increment\", such as \
         \"60/60\"; write seconds such as \"60/60\"",
    );
    check_fault(
        "overage = \"wallet\"",
        "overage = \"deny\"",
        "line 15, plans[0].overage: unknown overage \"deny\"; known are wallet, block; write one \
         of these",
    );
    check_fault(
        "country = \"US\"",
        "country = \"USA\"",
        "line 20, numbers[0].country: \"USA\" is not a country; write two letters of ISO 3166, \
         such as \"US\"",
    );
    check_fault(
        "type = \"local\"",
        "type = \"satellite\"",
        "line 21, numbers[0].type: unknown number type \"satellite\"; known are local, mobile, \
         national, toll free; write one of these",
    );
    check_fault("[[plans]]", "[plans]", "line 8, plans: found a table; write an array of tables");
}

#[test]
fn what_is_no_toml_is_told_in_one_line() {
    for (file, line) in [
        ("[standard\n", 1),
        ("[standard]\nper_minute = \n", 2),
        ("[standard]\nper_minute = \"1\"\nper_minute = \"2\"\n", 3),
        ("[standard]\nper_minute = \"1\"\n[standard]\n", 3),
    ] {
        let error = Catalog::parse(file).expect_err("not TOML");
        assert_eq!((error.line, &*error.path), (line, "catalog"), "{error}");
        let told = error.to_string();
        assert!(told.contains("not valid TOML: ") && !told.contains('\n'), "{told:?}");
    }
    let large = "#".repeat(Catalog::BYTES_MAX + 1);
    let error = Catalog::parse(&large).expect_err("too large").to_string();
    assert_eq!(error, "line 1, catalog: the file has 4194305 bytes; shorten it to 4194304");
}
