//! Redis, as this process reaches it.
//!
//! Authorizations have a connection of their own, so that they do not wait behind projections.

pub(crate) mod health;
pub(crate) mod link;
mod requests;
mod revoked_keys;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::balance::model::BalanceError;
use crate::clock::Clock;
use link::Link;

/// Longest wait for an answer to an authorization's script.
const ANSWER_MAX: Duration = Duration::from_millis(250);
/// Longest wait for an answer to a projection: many scripts in one round trip.
const PROJECTION_MAX: Duration = Duration::from_secs(2);

/// The two connections, and the arguments common to all scripts.
#[derive(Debug)]
pub struct Redis {
    /// For authorizations.
    link: Link,
    /// For projections and the patrol.
    bulk: Link,
    clock: Clock,
    /// Micro-seconds added to Redis's clock; 0 in production.
    offset_micros: i64,
    /// The newest incarnation of the ledger that this process saw.
    incarnation: AtomicI64,
    /// When Redis last answered an authorization or a greeting, in micro-seconds: the cap of grants
    /// without Redis counts from there.
    answered_at: AtomicI64,
}

impl Redis {
    /// Prepares the connections; they connect on first use.
    pub(crate) fn open(url: &str, clock: Clock, offset_micros: i64) -> Result<Self, BalanceError> {
        Ok(Self {
            link: Link::open(url, ANSWER_MAX)?,
            bulk: Link::open(url, PROJECTION_MAX)?,
            clock,
            offset_micros,
            incarnation: AtomicI64::new(0),
            answered_at: AtomicI64::new(0),
        })
    }

    /// From the next connection on, answers to authorizations are received on this runtime: where its
    /// threads also serve the requests, no other thread is woken.
    pub(crate) fn drive_authorizations_on(&self, runtime: Handle) {
        self.link.drive_on(runtime);
    }

    pub(crate) fn incarnation(&self) -> i64 {
        self.incarnation.load(Ordering::Acquire)
    }

    pub(crate) fn saw_incarnation(&self, incarnation: i64) {
        self.incarnation.fetch_max(incarnation, Ordering::AcqRel);
    }

    pub(crate) fn answered_at(&self) -> i64 {
        self.answered_at.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.answered_at.store(self.clock.now().timestamp_micros(), Ordering::Relaxed);
    }
}
