//! Posts deliveries that are due, and notes what became of each.
//!
//! One process posts at a time. It claims what is due, so that a process which took its place posts
//! nothing twice while both live; a process that dies leaves its claims to the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::FutureExt;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Webhooks;
use super::attempt::{Answer, Clients};
use crate::clock::{Clock, beat};
use crate::config;
use crate::ledger::LedgerError;
use crate::ledger::audit::By;
use crate::ledger::store::{AsStoreError, Store, StoreError};
use crate::ledger::webhooks::{self, Attempted, DisabledReason, Due, EndpointId, WebhookSecrets};
use crate::metrics::{WEBHOOK_DELIVERIES, WEBHOOKS_WAITING};
use crate::notify::RETRY_EVERY;
use crate::telemetry::one_line;

/// Time between two looks for deliveries that are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Claimed deliveries, of all endpoints and of each; of one that fails, one.
const CLAIMED_MAX: usize = 2_048;
const EACH_CLAIMED_MAX: i32 = 32;
/// Posts in progress to one endpoint. The other claimed ones wait in memory, so that a fast
/// receiver does not wait for Postgres.
const EACH_AT_ONCE_MAX: usize = 8;
/// How long a claim lasts: longer than it takes to post what is claimed of a slow endpoint.
const CLAIM: TimeDelta = TimeDelta::seconds(90);
/// Pause of an endpoint after a failure: what waits for it is tried one by one.
const FAILED_PAUSE: Duration = Duration::from_millis(250);
/// Time in which ends are gathered, so that they are noted together.
const GATHER: Duration = Duration::from_millis(5);
/// Time between two measurements of what waits.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// Time between two rounds of tidying up.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// Posts deliveries.
#[derive(Clone, Debug)]
pub(in crate::notify) struct Poster {
    store: Store,
    clock: Clock,
    secrets: Arc<WebhookSecrets>,
    clients: Clients,
    settings: config::Webhooks,
}

/// An attempt that ended.
struct Ended {
    endpoint: EndpointId,
    /// `None`: the endpoint was disabled before its turn came.
    attempted: Option<Attempted>,
    disables: Option<DisabledReason>,
}

impl Poster {
    /// A poster by the settings.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(in crate::notify) fn from_settings(
        settings: &config::Settings,
        store: Store,
        clock: Clock,
    ) -> reqwest::Result<Self> {
        let Webhooks { targets, secrets } = Webhooks::from_settings(settings);
        let clients = Clients::new(targets, clock.clone())?;
        Ok(Self { store, clock, secrets, clients, settings: settings.webhooks.clone() })
    }

    /// Posts what is due, for ever. `made` says that there is more.
    pub(in crate::notify) async fn post(&self, made: &Notify) {
        tokio::join!(self.post_due(made), self.tidy());
    }

    async fn post_due(&self, made: &Notify) {
        let mut posting = Posting::default();
        let mut is_released = false;
        loop {
            let step = async {
                if !is_released {
                    webhooks::release(&self.store).await?;
                    is_released = true;
                }
                self.step(&mut posting).await
            };
            match step.await {
                // There may be more.
                Ok(true) => {}
                Ok(false) => posting.wait(made).await,
                Err(error) => {
                    if error.as_store_error().is_some_and(StoreError::is_transient) {
                        tracing::debug!(%error, "web hooks wait");
                    } else {
                        tracing::warn!(error = one_line(&error), "web hooks wait");
                    }
                    beat(RETRY_EVERY).await;
                }
            }
        }
    }

    /// Notes what ended, and begins what is due. True if it began something.
    async fn step(&self, posting: &mut Posting) -> Result<bool, LedgerError> {
        posting.gather();
        self.note(posting).await?;
        let room = CLAIMED_MAX.saturating_sub(posting.tasks.len());
        let now = self.clock.now();
        if room == 0 || !webhooks::is_any_due(&self.store, now).await? {
            self.measure(posting).await;
            return Ok(false);
        }
        let busy: Vec<_> = posting.lanes.iter().map(|(id, lane)| (*id, lane.claimed)).collect();
        let most = (i64::try_from(room).unwrap_or(i64::MAX), EACH_CLAIMED_MAX);
        let claimed =
            webhooks::claim(&self.store, &self.secrets, &busy, most, now, now + CLAIM).await?;
        let is_any = !claimed.is_empty();
        for due in claimed {
            let lane = posting.lanes.entry(due.endpoint).or_default();
            lane.claimed += 1;
            let (poster, turns) = (self.clone(), Arc::clone(&lane.turns));
            posting.tasks.spawn(async move {
                // Closed: the endpoint is disabled, and nothing waits for it any more.
                let Ok(_turn) = turns.acquire().await else {
                    return Ended { endpoint: due.endpoint, attempted: None, disables: None };
                };
                let ended = poster.attempt(due).await;
                if ended.disables.is_some() {
                    turns.close();
                } else if ended.attempted.as_ref().is_some_and(|it| it.error.is_some()) {
                    tokio::time::sleep(FAILED_PAUSE).await;
                }
                ended
            });
        }
        posting.is_measured &= !is_any;
        self.measure(posting).await;
        Ok(is_any)
    }

    async fn attempt(&self, due: Due) -> Ended {
        let Answer { status, body, error } = self.clients.post(&due).await;
        let at = self.clock.now();
        let next = self.settings.retry_after(due.attempts.saturating_add(1));
        let disables = match (&error, status) {
            (Some(_), Some(410)) => Some(DisabledReason::Gone),
            (Some(_), _) if next.is_none() => Some(DisabledReason::Failed),
            _ => None,
        };
        let due_at = next.filter(|_| error.is_some() && disables.is_none()).map(|wait| at + wait);
        let (id, endpoint) = (due.id, due.endpoint);
        let attempted = Attempted { id, at, answer_status: status, answer: body, error, due_at };
        Ended { endpoint, attempted: Some(attempted), disables }
    }

    /// Notes what ended; what cannot be noted stays.
    async fn note(&self, posting: &mut Posting) -> Result<(), LedgerError> {
        if posting.ended.is_empty() {
            return Ok(());
        }
        let attempted = posting.ended.iter().filter_map(|ended| ended.attempted.clone());
        let attempted: Vec<_> = attempted.collect();
        webhooks::note(&self.store, &attempted).await?;
        for Ended { endpoint, attempted, disables } in std::mem::take(&mut posting.ended) {
            let Some(attempted) = attempted else { continue };
            let outcome = outcome_of(&attempted);
            metrics::counter!(WEBHOOK_DELIVERIES, "outcome" => outcome).increment(1);
            if let Some(error) = &attempted.error {
                let delivery = attempted.id;
                tracing::debug!(%endpoint, %delivery, error, "a web hook was not delivered");
            }
            if let Some(reason) = disables {
                posting.disabled.push((endpoint, reason));
            }
        }
        while let Some((endpoint, reason)) = posting.disabled.last().copied() {
            self.disable(endpoint, reason).await?;
            posting.disabled.pop();
        }
        Ok(())
    }

    async fn disable(&self, id: EndpointId, reason: DisabledReason) -> Result<(), LedgerError> {
        let now = self.clock.now();
        let disabled = self.store.transact("webhooks::disable", move |connection| {
            async move {
                let by = By::new("serve", now).because(Some("it does not take events".to_owned()));
                webhooks::disable(connection, id, reason, &by).await
            }
            .boxed()
        });
        if disabled.await? {
            tracing::warn!(endpoint = %id, reason = reason.as_str(), "an endpoint is disabled");
        }
        Ok(())
    }

    /// Shows what waits, some time after the last change.
    async fn measure(&self, posting: &mut Posting) {
        if posting.is_measured || posting.measured_at.is_some_and(|at| at.elapsed() < MEASURE_EVERY)
        {
            return;
        }
        posting.measured_at = Some(Instant::now());
        let now = self.clock.now();
        let waiting = async { webhooks::waiting(&mut *self.store.read().await?, now).await };
        if let Ok::<_, StoreError>(waiting) = waiting.await {
            let count = u32::try_from(waiting.deliveries).unwrap_or(u32::MAX);
            metrics::gauge!(WEBHOOKS_WAITING).set(f64::from(count));
            posting.is_measured = posting.tasks.is_empty();
        }
    }

    async fn tidy(&self) {
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            if let Err(error) = webhooks::tidy(&self.store, self.clock.now()).await {
                tracing::debug!(%error, "old tests are not deleted yet");
            }
        }
    }
}

