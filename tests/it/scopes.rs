//! Who may call what: every key on every path of the API.

use crate::harness::api::{Answer, Api};
use crate::harness::document::{Operation, operations};
use crate::harness::samples::account;
use crate::harness::system::System;
use crate::keys::{make, revoke};
use reqwest::Method;
use serde_json::{Value, json};

/// A fault of a request, whoever sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// Its query has an unknown parameter, and its body is cut off.
    Unreadable,
    /// Its content type is not JSON.
    NotJson,
}

/// The faults that a request of this operation can have, if it accepts a query or a body.
fn faults(operation: Operation) -> Vec<Fault> {
    let mut faults = vec![Fault::Nothing];
    if takes_body(operation) || takes_faulty_query(operation) {
        faults.push(Fault::Unreadable);
    }
    if takes_body(operation) {
        faults.push(Fault::NotJson);
    }
    faults
}

fn takes_body(operation: Operation) -> bool {
    operation.told["x-act"] == true || operation.body().is_some()
}

/// A query that names the account must be parsed before the account is checked.
fn takes_faulty_query(operation: Operation) -> bool {
    let is_telling = operation.has_query("account") && operation.scopes().contains(&"account");
    operation.has_query("limit") || operation.has_query("account") && !is_telling
}

/// Sends an operation for an account, named in its path, query or body, wherever possible.
async fn call(api: &Api, operation: Operation, account: &str, fault: Fault) -> Answer {
    let mut path = operation.path.replace("{account}", account).replace("{call_sid}", "CA1");
    path = path.replace("{key}", "key_999999").replace("{month}", "2025-01");
    path = path.replace("{reject}", "999999").replace("{payment_intent}", "pi_1");
    path = path.replace("{sid}", "PN999999");
    path = path.replace("{endpoint}", "whe_999999").replace("{delivery}", "whd_999999");
    path =
        path.replace("{refill}", "rf_00000000000000000000000000000000").replace("{card}", "pm_1");
    if let Some((_, unknown)) = path.split_once('{') {
        panic!("{}: say here what {{{unknown} is", operation.path);
    }
    if operation.has_query("account") {
        path = format!("{path}?account={account}");
    }
    if fault == Fault::Unreadable && takes_faulty_query(operation) {
        path = format!("{path}{}limit=0", if path.contains('?') { '&' } else { '?' });
    }
    let mut body = operation.body().map(|body| {
        let mut example = body["example"].clone();
        assert!(example.is_object(), "the body of {} has no example", operation.path);
        if body["properties"].get("account").is_some() {
            example["account"] = json!(account);
        }
        example.to_string().into_bytes()
    });
    let mut headers = Vec::new();
    if takes_body(operation) && fault == Fault::Unreadable {
        body = Some(b"{\"no_such_field\":".to_vec());
    }
    if fault == Fault::NotJson {
        body = body.or_else(|| Some(b"{}".to_vec()));
        headers.push(("content-type", "text/plain"));
    }
    let method = Method::from_bytes(operation.method.to_uppercase().as_bytes());
    let sent = api.send(method.expect("a method"), &path, &headers, body).await;
    sent.unwrap_or_else(|error| panic!("{path}: {error:#}"))
}

/// Status and code.
fn told(answer: &Answer) -> (u16, String) {
    let problem: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    (answer.status, problem["code"].as_str().unwrap_or_default().to_owned())
}

/// Asserts that the answers are indistinguishable.
fn assert_same(answers: &[Answer], expected: (u16, &str), who: &str, operation: Operation) {
    for answer in answers {
        let what = format!("{who}: {} {}", operation.method, operation.path);
        assert_eq!(told(answer), (expected.0, expected.1.to_owned()), "{what}: {answer:?}");
        assert_eq!(answer.text, answers[0].text, "{what}: they differ");
    }
}

