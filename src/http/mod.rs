//! The API: one file for each endpoint; errors are problem+json.
//!
//! Beside the flow: turns requests into changes and queries. A handler must hold no SQL, no rule,
//! and no state between requests that another process could make wrong.

mod access;
mod accounts;
mod alerts;
mod audit;
mod auth;
mod authorizations;
mod auto_refill;
mod budget;
mod cards;
mod command;
mod connections;
mod csv;
mod estimates;
mod fields;
mod health;
mod keys;
mod middleware;
mod numbers;
pub(crate) mod openapi;
mod page;
mod problem;
mod rate_limit;
mod refills;
mod rejects;
mod unsubscribe;
mod webhook_endpoints;
mod webhooks;

pub use connections::{Apart, ConnectionLimits, peer_of, serve};
pub use middleware::unbuffered;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::http::Method;
use callmeter_core::domain::Money;
use callmeter_core::policy::auto_refill::AutoRefillLimits;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::balance::Balance;
use crate::bridge::Bridge;
use crate::change::Changes;
use crate::clock::Clock;
use crate::config;
use crate::health::Health;
use crate::keys::{KeyCache, KeyDigest};
use crate::ledger::shared_keys::SharedKeys;
use crate::ledger::store::Store;
use crate::ledger::tokens::TwilioTokens;
use crate::metrics::Recorder;
use crate::notify::mail;
use crate::notify::webhooks::Webhooks;
use crate::numbers::Numbers;
use crate::payments::Payments;
use crate::wallet::{EstimateRules, Live, Wallets};
use middleware::Limits;
use problem::Problem;
use rate_limit::RateLimits;

/// The state of all handlers. Cheap to clone: each request clones it more than once.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

/// The parts of an [`Api`].
#[derive(Clone, Debug)]
pub struct Inner {
    store: Store,
    changes: Changes,
    balance: Balance,
    clock: Clock,
    health: Health,
    recorder: Recorder,
    wallets: Arc<Wallets>,
    estimates: EstimateRules,
    live: Live,
    tokens: Arc<TwilioTokens>,
    shared_keys: Arc<SharedKeys>,
    bridge: Option<Bridge>,
    payments: Option<Payments>,
    numbers: Option<Numbers>,
    webhooks: Webhooks,
    mail_tokens: mail::Tokens,
    auto_refill: AutoRefillRules,
    releases_on_close: bool,
    admin_key: Option<KeyDigest>,
    public_url: Option<String>,
    keys: KeyCache,
    rates: Arc<RateLimits>,
    asked_seconds: u32,
    body_bytes_max: usize,
    request_time_max: Duration,
    requests_in_progress_max: usize,
}

impl std::ops::Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What auto-refill is limited by, also without a key of Stripe.
#[derive(Clone, Copy, Debug)]
struct AutoRefillRules {
    limits: AutoRefillLimits,
    /// Where an account gives none.
    monthly_cap: Money,
}

/// The paths of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The paths of the API besides health; only for processes with the role `api`.
    pub api: bool,
    /// `/metrics`, and the paths of the API that need an admin key.
    pub internal: bool,
}

