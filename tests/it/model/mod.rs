//! An independent model of the charging rules.
//!
//! It reads the same records as the service and computes what the ledger must contain afterwards.
//! It shares no code with the service: it has its own money (integer micro-dollars), times,
//! calendar (day by day over a table of months) and JSON parsing. Where the rules leave the order
//! of commits between partitions open, the model takes the order that the ledger reports and proves
//! that every figure follows from it.

pub(crate) mod account;
pub(crate) mod catalog;
pub(crate) mod check;
pub(crate) mod cycle;
pub(crate) mod evidence;
pub(crate) mod money;
pub(crate) mod outcomes;
mod pencil;
pub(crate) mod rate;
pub(crate) mod read;
pub(crate) mod time;
