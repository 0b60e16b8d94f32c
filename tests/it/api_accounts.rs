//! Accounts and their subscriptions over HTTP.

use crate::authorizations::{allowed, ask};
use crate::harness::samples::{
    account, account_sid, call_sid, completed, no_account_sids, now, on_calls, subscribed,
};
use crate::harness::system::System;
use crate::model::time::{DAY, HOUR, rfc3339};
use serde_json::{Value, json};

#[tokio::test]
async fn an_account_is_created_once_and_shown_and_changed() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let body = json!({
        "id": "acme", "name": "Acme", "twilio_account_sid": account_sid(1), "opening_balance": "12.345678",
        "email": "billing@example.com",
    });
    let created = api.post("/v1/accounts", &body).await.expect(201);
    for key in ["id", "name", "twilio_account_sid", "email"] {
        assert_eq!(created[key], body[key], "{created}");
    }
    assert_eq!(api.get("/v1/accounts/acme").await.expect(200), created);
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "12.345678");
    assert_eq!(wallet["held"], "0.000000");
    assert_eq!(wallet["available"], "12.345678");
    assert_eq!(wallet["credit_limit"], "0.000000");
    assert_eq!(wallet["state"], "low", "below the threshold of 20 dollars");
    assert_eq!(wallet["allowance"], Value::Null);

    let same_id = json!({"id": "acme", "name": "B", "twilio_account_sid": account_sid(2)});
    api.post("/v1/accounts", &same_id).await.problem(409);
    let taken_sid = json!({"id": "other", "name": "B", "twilio_account_sid": account_sid(1)});
    api.post("/v1/accounts", &taken_sid).await.problem(409);
    api.get("/v1/accounts/other").await.problem(404);

    let change = json!({"name": "Acme Ltd", "credit_limit": "5.5", "on_redis_loss": "fail_open"});
    let changed = api.patch("/v1/accounts/acme", &change).await.expect(200);
    assert_eq!(changed["name"], "Acme Ltd");
    assert_eq!(changed["credit_limit"], "5.500000");
    assert_eq!(changed["on_redis_loss"], "fail_open");
    assert_eq!(changed["email"], "billing@example.com");
    assert_eq!(api.get("/v1/accounts/acme").await.expect(200), changed);
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["available"], "17.845678");
    let more = json!({"credit_limit": "7.654322"});
    api.patch("/v1/accounts/acme", &more).await.expect(200);
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!((&wallet["available"], &wallet["state"]), (&json!("20.000000"), &json!("active")));
}

#[tokio::test]
async fn a_wallet_is_empty_when_nothing_can_be_granted() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let accounts = [account("poor", 0), subscribed(account("planned", 0), "starter", now() - DAY)];
    system.open(&api, &accounts).await;
    assert_eq!(api.get("/v1/accounts/poor/wallet").await.expect(200)["state"], "empty");
    let planned = api.get("/v1/accounts/planned/wallet").await.expect(200);
    assert_ne!(planned["state"], "empty", "an allowance can be granted: {planned}");
    let allowance = &planned["allowance"];
    assert_eq!(allowance["plan"], "starter");
    assert_eq!(allowance["cycle_start"], rfc3339(accounts[1].changes[0].starts_at));
    assert_eq!(allowance["included_seconds"], 6_000);
    assert_eq!(allowance["used_seconds"], 0);
    assert_eq!(allowance["held_seconds"], 0);
    assert_eq!(allowance["remaining_seconds"], 6_000);
}

