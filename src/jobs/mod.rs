//! Jobs: what is due by the clock, wherever `serve` has the role `jobs`.
//!
//! Each has a name, a period and a row in the table `jobs`, and is run by one process at a time: who
//! runs it holds a lock of Postgres that ends with its connection ([`JobLock`]), so that a process that
//! dies holds nobody up. A run that fails is made again soon; what it found is told by its report.
//!
//! A job must be safe to run twice: a lock may be lost while it works.

mod lock;
mod record;
mod run;

pub use lock::JobLock;
pub use record::{JobRecord, list, read};
pub use run::{Job, JobError, run_all};
