//! The system from outside: real servers, real processes, and an independent model of the rules.

mod api_accounts;
mod api_money;
mod architecture;
mod audit;
mod authorizations;
mod balance;
mod catalog;
mod dashboards;
mod harness;
mod holds_lost;
mod keys;
mod ledger;
mod loss_under_load;
mod model;
mod offsets;
mod operate;
mod outages;
mod processes;
mod records;
mod rentals;
mod settings;
mod stream;
mod sweep;
mod tokens;
mod traffic;
mod verify;
