//! Settings from every source, and the error of each mistake.

use std::ffi::OsString;
use std::io::Write as _;

use super::{DEFAULTS, Settings, SettingsError, load_from};

const REQUIRED: [(&str, &str); 3] = [
    ("DATABASE_URL", "postgres://meter:hunter2@127.0.0.1:5432/callmeter"),
    ("REDIS_URL", "redis://:hunter2@127.0.0.1:6379/3"),
    ("KAFKA_BROKERS", "127.0.0.1:9092,127.0.0.1:9093"),
];

fn with(changes: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    with_file(None, changes)
}

fn with_file(file: Option<&str>, changes: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let mut variables = std::collections::BTreeMap::from(REQUIRED);
    variables.extend(changes.iter().copied());
    let variables = variables.into_iter();
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let Some(text) = file else { return load_from(None, variables) };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    load_from(Some(file.path()), variables)
}

#[track_caller]
fn check_refused(changes: &[(&str, &str)], words: &[&str]) {
    let line = with(changes).expect_err("it is refused").to_string();
    assert!(!line.contains('\n'), "{line}");
    assert!(!line.contains("hunter2"), "a secret is shown: {line}");
    for word in words {
        assert!(line.contains(word), "{word} is not in: {line}");
    }
}

#[test]
fn only_three_settings_are_required_and_the_rest_has_defaults() {
    let settings = with(&[]).unwrap();
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.batch.records_max, 20_000);
    assert_eq!(settings.wallet.low_balance_threshold.to_string(), "20.000000");
    assert_eq!(settings.kafka.options.iter().count(), 0);
    for (name, _) in REQUIRED {
        check_refused(&[(name, "")], &[name, "is not set"]);
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[kafka]\ngroup = \"file\"\npartitions = 7\n[kafka.options]\n\"a.b\" = 5\n";
    let changes = [
        ("CALLMETER__KAFKA__GROUP", "12345"),
        ("CALLMETER__KAFKA__OPTIONS__SASL_PASSWORD", "hunter2"),
        ("CALLMETER__BATCH__RECORDS_MAX", "17"),
    ];
    let settings = with_file(Some(file), &changes).unwrap();
    assert_eq!(settings.kafka.group, "12345", "a text of digits stays a text");
    assert_eq!(settings.kafka.partitions, 7);
    assert_eq!(settings.batch.records_max, 17);
    let options: Vec<_> = settings.kafka.options.iter().collect();
    assert_eq!(options, [("a.b", "5"), ("sasl.password", "hunter2")]);
}

#[test]
fn every_mistake_is_one_line_with_key_source_and_remedy() {
    let cases: [(&str, &str, &[&str]); 26] = [
        ("CALLMETER__WALLET__WATCHERS_MAX", "1000001", &["wallet.watchers_max", "1000000"]),
        ("CALLMETER__PAGE__ACCENT", "green", &["page.accent", "#rrggbb"]),
        ("CALLMETER__PAGE__ACCENT", "#ffcc00", &["page.accent", "4.5:1", "darker"]),
        ("CALLMETER__PAGE__ACCENT_DARK", "#0b5f57", &["page.accent_dark", "lighter"]),
        (
            "CALLMETER__PAGE__FRAME_ANCESTORS",
            "https://a.b/path",
            &["page.frame_ancestors", "origin"],
        ),
        (
            "CALLMETER__PAGE__FRAME_ANCESTORS",
            "https://a.b",
            &["page.frame_ancestors", "http.public_url"],
        ),
        ("CALLMETER__HTTP__LISTNE", "x", &["http.listne", "is not a setting", "listen"]),
        ("CALLMETER__COLOUR", "red", &["colour", "CALLMETER__COLOUR", "sections are"]),
        ("CALLMETER__HTTP__LISTEN", "8080", &["http.listen", "CALLMETER__HTTP__LISTEN"]),
        ("CALLMETER__HTTP__ADMIN_KEY", "hunter2", &["http.admin_key", "7 characters", "openssl"]),
        ("CALLMETER__HTTP__PUBLIC_URL", "example.com", &["http.public_url", "https://"]),
        ("CALLMETER__KAFKA__PARTITIONS", "four", &["kafka.partitions", "four", "whole number"]),
        ("CALLMETER__KAFKA__PARTITIONS", "0", &["kafka.partitions", "1 or more"]),
        ("CALLMETER__KAFKA__TOPIC_CALLS", "a b", &["kafka.topic_calls", "letters"]),
        ("CALLMETER__CHARGING__ZERO_DURATION_COMPLETED", "gift", &["minimum, free"]),
        ("CALLMETER__WALLET__LOW_BALANCE_THRESHOLD", "1.2345678", &["wallet.low_balance"]),
        ("CALLMETER__ALERTS__DEFAULT_THRESHOLDS", "5,5.00", &["alerts.default_thresholds"]),
        ("CALLMETER__SECRETS__KEY", "hunter2", &["secrets.key", "7 characters", "openssl"]),
        ("TWILIO_SHARED_KEYS", "hunter2", &["twilio.shared_keys", "TWILIO_SHARED_KEYS", "key 1"]),
        ("TWILIO_SHARED_KEYS", "a=b,a=hunter2", &["twilio.shared_keys", "key 2", "id=secret"]),
        ("CALLMETER__TWILIO__SHARED_KEYS", "a b=hunter2", &["twilio.shared_keys", "key 1"]),
        ("TWILIO_ACCOUNT_SID", "AC123", &["twilio.account_sid", "32 hexadecimal digits"]),
        ("CALLMETER__LOG__LEVEL", "loud=x=y", &["log.level", "debug"]),
        ("DATABASE_URL", "mysql://u:hunter2@h/x", &["database.url", "DATABASE_URL", "postgres://"]),
        ("REDIS_URL", "redis://:hunter2@h/16", &["redis.url", "REDIS_URL"]),
        ("KAFKA_BROKERS", "h:1,h", &["kafka.brokers", "host:port"]),
    ];
    for (variable, value, words) in cases {
        check_refused(&[(variable, value)], words);
    }
}

