//! `PATCH /v1/accounts/{id}`: changes the named fields of an account. The auth token of its Twilio
//! account and its shared keys are write-only: no path may return them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use utoipa::ToSchema;

use crate::accounts::settings::{ChangeSettings, SettingsRefused};
use crate::accounts::shared_keys::SharedKeysRefused;
use crate::accounts::token::{NewToken, TokenRefused};
use crate::config::{
    NOT_A_KEY_ID, NOT_A_KEY_SECRET, SHARED_KEYS_MAX, Secret, is_key_id, read_key_secret,
};
use crate::http::Api;
use crate::http::access::{AdminOf, AuthorizedCommand};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, amount, email, issued_account, line, positive_number};
use crate::http::problem::Problem;
use crate::json::AccountJson;
use crate::json::schema;
use crate::ledger::accounts::{AccountChanges, OnRedisLoss};
use crate::ledger::shared_keys::KeyChanges;
use crate::ledger::tokens;

/// Most keys in one request: enough to forget all and set as many.
const KEYS_AT_ONCE_MAX: usize = 2 * SHARED_KEYS_MAX;

/// The changes in the body.
#[derive(Clone, Debug)]
struct SettingsRequest {
    changes: AccountChanges,
    token: Option<NewToken>,
    keys: Option<KeyChanges>,
}

/// The changes; absent fields stay.
#[derive(ToSchema)]
#[schema(example = json!({ "credit_limit": "10.00", "calls_in_progress_max": 50 }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct AccountChangesBody {
    #[schema(value_type = schema::Line, required = false)]
    name: String,
    #[schema(value_type = Option<schema::Email>)]
    email: Option<String>,
    /// How far below zero the balance may go before calls are refused.
    #[schema(value_type = schema::AmountGiven, required = false)]
    credit_limit: String,
    #[schema(value_type = schema::OnRedisLoss, required = false)]
    on_redis_loss: String,
    /// Most money that `fail_open` may grant while holds are unknown.
    #[schema(value_type = schema::AmountGiven, required = false)]
    redis_loss_cap: String,
    /// Most calls in progress; null: no limit.
    #[schema(minimum = 1)]
    calls_in_progress_max: Option<i32>,
    /// Null forgets it.
    #[schema(value_type = Option<schema::TwilioAuthToken>)]
    twilio_auth_token: Option<String>,
    /// The account of the token; the default is the account's first Twilio account.
    #[schema(value_type = schema::IssuedAccountSid, required = false)]
    twilio_account_sid: String,
    /// With these Twilio signs webhooks instead of the auth token, if a Webhook Rule says so. Sets
    /// the keys with these ids; null forgets one key, or all. Other keys stay.
    #[schema(value_type = schema::TwilioSharedKeys, required = false)]
    twilio_shared_keys: String,
}

impl Fielded for SettingsRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let changes = AccountChanges {
            name: fields.optional("name", line),
            email: fields.nullable("email", email),
            credit_limit: fields.optional("credit_limit", amount),
            on_redis_loss: fields.optional("on_redis_loss", on_redis_loss),
            redis_loss_cap: fields.optional("redis_loss_cap", amount),
            calls_in_progress_max: fields.nullable("calls_in_progress_max", positive_number),
        };
        let token = fields.nullable("twilio_auth_token", token);
        let account_sid = fields.optional("twilio_account_sid", issued_account);
        if account_sid.is_some() && token.is_none() {
            let message = "is only for twilio_auth_token, which is missing";
            fields.fault("twilio_account_sid", message);
        }
        let keys = fields.nullable("twilio_shared_keys", shared_keys);
        let keys = keys.map(|each| each.map_or(KeyChanges::ForgetAll, KeyChanges::Each));
        Some(Self { changes, token: token.map(|token| NewToken { account_sid, token }), keys })
    }
}

fn on_redis_loss(value: &Value) -> Result<OnRedisLoss, String> {
    let policy = value.as_str().and_then(OnRedisLoss::parse);
    policy.ok_or_else(|| "is neither \"fail_closed\" nor \"fail_open\"".to_owned())
}

/// Reads a token.
fn token(value: &Value) -> Result<Secret, String> {
    value.as_str().and_then(tokens::read_token).ok_or_else(|| tokens::NOT_A_TOKEN.to_owned())
}

/// Reads shared keys: a secret for each id, or null.
fn shared_keys(value: &Value) -> Result<BTreeMap<String, Option<Secret>>, String> {
    let wrong = "is not null or an object of ids with their secrets or null";
    let each = value.as_object().ok_or_else(|| wrong.to_owned())?;
    if each.len() > KEYS_AT_ONCE_MAX {
        return Err(format!("names more than {KEYS_AT_ONCE_MAX} keys"));
    }
    let read = |(id, secret): (&String, &Value)| {
        if !is_key_id(id) {
            return Err(format!("names a key whose id {NOT_A_KEY_ID}"));
        }
        if secret.is_null() {
            return Ok((id.clone(), None));
        }
        let secret = secret.as_str().and_then(read_key_secret);
        let secret = secret.ok_or_else(|| format!("has a secret that {NOT_A_KEY_SECRET}"))?;
        Ok((id.clone(), Some(secret)))
    };
    each.iter().map(read).collect()
}

/// Changes an account; its auth token and shared keys are write-only.
#[utoipa::path(
    patch, path = "/v1/accounts/{account}", tag = "Accounts", operation_id = "changeAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = AccountChangesBody,
    responses((status = 200, description = "The account", body = AccountJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account", "not_linked", "not_configured", "balance_out_of_range"])))
)]
pub(super) async fn update(
    State(api): State<Api>,
    AuthorizedCommand(AdminOf(account), command): AuthorizedCommand<AdminOf>,
) -> Result<Response, Problem> {
    let SettingsRequest { changes, token, keys: shared_keys } = command.read()?;
    let (tokens, keys) = (Arc::clone(&api.tokens), Arc::clone(&api.shared_keys));
    let change = ChangeSettings { account, changes, token, shared_keys, tokens, keys };
    let answer = |changed| match changed {
        Ok(account) => Outcome::done(StatusCode::OK, &AccountJson::from(account)),
        Err(refused) => Outcome::Refused(problem_of(refused)),
    };
    command.run(&api, change, answer).await
}

fn problem_of(refused: SettingsRefused) -> Problem {
    match refused {
        SettingsRefused::UnknownAccount
        | SettingsRefused::Token(TokenRefused::UnknownAccount)
        | SettingsRefused::SharedKeys(SharedKeysRefused::UnknownAccount) => {
            Problem::unknown_account()
        }
        SettingsRefused::Token(TokenRefused::NotLinked) => Problem::unknown_name(
            "not_linked",
            "twilio_account_sid",
            "is not a Twilio account of this account",
        ),
        SettingsRefused::Token(TokenRefused::NotConfigured) => {
            Problem::not_configured("set secrets.key: it seals stored tokens")
        }
        SettingsRefused::SharedKeys(SharedKeysRefused::NotConfigured) => {
            Problem::not_configured("set secrets.key: it seals stored shared keys")
        }
        SettingsRefused::SharedKeys(SharedKeysRefused::TooMany) => {
            let message = format!("would be more than {SHARED_KEYS_MAX}; forget unused ones");
            Problem::wrong("twilio_shared_keys", &message)
        }
    }
}
