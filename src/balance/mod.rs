//! Redis: wallets as projected from the ledger, and the holds of calls in progress.
//!
//! Step 4 of the flow. The ledger commits; this module projects it to Redis, and decides whether a
//! call may go ahead. All calls of an account draw on one pool, and each step on it is one script.
//! Nothing here is the truth: anything that Redis lost is loaded again from Postgres, account by
//! account, before the next call of that account is allowed.
//!
//! It must never write money, and charging must never wait for it.
//!
//! The floors, from the lowest to the highest. Each uses only those below it, as a test checks.
//!
//! | floor | has |
//! | --- | --- |
//! | `model` | types: holds, an account's document, a call's terms, settings, errors |
//! | `scripts` | the Lua scripts, each with one typed caller |
//! | `redis` | the connections, and how scripts are sent; health; revoked keys |
//! | `journal` | the write-behind journal in Postgres: holds and denials; all SQL on the journal |
//! | `status_events` | those of a batch, how far they are applied, the queue of committed batches |
//! | `lease` | what this process saw of the ledger at its last look |
//! | `state` | `Balance`: the state that all floors above share |
//! | `projection` | from Postgres to Redis: load, refresh, ended calls, payers, held amounts |
//! | `repair` | compares Redis with journal and ledger, and repairs the differences |
//! | `authorize` | place, extend, void, for callers and the stream; the fallback without Redis |
//! | `background` | the loops: projector, patrol, lease renewal, late holds |
//! | `service` | starts them |

mod authorize;
mod background;
mod journal;
mod lease;
mod model;
mod projection;
mod redis;
mod repair;
pub mod scripts;
mod service;
mod state;
mod status_events;

pub use self::redis::Redis;
pub use self::redis::health::Fault;
pub use self::redis::link::{Link, Session};
pub use authorize::{Allowance, Ask, Decision, Payer};
pub use journal::days::note_expired_holds;
pub use model::{
    BalanceError, CallParties, CallTerms, CycleRef, Denial, Document, GrantedBy, Hold,
    HoldSettings, HoldSource,
};
pub use projection::held_amounts::{Held, HeldSource};
pub use repair::verify::Drift;
pub use state::Balance;
pub use status_events::{Projector, StatusEventsOffset};