#[tokio::test]
async fn whoever_has_no_key_learns_nothing() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let paths = [
        "/v1/accounts/acme",
        "/v1/accounts/nobody",
        "/v1/accounts/acme/wallet",
        "/v1/accounts/acme/calls",
        "/v1/accounts/acme/transactions",
    ];
    for key in [None, Some(""), Some("an-admin-key-of-the-tests-012345678"), Some("wrong")] {
        for path in paths {
            api.with_key(key).get(path).await.problem(401);
        }
        let body = json!({"id": "b", "name": "B", "twilio_account_sid": account_sid(2)});
        api.with_key(key).post("/v1/accounts", &body).await.problem(401);
        for open in ["/livez", "/readyz", "/readyz/api", "/metrics"] {
            assert_eq!(api.with_key(key).get(open).await.status, 200, "{open}");
        }
    }
    for path in ["/v1/accounts/nobody", "/v1/accounts/nobody/wallet", "/v1/nothing", "/v2"] {
        api.get(path).await.problem(404);
    }
    for list in ["calls", "transactions"] {
        api.get(&format!("/v1/accounts/nobody/{list}")).await.problem(404);
    }
}

#[tokio::test]
async fn an_account_that_makes_no_sense_is_refused_with_the_field_at_fault() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let long = "x".repeat(300);
    let nul = "a\u{0}b";
    let good = json!({"id": "new", "name": "New", "twilio_account_sid": account_sid(9)});
    let cases = [
        ("id", json!("")),
        ("id", json!("a b")),
        ("id", json!("../x")),
        ("id", json!(long)),
        ("id", json!(7)),
        ("id", Value::Null),
        ("name", json!(nul)),
        ("name", json!(["New"])),
        ("twilio_account_sid", json!("")),
        ("twilio_account_sid", json!(nul)),
        ("opening_balance", json!("1.0000001")),
        ("opening_balance", json!("-1")),
        ("opening_balance", json!("1e3")),
        ("opening_balance", json!("99999999999999999999")),
        ("opening_balance", json!("NaN")),
        ("opening_balance", json!(1.5)),
    ];
    for (field, value) in cases {
        let mut body = good.clone();
        body[field] = value;
        let answer = api.post("/v1/accounts", &body).await;
        answer.problem(400);
        assert!(answer.text.contains(field), "{field} of {body} is not named: {}", answer.text);
    }
    for sid in no_account_sids() {
        let mut body = good.clone();
        body["twilio_account_sid"] = json!(sid);
        let told = api.post("/v1/accounts", &body).await.expect(400);
        assert_eq!(told["errors"][0]["field"], "twilio_account_sid", "{sid}: {told}");
        let token = json!({"twilio_auth_token": "t", "twilio_account_sid": sid});
        let told = api.patch("/v1/accounts/acme", &token).await.expect(400);
        assert_eq!(told["errors"][0]["field"], "twilio_account_sid", "{sid}: {told}");
    }
    for field in ["id", "name", "twilio_account_sid"] {
        let mut body = good.clone();
        body.as_object_mut().expect("an object").remove(field);
        let answer = api.post("/v1/accounts", &body).await;
        answer.problem(400);
        assert!(answer.text.contains(field), "{field} is not named: {}", answer.text);
    }
    for body in ["", "{", "[]", "null", "{\"id\":\"\\ud800\"}"] {
        let body = Some(body.as_bytes().to_vec());
        let sent = api.send(reqwest::Method::POST, "/v1/accounts", &[], body).await;
        sent.expect("an answer").problem(400);
    }
    api.get("/v1/accounts/new").await.problem(404);

    let before = api.get("/v1/accounts/acme").await.expect(200);
    let changes = [
        ("credit_limit", json!("-1")),
        ("credit_limit", json!("0.0000001")),
        ("on_redis_loss", json!("ask")),
        ("calls_in_progress_max", json!(-1)),
        ("name", json!("")),
    ];
    for (field, value) in changes {
        let answer = api.patch("/v1/accounts/acme", &json!({ field: value })).await;
        answer.problem(400);
        assert!(answer.text.contains(field), "{field} is not named: {}", answer.text);
    }
    assert_eq!(api.get("/v1/accounts/acme").await.expect(200), before);
    api.patch("/v1/accounts/nobody", &json!({"name": "X"})).await.problem(404);
}

