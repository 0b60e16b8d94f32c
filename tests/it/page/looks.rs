//! What anybody may see: headers, hostile texts, operators, foreign accounts.

use super::World;
use crate::harness::samples::{account_sid, call_sid};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card};
use serde_json::json;

const PAGES: [&str; 11] = [
    "/wallet",
    "/wallet/parts",
    "/wallet/add-funds",
    "/wallet/history",
    "/wallet/campaigns",
    "/wallet/numbers",
    "/wallet/insights",
    "/wallet/auto-refill",
    "/wallet/cards",
    "/wallet/statements/2026-01",
    "/wallet/signed-out",
];

/// Text that would act in a page, an attribute or a script.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_has_threads_of_its_own_which_give_way() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    world.signed_in("acme").await.get("/wallet").await.expect(200);
    let threads = world.system.services[0].threads();
    let (pages, others): (Vec<_>, Vec<_>) = threads.iter().partition(|(name, _)| name == "page");
    assert!(pages.len() >= 2 && pages.iter().all(|(_, nice)| *nice == 5), "{threads:?}");
    assert!(others.len() >= 2 && others.iter().all(|(_, nice)| *nice == 0), "{threads:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_keeps_other_sites_and_inline_scripts_out() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let browser = world.signed_in("acme").await;
    let overview = browser.get("/wallet").await.expect(200);
    let style = overview.attribute("rel=\"stylesheet\" href");
    let script = overview.attribute("<script src");
    let mut paths: Vec<&str> = PAGES.to_vec();
    paths.extend(["/wallet/nothing", "/wallet/refills/rf_1", &style, &script]);
    for path in paths {
        let seen = browser.get(path).await;
        assert!(matches!(seen.status, 200 | 404), "{path}: {seen:?}");
        let policy = seen.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(seen.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(seen.header("x-frame-options"), Some("DENY"));
        assert_eq!(seen.header("referrer-policy"), Some("same-origin"));
        let kept = seen.header("cache-control").expect("whether it is kept");
        let is_asset = path.contains("/assets/");
        assert_eq!(kept == "no-store", !is_asset, "{path}: {kept}");
        for inline in [" style=", " onclick=", "<style", "javascript:"] {
            assert!(!seen.text.contains(inline) || is_asset, "{path} has {inline}");
        }
        let elsewhere = seen.text.replace("http://www.w3.org/2000/svg", "");
        assert!(is_asset || !elsewhere.contains("http"), "{path} names another site");
    }
    // What streams passes proxies at once.
    for path in ["/wallet/events", "/wallet/history.csv"] {
        let stream = browser.stream(path).await;
        let buffering = stream.headers().get("x-accel-buffering").expect("a header");
        assert_eq!((stream.status().as_u16(), buffering.as_bytes()), (200, &b"no"[..]), "{path}");
    }
    // Only a page that takes a card lets Stripe's script in.
    let cards = browser.get("/wallet/cards").await.expect(200);
    let setup = browser.submit(&cards, "/wallet/cards/setup", &[]).await.expect(200);
    let policy = setup.header("content-security-policy").expect("a policy");
    let script = format!("script-src 'self' {};", world.stripe.url);
    assert!(policy.contains(&script), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(setup.attribute("data-js"), format!("{}/v3/", world.stripe.url));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_descriptions_are_text_wherever_they_stand() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let account = json!({
        "id": "hostile", "name": HOSTILE, "twilio_account_sid": account_sid(77),
        "opening_balance": "5", "email": "\"><b>@evil.example",
    });
    world.admin.post("/v1/accounts", &account).await;
    let plain = json!({
        "id": "hostile", "name": HOSTILE, "twilio_account_sid": account_sid(77),
        "opening_balance": "5",
    });
    if world.admin.get("/v1/accounts/hostile").await.status == 404 {
        world.admin.post("/v1/accounts", &plain).await.expect(201);
    }
    for description in [HOSTILE, "=cmd|' /C calc'!A0"] {
        let credit = json!({"type": "credit", "amount": "1.5", "description": description});
        let path = "/v1/accounts/hostile/adjustments";
        world.admin.post(path, &credit).await.expect(201);
    }
    let browser = world.browser();
    let link = world.link("hostile", &json!({ "user": HOSTILE })).await;
    browser.get(&link).await.expect(303);
    let q = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect::<String>();
    let searched = format!("/wallet/history?q={q}&from={q}&kind={q}");
    let typed = format!("/wallet/add-funds/confirm?amount={q}&payment_method={q}");
    let opened = "/wallet/history?open=2";
    let all = PAGES.iter().copied().chain([searched.as_str(), typed.as_str(), opened]);
    for path in all {
        let seen = browser.get(path).await;
        assert!(matches!(seen.status, 200 | 422), "{path}: {seen:?}");
        for live in ["<script>alert", "<img src=x", "<b>@"] {
            seen.lacks(live);
        }
    }
    browser.get("/wallet/history").await.expect(200).has("{{7*7}}");
    let other = world.signed_in("acme").await;
    let link = world.link("hostile", &json!({})).await;
    let asked = other.get(&link).await.expect(200);
    assert!(!asked.text.contains("<script>alert"), "{}", asked.text);
    // In a spreadsheet it is no formula either.
    let csv = browser.get("/wallet/history.csv").await.expect(200);
    assert!(csv.text.contains("\"'=cmd|"), "{}", csv.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_reads_without_cards_changes_nothing_and_is_noted() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let customer = world.signed_in("acme").await;
    let card = world.save(&customer, Card::default()).await;
    let query = format!("/wallet/add-funds/confirm?amount=50&payment_method={card}");
    let check = customer.get(&query).await.expect(200);
    let refill = customer.submit(&check, "/wallet/refills", &[]).await.expect(303);
    let refill = refill.location().to_owned();
    customer.get(&refill).await.expect(200).has("$50.00 added").has("Visa •••• 4242");
    let operator = world.browser();
    let link = world.link("acme", &json!({ "operator": "Grace" })).await;
    operator.get(&link).await.expect(303);
    let before = world.audit("acme").await.len();
    let receipt = format!("{refill}/receipt");
    let looks = ["/wallet", "/wallet/history", "/wallet/auto-refill", &refill, &receipt];
    for path in looks {
        let seen = operator.get(path).await.expect(200);
        assert!(seen.text.contains("<b>Grace</b>"), "{path} says who looks");
        for secret in ["4242", &card, "Visa"] {
            seen.lacks(secret);
        }
    }
    let noted = world.audit("acme").await;
    assert_eq!(noted.len(), before + looks.len(), "each look once");
    let look = ("operator:Grace".to_owned(), "page_viewed".to_owned());
    assert!(noted[..looks.len()].iter().all(|row| *row == look), "{noted:?}");
    for path in ["/wallet/cards", "/wallet/add-funds", &query] {
        operator.get(path).await.expect(403).has("as an operator");
    }
    let token = operator.get("/wallet").await.attribute("name=\"form_token\" value");
    let fields = [
        ("form_token", token.as_str()),
        ("amount", "50.00"),
        ("payment_method", card.as_str()),
        ("request_key", "page-0123456789"),
    ];
    let own = Some(operator.base.as_str());
    for path in ["/wallet/refills", "/wallet/auto-refill", "/wallet/cards/setup"] {
        operator.post(path, &fields, own).await.expect(403).has("as an operator");
    }
    let refills = world.admin.get("/v1/accounts/acme/refills").await.expect(200);
    assert_eq!(refills["items"].as_array().map(Vec::len), Some(1));
    operator.post("/wallet/sign-out", &fields, own).await.expect(303);
    operator.get("/wallet").await.expect(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_sees_only_itself() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let (acme, globex) = (world.signed_in("acme").await, world.signed_in("globex").await);
    let card = world.save(&acme, Card::default()).await;
    let query = format!("/wallet/add-funds/confirm?amount=50&payment_method={card}");
    let check = acme.get(&query).await.expect(200);
    let refill = acme.submit(&check, "/wallet/refills", &[]).await.expect(303);
    let refill = refill.location().to_owned();
    let shown = acme.get(&refill).await.expect(200);
    let payment = shown.attribute("data-copy");
    acme.get(&format!("/wallet/history?q={payment}")).await.expect(200).has("Wallet refill");
    acme.get(&format!("/wallet/refills/return?payment_intent={payment}")).await.expect(303);
    for path in [
        refill.clone(),
        format!("{refill}/part"),
        format!("{refill}/receipt"),
        format!("/wallet/refills/return?payment_intent={payment}"),
        format!("/wallet/cards/{card}/remove"),
    ] {
        globex.get(&path).await.expect(404);
    }
    globex.get(&format!("/wallet/history?q={payment}")).await.expect(200).has("No entry matches");
    let nobodys = format!("/wallet/history?q={}", call_sid(1));
    globex.get(&nobodys).await.expect(200).has("No entry matches");
    globex.get(&query).await.expect(422).has("This card was removed.");
    let declined = refill.replace("/wallet/refills/", "/wallet/add-funds?declined=");
    globex.get(&declined).await.expect(200).lacks(&payment);
    // Another account's card is not taken, whatever the form says.
    let own =
        globex.get("/wallet/add-funds/confirm?amount=50&payment_method=new").await.expect(200);
    let fields = [("payment_method", card.as_str())];
    let seen = globex.submit(&own, "/wallet/refills", &fields).await.expect(303);
    assert!(seen.location().contains("problem=unknown_card"), "{}", seen.location());
    globex.get(seen.location()).await.expect(200).has("Nothing was charged.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_of_a_change_fetches_it_and_an_operator_no_card() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let owner = world.signed_in("acme").await;
    let card = world.save(&owner, Card::default()).await;
    owner.get("/wallet/cards").await.expect(200);
    let other = world.signed_in("acme").await;
    let operator = world.browser();
    let link = world.link("acme", &json!({ "operator": "grace" })).await;
    operator.get(&link).await.expect(303);
    let on = json!({"enabled": true, "threshold": "1.00", "amount": "20.00",
        "payment_method": card});
    world.admin.put("/v1/accounts/acme/auto-refill", &on).await.expect(200);
    let all = [&owner, &other, &operator];
    let mut streams = Vec::new();
    for browser in all {
        streams.push(browser.listen().await);
    }
    for live in &mut streams {
        live.hears("event: parts").await;
    }
    for dollars in 26..36 {
        let credit = json!({"type": "credit", "amount": "1.00", "description": "one more"});
        world.admin.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);
        let shown =
            futures::future::join_all(all.iter().zip(&mut streams).map(async |(browser, live)| {
                live.hears("event: parts").await;
                browser.get("/wallet/parts?names=balance,notices,refused,odd").await.expect(200)
            }));
        for seen in shown.await {
            seen.has(&format!("Available ${dollars}.00"));
        }
    }
    let path = "/wallet/parts?names=notices,balance,plan,calls,recent,refused";
    let (customers, operators) = (owner.get(path).await.expect(200), operator.get(path).await);
    operators.expect(200).lacks("4242").lacks("Add funds");
    customers.has("Add funds");
}
