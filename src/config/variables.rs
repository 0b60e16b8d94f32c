//! Environment variables as settings: the key of each variable, and its type.

use std::ffi::OsString;
use std::path::PathBuf;

use figment::value::{Dict, Value};

use super::{KafkaOptions, SettingsError};

/// Variables with this prefix are settings; `SECTION__KEY` follows it.
const PREFIX: &str = "CALLMETER__";

/// Plain names, and their keys.
pub(super) const PLAIN_NAMES: [(&str, &str); 9] = [
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "redis.url"),
    ("KAFKA_BROKERS", "kafka.brokers"),
    ("STRIPE_API_KEY", "stripe.api_key"),
    ("STRIPE_PUBLISHABLE_KEY", "stripe.publishable_key"),
    ("STRIPE_WEBHOOK_SECRET", "stripe.webhook_secret"),
    ("TWILIO_ACCOUNT_SID", "twilio.account_sid"),
    ("TWILIO_AUTH_TOKEN", "twilio.auth_token"),
    ("TWILIO_SHARED_KEYS", "twilio.shared_keys"),
];

/// Keys whose values must not be shown, and may be in a file.
const SECRETS: [&str; 10] = [
    "http.admin_key",
    "database.url",
    "redis.url",
    "stripe.api_key",
    "stripe.webhook_secret",
    "mail.smtp_url",
    "twilio.auth_token",
    "twilio.shared_keys",
    "secrets.key",
    "secrets.previous_key",
];

/// Numbers that have no default, by which the type of a key is known otherwise.
const NUMBERS_WITHOUT_DEFAULT: [&str; 2] = ["refill.declines_per_hour", "refill.setups_per_hour"];

/// One key given by one variable.
pub(super) struct Given {
    /// The name of the variable.
    pub(super) variable: String,
    /// The key as a path; the name of a librdkafka option is one element with its dots.
    pub(super) path: Vec<String>,
    /// The value.
    pub(super) text: String,
}

/// True if a key's value must not be repeated.
pub(super) fn is_secret(path: &[String]) -> bool {
    match path {
        [kafka, options, name] if kafka == "kafka" && options == "options" => {
            KafkaOptions::is_secret(name)
        }
        path => SECRETS.contains(&path.join(".").as_str()),
    }
}

/// Collects the settings in the environment; reads the files of `NAME_FILE` variables.
pub(super) fn given_by(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Given>, SettingsError> {
    let mut all = Vec::<Given>::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some((path, is_file)) = key_of(name) else { continue };
        if value.is_empty() {
            continue;
        }
        let text = value.into_string().map_err(|_| SettingsError::Invalid {
            key: path.join("."),
            origin: origin(name),
            problem: "is not UTF-8".to_owned(),
            remedy: "give it as text".to_owned(),
        })?;
        let text = if is_file { read_file(text.into(), name)? } else { text };
        let variable = name.to_owned();
        if let Some(other) = all.iter().find(|other| other.path == path && other.text != text) {
            return Err(SettingsError::Contradiction {
                key: path.join("."),
                first: other.variable.clone(),
                second: variable,
            });
        }
        all.push(Given { variable, path, text });
    }
    Ok(all)
}

/// Names a variable in an error.
pub(super) fn origin(variable: &str) -> String {
    format!("environment variable {variable}")
}

/// The key of a variable, and whether its value is a file; `None`: it is not a setting.
fn key_of(variable: &str) -> Option<(Vec<String>, bool)> {
    let plain = |name: &str| {
        let (_, key) = PLAIN_NAMES.iter().find(|(plain, _)| *plain == name)?;
        Some(key.split('.').map(str::to_owned).collect::<Vec<_>>())
    };
    if let Some(path) = plain(variable) {
        return Some((path, false));
    }
    if let Some(path) = variable.strip_suffix("_FILE").and_then(plain) {
        return is_secret(&path).then_some((path, true));
    }
    let rest = variable.strip_prefix(PREFIX)?;
    if let Some(stem) = rest.strip_suffix("_FILE")
        && is_secret(&path_of(stem))
    {
        return Some((path_of(stem), true));
    }
    Some((path_of(rest), false))
}

/// `KAFKA__OPTIONS__SASL_PASSWORD` is the path `kafka`, `options`, `sasl.password`.
fn path_of(name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("kafka__options__") {
        Some(option) => vec!["kafka".to_owned(), "options".to_owned(), option.replace('_', ".")],
        None => name.split("__").map(str::to_owned).collect(),
    }
}

fn read_file(path: PathBuf, variable: &str) -> Result<String, SettingsError> {
    let text = std::fs::read_to_string(&path).map_err(|source| SettingsError::Unreadable {
        path,
        origin: origin(variable),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

impl Given {
    /// The value as a nested table, with the type of the key's default.
    pub(super) fn into_table(self, defaults: &Dict) -> Result<Dict, SettingsError> {
        let key = self.path.join(".");
        let value = match default_of(defaults, &self.path) {
            Some(Value::Bool(..)) => {
                let flag = self.text.trim().parse::<bool>();
                Value::from(flag.map_err(|_| self.invalid("is not true or false"))?)
            }
            default if matches!(default, Some(Value::Num(..))) || is_number(&key) => {
                let number = self.text.trim().parse::<i64>();
                Value::from(number.map_err(|_| self.invalid("is not a whole number"))?)
            }
            _ => Value::from(self.text.clone()),
        };
        let mut path = self.path.into_iter().rev();
        let last = path.next().unwrap_or_default();
        let innermost = Dict::from([(last, value)]);
        Ok(path.fold(innermost, |inner, key| Dict::from([(key, Value::from(inner))])))
    }

    fn invalid(&self, problem: &str) -> SettingsError {
        SettingsError::Invalid {
            key: self.path.join("."),
            origin: origin(&self.variable),
            problem: format!("{:?} {problem}", self.text),
            remedy: "config/callmeter.toml gives its unit and default".to_owned(),
        }
    }
}

/// True for a number without a default.
fn is_number(key: &str) -> bool {
    NUMBERS_WITHOUT_DEFAULT.contains(&key)
}

fn default_of<'a>(defaults: &'a Dict, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = defaults.get(first)?;
    if rest.is_empty() { Some(value) } else { default_of(value.as_dict()?, rest) }
}
