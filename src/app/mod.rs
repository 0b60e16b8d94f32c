//! Wires `callmeter serve`: the only file that knows every task.
//!
//! The HTTP listeners start first, so that `/livez` and `/readyz` answer while Postgres is still
//! down. Then it checks the schema, offers the catalog and sets the default alerts; then the tasks
//! of the roles start. A signal or a failed task ends all of them: first those that take requests
//! and records, then the balance task, which journals what they granted.

mod auto_refill;
mod bridge;
mod jobs;
mod meter;
mod numbers;
mod page;
mod runtimes;
mod signals;
mod upkeep;

use auto_refill::refill_by_itself;
use numbers::bring_forward;
use runtimes::Runtimes;
use signals::Signals;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::balance::Balance;
use crate::change::Changes;
use crate::clock::{Clock, beat};
use crate::config::Settings;
use crate::health::{Health, POSTGRES, REDIS};
pub(crate) use crate::http::openapi::document as openapi_document;
use crate::http::{self, Api, ConnectionLimits, Surface};
use crate::keys::KeyCache;
use crate::ledger::alerts;
use crate::ledger::audit::By;
use crate::ledger::catalogs::{self, CatalogStamp};
use crate::ledger::schema::{self, SchemaError};
use crate::ledger::store::{Store, StoreError};
use crate::notify::Relay;
use crate::numbers::Numbers;
use crate::operator::catalog_file::{self, CatalogFileError};
use crate::payments::Payments;

use crate::metrics::{CATALOG_VERSION, Recorder, UPKEEP_EVERY};
pub use crate::telemetry::one_line;
pub use jobs::connections_for_accounts;

/// Longest time for tasks to end. With the next limit and the runtime's own end it stays below 15
/// s.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Longest time for the balance task to end after them.
const LAST_DRAIN_MAX: Duration = Duration::from_secs(3);
/// Time between two probes of Postgres and Redis.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Longest time for one probe.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Charges what Kafka brings.
    Meter,
    /// Answers the API.
    Api,
    /// Does what is due by the clock.
    Jobs,
}

/// What every task uses.
#[derive(Clone, Debug)]
struct App {
    settings: Arc<Settings>,
    store: Store,
    balance: Balance,
    clock: Clock,
    health: Health,
    /// None without a key of Stripe.
    payments: Option<Payments>,
    numbers: Numbers,
    shutdown: CancellationToken,
    /// Ends the balance task, after all others.
    shutdown_last: CancellationToken,
}

