//! The public id of a transaction.

/// A transaction's public id: the account's key and the number in its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId {
    /// The account's key.
    pub account_key: i32,
    /// The number in its wallet.
    pub sequence: i64,
}

impl std::fmt::Display for TransactionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "txn_{}_{}", self.account_key, self.sequence)
    }
}

impl std::str::FromStr for TransactionId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (account_key, sequence) = text.strip_prefix("txn_")?.split_once('_')?;
            let id =
                Self { account_key: account_key.parse().ok()?, sequence: sequence.parse().ok()? };
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or("is no transaction id, such as txn_12_345")
    }
}

#[cfg(test)]
mod tests {
    use super::TransactionId;

    #[test]
    fn a_transaction_id_is_read_back_from_its_one_spelling_only() {
        let id = TransactionId { account_key: 12, sequence: 345 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "txn_", "txn_12", "txn_12_", "txn_012_345", "txn_12_+5", "12_345"] {
            assert!(wrong.parse::<TransactionId>().is_err(), "{wrong}");
        }
    }
}
