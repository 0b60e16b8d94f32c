//! Numbers, as a customer searches, buys and releases them.

use super::World;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
use crate::harness::stripe::Stripe;
use crate::harness::twilio::Twilio;
use callmeter::simulate::stripe::Card;
use callmeter::simulate::twilio::{Behaviour, NumberFault, NumberRequest};
use serde_json::json;

/// A world whose account `acme` may buy numbers at the local Twilio.
pub(super) async fn at_twilio(roles: &'static str) -> (World, Twilio) {
    let twilio = Twilio::start(Behaviour::default());
    let acme = account("acme", 0);
    twilio.subscribe(&acme, None);
    let mut settings = twilio.settings(&acme);
    settings.push(("CALLMETER__NUMBERS__TIMEOUT_SECONDS", "2".to_owned()));
    settings.push(("CALLMETER__NUMBERS__RETRY_SECONDS", "1".to_owned()));
    let changed: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let stripe = Stripe::start(callmeter::simulate::stripe::Behaviour::default());
    (World::start(stripe, roles, &changed).await, twilio)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_searched_bought_once_and_released() {
    let (world, twilio) = at_twilio("api,jobs").await;
    let browser = world.signed_in("acme").await;
    let page = browser.get("/wallet/numbers").await.expect(200);
    page.has("No numbers yet").has("US local: $1.15 now, first month included, then $1.15 a month");
    let found =
        browser.get("/wallet/numbers?country=US&type=local&begins=%2B1201").await.expect(200);
    found.has("Free numbers").has("+12015551000").has("Buy +12015551000 for $1.15");
    let none = browser.get("/wallet/numbers?country=US&type=local&digits=000000").await;
    none.expect(200).has("Twilio sells no such number right now");
    let odd = browser.get("/wallet/numbers?country=US&type=local&digits=abc").await.expect(200);
    odd.has("Enter digits only");
    let ask = "/wallet/numbers/buy?phone_number=%2B12015551000&country=US&type=local";
    let ask = browser.get(ask).await.expect(200);
    ask.has("Buy +12015551000 ?").has("$1.15 is taken from the wallet now").has("$23.85");
    // What is mistyped is said, not left out.
    let typed = [("address_sid", "AD123"), ("bundle_sid", "")];
    let refused = browser.submit(&ask, "/wallet/numbers", &typed).await.expect(422);
    refused.has("Enter AD and the 32 digits").has("Nothing was bought.");
    assert!(refused.text.contains("value=\"AD123\""), "{}", refused.text);
    assert_eq!(twilio.local.owned_numbers().len(), 0);
    // A double click is one purchase.
    let clicks = (0..3).map(|_| browser.submit(&ask, "/wallet/numbers", &[]));
    for seen in futures::future::join_all(clicks).await {
        let seen = browser.get(seen.expect(303).location()).await.expect(200);
        seen.has("+12015551000 is yours").has("Active").has("Your numbers 1 number");
    }
    assert_eq!(twilio.local.owned_numbers().len(), 1, "one number at Twilio");
    let other = browser.submit(&ask, "/wallet/numbers", &[("phone_number", "+12015551001")]).await;
    other.expect(422).has("This form was sent before with other values.");
    browser.get("/wallet").await.expect(200).has("$23.85").has("Number purchase");
    // Another one takes it meanwhile.
    let taken = browser.get("/wallet/numbers/buy?phone_number=12015551000&country=US&type=local");
    let taken = browser.submit(&taken.await.expect(200), "/wallet/numbers", &[]).await;
    taken.expect(422).has("+12015551000 was not bought").has("Nothing was taken.");

    let listed = browser.get("/wallet/numbers").await.expect(200);
    let release = listed.text.split("href=\"").find(|link| link.contains("/release\""));
    let release = release.and_then(|link| link.split('"').next()).expect("a link");
    let other = world.signed_in("globex").await;
    other.get(release).await.expect(404);
    let ask = browser.get(release).await.expect(200);
    ask.has("Release +12015551000 ?").has("This cannot be undone.").has("$1.15 a month");
    let released = browser.submit(&ask, release, &[]).await.expect(303);
    browser.get(released.location()).await.expect(200).has("+12015551000 is released");
    until("it is given back", SOON, async || twilio.local.owned_numbers().is_empty().then_some(()))
        .await;
    let done = |action: &str| ("user:ada".to_owned(), action.to_owned());
    let audit = world.audit("acme").await;
    for action in ["number_requested", "number_release_requested"] {
        assert!(audit.contains(&done(action)), "{action}: {audit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_leads_to_a_refill_and_back_to_the_number() {
    let (world, _twilio) = at_twilio("api,jobs").await;
    let browser = world.signed_in("acme").await;
    let card = world.save(&browser, Card::default()).await;
    let body = json!({ "type": "debit", "amount": "24.40", "description": "A correction" });
    world.admin.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    let search = "/wallet/numbers?country=US&type=local";
    browser.get(search).await.expect(200).has("$0.55 missing for +12015551000");
    let ask = "/wallet/numbers/buy?phone_number=%2B12015551000&country=US&type=local";
    let ask = browser.get(ask).await.expect(200);
    ask.has("The wallet does not have enough.");
    let short = browser.submit(&ask, "/wallet/numbers", &[]).await.expect(422);
    short.has("+12015551000 was not bought: $0.55 is missing").has("Nothing was taken.");
    short.has("Add $10.00 and buy it");
    let refill = short.text.split("href=\"").find(|link| link.contains("/add-funds?amount="));
    let refill = refill.and_then(|link| link.split('"').next()).expect("a link");
    let refill = refill.replace("&#38;", "&").replace("&amp;", "&");
    let form = browser.get(&refill).await.expect(200);
    let next = form.attribute("name=\"next\" value").replace("&#38;", "&").replace("&amp;", "&");
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("amount", "10.00")
        .append_pair("payment_method", &card)
        .append_pair("next", &next)
        .finish();
    let check = browser.get(&format!("/wallet/add-funds/confirm?{query}")).await.expect(200);
    let begun = browser.submit(&check, "/wallet/refills", &[("next", &next)]).await.expect(303);
    let shown = until("it is added", SOON, async || {
        let seen = browser.get(begun.location()).await;
        seen.words().contains("$10.00 added").then_some(seen)
    })
    .await;
    shown.has("Go on and buy the number");
    let ask = browser.get(&next).await.expect(200);
    browser.submit(&ask, "/wallet/numbers", &[]).await.expect(303);
    browser.get("/wallet/numbers").await.expect(200).has("Active");
    // Nothing else is led back to.
    let foreign = "/wallet/add-funds?next=https%3A%2F%2Fevil.example%2Fwallet%2Fnumbers";
    browser.get(foreign).await.expect(200).lacks("evil.example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twilio_that_hangs_is_told_and_an_operator_only_looks() {
    let (world, twilio) = at_twilio("api,jobs").await;
    let browser = world.signed_in("acme").await;
    twilio.local.fail_numbers(NumberRequest::Buy, NumberFault::HangAfterEffect, 0);
    let ask = "/wallet/numbers/buy?phone_number=%2B12015551000&country=US&type=local";
    let ask = browser.get(ask).await.expect(200);
    let bought = browser.submit(&ask, "/wallet/numbers", &[]).await.expect(303);
    browser.get(bought.location()).await.expect(200).has("+12015551000 is being bought");
    twilio.local.clear_faults();
    until("it is bought", SOON, async || {
        let seen = browser.get(bought.location()).await;
        seen.words().contains("+12015551000 is yours").then_some(())
    })
    .await;
    let link = world.link("acme", &json!({ "operator": "grace" })).await;
    let operator = world.browser();
    operator.get(&link).await.expect(303);
    let seen = operator.get("/wallet/numbers?country=US&type=local").await.expect(200);
    seen.has("Numbers of the account").has("+12015551000").lacks("Free numbers").lacks("/release");
    operator
        .get("/wallet/numbers/buy?phone_number=%2B12015551001&country=US&type=local")
        .await
        .expect(403);
}