/// Runs the roles until a signal.
///
/// # Errors
/// Anything else that ends it: an unknown schema, an address in use, a failed task.
pub async fn serve(settings: Settings, roles: BTreeSet<Role>) -> anyhow::Result<()> {
    // Before anything starts: a wrong path is a wrong setting.
    catalog_file::read(&settings.catalog.path)?;
    let clock = settings.clock();
    let recorder = Recorder::install()?;
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let reload = signal(SignalKind::hangup()).context("signals cannot be received")?;
    let store = Store::open(settings.database.url.expose(), settings.database.connections_max)?;
    let balance = Balance::from_settings(&settings, clock.clone())?;
    let runtimes = roles.contains(&Role::Api).then(|| Runtimes::open(&settings)).transpose()?;
    if let Some(runtimes) = &runtimes {
        balance.redis().drive_authorizations_on(runtimes.authorizations.handle());
    }
    balance.redis().check().await?;
    let keys = KeyCache::new(store.clone(), balance.clone(), clock.clone());
    let changes = Changes::new(store.clone(), balance.clone(), keys);
    let numbers = Numbers::from_settings(&settings, store.clone(), changes.clone(), clock.clone())?;
    let payments = Payments::from_settings(&settings, store.clone(), changes, clock.clone())?;
    let app = App {
        payments,
        numbers,
        settings: Arc::new(settings),
        store,
        balance,
        health: Health::new(clock.clone()),
        clock,
        shutdown: CancellationToken::new(),
        shutdown_last: CancellationToken::new(),
    };
    app.expect_parts(&roles);
    let mut stages = JoinSet::new();
    let mut last_stages = JoinSet::new();
    app.start_http(&mut stages, &roles, &recorder, runtimes.as_ref()).await?;
    stages.spawn(app.clone().until_shutdown(keep_metrics(recorder)));
    let mut prepared = tokio::select! {
        prepared = app.prepare(&roles) => prepared.map(|()| true),
        () = signals.received() => Ok(false),
        failed = first_failure(&mut stages) => Err(failed),
    };
    if let Ok(true) = prepared {
        prepared = app.start_stages(&mut stages, &roles, reload).map(|()| true);
        app.start_balance(&mut last_stages, &roles);
        tracing::info!(?roles, "serving");
    }
    let ended = match prepared {
        Ok(true) => tokio::select! {
            () = signals.received() => Ok(()),
            failed = first_failure(&mut stages) => Err(failed),
            failed = first_failure(&mut last_stages), if !last_stages.is_empty() => Err(failed),
        },
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    app.shutdown.cancel();
    tracing::info!("ending");
    let drained = drain(&mut stages, DRAIN_MAX).await;
    app.shutdown_last.cancel();
    let last_drained = drain(&mut last_stages, LAST_DRAIN_MAX).await;
    drop(runtimes);
    ended.and(drained).and(last_drained)
}

impl App {
    /// Reports the parts that the roles need as down, before the first request.
    fn expect_parts(&self, roles: &BTreeSet<Role>) {
        self.health.down(POSTGRES, "not reached yet");
        if roles.contains(&Role::Api) || roles.contains(&Role::Meter) {
            self.health.down(REDIS, "not reached yet");
        }
        if roles.contains(&Role::Meter) {
            self.health.down(crate::meter::COMPONENT, "the meter has not started yet");
        }
    }

    async fn start_http(
        &self,
        stages: &mut JoinSet<anyhow::Result<()>>,
        roles: &BTreeSet<Role>,
        recorder: &Recorder,
        runtimes: Option<&Runtimes>,
    ) -> anyhow::Result<()> {
        let http = &self.settings.http;
        let has_api = roles.contains(&Role::Api);
        if has_api && http.admin_key.is_none() {
            tracing::warn!("http.admin_key is not set: no request can be authorized");
        }
        let live = self.open_live();
        if has_api {
            let live = live.clone();
            stages.spawn(async move {
                live.run().await;
                Ok(())
            });
        }
        let page = runtimes.map(|runtimes| self.open_page(&live, &runtimes.page.handle()));
        let page = page.transpose()?;
        let mut api = Api::new(
            &self.settings,
            self.store.clone(),
            self.balance.clone(),
            live,
            self.clock.clone(),
            self.health.clone(),
            recorder.clone(),
        );
        api = api.with_payments(self.payments.clone()).with_numbers(self.numbers.clone());
        if has_api {
            api = api.with_bridge(self.open_bridge(stages, roles)?);
        }
        let public = Surface { api: has_api, internal: http.internal_listen.is_none() };
        let mut surfaces = vec![(http.listen, public)];
        if let Some(address) = http.internal_listen {
            surfaces.push((address, Surface { api: has_api, internal: true }));
        }
        let limits = ConnectionLimits {
            connections_max: http.connections_max,
            head_max: Duration::from_secs(http.request_seconds_max.into()),
        };
        for (address, surface) in surfaces {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("{address} cannot be listened on"))?;
            tracing::info!(address = %listener.local_addr()?, "listening");
            let shutdown = self.shutdown.clone();
            let mut router = api.clone().router(surface);
            // Customers come by the public address.
            if let Some(page) = page.clone().filter(|_| address == http.listen) {
                router = router.merge(page);
            }
            let apart = runtimes.map(|runtimes| runtimes.connections().to_vec());
            stages.spawn(async move {
                http::serve(listener, router, limits, apart.unwrap_or_default(), shutdown).await;
                Ok(())
            });
        }
        Ok(())
    }

    /// Waits for Postgres, checks the connection and the schema, and offers the catalog.
    async fn prepare(&self, roles: &BTreeSet<Role>) -> anyhow::Result<()> {
        let check = async || {
            if roles.contains(&Role::Jobs) {
                self.store.connect_directly().await?;
            }
            schema::check(&self.store).await
        };
        loop {
            match tokio::time::timeout(PROBE_MAX, check()).await {
                Ok(Ok(())) => break,
                Ok(Err(SchemaError::Store(error))) if error.is_transient() => {
                    self.health.down("postgres", one_line(&error));
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => self.health.down("postgres", "does not answer"),
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
        while let Err(error) = self.offer_catalog().await {
            match error.downcast_ref::<CatalogFileError>() {
                Some(file_error) if file_error.is_transient() => {
                    self.health.down("postgres", one_line(file_error));
                }
                _ => return Err(error),
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
        while let Err(error) = self.set_alert_defaults().await {
            if !error.is_transient() {
                return Err(error.into());
            }
            self.health.down("postgres", one_line(&error));
            tokio::time::sleep(PROBE_EVERY).await;
        }
        self.health.begun();
        Ok(())
    }

    /// Sets the thresholds of accounts that never set any, for every process and command.
    async fn set_alert_defaults(&self) -> Result<(), StoreError> {
        let thresholds = self.settings.alerts.thresholds();
        alerts::set_defaults(&self.store, &thresholds, self.clock.now()).await
    }

    /// Offers the catalog's file at the start. A refused file stops the start only if there is no
    /// older version: a restart must not stop charging.
    async fn offer_catalog(&self) -> anyhow::Result<()> {
        let path = &self.settings.catalog.path;
        let error = match catalog_file::offer(&self.store, path, By::new("serve", self.clock.now()))
            .await
        {
            Ok(accepted) => {
                let (version, new) = (accepted.version.0, accepted.new);
                tracing::info!(version, new, "catalog accepted");
                return Ok(());
            }
            Err(error) => error,
        };
        if error.is_transient() || matches!(error, CatalogFileError::Unreadable { .. }) {
            return Err(error.into());
        }
        let mut connection = self.store.read().await?;
        match catalogs::latest(&mut connection).await? {
            Some(CatalogStamp { version, .. }) => {
                ::metrics::gauge!(CATALOG_VERSION).set(f64::from(version.0));
                let error = one_line(&error);
                tracing::error!(error, version = version.0, "catalog refused; the old one stays");
                Ok(())
            }
            None => Err(error.into()),
        }
    }

    fn start_stages(
        &self,
        stages: &mut JoinSet<anyhow::Result<()>>,
        roles: &BTreeSet<Role>,
        reload: Signal,
    ) -> anyhow::Result<()> {
        let app = self.clone();
        stages.spawn(app.clone().until_shutdown(app.clone().probe_postgres()));
        stages.spawn(app.clone().until_shutdown(app.clone().keep_catalog()));
        stages.spawn(app.clone().until_shutdown(app.clone().reload_catalog(reload)));
        if roles.contains(&Role::Jobs) {
            stages.spawn(app.clone().until_shutdown(app.clone().forget_old_answers()));
            stages.spawn(app.clone().until_shutdown(app.clone().tend_tokens()));
            stages.spawn(app.clone().until_shutdown(app.clone().show_stripe_drift()));
            stages.spawn(app.clone().until_shutdown(app.clone().measure_drift()));
            stages.spawn(app.clone().until_shutdown(app.clone().run_jobs()));
            if let Some(payments) = self.payments.clone() {
                stages.spawn(app.clone().until_shutdown(refill_by_itself(payments)));
            }
            let numbers = bring_forward(self.numbers.clone());
            stages.spawn(app.clone().until_shutdown(numbers));
            let (store, clock) = (self.store.clone(), self.clock.clone());
            let relay = Relay::from_settings(&self.settings, store, clock)?;
            stages.spawn(app.clone().until_shutdown(relay.run()));
        }
        if roles.contains(&Role::Meter) {
            let meter = crate::meter::run(self.meter()?, self.shutdown.clone());
            stages.spawn(async move { meter.await.context("the meter cannot start") });
        }
        Ok(())
    }

    /// Starts the balance task and the probe of Redis if a role of this process uses Redis.
    fn start_balance(&self, stages: &mut JoinSet<anyhow::Result<()>>, roles: &BTreeSet<Role>) {
        if !roles.contains(&Role::Api) && !roles.contains(&Role::Meter) {
            return;
        }
        let (balance, shutdown) = (self.balance.clone(), self.shutdown_last.clone());
        stages.spawn(async move {
            balance.run(shutdown).await;
            Ok(())
        });
        let shutdown = self.shutdown_last.clone();
        let probe = self.clone().probe_redis();
        stages.spawn(async move {
            shutdown.run_until_cancelled(probe).await;
            Ok(())
        });
    }

    /// Runs an endless task until the shutdown.
    async fn until_shutdown(self, endless: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.shutdown.run_until_cancelled(endless).await;
        Ok(())
    }
}

async fn keep_metrics(recorder: Recorder) {
    loop {
        beat(UPKEEP_EVERY).await;
        recorder.upkeep();
    }
}

/// Waits for the first task that ends before the shutdown.
async fn first_failure(stages: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Error {
    match stages.join_next().await {
        Some(Ok(Ok(()))) | None => anyhow!("a task ended before the shutdown"),
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => anyhow!(error).context("a task panicked"),
    }
}

/// Waits for every task to end; gives up those that take too long.
async fn drain(stages: &mut JoinSet<anyhow::Result<()>>, longest: Duration) -> anyhow::Result<()> {
    let all = async {
        let mut first = Ok(());
        while let Some(ended) = stages.join_next().await {
            let ended = ended.map_err(|error| anyhow!(error).context("a task panicked"));
            first = first.and(ended.and_then(|ended| ended));
        }
        first
    };
    match tokio::time::timeout(longest, all).await {
        Ok(ended) => ended,
        Err(_) => bail!("tasks did not end within {} s and were given up", longest.as_secs()),
    }
}
