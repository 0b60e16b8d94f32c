//! Completes the document with the parts that operations share: keys, headers, problems.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema, ToSchema};

use super::codes::{self, CODES};
use crate::http::problem::Problem;

const DESCRIPTION: &str = "\
Charging for live phone calls: plan allowances first, then the prepaid wallet, exactly once.

Send a key as `Authorization: Bearer <key>`. Its scope is `admin`, `authorize` (authorizations of \
every account), `account` (one account), `read` (every GET that `account` may call, and nothing else) or \
`sign_in` (signing customers in to the wallet page); `x-scopes` of an operation lists the scopes that may call it. For an account that is not the key's \
the answer is the same as for one that does not exist. Amounts are dollars as strings with six decimal places; times are UTC. Lists are newest \
first, with `limit` and `after`, which is the `next` of the previous page. Errors are \
problem+json (RFC 9457) with a `code` that never changes. Commands take an `Idempotency-Key`: for \
24 hours the same key, path and body returns the first answer, with `Idempotent-Replayed: true`. \
The next request sees a change that was answered. A key that sends too many requests, or an \
address that sends too many unknown keys, gets 429 with `Retry-After`.";

/// Problems of every operation.
const OF_ALL: &[&str] = &["internal", "overloaded", "timeout"];
/// Problems of an operation that needs a key.
const OF_KEYS: &[&str] = &["unauthorized", "rate_limited", "ledger_unavailable"];
/// Problems of an operation that reads a body.
const OF_BODIES: &[&str] = &["invalid_request", "body_too_large", "unsupported_media_type"];

