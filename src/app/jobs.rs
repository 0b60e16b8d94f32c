//! The jobs of the role `jobs`: periodic work that one process at a time does.

use std::sync::Arc;
use std::time::Duration;

use chrono::{Months, TimeDelta};
use futures::FutureExt;
use serde_json::{Value, json};

use super::App;
use crate::books::{self, Books};
use crate::clock::Clock;
use crate::config::Settings;
use crate::jobs::{self, Job, JobError, Run};
use crate::ledger::store::Store;
use crate::ledger::{denials, redaction};
use crate::metrics::STRIPE_ENDPOINT_FAULTS;
use crate::numbers;
use crate::payments::{self, StripeCheck};
use crate::reconcile::{self, DayRange, Reconciler, Summary};
use crate::sweep::{self, Report, Sweeper};
use crate::wallet::insights::{PlanComparer, sum_up};

/// Time between two rounds of blanking.
const BLANKING_EVERY: TimeDelta = TimeDelta::hours(1);
/// Time between two looks for denials that are to be told.
const DENIALS_EVERY: TimeDelta = TimeDelta::minutes(1);
/// Pause between two steps of a round, so that charging hardly slows down.
const BLANKING_PAUSE: Duration = Duration::from_millis(50);

/// Connections for a job that processes several Twilio accounts at once: one for each of them, and
/// two for longer statements.
pub fn connections_for_accounts(settings: &Settings) -> u32 {
    u32::try_from(settings.sweep.accounts_at_once).unwrap_or(u32::MAX).saturating_add(2)
}

impl App {
    /// Runs the jobs when they are due.
    pub(super) async fn run_jobs(self) {
        match self.jobs() {
            Ok((store, jobs)) => jobs::run_all(store, self.clock.clone(), jobs).await,
            Err(error) => {
                tracing::error!(%error, "the jobs cannot run");
                std::future::pending::<()>().await;
            }
        }
    }

    fn jobs(&self) -> Result<(Store, Vec<Job>), JobError> {
        let settings = &self.settings;
        let open =
            || Store::open(settings.database.url.expose(), connections_for_accounts(settings));
        let sweeper = Sweeper::from_settings(settings, open()?, self.clock.clone())?;
        let reconciler = Reconciler::from_settings(settings, open()?, self.clock.clone())?;
        let store = self.store.clone();
        let blanking = self.blanking(&store);
        let (refills, denials) = (self.refills(), self.denials(&store));
        let books = Books::from_settings(settings, open()?, self.clock.clone())?;
        let books = self.reconcile_stripe(books);
        let (sweep, reconcile) = (self.sweep(sweeper), self.reconcile(reconciler));
        let (stripe, numbers) = (self.check_stripe(), self.check_numbers());
        let (sums, plans) = (self.insights(&store), self.compare_plans(&store));
        let jobs =
            vec![sweep, reconcile, blanking, refills, denials, books, stripe, numbers, sums, plans];
        Ok((store, jobs))
    }

    /// Blanks numbers and names older than the retention time, if one is set.
    fn blanking(&self, store: &Store) -> Job {
        let retention = self.settings.privacy.retention().map(Months::new);
        let run = retention.map(|retention| blank(store.clone(), self.clock.clone(), retention));
        Job { name: "blanking", period: BLANKING_EVERY, run, show: |_: &Value| {} }
    }

    /// Brings unfinished refills to their end, if a key of Stripe is set.
    fn refills(&self) -> Job {
        let run = self.payments.clone().map(|payments| {
            let run = move || {
                let payments = payments.clone();
                async move { Ok(json!({ "looked_up": payments.look_up_unfinished().await? })) }
                    .boxed()
            };
            Box::new(run) as Run
        });
        let period = TimeDelta::seconds(self.settings.stripe.lookup_seconds.into());
        Job { name: "refills", period, run, show: |_: &Value| {} }
    }

    /// Compares prices and numbers with Twilio's.
    fn check_numbers(&self) -> Job {
        let numbers = self.numbers.clone();
        let run = move || {
            let numbers = numbers.clone();
            async move { Ok(serde_json::to_value(numbers.check().await?)?) }.boxed()
        };
        Job {
            name: numbers::NAME,
            period: TimeDelta::seconds(self.settings.numbers.check_seconds.into()),
            run: Some(Box::new(run)),
            show: |report| {
                if let Ok(report) = serde_json::from_value::<numbers::Report>(report.clone()) {
                    report.publish();
                }
            },
        }
    }

    /// Tells denials that waited for the end of an hour.
    fn denials(&self, store: &Store) -> Job {
        let (store, clock) = (store.clone(), self.clock.clone());
        let run = move || {
            let (store, clock) = (store.clone(), clock.clone());
            async move {
                while denials::tell(&store, clock.now()).await? {}
                Ok(json!({}))
            }
            .boxed()
        };
        let run = Some(Box::new(run) as Run);
        Job { name: "denials", period: DENIALS_EVERY, run, show: |_: &Value| {} }
    }

    /// Adds up rows of the ledger for the insights.
    fn insights(&self, store: &Store) -> Job {
        let store = store.clone();
        let run = move || {
            let store = store.clone();
            async move { Ok(serde_json::to_value(sum_up(&store).await?)?) }.boxed()
        };
        Job {
            name: "insights",
            period: TimeDelta::seconds(self.settings.insights.every_seconds.into()),
            run: Some(Box::new(run)),
            show: |_: &Value| {},
        }
    }

