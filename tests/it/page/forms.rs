//! Forms: whose they are, what they may do, and what is wrong with them.

use super::World;
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_counts_only_from_a_page_of_its_own_session() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let (browser, other) = (world.signed_in("acme").await, world.signed_in("acme").await);
    let card = world.save(&browser, Card::default()).await;
    let query = format!("/wallet/add-funds/confirm?amount=50&payment_method={card}");
    let check = browser.get(&query).await.expect(200);
    check.has("You add $50.00").has("$75.00");
    let fields = check.hidden("/wallet/refills");
    let foreign = other.get(&query).await.expect(200);
    let theirs = foreign.attribute("name=\"form_token\" value");
    let changed = |name: &str, value: Option<&str>| {
        let mut fields = fields.clone();
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        fields
    };
    let own = Some(browser.base.as_str());
    let cases = [
        ("another origin", fields.clone(), Some("https://evil.example")),
        ("a hidden origin", fields.clone(), Some("null")),
        ("no origin", fields.clone(), None),
        ("no text", changed("form_token", None), own),
        ("another text", changed("form_token", Some("x")), own),
        ("another session's text", changed("form_token", Some(&theirs)), own),
    ];
    for (what, fields, origin) in cases {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let seen = browser.post("/wallet/refills", &fields, origin).await;
        assert_eq!(seen.status, 403, "{what}: {seen:?}");
        seen.has("nothing was done");
    }
    // Every form of the page is guarded alike.
    let empty: [(&str, &str); 0] = [];
    for path in [
        "/wallet/sign-out",
        "/wallet/sign-in",
        "/wallet/refills",
        "/wallet/cards/setup",
        "/wallet/auto-refill",
        "/wallet/alerts",
        "/wallet/budget",
        "/wallet/numbers",
        "/wallet/numbers/nb_00000000000000000000000000000000/release",
        &format!("/wallet/cards/{card}/default"),
        &format!("/wallet/cards/{card}/expiry"),
        &format!("/wallet/cards/{card}/remove"),
    ] {
        browser.post(path, &empty, own).await.expect(403);
        world.browser().post(path, &empty, own).await.expect(401);
    }
    let refills = world.admin.get("/v1/accounts/acme/refills").await.expect(200);
    assert_eq!(refills["items"], json!([]), "nothing was charged");
    browser.submit(&check, "/wallet/refills", &[]).await.expect(303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_refill_is_set_and_its_faults_stand_beside_the_fields() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let browser = world.signed_in("acme").await;
    let page = browser.get("/wallet/auto-refill").await.expect(200);
    page.has("Off").has("Nothing is charged by itself.");
    let on = [("enabled", "1"), ("threshold", "20"), ("size", "amount"), ("amount", "50")];
    // Without a card it cannot be on.
    let seen = browser.submit(&page, "/wallet/auto-refill", &on).await.expect(422);
    seen.has("Add a card first.");
    world.save(&browser, Card::default()).await;
    browser.get("/wallet/cards").await.expect(200).has("Visa •••• 4242").has("Default");
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[("enabled", "1"), ("amount", "50")], "Enter an amount such as 50.00."),
        (&[("enabled", "1"), ("threshold", "five"), ("amount", "50")], "Enter an amount"),
        (&[("enabled", "1"), ("threshold", "20"), ("amount", "5")], "below the minimum"),
        (
            &[("enabled", "1"), ("threshold", "20"), ("amount", "50"), ("monthly_cap", "30")],
            "At least $50.00, one refill.",
        ),
        (
            &[("enabled", "1"), ("threshold", "20"), ("size", "target"), ("amount", "15")],
            "above the line",
        ),
    ];
    for (fields, message) in table {
        let seen = browser.submit(&page, "/wallet/auto-refill", fields).await.expect(422);
        seen.has(message).has("nothing was saved");
        for (name, value) in fields.iter().filter(|(name, _)| *name == "amount") {
            assert!(seen.text.contains(&format!("value=\"{value}\"")), "{name} is kept");
        }
    }
    let on = [&on[..], &[("monthly_cap", "300.00")]].concat();
    let saved = browser.submit(&page, "/wallet/auto-refill", &on).await.expect(303);
    let sentence = "Below $20.00 we charge Visa •••• 4242 $50.00, at most $300.00 a month.";
    browser.get(saved.location()).await.expect(200).has(sentence).has("Saved.");
    browser.get("/wallet").await.expect(200).has(sentence);
    let set = world.admin.get("/v1/accounts/acme/auto-refill").await.expect(200);
    assert_eq!((&set["enabled"], &set["amount"]), (&json!(true), &json!("50.000000")), "{set}");
    let done = ("user:ada".to_owned(), "auto_refill_changed".to_owned());
    assert!(world.audit("acme").await.contains(&done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_and_the_budget_are_set_and_act() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", &[]).await;
    let browser = world.signed_in("acme").await;
    let page = browser.get("/wallet/auto-refill").await.expect(200);
    page.has("Low balance alerts").has("balance now $25.00").has("There is no budget");
    let token = page.attribute("name=\"form_token\" value");
    let own = Some(browser.base.as_str());
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let all = [&[("form_token", token.as_str())], fields].concat();
        browser.post(path, &all, own).await
    };
    for (fields, message) in [
        (vec![("threshold", "20"), ("threshold", "20.00")], "$20.00 stands here twice."),
        (vec![("threshold", "low")], "Enter an amount such as 50.00."),
        (vec![("threshold", ""), ("threshold", "-5")], "Enter an amount such as 50.00."),
    ] {
        let seen = post("/wallet/alerts", &fields).await.expect(422);
        seen.has(message).has("nothing was saved");
    }
    let fields = [("threshold", "20"), ("threshold", ""), ("threshold", "5.00")];
    let saved = post("/wallet/alerts", &fields).await.expect(303);
    let sentence =
        "once when the balance falls below $20.00, once below $5.00, and when it is empty";
    browser
        .get(saved.location().split('#').next().expect("a path"))
        .await
        .expect(200)
        .has("Saved.")
        .has(sentence);
    let set = world.admin.get("/v1/accounts/acme/alerts").await.expect(200);
    assert_eq!(set["thresholds"], json!(["20.000000", "5.000000"]), "{set}");
    for (fields, message) in [
        (vec![("monthly", "0")], "Enter more than $0.00"),
        (vec![("monthly", "ten")], "Enter an amount such as 50.00."),
        (vec![("monthly", "10"), ("warn_at_percent", "half")], "Enter whole percents"),
    ] {
        let seen = post("/wallet/budget", &fields).await.expect(422);
        seen.has(message).has("nothing was saved");
    }
    let fields = [("monthly", "120"), ("warn_at_percent", "80, 50"), ("stop", "1")];
    let saved = post("/wallet/budget", &fields).await.expect(303);
    let sentence = "We warn you at $60.00 and $96.00; when $120.00 is spent, new calls are refused";
    let seen = browser.get(saved.location().split('#').next().expect("a path")).await.expect(200);
    seen.has(sentence).has("$0.00 of $120.00 spent").has("0%");
    let set = world.admin.get("/v1/accounts/acme/budget").await.expect(200);
    assert_eq!(set["monthly"], "120.000000", "{set}");
    assert_eq!((&set["warn_at_percent"], &set["stop"]), (&json!([50, 80]), &json!(true)), "{set}");
    post("/wallet/budget", &[("monthly", "")]).await.expect(303);
    let set = world.admin.get("/v1/accounts/acme/budget").await.expect(200);
    assert_eq!(set["monthly"], json!(null), "{set}");
    let audit = world.audit("acme").await;
    for action in ["alerts_changed", "budget_changed"] {
        assert!(audit.contains(&("user:ada".to_owned(), action.to_owned())), "{audit:?}");
    }
    // An operator reads what they do.
    let link = world.link("acme", &json!({ "operator": "grace" })).await;
    let operator = world.browser();
    operator.get(&link).await.expect(303);
    let seen = operator.get("/wallet/auto-refill").await.expect(200);
    seen.has("once below $5.00").has("There is no budget").lacks("Save alerts");
}