/// Writes the document out.
pub(super) fn complete(document: &OpenApi) -> String {
    let mut whole = serde_json::to_value(document).unwrap_or_default();
    whole["info"] = json!({
        "title": "callmeter", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    whole["servers"] = json!([{ "url": "/" }]);
    whole["components"]["securitySchemes"] = json!({ "key": {
        "type": "http", "scheme": "bearer", "description": "A key of this service.",
    } });
    add_schema::<Problem>(&mut whole);
    if let Some(schemas) = whole["components"]["schemas"].as_object_mut() {
        for (name, schema) in schemas {
            complete_schema(name, schema);
        }
    }
    if let Some(paths) = whole["paths"].as_object_mut() {
        let operations = paths.values_mut().filter_map(Value::as_object_mut);
        for (method, operation) in operations.flatten() {
            complete_operation(method, operation);
        }
    }
    let text = serde_json::to_string_pretty(&whole);
    text.map(|text| text + "\n").unwrap_or_default()
}

/// Adds a type, and the types of its fields.
fn add_schema<T: ToSchema + PartialSchema>(whole: &mut Value) {
    let mut parts = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut parts);
    for (name, schema) in parts {
        whole["components"]["schemas"][name] = serde_json::to_value(schema).unwrap_or_default();
    }
}

/// In an answer every field is required, except in a problem; a request body allows no other
/// fields.
fn complete_schema(name: &str, schema: &mut Value) {
    if name == "Problem" {
        let codes: Vec<&str> = CODES.iter().map(|(code, ..)| *code).collect();
        schema["properties"]["code"]["enum"] = json!(codes);
        return;
    }
    if let Some(item) = name.strip_prefix("List_") {
        let items = json!({ "$ref": format!("#/components/schemas/{item}") });
        schema["properties"]["items"]["items"] = items;
    }
    let is_body = name.ends_with("Body");
    for part in ["allOf", "oneOf"] {
        let parts = schema.get_mut(part).and_then(Value::as_array_mut);
        parts.into_iter().flatten().for_each(|part| complete_schema(name, part));
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if is_body {
        schema["additionalProperties"] = json!(false);
    } else if !name.ends_with("State") {
        schema["required"] = properties.keys().cloned().collect();
    }
}

fn complete_operation(method: &str, operation: &mut Value) {
    let listed = |key: &str| -> Vec<String> {
        let words = operation.get(key).and_then(Value::as_array);
        words.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (scopes, own) = (listed("x-scopes"), listed("x-problems"));
    let is_act = operation["x-act"] == json!(true);
    if operation["x-streams"] == json!(true) {
        let text = "`no` if the answer streams: proxies must not buffer it.";
        operation["responses"]["200"]["headers"]["X-Accel-Buffering"] = header(text);
    }
    let has_query = operation["parameters"]
        .as_array()
        .is_some_and(|parameters| parameters.iter().any(|parameter| parameter["in"] == "query"));
    let mut problems: Vec<&str> = own.iter().map(String::as_str).chain(OF_ALL.to_vec()).collect();
    if scopes.is_empty() {
        operation["security"] = json!([]);
    } else {
        operation["security"] = json!([{ "key": [] }]);
        problems.extend(OF_KEYS);
        if scopes.len() < 4 {
            problems.push("forbidden");
        }
    }
    if is_act || !operation["requestBody"].is_null() {
        problems.extend(OF_BODIES);
    } else if has_query {
        problems.push("invalid_request");
    }
    if is_act {
        problems.push("idempotency_key_reused");
        add_parameters(operation);
    }
    if method == "get" {
        operation["x-head"] = json!(true);
    }
    let answers = operation["responses"].as_object().cloned().unwrap_or_default();
    operation["responses"] = Value::Object(add_problems(answers, &problems, is_act));
}

/// The headers of every command.
fn add_parameters(operation: &mut Value) {
    let header = |name: &str, description: &str, longest: u32, example: &str| {
        json!({
            "name": name, "in": "header", "required": false, "description": description,
            "schema": { "type": "string", "minLength": 1, "maxLength": longest,
                "pattern": "^[!-~]([ -~]*[!-~])?$" },
            "example": example,
        })
    };
    let more = [
        header(
            "Idempotency-Key",
            "Identifies this request, so that it can be repeated.",
            255,
            "order-7",
        ),
        header("X-Reason", "The reason; it is stored in the audit.", 500, "agreed on the phone"),
    ];
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.extend(more),
        None => operation["parameters"] = json!(more),
    }
}

fn add_problems(
    mut answers: Map<String, Value>,
    problems: &[&str],
    is_act: bool,
) -> Map<String, Value> {
    for (_, answer) in &mut answers {
        if !answer["content"]["text/csv"].is_null() {
            answer["headers"]["Vary"] = header("`Accept`, which chooses between JSON and CSV.");
        }
        answer["headers"]["X-Request-Id"] = header("The request's id, for the log.");
        if is_act {
            let text = "`true` if this is the answer to an earlier request.";
            answer["headers"]["Idempotent-Replayed"] = header(text);
        }
    }
    for (code, status, meaning) in CODES {
        if !problems.contains(code) {
            continue;
        }
        let answer = answers.entry(status.to_string()).or_insert_with(|| {
            json!({
                "description": "",
                "headers": { "X-Request-Id": header("The request's id, for the log.") },
                "content": { "application/problem+json": {
                    "schema": { "$ref": "#/components/schemas/Problem" }, "examples": {},
                } },
                "x-codes": [],
            })
        });
        let told = answer["description"].as_str().unwrap_or_default();
        let between = if told.is_empty() { "" } else { "; " };
        answer["description"] = json!(format!("{told}{between}`{code}`: {meaning}"));
        if let Some(codes) = answer["x-codes"].as_array_mut() {
            codes.push(json!(code));
        }
        answer["content"]["application/problem+json"]["examples"][*code] = json!({ "value": {
            "type": format!("urn:callmeter:problem:{code}"), "title": meaning, "status": status,
            "code": code,
        } });
        match status {
            401 => answer["headers"]["WWW-Authenticate"] = header("`Bearer`."),
            429 | 503 => answer["headers"]["Retry-After"] = header("Seconds to wait."),
            _ => {}
        }
    }
    debug_assert!(problems.iter().all(|code| codes::find(code).is_some()), "{problems:?}");
    answers
}

fn header(description: &str) -> Value {
    json!({ "description": description, "schema": { "type": "string" } })
}
