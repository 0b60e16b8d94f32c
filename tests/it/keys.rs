//! API keys: created once, kept as digests, refused everywhere once they are revoked.

use crate::authorizations::{allowed, ask};
use crate::harness::api::{Answer, Api};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Creates a key; returns its id and its text.
pub(crate) async fn make(api: &Api, scope: &str, account: Option<&str>) -> (String, String) {
    let body = json!({"name": "A key of the tests", "scope": scope, "account": account});
    let made = api.post("/v1/keys", &body).await.expect(201);
    let text = |key: &str| made[key].as_str().expect("a text").to_owned();
    (text("id"), text("key"))
}

pub(crate) async fn revoke(api: &Api, id: &str) -> Answer {
    api.send(Method::DELETE, &format!("/v1/keys/{id}"), &[], None).await.expect("an answer")
}

#[tokio::test]
async fn a_key_is_shown_once_and_kept_as_its_digest() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let (id, key) = make(&api, "account", Some("acme")).await;
    let own = api.with_key(Some(&key));
    own.get("/v1/accounts/acme").await.expect(200);
    own.get("/v1/accounts/watchman").await.problem(404);
    own.get("/v1/keys").await.problem(403);
    let listed = api.get("/v1/keys").await;
    assert!(!listed.text.contains(&key[10..]), "the key is listed: {listed:?}");
    let shown = &listed.expect(200)["items"][0];
    assert_eq!((&shown["id"], &shown["scope"]), (&json!(id), &json!("account")));
    assert_eq!((&shown["account"], &shown["revoked_at"]), (&json!("acme"), &Value::Null));
    assert_eq!(shown["prefix"], key[..10]);
    assert!(shown["last_used_at"].is_string(), "{shown}");
    let mut sql = system.sql().await;
    for table in ["keys", "audit", "idempotency_keys"] {
        let dump: Vec<String> = sqlx::query_scalar(&format!("SELECT t::text FROM {table} AS t"))
            .fetch_all(&mut sql)
            .await
            .expect("rows");
        assert!(dump.iter().all(|row| !row.contains(&key[10..])), "{table}: {dump:?}");
    }
    let log = system.services[0].log_text();
    assert!(!log.contains(&key[10..]), "the log shows a key");
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_refused_with_the_field_at_fault() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let cases = [
        ("name", json!({"scope": "admin"})),
        ("name", json!({"name": "a\u{0}b", "scope": "admin"})),
        ("scope", json!({"name": "x"})),
        ("scope", json!({"name": "x", "scope": "root"})),
        ("account", json!({"name": "x", "scope": "account"})),
        ("account", json!({"name": "x", "scope": "account", "account": "nobody"})),
        ("account", json!({"name": "x", "scope": "admin", "account": "acme"})),
        ("colour", json!({"name": "x", "scope": "admin", "colour": "red"})),
    ];
    for (field, body) in cases {
        let answer = api.post("/v1/keys", &body).await;
        answer.problem(400);
        assert!(answer.text.contains(field), "{field} is not named: {}", answer.text);
    }
    assert_eq!(api.get("/v1/keys").await.expect(200)["items"], json!([]));
    for id in ["key_1", "key_01", "key_", "1", "key_99999999999", "%00"] {
        revoke(&api, id).await.problem(404);
    }
}

#[tokio::test]
async fn an_idempotency_key_is_one_line_of_printable_ascii_given_once() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let body = json!({"name": "x", "scope": "authorize"}).to_string().into_bytes();
    let long = "k".repeat(256);
    let name = "idempotency-key";
    let refused: [&[(&str, &str)]; 5] = [
        &[(name, "")],
        &[(name, "a\tb")],
        &[(name, "\u{fc}")],
        &[(name, &long)],
        &[(name, "a"), (name, "b")],
    ];
    for headers in refused {
        let sent = api.send(Method::POST, "/v1/keys", headers, Some(body.clone())).await;
        sent.expect("an answer").problem(400);
    }
    assert_eq!(api.get("/v1/keys").await.expect(200)["items"], json!([]));
    let longest = "k".repeat(255);
    for key in ["~", "two words", &longest] {
        let sent = api.send(Method::POST, "/v1/keys", &[(name, key)], Some(body.clone())).await;
        sent.expect("an answer").expect(201);
    }
}

