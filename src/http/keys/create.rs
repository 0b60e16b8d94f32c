//! `POST /v1/keys`: makes a key. Its text is in this answer and nowhere else; the answer kept for an
//! Idempotency-Key is sealed by the key that asked for it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::AccountId;
use futures::FutureExt;
use serde::Serialize;
use serde_json::Value;

use super::KeyJson;
use crate::http::Api;
use crate::http::act::{Act, Outcome};
use crate::http::fields::{Fielded, Fields, line, parsed};
use crate::http::problem::Problem;
use crate::keys::KeyText;
use crate::ledger::keys::{self, NewKey, Scope};

#[derive(Clone, Debug)]
struct Wanted {
    name: String,
    scope: Scope,
}

impl Fielded for Wanted {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name", line);
        let word = fields.required("scope", scope_word);
        let account = fields.nullable("account", parsed::<AccountId>);
        let scope = match (word?, account.flatten()) {
            ("account", Some(account)) => Some(Scope::Account(account)),
            ("account", None) => {
                fields.fault("account", "is missing; a key of the scope account is of one");
                None
            }
            (_, Some(_)) => {
                fields.fault("account", "is for keys of the scope account only");
                None
            }
            ("admin", None) => Some(Scope::Admin),
            (_, None) => Some(Scope::Authorize),
        };
        Some(Self { name: name?, scope: scope? })
    }
}

fn scope_word(value: &Value) -> Result<&'static str, String> {
    let known = ["admin", "authorize", "account"];
    let word = known.into_iter().find(|word| value.as_str() == Some(word));
    word.ok_or_else(|| "is none of admin, authorize and account".to_owned())
}

/// A key with what makes it one.
#[derive(Debug, Serialize)]
struct CreatedJson<'a> {
    #[serde(flatten)]
    shown: KeyJson,
    /// Send it as `Authorization: Bearer`.
    key: &'a str,
}

pub(super) async fn create(State(api): State<Api>, act: Act) -> Result<Response, Problem> {
    act.credential.require_admin()?;
    let Wanted { name, scope } = act.read()?;
    let text = Arc::new(KeyText::random().ok_or_else(Problem::internal)?);
    let new =
        NewKey { name, scope, prefix: text.prefix().to_owned(), sha256: *text.digest().bytes() };
    act.run(&api, "keys::create", move |connection, by| {
        let (new, text) = (new.clone(), Arc::clone(&text));
        async move {
            let Some(key) = keys::create(connection, &new, &by).await? else {
                let (code, message) = ("unknown_account", "names no account");
                return Ok(Outcome::Refused(Problem::unknown_name(code, "account", message)));
            };
            let body = CreatedJson { shown: key.into(), key: text.expose() };
            Ok(Outcome::done_in_secret(StatusCode::CREATED, &body))
        }
        .boxed()
    })
    .await
}
