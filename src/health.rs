//! Which parts work now: each part of the service reports here, and `/readyz` shows it.
//!
//! Beside the flow. A part that never reported is not listed. Nothing here decides what to do about
//! a part that is down.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock::Clock;
use crate::metrics::COMPONENT_UP;

/// Name of a part: `postgres`, `kafka`, `partition twilio.calls/3`.
pub type Component = Cow<'static, str>;

/// Name of Postgres's part.
pub const POSTGRES: &str = "postgres";
/// Name of Redis's part.
pub const REDIS: &str = "redis";
/// The parts that authorizations need.
const AUTHORIZATIONS_NEED: [&str; 2] = [POSTGRES, REDIS];

/// The parts of one process, and whether each works. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    clock: Clock,
    components: Arc<Mutex<BTreeMap<Component, State>>>,
    has_begun: Arc<AtomicBool>,
}

/// The state of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// Up or down.
    pub status: Status,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it got this status.
    pub since: DateTime<Utc>,
}

/// Whether a part works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It works.
    Up,
    /// It does not work.
    Down,
}

/// All parts at one time, as `/readyz` answers.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `ready` if every part is up, otherwise `not_ready`.
    pub status: &'static str,
    /// Every part by name.
    pub components: BTreeMap<Component, State>,
    #[serde(skip)]
    has_begun: bool,
}

impl Report {
    /// Keeps only the parts that authorizations need. Postgres counts only until it was reached
    /// once: later, accounts that Redis knows are authorized without it.
    #[must_use]
    pub fn of_authorizations(mut self) -> Self {
        self.components.retain(|name, _| AUTHORIZATIONS_NEED.contains(&name.as_ref()));
        let needed = |(name, state): (&Component, &State)| {
            state.status == Status::Up || name == POSTGRES && self.has_begun
        };
        let is_ready = self.components.iter().all(needed);
        self.status = if is_ready { "ready" } else { "not_ready" };
        self
    }

    /// Whether `status` is `ready`.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

impl Health {
    /// Starts without any part.
    pub fn new(clock: Clock) -> Self {
        Self { clock, components: Arc::default(), has_begun: Arc::default() }
    }

    /// Reports that the process has started: it reached Postgres, and the schema and the catalog
    /// are right.
    pub fn begun(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.up(POSTGRES);
    }

    /// Reports that a part works.
    pub fn up(&self, component: impl Into<Component>) {
        self.set(component.into(), Status::Up, None);
    }

    /// Reports that a part does not work, and why. The reason must hold no secret.
    pub fn down(&self, component: impl Into<Component>, reason: impl Into<String>) {
        self.set(component.into(), Status::Down, Some(reason.into()));
    }

    /// Why a part is down; none if it is up or unknown.
    pub fn reason(&self, component: &str) -> Option<String> {
        self.lock().get(component).and_then(|state| state.reason.clone())
    }

    /// Forgets a part that this process no longer has, such as a partition that moved away.
    pub fn forget(&self, component: &str) {
        self.lock().remove(component);
    }

    /// Returns the state of all parts.
    pub fn report(&self) -> Report {
        let components = self.lock().clone();
        let is_ready = components.values().all(|state| state.status == Status::Up);
        let status = if is_ready { "ready" } else { "not_ready" };
        Report { status, components, has_begun: self.has_begun.load(Ordering::Relaxed) }
    }

    fn set(&self, component: Component, status: Status, reason: Option<String>) {
        let now = self.clock.now();
        let mut components = self.lock();
        let before = components.get(&component);
        let since = match before {
            Some(state) if state.status == status => state.since,
            _ => now,
        };
        if before.is_none_or(|state| state.status != status) {
            let value = if status == Status::Up { 1.0 } else { 0.0 };
            if let Some(reason) = &reason {
                tracing::warn!(%component, %reason, "component is down");
            } else {
                tracing::info!(%component, "component is up");
            }
            // Partitions come and go, and have metrics of their own.
            if let Cow::Borrowed(name) = component {
                metrics::gauge!(COMPONENT_UP, "component" => name).set(value);
            }
        }
        components.insert(component, State { status, reason, since });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Component, State>> {
        // Nothing panics while an entry is half written, so the map of a poisoned lock is
        // consistent.
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
