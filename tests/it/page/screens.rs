//! Every main state of the page in Chromium, by `tests/browser/screens.mjs`: axe finds nothing. With
//! `CALLMETER_SCREENS`, a folder, each is taken a picture of (`script/screens`).

use super::in_chromium::{call_before, run};
use super::numbers::at_twilio;
use super::{World, campaigns::tagged};
use crate::authorizations::{allowed, ask};
use crate::harness::samples::{account, call_sid, now};
use crate::model::time::{DAY, SECOND};
use callmeter::simulate::stripe::{Authentication, Card};
use chrono::DateTime;
use reqwest::Method;
use serde_json::{Value, json};

impl World {
    async fn refill(&self, body: &Value, status: &str) {
        let (_, key) = crate::keys::make(&self.admin, "account", Some("acme")).await;
        let own = self.admin.with_key(Some(&key));
        let refill = own.post("/v1/accounts/acme/refills", body).await.expect(201);
        assert_eq!(refill["status"], status, "{refill}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_of_the_page_is_free_of_faults() {
    let (world, twilio) = at_twilio("api,jobs,meter").await;
    let initech = account("initech", 0);
    twilio.subscribe(&initech, Some(&account("acme", 0)));
    world.system.open(&world.admin, [&initech]).await;
    let starts_at = DateTime::from_timestamp((now() - 40 * DAY) / SECOND, 0).expect("a time");
    let plan = json!({ "plan": "starter", "starts_at": starts_at });
    world.admin.put("/v1/accounts/acme/subscription", &plan).await.expect(200);
    let acme = account("acme", 25_000_000);
    let calls: Vec<_> = (1..=40)
        .map(|number| {
            let seconds = 61 + 13 * i64::try_from(number).expect("small");
            tagged(&acme, number, seconds, "spring")
        })
        .collect();
    world.system.produce(&calls).await;
    call_before(&world).await;
    let browser = world.signed_in("acme").await;
    let card = world.save(&browser, Card::default()).await;
    browser.get("/wallet/cards").await.expect(200);
    let amount = |amount: &str| json!({ "amount": amount, "payment_method": card });
    world.refill(&amount("50.00"), "completed").await;
    let set = |change: fn(&mut Card)| world.stripe.local.set_card(&card, change).expect("a card");
    set(|card| card.decline = Some("insufficient_funds".to_owned()));
    world.refill(&amount("30.00"), "failed").await;
    set(|card| {
        card.decline = None;
        card.authentication = Authentication::Always;
    });
    world.refill(&amount("20.00"), "requires_action").await;
    set(|card| card.authentication = Authentication::Never);
    world
        .refill(&json!({"amount": "25.00", "payment_method": "new"}), "requires_payment_method")
        .await;
    let number = json!({"phone_number": "+12015551000", "country": "US", "type": "local"});
    world.admin.post("/v1/accounts/acme/numbers", &number).await.expect(201);
    let budget = json!({"monthly": "120.00", "warn_at_percent": [50, 80, 100], "stop": false});
    world.admin.put("/v1/accounts/acme/budget", &budget).await.expect(200);
    let terms = json!({"enabled": true, "threshold": "20.00", "amount": "50.00"});
    world.admin.put("/v1/accounts/acme/auto-refill", &terms).await.expect(200);
    for (account, thresholds) in [("acme", json!(["20.00", "5.00"])), ("globex", json!(["10.00"]))]
    {
        let path = format!("/v1/accounts/{account}/alerts");
        world.admin.put(&path, &json!({ "thresholds": thresholds })).await.expect(200);
    }
    for number in [101, 102, 103] {
        allowed(&ask(&world.admin, "acme", &call_sid(number), 600).await);
    }
    let denied = ask(&world.admin, "initech", &call_sid(104), 60).await.expect(200);
    assert_eq!(denied["reason"], "insufficient_funds", "{denied}");
    let path = "/v1/accounts/acme/estimates";
    let estimate =
        json!({"calls": 120, "answer_rate": 0.4, "average_seconds": 300, "tag": "spring"});
    world.admin.send(Method::POST, path, &[], Some(estimate.to_string().into())).await.expect("it");
    run(&world, "screens.mjs").await;
}
