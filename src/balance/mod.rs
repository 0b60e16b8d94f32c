//! Redis: wallets as projected from the ledger, and the holds of calls in progress.
//!
//! Stage 4 of the flow. The ledger commits; this stage projects what was committed, and answers
//! whether a call may go ahead: all calls of an account draw on one pool, and each step on it is one
//! script. Nothing here is the truth: whatever Redis has lost is brought back from Postgres, account
//! by account, before the next call of that account is allowed.
//!
//! It must never write money, and charging must never wait for it.

mod connection;
mod error;
mod hold;
pub mod scripts;
mod settings;
mod terms;

pub use connection::{Link, Session};
pub use error::BalanceError;
pub use hold::{CycleRef, Hold, HoldSource};
pub use settings::HoldSettings;
pub use terms::{CallEnds, CallTerms};
