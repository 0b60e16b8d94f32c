//! The wallet page, at `/wallet`: what a customer sees of the wallet, and does with it.
//!
//! A door beside [`http`](crate::http): it parses forms, runs one use case, and renders a template
//! (`templates/`); one view one file. Every page reads and every form posts without scripts; only a
//! new card needs one.
//!
//! It must hold no rule and no SQL, show one account to nobody but its own sessions, and never run a
//! script that is not its own or Stripe's.

mod add_funds;
mod assets;
mod brand;
mod campaign;
mod campaigns;
mod cards;
mod chart;
mod controls;
mod decline;
mod error;
mod estimate_card;
mod events;
mod export;
mod file;
mod form;
mod frame;
mod history;
mod insights;
mod money;
mod next;
mod notices;
mod numbers;
mod overview;
mod parts;
mod receipt;
mod refill;
mod row;
mod shell;
mod sign_in;
mod statement;
mod streams;
mod time;
mod visit;

pub use brand::LogoError;
pub use visit::Client;

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Html;
use axum::routing::{get, post};
use callmeter_core::domain::Money;
use callmeter_core::policy::auto_refill::AutoRefillLimits;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::balance::Balance;
use crate::change::Changes;
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::ledger::store::Store;
use crate::numbers::Numbers;
use crate::payments::Payments;
use crate::wallet::{EstimateRules, Live, Wallets};
use brand::Brand;
use controls::{AutoRefillSummaries, SUMMARY_STANDS};
use frame::Policies;
use parts::Shared;
use streams::Streams;

/// Most bytes of a request.
const BODY_BYTES_MAX: usize = 65_536;
/// Requests of the page in progress at once; streams do not count.
const REQUESTS_MAX: usize = 128;

/// The state of all views; cheap to clone.
#[derive(Clone, Debug)]
pub struct Page(Arc<Inner>);

/// The parts of a [`Page`].
#[derive(Debug)]
pub struct Inner {
    store: Store,
    balance: Balance,
    changes: Changes,
    clock: Clock,
    wallets: Wallets,
    estimates: EstimateRules,
    live: Live,
    payments: Option<Payments>,
    numbers: Numbers,
    settings: config::Page,
    brand: Arc<Brand>,
    /// The path of the page as browsers see it: `/wallet`, behind the path of `http.public_url`.
    at: String,
    /// The origin of `http.public_url`.
    origin: Option<String>,
    public_url: Option<String>,
    js_url: String,
    policies: Policies,
    low_balance_threshold: Money,
    minimum: Money,
    auto_limits: AutoRefillLimits,
    /// The monthly cap of auto-refill where a customer gives none.
    monthly_cap: Money,
    sends_mail: bool,
    /// How long an unpaid rent is tried again.
    retry_days: u32,
    request_time_max: Duration,
    places: Semaphore,
    streams: Streams,
    shared: Shared,
    auto_refill_summaries: AutoRefillSummaries,
    runtime: Handle,
}

impl std::ops::Deref for Page {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What the page works with.
#[derive(Debug)]
pub struct Parts {
    /// The ledger.
    pub store: Store,
    /// Holds.
    pub balance: Balance,
    /// Runs changes.
    pub changes: Changes,
    /// The watched wallets.
    pub live: Live,
    /// None without a key of Stripe.
    pub payments: Option<Payments>,
    /// The use cases of numbers.
    pub numbers: Numbers,
    /// The time.
    pub clock: Clock,
    /// The runtime on which the page's requests and streams run.
    pub runtime: Handle,
}

impl Page {
    /// Creates the state of all views.
    ///
    /// # Errors
    /// If the logo of the settings cannot be shown.
    pub fn new(settings: &Settings, parts: Parts) -> Result<Self, LogoError> {
        let Parts { store, balance, changes, live, payments, numbers, clock, runtime } = parts;
        let public_url = settings.http.public_url.clone();
        let parsed = public_url.as_deref().and_then(|url| reqwest::Url::parse(url).ok());
        let prefix = parsed.as_ref().map_or("", |url| url.path().trim_end_matches('/'));
        let threshold = settings.wallet.low_balance_threshold;
        Ok(Self(Arc::new(Inner {
            wallets: Wallets::new(store.clone(), balance.clone(), threshold),
            estimates: EstimateRules::new(settings),
            at: format!("{prefix}/wallet"),
            origin: parsed.as_ref().map(|url| url.origin().ascii_serialization()),
            public_url,
            js_url: settings.stripe.js_url.clone(),
            policies: Policies::new(&settings.page, &settings.stripe),
            brand: Arc::new(Brand::read(&settings.page)?),
            low_balance_threshold: threshold,
            minimum: settings.refill.minimum,
            auto_limits: settings.auto_refill.limits(&settings.refill),
            monthly_cap: settings.auto_refill.monthly_cap,
            retry_days: settings.rentals.retry_days,
            sends_mail: settings.mail.smtp_url.is_some(),
            request_time_max: frame::request_time_max(settings.http.request_seconds_max),
            places: Semaphore::new(REQUESTS_MAX),
            streams: Streams::new(store.clone(), clock.clone()),
            shared: Shared::default(),
            auto_refill_summaries: AutoRefillSummaries::new(SUMMARY_STANDS),
            settings: settings.page.clone(),
            store,
            balance,
            changes,
            clock,
            live,
            payments,
            numbers,
            runtime,
        })))
    }