impl Api {
    /// Creates the state of all handlers.
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
        let keys = KeyCache::new(store.clone(), balance.clone(), clock.clone());
        let changes = Changes::new(store.clone(), balance.clone(), keys.clone());
        Self(Arc::new(Inner {
            store,
            changes,
            balance,
            clock,
            health,
            recorder,
            wallets: Arc::new(wallets),
            estimates: EstimateRules::new(settings),
            live,
            tokens: Arc::new(TwilioTokens::from_settings(settings)),
            shared_keys: Arc::new(SharedKeys::from_settings(settings)),
            bridge: None,
            payments: None,
            numbers: None,
            webhooks: Webhooks::from_settings(settings),
            mail_tokens: mail::Tokens::from_settings(settings),
            auto_refill: AutoRefillRules {
                limits: settings.auto_refill.limits(&settings.refill),
                monthly_cap: settings.auto_refill.monthly_cap,
            },
            releases_on_close: settings.numbers.release_on_close,
            admin_key: http.admin_key.as_ref().map(|key| KeyDigest::new(key.expose())),
            public_url: http.public_url.clone(),
            keys,
            rates: Arc::new(RateLimits::from_settings(http)),
            asked_seconds: settings.holds.asked_seconds,
            body_bytes_max: http.body_bytes_max,
            request_time_max: Duration::from_secs(u64::from(http.request_seconds_max)),
            requests_in_progress_max: http.requests_in_progress_max,
        }))
    }

    /// Adds the bridge, which takes Twilio's callbacks.
    #[must_use]
    pub fn with_bridge(self, bridge: Bridge) -> Self {
        Self(Arc::new(Inner { bridge: Some(bridge), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Adds the use cases of payments; without them they answer 503 `not_configured`.
    #[must_use]
    pub fn with_payments(self, payments: Option<Payments>) -> Self {
        Self(Arc::new(Inner { payments, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Adds the use cases of numbers.
    #[must_use]
    pub fn with_numbers(self, numbers: Numbers) -> Self {
        Self(Arc::new(Inner { numbers: Some(numbers), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Builds the router of one listener.
    pub fn router(self, surface: Surface) -> Router {
        let limits = Limits::new(self.requests_in_progress_max, self.request_time_max);
        Router::from(routes_of(surface))
            .fallback(|| async { Problem::unknown_path() })
            .method_not_allowed_fallback(async move |method: Method, path: Option<MatchedPath>| {
                let is_internal = path.is_some_and(|path| is_internal(&method, &path));
                if is_internal && !surface.internal {
                    return Problem::unknown_path();
                }
                Problem::method_not_allowed()
            })
            .layer(DefaultBodyLimit::max(self.body_bytes_max))
            .layer(CatchPanicLayer::custom(middleware::after_panic))
            .layer(axum::middleware::from_fn_with_state(limits, middleware::frame))
            .with_state(self)
    }
}

/// True if a method of a path needs an admin key. If only the internal address serves such methods,
/// the other answers 404 for them, even if it serves the path.
fn is_internal(method: &Method, path: &MatchedPath) -> bool {
    static PATHS: LazyLock<serde_json::Value> = LazyLock::new(|| {
        let document = serde_json::to_value(internal_api_routes().into_openapi());
        document.map(|mut document| document["paths"].take()).unwrap_or_default()
    });
    PATHS[path.as_str()][method.as_str().to_ascii_lowercase()].is_object()
}

/// The routes that need an admin key.
fn internal_api_routes() -> OpenApiRouter<Api> {
    let router = accounts::admin_routes().merge(keys::admin_routes());
    let router = router.merge(audit::admin_routes()).merge(rejects::admin_routes());
    router.merge(refills::admin_routes())
}

/// The routes of a surface, with their parts of the document.
fn routes_of(surface: Surface) -> OpenApiRouter<Api> {
    let mut router = OpenApiRouter::new().merge(health::routes()).merge(openapi::routes());
    if surface.internal {
        router = router.merge(health::internal_routes());
    }
    if surface.api {
        router = router.merge(accounts::routes()).merge(authorizations::routes());
        router = router.merge(refills::routes()).merge(cards::routes());
        router = router.merge(auto_refill::routes()).merge(numbers::routes());
        router = router.merge(alerts::routes()).merge(budget::routes());
        router = router.merge(estimates::routes());
        router = router.merge(webhooks::routes());
        router = router.merge(webhook_endpoints::routes()).merge(unsubscribe::routes());
    }
    if surface.api && surface.internal {
        router = router.merge(internal_api_routes());
    }
    router
}

/// Every route, for the document, which is the same in every role.
fn every_route() -> OpenApiRouter<Api> {
    routes_of(Surface { api: true, internal: true })
}