#[tokio::test]
async fn each_key_gets_what_the_document_says_and_nothing_else() {
    let mut system = System::new().await;
    // More unknown keys than one address may try.
    let index = system.start("api", &[("CALLMETER__HTTP__FAILED_LOGINS_PER_SECOND", "0")]);
    let api = system.ready(index).await;
    system.open(&api, &[account("own", 9_000_000), account("foreign", 9_000_000)]).await;
    let (_, own) = make(&api, "account", Some("own")).await;
    let (_, read) = make(&api, "read", Some("own")).await;
    let (_, authorize) = make(&api, "authorize", None).await;
    let (_, sign_in) = make(&api, "sign_in", None).await;
    let (_, admin) = make(&api, "admin", None).await;
    let (id, revoked) = make(&api, "admin", None).await;
    assert_eq!(revoke(&api, &id).await.status, 204);
    let everybody = ["own", "foreign", "nobody"];
    let strangers = [None, Some("cmk_unknown"), Some(revoked.as_str()), Some("")];
    let mut seen = 0;
    for operation in operations() {
        for fault in faults(operation) {
            seen += 1;
            let mut scopes = operation.scopes();
            if scopes.contains(&"account") && operation.method == "get" {
                scopes.push("read");
            }
            let all = async |key: Option<&str>, accounts: &[&str]| {
                let mut answers = Vec::new();
                for account in accounts {
                    answers.push(call(&api.with_key(key), operation, account, fault).await);
                }
                answers
            };
            if scopes.is_empty() {
                for key in strangers {
                    for answer in all(key, &["own"]).await {
                        let fine = matches!(answer.status, 200 | 400 | 503);
                        assert!(fine, "{}: {answer:?}", operation.path);
                    }
                }
                continue;
            }
            for key in &strangers {
                let answers = all(*key, &everybody).await;
                assert_same(&answers, (401, "unauthorized"), &format!("{key:?}"), operation);
            }
            for (scope, key) in [
                ("authorize", &authorize),
                ("sign_in", &sign_in),
                ("account", &own),
                ("read", &read),
            ] {
                if !scopes.contains(&scope) {
                    let answers = all(Some(key), &everybody).await;
                    assert_same(&answers, (403, "forbidden"), scope, operation);
                }
            }
            // If only the body names the account, the body must be read first.
            let is_named = operation.path.contains("{account}") || operation.has_query("account");
            let in_body =
                operation.body().is_some_and(|it| it["properties"]["account"].is_object());
            let is_read = in_body && fault == Fault::Nothing;
            if scopes.contains(&"account") && (is_named || is_read) {
                let answers = all(Some(&own), &["foreign", "nobody"]).await;
                assert_same(&answers, (404, "unknown_account"), "another's key", operation);
                if scopes.contains(&"read") {
                    let answers = all(Some(&read), &["foreign", "nobody"]).await;
                    assert_same(&answers, (404, "unknown_account"), "another's key", operation);
                }
            }
            let keys = [
                ("account", &own),
                ("read", &read),
                ("authorize", &authorize),
                ("sign_in", &sign_in),
                ("admin", &admin),
            ];
            for (scope, key) in keys {
                if scopes.contains(&scope) {
                    let (status, code) = told(&all(Some(key), &["own"]).await[0]);
                    let reaches = !matches!(status, 401 | 403) && code != "unknown_account";
                    let is_told = fault == Fault::Nothing || matches!(status, 400 | 415);
                    let what = format!("{} {}, {fault:?}", operation.method, operation.path);
                    assert!(reaches && is_told, "{scope}: {what}: {status} {code}");
                }
            }
        }
    }
    assert!(seen > 35, "{seen} operations and faults");
}

#[tokio::test]
async fn an_internal_address_alone_serves_what_needs_an_admin_key() {
    let mut system = System::new().await;
    let port = crate::harness::service::free_port();
    let internal = format!("127.0.0.1:{port}");
    let index = system.start("api", &[("CALLMETER__HTTP__INTERNAL_LISTEN", &internal)]);
    let public = system.ready(index).await;
    let inside = Api::new(format!("http://{internal}"));
    system.open(&inside, &[account("own", 0)]).await;
    for operation in operations() {
        let outside = call(&public, operation, "own", Fault::Nothing).await;
        let within = call(&inside, operation, "own", Fault::Nothing).await;
        let hidden = operation.scopes() == ["admin"] || operation.path == "/metrics";
        let is_unknown = told(&outside) == (404, "unknown_path".to_owned());
        assert_eq!(is_unknown, hidden, "{} {}: {outside:?}", operation.method, operation.path);
        assert!(told(&outside).1 != "method_not_allowed", "{}: {outside:?}", operation.path);
        let code = told(&within).1;
        assert!(code != "unknown_path" && code != "method_not_allowed", "{within:?}");
    }
    for (api, methods) in [(&public, "GET,HEAD"), (&inside, "GET,HEAD,PATCH")] {
        let sent = api.send(Method::DELETE, "/v1/accounts/own", &[], None).await;
        let answer = sent.expect("an answer");
        assert_eq!(answer.problem(405), "method_not_allowed");
        let mut allowed: Vec<&str> = answer.allow.as_deref().expect("Allow").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), methods);
    }
}
