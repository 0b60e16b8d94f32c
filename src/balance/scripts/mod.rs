//! The scripts that Redis runs, each with its one typed caller.
//!
//! Each script is assembled at compile time, from shared parts and its own text; its header is its
//! contract. Redis runs one script at a time, as a whole, so each is one step for all.

mod announce;
mod budget;
mod expire;
mod extend;
mod holds;
mod load;
mod missing;
mod place;
mod remember;
mod reply;
mod request;
mod restore;
mod settle;
mod unknown;
mod void;

pub use announce::Announce;
pub(crate) use budget::written as written_budget;
pub use expire::{Expire, Standing, inspect};
pub use extend::{Extend, Extended};
pub use holds::{Holds, SomeHolds};
pub use load::{Load, Loaded};
pub use missing::Missing;
pub use place::{Place, Placed, PlacedHold};
pub use remember::Remember;
pub(crate) use request::teach;
pub use request::{GRANT, Name, Request, Stamp, keys};
pub use restore::{Restore, Restored};
pub use settle::{Settle, Settled, WholeAccount};
pub use unknown::Unknown;
pub use void::{Void, Voided};
