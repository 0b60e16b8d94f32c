//! `POST /v1/authorizations`: authorizes a call and holds its possible cost. For an account that
//! Redis knows: one round trip to Redis, none to Postgres.

use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use callmeter_core::domain::{AccountId, CallSid, TwilioAccountSid};
use utoipa::ToSchema;

use super::answer::{DecisionJson, count, decided};
use super::seconds;
use crate::balance::{Ask, CallParties, Payer};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Dialer};
use crate::http::auth::Scope;
use crate::http::fields::{Fields, line, parsed};
use crate::http::problem::Problem;
use crate::json::schema;

/// The account of a call, as the body names it.
#[derive(Clone, Debug)]
enum Whose {
    Account(AccountId),
    TwilioAccount(TwilioAccountSid),
}

#[derive(Clone, Debug)]
struct AuthorizationRequest {
    whose: Whose,
    call_sid: CallSid,
    from: String,
    to: String,
    direction: Option<String>,
    seconds: Option<u32>,
    tag: Option<String>,
}

/// A call to authorize.
#[derive(ToSchema)]
#[schema(example = json!({
    "account": "acme", "call_sid": "CA00000000000000000000000000000001",
    "from": "+15005550100", "to": "+15005550101", "seconds": 300,
}))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct AuthorizationBody {
    /// The account of the call; give this or `twilio_account_sid`. Optional with a key of an
    /// account.
    #[schema(value_type = Option<schema::AccountId>)]
    account: Option<String>,
    #[schema(value_type = Option<schema::TwilioAccountSid>)]
    twilio_account_sid: Option<String>,
    #[schema(value_type = schema::CallSid)]
    call_sid: String,
    #[schema(value_type = schema::Line)]
    from: String,
    #[schema(value_type = schema::Line)]
    to: String,
    #[schema(value_type = Option<schema::Line>)]
    direction: Option<String>,
    /// The requested duration since the call's answer; the default is a setting.
    #[schema(minimum = 1, maximum = 86400)]
    seconds: Option<u32>,
    #[schema(value_type = Option<schema::Line>)]
    tag: Option<String>,
}

impl AuthorizationRequest {
    /// Reads the fields; with a key of many accounts the account is required.
    fn read(fields: &mut Fields, scope: &Scope) -> Option<Self> {
        let account = fields.nullable("account", parsed::<AccountId>);
        let sid = fields.nullable("twilio_account_sid", parsed::<TwilioAccountSid>);
        let whose = match (account.flatten(), sid.flatten()) {
            (Some(_), Some(_)) => {
                fields.fault("twilio_account_sid", "is given with account: give only one of them");
                None
            }
            (Some(account), None) => Some(Whose::Account(account)),
            (None, Some(sid)) => Some(Whose::TwilioAccount(sid)),
            (None, None) => match scope {
                Scope::Account(own) => Some(Whose::Account(own.clone())),
                _ if fields.blames("account") || fields.blames("twilio_account_sid") => None,
                _ => {
                    fields.fault("account", "is missing; give account or twilio_account_sid");
                    None
                }
            },
        };
        let call_sid = fields.required("call_sid", parsed::<CallSid>);
        let from = fields.required("from", line);
        let to = fields.required("to", line);
        let direction = fields.nullable("direction", line);
        let seconds = fields.nullable("seconds", seconds);
        let tag = fields.nullable("tag", line);
        Some(Self {
            whose: whose?,
            call_sid: call_sid?,
            from: from?,
            to: to?,
            direction: direction.flatten(),
            seconds: seconds.flatten(),
            tag: tag.flatten(),
        })
    }
}

/// Authorizes a call and says for how long. Repeating it for an allowed call returns the same hold.
#[utoipa::path(
    post, path = "/v1/authorizations", tag = "Authorizations", operation_id = "authorizeCall",
    request_body = AuthorizationBody,
    responses((status = 200, description = "Allowed or denied", body = DecisionJson<'_>)),
    extensions(("x-scopes" = json!(["admin", "authorize", "account"])), ("x-problems" = json!(["unknown_account", "holds_unavailable"])))
)]
pub(super) async fn authorize(
    State(api): State<Api>,
    AuthorizedCommand(Dialer, act): AuthorizedCommand<Dialer>,
) -> Result<Response, Problem> {
    let wanted = act.read_by(|fields| AuthorizationRequest::read(fields, &act.credential.scope))?;
    let payer = match (&wanted.whose, &act.credential.scope) {
        (Whose::Account(account), _) => Payer::Account(act.credential.require_calls_of(account)?),
        (Whose::TwilioAccount(sid), Scope::Account(own)) => {
            // To this key a Twilio account of another account is unknown, as one of no account is.
            Payer::AccountOf(own, sid)
        }
        (Whose::TwilioAccount(sid), _) => Payer::TwilioAccount(sid),
    };
    let ask = Ask {
        payer,
        call_sid: &wanted.call_sid,
        parties: CallParties {
            direction: wanted.direction.as_deref(),
            from: Some(&wanted.from),
            to: Some(&wanted.to),
            is_child_leg: false,
        },
        seconds: wanted.seconds.unwrap_or(api.asked_seconds),
        tag: wanted.tag.as_deref(),
    };
    let asked = Instant::now();
    let decision = api.balance.authorize(ask).await;
    count(&decision, asked.elapsed());
    Ok(decided(decision, &wanted.call_sid, Problem::unknown_account))
}