#[tokio::test]
async fn a_request_for_a_key_that_is_repeated_is_answered_the_same_key_to_its_sender_only() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let (_, other) = make(&api, "admin", None).await;
    let body = json!({"name": "x", "scope": "authorize"}).to_string().into_bytes();
    let post = async |api: &Api| {
        let headers = [("idempotency-key", "once")];
        let sent = api.send(Method::POST, "/v1/keys", &headers, Some(body.clone())).await;
        sent.expect("an answer")
    };
    let (first, again) = (post(&api).await, post(&api).await);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!(first.text, again.text);
    let another = post(&api.with_key(Some(&other))).await;
    assert!(!another.replayed, "another credential's request is another request");
    assert_ne!(another.expect(201)["key"], first.json()["key"]);
    assert_eq!(api.get("/v1/keys").await.expect(200)["items"].as_array().map(Vec::len), Some(3));
    // The settings' new admin key has the same name as the old one, but not its stored answers.
    let changed = "another-admin-key-of-the-tests-0123456789";
    let index = system.start("api", &[("CALLMETER__HTTP__ADMIN_KEY", changed)]);
    let renamed = system.ready(index).await.with_key(Some(changed));
    assert_eq!(post(&renamed).await.problem(422), "idempotency_key_reused");
    let kept: Vec<String> = sqlx::query_scalar("SELECT response FROM idempotency_keys")
        .fetch_all(&mut system.sql().await)
        .await
        .expect("rows");
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|kept| !kept.contains("cmk_")), "a key is kept: {kept:?}");
}

