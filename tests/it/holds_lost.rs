//! Redis emptied, stopped, evicting; Postgres stopped: promises to calls in progress are kept.

use crate::authorizations::{allowed, ask};
use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use futures::StreamExt as _;
use serde_json::json;

/// Runs a command on the Redis database of this system.
pub(crate) fn redis(system: &System, command: &str, arguments: &[&str]) {
    let client = redis::Client::open(system.redis_url()).expect("an address");
    let mut connection = client.get_connection().expect("Redis answers");
    redis::cmd(command).arg(arguments).exec(&mut connection).expect("the command runs");
}

async fn decision(api: &Api, account: &str, call_sid: &str) -> String {
    let answer = ask(api, account, call_sid, 60).await.expect(200);
    answer["reason"].as_str().unwrap_or("allow").to_owned()
}

async fn shown(api: &Api) -> [String; 2] {
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    ["held", "held_source"].map(|key| wallet[key].as_str().expect("a text").to_owned())
}

async fn fail_open(api: &Api, account: &str, cap: &str) {
    let policy = json!({"on_redis_loss": "fail_open", "redis_loss_cap": cap});
    api.patch(&format!("/v1/accounts/{account}"), &policy).await.expect(200);
}

async fn is_ready(api: &Api) {
    until("ready", SOON, async || (api.get("/readyz").await.status == 200).then_some(())).await;
}

