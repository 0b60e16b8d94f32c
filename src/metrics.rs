//! Every metric in one file: names, help and the recorder. Base units, no account or phone labels.

/// Transactions that ran again because another was in the way.
pub const TRANSACTION_RETRIES: &str = "callmeter_transaction_retries_total";
/// Records whose offset was not the one after the last: transaction markers, compaction.
pub const OFFSET_GAPS: &str = "callmeter_offset_gaps_total";
