//! What receivers get: each event at least once, signed, whatever other receivers do.

use super::receivers::{Behaviour, Receiver, accepted};
use super::{World, text, until_hooks};
use crate::harness::poll::{SOON, until};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The events of the burst.
const BURST: usize = 1_000;
/// Accounts of the burst.
const ACCOUNTS: usize = 100;

impl World {
    /// Writes crossings of many accounts in one transaction, as charging does; returns their ids.
    async fn burst(&self) -> BTreeSet<String> {
        let mut sql = self.system.sql().await;
        let accounts = "INSERT INTO accounts (id, name, status, created_at)
             SELECT 'burst-' || n, 'Burst', 'open', now() FROM generate_series(1, $1) AS n";
        let made = sqlx::query(accounts).bind(i32::try_from(ACCOUNTS).expect("few"));
        made.execute(&mut sql).await.expect("accounts");
        let wallets = "INSERT INTO wallets (account_key, last_at)
             SELECT account_key, now() FROM accounts WHERE id LIKE 'burst-%'";
        sqlx::query(wallets).execute(&mut sql).await.expect("wallets");
        let events = "INSERT INTO outbox (account_key, type, at, data)
             SELECT account_key, 'alert.empty', now(), jsonb_build_object('threshold', '0.000000')
             FROM accounts, generate_series(1, $1) WHERE id LIKE 'burst-%'
             RETURNING event::text";
        let each = i32::try_from(BURST / ACCOUNTS).expect("few");
        let events = sqlx::query_scalar(events).bind(each).fetch_all(&mut sql);
        events.await.expect("events").into_iter().collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_receiver_gets_every_event_within_seconds_whatever_the_others_do() {
    let world = World::start("api,jobs", "1,1").await;
    let watched = Receiver::start(2, 1, Behaviour::Answers(200)).await;
    let mut good = Vec::new();
    for host in [1, 2, 3] {
        good.push(Receiver::start(1, host, Behaviour::Answers(204)).await);
    }
    let endless = Receiver::start(1, 4, Behaviour::Endless).await;
    let slow = Receiver::start(1, 5, Behaviour::Waits).await;
    let broken = Receiver::start(1, 6, Behaviour::Answers(500)).await;
    let gone = Receiver::start(1, 7, Behaviour::Answers(410)).await;
    let redirecting = Receiver::start(1, 8, Behaviour::Redirects(watched.url())).await;
    let mut ids = BTreeMap::new();
    let all = good.iter().chain([&endless, &slow, &broken, &gone, &redirecting]);
    for receiver in all.clone() {
        let url = receiver.url();
        let created = world.admin.post("/v1/webhook-endpoints", &json!({"url": url})).await;
        let created = created.expect(201);
        ids.insert(url, (text(&created, "id"), text(&created, "secret")));
    }
    let down = json!({"url": "http://127.0.1.9:9/hooks"});
    let down = world.admin.post("/v1/webhook-endpoints", &down).await.expect(201);
    let events = world.burst().await;
    let begun = std::time::Instant::now();
    until("the good receivers have every event", SOON, async || {
        let have = |receiver: &Receiver| receiver.hooks().len() >= BURST;
        (good.iter().all(have)).then_some(())
    })
    .await;
    let took = begun.elapsed();
    for receiver in &good {
        assert_eq!(receiver.ids(), events, "each event is there");
        let (_, secret) = &ids[&receiver.url()];
        let hooks = receiver.hooks();
        let signed: Vec<_> = hooks.iter().map(|hook| (hook, secret.as_str())).collect();
        assert!(accepted(&signed).into_iter().all(|valid| valid), "each signature is accepted");
    }
    eprintln!("{BURST} events to 3 good receivers among 6 bad ones: {took:?}");
    until("the endless receiver has every event", SOON, async || {
        (endless.ids().len() >= BURST).then_some(())
    })
    .await;
    // Given up, each for its reason; nothing waits for them any more.
    let reasons = [(&broken, "failed"), (&gone, "gone"), (&redirecting, "failed")];
    for (receiver, reason) in reasons {
        let (id, _) = &ids[&receiver.url()];
        let shown = until("it is disabled", SOON, async || {
            let path = format!("/v1/webhook-endpoints/{id}");
            let shown = world.admin.get(&path).await.expect(200);
            (shown["status"] == "disabled").then_some(shown)
        })
        .await;
        assert_eq!(shown["disabled_reason"], reason, "{shown}");
    }
    let path = format!("/v1/webhook-endpoints/{}", text(&down, "id"));
    until("the receiver that is down is disabled", SOON, async || {
        (world.admin.get(&path).await.expect(200)["disabled_reason"] == "failed").then_some(())
    })
    .await;
    assert_eq!(watched.connections(), 0, "no redirect was followed");
    assert!(slow.hooks().len() <= 20, "a slow receiver has few posts at a time");
    let failed = world.admin.metric("callmeter_webhook_deliveries_total", &[("outcome", "failed")]);
    assert!(failed.await > Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_signed_retried_logged_and_replayed_under_one_id() {
    let world = World::start("api,jobs", "1,600").await;
    let receiver = Receiver::start(1, 1, Behaviour::Answers(503)).await;
    let (id, secret) = world.endpoint(&receiver.url()).await;
    let row = world.event().await;
    until_hooks(&receiver, 2).await;
    receiver.behave(Behaviour::Answers(200));
    let hooks = receiver.hooks();
    assert_eq!(hooks[0].header("webhook-id"), hooks[1].header("webhook-id"));
    assert_eq!(hooks[0].body, hooks[1].body);
    let told = hooks[0].json();
    assert_eq!(told["type"], "callmeter.transaction.created", "{told}");
    assert_eq!((&told["data"]["id"], &told["data"]["account"]), (&json!(row), &json!("acme")));
    assert!(told["timestamp"].is_string(), "{told}");
    assert_eq!(told.as_object().map(serde_json::Map::len), Some(3), "{told}");
    let first = until("the second attempt is noted", SOON, async || {
        let delivery = world.deliveries(&id).await.remove(0);
        (delivery["attempts"] == 2).then_some(delivery)
    })
    .await;
    assert_eq!((&first["status"], &first["answer_status"]), (&json!("pending"), &json!(503)));
    assert_eq!((&first["answer"], &first["error"]), (&json!("seen"), &json!("answered 503")));
    assert!(first["next_attempt_at"].is_string() && first["delivered_at"].is_null(), "{first}");
    assert!(world.shown(&id).await["failing_since"].is_string());
    // Asked for by hand, it does not wait for its time.
    let path = format!("/v1/webhook-endpoints/{id}/deliveries/{}/replay", text(&first, "id"));
    let replayed = world.command(&path).await.expect(202);
    assert_eq!((&replayed["id"], &replayed["attempts"]), (&first["id"], &json!(0)));
    let delivered = until("it is delivered", SOON, async || {
        let delivery = world.deliveries(&id).await.remove(0);
        (delivery["status"] == "delivered").then_some(delivery)
    })
    .await;
    assert_eq!((&delivered["attempts"], &delivered["error"]), (&json!(1), &json!(null)));
    assert!(delivered["next_attempt_at"].is_null(), "{delivered}");
    assert!(world.shown(&id).await["failing_since"].is_null());
    // While a secret rotates, both sign; a secret that was never given does not.
    let rotated = world.command(&format!("/v1/webhook-endpoints/{id}/rotate")).await.expect(200);
    let tested = world.command(&format!("/v1/webhook-endpoints/{id}/test")).await.expect(202);
    until_hooks(&receiver, 4).await;
    let hooks = receiver.hooks();
    let test = hooks.last().expect("a test");
    assert_eq!(test.header("webhook-id"), text(&tested, "event"));
    assert_eq!(test.json()["type"], "callmeter.webhook_endpoint.test");
    let (new, other) = (text(&rotated, "secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let asked = [(test, secret.as_str()), (test, &new), (test, other), (&hooks[0], &new)];
    assert_eq!(accepted(&asked), [true, true, false, false]);
    for hook in &hooks[..3] {
        assert_eq!(hook.header("webhook-id"), text(&first, "event"), "the same event");
    }
    // The command line does the same.
    let listed = world.system.run(&["webhook", "list"]).expect_success().stdout;
    assert!(listed.contains(&id) && listed.contains("acme") && listed.contains("/***"), "{listed}");
    let logged =
        world.system.run(&["webhook", "deliveries", &id, "--json"]).expect_success().stdout;
    assert_eq!(logged.lines().count(), 2, "{logged}");
    let delivery = text(&first, "id");
    world.system.run(&["webhook", "replay", &id, &delivery]).expect_success();
    world.system.run(&["webhook", "test", &id]).expect_success();
    until_hooks(&receiver, 6).await;
    let printed = world.system.run(&["webhook", "rotate", &id]).expect_success().stdout;
    assert!(printed.starts_with("whsec_"), "a secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_it_posts_leaves_the_post_to_the_next_one() {
    let mut world = World::start("api,jobs", "1").await;
    let receiver = Receiver::start(1, 1, Behaviour::Waits).await;
    world.endpoint(&receiver.url()).await;
    world.event().await;
    until_hooks(&receiver, 1).await;
    world.system.services[0].kill();
    receiver.behave(Behaviour::Answers(200));
    let resolver = world.dns.address.to_string();
    let index = world.system.start("api,jobs", &World::settings(&resolver, "1"));
    world.own = world.own.at(world.system.ready(index).await.base);
    until_hooks(&receiver, 2).await;
    let hooks = receiver.hooks();
    assert_eq!(hooks[0].body, hooks[1].body);
    assert_eq!(receiver.ids().len(), 1, "the same id");
}