/// Waits until nothing waits to be journaled; the grants then survive a loss.
async fn journaled(system: &System, holds: i64) {
    let mut sql = system.sql().await;
    until("the holds are journaled", SOON, async || {
        let count = sqlx::query_scalar("SELECT count(*) FROM hold_states WHERE hold IS NOT NULL");
        let count: i64 = count.fetch_one(&mut sql).await.expect("a count");
        (count >= holds).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_has_the_holds_back_before_the_next_call_is_allowed() {
    let mut system = System::new().await;
    let first = system.serve("meter,api").await;
    let second = system.serve("api").await;
    system.open(&first, &[account("acme", 100_000)]).await;
    for number in 0..5 {
        let api = if number % 2 == 0 { &first } else { &second };
        allowed(&ask(api, "acme", &call_sid(number), 60).await);
    }
    assert_eq!(decision(&first, "acme", "CA-more").await, "insufficient_funds");
    journaled(&system, 5).await;
    for round in 0..3 {
        redis(&system, "FLUSHDB", &[]);
        assert_eq!(shown(&first).await[0], "0.100000", "round {round}");
        let asked = [&first, &second].map(|api| decision(api, "acme", "CA-more"));
        let answers = futures::future::join_all(asked).await;
        assert_eq!(answers, ["insufficient_funds"; 2], "round {round}");
        assert_eq!(shown(&second).await, ["0.100000", "live"], "round {round}");
    }
    let again = allowed(&ask(&second, "acme", &call_sid(0), 600).await);
    assert_eq!(again["granted_seconds"], 60, "the same hold as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_journaled_for_its_account_also_where_a_restored_ledger_gave_its_key_away() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    system.open(&api, &[account("acme", 100_000), account("other", 100_000)]).await;
    for account in ["acme", "other"] {
        allowed(&ask(&api, account, &call_sid(1), 60).await);
    }
    journaled(&system, 2).await;
    let mut sql = system.sql().await;
    let exchange = "ALTER TABLE accounts DISABLE TRIGGER USER;
        UPDATE accounts SET id = 'third' WHERE id = 'acme';
        UPDATE accounts SET id = 'acme' WHERE id = 'other';
        UPDATE accounts SET id = 'other' WHERE id = 'third';
        ALTER TABLE accounts ENABLE TRIGGER USER;
        UPDATE ledger_identity SET incarnation = incarnation + 1";
    sqlx::raw_sql(exchange).execute(&mut sql).await.expect("the keys change hands");
    allowed(&ask(&api, "acme", &call_sid(2), 60).await);
    let owner = until("the hold is journaled", SOON, async || {
        let owner =
            "SELECT id FROM hold_changes JOIN accounts USING (account_key) WHERE call_sid = $1";
        let owner = sqlx::query_scalar(owner).bind(call_sid(2));
        owner.fetch_optional(&mut sql).await.expect("an answer")
    });
    let owner: String = owner.await;
    assert_eq!(owner, "acme");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_policy_decides_and_charging_goes_on() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let (acme, open) = (account("acme", 1_000_000), account("open", 1_000_000));
    system.open(&api, [&acme, &open]).await;
    fail_open(&api, "open", "0.05").await;
    for account in ["acme", "open"] {
        allowed(&ask(&api, account, &call_sid(1), 120).await);
    }
    journaled(&system, 2).await;
    breakable.server("redis", "stop").await;
    let refused = ask(&api, "acme", &call_sid(2), 60).await;
    assert_eq!(refused.problem(503), "holds_unavailable");
    assert_eq!(ask(&api, "open", &call_sid(2), 60).await.expect(200)["granted_seconds"], 60);
    assert_eq!(ask(&api, "open", &call_sid(3), 60).await.expect(200)["decision"], "allow");
    assert_eq!(ask(&api, "open", &call_sid(4), 60).await.status, 503, "beyond the cap");
    assert_eq!(shown(&api).await, ["0.040000", "journal"]);
    let extend = format!("/v1/authorizations/{}/extend?account=acme", call_sid(1));
    api.post(&extend, &json!({"seconds": 600})).await.problem(503);
    let body = json!({"type": "credit", "amount": "1", "description": "meanwhile"});
    api.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    // The call ends while Redis is down, and is charged.
    system.produce(&[on_calls(0, &completed(&acme, &call_sid(1), 61, now()))]).await;
    system.settle(&api).await;
    until("readyz tells of it", SOON, async || {
        let down = api.get("/readyz").await;
        (down.status == 503 && down.text.contains("redis")).then_some(())
    })
    .await;

    breakable.server("redis", "start").await;
    is_ready(&api).await;
    until("the wallet is told by Redis again", SOON, async || {
        allowed(&ask(&api, "acme", &call_sid(5), 60).await);
        (shown(&api).await == ["0.020000", "live"]).then_some(())
    })
    .await;
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "1.960000");
    allowed(&ask(&api, "open", &call_sid(5), 60).await);
    let open = api.get("/v1/accounts/open/wallet").await.expect(200);
    assert_eq!(open["held"], "0.100000", "what was granted meanwhile counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_may_evict_is_told_of() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("api").await;
    redis(&system, "CONFIG", &["SET", "maxmemory-policy", "allkeys-lru"]);
    let told = until("it is told", SOON, async || {
        let answer = api.get("/readyz").await;
        (answer.status == 503).then_some(answer.text)
    })
    .await;
    redis(&system, "CONFIG", &["SET", "maxmemory-policy", "noeviction"]);
    assert!(told.contains("allkeys-lru") && told.contains("noeviction"), "{told}");
    is_ready(&api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_accounts_that_redis_knows_go_on() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let index = system.start("meter,api", &[("CALLMETER__HOLDS__UNJOURNALED_ACCOUNT_MAX", "3")]);
    let api = system.ready(index).await;
    let accounts = [account("warm", 1_000_000), account("cold", 1_000_000)];
    system.open(&api, &accounts).await;
    allowed(&ask(&api, "warm", &call_sid(1), 60).await);
    journaled(&system, 1).await;
    breakable.server("postgres", "stop").await;
    for number in 2..5 {
        allowed(&ask(&api, "warm", &call_sid(number), 60).await);
    }
    let beyond = ask(&api, "warm", &call_sid(5), 60).await;
    assert_eq!(beyond.problem(503), "holds_unavailable", "too many are not journaled");
    let cold = ask(&api, "cold", &call_sid(1), 60).await;
    assert_eq!(cold.problem(503), "holds_unavailable");
    breakable.server("postgres", "start").await;
    is_ready(&api).await;
    journaled(&system, 4).await;
    allowed(&ask(&api, "cold", &call_sid(1), 60).await);
    allowed(&ask(&api, "warm", &call_sid(5), 60).await);
    let wallet = api.get("/v1/accounts/warm/wallet").await.expect(200);
    assert_eq!(wallet["held"], "0.100000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_process_was_killed_after_it_answered_is_held_after_a_loss() {
    let mut system = System::new().await;
    let killed = system.start("api", &[]);
    let first = system.ready(killed).await;
    let second = system.serve("meter,api").await;
    system.open(&first, &[account("acme", 60_000)]).await;
    allowed(&ask(&first, "acme", &call_sid(1), 60).await);
    system.services[killed].kill();
    journaled(&system, 1).await;
    redis(&system, "FLUSHDB", &[]);
    let rest = allowed(&ask(&second, "acme", &call_sid(2), 600).await);
    assert_eq!(rest["granted_seconds"], 120, "a minute of three is held");
    assert_eq!(shown(&second).await, ["0.060000", "live"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_that_was_granted_without_redis_is_held_when_it_is_back() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let apis = [system.serve("meter,api").await, system.serve("api").await];
    system.open(&apis[0], &[account("acme", 100_000_000)]).await;
    fail_open(&apis[0], "acme", "100").await;
    for (number, api) in apis.iter().enumerate() {
        allowed(&ask(api, "acme", &call_sid(number), 60).await);
    }
    journaled(&system, 2).await;
    breakable.server("redis", "pause").await;
    let asked = (2..152).map(|number| {
        let (api, sid) = (&apis[number % 2], call_sid(number));
        async move { ask(api, "acme", &sid, 60).await }
    });
    let answers: Vec<_> = futures::stream::iter(asked).buffer_unordered(8).collect().await;
    breakable.server("redis", "resume").await;
    for answer in &answers {
        allowed(answer);
    }
    until("all are held, though nobody asks for the account", SOON, async || {
        (shown(&apis[0]).await == ["3.040000", "live"]).then_some(())
    })
    .await;
    let extend = format!("/v1/authorizations/{}/extend?account=acme", call_sid(151));
    assert_eq!(
        apis[0].post(&extend, &json!({"seconds": 90})).await.expect(200)["granted_seconds"],
        90
    );
    system.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_tells_a_hold_that_redis_lacks() {
    let mut system = System::with(Setup { verified: false, ..Setup::default() }).await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 100_000)]).await;
    for number in 1..=2 {
        allowed(&ask(&api, "acme", &call_sid(number), 60).await);
    }
    journaled(&system, 2).await;
    system.verify();
    system.services[0].terminate();
    redis(&system, "HDEL", &["cm:{acme}:h", &call_sid(1)]);
    redis(&system, "ZREM", &["cm:{acme}:x", &call_sid(1)]);
    redis(&system, "HINCRBY", &["cm:{acme}", "holds", "-1"]);
    redis(&system, "HINCRBY", &["cm:{acme}", "held", "-20000"]);
    let told = system.run(&["verify"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stdout.contains(&call_sid(1)), "{}", told.stdout);
    // A service that starts restores it.
    let api = system.serve("api").await;
    until("it is held again", SOON, async || (shown(&api).await[0] == "0.040000").then_some(()))
        .await;
    system.verify();
}
