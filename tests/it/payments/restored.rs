//! A dump of Postgres that was taken under load is restored: Stripe has payments that the ledger
//! lacks, and after `callmeter recover` both agree again.

use super::books::days;
use super::history::{History, settle};
use super::text;
use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::stripe::Stripe;
use crate::harness::system::System;
use crate::model::time::{MINUTE, rfc3339};
use callmeter::simulate::stripe::{Behaviour, Card};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const ROLES: &str = "api,meter,jobs";
/// Stripe's clock is behind by as much, so that the comparison of the books takes nothing for under
/// way.
const BEHIND: TimeDelta = TimeDelta::minutes(30);
const ACCOUNTS: [&str; 3] = ["h0", "h1", "h2"];
/// The account with automatic refills.
const AUTO: &str = "auto";

/// A system with one process, and Stripe.
struct World {
    system: System,
    stripe: Stripe,
    admin: Api,
}

impl World {
    async fn start() -> World {
        let behaviour =
            Behaviour { doubled_percent: 20, reordered_percent: 20, ..Behaviour::default() };
        let stripe = Stripe::start(behaviour);
        stripe.local.move_clock(-BEHIND);
        let mut system = System::new().await;
        let changed = [
            ("CALLMETER__STRIPE__LOOKUP_SECONDS", "1"),
            ("CALLMETER__STRIPE__TIMEOUT_SECONDS", "2"),
        ];
        let index = system.start_at(ROLES, &stripe, &changed);
        let admin = system.ready(index).await;
        stripe.deliver_to(&system.services[index].url());
        World { system, stripe, admin }
    }

    async fn open(&self, id: &str, seed: u64) -> History {
        self.system.open(&self.admin, [&account(id, 0)]).await;
        History::of(id, &self.admin, &self.stripe, seed).await
    }

    /// Runs a command that asks Stripe; returns its exit code and what it printed.
    fn run(&self, arguments: &[&str], extra: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = self.system.command(arguments);
        command.envs(self.stripe.settings());
        command.envs(extra.iter().copied());
        let ran = command.output().expect("it runs");
        let printed = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8_lossy(&printed).into_owned())
    }

    fn recover(&self, since: &str) -> Value {
        let (code, printed) = self.run(&["recover", "--since", since, "--json"], &[]);
        assert_eq!(code, Some(0), "{printed}");
        let line = printed.lines().find(|line| line.starts_with('{')).expect("JSON");
        serde_json::from_str(line).expect("JSON")
    }

    /// Cents of all payments at Stripe.
    fn captured(&self) -> i64 {
        self.stripe.local.totals().values().map(|totals| totals.captured).sum()
    }

    /// Payments that succeeded at Stripe and are in no row of the ledger.
    async fn lacking(&self) -> Vec<String> {
        let known: Vec<String> = sqlx::query_scalar(
            "SELECT payment_intent_id FROM transactions
             WHERE payment_intent_id IS NOT NULL AND status = 'completed'",
        )
        .fetch_all(&mut self.system.sql().await)
        .await
        .expect("rows");
        let paid = self.stripe.local.objects("payment_intent").into_iter();
        let paid = paid.filter(|intent| intent["status"] == "succeeded");
        let paid = paid.map(|intent| text(&intent, "id"));
        paid.filter(|id| !known.contains(id)).collect()
    }
}

/// Calls of an hour, charged as fast as they are produced, until they are to stop.
#[derive(Default)]
struct Calls {
    made: AtomicUsize,
    is_over: AtomicBool,
}

