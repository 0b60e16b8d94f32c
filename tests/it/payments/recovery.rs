//! A ledger that lacks what Stripe has: acts on money wait until it is brought back.

use super::{World, text};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card, Fault, FaultRule};
use serde_json::{Value, json};

impl World {
    /// A payment at Stripe with this ledger's metadata, as one whose rows a restored backup lacks.
    async fn lost_payment(&self, account: &str, cents: u32) -> String {
        let made = self.lost_intent(account, cents).await;
        assert_eq!(made["status"], "succeeded", "{made}");
        text(&made, "id")
    }

    /// The same, whatever the bank answered.
    async fn lost_intent(&self, account: &str, cents: u32) -> Value {
        let mut sql = self.system.sql().await;
        let ledger = "SELECT ledger_id::text FROM ledger_identity";
        let ledger: String = sqlx::query_scalar(ledger).fetch_one(&mut sql).await.expect("a row");
        let customers = self.stripe.local.objects("customer");
        let customer = customers[0]["id"].as_str().expect("an id").to_owned();
        let card = self.stripe.local.objects("payment_method")[0]["id"].clone();
        let refill = format!("rf_{:032x}", u128::from(cents));
        let (cents, card) = (cents.to_string(), card.as_str().expect("an id").to_owned());
        let form = [
            ("amount", cents.as_str()),
            ("currency", "usd"),
            ("customer", &customer),
            ("payment_method", &card),
            ("payment_method_types[]", "card"),
            ("confirm", "true"),
            ("metadata[callmeter_ledger]", &ledger),
            ("metadata[callmeter_account]", account),
            ("metadata[callmeter_refill]", &refill),
            ("metadata[callmeter_attempt]", "1"),
            ("metadata[callmeter_trigger]", "auto"),
        ];
        let url = format!("{}/v1/payment_intents", self.stripe.url);
        let made =
            reqwest::Client::new().post(url).basic_auth(&self.stripe.keys.secret, None::<&str>);
        let form = form.map(|(name, value)| format!("{name}={value}")).join("&");
        let made = made.header("content-type", "application/x-www-form-urlencoded").body(form);
        let made = made.send().await.expect("an answer");
        made.json().await.expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_the_ledger_lacks_stops_refills_until_it_is_brought_back() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    world.save(Card::default()).await;
    world.refill(&json!({"amount": "50.00"})).await.expect(201);
    let lost = world.lost_payment("acme", 3_300).await;
    let foreign = world.lost_payment("nobody", 4_400).await;
    // A new process asks Stripe before its first act on money.
    world.system.services[0].kill();
    world.system.restart(0, "api,jobs");
    world.system.ready(0).await;
    let first = world.refill(&json!({"amount": "20.00"})).await.expect(201);
    assert_eq!(first["status"], "pending", "{first}");
    assert_eq!(world.refill(&json!({"amount": "21.00"})).await.problem(503), "recovery_needed");
    let status = world.system.run(&["status"]);
    assert!(status.stdout.contains("callmeter recover"), "{}", status.stdout);
    let settings = world.stripe.settings();
    let mut command = world.system.command(&["recover", "--since", "2020-01-01", "--json"]);
    command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let ran = command.output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let recovered: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(recovered["credited"], 1, "{recovered}");
    assert_eq!(recovered["unmatched"], json!([{"payment_intent": foreign, "reason": "account"}]));
    // What waited goes on, and the lost payment is credited once.
    world.until(&first, "completed").await;
    assert_eq!(world.balance().await, "103.000000");
    let found = world.admin.get(&format!("/v1/refills?payment_intent={lost}")).await.expect(200);
    assert_eq!(found["items"][0]["status"], "completed", "{found}");
    assert_eq!(found["items"][0]["trigger"], "auto", "{found}");
    // Once more: nothing is missing, and nothing is credited again.
    let mut command = world.system.command(&["recover", "--since", "2020-01-01", "--json"]);
    command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let again: Value =
        serde_json::from_slice(&command.output().expect("it runs").stdout).expect("JSON");
    assert_eq!(again["credited"], 0, "{again}");
    assert_eq!(world.balance().await, "103.000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_makes_refills_wait_after_any_restore() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card::default()).await;
    let settings = world.stripe.settings();
    for (arguments, code) in
        [(vec!["recover", "--require"], 503), (vec!["recover", "--since", "2020-01-01"], 201)]
    {
        let mut command = world.system.command(&arguments);
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        assert!(command.output().expect("it runs").status.success(), "{arguments:?}");
        let answer = world.refill(&json!({"amount": "50.00"})).await;
        assert_eq!(answer.status, code, "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_fits_no_refill_is_settled_once_by_an_administrator() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card::default()).await;
    let credited = world.lost_payment("nobody", 4_400).await;
    let refunded = world.lost_payment("nobody", 5_500).await;
    let settings = world.stripe.settings();
    let run = |arguments: &[&str]| {
        let mut command = world.system.command(arguments);
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        command.output().expect("it runs").status.code()
    };
    assert_eq!(run(&["recover", "--since", "2020-01-01"]), Some(0));
    assert_eq!(world.balance().await, "0.000000");
    let reason = ["--reason", "the customer wrote to us"];
    let resolve =
        |intent: &str, how: &str| run(&["refill", "resolve", intent, how, reason[0], reason[1]]);
    assert_eq!(resolve(&credited, "--credit"), Some(0));
    assert_eq!(world.balance().await, "44.000000");
    assert_eq!(resolve(&credited, "--credit"), Some(1), "only once");
    assert_eq!(resolve(&credited, "--refund"), Some(1), "only once");
    assert_eq!(resolve("pi_unknown", "--credit"), Some(1));
    // Over HTTP, too.
    let listed = world.admin.get("/v1/unmatched-payments").await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["items"][0]["payment_intent"], refunded, "{listed}");
    let found = world.admin.get(&format!("/v1/refills?payment_intent={refunded}")).await;
    assert_eq!(found.expect(200)["unmatched"]["reason"], "unknown_refill");
    let path = format!("/v1/unmatched-payments/{refunded}/resolve");
    let body = |how: &str| json!({"resolution": how, "reason": "the customer wrote to us"});
    assert_eq!(world.own.post(&path, &body("refund")).await.problem(403), "forbidden");
    for wrong in [json!({}), json!({"resolution": "keep", "reason": "x"}), json!([])] {
        assert_eq!(world.admin.post(&path, &wrong).await.problem(400), "invalid_request");
    }
    for _ in 0..2 {
        let settled = world.admin.post(&path, &body("refund")).await.expect(200);
        assert_eq!(settled["resolution"], "refund", "{settled}");
    }
    assert_eq!(world.admin.post(&path, &body("credit")).await.problem(409), "payment_resolved");
    let unknown = world.admin.post("/v1/unmatched-payments/pi_x/resolve", &body("refund")).await;
    assert_eq!(unknown.problem(404), "unknown_payment");
    assert_eq!(world.balance().await, "44.000000");
    let at_stripe: i64 = world.stripe.local.totals().values().map(|it| it.refunded).sum();
    assert_eq!(at_stripe, 5_500);
    let audit = world.admin.get("/v1/audit").await.expect(200);
    assert!(audit.to_string().contains("the customer wrote to us"), "{audit}");
    let status = world.system.run(&["status"]);
    assert!(!status.stdout.contains("fit none"), "{}", status.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_question_for_lost_payments_is_asked_again_before_anything_is_charged() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    world.save(Card::default()).await;
    world.lost_payment("acme", 3_300).await;
    let incarnation = "SELECT incarnation FROM ledger_identity";
    let mut sql = world.system.sql().await;
    let first_incarnation: i64 =
        sqlx::query_scalar(incarnation).fetch_one(&mut sql).await.expect("it");
    world.system.services[0].kill();
    let request = "GET /v1/payment_intents".to_owned();
    let fault = Fault::ServerErrorBeforeEffect;
    world.stripe.local.fault(FaultRule { fault, request, skip: 0, times: 0 });
    world.system.restart(0, "api,jobs");
    world.system.ready(0).await;
    let first = world.refill(&json!({"amount": "20.00"})).await.expect(201);
    assert_eq!(first["status"], "pending", "{first}");
    world.stripe.local.clear_faults();
    until("refills that wait", SOON, async || {
        let refused = world.refill(&json!({"amount": "21.00"})).await;
        (refused.status == 503).then_some(())
    })
    .await;
    // The job asks again each second: Redis is rebuilt once all the same.
    let asked = || world.stripe.local.requests().len();
    let before = asked();
    until("three more questions", SOON, async || (asked() >= before + 3).then_some(())).await;
    let last: i64 = sqlx::query_scalar(incarnation).fetch_one(&mut sql).await.expect("it");
    assert_eq!(last, first_incarnation + 1);
    let captured: i64 = world.stripe.local.totals().values().map(|it| it.captured).sum();
    assert_eq!(captured, 3_300, "nothing but the lost payment");
}

/// Runs `callmeter recover` over all of Stripe's payments.
fn recover(world: &World) -> Value {
    let mut command = world.system.command(&["recover", "--since", "2020-01-01", "--json"]);
    command.envs(world.stripe.settings());
    let ran = command.output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

async fn until_kept(world: &World, payment: &str) {
    until("a payment that fits no refill", SOON, async || {
        let listed = world.admin.get("/v1/unmatched-payments").await.expect(200);
        listed.to_string().contains(payment).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_payment_that_a_web_hook_tells_first_still_needs_a_recovery_and_is_credited_once() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(Card::default()).await;
    world.refill(&json!({"amount": "50.00"})).await.expect(201);
    let lost = world.lost_payment("acme", 3_300).await;
    let by_hand = world.lost_payment("acme", 2_200).await;
    until_kept(&world, &lost).await;
    until_kept(&world, &by_hand).await;
    let path = format!("/v1/unmatched-payments/{by_hand}/resolve");
    let body = json!({"resolution": "credit", "reason": "the customer wrote to us"});
    world.admin.post(&path, &body).await.expect(200);
    assert_eq!(world.balance().await, "72.000000");
    world.system.services[0].kill();
    world.system.restart(0, "api,jobs");
    world.system.ready(0).await;
    world.refill(&json!({"amount": "20.00"})).await;
    until("refills that wait", SOON, async || {
        let refused = world.refill(&json!({"amount": "21.00"})).await;
        (refused.status == 503).then_some(())
    })
    .await;
    let recovered = recover(&world);
    assert_eq!(recovered["credited"], 1, "what was credited by hand is not credited: {recovered}");
    assert_eq!(recovered["unmatched"], json!([]), "{recovered}");
    until("what waited goes on", SOON, async || {
        (world.balance().await == "125.000000").then_some(())
    })
    .await;
    // The payment fits a refill now: nobody can settle it once more.
    let open = world.admin.get("/v1/unmatched-payments").await.expect(200);
    assert_eq!(open["items"], json!([]));
    let path = format!("/v1/unmatched-payments/{lost}/resolve");
    world.admin.post(&path, &body).await.expect(200);
    let body = json!({"resolution": "refund", "reason": "the customer wrote to us"});
    assert_eq!(world.admin.post(&path, &body).await.problem(409), "payment_resolved");
    assert_eq!(recover(&world)["credited"], 0);
    assert_eq!(world.balance().await, "125.000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_names_one_account_and_anothers_customer_stops_no_recovery() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card::default()).await;
    world.system.open(&world.admin, [&account("globex", 0)]).await;
    let foreign = world.lost_payment("globex", 4_400).await;
    world.lost_payment("acme", 3_300).await;
    let recovered = recover(&world);
    assert_eq!(recovered["credited"], 1, "{recovered}");
    assert_eq!(recovered["unmatched"], json!([{"payment_intent": foreign, "reason": "customer"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_payment_that_the_bank_works_on_is_told_and_brought_back_once_it_is_paid() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let card = world.save(Card { is_slow: true, ..Card::default() }).await;
    let slow = world.lost_intent("acme", 3_300).await;
    assert_eq!(slow["status"], "processing", "{slow}");
    world.stripe.local.set_card(&card, |card| card.is_slow = false).expect("a card");
    world.lost_payment("acme", 2_200).await;
    let recovered = recover(&world);
    let unmatched = json!([{"payment_intent": slow["id"], "reason": "processing"}]);
    assert_eq!(recovered["unmatched"], unmatched, "{recovered}");
    assert_eq!(world.balance().await, "22.000000");
    let open = world.admin.get("/v1/unmatched-payments").await.expect(200);
    assert_eq!(open["items"], json!([]), "nothing was paid yet: {open}");
    world.stripe.local.finish_payment(&text(&slow, "id"), None).expect("it is paid");
    assert_eq!(recover(&world)["credited"], 1);
    assert_eq!(world.balance().await, "55.000000");
}