    /// Compares the plans by the calls of each account's last whole cycle.
    fn compare_plans(&self, store: &Store) -> Job {
        let zero_duration = self.settings.charging.zero_duration_completed;
        let comparer = PlanComparer::new(store.clone(), zero_duration);
        let clock = self.clock.clone();
        let run = move || {
            let (comparer, clock) = (comparer.clone(), clock.clone());
            async move { Ok(serde_json::to_value(comparer.run(clock.now()).await?)?) }.boxed()
        };
        Job {
            name: "plans",
            period: TimeDelta::seconds(self.settings.insights.plans_seconds.into()),
            run: Some(Box::new(run)),
            show: |_: &Value| {},
        }
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
                // `status` shows single accounts that failed; the next sweep resumes them.
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
            run: Some(Box::new(run)),
            show: |_: &Value| {},
        }
    }
}

impl App {
    fn reconcile(&self, reconciler: Reconciler) -> Job {
        let settings = &self.settings.reconcile;
        let (days, clock) = (settings.days, self.clock.clone());
        let reconciler = Arc::new(reconciler);
        let run = move || {
            let (reconciler, clock) = (Arc::clone(&reconciler), clock.clone());
            async move {
                let report = reconciler.reconcile(DayRange::before(clock.now(), days)).await?;
                if let (true, Some(first)) = (report.days.is_empty(), report.failed.first()) {
                    return Err(format!("no Twilio account was compared: {}", first.error).into());
                }
                let (compared, differences) = (report.days.len(), report.faults());
                tracing::info!(days = compared, differences, "compared with twilio");
                Ok(serde_json::to_value(&report.summary)?)
            }
            .boxed()
        };
        Job {
            name: reconcile::NAME,
            period: TimeDelta::seconds(settings.every_seconds.into()),
            run: Some(Box::new(run)),
            show: |report| {
                if let Ok(summary) = serde_json::from_value::<Summary>(report.clone()) {
                    summary.publish();
                }
            },
        }
    }
}

impl App {
    /// Compares Stripe's books with the ledger, if a key of Stripe is set.
    fn reconcile_stripe(&self, books: Option<Books>) -> Job {
        let (days, clock) = (self.settings.reconcile.days, self.clock.clone());
        let payments = self.payments.clone();
        let run = books.map(|books| {
            let run = move || {
                let (books, clock) = (books.clone(), clock.clone());
                let payments = payments.clone();
                async move {
                    if let Some(payments) = payments {
                        let since = clock.now() - TimeDelta::days(days.into());
                        let lost = payments.book_lost(since).await?;
                        tracing::info!(lost, "refunds and disputes that the ledger lacked");
                    }
                    let open = books.review(DayRange::before(clock.now(), days)).await?;
                    tracing::info!(differences = open.differences, "compared with stripe");
                    Ok(serde_json::to_value(open)?)
                }
                .boxed()
            };
            Box::new(run) as Run
        });
        Job {
            name: books::NAME,
            period: TimeDelta::seconds(self.settings.stripe.reconcile_seconds.into()),
            run,
            // `show_stripe_drift` publishes what is open.
            show: |_: &Value| {},
        }
    }
}

impl App {
    /// Asks Stripe daily for payments that the ledger lacks, and for the endpoint of our web hooks,
    /// if a key of Stripe is set.
    fn check_stripe(&self) -> Job {
        let run = self.payments.clone().map(|payments| {
            let run = move || {
                let payments = payments.clone();
                async move { Ok(serde_json::to_value(payments.check().await?)?) }.boxed()
            };
            Box::new(run) as Run
        });
        Job {
            name: payments::STRIPE_CHECK,
            period: TimeDelta::seconds(self.settings.stripe.reconcile_seconds.into()),
            run,
            show: |report| {
                if let Ok(check) = serde_json::from_value::<StripeCheck>(report.clone()) {
                    let faults = check.endpoint.map_or(0, |endpoint| endpoint.faults.len());
                    let faults = u32::try_from(faults).unwrap_or(u32::MAX);
                    metrics::gauge!(STRIPE_ENDPOINT_FAULTS).set(f64::from(faults));
                }
            },
        }
    }
}

/// A job that blanks what is older than the retention time, step by step.
fn blank(store: Store, clock: Clock, retention: Months) -> Run {
    Box::new(move || {
        let (store, clock) = (store.clone(), clock.clone());
        async move {
            let before = clock.now().checked_sub_months(retention);
            let before = before.ok_or("the time of retention is out of range")?;
            let mut steps = 1;
            while redaction::blank_before(&store, before).await? {
                steps += 1;
                tokio::time::sleep(BLANKING_PAUSE).await;
            }
            Ok(json!({ "before": before, "steps": steps }))
        }
        .boxed()
    })
}

fn tell(report: &Report) {
    let Report { accounts, calls, published, rejected, unusable, .. } = report;
    let (holds, unconfigured) = (report.holds_looked_up, report.not_configured.len());
    tracing::info!(accounts, calls, published, rejected, unusable, holds, unconfigured, "swept");
}
