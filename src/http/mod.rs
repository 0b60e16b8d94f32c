//! The API: one endpoint one file, all in problem+json where they fail.
//!
//! Beside the flow: turns requests into acts and queries of the ledger. Handlers hold no SQL, and
//! keep nothing between requests that another process could make wrong.

mod accounts;
mod act;
mod audit;
mod auth;
mod authorizations;
mod csv;
mod fields;
mod health;
pub(crate) mod keys;
mod layers;
pub(crate) mod openapi;
mod page;
mod problem;
pub(crate) mod render;
mod webhooks;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::balance::Balance;
use crate::bridge::Bridge;
use crate::clock::Clock;
use crate::config;
use crate::health::Health;
use crate::keys::{Believed, KeyDigest};
use crate::ledger::store::Store;
use crate::ledger::tokens::TwilioTokens;
use crate::metrics::Recorder;
use crate::wallet::{Live, Wallets};
use layers::Limits;
use problem::Problem;

/// What handlers have at hand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    store: Store,
    balance: Balance,
    clock: Clock,
    health: Health,
    recorder: Recorder,
    wallets: Arc<Wallets>,
    live: Live,
    tokens: Arc<TwilioTokens>,
    bridge: Option<Bridge>,
    admin_key: Option<KeyDigest>,
    keys: Believed,
    asked_seconds: u32,
    body_bytes_max: usize,
    request_time_max: Duration,
    requests_in_progress_max: usize,
}

/// Which paths a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The API's own paths, beside health; only processes with the role `api` have them.
    pub api: bool,
    /// `/metrics`, and the API's paths that need an admin key.
    pub internal: bool,
}

impl Api {
    /// Gathers what handlers need.
    pub fn new(
        settings: &config::Settings,
        store: Store,
        balance: Balance,
        live: Live,
        clock: Clock,
        health: Health,
        recorder: Recorder,
    ) -> Self {
        let http = &settings.http;
        let threshold = settings.wallet.low_balance_threshold;
        let wallets = Wallets::new(store.clone(), balance.clone(), threshold);
        let keys = Believed::new(store.clone(), balance.clone(), clock.clone());
        Self {
            store,
            balance,
            clock,
            health,
            recorder,
            wallets: Arc::new(wallets),
            live,
            tokens: Arc::new(TwilioTokens::of(settings)),
            bridge: None,
            admin_key: http.admin_key.as_ref().map(|key| KeyDigest::of(key.expose())),
            keys,
            asked_seconds: settings.holds.asked_seconds,
            body_bytes_max: http.body_bytes_max,
            request_time_max: Duration::from_secs(u64::from(http.request_seconds_max)),
            requests_in_progress_max: http.requests_in_progress_max,
        }
    }

    /// Answers Twilio's callbacks too.
    #[must_use]
    pub fn with_bridge(self, bridge: Bridge) -> Self {
        Self { bridge: Some(bridge), ..self }
    }

    /// Builds what one listener answers.
    pub fn router(self, surface: Surface) -> Router {
        let limits = Limits::new(self.requests_in_progress_max, self.request_time_max);
        Router::from(routes_of(surface))
            .fallback(|| async { Problem::unknown_path() })
            .method_not_allowed_fallback(|| async {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                Problem::new(status, "method_not_allowed", "The path has no such method", "")
            })
            .layer(DefaultBodyLimit::max(self.body_bytes_max))
            .layer(CatchPanicLayer::custom(layers::after_panic))
            .layer(axum::middleware::from_fn_with_state(limits, layers::frame))
            .with_state(self)
    }
}

/// The routes of a surface, each with its part of the document.
fn routes_of(surface: Surface) -> OpenApiRouter<Api> {
    let mut router = OpenApiRouter::new().merge(health::routes()).merge(openapi::routes());
    if surface.internal {
        router = router.merge(health::internal_routes());
    }
    if surface.api {
        router = router.merge(accounts::routes()).merge(authorizations::routes());
        router = router.merge(webhooks::routes());
    }
    if surface.api && surface.internal {
        router = router.merge(accounts::admin_routes()).merge(keys::admin_routes());
        router = router.merge(audit::admin_routes());
    }
    router
}

/// Every route that there is, for the document: it is the same in every role.
fn every_route() -> OpenApiRouter<Api> {
    routes_of(Surface { api: true, internal: true })
}

/// Answers requests until `shutdown` ends, then finishes those in progress.
///
/// # Errors
/// Where the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}
