//! `callmeter migrate`: brings the schema up to date.

use super::{CommandError, open, print};
use crate::config::Settings;
use crate::ledger::schema;

pub(super) async fn run(settings: &Settings) -> Result<(), CommandError> {
    match schema::migrate(&open(settings)?).await? {
        0 => print("the schema is up to date"),
        1 => print("1 migration applied"),
        count => print(&format!("{count} migrations applied")),
    }
}
