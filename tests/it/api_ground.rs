//! Rules for every request: how fields are read, and the form of each answer.

use crate::harness::api::Api;
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The invalid fields that a 400 answer names.
fn faults(problem: &Value) -> BTreeSet<String> {
    let errors = problem["errors"].as_array().expect("errors").iter();
    errors.map(|error| error["field"].as_str().expect("a field").to_owned()).collect()
}

fn fields(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn send(api: &Api, method: Method, path: &str, body: &str) -> crate::harness::api::Answer {
    let body = Some(body.as_bytes().to_vec());
    api.send(method, path, &[], body).await.expect("an answer")
}

#[tokio::test]
async fn instants_beyond_the_years_0001_to_9999_are_refused_with_the_field() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let lists =
        ["/v1/accounts/acme/transactions", "/v1/accounts/acme/calls", "/v1/audit", "/v1/keys"];
    let beyond = [
        "-9999-01-01",
        "%2B262142-12-31",
        "0000-01-01",
        "-4713-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
    ];
    for list in lists {
        for field in ["from", "to"] {
            for instant in beyond {
                let problem = api.get(&format!("{list}?{field}={instant}")).await.expect(400);
                assert_eq!(faults(&problem), fields(&[field]), "{list} {instant}: {problem}");
            }
            for instant in ["0001-01-01", "9999-12-31T23:59:59Z"] {
                api.get(&format!("{list}?{field}={instant}")).await.expect(200);
            }
        }
    }
    let path = "/v1/accounts/acme/subscription";
    for instant in ["-9999-01-01", "+262142-12-31"] {
        let problem = api.put(path, &json!({"plan": null, "starts_at": instant})).await.expect(400);
        assert_eq!(faults(&problem), fields(&["starts_at"]), "{problem}");
    }
}

#[tokio::test]
async fn a_field_given_twice_is_refused_and_nothing_is_done() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let twice = r#"{"type":"credit","amount":"1","description":"x","amount":"2"}"#;
    let answer = send(&api, Method::POST, "/v1/accounts/acme/adjustments", twice).await;
    assert_eq!(faults(&answer.expect(400)), fields(&["amount"]));
    let twice = r#"{"credit_limit":"1","credit_limit":"1"}"#;
    let answer = send(&api, Method::PATCH, "/v1/accounts/acme", twice).await;
    assert_eq!(faults(&answer.expect(400)), fields(&["credit_limit"]));
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(
        (&wallet["balance"], &wallet["credit_limit"]),
        (&json!("1.000000"), &json!("0.000000"))
    );
}

#[tokio::test]
async fn an_authorization_is_told_everything_that_it_lacks_at_once() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let path = "/v1/authorizations";
    let problem = send(&api, Method::POST, path, "{}").await.expect(400);
    assert_eq!(faults(&problem), fields(&["account", "call_sid", "from", "to"]));
    let problem = send(&api, Method::POST, path, r#"{"account":"a b"}"#).await.expect(400);
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(4), "each once: {problem}");
}

#[tokio::test]
async fn calls_are_found_by_any_tag_that_a_callback_may_bring() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000_000);
    system.open(&api, [&acme]).await;
    let tags = ["spring", " spring ", "two\nlines", "\t", "\u{7f}", "\u{fc}\u{1f4de}", "a&b=c+d%"];
    let tagged = |(number, tag): (usize, &&str)| {
        let mut event = completed(&acme, &call_sid(number), 60, now());
        event["tag"] = json!(tag);
        on_calls(0, &event)
    };
    system.produce(&tags.iter().enumerate().map(tagged).collect::<Vec<_>>()).await;
    system.settle(&api).await;
    for (number, tag) in tags.iter().enumerate() {
        let query: String = form_urlencoded::byte_serialize(tag.as_bytes()).collect();
        let found = api.get(&format!("/v1/accounts/acme/calls?tag={query}")).await.expect(200);
        let found = found["items"].as_array().expect("items");
        let sids: Vec<&str> = found.iter().filter_map(|call| call["call_sid"].as_str()).collect();
        assert_eq!(sids, [call_sid(number)], "{tag:?}");
        assert_eq!(found[0]["tag"], json!(tag));
    }
    for tag in ["", "%00", &"x".repeat(501)] {
        let problem = api.get(&format!("/v1/accounts/acme/calls?tag={tag}")).await.expect(400);
        assert_eq!(faults(&problem), fields(&["tag"]));
    }
}

#[tokio::test]
async fn who_prefers_csv_gets_it_and_caches_are_told_that_it_depends() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let this_month = crate::model::time::rfc3339(now())[..7].to_owned();
    let statement = format!("/v1/accounts/acme/statements/{this_month}");
    let paths = ["/v1/accounts/acme/transactions", "/v1/accounts/acme/calls", &statement];
    let cases: [(&[&str], &str); 6] = [
        (&[], "application/json"),
        (&["text/csv"], "text/csv"),
        (&["text/csv;q=0"], "application/json"),
        (&["application/json;q=0.1, text/csv;q=0.9"], "text/csv"),
        (&["application/json;q=0.1", "text/csv;q=0.9"], "text/csv"),
        (&["text/csv;q=0.1, application/json"], "application/json"),
    ];
    for path in paths {
        for (accept, expected) in cases {
            let headers: Vec<_> = accept.iter().map(|value| ("accept", *value)).collect();
            let answer = api.send(Method::GET, path, &headers, None).await.expect("an answer");
            assert_eq!((answer.status, &*answer.content_type), (200, expected), "{accept:?}");
            let vary = answer.vary.as_deref().unwrap_or_default().to_ascii_lowercase();
            assert_eq!(vary, "accept", "{path} {accept:?}");
        }
    }
}