/// Uses a key without pause until `stop`; returns how often it was accepted and refused.
fn use_all_the_time(api: Api, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<(u32, u32)> {
    tokio::spawn(async move {
        let (mut good, mut refused) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            match api.get("/v1/accounts/acme").await.status {
                200 => good += 1,
                401 => refused += 1,
                other => panic!("answered {other}"),
            }
        }
        (good, refused)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_by_the_next_request_in_every_process() {
    let mut system = System::new().await;
    // Rate limits would hide later answers from a client that keeps using a revoked key.
    let unlimited = [
        ("CALLMETER__HTTP__FAILED_LOGINS_PER_SECOND", "0"),
        ("CALLMETER__HTTP__ACCOUNT_KEY_REQUESTS_PER_SECOND", "0"),
    ];
    let indexes = [system.start("api", &unlimited), system.start("api", &unlimited)];
    let processes = [system.ready(indexes[0]).await, system.ready(indexes[1]).await];
    system.open(&processes[0], &[account("acme", 0)]).await;
    for round in 0..3 {
        let (id, key) = make(&processes[round % 2], "account", Some("acme")).await;
        let stop = Arc::new(AtomicBool::new(false));
        let users = processes
            .each_ref()
            .map(|api| use_all_the_time(api.with_key(Some(&key)), Arc::clone(&stop)));
        for api in &processes {
            let own = api.with_key(Some(&key));
            until("the key is in use", SOON, async || {
                (own.get("/v1/accounts/acme").await.status == 200).then_some(())
            })
            .await;
        }
        if round == 2 {
            system.run(&["key", "revoke", &id, "--reason", "lost"]).expect_success();
        } else {
            assert_eq!(revoke(&processes[0], &id).await.status, 204);
        }
        for api in &processes {
            for _ in 0..5 {
                let answer = api.with_key(Some(&key)).get("/v1/accounts/acme").await;
                assert_eq!(answer.status, 401, "round {round}: {answer:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        for user in users {
            let (good, _) = user.await.expect("the user ends");
            assert!(good > 0, "round {round}: the key was never good");
        }
        assert_eq!(revoke(&processes[1], &id).await.status, 204, "once more is as well");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_key_authorizes_on_while_postgres_is_down_and_a_revoked_one_does_not() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    // The test asks without pause.
    let unlimited = [("CALLMETER__HTTP__ACCOUNT_KEY_REQUESTS_PER_SECOND", "0")];
    let index = system.start("api", &unlimited);
    let api = system.ready(index).await;
    system.open(&api, &[account("acme", 50_000_000)]).await;
    let (_, key) = make(&api, "account", Some("acme")).await;
    let (revoked, other) = make(&api, "authorize", None).await;
    let [own, other] = [key, other].map(|key| api.with_key(Some(&key)));
    allowed(&ask(&own, "acme", &call_sid(0), 60).await);
    allowed(&ask(&other, "acme", &call_sid(1), 60).await);
    breakable.server("postgres", "stop").await;
    let began = tokio::time::Instant::now();
    // For longer than a key may be cached without a check; the same calls again and again.
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(3) {
        asked += 1;
        allowed(&ask(&own, "acme", &call_sid(2 + asked % 50), 60).await);
    }
    allowed(&ask(&other, "acme", &call_sid(100), 60).await);
    // As another process that still reaches Postgres would have written it.
    let url = &breakable.servers.redis_url;
    let settings = system.settings();
    let url = settings.iter().find(|(name, _)| name == "REDIS_URL").map_or(url, |(_, url)| url);
    let client = redis::Client::open(url.as_str()).expect("an address");
    let mut connection = client.get_connection().expect("Redis answers");
    let name = format!("cm:revoked:{revoked}");
    redis::cmd("SET").arg(name).arg(1).exec(&mut connection).expect("it is set");
    ask(&other, "acme", &call_sid(102), 60).await.problem(401);
    allowed(&ask(&own, "acme", &call_sid(103), 60).await);
    let unknown = api.with_key(Some("cmk_never-heard-of"));
    let answer = ask(&unknown, "acme", &call_sid(104), 60).await;
    assert_eq!(answer.problem(503), "ledger_unavailable", "nobody can tell");
    breakable.server("postgres", "start").await;
    until("ready", SOON, async || (api.get("/readyz").await.status == 200).then_some(())).await;
    ask(&unknown, "acme", &call_sid(105), 60).await.problem(401);
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_at_the_machine_too() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let made = system.run(&["key", "create", "--name", "CLI", "--account", "acme", "--json"]);
    let made: Value = serde_json::from_str(&made.expect_success().stdout).expect("JSON");
    let own = api.with_key(made["key"].as_str());
    own.get("/v1/accounts/acme").await.expect(200);
    let plain = system.run(&["key", "create", "--name", "Dialer", "--scope", "authorize"]);
    let plain = plain.expect_success().stdout;
    let key = plain.lines().last().expect("the key on a line of its own").to_owned();
    allowed_nothing_else(&api.with_key(Some(&key))).await;
    let listed = system.run(&["key", "list", "--json"]).expect_success().stdout;
    assert_eq!(listed.lines().count(), 2);
    assert!(!listed.contains(&key[10..]), "{listed}");
    let id = made["id"].as_str().expect("an id");
    system.run(&["key", "revoke", id]).expect_success();
    own.get("/v1/accounts/acme").await.problem(401);
    for arguments in [
        &["key", "create", "--name", "x"][..],
        &["key", "create", "--name", "", "--scope", "admin"],
        &["key", "create", "--name", "x", "--scope", "admin", "--account", "acme"],
        &["key", "create", "--name", "x", "--account", "nobody"],
        &["key", "revoke", "key_99"],
        &["key", "revoke", "99"],
    ] {
        let ran = system.run(arguments);
        assert!(matches!(ran.code, Some(1 | 2)), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr.trim().lines().count(), 1, "{arguments:?}: {ran:?}");
    }
}

async fn allowed_nothing_else(dialer: &Api) {
    let answer = ask(dialer, "acme", &call_sid(0), 60).await.expect(200);
    assert_eq!(answer["reason"], "insufficient_funds");
    dialer.get("/v1/accounts/acme").await.problem(403);
    dialer.get("/v1/accounts/nobody").await.problem(403);
    dialer.get("/v1/audit").await.problem(403);
}
