//! Adding funds, as a customer does it.

use super::World;
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Authentication, Behaviour, Card};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_click_charges_once_and_every_reload_shows_the_same_refill() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let browser = world.signed_in("acme").await;
    let card = world.save(&browser, Card::default()).await;
    let form = browser.get("/wallet/add-funds").await.expect(200);
    form.has("$25").has("At least $10.00").has("Visa •••• 4242");
    let chosen = format!("value=\"{card}\" checked");
    assert!(form.text.contains(&chosen), "the default card is chosen: {}", form.text);
    for (amount, message) in [
        ("5", "$5.00 is below the minimum. Enter $10.00 or more."),
        ("ten", "Enter an amount such as 50.00."),
        ("10.001", "Enter whole cents"),
        ("1000000", "Enter at most $999,999.99"),
    ] {
        let path = format!("/wallet/add-funds/confirm?amount={amount}&payment_method={card}");
        let seen = browser.get(&path).await.expect(422);
        seen.has(message).has("One thing to correct");
        assert!(seen.text.contains(&format!("value=\"{amount}\"")), "what was typed is kept");
        assert!(seen.text.contains(&chosen), "so is the card");
    }
    // A typed amount counts instead of a preset.
    let path =
        format!("/wallet/add-funds/confirm?preset=25.00&amount=1,250.5&payment_method={card}");
    browser.get(&path).await.expect(200).has("You add $1,250.50").has("$1,275.50");
    let path = format!("/wallet/add-funds/confirm?preset=50.00&amount=&payment_method={card}");
    let check = browser.get(&path).await.expect(200);
    check.has("Charged to Visa •••• 4242").has("Available now $25.00").has("$75.00");
    world.stripe.local.change_behaviour(|behaviour| behaviour.latency_milliseconds = 100);
    let clicks = (0..4).map(|_| browser.submit(&check, "/wallet/refills", &[]));
    let clicks = futures::future::join_all(clicks).await;
    let refills: std::collections::BTreeSet<&str> =
        clicks.iter().map(|seen| seen.location()).collect();
    assert_eq!(refills.len(), 1, "{refills:?}");
    let refill = refills.first().expect("one").to_owned();
    until("it is added", SOON, async || {
        browser.get(refill).await.words().contains("$50.00 added").then_some(())
    })
    .await;
    let shown = browser.get(refill).await.expect(200);
    shown.has("$75.00 is available now").has("Visa •••• 4242").has("of your history");
    let receipt = browser.get(&format!("{refill}/receipt")).await.expect(200);
    receipt.has("Prepaid credit, not a tax invoice.").has("$50.00").has("A customer");
    let listed = world.admin.get("/v1/accounts/acme/refills").await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let paid: i64 = world.stripe.local.totals().values().map(|totals| totals.captured).sum();
    assert_eq!(paid, 5_000, "one payment at Stripe");
    // The same form with other values is not another refill.
    let changed = browser.submit(&check, "/wallet/refills", &[("amount", "99.00")]).await;
    assert!(changed.location().contains("problem=other_form"), "{}", changed.location());
    // The summary of the same amount points at the refill of a moment ago.
    browser.get(&path).await.expect(200).has("You added $50.00 a moment ago.");
    let done = ("user:ada".to_owned(), "refill_requested".to_owned());
    assert!(world.audit("acme").await.contains(&done));
    let history = browser.get("/wallet/history").await.expect(200);
    history.has("Wallet refill").has("+$50.00").has("Completed").has("$25.00").lacks("pill info");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_decline_says_what_happened_that_nothing_was_charged_and_what_to_do() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let browser = world.signed_in("acme").await;
    let table = [
        ("insufficient_funds", "Declined: not enough funds on Visa •••• 4242", "smaller amount"),
        ("expired_card", "Declined: Visa •••• 4242 has expired", "new expiry date"),
        ("incorrect_cvc", "something on Visa •••• 4242 is not right", "again"),
        ("processing_error", "A passing fault: nothing was taken", "Try again now"),
        ("card_velocity_exceeded", "has reached its limit", "another card"),
        ("stolen_card", "Your bank declined this payment", "back of your card"),
        ("do_not_honor", "Your bank declined this payment", "back of your card"),
        ("do_not_try_again", "Your bank declined for good", "another card"),
        ("card_not_supported", "cannot be used here", "another card"),
        ("duplicate_transaction", "the same amount a moment ago", "history"),
    ];
    for (decline, headline, step) in table {
        let card = Card { decline: Some(decline.to_owned()), ..Card::default() };
        let card = world.save(&browser, card).await;
        let path = format!("/wallet/add-funds/confirm?amount=40&payment_method={card}");
        let check = browser.get(&path).await.expect(200);
        let refill = browser.submit(&check, "/wallet/refills", &[]).await.expect(303);
        let seen = browser.get(refill.location()).await.expect(200);
        seen.has(headline).has("Nothing was charged").has(step).lacks("stolen");
        // The way on keeps the amount and chooses no declined card.
        let id = refill.location().replace("/wallet/refills/", "");
        let again = format!("/wallet/add-funds?amount=40.00&declined={id}");
        let again = browser.get(&again).await.expect(200);
        again.has(headline).has("Declined just now").has("Try again");
        assert!(again.text.contains("value=\"40.00\""), "the amount is kept");
        assert!(!again.text.contains(&format!("value=\"{card}\" checked")), "another card");
        let ask = browser.get(&format!("/wallet/cards/{card}/remove")).await.expect(200);
        let removed = browser.submit(&ask, &format!("/wallet/cards/{card}/remove"), &[]).await;
        assert_eq!(removed.location(), "/wallet/cards?done=removed");
    }
    browser.get("/wallet/history?status=failed").await.expect(200).has("not charged");
    browser.get("/wallet").await.expect(200).has("$25.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmations_new_cards_and_unknown_outcomes_have_one_address_each() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", &[]).await;
    let browser = world.signed_in("acme").await;
    let card = Card { authentication: Authentication::Always, ..Card::default() };
    let card = world.save(&browser, card).await;
    let begin = async |amount: &str, method: &str| {
        let path =
            format!("/wallet/add-funds/confirm?amount={amount}&payment_method={method}&save=1");
        let check = browser.get(&path).await.expect(200);
        let sent = browser.submit(&check, "/wallet/refills", &[]).await.expect(303);
        sent.location().to_owned()
    };
    let ends = async |refill: &str, words: &str| {
        until(words, SOON, async || {
            let part = browser.get(&format!("{refill}/part")).await.expect(200);
            part.words().contains(words).then_some(())
        })
        .await;
    };
    // 3-D Secure: the bank's page by a link, and back by the payment's id.
    for (confirms, words) in [(true, "$20.00 added"), (false, "did not succeed")] {
        let refill = begin("20", &card).await;
        let seen = browser.get(&refill).await.expect(200);
        seen.has("Your bank wants you to confirm").has("Nothing is charged before you do.");
        let bank = seen.attribute("class=\"btn primary\" href");
        assert!(bank.starts_with(&world.stripe.url), "{bank}");
        let payment = seen.attribute("data-copy");
        world.stripe.local.authenticate(&payment, confirms).expect("it waits");
        let returned = format!("/wallet/refills/return?payment_intent={payment}&x=1");
        assert_eq!(browser.get(&returned).await.expect(303).location(), refill);
        ends(&refill, words).await;
    }
    // A new card: Stripe's field gets the secret, and the page tells how it ended.
    let refill = begin("30", "new").await;
    let seen = browser.get(&refill).await.expect(200);
    assert_eq!(seen.attribute("data-key"), "pk_test_of_the_tests");
    assert_eq!(seen.attribute("data-stripe"), "payment");
    assert!(seen.attribute("data-secret").contains("_secret"), "{}", seen.text);
    let policy = seen.header("content-security-policy").expect("a policy");
    let script = format!("script-src 'self' {};", world.stripe.url);
    assert!(policy.contains(&script), "{policy}");
    browser.get(&refill).await.expect(200).has("Your card");
    // Stripe breaks off: nobody knows, the page says so, and one payment comes of it.
    let plain = world.save(&browser, Card::default()).await;
    world.stripe.local.change_behaviour(|behaviour| behaviour.refuses_connections = true);
    let asked = browser.get("/wallet/add-funds").await.expect(200);
    asked.has("does not answer right now");
    world.stripe.local.change_behaviour(|behaviour| behaviour.refuses_connections = false);
    let path = format!("/wallet/add-funds/confirm?amount=60&payment_method={plain}");
    let check = browser.get(&path).await.expect(200);
    world.stripe.local.change_behaviour(|behaviour| behaviour.refuses_connections = true);
    let sent = browser.submit(&check, "/wallet/refills", &[]).await.expect(303);
    let refill = sent.location().to_owned();
    let seen = browser.get(&refill).await.expect(200);
    seen.has("We are checking your payment").has("Please do not pay again").has("Not known yet");
    let again = browser.submit(&check, "/wallet/refills", &[]).await.expect(303);
    assert_eq!(again.location(), refill);
    world.stripe.local.change_behaviour(|behaviour| behaviour.refuses_connections = false);
    ends(&refill, "$60.00 added").await;
    let paid: i64 = world.stripe.local.totals().values().map(|totals| totals.captured).sum();
    assert_eq!(paid, 8_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cards_are_chosen_renewed_and_removed_without_scripts() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", &[]).await;
    let browser = world.signed_in("acme").await;
    browser.get("/wallet/cards").await.expect(200).has("No card is saved");
    let first = world.save(&browser, Card::default()).await;
    browser.get("/wallet/cards").await.expect(200).has("Visa •••• 4242");
    let second = world.save(&browser, Card { last4: "4444".to_owned(), ..Card::default() }).await;
    let page = browser.get("/wallet/cards").await.expect(200);
    let path = format!("/wallet/cards/{second}/default");
    let chosen = browser.submit(&page, &path, &[]).await.expect(303);
    browser.get(chosen.location()).await.expect(200).has("The default card is changed.");
    let path = format!("/wallet/cards/{first}/expiry");
    let date = [("exp_month", "7"), ("exp_year", "2041")];
    let renewed = browser.submit(&page, &path, &date).await.expect(303);
    browser.get(renewed.location()).await.expect(200).has("07/2041");
    browser.submit(&page, &path, &[("exp_month", "13"), ("exp_year", "2041")]).await.expect(400);
    let path = format!("/wallet/cards/{second}/remove");
    let ask = browser.get(&path).await.expect(200);
    ask.has("Remove Visa •••• 4444?").has("newest other card becomes the default");
    browser.submit(&ask, &path, &[]).await.expect(303);
    browser.get("/wallet/cards").await.expect(200).lacks("4444").has("Default");
    browser.get(&path).await.expect(404);
    let done = ("user:ada".to_owned(), "card_removed".to_owned());
    assert!(world.audit("acme").await.contains(&done));
    // A key of Stripe is no condition for the rest of the page.
    let bare = crate::harness::system::System::new().await;
    let mut bare = bare;
    let api = bare.serve("api").await;
    bare.open(&api, &[crate::harness::samples::account("acme", 1_000_000)]).await;
    let link = api.post("/v1/accounts/acme/sign-in-links", &json!({})).await.expect(201);
    let url = link["url"].as_str().expect("a url");
    let browser = super::Browser::new(&api.base);
    browser.get(url.strip_prefix(&api.base).expect("ours")).await.expect(303);
    for path in ["/wallet", "/wallet/add-funds", "/wallet/cards", "/wallet/auto-refill"] {
        browser.get(path).await.expect(200);
    }
}
