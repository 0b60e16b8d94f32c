//! Random histories of payments, seeded, with faults at Stripe and processes that die: at the end
//! each account has what Stripe kept of its money.
//!
//! `CALLMETER_HISTORIES` and `CALLMETER_SEED` make it longer, or the same again: `script/histories`.

use super::history::{History, settle};
use crate::harness::samples::account;
use crate::harness::stripe::Stripe;
use crate::harness::system::System;
use callmeter::simulate::stripe::{Behaviour, Fault, FaultRule, LocalStripe};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Histories that run side by side, on one system.
const AT_ONCE: usize = 10;
/// Acts of one history.
const ACTS: usize = 14;
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

/// Faults at Stripe and a process that dies, until it is told to stop; returns how often it died.
async fn trouble(
    system: &mut System,
    stripe: &LocalStripe,
    mut random: StdRng,
    stop: &AtomicBool,
) -> usize {
    let mut deaths = 0;
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
            deaths += 1;
        }
    }
    stripe.clear_faults();
    deaths
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
    let changed = [
        ("CALLMETER__STRIPE__LOOKUP_SECONDS", "1"),
        ("CALLMETER__STRIPE__TIMEOUT_SECONDS", "2"),
        // What lost its web hook is found by the comparison.
        ("CALLMETER__STRIPE__RECONCILE_SECONDS", "2"),
        ("CALLMETER__AUTO_REFILL__BACKOFF_SECONDS", "1"),
    ];
    let index = system.start_at(ROLES, &stripe, &changed);
    let admin = system.ready(index).await;
    let ids: Vec<String> = (0..count).map(|number| format!("h{number}")).collect();
    let accounts: Vec<_> = ids.iter().map(|id| account(id, 0)).collect();
    system.open(&admin, &accounts).await;
    stripe.deliver_to(&system.services[0].url());
    let mut histories = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        histories.push(History::of(id, &admin, &stripe, seed * 1_000 + number as u64).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let acts = async {
        futures::future::join_all(histories.iter_mut().map(|history| history.run(ACTS))).await;
        stop.store(true, Ordering::Relaxed);
    };
    let random = StdRng::seed_from_u64(seed);
    let ((), deaths) = tokio::join!(acts, trouble(&mut system, &stripe.local, random, &stop));
    let requests = histories.iter().map(History::requests);
    let (sent, answered) = requests.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    let outcomes = settle(&histories, &format!("seed {seed}")).await;
    println!("seed {seed}: {outcomes:?}, {answered} of {sent} requests answered, {deaths} deaths");
    assert!(answered * 2 > sent, "most acts came to nothing: {answered} of {sent}");
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
