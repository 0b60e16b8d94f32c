//! The next authorization in every process sees a change, whatever happens to Redis.

use crate::authorizations::{allowed, ask};
use crate::harness::api::{Answer, Api};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, catalog, completed, now, on_calls};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use crate::model::catalog::{Catalog, Deck, Plan};
use crate::model::time::{MINUTE, rfc3339};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

fn reason(answer: &Answer) -> String {
    let answer = answer.expect(200);
    assert_eq!(answer["decision"], "deny", "{answer}");
    answer["reason"].as_str().expect("a reason").to_owned()
}

async fn void(api: &Api, account: &str, call_sid: &str) -> Answer {
    let path = format!("/v1/authorizations/{call_sid}?account={account}");
    api.send(Method::DELETE, &path, &[], None).await.expect("an answer")
}

async fn extend(api: &Api, account: &str, call_sid: &str, seconds: u32) -> Answer {
    let path = format!("/v1/authorizations/{call_sid}/extend?account={account}");
    api.post(&path, &json!({ "seconds": seconds })).await
}

/// The first answer that is not 503.
async fn answered(mut request: impl AsyncFnMut() -> Answer) -> Answer {
    until("the call is decided", SOON, async || {
        let answer = request().await;
        (answer.status != 503).then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_while_redis_was_silent_is_seen_by_the_first_call_after_it() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let first = system.serve("api").await;
    let second = system.serve("api").await;
    let ids = ["poor", "shut", "limited", "held"];
    let accounts = ids.map(|id| account(id, 5_000_000));
    system.open(&first, &accounts).await;
    for id in ids {
        allowed(&ask(&second, id, "CA-warm", 60).await);
    }
    breakable.server("redis", "pause").await;
    let debit = json!({"type": "debit", "amount": "5", "description": "taken back"});
    let limit = json!({"calls_in_progress_max": 1});
    let nothing = json!({});
    let requests = [
        first.post("/v1/accounts/poor/adjustments", &debit),
        first.post("/v1/accounts/held/adjustments", &debit),
        first.post("/v1/accounts/shut/close", &nothing),
    ];
    let (answers, limited) = futures::join!(
        futures::future::join_all(requests),
        first.patch("/v1/accounts/limited", &limit)
    );
    assert_eq!(answers.iter().map(|it| it.status).collect::<Vec<_>>(), [201, 201, 200]);
    limited.expect(200);
    breakable.server("redis", "resume").await;
    let (poor, shut, limited, held) = futures::join!(
        answered(async || ask(&second, "poor", "CA1", 14_400).await),
        answered(async || ask(&second, "shut", "CA1", 60).await),
        answered(async || ask(&first, "limited", "CA1", 60).await),
        answered(async || extend(&second, "held", "CA-warm", 14_400).await),
    );
    assert_eq!(reason(&poor), "insufficient_funds");
    assert_eq!(reason(&shut), "account_closed");
    assert_eq!(reason(&limited), "too_many_calls");
    assert_eq!(allowed(&held)["granted_seconds"], 60, "nothing is left to extend it");
    let mut sql = system.sql().await;
    until("nothing waits to be projected", SOON, async || {
        let rows = sqlx::query_scalar("SELECT count(*) FROM unprojected_wallets");
        let rows: i64 = rows.fetch_one(&mut sql).await.expect("a count");
        (rows == 0).then_some(())
    })
    .await;
}

/// The samples' catalog with higher prices and one more plan.
fn dearer() -> Catalog {
    let mut catalog = catalog();
    catalog.standard.per_minute = 50_000;
    catalog.plans.push(Plan {
        id: "newest",
        included_minutes: 7,
        deck: Deck { per_minute: 33_000, prefixes: vec![] },
        increments: (60, 60),
        blocks_overage: false,
        parent_legs_only: false,
    });
    catalog
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_was_accepted_is_what_every_process_authorizes_by() {
    let mut system = System::new().await;
    let first = system.serve("api").await;
    let second = system.serve("api").await;
    let accounts = ["planned", "plain"].map(|id| account(id, 5_000_000));
    system.open(&first, &accounts).await;
    for id in ["planned", "plain"] {
        let before = allowed(&ask(&second, id, "CA-warm", 60).await);
        assert_eq!(before["rate_per_minute"], "0.020000");
    }
    system.write_catalog(&dearer());
    system.services[0].signal("HUP");
    let plan = json!({"plan": "newest", "starts_at": rfc3339(now() - MINUTE)});
    until("the plan is known", SOON, async || {
        let answer = first.put("/v1/accounts/planned/subscription", &plan).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let planned = allowed(&ask(&second, "planned", "CA1", 60).await);
    assert_eq!(planned["rate_per_minute"], "0.033000");
    until("the catalog is accepted", SOON, async || {
        system.services[0].log_text().contains("version=2").then_some(())
    })
    .await;
    let dearer = allowed(&ask(&second, "plain", "CA1", 60).await);
    assert_eq!(dearer["rate_per_minute"], "0.050000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_account_cannot_be_voided_or_extended_and_leaves_nothing_in_redis() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    assert_eq!(void(&api, "acme", "CA1").await.status, 204);
    assert_eq!(void(&api, "nope", "CA1").await.problem(404), "unknown_account");
    assert_eq!(extend(&api, "nope", "CA1", 60).await.problem(404), "unknown_authorization");
    assert_eq!(ask(&api, "nope", "CA1", 60).await.problem(404), "unknown_account");
    let client = redis::Client::open(system.redis_url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("*nope*").query_async(&mut connection).await.expect("keys");
    assert_eq!(keys, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_a_warm_account_is_found_by_its_account_sid_in_every_process() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let first = system.serve("api").await;
    let second = system.serve("api").await;
    let (warm, cold) = (account("warm", 5_000_000), account("cold", 5_000_000));
    system.open(&first, [&warm, &cold]).await;
    allowed(&ask(&first, "warm", "CA1", 60).await);
    breakable.server("postgres", "stop-immediate").await;
    let by_sid = |sid: &str| {
        json!({ "twilio_account_sid": sid, "call_sid": "CA2", "from": "+15005550001",
            "to": "+12125550123", "seconds": 60 })
    };
    allowed(&second.post("/v1/authorizations", &by_sid(&warm.sid)).await);
    let asked = Instant::now();
    let unknown = second.post("/v1/authorizations", &by_sid(&cold.sid)).await;
    assert_eq!(unknown.problem(503), "holds_unavailable");
    assert_eq!(ask(&second, "cold", "CA1", 60).await.problem(503), "holds_unavailable");
    assert!(asked.elapsed() < Duration::from_secs(4), "both within {:?}", asked.elapsed());
    breakable.server("postgres", "start").await;
    until("the cold account is loaded", SOON, async || {
        (ask(&second, "cold", "CA1", 60).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_the_stream_is_extended_only_once_it_was_authorized() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 5_000_000);
    system.open(&api, [&acme]).await;
    allowed(&ask(&api, "acme", "CA-warm", 60).await);
    let sid = call_sid(1);
    let mut seen = completed(&acme, &sid, 0, now());
    seen["CallStatus"] = json!("in-progress");
    seen["To"] = json!("+8816225550000");
    seen.as_object_mut().expect("an object").remove("CallDuration");
    system.produce(&[on_calls(0, &seen)]).await;
    until("the stream's hold is there", SOON, async || {
        let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
        (wallet["held"] == "0.120000").then_some(())
    })
    .await;
    let mut blocked = json!({ "account": "acme", "call_sid": sid, "from": "+15005550001",
        "to": "+8816225550000", "seconds": 300 });
    for _ in 0..2 {
        let answer = api.post("/v1/authorizations", &blocked).await;
        assert_eq!(reason(&answer), "destination_blocked");
        assert_eq!(extend(&api, "acme", &sid, 600).await.problem(404), "unknown_authorization");
    }
    blocked["to"] = json!("+12125550123");
    allowed(&api.post("/v1/authorizations", &blocked).await);
    assert_eq!(allowed(&extend(&api, "acme", &sid, 600).await)["granted_seconds"], 600);
}
