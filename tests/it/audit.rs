//! The audit log: who did what, before and after, why, and in which request.

use crate::harness::api::{ADMIN_KEY, Api};
use crate::harness::samples::{account, account_sid, now};
use crate::harness::system::System;
use crate::model::time::{DAY, rfc3339};
use reqwest::Method;
use serde_json::{Value, json};

/// All entries after the first `known` ones, oldest first.
async fn noted_since(api: &Api, known: usize) -> Vec<Value> {
    let mut items = api.items("/v1/audit", 7).await.expect("the audit");
    items.reverse();
    items.split_off(known)
}

fn actions(noted: &[Value]) -> Vec<&str> {
    noted.iter().map(|row| row["action"].as_str().expect("an action")).collect()
}

#[tokio::test]
async fn every_act_of_an_administrator_is_noted_with_what_was_before_and_after() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let because = [("x-reason", "Grüße von der Buchhaltung"), ("x-request-id", "req-7")];
    let send = async |method: Method, path: &str, body: Value| {
        let body = Some(body.to_string().into_bytes());
        let answer = api.send(method, path, &because, body).await.expect("an answer");
        assert!(answer.status < 300, "{path}: {answer:?}");
        answer
    };
    let known = noted_since(&api, 0).await.len();
    let acme = json!({
        "id": "acme", "name": "Ada Lovelace", "email": "ada@example.com",
        "twilio_account_sid": account_sid(1), "opening_balance": "5",
    });
    send(Method::POST, "/v1/accounts", acme).await;
    let limits = json!({"credit_limit": "10", "email": "lovelace@example.com"});
    send(Method::PATCH, "/v1/accounts/acme", limits).await;
    send(Method::POST, "/v1/accounts/acme/close", json!({})).await;
    send(Method::POST, "/v1/accounts/acme/reopen", json!({})).await;
    let plan = json!({"plan": "starter", "starts_at": rfc3339(now() - DAY)});
    send(Method::PUT, "/v1/accounts/acme/subscription", plan).await;
    let credit = json!({"type": "credit", "amount": "1.5", "description": "Sorry"});
    send(Method::POST, "/v1/accounts/acme/adjustments", credit).await;
    let key = json!({"name": "Theirs", "scope": "account", "account": "acme"});
    let key = send(Method::POST, "/v1/keys", key).await.json();
    let path = format!("/v1/keys/{}", key["id"].as_str().expect("an id"));
    send(Method::DELETE, &path, json!({})).await;
    let noted = noted_since(&api, known).await;
    assert_eq!(
        actions(&noted),
        [
            "account_created",
            "account_changed",
            "account_closed",
            "account_reopened",
            "subscription_changed",
            "wallet_adjusted",
            "key_created",
            "key_revoked",
        ]
    );
    for row in &noted {
        assert_eq!((&row["who"], &row["request_id"]), (&json!("admin"), &json!("req-7")));
        assert_eq!((&row["account"], &row["why"]), (&json!("acme"), &json!(because[0].1)));
    }
    let [created, changed, closed, _, subscribed, adjusted, keyed, revoked] = &noted[..] else {
        unreachable!("eight rows");
    };
    assert_eq!(created["before"], Value::Null);
    assert_eq!(created["after"]["opening_balance"], "5.000000");
    assert_eq!(changed["before"]["credit_limit"], "0.000000");
    assert_eq!(changed["after"]["credit_limit"], "10.000000");
    assert_ne!(changed["before"]["email"], changed["after"]["email"]);
    assert_eq!(
        (&closed["before"]["status"], &closed["after"]["status"]),
        (&json!("open"), &json!("closed"))
    );
    assert_eq!(
        (&subscribed["before"]["plan"], &subscribed["after"]["plan"]),
        (&Value::Null, &json!("starter"))
    );
    assert_eq!(adjusted["before"]["balance"], "5.000000");
    assert_eq!(adjusted["after"]["balance"], "6.500000");
    assert_eq!(keyed["after"]["prefix"], key["prefix"]);
    assert_eq!(revoked["before"]["revoked_at"], Value::Null);
    let all = json!(noted).to_string();
    for secret in
        ["lovelace@", "ada@", "Lovelace", &key["key"].as_str().expect("a key")[10..], ADMIN_KEY]
    {
        assert!(!all.contains(secret), "{secret} is in the audit: {all}");
    }
}

#[tokio::test]
async fn what_is_refused_or_repeated_is_not_noted() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let known = noted_since(&api, 0).await.len();
    let again = json!({"id": "acme", "name": "B", "twilio_account_sid": account_sid(9)});
    api.post("/v1/accounts", &again).await.problem(409);
    api.patch("/v1/accounts/nobody", &json!({"name": "x"})).await.problem(404);
    let credit = json!({"type": "credit", "amount": "1", "description": "x"});
    let body = credit.to_string().into_bytes();
    for _ in 0..3 {
        let headers = [("idempotency-key", "once")];
        let path = "/v1/accounts/acme/adjustments";
        let sent = api.send(Method::POST, path, &headers, Some(body.clone())).await;
        sent.expect("an answer").expect(201);
    }
    assert_eq!(actions(&noted_since(&api, known).await), ["wallet_adjusted"]);
    for reason in ["", "  ", "a\tb", &"x".repeat(501)] {
        let headers = [("x-reason", reason)];
        let path = "/v1/accounts/acme/adjustments";
        let sent = api.send(Method::POST, path, &headers, Some(body.clone())).await;
        let answer = sent.expect("an answer");
        answer.problem(400);
        assert!(answer.text.contains("X-Reason"), "{}", answer.text);
    }
    assert_eq!(noted_since(&api, known).await.len(), 1);
}

