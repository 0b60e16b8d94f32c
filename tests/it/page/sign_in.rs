//! Signing in to the wallet page, and out of it.

use super::World;
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::Behaviour;
use reqwest::Method;
use serde_json::json;

async fn world() -> World {
    World::start(Stripe::start(Behaviour::default()), "api", &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_begins_one_session_and_the_cookie_is_never_the_browsers_own() {
    let world = world().await;
    let body = json!({"user": "ada@acme.example", "next": "/wallet/history?kind=call"});
    let link = world.link("acme", &body).await;
    // Those who only look at a link do not use it up.
    world.browser().head(&link).await.expect(204);
    let browser = world.browser();
    let planted = format!("callmeter=cms_{}", "A".repeat(43));
    browser.set_cookie(Some(&planted));
    let seen = browser.get(&link).await.expect(303);
    assert_eq!(seen.location(), "/wallet/history?kind=call");
    assert_eq!(seen.header("referrer-policy"), Some("no-referrer"));
    let set = seen.header("set-cookie").expect("a cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=28800"] {
        assert!(set.contains(part), "{part} is not in {set}");
    }
    let first = browser.cookie().expect("a cookie");
    assert_ne!(first, planted, "the session has a cookie of its own");
    browser.get("/wallet").await.expect(200).has("$25.00");
    // Used up: for the same browser and for every other.
    browser.get(&link).await.expect(401).has("has expired");
    let thief = world.browser();
    thief.get(&link).await.expect(401);
    thief.set_cookie(Some(&planted));
    thief.get("/wallet").await.expect(401);
    // A second sign-in replaces the session: its cookie is dead.
    let again = world.link("acme", &json!({})).await;
    browser.get(&again).await.expect(303);
    thief.set_cookie(Some(&first));
    thief.get("/wallet").await.expect(401);
    // Only digests are kept, and nothing is logged.
    let token = again.split("link=").nth(1).expect("a token");
    let cookie = browser.cookie().expect("a cookie");
    let secrets = [token, cookie.split('=').nth(1).expect("a value")];
    let mut sql = world.system.sql().await;
    for table in ["sign_in_links", "wallet_sessions", "audit", "idempotency_keys"] {
        let dump: Vec<String> = sqlx::query_scalar(&format!("SELECT t::text FROM {table} AS t"))
            .fetch_all(&mut sql)
            .await
            .expect("rows");
        let dump = dump.join("\n");
        assert!(secrets.iter().all(|secret| !dump.contains(secret)), "{table}: {dump}");
    }
    let log = world.system.services[0].log_text();
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "the log shows a token");
    let actions: Vec<String> = world.audit("acme").await.into_iter().map(|it| it.1).collect();
    assert_eq!(
        actions[..5],
        ["signed_out", "signed_in", "sign_in_link_created", "signed_in", "sign_in_link_created"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_requests_with_one_link_begin_one_session() {
    let world = world().await;
    for _ in 0..5 {
        let link = world.link("acme", &json!({})).await;
        let browsers: Vec<_> = (0..8).map(|_| world.browser()).collect();
        let opened = futures::future::join_all(browsers.iter().map(|it| it.get(&link))).await;
        let mut statuses: Vec<u16> = opened.iter().map(|seen| seen.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 401, 401, 401, 401, 401, 401, 401]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_and_sessions_end_by_their_time_by_sign_out_and_by_request() {
    let mut world = world().await;
    let ends = async |session: &super::Browser| session.get("/wallet").await.status == 401;
    // By sign-out, with its stream.
    let browser = world.signed_in("acme").await;
    let overview = browser.get("/wallet").await.expect(200);
    let mut stream = browser.stream("/wallet/events").await;
    assert!(
        String::from_utf8_lossy(&stream.chunk().await.expect("a chunk").expect("bytes"))
            .contains("event: parts")
    );
    let kept = browser.cookie();
    let out = browser.submit(&overview, "/wallet/sign-out", &[]).await.expect(303);
    assert_eq!(out.location(), "/wallet/signed-out");
    assert_eq!(browser.cookie(), None);
    browser.get("/wallet/signed-out").await.expect(200).has("You are signed out");
    let mut rest = String::new();
    while let Ok(Some(bytes)) = stream.chunk().await {
        rest.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert!(rest.contains("event: signed-out"), "{rest}");
    browser.set_cookie(kept.as_deref());
    assert!(ends(&browser).await, "the cookie is worth nothing any more");
    browser.get("/wallet/parts?names=balance").await.expect(401);
    // By request: all of the account, and its unused links, but no other account's.
    let (one, other) = (world.signed_in("acme").await, world.signed_in("globex").await);
    let unused = world.link("acme", &json!({})).await;
    let mut stream = one.stream("/wallet/events").await;
    let path = "/v1/accounts/acme/sessions";
    let ended = world.admin.send(Method::DELETE, path, &[], None).await.expect("an answer");
    assert_eq!(ended.status, 204);
    assert!(ends(&one).await && !ends(&other).await);
    world.browser().get(&unused).await.expect(401);
    until("the stream has ended", SOON, async || {
        matches!(stream.chunk().await, Ok(None) | Err(_)).then_some(())
    })
    .await;
    one.get("/wallet/parts?names=balance").await.expect(401);
    // By their time.
    let session = world.signed_in("acme").await;
    let link = world.link("acme", &json!({})).await;
    world.go_on_at(59).await;
    let late = world.browser();
    late.get(&link).await.expect(303);
    let link = world.link("acme", &json!({})).await;
    world.go_on_at(59 + 61).await;
    world.browser().get(&link).await.expect(401).has("60 seconds");
    let session = session.at(&world.admin.base);
    assert!(!ends(&session).await);
    world.go_on_at(8 * 3_600 + 60).await;
    let session = session.at(&world.admin.base);
    assert!(ends(&session).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_of_another_account_asks_first() {
    let world = world().await;
    let browser = world.signed_in("acme").await;
    let before = browser.cookie();
    let link = world.link("globex", &json!({})).await;
    let asked = browser.get(&link).await.expect(200);
    asked.has("Open the wallet of A customer?").has("If you did not expect this question");
    assert_eq!(browser.cookie(), before, "nothing has happened yet");
    browser.get("/wallet").await.expect(200).has("$25.00");
    // Not by a form from elsewhere, and not without the session's own text.
    let token = asked.hidden("/wallet/sign-in");
    let fields: Vec<(&str, &str)> =
        token.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post("/wallet/sign-in", &fields, Some("https://evil.example")).await.expect(403);
    browser.submit(&asked, "/wallet/sign-in", &[("form_token", "x")]).await.expect(403);
    browser.get("/wallet").await.expect(200).has("$25.00");
    browser.submit(&asked, "/wallet/sign-in", &[]).await.expect(303);
    browser.get("/wallet").await.expect(200).has("$7.00");
    let now = browser.cookie();
    browser.set_cookie(before.as_deref());
    browser.get("/wallet").await.expect(401);
    browser.set_cookie(now.as_deref());
    browser.get("/wallet").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_says_what_is_wrong_with_its_request_and_leads_nowhere_else() {
    let world = world().await;
    let path = "/v1/accounts/acme/sign-in-links";
    let cases = [
        ("next", json!({"next": "https://evil.example/wallet"})),
        ("next", json!({"next": "//evil.example"})),
        ("next", json!({"next": "/\\evil.example"})),
        ("next", json!({"next": "javascript:alert(1)"})),
        ("operator", json!({"user": "a", "operator": "b"})),
        ("user", json!({"user": "a\nb"})),
        ("colour", json!({"colour": "red"})),
    ];
    for (field, body) in cases {
        let problem = world.signer.post(path, &body).await.expect(400);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let nobody = world.signer.post("/v1/accounts/nobody/sign-in-links", &json!({})).await;
    assert_eq!(nobody.problem(404), "unknown_account");
    let made = world.system.run(&[
        "account",
        "sign-in",
        "acme",
        "--user",
        "ada",
        "--next",
        "/wallet/cards",
        "--json",
    ]);
    let made: serde_json::Value =
        serde_json::from_str(&made.expect_success().stdout).expect("JSON");
    let url = made["url"].as_str().expect("a url");
    let link = &url[url.find("/wallet").expect("a path")..];
    let seen = world.browser().get(link).await.expect(303);
    assert_eq!(seen.location(), "/wallet/cards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_https_the_cookie_is_of_this_host_alone_and_strangers_go_to_sign_in() {
    let changed = [
        ("CALLMETER__HTTP__PUBLIC_URL", "https://wallet.example.com/billing"),
        ("CALLMETER__PAGE__SIGN_IN_URL", "https://app.example.com/in?from=wallet"),
    ];
    let world = World::start(Stripe::start(Behaviour::default()), "api", &changed).await;
    let path = "/v1/accounts/acme/sign-in-links";
    let body = json!({"next": "https://wallet.example.com/billing/wallet/cards"});
    let link = world.signer.post(path, &body).await.expect(201);
    let url = link["url"].as_str().expect("a url").to_owned();
    let path = url.strip_prefix("https://wallet.example.com/billing").expect("our address");
    let browser = world.browser();
    let seen = browser.get(path).await.expect(303);
    assert_eq!(seen.location(), "/billing/wallet/cards");
    let set = seen.header("set-cookie").expect("a cookie");
    assert!(set.starts_with("__Host-callmeter=cms_") && set.contains("; Secure"), "{set}");
    let overview = browser.get("/wallet").await.expect(200);
    assert!(overview.text.contains("href=\"/billing/wallet/history\""), "{}", overview.text);
    let token = overview.attribute("name=\"form_token\" value");
    let fields = [("form_token", token.as_str())];
    browser.post("/wallet/sign-out", &fields, Some(&world.admin.base)).await.expect(403);
    let own = Some("https://wallet.example.com");
    browser.post("/wallet/sign-out", &fields, own).await.expect(303);
    let strange = world.browser().get("/wallet/history?kind=call&x=%2F").await.expect(303);
    let next = "%2Fbilling%2Fwallet%2Fhistory%3Fkind%3Dcall%26x%3D%252F";
    let expected = format!("https://app.example.com/in?from=wallet&next={next}");
    assert_eq!(strange.location(), expected);
}
