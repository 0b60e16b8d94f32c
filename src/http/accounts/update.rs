//! `PATCH /v1/accounts/{id}`: changes an account; what is not named stays. The auth token of its
//! Twilio account can be written here, and read nowhere.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{AccountId, TwilioAccountSid};
use futures::FutureExt;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::config::Secret;
use crate::http::Api;
use crate::http::act::Outcome;
use crate::http::fields::{Fielded, Fields, amount, email, issued_account, line, positive_number};
use crate::http::openapi::schema;
use crate::http::problem::Problem;
use crate::http::reach::{AdminOf, Permitted};
use crate::http::render::AccountJson;
use crate::ledger::LedgerError;
use crate::ledger::accounts::{self, AccountChanges, OnRedisLoss};
use crate::ledger::audit::By;
use crate::ledger::tokens::{self, TokenChanged, TwilioTokens};

/// What the body asks for.
#[derive(Clone, Debug)]
struct Update {
    changes: AccountChanges,
    token: Option<NewToken>,
}

/// A token to be set, or forgotten.
#[derive(Clone, Debug)]
struct NewToken {
    /// The Twilio account whose token it is; none: the account's first.
    account_sid: Option<TwilioAccountSid>,
    token: Option<Secret>,
}

/// What to change; what is not named stays.
#[derive(ToSchema)]
#[schema(example = json!({ "credit_limit": "10.00", "calls_in_progress_max": 50 }))]
#[expect(dead_code, reason = "tells the document what `Fields` reads")]
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
    /// What `fail_open` may grant while holds are unknown.
    #[schema(value_type = schema::AmountGiven, required = false)]
    redis_loss_cap: String,
    /// Most calls in progress; null: no limit.
    #[schema(minimum = 1)]
    calls_in_progress_max: Option<i32>,
    /// Null forgets it.
    #[schema(value_type = Option<schema::TwilioAuthToken>)]
    twilio_auth_token: Option<String>,
    /// Whose token it is; the account's first Twilio account where absent.
    #[schema(value_type = schema::IssuedAccountSid, required = false)]
    twilio_account_sid: String,
}

impl Fielded for Update {
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
            let message = "only says whose twilio_auth_token is given, and none is";
            fields.fault("twilio_account_sid", message);
        }
        Some(Self { changes, token: token.map(|token| NewToken { account_sid, token }) })
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

/// Changes an account; the auth token can be written and not read.
#[utoipa::path(
    patch, path = "/v1/accounts/{account}", tag = "Accounts", operation_id = "changeAccount",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = AccountChangesBody,
    responses((status = 200, description = "As it is then", body = AccountJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account", "not_linked", "not_configured", "balance_out_of_range"])))
)]
pub(super) async fn update(
    State(api): State<Api>,
    Permitted(AdminOf(id), act): Permitted<AdminOf>,
) -> Result<Response, Problem> {
    let update: Update = act.read()?;
    if update.token.as_ref().is_some_and(|it| it.token.is_some()) && !api.tokens.can_be_set() {
        return Err(Problem::not_configured("set secrets.key: tokens are kept sealed by it"));
    }
    let tokens = api.tokens.clone();
    act.run(&api, "accounts::update", move |connection, by| {
        let (id, update, tokens) = (id.clone(), update.clone(), tokens.clone());
        async move { apply(connection, &tokens, &id, &update, &by).await }.boxed()
    })
    .await
}

async fn apply(
    connection: &mut PgConnection,
    tokens: &TwilioTokens,
    id: &AccountId,
    update: &Update,
    by: &By,
) -> Result<Outcome, LedgerError> {
    if let Some(new) = &update.token {
        let sid = new.account_sid.as_ref();
        match tokens.set(connection, id, sid, new.token.as_ref(), by).await? {
            TokenChanged::Done => {}
            TokenChanged::UnknownAccount => {
                return Ok(Outcome::Refused(Problem::unknown_account()));
            }
            TokenChanged::NotLinked => {
                return Ok(Outcome::Refused(Problem::unknown_name(
                    "not_linked",
                    "twilio_account_sid",
                    "is no Twilio account of this account",
                )));
            }
        }
    }
    Ok(match accounts::update(connection, id, &update.changes, by).await? {
        Some(account) => Outcome::done(StatusCode::OK, &AccountJson::from(account)),
        None => Outcome::Refused(Problem::unknown_account()),
    })
}