#[tokio::test]
async fn what_changes_nothing_is_not_noted() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let starts_at = rfc3339(now() - DAY);
    system.open(&api, &[account("acme", 0)]).await;
    let (path, token) = ("/v1/accounts/acme", "0123456789abcdef0123456789abcdef");
    let subscription = format!("{path}/subscription");
    let plan = json!({"plan": "starter", "starts_at": starts_at});
    assert_eq!(api.put(&subscription, &plan).await.expect(200)["changed"], true);
    let known = noted_since(&api, 0).await.len();

    assert_eq!(api.put(&subscription, &plan).await.expect(200)["changed"], false);
    for body in [json!({}), json!({"credit_limit": "0", "name": "A customer", "email": null})] {
        api.patch(path, &body).await.expect(200);
    }
    let reopen = format!("{path}/reopen");
    api.post(&reopen, &json!({})).await.expect(200);
    assert_eq!(noted_since(&api, known).await, Vec::<Value>::new());

    api.patch(path, &json!({"twilio_auth_token": token})).await.expect(200);
    api.patch(path, &json!({"twilio_auth_token": token})).await.expect(200);
    // Same length and first letter as before: masked, both look the same.
    api.patch(path, &json!({"name": "A CUSTOMER"})).await.expect(200);
    let (key, _) = crate::keys::make(&api, "admin", None).await;
    for _ in 0..2 {
        assert_eq!(crate::keys::revoke(&api, &key).await.status, 204);
    }
    let later = rfc3339(now());
    let none = json!({"plan": null, "starts_at": later});
    assert_eq!(api.put(&subscription, &none).await.expect(200)["changed"], true);
    let noted = noted_since(&api, known).await;
    let expected = [
        "twilio_token_set",
        "account_changed",
        "key_created",
        "key_revoked",
        "subscription_changed",
    ];
    assert_eq!(actions(&noted), expected);
    let instant = |value: &Value| {
        let text = value["starts_at"].as_str().unwrap_or_else(|| panic!("no starts_at: {value}"));
        chrono::DateTime::parse_from_rfc3339(text).expect("an instant")
    };
    let (before, after) = (&noted[4]["before"], &noted[4]["after"]);
    assert_eq!((&before["plan"], &after["plan"]), (&json!("starter"), &Value::Null));
    assert_eq!(instant(before), instant(&plan), "{before}");
    assert_eq!(instant(after), instant(&none), "{after}");
}

#[tokio::test]
async fn what_is_done_at_the_machine_is_noted_with_the_user() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    system.open(&api, &[account("acme", 0)]).await;
    system.settle(&api).await;
    let known = noted_since(&api, 0).await.len();
    let topic = system.topic(crate::model::read::Topic::Calls);
    for arguments in [
        &["account", "create", "new", "--name", "New", "--twilio-account-sid", &account_sid(7)][..],
        &["account", "subscribe", "new", "--plan", "starter"],
        &["account", "link", "new", &account_sid(8)],
        &["account", "close", "new"],
        &["account", "reopen", "new"],
        &["key", "create", "--name", "CLI", "--scope", "admin"],
        &["key", "revoke", "key_1"],
        &["offsets", "set", "--topic", &topic, "--partition", "0", "--offset", "0"],
    ] {
        let arguments = [arguments, &["--reason", "as agreed"]].concat();
        system.run(&arguments).expect_success();
    }
    let noted = noted_since(&api, known).await;
    assert_eq!(
        actions(&noted),
        [
            "account_created",
            "subscription_changed",
            "twilio_account_linked",
            "account_closed",
            "account_reopened",
            "key_created",
            "key_revoked",
            "offset_set",
        ]
    );
    for row in &noted {
        assert!(row["who"].as_str().is_some_and(|who| who.starts_with("cli:")), "{row}");
        assert_eq!((&row["why"], &row["request_id"]), (&json!("as agreed"), &Value::Null));
    }
    assert_eq!(noted[7]["before"], json!({"next_offset": 1}));
    assert_eq!(noted[7]["after"], json!({"next_offset": 0}));
    let first = &noted_since(&api, 0).await[0];
    assert_eq!((&first["action"], &first["who"]), (&json!("catalog_accepted"), &json!("serve")));
}

#[tokio::test]
async fn the_audit_is_searched_by_account_action_and_time_and_never_changes() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0), account("beta", 0)]).await;
    api.patch("/v1/accounts/acme", &json!({"name": "x"})).await.expect(200);
    let count = async |query: &str| {
        api.items(&format!("/v1/audit?{query}"), 2).await.expect("a list").len()
    };
    assert_eq!(count("account=acme").await, 2);
    assert_eq!(count("account=acme&action=account_changed").await, 1);
    assert_eq!(count("action=account_created").await, 3);
    assert_eq!(count("account=nobody").await, 0);
    let later = rfc3339(now() + DAY);
    assert_eq!(count(&format!("from={later}")).await, 0);
    assert_eq!(count(&format!("account=acme&to={later}")).await, 2);
    for query in ["action=dance", "account=a%20b", "from=soon", "who=me", "after=x"] {
        api.get(&format!("/v1/audit?{query}")).await.problem(400);
    }
    let mut sql = system.sql().await;
    for statement in ["UPDATE audit SET who = 'x'", "DELETE FROM audit", "TRUNCATE audit"] {
        let error = sqlx::query(statement).execute(&mut sql).await.expect_err(statement);
        assert!(error.to_string().contains("append-only"), "{statement}: {error}");
    }
}
