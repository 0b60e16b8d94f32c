//! The loops, one in each file; `service.rs` starts them.

pub(crate) mod late_holds;
pub(crate) mod lease_renewal;
pub(crate) mod patrol;
pub(crate) mod projector;
