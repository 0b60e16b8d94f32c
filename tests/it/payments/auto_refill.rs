//! Auto-refill: set by the customer, triggered by charges, stopped by caps and declines.

use super::{World, declined, text};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Authentication, Behaviour, Card, Fault, FaultRule};
use serde_json::{Value, json};

const PATH: &str = "/v1/accounts/acme/auto-refill";

impl World {
    async fn set(&self, body: &Value) -> Value {
        self.own.put(PATH, body).await.expect(200)
    }

    async fn auto_refill(&self) -> Value {
        self.own.get(PATH).await.expect(200)
    }

    /// The automatic refills once there are as many with a status.
    async fn until_refills(&self, status: &str, count: usize) -> Vec<Value> {
        let path = format!("/v1/accounts/acme/refills?trigger=auto&status={status}");
        until(&format!("{count} automatic refills that are {status}"), SOON, async || {
            let listed = self.own.get(&path).await.expect(200);
            let items = listed["items"].as_array().expect("items").clone();
            (items.len() >= count).then_some(items)
        })
        .await
    }

    async fn adjust(&self, direction: &str, amount: &str) {
        let body = json!({"type": direction, "amount": amount, "description": "A correction"});
        self.admin.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    }

    /// Waits until auto-refill has looked at the balance, whatever came of it.
    async fn looked(&self) {
        let mut sql = self.system.sql().await;
        until("a look at the balance", SOON, async || {
            let waits = "SELECT EXISTS (SELECT FROM auto_refills WHERE look_at <= now())";
            let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut sql).await.expect("a row");
            (!waits).then_some(())
        })
        .await;
    }

    async fn count(&self, trigger: &str) -> usize {
        let path = format!("/v1/accounts/acme/refills?trigger={trigger}");
        self.own.get(&path).await.expect(200)["items"].as_array().expect("items").len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_is_shown_and_wrong_settings_are_refused() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let off = world.auto_refill().await;
    assert_eq!((&off["enabled"], &off["state"]), (&json!(false), &json!("off")), "{off}");
    assert_eq!((&off["threshold"], &off["monthly_cap"]), (&json!(null), &json!(null)), "{off}");
    let body = json!({"enabled": true, "threshold": "20.00", "amount": "50.00"});
    assert_eq!(world.own.put(PATH, &body).await.problem(422), "no_payment_method");
    let card = world.save(Card::default()).await;
    let wrong = [
        (json!({"enabled": true, "amount": "50.00"}), "threshold"),
        (json!({"enabled": true, "threshold": "20.00"}), "amount"),
        (json!({"enabled": true, "threshold": "20", "amount": "50", "target": "60"}), "target"),
        (json!({"enabled": true, "threshold": "20", "amount": "9.99"}), "amount"),
        (json!({"enabled": true, "threshold": "20", "target": "20"}), "target"),
        (json!({"enabled": true, "threshold": "-1", "target": "20"}), "threshold"),
        (
            json!({"enabled": true, "threshold": "20", "amount": "50", "monthly_cap": "none"}),
            "monthly_cap",
        ),
        (
            json!({"enabled": true, "threshold": "20", "amount": "50", "currency": "usd"}),
            "currency",
        ),
    ];
    for (body, field) in wrong {
        let answer = world.own.put(PATH, &body).await;
        assert_eq!(answer.problem(400), "invalid_request", "{body}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{}", answer.text);
    }
    let foreign =
        json!({"enabled": true, "threshold": "20", "amount": "50", "payment_method": "pm_x"});
    assert_eq!(world.own.put(PATH, &foreign).await.problem(422), "unknown_payment_method");
    let named =
        json!({"enabled": true, "threshold": "20.00", "target": "60.00", "payment_method": card});
    let set = world.set(&named).await;
    assert_eq!((&set["target"], &set["amount"]), (&json!("60.000000"), &json!(null)), "{set}");
    assert_eq!(set["monthly_cap"], "500.000000", "the default of the settings: {set}");
    assert_eq!((&set["state"], &set["payment_method"]), (&json!("ready"), &json!(card)), "{set}");
    let seen = world.admin.get(PATH).await.expect(200);
    assert_eq!(seen["payment_method"], json!(null), "an administrator sees no card");
    let body = json!({"enabled": true, "threshold": "20", "amount": "50", "monthly_cap": "none"});
    let unlimited = world.admin.put(PATH, &body).await.expect(200);
    assert_eq!(unlimited["monthly_cap"], json!(null));
    let mut sql = world.system.sql().await;
    let consents: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT sentence, address FROM auto_refill_consents ORDER BY consent_number",
    )
    .fetch_all(&mut sql)
    .await
    .expect("they are read");
    assert_eq!(
        consents[0].0,
        "When the balance falls below $20.00, we charge visa •••• 4242 what brings the balance to \
         $60.00, at most $500.00 a month."
    );
    assert_eq!(consents[0].1.as_deref(), Some("127.0.0.1"));
    assert_eq!(consents.len(), 2);
    let off = world.set(&json!({"enabled": false})).await;
    assert_eq!((&off["enabled"], &off["state"]), (&json!(false), &json!("off")), "{off}");
    assert_eq!(off["threshold"], "20.000000", "what was set stays: {off}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_two_processes_that_cross_the_threshold_make_one_refill() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,meter,jobs", true).await;
    let settings = world.stripe.settings();
    let changed: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let second = world.system.start("meter,jobs", &changed);
    world.system.ready(second).await;
    world.save(Card::default()).await;
    world.adjust("credit", "25.00").await;
    world.set(&json!({"enabled": true, "threshold": "20.00", "amount": "50.00"})).await;
    world.looked().await;
    assert_eq!(world.count("auto").await, 0);
    // 500 calls of a minute cost 0.02 each: the balance falls from 25 to 15.
    let acme = account("acme", 0);
    let records: Vec<_> = (0..500)
        .map(|number| {
            let event = completed(&acme, &call_sid(number + 1), 60, now());
            on_calls(i32::try_from(number % 2).expect("small"), &event)
        })
        .collect();
    world.system.produce(&records).await;
    let refills = world.until_refills("completed", 1).await;
    assert_eq!(refills[0]["amount"], "50.000000");
    assert_eq!(refills[0]["trigger"], "auto");
    let api = world.admin.clone();
    world.system.settle(&api).await;
    assert_eq!(world.balance().await, "65.000000");
    assert_eq!(world.count("auto").await, 1);
    let paid: i64 = world.stripe.local.totals().values().map(|totals| totals.captured).sum();
    assert_eq!(paid, 5_000);
    let shown = world.auto_refill().await;
    assert_eq!(shown["refilled_this_month"], "50.000000", "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_of_the_month_holds_and_is_told_once() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(Card::default()).await;
    let body =
        json!({"enabled": true, "threshold": "20.00", "amount": "50.00", "monthly_cap": "100.00"});
    world.set(&body).await;
    world.until_refills("completed", 1).await;
    world.adjust("debit", "45.00").await;
    world.until_refills("completed", 2).await;
    world.adjust("debit", "45.00").await;
    until("the cap", SOON, async || (world.auto_refill().await["state"] == "capped").then_some(()))
        .await;
    world.adjust("credit", "20.00").await;
    world.adjust("debit", "20.00").await;
    world.looked().await;
    assert_eq!(world.count("auto").await, 2);
    let topic = world.system.events_topic();
    until("the event", SOON, async || {
        let published = world.system.kafka.records(&topic);
        let mut told = published.iter().map(|(_, value)| String::from_utf8_lossy(value));
        told.any(|event| event.contains("callmeter.auto_refill.capped")).then_some(())
    })
    .await;
    let mut sql = world.system.sql().await;
    let told = "SELECT count(*) FROM outbox WHERE type = 'auto_refill.capped'";
    let told: i64 = sqlx::query_scalar(told).fetch_one(&mut sql).await.expect("a row");
    assert_eq!(told, 1);
    let state = world.auto_refill().await;
    assert_eq!(state["refilled_this_month"], "100.000000");
    assert!(text(&state, "until").ends_with("-01T00:00:00Z"), "{state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soft_declines_back_off_and_hard_ones_switch_off() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    let poor = world.save(declined("insufficient_funds")).await;
    let body =
        json!({"enabled": true, "threshold": "20.00", "amount": "50.00", "payment_method": poor});
    world.set(&body).await;
    world.until_refills("failed", 1).await;
    let state = until("the back-off", SOON, async || {
        let state = world.auto_refill().await;
        (state["state"] == "backing_off").then_some(state)
    })
    .await;
    assert_eq!(state["enabled"], true);
    world.looked().await;
    assert_eq!(world.count("auto").await, 1);
    for (code, reason) in [("expired_card", "expired_card"), ("stolen_card", "card_refused")] {
        let card = world.save(declined(code)).await;
        let body = json!({"enabled": true, "threshold": "20.00", "amount": "50.00", "payment_method": card});
        world.set(&body).await;
        let state = until(&format!("off after {code}"), SOON, async || {
            let state = world.auto_refill().await;
            (state["enabled"] == false).then_some(state)
        })
        .await;
        assert_eq!(state["reason"], reason, "{state}");
    }
    // Removing the card that it names switches it off.
    let card = world.save(Card::default()).await;
    world.adjust("credit", "100.00").await;
    let body =
        json!({"enabled": true, "threshold": "20.00", "amount": "50.00", "payment_method": card});
    world.set(&body).await;
    let path = format!("/v1/accounts/acme/payment-methods/{card}");
    let removed = world.own.send(reqwest::Method::DELETE, &path, &[], None).await;
    assert_eq!(removed.expect("an answer").status, 204);
    let state = world.auto_refill().await;
    assert_eq!((&state["enabled"], &state["reason"]), (&json!(false), &json!("card_removed")));
    world.assert_paid_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_wants_a_confirmation_waits_for_the_customer() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    let card = Card { authentication: Authentication::Always, ..Card::default() };
    world.save(card).await;
    world.set(&json!({"enabled": true, "threshold": "20.00", "amount": "50.00"})).await;
    let waiting = world.until_refills("requires_action", 1).await;
    assert_eq!(waiting[0]["decline"]["class"], "on_session", "{waiting:?}");
    let state = world.auto_refill().await;
    assert_eq!(state["state"], "action_needed", "{state}");
    world.looked().await;
    assert_eq!(world.count("auto").await, 1);
    // A closed account is never charged, and what waits is canceled.
    world.admin.post("/v1/accounts/acme/close", &json!({})).await.expect(200);
    world.until_refills("failed", 1).await;
    world.looked().await;
    assert_eq!(world.count("auto").await, 1);
    world.assert_paid_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_one_refill_that_ends_once() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(Card::default()).await;
    world.stripe.local.change_behaviour(|behaviour| behaviour.latency_milliseconds = 1_000);
    world.set(&json!({"enabled": true, "threshold": "20.00", "amount": "50.00"})).await;
    until("a refill in progress", SOON, async || (world.count("auto").await > 0).then_some(()))
        .await;
    world.system.services[0].kill();
    world.system.restart(0, "api,jobs");
    world.system.ready(0).await;
    world.until_refills("completed", 1).await;
    world.looked().await;
    assert_eq!(world.count("auto").await, 1);
    assert_eq!(world.balance().await, "50.000000");
    world.assert_books_agree().await;
}

impl World {
    fn assert_paid_nothing(&self) {
        let totals = self.stripe.local.totals();
        assert!(totals.values().all(|totals| totals.captured == 0), "{totals:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_offs_double_until_the_fifth_decline_switches_off() {
    const HOUR: i64 = 3_600;
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    world.save(declined("insufficient_funds")).await;
    world.set(&json!({"enabled": true, "threshold": "20.00", "amount": "50.00"})).await;
    world.until_refills("failed", 1).await;
    // One, two, four and eight hours after the decline before.
    for (declines, hours) in [(2, 1), (3, 3), (4, 7), (5, 15)] {
        // Ten minutes early, and then a minute late.
        world.go_on_at("api,jobs", hours * HOUR - 600).await;
        world.go_on_at("api,jobs", hours * HOUR + 60).await;
        world.until_refills("failed", declines).await;
    }
    let failed = world.until_refills("failed", 5).await;
    let at = |refill: &Value, name: &str| {
        chrono::DateTime::parse_from_rfc3339(&text(refill, name)).expect("a time")
    };
    // Newest first.
    let pauses =
        failed.windows(2).map(|two| at(&two[0], "created_at") - at(&two[1], "finished_at"));
    for (pause, hours) in pauses.zip([8, 4, 2, 1]) {
        assert!(pause >= chrono::TimeDelta::hours(hours), "{pause} is less than {hours} h");
    }
    let state = world.auto_refill().await;
    assert_eq!((&state["enabled"], &state["reason"]), (&json!(false), &json!("card_refused")));
    world.assert_paid_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_automatic_refill_ends_after_a_day_and_the_next_is_tried() {
    const HOUR: i64 = 3_600;
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    let card = Card { authentication: Authentication::Always, ..Card::default() };
    world.save(card).await;
    world.set(&json!({"enabled": true, "threshold": "20.00", "amount": "50.00"})).await;
    world.until_refills("requires_action", 1).await;
    world.go_on_at("api,jobs", 23 * HOUR).await;
    assert_eq!(world.auto_refill().await["state"], "action_needed");
    world.go_on_at("api,jobs", 24 * HOUR + 60).await;
    let failed = world.until_refills("failed", 1).await;
    assert_eq!(failed[0]["decline"]["code"], "not_confirmed", "{failed:?}");
    world.until_refills("requires_action", 1).await;
    assert_eq!(world.count("auto").await, 2);
    world.assert_paid_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_automatic_refill_that_waited_for_stripe_is_charged_only_if_it_is_still_needed() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(Card::default()).await;
    let away = FaultRule::always(Fault::Unavailable, "POST /v1/payment_intents");
    world.stripe.local.fault(away);
    world.set(&json!({"enabled": true, "threshold": "20.00", "amount": "50.00"})).await;
    world.until_refills("pending", 1).await;
    world.adjust("credit", "100.00").await;
    world.stripe.local.clear_faults();
    let failed = world.until_refills("failed", 1).await;
    assert_eq!(failed[0]["decline"]["code"], "not_needed", "{failed:?}");
    let captured = || -> i64 { world.stripe.local.totals().values().map(|it| it.captured).sum() };
    assert_eq!(captured(), 0, "no card was charged");
    assert_eq!(world.auto_refill().await["state"], "ready", "it is no decline");
    world.adjust("debit", "90.00").await;
    world.until_refills("completed", 1).await;
    assert_eq!(captured(), 5_000);
}