fn outcome_of(attempted: &Attempted) -> &'static str {
    match &attempted.error {
        None => "delivered",
        Some(error) if error.starts_with("target_not_allowed") => "not_allowed",
        Some(_) if attempted.due_at.is_none() => "given_up",
        Some(_) => "failed",
    }
}

/// The claimed deliveries of an endpoint.
struct Lane {
    claimed: i32,
    turns: Arc<Semaphore>,
}

impl Default for Lane {
    fn default() -> Self {
        Self { claimed: 0, turns: Arc::new(Semaphore::new(EACH_AT_ONCE_MAX)) }
    }
}

/// The posts in progress.
#[derive(Default)]
struct Posting {
    tasks: JoinSet<Ended>,
    /// The endpoints of claimed deliveries.
    lanes: HashMap<EndpointId, Lane>,
    /// Attempts that ended and are not noted.
    ended: Vec<Ended>,
    /// Endpoints to disable.
    disabled: Vec<(EndpointId, DisabledReason)>,
    measured_at: Option<Instant>,
    /// Whether the metric shows what waits now.
    is_measured: bool,
}

impl Posting {
    /// Takes what ended, without waiting.
    fn gather(&mut self) {
        while let Some(joined) = self.tasks.try_join_next() {
            self.take(joined);
        }
    }

    fn take(&mut self, joined: Result<Ended, tokio::task::JoinError>) {
        match joined {
            Ok(ended) => {
                if let Some(lane) = self.lanes.get_mut(&ended.endpoint) {
                    lane.claimed -= 1;
                    if lane.claimed <= 0 {
                        self.lanes.remove(&ended.endpoint);
                    }
                }
                self.ended.push(ended);
            }
            // Its claim ends by itself; its place stays taken until the next start.
            Err(error) => tracing::error!(%error, "a post ended without a result"),
        }
    }

    /// Waits for an end, for news, or for the next look.
    async fn wait(&mut self, made: &Notify) {
        tokio::select! {
            Some(joined) = self.tasks.join_next() => {
                self.take(joined);
                tokio::time::sleep(GATHER).await;
            }
            () = made.notified() => {}
            () = beat(LOOK_EVERY) => {}
        }
    }
}
