//! Reads parameters: `application/x-www-form-urlencoded` with bracketed names, as Stripe takes them.
//!
//! It must never accept a parameter that the caller did not allow: Stripe refuses those as well, and
//! a misspelt name would otherwise pass the tests.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::Complaint;

/// Most pairs of metadata, and the longest name and value
/// (<https://docs.stripe.com/api/metadata>).
const METADATA_MAX: usize = 50;
const METADATA_NAME_MAX: usize = 40;
const METADATA_VALUE_MAX: usize = 500;

/// Parameters by their names as sent, in order; an index in brackets is left out: `expand[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes a query or a body.
    pub(super) fn decode(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text);
        Self(pairs.map(|(name, value)| (without_index(&name), value.into_owned())).collect())
    }

    /// Adds parameters, such as those of a body to those of a query.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Refuses parameters that are not in `allowed`. A name that ends in `[*]` allows all below it.
    pub(super) fn check(&self, allowed: &[&str]) -> Result<(), Complaint> {
        let is_allowed = |name: &str| {
            allowed.iter().any(|pattern| match pattern.strip_suffix("[*]") {
                // `metadata=` unsets all.
                Some(stem) => {
                    name == stem
                        || name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('['))
                }
                None => name == *pattern,
            })
        };
        match self.0.iter().find(|(name, _)| !is_allowed(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("Received unknown parameter: {name}");
                Err(Complaint::parameter("parameter_unknown", name, &message))
            }
        }
    }

    /// The text of a parameter; the last one counts.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// An optional text. It must not be empty where it is given.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Complaint> {
        match self.raw(name) {
            Some("") => {
                let message = format!(
                    "You passed an empty string for '{name}'. We assume empty values are an \
                     attempt to unset a field; however '{name}' cannot be unset. You should \
                     remove '{name}' from your request or supply a non-empty value."
                );
                Err(Complaint::parameter("parameter_invalid_empty", name, &message))
            }
            other => Ok(other),
        }
    }

    /// A text that must be given.
    pub(super) fn required(&self, name: &str) -> Result<&str, Complaint> {
        self.text(name)?.ok_or_else(|| {
            let message = format!("Missing required param: {name}.");
            Complaint::parameter("parameter_missing", name, &message)
        })
    }

    /// An optional whole number.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Complaint> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let message = format!("Invalid integer: {text}");
            Complaint::parameter("parameter_invalid_integer", name, &message)
        })
    }

    /// An optional `true` or `false`.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Complaint> {
        match self.text(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(text) => {
                let mut complaint = Complaint::refused(&format!("Invalid boolean: {text}"));
                complaint.is_before_start = true;
                Err(complaint.about(name))
            }
        }
    }

    /// An optional word from a closed set.
    pub(super) fn word(&self, name: &str, known: &[&str]) -> Result<Option<&str>, Complaint> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        if known.contains(&text) {
            return Ok(Some(text));
        }
        let message = format!("Invalid {name}: must be one of {}", known.join(", or "));
        let mut complaint = Complaint::refused(&message);
        complaint.is_before_start = true;
        Err(complaint.about(name))
    }

    /// All values of a list such as `expand[]`.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// True if a parameter, or one below it, is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| {
            given == name || given.strip_prefix(name).is_some_and(|rest| rest.starts_with('['))
        })
    }

    /// The members directly below a name: `card[exp_month]` gives `exp_month`.
    pub(super) fn below(&self, name: &str) -> BTreeMap<&str, &str> {
        let member = |given: &'_ str| -> Option<(usize, usize)> {
            let rest = given.strip_prefix(name)?.strip_prefix('[')?;
            let end = rest.strip_suffix(']')?.len();
            Some((name.len() + 1, name.len() + 1 + end))
        };
        let found = self.0.iter().filter_map(|(given, value)| {
            let (from, to) = member(given)?;
            Some((&given[from..to], value.as_str()))
        });
        found.collect()
    }

    /// Applies `metadata` to an object's present one: an empty value removes a name, an empty
    /// `metadata` all.
    pub(super) fn metadata(&self, present: &Value) -> Result<Value, Complaint> {
        let mut metadata = present.as_object().cloned().unwrap_or_default();
        if self.raw("metadata") == Some("") {
            metadata = Map::new();
        }
        for (name, value) in self.below("metadata") {
            let refuse = |what: &str| {
                let message = format!("Metadata {what}: {name}");
                Err(Complaint::refused(&message).about("metadata"))
            };
            match value {
                "" => drop(metadata.remove(name)),
                _ if name.chars().count() > METADATA_NAME_MAX => {
                    return refuse("keys can have up to 40 characters");
                }
                _ if value.chars().count() > METADATA_VALUE_MAX => {
                    return refuse("values can have up to 500 characters");
                }
                _ => drop(metadata.insert(name.to_owned(), json!(value))),
            }
        }
        if metadata.len() > METADATA_MAX {
            let message = "You may only specify up to 50 metadata keys.";
            return Err(Complaint::refused(message).about("metadata"));
        }
        Ok(Value::Object(metadata))
    }
}

/// Writes `a[0]` and `a[]` the same.
fn without_index(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for (place, part) in name.split('[').enumerate() {
        if place > 0 {
            written.push('[');
        }
        let index = part.strip_suffix(']').filter(|_| place > 0);
        let is_index =
            index.is_some_and(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit()));
        written.push_str(if is_index { "]" } else { part });
    }
    written
}

#[cfg(test)]
mod tests {
    use super::Parameters;
    use serde_json::json;

    #[test]
    fn bracketed_names_are_read_as_stripe_reads_them() {
        let form = Parameters::decode(
            b"amount=5&expand[0]=a&expand%5B%5D=b&metadata[x]=1&metadata[gone]=&card[exp_month]=7",
        );
        assert_eq!(form.all("expand[]"), ["a", "b"]);
        assert_eq!(form.integer("amount").unwrap(), Some(5));
        assert_eq!(form.below("card")["exp_month"], "7");
        let metadata = form.metadata(&json!({ "gone": "1", "stays": "2" })).unwrap();
        assert_eq!(metadata, json!({ "x": "1", "stays": "2" }));
        let allowed = ["amount", "expand[]", "metadata[*]"];
        let refused = form.check(&allowed).unwrap_err();
        assert_eq!(refused.error["param"], "card[exp_month]");
        assert_eq!(refused.error["code"], "parameter_unknown");
    }
}
