//! Search and purchase, and what is refused.

use super::{World, local, phone_number, text};
use crate::harness::samples::account;
use callmeter::simulate::twilio::{NumberFault, NumberRequest};
use callmeter_core::domain::NumberType;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_found_bought_listed_and_given_back() {
    let world = World::start("api,jobs", 10_000_000).await;
    let prices = world.own.get("/v1/numbers/prices?country=us&type=local").await.expect(200);
    let price =
        json!({"country": "US", "type": "local", "purchase": "1.150000", "monthly": "1.150000"});
    assert_eq!(prices["items"], json!([price]));
    let all = world.admin.get("/v1/numbers/prices").await.expect(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2));
    let path = "/v1/numbers/available?country=US&type=local&contains=5551000";
    let of_account = format!("{path}&account=acme");
    for (api, path) in [(&world.own, path), (&world.admin, path), (&world.admin, &of_account)] {
        let found = api.get(path).await.expect(200);
        let number = &found["items"][0];
        assert_eq!(number["phone_number"], json!(phone_number(0)), "{found}");
        assert_eq!(number["address_requirements"], "none", "{found}");
        assert_eq!(number["price"], "1.150000", "{found}");
    }
    let body = local(&phone_number(0));
    let bought = world.buy_as("first", &body).await.expect(201);
    assert_eq!(bought["status"], "active", "{bought}");
    assert_eq!(world.balance().await, "8.850000");
    let owned = world.at_twilio(&phone_number(0)).expect("Twilio sold it");
    assert_eq!(text(&bought, "sid"), owned.sid);
    let callback = owned.parameters.get("StatusCallback").map(String::as_str);
    assert_eq!(callback, Some("https://callmeter.example/webhooks/twilio/voice"));
    assert!(!owned.parameters.contains_key("VoiceUrl"), "{:?}", owned.parameters);
    // Repeated: the same number, and no other request to Twilio.
    let asked = world.twilio.local.number_requests().len();
    let again = world.buy_as("first", &body).await;
    assert!(again.replayed, "{again:?}");
    assert_eq!(again.expect(201), bought);
    assert_eq!(world.twilio.local.number_requests().len(), asked);
    let other = world.buy_as("first", &local(&phone_number(1))).await;
    assert_eq!(other.problem(422), "idempotency_key_reused");
    assert_eq!(world.buy(&phone_number(0)).await.problem(409), "number_unavailable");
    let listed = world.numbers().await;
    assert_eq!(listed, std::slice::from_ref(&bought));
    assert!(bought["next_renewal"].is_string(), "{bought}");

    let sid = text(&bought, "sid");
    let releasing = world.release(&sid).await.expect(202);
    assert_eq!(releasing["status"], "releasing", "{releasing}");
    assert_eq!(releasing["next_renewal"], json!(null), "{releasing}");
    world.until(&sid, "released").await;
    assert_eq!(world.release(&sid).await.expect(202)["status"], "released");
    assert_eq!(world.release("PNunknown").await.problem(404), "unknown_number");
    assert!(world.at_twilio(&phone_number(0)).is_none());
    assert_eq!(world.balance().await, "8.850000", "nothing comes back");
    world.until_events(&["purchased", "released"]).await;
    // It is for sale again.
    let again = world.buy(&phone_number(0)).await.expect(201);
    assert_eq!(again["status"], "active", "{again}");
    world.assert_twilio_agrees().await;
    let audit = world.admin.get("/v1/audit?account=acme").await.expect(200).to_string();
    for action in ["number_requested", "number_debited", "number_bought", "number_released"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_said_before_any_debit() {
    let world = World::start("api,jobs", 1_000_000).await;
    let path = "/v1/accounts/acme/numbers";
    let bad = json!({"phone_number": "2015551000", "country": "USA", "type": "satellite", "x": 1});
    let refused = world.own.post(path, &bad).await;
    assert_eq!(refused.problem(400), "invalid_request");
    let fields: Vec<_> = refused.json()["errors"].as_array().expect("errors").clone();
    let fields: Vec<_> = fields.iter().map(|error| text(error, "field")).collect();
    assert_eq!(fields, ["phone_number", "country", "type", "x"]);
    let mobile = json!({"phone_number": phone_number(0), "country": "US", "type": "mobile"});
    assert_eq!(world.own.post(path, &mobile).await.problem(422), "no_price");
    assert_eq!(world.buy("+12015559999").await.problem(409), "number_unavailable");

    let poor = world.buy_as("poor", &local(&phone_number(0))).await;
    assert_eq!(poor.problem(422), "insufficient_balance");
    assert_eq!(poor.json()["shortfall"], "0.150000", "{poor:?}");
    let wallet = world.own.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!((&wallet["held"], &wallet["available"]), (&json!("0.000000"), &json!("1.000000")));
    let credit = json!({"type": "credit", "amount": "9", "description": "a gift"});
    world.admin.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);

    world.twilio.local.require_address(&phone_number(1), "local");
    assert_eq!(world.buy(&phone_number(1)).await.problem(422), "address_required");
    world.twilio.local.regulate("DE", NumberType::National);
    let mut german = json!({"phone_number": "+49322211000", "country": "DE", "type": "national"});
    let refused = world.own.post(path, &german).await;
    assert_eq!(refused.problem(422), "address_required");
    assert!(refused.text.contains("bundle_sid"), "{refused:?}");
    world.twilio.local.change_habits(|habits| habits.is_down = true);
    assert_eq!(world.buy(&phone_number(2)).await.problem(503), "twilio_unavailable");
    world.twilio.local.change_habits(|habits| habits.is_down = false);
    // An account whose token is not set right.
    let other = json!({"id": "other", "name": "Other", "opening_balance": "5",
        "twilio_account_sid": account("other", 0).sid});
    world.admin.post("/v1/accounts", &other).await.expect(201);
    let body = local(&phone_number(2));
    let refused = world.admin.post("/v1/accounts/other/numbers", &body).await;
    assert_eq!(refused.problem(409), "twilio_token_refused");
    let found = world.own.get("/v1/numbers/available?country=DE&type=mobile").await.expect(200);
    assert!(found["items"].as_array().is_some_and(|items| !items.is_empty()), "{found}");
    assert_eq!(found["items"][0]["price"], json!(null), "{found}");
    assert_eq!(world.rows().await.len(), 2, "nothing was debited");
    assert!(world.numbers().await.is_empty());

    // With what was missing, and with the money, they are bought.
    german["bundle_sid"] = json!(format!("BU{:032x}", 7));
    let german = world.own.post(path, &german).await.expect(201);
    assert_eq!(german["status"], "active", "{german}");
    let mut local = local(&phone_number(1));
    local["address_sid"] = json!(format!("AD{:032x}", 7));
    assert_eq!(world.own.post(path, &local).await.expect(201)["status"], "active");
    let poor = world.buy_as("poor", &super::local(&phone_number(0))).await.expect(201);
    assert_eq!(poor["status"], "active", "a refused key is free again: {poor}");
    assert_eq!(world.balance().await, "5.900000");
    world.assert_twilio_agrees().await;
    let close = world.admin.post("/v1/accounts/acme/close", &json!({})).await;
    assert_eq!(close.status, 200, "{close:?}");
    assert_eq!(world.buy(&phone_number(5)).await.problem(409), "account_closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_twilio_leaves_one_number_or_gives_the_price_back() {
    let world = World::start("api,jobs", 20_000_000).await;
    let twilio = &world.twilio.local;
    let faults = [
        NumberFault::ServerErrorBeforeEffect,
        NumberFault::ServerErrorAfterEffect,
        NumberFault::HangBeforeEffect,
        NumberFault::HangAfterEffect,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let times = u32::from(!matches!(
            fault,
            NumberFault::HangBeforeEffect | NumberFault::HangAfterEffect
        ));
        twilio.fail_numbers(NumberRequest::Buy, fault, times);
        let pending = world.buy(&phone_number(n)).await.expect(201);
        assert_eq!(pending["status"], "pending", "{fault:?}: {pending}");
        twilio.clear_faults();
        world.until(&text(&pending, "id"), "active").await;
    }
    assert_eq!(world.balance().await, "15.400000");
    for (n, code) in [(10, 21_422), (11, 21_631), (12, 12_345)] {
        twilio.fail_numbers(NumberRequest::Buy, NumberFault::Refuse(code), 1);
        let key = format!("refused-{code}");
        let (status, expected) =
            if code == 21_631 { (422, "address_required") } else { (409, "number_unavailable") };
        for _ in 0..2 {
            let refused = world.buy_as(&key, &local(&phone_number(n))).await;
            assert_eq!(refused.problem(status), expected, "{refused:?}");
        }
    }
    assert_eq!(world.balance().await, "15.400000");
    let rows = world.rows().await;
    let count = |kind: &str| rows.iter().filter(|row| row.0 == kind).count();
    assert_eq!((count("number_purchase"), count("refund")), (7, 3), "{rows:?}");
    world.assert_twilio_agrees().await;
    // Many requests at once, with one key and without: one number.
    let body = local(&phone_number(20));
    let same = (0..8).map(|_| world.buy_as("many", &body));
    let answers = futures::future::join_all(same).await;
    let ids: Vec<_> = answers.iter().map(|answer| text(&answer.expect(201), "id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let wanted = phone_number(21);
    let other = (0..8).map(|_| world.buy(&wanted));
    let answers = futures::future::join_all(other).await;
    let bought = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(bought, 1, "{answers:?}");
    assert_eq!(world.balance().await, "13.100000");
    world.assert_twilio_agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_an_account_gives_its_numbers_back() {
    let world = World::start("api,jobs", 10_000_000).await;
    let bought = world.buy(&phone_number(0)).await.expect(201);
    let other = world.buy(&phone_number(1)).await.expect(201);
    // One that Twilio is still asked for when the account closes.
    world.twilio.local.fail_numbers(NumberRequest::Buy, NumberFault::HangBeforeEffect, 1);
    let late = world.buy(&phone_number(2)).await.expect(201);
    assert_eq!(late["status"], "pending", "{late}");
    let closed = world.admin.post("/v1/accounts/acme/close", &json!({})).await.expect(200);
    assert_eq!(closed["status"], "closed", "{closed}");
    for number in [&bought, &other, &late] {
        let number = world.until(&text(number, "id"), "released").await;
        assert_eq!(number["reason"], "account_closed", "{number}");
    }
    assert!(world.twilio.local.owned_numbers().is_empty(), "Twilio has none");
    let audit = world.admin.items("/v1/audit?account=acme", 100).await.expect("the audit");
    let asked = audit.iter().filter(|row| row["action"] == "number_release_requested");
    assert_eq!(asked.count(), 3, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_keeps_the_numbers_of_a_closed_account() {
    let kept = ("CALLMETER__NUMBERS__RELEASE_ON_CLOSE", "false".to_owned());
    let world = World::start_with("api,jobs", 10_000_000, vec![kept]).await;
    let bought = world.buy(&phone_number(0)).await.expect(201);
    world.admin.post("/v1/accounts/acme/close", &json!({})).await.expect(200);
    let listed = world.admin.items("/v1/accounts/acme/numbers", 100).await.expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&bought["id"], &json!("active")));
    assert!(world.at_twilio(&phone_number(0)).is_some());
}
