//! The catalog: what calls, plans and numbers cost, in versions.
//!
//! Place in the flow: the file is parsed at start and on request; each accepted version is kept
//! by the ledger; rating takes the version in force at a call's start from [`CatalogHistory`].
//!
//! It must never be half right: one fault and the whole file is refused, with its line, and the
//! version before it stays.

mod deck;
mod error;
mod history;
mod parse;
mod plan;
mod reader;

pub use deck::{MatchedRate, Prefix, PrefixError, PrefixRate, RateDeck};
pub use error::{CatalogError, CatalogProblem};
pub use history::{CatalogHistory, CatalogHistoryError, CatalogVersion, VersionedCatalog};
pub use plan::{Catalog, Legs, NumberPrice, NumberType, Overage, Plan, Tariff};
