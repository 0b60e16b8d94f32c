//! The OpenAPI document: the same everywhere, and correct. Besides, every answer in any test is
//! checked against it (`harness/document.rs`), and script/test runs schemathesis over it.

use crate::harness::document::{document, operations};
use crate::harness::samples::account;
use crate::harness::system::System;
use crate::keys::make;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn the_document_is_the_same_in_every_role_and_on_the_command_line() {
    let mut system = System::new().await;
    let printed = system.run(&["openapi"]).expect_success().stdout;
    for role in ["meter", "api", "jobs"] {
        let api = system.serve(role).await.with_key(None);
        let served = api.get("/openapi.json").await;
        assert_eq!((served.status, served.content_type.as_str()), (200, "application/json"));
        assert!(served.text == printed, "{role} serves another document");
        let page = api.get("/docs").await;
        assert_eq!((page.status, page.content_type.as_str()), (200, "text/html"));
        for file in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
            assert!(page.text.contains(file), "{file} is not in the page: {}", page.text);
            let answer = api.get(&format!("/docs/{file}")).await;
            assert_eq!(answer.status, 200, "{file}");
            assert!(!answer.text.is_empty(), "{file}");
        }
        for elsewhere in ["https://", "http://"] {
            assert!(
                !page.text.contains(elsewhere),
                "the page fetches from elsewhere: {}",
                page.text
            );
        }
        let start = api.get("/docs/swagger-initializer.js").await.text;
        assert!(start.contains("/openapi.json"), "{start}");
        api.get("/docs/nothing.js").await.problem(404);
    }
    assert_eq!(document()["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_path_of_the_document_is_there() {
    let mut system = System::new().await;
    let api = system.serve("api").await.with_key(None);
    let mut names = BTreeSet::new();
    for operation in operations() {
        let name = operation.told["operationId"].as_str().expect("an operationId");
        assert!(names.insert(name), "{name} is there twice");
        let path = operation.path.replace(['{', '}'], "");
        let method = Method::from_bytes(operation.method.to_uppercase().as_bytes());
        let answer =
            api.send(method.expect("a method"), &path, &[], None).await.expect("an answer");
        let code = serde_json::from_str::<Value>(&answer.text).unwrap_or_default()["code"].clone();
        assert!(code != "unknown_path" && code != "method_not_allowed", "{name}: {answer:?}");
    }
    // Types guarantee the reverse: there is no route without its part of the document.
    for (path, text) in sources() {
        let routed = text.contains(".route(\"") && !path.ends_with("openapi/docs.rs");
        assert!(!routed, "{path} has a route past the document: use routes!");
    }
}

/// The files of the API, with their text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path.display().to_string(), text));
            }
        }
    }
    found
}

#[tokio::test]
async fn bodies_have_the_fields_that_the_document_names() {
    let mut system = System::new().await;
    let admin = system.serve("api").await;
    system.open(&admin, [&account("own", 0)]).await;
    let (_, own) = make(&admin, "account", Some("own")).await;
    let own = admin.with_key(Some(&own));
    let mut checked = 0;
    for operation in operations() {
        let Some(body) = operation.body() else { continue };
        let is_own = operation.scopes() == ["account"];
        let (api, id) = if is_own { (&own, "own") } else { (&admin, "nobody") };
        let properties = body["properties"].as_object().expect("properties");
        // No field accepts a list of lists, so each field is reported.
        let mut wrong: serde_json::Map<String, Value> =
            properties.keys().map(|name| (name.clone(), json!([[]]))).collect();
        wrong.insert("no_such_field".to_owned(), json!(1));
        let path = operation.path.replace("{account}", id).replace("{call_sid}", "CA1");
        let path = format!("{path}?account=nobody");
        let path =
            if operation.has_query("account") { path } else { path.replace("?account=nobody", "") };
        let method = Method::from_bytes(operation.method.to_uppercase().as_bytes());
        let sent = json!(wrong).to_string().into_bytes();
        let answer = api.send(method.expect("a method"), &path, &[], Some(sent)).await;
        let problem = answer.expect("an answer").expect(400);
        for fault in problem["errors"].as_array().expect("faults") {
            let field = fault["field"].as_str().expect("a field");
            let unknown = fault["message"] == "is not known here";
            assert_eq!(unknown, field == "no_such_field", "{}: {fault}", operation.path);
        }
        let named: BTreeSet<&str> = problem["errors"]
            .as_array()
            .expect("faults")
            .iter()
            .map(|fault| fault["field"].as_str().expect("a field"))
            .collect();
        let known: BTreeSet<&str> = wrong.keys().map(String::as_str).collect();
        assert_eq!(named, known, "{}", operation.path);
        checked += 1;
    }
    assert!(checked >= 7, "{checked} bodies");
}
