//! Status events of calls: which of a batch matter, how far they are applied, and what waits to be.
//!
//! A call under way has a hold, and one that came to nothing has none. Applying an event twice, or late,
//! or in another order than another event of the call, ends in the same.

mod of_batch;
mod offset;
mod queue;

pub(crate) use of_batch::{call_of, of_batch};
pub use offset::StatusEventsOffset;
pub use queue::Projector;
pub(crate) use queue::{BATCHES_MAX, Work};
