//! Transactions, adjustments and charges over HTTP.

use crate::harness::api::Api;
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use crate::model::time::{MINUTE, rfc3339};
use reqwest::Method;
use serde_json::{Value, json};

async fn adjust(api: &Api, kind: &str, amount: &str) -> Value {
    let body = json!({"type": kind, "amount": amount, "description": format!("{kind} {amount}")});
    api.post("/v1/accounts/acme/adjustments", &body).await.expect(201)
}

#[tokio::test]
async fn an_adjustment_moves_the_balance_and_leaves_a_row() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let credit = adjust(&api, "credit", "0.25").await;
    assert_eq!(credit["type"], "credit");
    assert_eq!(credit["kind"], "adjustment_credit");
    assert_eq!(credit["sequence"], 2);
    assert_eq!(credit["amount"], "0.250000");
    assert_eq!(credit["balance_before"], "1.000000");
    assert_eq!(credit["balance_after"], "1.250000");
    assert_eq!(credit["status"], "completed");
    assert_eq!(credit["description"], "credit 0.25");
    let debit = adjust(&api, "debit", "2").await;
    assert_eq!(debit["kind"], "adjustment_debit");
    assert_eq!(debit["balance_after"], "-0.750000", "a debit may pass below zero");
    let refers = json!({"type": "credit", "amount": "0.5", "description": "a correction",
        "refers_to": debit["id"]});
    let correction = api.post("/v1/accounts/acme/adjustments", &refers).await.expect(201);
    assert_eq!(correction["refers_to"], debit["id"]);
    let listed = api.items("/v1/accounts/acme/transactions", 2).await.expect("a list");
    assert_eq!(listed.len(), 4);
    assert_eq!(listed[0], correction, "newest first");
    assert_eq!(listed[2], credit);
    assert_eq!(api.get("/v1/accounts/acme/wallet").await.expect(200)["balance"], "-0.250000");

    let cases = [
        ("type", json!("gift")),
        ("type", Value::Null),
        ("amount", json!("0")),
        ("amount", json!("-1")),
        ("amount", json!("0.0000001")),
        ("amount", json!("ten")),
        ("amount", json!("9223372036854775807")),
        ("amount", json!(1)),
        ("description", json!("")),
        ("refers_to", json!("no such row")),
    ];
    for (field, value) in cases {
        let mut body = json!({"type": "credit", "amount": "1", "description": "x"});
        body[field] = value;
        let answer = api.post("/v1/accounts/acme/adjustments", &body).await;
        answer.problem(400);
        assert!(answer.text.contains(field), "{field} of {body} is not named: {}", answer.text);
    }
    let body = json!({"type": "credit", "amount": "1", "description": "x"});
    api.post("/v1/accounts/nobody/adjustments", &body).await.problem(404);
    assert_eq!(api.transactions("acme").await.expect("a list").len(), 4);
}

#[tokio::test]
async fn a_request_repeated_with_its_idempotency_key_is_answered_and_not_done_again() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0), account("other", 0)]).await;
    let send = async |account: &str, key: &str, amount: &str| {
        let body = json!({"type": "credit", "amount": amount, "description": "once"});
        let path = format!("/v1/accounts/{account}/adjustments");
        let headers = [("idempotency-key", key)];
        let body = Some(body.to_string().into_bytes());
        api.send(Method::POST, &path, &headers, body).await.expect("an answer")
    };
    let first = send("acme", "k-1", "1").await;
    let again = send("acme", "k-1", "1").await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    assert_eq!((first.replayed, again.replayed), (false, true));
    send("acme", "k-1", "2").await.problem(422);
    assert_eq!(send("other", "k-1", "3").await.status, 201, "keys are kept per path");
    assert_eq!(send("acme", "k-2", "1").await.status, 201);
    let (left, right) = tokio::join!(send("acme", "k-3", "4"), send("acme", "k-3", "4"));
    let statuses = [left.status, right.status];
    assert!(
        statuses.contains(&201) && statuses.iter().all(|s| [201, 409].contains(s)),
        "{statuses:?}"
    );
    assert_eq!(api.transactions("acme").await.expect("a list").len(), 3);
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "6.000000");
}