impl Calls {
    async fn run(&self, world: &World) {
        while !self.is_over.load(Ordering::Acquire) {
            let number = self.made.fetch_add(1, Ordering::AcqRel);
            self.make(world, number, ACCOUNTS[number % ACCOUNTS.len()]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn make(&self, world: &World, number: usize, id: &str) {
        let event = completed(&account(id, 0), &call_sid(number), 3_600, now());
        let partition = i32::try_from(number % 4).expect("small");
        world.system.produce(&[on_calls(partition, &event)]).await;
    }
}

/// What a dump has of an account and what changes afterwards at Stripe.
struct Older {
    card: String,
    refund: String,
    dispute: String,
}

impl Older {
    async fn begin(history: &History) -> Older {
        let card = history.save(Card::default()).await.expect("a card");
        let refunded = text(&history.pay(&card, "31.00").await, "payment_intent");
        let disputed = text(&history.pay(&card, "42.00").await, "payment_intent");
        let refund = history.stripe.refund(&refunded, Some(400)).expect("a refund");
        let dispute = history.stripe.open_dispute(&disputed, "fraudulent", None).expect("one");
        until("refund and dispute are booked", SOON, async || {
            (history.credited().await == Some(2_700)).then_some(())
        })
        .await;
        Older { card, refund: text(&refund, "id"), dispute: text(&dispute, "id") }
    }

    /// What the dump misses: new payments in every way, and what becomes of old ones.
    async fn go_on(&self, history: &History) {
        let stripe = &history.stripe;
        stripe.fail_refund(&self.refund).expect("it fails");
        stripe.close_dispute(&self.dispute, true).expect("it is won");
        let refunded = history.pay(&self.card, "53.00").await;
        let disputed = text(&history.pay(&self.card, "64.00").await, "payment_intent");
        let body = json!({"amount": "75.00", "payment_method": "new", "save": true});
        let begun = history.send(&history.own, Method::POST, "/refills", &body).await;
        history.pay_in_the_browser(&begun.expect("a refill")).await;
        // Nobody pays this one.
        let body = json!({"amount": "86.00", "payment_method": "new"});
        history.send(&history.own, Method::POST, "/refills", &body).await.expect("a refill");
        let path = format!("/refills/{}/refunds", text(&refunded, "id"));
        let body = json!({"amount": "6.00", "allow_negative": true});
        let refund = history.send(&history.admin, Method::POST, &path, &body).await;
        assert_eq!(refund.expect("an answer")["status"], "completed");
        stripe.refund(&text(&refunded, "payment_intent"), Some(300)).expect("a refund");
        stripe.open_dispute(&disputed, "fraudulent", None).expect("a dispute");
    }
}

async fn balance(history: &History) -> String {
    let wallet = history.send(&history.own, Method::GET, "/wallet", &Value::Null).await;
    text(&wallet.expect("an answer"), "balance")
}

async fn auto_refills(history: &History) -> Vec<Value> {
    let path = "/refills?trigger=auto";
    let listed = history.send(&history.own, Method::GET, path, &Value::Null).await;
    listed.and_then(|it| it["items"].as_array().cloned()).expect("a list")
}

/// Asks for a refill, always with the same Idempotency-Key.
async fn ask_once(history: &History, body: &Value) -> Value {
    let path = format!("/v1/accounts/{}/refills", history.id);
    let headers = [("idempotency-key", "order-17")];
    let body = Some(body.to_string().into_bytes());
    let answer = history.own.send(Method::POST, &path, &headers, body).await;
    answer.expect("an answer").expect(201)
}

/// An account whose next call takes its balance below the threshold.
async fn nearly_refilled(history: &History) {
    history.save(Card::default()).await.expect("a card");
    let body = json!({"type": "credit", "amount": "20.50", "description": "A start"});
    history.send(&history.admin, Method::POST, "/adjustments", &body).await.expect("it");
    let body = json!({"enabled": true, "threshold": "20.00", "amount": "50.00"});
    let set = history.send(&history.own, Method::PUT, "/auto-refill", &body).await;
    assert_eq!(set.expect("an answer")["state"], "ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_taken_under_load_is_restored_and_recovered_until_ledger_and_stripe_agree() {
    let mut world = World::start().await;
    let mut histories = Vec::new();
    for (id, seed) in ACCOUNTS.into_iter().zip(71..) {
        histories.push(world.open(id, seed).await);
    }
    let auto = world.open(AUTO, 70).await;
    nearly_refilled(&auto).await;
    let older: Vec<Older> = futures::future::join_all(histories.iter().map(Older::begin)).await;
    let calls = Calls::default();
    let backup_at = now() - MINUTE - BEHIND.num_seconds() * 1_000_000;

    // The dump is taken while customers pay and calls are charged.
    let dumped = async {
        let acts = futures::future::join_all(histories.iter_mut().map(|history| history.run(8)));
        let (_, dump) = tokio::join!(acts, world.system.dump());
        calls.is_over.store(true, Ordering::Release);
        dump
    };
    let ((), dump) = tokio::join!(calls.run(&world), dumped);
    let going = histories.iter().zip(&older).map(|(history, older)| older.go_on(history));
    futures::future::join_all(going).await;
    let made = calls.made.load(Ordering::Acquire);
    calls.make(&world, made, AUTO).await;
    until("an automatic refill", SOON, async || {
        let refills = auto_refills(&auto).await;
        (refills.first()?["status"] == "completed").then_some(())
    })
    .await;
    let late = world.open("late", 75).await;
    let card = late.save(Card::default()).await.expect("a card");
    let lost = text(&late.pay(&card, "97.00").await, "payment_intent");

    // This customer never reads the answer, and asks again later.
    let request = json!({"amount": "11.00", "payment_method": older[2].card});
    let asked = ask_once(&histories[2], &request).await;
    assert_eq!(asked["status"], "completed", "{asked}");

    // The process dies, and the dump is all that is left of the ledger.
    world.system.services[0].kill();
    world.system.bring_back(&dump).await;
    let lacking = world.lacking().await;
    assert!(lacking.len() >= 3 * ACCOUNTS.len() + 2, "the dump lacks only {lacking:?}");
    let captured = world.captured();
    world.system.restart(0, ROLES);
    world.system.ready(0).await;

    // Calls are charged again by themselves; nothing is asked of a card.
    let body = json!({"amount": "20.00", "payment_method": older[0].card});
    until("refills that wait", SOON, async || {
        let path = "/v1/accounts/h0/refills";
        let answer = histories[0].own.post(path, &body).await;
        (answer.status == 503 && answer.problem(503) == "recovery_needed").then_some(())
    })
    .await;
    let charged = async || {
        let mut charged = BTreeMap::new();
        for id in ACCOUNTS.into_iter().chain([AUTO]) {
            charged.insert(id, world.admin.charges(id).await.ok()?.len());
        }
        Some(charged)
    };
    let mut expected: BTreeMap<&str, usize> = BTreeMap::from([(AUTO, 1)]);
    for number in 0..made {
        *expected.entry(ACCOUNTS[number % ACCOUNTS.len()]).or_default() += 1;
    }
    until("every call is charged once", SOON, async || {
        (charged().await? == expected).then_some(())
    })
    .await;
    assert_eq!(balance(&auto).await, "19.300000");
    assert_eq!(auto_refills(&auto).await, Vec::<Value>::new(), "it waits");
    assert_eq!(world.captured(), captured, "no card was charged");

    let since = rfc3339(backup_at);
    let recovered = world.recover(&since);
    let unmatched = json!([{"payment_intent": lost, "reason": "account"}]);
    assert_eq!(recovered["unmatched"], unmatched, "{recovered}");
    assert!(recovered["credited"].as_u64() >= Some(3 * 3 + 1), "{recovered}");
    // The account is made again by hand, behind another one, and its payment is brought back.
    let other = world.open("other", 76).await;
    other.save(Card::default()).await.expect("a card of its own");
    let late = world.open("late", 75).await;
    let again = world.recover(&since);
    assert_eq!((&again["credited"], &again["unmatched"]), (&json!(1), &json!([])), "{again}");
    assert_eq!(balance(&late).await, "97.000000");
    let open = world.admin.get("/v1/unmatched-payments").await.expect(200);
    assert_eq!(open["items"], json!([]), "it is not credited twice: {open}");

    // The ledger has what Stripe kept, account by account.
    histories.extend([auto, late, other]);
    settle(&histories, "after the recovery").await;
    let of_auto = &histories[ACCOUNTS.len()];
    assert_eq!(auto_refills(of_auto).await.len(), 1, "it was not refilled once more");
    assert_eq!(balance(of_auto).await, "69.300000");
    assert_eq!(charged().await, Some(expected));
    world.system.verify();
    let [from, to] = days();
    let arguments = ["reconcile", "stripe", "--from", &from, "--to", &to, "--json"];
    // An hour later nothing is under way any more.
    let later = [
        ("CALLMETER__CLOCK__OFFSET_SECONDS", "3600"),
        ("CALLMETER__TWILIO__API_BASE", "http://127.0.0.1:9"),
    ];
    let (code, printed) = world.run(&arguments, &later);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("\"under_way\":0"), "{printed}");

    let captured = world.captured();
    let again = ask_once(&histories[2], &request).await;
    assert_eq!(again["id"], asked["id"], "the same request is the same refill");
    assert_eq!(world.captured(), captured);
    let before = histories[1].credited().await.expect("an answer");
    histories[1].pay(&older[1].card, "33.00").await;
    assert_eq!(histories[1].credited().await, Some(before + 3_300));
}
