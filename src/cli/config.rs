//! `callmeter config check|show`: checks the settings, the catalog and Redis, or shows the
//! settings. Secrets are masked.

use callmeter_core::domain::Catalog;
use clap::Subcommand;

use super::{CommandError, print};
use crate::app::one_line;
use crate::balance::Balance;
use crate::config::Settings;
use crate::ledger::catalogs::CatalogRefused;
use crate::operator::catalog_file::{self, CatalogFileError};

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Config {
    /// Checks the settings, the catalog file and, if it answers, Redis
    Check,
    /// Shows the settings in force, secrets masked
    Show,
}

pub(super) async fn run(command: Config, settings: &Settings) -> Result<(), CommandError> {
    match command {
        Config::Check => check(settings).await,
        Config::Show => {
            let shown = toml::to_string(settings);
            print(shown.map_err(|error| CommandError::Refused(error.to_string()))?.trim_end())
        }
    }
}

async fn check(settings: &Settings) -> Result<(), CommandError> {
    let path = &settings.catalog.path;
    let catalog = Catalog::parse(&catalog_file::read(path)?).map_err(|error| {
        let source = CatalogRefused::Invalid(error);
        CatalogFileError::Refused { path: path.clone(), source }
    })?;
    let balance = Balance::from_settings(settings, settings.clock());
    balance.map_err(|error| CommandError::Refused(one_line(&error)))?.redis().check().await?;
    let (plans, numbers) = (catalog.plans.len(), catalog.numbers.len());
    let path = path.display();
    print(&format!("the settings are valid; {path} has {plans} plans and {numbers} number prices"))
}
