//! The jobs of the role `jobs`: what is due by the clock, and done by one process at a time.

use std::sync::Arc;

use chrono::TimeDelta;
use futures::FutureExt;
use serde_json::Value;

use super::App;
use crate::jobs::{self, Job, JobError};
use crate::ledger::store::Store;
use crate::sweep::{self, Report, Sweeper};

/// Connections that all jobs together open, beside their locks.
const CONNECTIONS_MAX: u32 = 4;

impl App {
    /// Runs the jobs when they are due.
    pub(super) async fn run_jobs(self) {
        match self.jobs() {
            Ok((store, jobs)) => jobs::run_all(store, self.clock.clone(), jobs).await,
            Err(error) => {
                tracing::error!(%error, "the jobs cannot be run");
                std::future::pending::<()>().await;
            }
        }
    }

    fn jobs(&self) -> Result<(Store, Vec<Job>), JobError> {
        let store = Store::open(self.settings.database.url.expose(), CONNECTIONS_MAX)?;
        let sweeper = Sweeper::of(&self.settings, store.clone(), self.clock.clone())?;
        Ok((store, vec![self.sweep(sweeper)]))
    }

    fn sweep(&self, sweeper: Sweeper) -> Job {
        let settings = &self.settings.sweep;
        let overlap = TimeDelta::seconds(settings.overlap_seconds.into());
        let sweeper = Arc::new(sweeper);
        let run = move || {
            let sweeper = Arc::clone(&sweeper);
            async move {
                let report = sweeper.sweep_on(overlap).await?;
                tell(&report);
                // Single accounts that fail are told by `status`, and swept from where they were.
                if let (0, Some(first)) = (report.accounts, report.failed.first()) {
                    return Err(format!("no Twilio account was swept: {}", first.error).into());
                }
                Ok(serde_json::to_value(&report)?)
            }
            .boxed()
        };
        Job {
            name: sweep::NAME,
            period: TimeDelta::seconds(settings.every_seconds.into()),
            run: Box::new(run),
            show: |_: &Value| {},
        }
    }
}

fn tell(report: &Report) {
    let Report { accounts, calls, published, unusable, .. } = report;
    let (holds, unconfigured) = (report.holds_looked_up, report.not_configured.len());
    tracing::info!(accounts, calls, published, unusable, holds, unconfigured, "swept");
}
