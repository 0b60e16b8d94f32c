//! The OpenAPI document, and whether it is correct: every answer that a test receives is checked
//! against it.

use super::api::Answer;
use super::command::{bare_command, finish};
use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let printed = finish(bare_command(&["openapi"])).expect_success().stdout;
    serde_json::from_str(&printed).expect("the document is JSON")
});

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) told: &'static Value,
}

impl Operation {
    /// Scopes of the keys that may use it; none if it needs no key.
    pub(crate) fn scopes(&self) -> Vec<&'static str> {
        let scopes = self.told["x-scopes"].as_array();
        let scopes = scopes.unwrap_or_else(|| panic!("{} has no x-scopes", self.path));
        scopes.iter().map(|scope| scope.as_str().expect("a word")).collect()
    }

    /// Schema of its request body.
    pub(crate) fn body(&self) -> Option<&'static Value> {
        let body = &self.told["requestBody"]["content"]["application/json"]["schema"];
        (!body.is_null()).then(|| resolved(body))
    }

    pub(crate) fn has_query(&self, name: &str) -> bool {
        let parameters = self.told["parameters"].as_array();
        parameters.into_iter().flatten().any(|it| it["in"] == "query" && it["name"] == name)
    }
}

/// The schema to which a reference points.
fn resolved(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.trim_start_matches('#');
            DOCUMENT.pointer(pointer).unwrap_or_else(|| panic!("no {reference}"))
        }
        None => schema,
    }
}

pub(crate) fn document() -> &'static Value {
    &DOCUMENT
}

/// Every operation of the document.
pub(crate) fn operations() -> Vec<Operation> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").iter();
        methods.map(move |(method, told)| Operation { method, path, told })
    });
    operations.collect()
}

fn fits(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(part, found)| part.starts_with('{') || *part == found)
}

/// Fails if the document does not describe the answer.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let told = operations().into_iter().find(|it| it.method == method && fits(it.path, path));
    let Some(operation) = told else { return };
    let (status, name) = (answer.status.to_string(), format!("{method} {}", operation.path));
    // A listener without this path.
    let code = serde_json::from_str::<Value>(&answer.text).unwrap_or_default()["code"].clone();
    if code == "unknown_path" || code == "method_not_allowed" {
        return;
    }
    let expected = &operation.told["responses"][&status];
    assert!(!expected.is_null(), "{name} answered {status}, undocumented: {answer:?}");
    let content = expected["content"].as_object();
    let known = content.is_some_and(|content| content.keys().any(|it| *it == answer.content_type));
    assert!(
        known || content.is_none() && answer.text.is_empty(),
        "{name} answered {status} as {:?}, undocumented: {answer:?}",
        answer.content_type
    );
    if answer.content_type == "application/problem+json" {
        let codes = expected["x-codes"].as_array();
        let known = codes.is_none_or(|codes| codes.contains(&code));
        assert!(known, "{name} answered {status} {code}, undocumented: {answer:?}");
    }
}
