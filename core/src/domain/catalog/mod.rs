//! The catalog: what calls, plans and numbers cost, in versions.
//!
//! Place in the flow: the file is parsed at start and on request; the ledger stores each accepted
//! version; rating takes the version in force at a call's start from [`CatalogHistory`].
//!
//! It must never be accepted in part: with one error the whole file is refused, with its line, and
//! the previous version stays.

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
