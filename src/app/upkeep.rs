//! What `serve` does periodically: probes Postgres and Redis, reloads the catalog on SIGHUP,
//! deletes old answers, and measures the ledger's drift and that from Stripe's books. Each loop runs
//! until the shutdown.

use std::time::Duration;

use futures::FutureExt;
use tokio::signal::unix::Signal;

use super::{App, PROBE_EVERY, PROBE_MAX, one_line};
use crate::books;
use crate::clock::beat;
use crate::ledger::LedgerError;
use crate::ledger::audit::By;
use crate::ledger::catalogs;
use crate::ledger::idempotency;
use crate::ledger::shared_keys::SharedKeys;
use crate::ledger::store::StoreError;
use crate::ledger::tokens::TwilioTokens;
use crate::ledger::wallet_sessions;
use crate::ledger::webhooks::WebhookSecrets;
use crate::metrics::CATALOG_VERSION;
use crate::operator::catalog_file;
use crate::verify;

/// Time between two rounds of deleting old answers, and of tending tokens.
const TEND_EVERY: Duration = Duration::from_mins(1);
/// Answers deleted in one transaction.
const PURGE_LIMIT: i64 = 1000;
/// Time between two checks of the catalog in force.
const CATALOG_EVERY: Duration = Duration::from_secs(5);
/// Time between two measurements of the ledger's drift; each reads all transactions.
const DRIFT_EVERY: Duration = Duration::from_hours(1);
/// Time between two looks at the open differences from Stripe's books.
const STRIPE_DRIFT_EVERY: Duration = Duration::from_secs(5);

impl App {
    /// Probes Postgres, so that `/readyz` shows an outage even without requests.
    pub(super) async fn probe_postgres(self) {
        loop {
            match tokio::time::timeout(PROBE_MAX, self.store.probe()).await {
                Ok(Ok(())) => self.health.up("postgres"),
                Ok(Err(error)) => self.health.down("postgres", one_line(&error)),
                Err(_) => self.health.down("postgres", "does not answer"),
            }
            beat(PROBE_EVERY).await;
        }
    }

    /// Probes Redis, so that `/readyz` shows an outage, and a Redis that may drop holds.
    pub(super) async fn probe_redis(self) {
        loop {
            match tokio::time::timeout(PROBE_MAX, self.balance.redis().probe()).await {
                Ok(Ok(())) => self.health.up("redis"),
                Ok(Err(fault)) => self.health.down("redis", fault.to_string()),
                Err(_) => self.health.down("redis", "does not answer"),
            }
            beat(PROBE_EVERY).await;
        }
    }

    pub(super) async fn reload_catalog(self, mut reload: Signal) {
        while reload.recv().await.is_some() {
            self.offer_again("SIGHUP").await;
        }
    }

    /// Offers the catalog's file again if Postgres was restored from a backup that lacks the
    /// version in use.
    pub(super) async fn keep_catalog(self) {
        let mut newest = None;
        loop {
            let latest = async { catalogs::latest(&mut *self.store.read().await?).await };
            if let Ok(Some(latest)) = latest.await {
                ::metrics::gauge!(CATALOG_VERSION).set(f64::from(latest.version.0));
                if newest.is_some_and(|newest| latest.version < newest) {
                    tracing::error!(version = latest.version.0, "postgres lost a catalog");
                    self.offer_again("postgres lost it").await;
                }
                newest = Some(latest.version);
            }
            beat(CATALOG_EVERY).await;
        }
    }

    async fn offer_again(&self, why: &str) {
        let path = &self.settings.catalog.path;
        let by = By::new("serve", self.clock.now()).because(Some(why.to_owned()));
        match catalog_file::offer(&self.store, path, by).await {
            Ok(accepted) => {
                let (version, new) = (accepted.version.0, accepted.new);
                tracing::info!(version, new, "catalog accepted");
            }
            Err(error) => {
                let error = one_line(&error);
                tracing::error!(error, "catalog refused; the old one stays");
            }
        }
    }

    pub(super) async fn forget_old_answers(self) {
        loop {
            tokio::time::sleep(TEND_EVERY).await;
            let purged = idempotency::purge(&self.store, PURGE_LIMIT, self.clock.now()).await;
            if let Err(error) = purged {
                tracing::warn!(error = one_line(&error), "old answers were not forgotten");
            }
            if let Err(error) = wallet_sessions::forget(&self.store, self.clock.now()).await {
                tracing::warn!(error = one_line(&error), "old sessions were not forgotten");
            }
        }
    }

    /// Deletes replaced auth tokens that no longer count. Reseals tokens and shared keys of an
    /// older key with the present key, and so secrets of web hooks.
    pub(super) async fn tend_tokens(self) {
        let tokens = TwilioTokens::from_settings(&self.settings);
        let keys = SharedKeys::from_settings(&self.settings);
        let secrets = WebhookSecrets::from_settings(&self.settings);
        loop {
            let now = self.clock.now();
            let tended = self.store.transact("tokens::tend", |connection| {
                let tokens = tokens.clone();
                async move { tokens.tend(connection, now).await }.boxed()
            });
            tell_tended(tended.await.map(|tended| tended.lost), "auth tokens");
            let tended = self.store.transact("shared_keys::tend", |connection| {
                let keys = keys.clone();
                async move { keys.tend(connection).await }.boxed()
            });
            tell_tended(tended.await.map(|tended| tended.lost), "shared keys");
            let tended = self.store.transact("webhooks::tend", |connection| {
                let secrets = secrets.clone();
                async move { secrets.tend(connection, now).await }.boxed()
            });
            tell_tended(tended.await.map(|tended| tended.lost), "web hook secrets");
            tokio::time::sleep(TEND_EVERY).await;
        }
    }

    /// Compares balances with transactions periodically; `callmeter verify` finds where they
    /// differ.
    pub(super) async fn measure_drift(self) {
        loop {
            match verify::publish_drift(&self.store).await {
                Ok(drift) if drift.is_zero() => {}
                Ok(drift) => tracing::error!(%drift, "balances differ from their transactions"),
                Err(error) => tracing::warn!(error = one_line(&error), "drift was not measured"),
            }
            tokio::time::sleep(DRIFT_EVERY).await;
        }
    }

    /// Publishes the open differences from Stripe's books, whichever process or command compared
    /// them last.
    pub(super) async fn show_stripe_drift(self) {
        loop {
            let open = async { books::open(&mut *self.store.read().await?).await };
            match open.await {
                Ok::<_, StoreError>(open) => open.publish(),
                // Postgres is unreachable: `/readyz` reports it.
                Err(error) => tracing::debug!(%error, "the drift from stripe is not known"),
            }
            beat(STRIPE_DRIFT_EVERY).await;
        }
    }
}

/// Logs how a round of maintenance of secrets ended: how many cannot be opened.
fn tell_tended(lost: Result<i64, LedgerError>, what: &'static str) {
    match lost {
        Ok(0) => {}
        Ok(count) => tracing::error!(count, "{what} are sealed by a key that is not set"),
        Err(error) => tracing::warn!(error = one_line(&error), "{what} were not maintained"),
    }
}
