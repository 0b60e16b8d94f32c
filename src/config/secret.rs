//! Values that must not be shown. Each prints itself without its secret.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MASK: &str = "********";

/// A key or token; shown as asterisks.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret itself. Call it only where the secret is used.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Address of a server, perhaps with a password; shown without it.
#[derive(Clone)]
pub struct ConnectionUrl(SecretString);

impl ConnectionUrl {
    /// The whole address. Call it only to connect.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The address with asterisks for its password and its query.
    pub fn masked(&self) -> String {
        let url = self.expose();
        let (address, query) = url.split_once('?').map_or((url, ""), |(a, _)| (a, "?********"));
        let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
        let Some((user_info, host)) = rest.rsplit_once('@') else {
            return format!("{address}{query}");
        };
        let user = user_info.split_once(':').map_or(user_info, |(user, _)| user);
        let password = if user_info.contains(':') { ":********" } else { "" };
        format!("{scheme}://{user}{password}@{host}{query}")
    }
}

impl From<String> for ConnectionUrl {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.masked())
    }
}

impl<'de> Deserialize<'de> for ConnectionUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?))
    }
}

impl Serialize for ConnectionUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

/// Settings of librdkafka, by its own names; secrets are shown masked.
#[derive(Clone, Default)]
pub struct KafkaOptions(BTreeMap<String, SecretString>);

impl KafkaOptions {
    /// Every option and its value. Call it only to create a client.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()))
    }

    /// True if an option's value must not be shown.
    pub(super) fn is_secret(name: &str) -> bool {
        ["password", "secret", "key"].iter().any(|word| name.contains(word))
    }

    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(name, value)| (name, if Self::is_secret(name) { MASK } else { value }))
    }
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for KafkaOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

impl<'de> Deserialize<'de> for KafkaOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string, a whole number or a boolean")]
        enum Value {
            Text(String),
            Number(i64),
            Switch(bool),
        }
        let options = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let as_text = |value| match value {
            Value::Text(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Switch(switch) => switch.to_string(),
        };
        let options = options.into_iter().map(|(name, v)| (name, SecretString::from(as_text(v))));
        Ok(Self(options.collect()))
    }
}
