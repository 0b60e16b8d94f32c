//! Endpoints over HTTP: who reaches which, what is refused, and what is stored.

use super::receivers::{Behaviour, Receiver};
use super::{World, text, until_hooks};
use crate::keys::make;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_gets_the_types_and_accounts_that_it_was_created_for() {
    let world = World::start("api,jobs", "1").await;
    let (own, wide) = (
        Receiver::start(1, 1, Behaviour::Answers(200)).await,
        Receiver::start(1, 2, Behaviour::Answers(200)).await,
    );
    let body =
        json!({"url": own.url(), "events": ["callmeter.alert.empty"], "description": "Empty"});
    let created = world.own.post("/v1/webhook-endpoints", &body).await.expect(201);
    assert_eq!((&created["account"], &created["status"]), (&json!("acme"), &json!("active")));
    assert_eq!(created["events"], json!(["callmeter.alert.empty"]));
    let body = json!({"url": wide.url()});
    world.admin.post("/v1/webhook-endpoints", &body).await.expect(201);
    world.event().await;
    let debit = json!({"type": "debit", "amount": "2.00", "description": "More than it has"});
    world.admin.post("/v1/accounts/acme/adjustments", &debit).await.expect(201);
    let credit = json!({"type": "credit", "amount": "1.00", "description": "Another's"});
    world.admin.post("/v1/accounts/globex/adjustments", &credit).await.expect(201);
    until_hooks(&own, 1).await;
    until_hooks(&wide, 4).await;
    let types = |receiver: &Receiver| {
        let mut types: Vec<_> =
            receiver.hooks().iter().map(|it| text(&it.json(), "type")).collect();
        types.sort_unstable();
        types
    };
    assert_eq!(types(&own), ["callmeter.alert.empty"]);
    let row = "callmeter.transaction.created";
    assert_eq!(types(&wide), ["callmeter.alert.empty", row, row, row]);
    // An endpoint that is gone is told to the account's other ones.
    own.behave(Behaviour::Answers(410));
    world.event().await;
    world.admin.post("/v1/accounts/acme/adjustments", &debit).await.expect(201);
    let id = text(&created, "id");
    let shown = world.until_status(&id, "disabled").await;
    assert_eq!(shown["disabled_reason"], "gone");
    until_hooks(&wide, 8).await;
    let hooks = wide.hooks();
    let told = hooks.iter().map(super::receivers::Hook::json);
    let told = told.filter(|it| it["type"] == "callmeter.webhook_endpoint.disabled");
    let told: Vec<Value> = told.collect();
    assert_eq!((told.len(), &told[0]["data"]["endpoint"]), (1, &json!(id)), "{told:?}");
    assert!(!told[0].to_string().contains("/hooks"), "the path is masked: {told:?}");
    let status = world.system.run(&["status"]).stdout;
    assert!(status.contains("1 disabled"), "{status}");
    // Disabled, it gets nothing; enabled again, it gets what comes.
    for path in [format!("{id}/test"), format!("{id}/deliveries/whd_1/replay")] {
        let answer = world.command(&format!("/v1/webhook-endpoints/{path}")).await;
        assert_eq!(answer.problem(409), "webhook_endpoint_disabled");
    }
    own.behave(Behaviour::Answers(200));
    let before = own.hooks().len();
    let enabled = world.command(&format!("/v1/webhook-endpoints/{id}/enable")).await.expect(200);
    assert_eq!((&enabled["status"], &enabled["disabled_at"]), (&json!("active"), &json!(null)));
    world.command(&format!("/v1/webhook-endpoints/{id}/test")).await.expect(202);
    until_hooks(&own, before + 1).await;
    let delete = format!("/v1/webhook-endpoints/{id}");
    let deleted = world.own.send(Method::DELETE, &delete, &[], None).await.expect("an answer");
    assert_eq!(deleted.status, 204);
    assert_eq!(world.own.get(&delete).await.problem(404), "unknown_webhook_endpoint");
    let listed = world.own.get("/v1/webhook-endpoints").await.expect(200);
    assert_eq!(listed["items"], json!([]));
    let audited = world.admin.get("/v1/audit?limit=1000").await.text;
    for action in ["created", "disabled", "enabled", "deleted"] {
        assert!(audited.contains(&format!("webhook_endpoint_{action}")), "{action}: {audited}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_and_no_secret_is_stored_in_the_clear() {
    let world = World::start("api", "1").await;
    let create = async |body: &Value| world.own.post("/v1/webhook-endpoints", body).await;
    let cases = [
        (json!({}), "url"),
        (json!({"url": "ftp://127.0.1.1/"}), "url"),
        (json!({"url": "https://a.example/#part"}), "url"),
        (json!({"url": 1}), "url"),
        (json!({"url": "http://127.0.1.1/", "events": []}), "events"),
        (json!({"url": "http://127.0.1.1/", "events": ["alert.empty"]}), "events"),
        (json!({"url": "http://127.0.1.1/", "events": ["callmeter.nothing"]}), "events"),
        (json!({"url": "http://127.0.1.1/", "secret": "whsec_x"}), "secret"),
    ];
    for (body, field) in cases {
        let problem = create(&body).await.expect(400);
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }
    // A repeated request gets the same secret; the ledger has neither it nor the answer.
    let key = [("idempotency-key", "hook-1")];
    let body = json!({"url": "http://127.0.1.1/a-secret-path"}).to_string().into_bytes();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let path = "/v1/webhook-endpoints";
        let sent = world.own.send(Method::POST, path, &key, Some(body.clone())).await;
        answers.push(sent.expect("an answer"));
    }
    assert_eq!((answers[0].text.as_str(), answers[1].replayed), (answers[1].text.as_str(), true));
    let created = answers[0].expect(201);
    let (id, secret) = (text(&created, "id"), text(&created, "secret"));
    let mut sql = world.system.sql().await;
    for table in ["webhook_endpoints", "audit", "idempotency_keys"] {
        let dump: Vec<String> = sqlx::query_scalar(&format!("SELECT t::text FROM {table} AS t"))
            .fetch_all(&mut sql)
            .await
            .expect("rows");
        assert!(dump.iter().all(|row| !row.contains(&secret[6..])), "{table}: {dump:?}");
        let is_told = dump.iter().any(|row| row.contains("a-secret-path"));
        assert_eq!(is_told, table == "webhook_endpoints", "{table}: {dump:?}");
    }
    let shown = world.shown(&id).await;
    assert!(shown.get("secret").is_none(), "{shown}");
    // Another account's key sees nothing of it, and creates none for this one.
    let (_, key) = make(&world.admin, "account", Some("globex")).await;
    let other = world.admin.with_key(Some(&key));
    for path in [format!("/{id}"), format!("/{id}/deliveries")] {
        let answer = other.get(&format!("/v1/webhook-endpoints{path}")).await;
        assert_eq!(answer.problem(404), "unknown_webhook_endpoint");
    }
    for action in ["rotate", "test", "enable", "deliveries/whd_1/replay"] {
        let path = format!("/v1/webhook-endpoints/{id}/{action}");
        let answer = other.send(Method::POST, &path, &[], None).await.expect("an answer");
        assert_eq!(answer.problem(404), "unknown_webhook_endpoint", "{action}");
    }
    let foreign = json!({"url": "http://127.0.1.1/", "account": "acme"});
    assert_eq!(other.post("/v1/webhook-endpoints", &foreign).await.problem(404), "unknown_account");
    let nobody = json!({"url": "http://127.0.1.1/", "account": "nobody"});
    let answer = world.admin.post("/v1/webhook-endpoints", &nobody).await;
    assert_eq!(answer.problem(404), "unknown_account");
    // As many as there may be.
    for number in 2..=20 {
        create(&json!({"url": format!("http://127.0.1.1/{number}")})).await.expect(201);
    }
    let one_more = create(&json!({"url": "http://127.0.1.1/21"})).await;
    assert_eq!(one_more.problem(422), "too_many_webhook_endpoints");
    let narrowed = world.admin.get("/v1/webhook-endpoints?account=globex").await.expect(200);
    assert_eq!(narrowed["items"], json!([]));
    assert_eq!(world.own.items("/v1/webhook-endpoints", 7).await.expect("pages").len(), 20);
}
