//! The parameters of a POST, as Stripe reads them: names with brackets, in the order given.
//!
//! A caller keeps the encoded text with its row, and repeats it byte for byte: Stripe refuses other
//! parameters under a known Idempotency-Key.

use std::fmt;

use form_urlencoded::{Serializer, parse};

/// The parameters of a POST. The order stays, and a name may come twice (`expand[]`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// A form without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter; its name has brackets where Stripe nests (`metadata[callmeter_refill]`).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter if it has a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body of a request (`application/x-www-form-urlencoded`): the same bytes for the same
    /// parameters.
    pub fn encode(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// Reads a text that [`Self::encode`] wrote; encoded again it is the same text.
    pub fn from_encoded(text: &str) -> Self {
        Self(parse(text.as_bytes()).into_owned().collect())
    }
}

/// Shows names only: values may name a customer.
impl fmt::Debug for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Form;
    use proptest::prelude::*;

    #[test]
    fn a_form_is_encoded_as_stripes_own_clients_do() {
        let form = Form::new()
            .with("amount", "1000")
            .with("metadata[callmeter_refill]", "rf_1")
            .with("expand[]", "payment_method")
            .with("expand[]", "latest_charge")
            .with_some("receipt_email", Some("a+b@example.com"))
            .with_some("return_url", None::<&str>)
            .with("description", "ü & =");
        assert_eq!(
            form.encode(),
            "amount=1000&metadata%5Bcallmeter_refill%5D=rf_1&expand%5B%5D=payment_method\
             &expand%5B%5D=latest_charge&receipt_email=a%2Bb%40example.com\
             &description=%C3%BC+%26+%3D"
        );
        assert_eq!(form.get("expand[]"), Some("payment_method"));
        assert_eq!(form.get("return_url"), None);
        assert!(!format!("{form:?}").contains("example.com"), "{form:?}");
    }

    proptest! {
        #[test]
        fn a_form_reads_back_and_is_the_same_bytes(pairs in any::<Vec<(String, String)>>()) {
            let form = pairs.iter().fold(Form::new(), |form, (name, value)| form.with(name, value));
            let encoded = form.encode();
            let read = Form::from_encoded(&encoded);
            prop_assert_eq!(read.encode(), encoded);
            prop_assert_eq!(read, form);
        }
    }
}
