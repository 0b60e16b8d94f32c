//! Rating: what one call costs.
//!
//! Place in the flow: between decode and commit. [`terms_at`] finds the terms at the call's start;
//! [`rate`] splits its billed time between allowance and wallet and prices the wallet's part;
//! [`grant`] inverts the same price, for authorization; [`estimate`](mod@estimate) sums it over calls
//! that are not made yet.
//!
//! It must never look anything up, keep state or know the time: the same arguments give the same
//! price, today and when the call is rated again in a year.

pub mod estimate;
pub mod grant;
mod price;
mod terms;
mod under_plan;

pub use estimate::{Campaign, Estimate, Range, Sample, estimate, suggested_refill};
pub use grant::{Grant, GrantOutcome, GrantTerms, Pool, grant_allowance_seconds, grant_seconds};
pub use price::{Price, rate};
pub use terms::{RatingError, Terms, terms_at, terms_in};
pub use under_plan::UnderPlan;
