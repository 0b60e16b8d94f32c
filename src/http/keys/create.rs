//! `POST /v1/keys`: creates a key. Its text is only in this answer; the answer stored for an
//! Idempotency-Key is sealed with the caller's key.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::AccountId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::accounts::UnknownAccount;
use crate::accounts::keys::CreateKey;
use crate::http::Api;
use crate::http::access::{Admin, AuthorizedCommand};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, line, parsed};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::json::{KeyJson, KeyScope};
use crate::keys::KeyText;
use crate::ledger::keys::Scope;

#[derive(Clone, Debug)]
struct KeyRequest {
    name: String,
    scope: Scope,
}

/// A key to create.
#[derive(ToSchema)]
#[schema(example = json!({ "name": "Acme's dialer", "scope": "account", "account": "acme" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct KeyBody {
    /// Display name.
    #[schema(value_type = schema::Line)]
    name: String,
    #[schema(value_type = KeyScope)]
    scope: String,
    /// Only for the scopes `account` and `read`.
    #[schema(value_type = Option<schema::AccountId>)]
    account: Option<String>,
}

impl Fielded for KeyRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name", line);
        let word = fields.required("scope", scope_word);
        let account = fields.nullable("account", parsed::<AccountId>);
        let scope = match (word?, account.flatten()) {
            ("account", Some(account)) => Some(Scope::Account(account)),
            ("read", Some(account)) => Some(Scope::Read(account)),
            (word @ ("account" | "read"), None) => {
                fields.fault("account", format!("is missing; the scope {word} needs it"));
                None
            }
            (_, Some(_)) => {
                fields.fault("account", "is only for keys of the scopes account and read");
                None
            }
            ("admin", None) => Some(Scope::Admin),
            ("sign_in", None) => Some(Scope::SignIn),
            (_, None) => Some(Scope::Authorize),
        };
        Some(Self { name: name?, scope: scope? })
    }
}

fn scope_word(value: &Value) -> Result<&'static str, String> {
    let known = ["admin", "authorize", "account", "read", "sign_in"];
    let word = known.into_iter().find(|word| value.as_str() == Some(word));
    word.ok_or_else(|| "is not one of admin, authorize, account, read and sign_in".to_owned())
}

/// A key with its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyCreated)]
struct CreatedJson<'a> {
    #[serde(flatten)]
    shown: KeyJson,
    /// The key's text, for `Authorization: Bearer`; shown only here.
    #[schema(value_type = schema::KeyText)]
    key: &'a str,
}

/// Creates a key; its text is in this answer only.
#[utoipa::path(
    post, path = "/v1/keys", tag = "Keys", operation_id = "createKey",
    request_body = KeyBody,
    responses((status = 201, description = "The key", body = CreatedJson<'_>)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)))
)]
pub(super) async fn create(
    State(api): State<Api>,
    AuthorizedCommand(Admin, command): AuthorizedCommand<Admin>,
) -> Result<Response, Problem> {
    let KeyRequest { name, scope } = command.read()?;
    let text = KeyText::random().ok_or_else(Problem::internal)?;
    let change = CreateKey::new(name, scope, &text);
    let text = Arc::new(text);
    let answer = move |created| match created {
        Ok(key) => {
            let body = CreatedJson { shown: KeyJson::from(key), key: text.expose() };
            Outcome::done_in_secret(StatusCode::CREATED, &body)
        }
        Err(UnknownAccount) => Outcome::Refused(Problem::missing("account", "names no account")),
    };
    command.run(&api, change, answer).await
}
