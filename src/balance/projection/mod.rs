//! From Postgres to Redis: an account is read in one snapshot and written by one script, which
//! decides by incarnation and version. So a late projection changes nothing.

pub(crate) mod ended_calls;
pub(crate) mod held_amounts;
mod load;
mod payer;
mod refresh;
pub(crate) mod renewal;
pub(crate) mod snapshot;
