//! Random histories of payments, seeded, with faults at Stripe and processes that die: at the end
//! each account has what Stripe kept of its money.
//!
//! `CALLMETER_HISTORIES` and `CALLMETER_SEED` make it longer, or the same again: `script/histories`.

use super::declined;
use crate::harness::api::Api;
use crate::harness::poll::until;
use crate::harness::samples::account;
use crate::harness::stripe::Stripe;
use crate::harness::system::System;
use crate::keys::make;
use callmeter::simulate::stripe::{
    Authentication, Behaviour, Card, Fault, FaultRule, LocalStripe, RefundOutcome,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Histories that run side by side, on one system.
const AT_ONCE: usize = 10;
/// Acts of one history.
const ACTS: usize = 14;
/// The limit for what waits for several look-ups.
const SETTLED: Duration = Duration::from_secs(90);
const ROLES: &str = "api,jobs";
const FAULTS: [Fault; 9] = [
    Fault::Busy,
    Fault::Unavailable,
    Fault::ServerErrorBeforeEffect,
    Fault::ServerErrorAfterEffect,
    Fault::HangBeforeEffect,
    Fault::HangAfterEffect,
    Fault::ResetBeforeEffect,
    Fault::ResetAfterEffect,
    Fault::UnreadableAfterEffect,
];
const REQUESTS: [&str; 6] = [
    "POST /v1/payment_intents",
    "POST /v1/payment_intents/*/confirm",
    "POST /v1/payment_intents/*/cancel",
    "GET /v1/payment_intents/*",
    "POST /v1/refunds",
    "POST /v1/customers",
];

/// One account and what happens to it.
struct History {
    id: String,
    admin: Api,
    own: Api,
    stripe: LocalStripe,
    publishable: String,
    base: String,
    random: StdRng,
}

impl History {
    async fn run(&mut self) {
        for _ in 0..ACTS {
            self.wait_for_the_service().await;
            self.act().await;
        }
    }

    /// Acts on a process that has died would all come to nothing.
    async fn wait_for_the_service(&self) {
        until("the service is there", SETTLED, async || {
            let answer = self.own.send(Method::GET, "/livez", &[], None).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }

    /// Sends a request. Its answer is looked at only where there is one: processes die.
    async fn send(&self, api: &Api, method: Method, path: &str, body: &Value) -> Option<Value> {
        let path = format!("/v1/accounts/{}{path}", self.id);
        let headers = [("content-type", "application/json")];
        let body = (method != Method::GET).then(|| body.to_string().into_bytes());
        let answer = api.send(method, &path, &headers, body).await.ok()?;
        assert!(answer.status != 500, "{path}: {}", answer.text);
        serde_json::from_str(&answer.text).ok()
    }

    /// Refills of a status, newest first.
    async fn refills(&self, status: &str) -> Vec<Value> {
        let path = format!("/refills?status={status}");
        let listed = self.send(&self.own, Method::GET, &path, &Value::Null).await;
        listed.and_then(|listed| listed["items"].as_array().cloned()).unwrap_or_default()
    }

    async fn act(&mut self) {
        let dollars = format!("{}.00", self.random.random_range(10..100));
        match self.random.random_range(0..100) {
            0..15 => self.save().await,
            15..45 => {
                let body = json!({"amount": dollars});
                let twice = self.random.random_range(0..3) == 0;
                let one = self.send(&self.own, Method::POST, "/refills", &body);
                if twice {
                    futures::join!(one, self.send(&self.own, Method::POST, "/refills", &body));
                } else {
                    one.await;
                }
            }
            45..55 => {
                let body = json!({"amount": dollars, "payment_method": "new", "save": true});
                let begun = self.send(&self.own, Method::POST, "/refills", &body).await;
                if let Some(refill) = begun {
                    self.pay_in_the_browser(&refill).await;
                }
            }
            55..65 => {
                let is_confirmed = self.random.random();
                for refill in self.refills("requires_action").await {
                    let intent = refill["payment_intent"].as_str().unwrap_or_default();
                    drop(self.stripe.authenticate(intent, is_confirmed));
                }
            }
            65..75 => {
                if let Some(refill) = self.refills("completed").await.choose(&mut self.random) {
                    let path = format!("/refills/{}/refunds", refill["id"].as_str().expect("it"));
                    let body = json!({"amount": "7.00"});
                    self.send(&self.admin, Method::POST, &path, &body).await;
                }
            }
            75..80 => {
                if let Some(refill) = self.refills("completed").await.choose(&mut self.random) {
                    let intent = refill["payment_intent"].as_str().unwrap_or_default();
                    drop(self.stripe.refund(intent, Some(300)));
                }
            }
            80..85 => {
                if let Some(refill) = self.refills("completed").await.choose(&mut self.random) {
                    let intent = refill["payment_intent"].as_str().unwrap_or_default();
                    let disputed = self.stripe.open_dispute(intent, "fraudulent", None);
                    if let (Ok(dispute), true) = (disputed, self.random.random()) {
                        let id = dispute["id"].as_str().expect("an id");
                        drop(self.stripe.close_dispute(id, self.random.random()));
                    }
                }
            }
            85..93 => {
                let body = json!({"enabled": true, "threshold": "15.00", "amount": "20.00"});
                self.send(&self.own, Method::PUT, "/auto-refill", &body).await;
            }
            _ => {
                let body = json!({"type": "debit", "amount": "12.00", "description": "Calls"});
                self.send(&self.admin, Method::POST, "/adjustments", &body).await;
            }
        }
    }

    /// The customer's setup, then a card as the browser brings it to Stripe.
    async fn save(&mut self) {
        let setup = "/payment-methods/setup";
        self.send(&self.own, Method::POST, setup, &json!({})).await;
        let Some(customer) = self.customer() else { return };
        let card = match self.random.random_range(0..8) {
            0 => declined("insufficient_funds"),
            1 => declined("do_not_honor"),
            2 => Card { authentication: Authentication::Always, ..Card::default() },
            3 => Card { refunds: RefundOutcome::Fails, ..Card::default() },
            _ => Card::default(),
        };
        let Ok(id) = self.stripe.add_card(&customer, card) else { return };
        self.send(&self.own, Method::GET, "/payment-methods", &Value::Null).await;
        let default = format!("/payment-methods/{id}/default");
        self.send(&self.own, Method::PUT, &default, &json!({})).await;
    }

    /// Pays a refill with a new card, with what the browser knows.
    async fn pay_in_the_browser(&self, refill: &Value) {
        let (Some(secret), Some(intent)) =
            (refill["client_secret"].as_str(), refill["payment_intent"].as_str())
        else {
            return;
        };
        let sent = reqwest::Client::new()
            .post(format!("{}/v1/payment_intents/{intent}/confirm", self.base))
            .basic_auth(&self.publishable, None::<&str>)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("client_secret={secret}&payment_method=pm_card_visa"));
        drop(tokio::time::timeout(Duration::from_secs(3), sent.send()).await);
    }

    fn customer(&self) -> Option<String> {
        self.customers().into_iter().next()
    }

    /// The account's customers: where Stripe made one and said 500, another one was made.
    fn customers(&self) -> Vec<String> {
        let mut customers = self.stripe.objects("customer");
        customers.retain(|customer| customer["metadata"]["callmeter_account"] == self.id.as_str());
        let ids = customers.iter().filter_map(|customer| customer["id"].as_str());
        ids.map(str::to_owned).collect()
    }

    /// Cents that Stripe keeps of this account's payments.
    fn kept(&self) -> i64 {
        let totals = self.stripe.totals();
        let of_account = self.customers();
        let of_account = of_account.iter().filter_map(|customer| totals.get(customer));
        of_account.map(|totals| totals.captured - totals.refunded - totals.disputed).sum()
    }

    /// What the ledger credited for payments less what went back, in cents; none while it is not
    /// known.
    async fn credited(&self) -> Option<i64> {
        let path = format!("/v1/accounts/{}/transactions", self.id);
        let rows = self.admin.items(&path, 500).await.ok()?;
        let mut cents = 0;
        for row in rows.iter().filter(|row| row["status"] == "completed") {
            let kind = row["kind"].as_str().expect("a kind");
            let amount: String = row["amount"].as_str().expect("an amount").replace('.', "");
            let amount = amount.parse::<i64>().expect("money") / 10_000;
            cents += match kind {
                "refill_manual"
                | "refill_auto"
                | "chargeback_reversal"
                | "refill_refund_reversal" => amount,
                "refill_refund" | "chargeback" => -amount,
                _ => 0,
            };
        }
        Some(cents)
    }

    /// Ends what waits for the customer who is there. Returns what is not right yet.
    async fn unsettled(&self) -> Option<String> {
        for refill in self.refills("requires_action").await {
            let intent = refill["payment_intent"].as_str().unwrap_or_default();
            drop(self.stripe.authenticate(intent, true));
        }
        // An automatic refill waits a day for its customer.
        let mut open = self.refills("requires_action").await;
        open.retain(|refill| refill["trigger"] != "auto");
        open.extend(self.refills("pending").await);
        let (credited, kept) = (self.credited().await, self.kept());
        let is_right = open.is_empty() && credited == Some(kept);
        (!is_right).then(|| format!("{credited:?} cents credited, Stripe has {kept}; {open:?}"))
    }
}

/// Faults at Stripe and a process that dies, until it is told to stop.
async fn trouble(system: &mut System, stripe: &LocalStripe, mut random: StdRng, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let rule = FaultRule {
            fault: *FAULTS.choose(&mut random).expect("one"),
            request: (*REQUESTS.choose(&mut random).expect("one")).to_owned(),
            skip: random.random_range(0..3),
            times: 1,
        };
        stripe.fault(rule);
        tokio::time::sleep(Duration::from_millis(random.random_range(50..400))).await;
        if random.random_range(0..4) == 0 {
            stripe.clear_faults();
        }
        if random.random_range(0..20) == 0 {
            system.services[0].kill();
            system.restart(0, ROLES);
            system.ready(0).await;
        }
    }
    stripe.clear_faults();
}

/// Runs some histories on a system of their own.
async fn round(seed: u64, count: usize) {
    let behaviour = Behaviour {
        seed,
        doubled_percent: 20,
        reordered_percent: 20,
        lost_percent: 20,
        forged_percent: 10,
        ..Behaviour::default()
    };
    let stripe = Stripe::start(behaviour);
    let mut system = System::new().await;
    let settings = stripe.settings();
    let mut changed: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    changed.extend([
        ("CALLMETER__STRIPE__LOOKUP_SECONDS", "1"),
        ("CALLMETER__STRIPE__TIMEOUT_SECONDS", "2"),
        // What lost its web hook is found by the comparison.
        ("CALLMETER__STRIPE__RECONCILE_SECONDS", "2"),
        ("CALLMETER__AUTO_REFILL__BACKOFF_SECONDS", "1"),
    ]);
    let index = system.start(ROLES, &changed);
    let admin = system.ready(index).await;
    let ids: Vec<String> = (0..count).map(|number| format!("h{number}")).collect();
    let accounts: Vec<_> = ids.iter().map(|id| account(id, 0)).collect();
    system.open(&admin, &accounts).await;
    stripe.deliver_to(&system.services[0].url());
    let mut histories = Vec::new();
    for (number, id) in ids.into_iter().enumerate() {
        let (_, key) = make(&admin, "account", Some(&id)).await;
        histories.push(History {
            id,
            own: admin.with_key(Some(&key)),
            admin: admin.clone(),
            stripe: stripe.local.clone(),
            publishable: stripe.keys.publishable.clone(),
            base: stripe.url.clone(),
            random: StdRng::seed_from_u64(seed * 1_000 + number as u64),
        });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let acts = async {
        futures::future::join_all(histories.iter_mut().map(History::run)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let random = StdRng::seed_from_u64(seed);
    tokio::join!(acts, trouble(&mut system, &stripe.local, random, &stop));
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for history in &histories {
        let deadline = Instant::now() + SETTLED;
        while let Some(unsettled) = history.unsettled().await {
            assert!(Instant::now() < deadline, "seed {seed}, {}: {unsettled}", history.id);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for status in ["completed", "failed"] {
            *outcomes.entry(status.to_owned()).or_default() += history.refills(status).await.len();
        }
    }
    println!("seed {seed}: {outcomes:?}");
    assert!(outcomes["completed"] > 0, "nothing happened: {outcomes:?}");
}

#[expect(clippy::disallowed_methods, reason = "the tests have no settings")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_of_payments_end_as_stripe_has_them() {
    let count = number("CALLMETER_HISTORIES").unwrap_or(10);
    let seed = number("CALLMETER_SEED").unwrap_or(1);
    for (round_seed, first) in (seed..).zip((0..count).step_by(AT_ONCE)) {
        let of_round = (count - first).min(AT_ONCE as u64);
        round(round_seed, usize::try_from(of_round).expect("few")).await;
    }
}
