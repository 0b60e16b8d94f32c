//! Redis: wallets as projected from the ledger, and the holds of calls in progress.
//!
//! Stage 4 of the flow. The ledger commits; this stage projects what was committed, and answers
//! whether a call may go ahead: all calls of an account draw on one pool, and each step on it is one
//! script. Nothing here is the truth: whatever Redis has lost is brought back from Postgres, account
//! by account, before the next call of that account is allowed.
//!
//! It must never write money, and charging must never wait for it.

mod applied;
mod asking;
mod authorizer;
mod believed;
mod catalogs;
mod connection;
mod denials;
mod document;
mod error;
mod expired;
mod fail_open;
mod held;
mod hold;
mod journal;
mod mend;
mod names;
mod over;
mod probe;
mod projector;
mod restore;
mod revoked;
pub mod scripts;
mod settings;
mod signals;
mod snapshot;
mod stage;
mod sweep;
mod terms;
mod under_way;
mod verify;
mod without_redis;

pub use applied::Applied;
pub use authorizer::{Allowance, Ask, Decision, Payer};
pub use connection::{Link, Session};
pub use document::Document;
pub use error::BalanceError;
pub use expired::note_expired_holds;
pub use held::{Held, HeldSource};
pub use hold::{CycleRef, Hold, HoldSource};
pub use probe::Fault;
pub use projector::Projector;
pub use scripts::Denial;
pub use settings::HoldSettings;
pub use stage::Balance;
pub use terms::{CallEnds, CallTerms};
pub use verify::Drift;