#[tokio::test]
async fn a_subscription_begins_changes_and_ends_at_any_instant() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let path = "/v1/accounts/acme/subscription";
    let plan_now = async || {
        let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
        let allowance = &wallet["allowance"];
        (allowance["plan"].clone(), allowance["cycle_start"].clone())
    };
    let put = async |plan: Value, starts_at| {
        let body = json!({"plan": plan, "starts_at": rfc3339(starts_at)});
        api.put(path, &body).await.expect(200);
    };
    let now = now();
    put(json!("starter"), now - 2 * DAY).await;
    assert_eq!(plan_now().await, (json!("starter"), json!(rfc3339(now - 2 * DAY))));
    put(json!("team"), now + HOUR).await;
    assert_eq!(plan_now().await.0, "starter", "the next one has not begun");
    put(json!("starter"), now - DAY).await;
    assert_eq!(plan_now().await.1, rfc3339(now - 2 * DAY), "the plan already in force: no change");
    put(json!("team"), now - HOUR).await;
    assert_eq!(plan_now().await, (json!("team"), json!(rfc3339(now - HOUR))));
    put(Value::Null, now - HOUR / 2).await;
    assert_eq!(plan_now().await, (Value::Null, Value::Null));

    let cases = [
        ("plan", json!({"plan": "gold", "starts_at": rfc3339(now)})),
        ("plan", json!({"plan": 3, "starts_at": rfc3339(now)})),
        ("starts_at", json!({"plan": "team", "starts_at": "yesterday"})),
        ("starts_at", json!({"plan": "team", "starts_at": "2026-02-30T00:00:00Z"})),
        ("starts_at", json!({"plan": "team"})),
    ];
    for (field, body) in cases {
        let answer = api.put(path, &body).await;
        answer.problem(400);
        assert!(answer.text.contains(field), "{field} is not named: {}", answer.text);
    }
    let body = json!({"plan": "team", "starts_at": rfc3339(now)});
    api.put("/v1/accounts/nobody/subscription", &body).await.problem(404);
    assert_eq!(plan_now().await, (Value::Null, Value::Null));
}

#[tokio::test]
async fn balance_and_credit_limit_together_stay_within_the_range_of_amounts() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 9_000_000_000_000_000)]).await;
    for limit in ["9000000000", "7199254.740992"] {
        let answer = api.patch("/v1/accounts/acme", &json!({ "credit_limit": limit })).await;
        assert_eq!(answer.problem(422), "balance_out_of_range", "{limit}");
    }
    let limit = json!({"credit_limit": "7199254.740991"});
    api.patch("/v1/accounts/acme", &limit).await.expect(200);
    allowed(&ask(&api, "acme", "CA1", 60).await);
    let credit = json!({"type": "credit", "amount": "0.000001", "description": "one too many"});
    let answer = api.post("/v1/accounts/acme/adjustments", &credit).await;
    assert_eq!(answer.problem(422), "balance_out_of_range");
    allowed(&ask(&api, "acme", "CA2", 60).await);
}

#[tokio::test]
async fn a_stored_account_sid_of_another_form_still_pays_and_is_still_asked_about() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let mut odd = acme.clone();
    odd.sid = "ac-of-old".to_owned();
    sqlx::query(
        "INSERT INTO twilio_accounts (account_key, twilio_account_sid, linked_at)
         SELECT account_key, $1, linked_at FROM twilio_accounts WHERE twilio_account_sid = $2",
    )
    .bind(&odd.sid)
    .bind(&acme.sid)
    .execute(&mut system.sql().await)
    .await
    .expect("it is stored");
    let asked = json!({"twilio_account_sid": odd.sid, "call_sid": call_sid(1), "seconds": 60,
        "from": "+15005550001", "to": "+12125550123"});
    allowed(&api.post("/v1/authorizations", &asked).await);
    system.produce(&[on_calls(0, &completed(&odd, &call_sid(1), 61, now()))]).await;
    system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("a list").len(), 1);
    let shown = api.get("/v1/accounts/acme").await.expect(200);
    assert_eq!(shown["twilio_account_sids"], json!([acme.sid, odd.sid]));
}
