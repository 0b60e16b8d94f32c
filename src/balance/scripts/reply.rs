//! Reads a script's answer: a word that says what it is, then values.

use redis::Value;

use crate::balance::model::BalanceError;

/// The rest of an answer, value by value.
pub(super) struct Reply {
    script: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    /// Splits an answer into its word and the rest.
    pub(super) fn new(script: &'static str, value: Value) -> Result<(String, Self), BalanceError> {
        let Value::Array(values) = value else {
            return Err(BalanceError::unreadable(script, "no list"));
        };
        let mut reply = Self { script, values: values.into_iter() };
        let word = reply.text()?;
        Ok((word, reply))
    }

    pub(super) fn text(&mut self) -> Result<String, BalanceError> {
        match self.values.next() {
            Some(Value::BulkString(bytes)) => {
                String::from_utf8(bytes).map_err(|_| self.unreadable("no text"))
            }
            Some(Value::SimpleString(text)) => Ok(text),
            Some(Value::Int(number)) => Ok(number.to_string()),
            _ => Err(self.unreadable("no text")),
        }
    }

    pub(super) fn number(&mut self) -> Result<i64, BalanceError> {
        match self.values.next() {
            Some(Value::Int(number)) => Ok(number),
            _ => Err(self.unreadable("no number")),
        }
    }

    pub(super) fn flag(&mut self) -> Result<bool, BalanceError> {
        Ok(self.number()? == 1)
    }

    /// How many values are left.
    pub(super) fn left(&self) -> usize {
        self.values.len()
    }

    /// The error for an answer that breaks the contract.
    pub(super) fn unreadable(&self, found: &str) -> BalanceError {
        BalanceError::unreadable(self.script, found)
    }
}
