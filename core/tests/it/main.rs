//! Scenarios and properties of the core.
//!
//! Scenarios are text tables that run through [`world`]; properties use proptest. Every input is
//! chosen so that a wrong answer shows: each plan has its own rate, each call its own length.

mod auto_refill;
mod budgets;
mod catalog_file;
mod catalog_history;
mod cycles;
mod declines;
mod estimate_properties;
mod grant_properties;
mod grant_scenarios;
mod money;
mod names;
mod payments;
mod purity;
mod rating_properties;
mod rating_scenarios;
mod rentals;
mod subscription_scenarios;
mod under_plan;
mod wallet_states;
mod world;
