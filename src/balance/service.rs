//! Opens [`Balance`] and runs its loops; the only file that knows all of them.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::balance::background::{late_holds, lease_renewal, patrol, projector};
use crate::balance::model::BalanceError;
use crate::balance::state::{Balance, lock};
use crate::clock::Clock;
use crate::config::Settings;
use crate::ledger::store::Store;

/// Connections for loading accounts, journaling holds and comparing versions.
const CONNECTIONS_MAX: u32 = 8;

impl Balance {
    /// Opens it by the settings, with its own connections to Postgres: loads for authorizations
    /// must not wait behind other requests.
    ///
    /// # Errors
    /// If a URL cannot be read.
    pub fn from_settings(settings: &Settings, clock: Clock) -> Result<Self, BalanceError> {
        let url = settings.database.url.expose();
        let store = Store::open_for_authorizations(url, CONNECTIONS_MAX)?;
        Self::open(settings.redis.url.expose(), store, clock, settings.into())
    }

    /// Journals, projects, patrols and looks at the ledger until `shutdown`; journals every grant
    /// before it ends. Every process that uses `Balance` runs this once.
    pub async fn run(&self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let work = lock(&self.0.work).take();
        if let Some(work) = work {
            tasks.spawn(projector::run(self.clone(), work, shutdown.clone()));
        }
        tasks.spawn(lease_renewal::run(self.clone(), shutdown.clone()));
        tasks.spawn(patrol::run(self.clone(), shutdown.clone()));
        let (this, stop) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { this.0.denials.run(stop).await });
        let (late, changed_late) = mpsc::channel(1);
        tasks.spawn(late_holds::run(self.clone(), changed_late, shutdown.clone()));
        let this = self.clone();
        tasks.spawn(async move { this.0.journal.run(shutdown, late).await });
        tasks.close();
        tasks.wait().await;
    }
}