#[test]
fn two_variables_for_one_key_may_not_differ() {
    let same = REQUIRED[2].1;
    with(&[("CALLMETER__KAFKA__BROKERS", same)]).unwrap();
    let other = [("CALLMETER__KAFKA__BROKERS", "elsewhere:9092")];
    check_refused(&other, &["kafka.brokers", "KAFKA_BROKERS", "CALLMETER__KAFKA__BROKERS"]);
}

#[test]
fn a_secret_may_lie_in_a_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "an-admin-key-that-is-long-enough-00").unwrap();
    let path = file.path().to_str().unwrap();
    let settings = with(&[("CALLMETER__HTTP__ADMIN_KEY_FILE", path)]).unwrap();
    let key = settings.http.admin_key.unwrap();
    assert_eq!(key.expose(), "an-admin-key-that-is-long-enough-00");
    check_refused(&[("STRIPE_API_KEY_FILE", "/no/such")], &["/no/such", "STRIPE_API_KEY_FILE"]);
    std::fs::write(file.path(), "one=first,\ntwo=second==\n").unwrap();
    let settings = with(&[("TWILIO_SHARED_KEYS_FILE", path)]).unwrap();
    let keys = settings.twilio.shared_keys().unwrap();
    let keys: Vec<_> = keys.iter().map(|key| (&*key.id, key.secret.expose())).collect();
    assert_eq!(keys, [("one", "first"), ("two", "second==")]);
}

#[test]
fn secrets_are_masked_wherever_settings_are_shown() {
    let settings = with(&[
        ("CALLMETER__HTTP__ADMIN_KEY", "hunter2-hunter2-hunter2-hunter2-"),
        ("STRIPE_API_KEY", "hunter2"),
        ("STRIPE_WEBHOOK_SECRET", "hunter2"),
        ("TWILIO_AUTH_TOKEN", "hunter2"),
        ("TWILIO_SHARED_KEYS", "one=hunter2, two=hunter2=="),
        ("CALLMETER__SECRETS__KEY", "hunter2-hunter2-hunter2-hunter2-"),
        ("CALLMETER__SECRETS__PREVIOUS_KEY", "hunter2-hunter2-hunter2-hunter2-"),
        ("CALLMETER__KAFKA__OPTIONS__SASL_PASSWORD", "hunter2"),
        ("DATABASE_URL", "postgres://meter:hunter2@h/x?sslpassword=hunter2"),
    ])
    .unwrap();
    for shown in [toml::to_string(&settings).unwrap(), format!("{settings:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("postgres://meter:********@h/x?********"), "{shown}");
    }
}

#[test]
fn every_key_is_documented_where_the_defaults_are() {
    let settings = with(&[
        ("CALLMETER__HTTP__INTERNAL_LISTEN", "127.0.0.1:8081"),
        ("CALLMETER__HTTP__ADMIN_KEY", "an-admin-key-that-is-long-enough-00"),
        ("CALLMETER__HTTP__PUBLIC_URL", "https://example.com"),
        ("STRIPE_API_KEY", "x"),
        ("STRIPE_PUBLISHABLE_KEY", "x"),
        ("STRIPE_WEBHOOK_SECRET", "x"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("TWILIO_AUTH_TOKEN", "x"),
        ("TWILIO_SHARED_KEYS", "x=y"),
        ("CALLMETER__PRIVACY__RETENTION_MONTHS", "13"),
        ("CALLMETER__SECRETS__KEY", "a-key-that-is-long-enough-0123456789"),
        ("CALLMETER__SECRETS__PREVIOUS_KEY", "a-key-that-is-long-enough-0123456789"),
    ]);
    let table = toml::Table::try_from(settings.unwrap()).unwrap();
    for (section, keys) in &table {
        let (_, documented) = DEFAULTS.split_once(&format!("\n[{section}]\n")).unwrap();
        let documented = documented.split("\n[").next().unwrap();
        for key in keys.as_table().unwrap().keys().filter(|key| *key != "options") {
            let line = documented
                .lines()
                .find(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
            assert!(line.is_some(), "{section}.{key} is not documented");
        }
    }
}
