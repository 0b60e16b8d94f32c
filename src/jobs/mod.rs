//! Jobs: work that is due periodically, wherever `serve` has the role `jobs`.
//!
//! Each has a name, a period and a row in the table `jobs`, and is run by one process at a time.
//! That process holds a Postgres lock that ends with its connection ([`JobLock`]), so a process
//! that dies blocks no other. A failed run is retried soon; the run's report says what it found.
//!
//! A job must be safe to run twice: the lock may be lost during a run.

mod lock;
mod record;
mod run;

pub use lock::JobLock;
pub use record::{JobRecord, list, read};
pub use run::{Job, JobError, Run, run_all};
