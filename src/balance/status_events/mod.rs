//! Status events of calls: which of a batch matter, how far they are applied, and which still wait.
//!
//! A call in progress gets a hold; a call that came to nothing loses it. Applying an event twice,
//! late, or in another order than the call's other events gives the same result.

mod of_batch;
mod offset;
mod queue;

pub(crate) use of_batch::{call_of, of_batch};
pub use offset::StatusEventsOffset;
pub use queue::Projector;
pub(crate) use queue::{BATCHES_MAX, Work};
