//! `callmeter serve`: runs the service.

use std::collections::BTreeSet;

use clap::Args;

use super::CommandError;
use crate::app::{self, Role};
use crate::config::Settings;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Roles of this process; default: all
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["meter", "api", "jobs"])]
    role: Vec<Role>,
}

pub(super) async fn run(command: Serve, settings: Settings) -> Result<(), CommandError> {
    let roles: BTreeSet<Role> = command.role.into_iter().collect();
    app::serve(settings, roles).await.map_err(CommandError::Service)
}