    /// Builds the router.
    pub fn router(self) -> Router {
        Router::new()
            .route("/wallet", get(overview::overview))
            .route("/wallet/", get(overview::overview))
            .route("/wallet/parts", get(parts::parts))
            .route("/wallet/events", get(events::events))
            .route("/wallet/sign-in", get(sign_in::open).post(sign_in::confirm))
            .route("/wallet/sign-out", post(sign_in::sign_out))
            .route("/wallet/signed-out", get(sign_in::signed_out))
            .route("/wallet/add-funds", get(add_funds::form))
            .route("/wallet/add-funds/confirm", get(add_funds::check))
            .route("/wallet/refills", post(refill::begin))
            .route("/wallet/refills/return", get(refill::come_back))
            .route("/wallet/refills/answered", get(refill::answered))
            .route("/wallet/refills/{refill}", get(refill::refill))
            .route("/wallet/refills/{refill}/part", get(refill::part))
            .route("/wallet/refills/{refill}/receipt", get(receipt::receipt))
            .route("/wallet/cards", get(cards::cards))
            .route("/wallet/cards/setup", post(cards::set_up))
            .route("/wallet/cards/{card}/default", post(cards::choose))
            .route("/wallet/cards/{card}/expiry", post(cards::renew))
            .route("/wallet/cards/{card}/remove", get(cards::ask_to_remove).post(cards::remove))
            .route("/wallet/auto-refill", get(controls::controls).post(controls::set_auto_refill))
            .route("/wallet/alerts", post(controls::set_alerts))
            .route("/wallet/budget", post(controls::set_budget))
            .route("/wallet/numbers", get(numbers::numbers).post(numbers::buy))
            .route("/wallet/numbers/buy", get(numbers::ask_to_buy))
            .route(
                "/wallet/numbers/{number}/release",
                get(numbers::ask_to_release).post(numbers::release),
            )
            .route("/wallet/history", get(history::history))
            .route("/wallet/insights", get(insights::insights))
            .route("/wallet/history.csv", get(export::export))
            .route("/wallet/campaigns", get(campaigns::campaigns).post(campaigns::estimate))
            .route("/wallet/campaigns/part", get(campaign::part))
            .route("/wallet/campaigns/{tag}", get(campaign::campaign))
            .route("/wallet/statements/{month}", get(statement::statement))
            .route("/wallet/assets/{name}", get(assets::asset))
            .route("/wallet/{*path}", get(frame::not_found))
            .method_not_allowed_fallback(frame::wrong_method)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(axum::middleware::from_fn_with_state(self.clone(), frame::frame))
            .with_state(self)
    }

    /// Watches for sessions that end while their streams are open; runs until dropped.
    pub async fn run(&self) {
        self.streams.run().await;
    }
}

/// Renders a template.
fn html(template: &impl Template) -> Html<String> {
    let rendered = template.render();
    Html(rendered.unwrap_or_else(|error| {
        // A template writes into a string, which cannot fail.
        tracing::error!(%error, "a template cannot be rendered");
        String::new()
    }))
}