#[tokio::test]
async fn transactions_are_listed_newest_first_by_page_and_filter() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 50_000_000);
    system.open(&api, [&acme]).await;
    let end = now() - MINUTE;
    let calls: Vec<_> = (0..7)
        .map(|n| on_calls(n % 4, &completed(&acme, &format!("CA{n}"), 61 + i64::from(n), end)))
        .collect();
    system.produce(&calls).await;
    system.settle(&api).await;
    let marker = adjust(&api, "debit", "1").await;
    adjust(&api, "credit", "2").await;

    let all = api.items("/v1/accounts/acme/transactions", 1_000).await.expect("a list");
    let sequences: Vec<_> = all.iter().filter_map(|row| row["sequence"].as_i64()).collect();
    assert_eq!(sequences, (1..=10).rev().collect::<Vec<_>>());
    for limit in [1, 2, 3, 10] {
        let paged = api.items("/v1/accounts/acme/transactions", limit).await.expect("a list");
        assert_eq!(paged, all, "by pages of {limit}");
    }
    let count = async |filter: &str| {
        let path = format!("/v1/accounts/acme/transactions?{filter}");
        api.items(&path, 2).await.unwrap_or_else(|error| panic!("{filter}: {error:#}")).len()
    };
    let since = marker["at"].as_str().expect("an instant");
    let cases = [
        ("type=credit".to_owned(), 2),
        ("type=debit".to_owned(), 8),
        ("kind=call".to_owned(), 7),
        ("kind=adjustment_debit".to_owned(), 1),
        ("kind=overage".to_owned(), 0),
        ("status=completed".to_owned(), 10),
        ("status=failed".to_owned(), 0),
        ("type=debit&kind=call&status=completed".to_owned(), 7),
        (format!("from={since}"), 2),
        (format!("to={since}"), 8),
        ("from=2100-01-01T00:00:00Z".to_owned(), 0),
    ];
    for (filter, expected) in cases {
        assert_eq!(count(&filter).await, expected, "{filter}");
    }
    let bad = [
        "type=gift",
        "kind=gift",
        "status=odd",
        "from=yesterday",
        "to=1",
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=nonsense",
        "colour=red",
    ];
    for query in bad {
        let answer = api.get(&format!("/v1/accounts/acme/transactions?{query}")).await;
        answer.problem(400);
        let name = query.split('=').next().expect("a name");
        assert!(answer.text.contains(name), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn transactions_are_exported_as_csv() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_500_000)]).await;
    let body = json!({"type": "debit", "amount": "0.5", "description": "a \"comma\", and =1+1"});
    api.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    let headers = [("accept", "text/csv")];
    let path = "/v1/accounts/acme/transactions";
    let answer = api.send(Method::GET, path, &headers, None).await.expect("an answer");
    assert_eq!((answer.status, &*answer.content_type), (200, "text/csv"));
    let mut lines = answer.text.lines();
    let head = lines.next().expect("a head");
    assert!(head.starts_with("id,sequence,at,type,kind,amount,balance_before,balance_after"));
    let rows: Vec<&str> = lines.collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].contains("\"a \"\"comma\"\", and =1+1\""), "{}", rows[0]);
    assert!(rows[0].contains(",0.500000,1.500000,1.000000,"), "{}", rows[0]);
}

#[tokio::test]
async fn charges_are_listed_newest_first_by_page_and_filter() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    let end = now() - 90 * MINUTE;
    let calls: Vec<_> = (0..)
        .take(9)
        .zip(0..)
        .map(|(n, minutes)| on_calls(0, &completed(&acme, &call_sid(n), 1, end + MINUTE * minutes)))
        .collect();
    system.produce(&calls).await;
    system.settle(&api).await;
    let all = api.items("/v1/accounts/acme/calls", 1_000).await.expect("a list");
    let sids: Vec<_> = all.iter().filter_map(|row| row["call_sid"].as_str()).collect();
    assert_eq!(sids, (0..9).rev().map(call_sid).collect::<Vec<_>>());
    for limit in [1, 4, 9] {
        let paged = api.items("/v1/accounts/acme/calls", limit).await.expect("a list");
        assert_eq!(paged, all, "by pages of {limit}");
    }
    let from = rfc3339(end + 3 * MINUTE - 1_000_000);
    let to = rfc3339(end + 6 * MINUTE - 1_000_000);
    let path = format!("/v1/accounts/acme/calls?from={from}&to={to}");
    let some = api.items(&path, 2).await.expect("a list");
    let sids: Vec<_> = some.iter().filter_map(|row| row["call_sid"].as_str()).collect();
    assert_eq!(sids, (3..6).rev().map(call_sid).collect::<Vec<_>>(), "half-open, by start");
    assert_eq!(all[0]["tag"], Value::Null);
    for query in ["limit=0", "limit=1001", "after=x", "from=x", "colour=red"] {
        api.get(&format!("/v1/accounts/acme/calls?{query}")).await.problem(400);
    }
}
