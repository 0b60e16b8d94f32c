//! `POST /v1/authorizations`: may this call go ahead? Holds what it may cost. One round trip to Redis
//! for an account that Redis knows, and none to Postgres.

use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use callmeter_core::domain::{AccountId, CallSid, TwilioAccountSid};

use super::answer::{count, decided};
use super::seconds;
use crate::balance::{Ask, CallEnds, Payer};
use crate::http::Api;
use crate::http::act::Act;
use crate::http::auth::Scope;
use crate::http::fields::{Fielded, Fields, line, parsed};
use crate::http::problem::Problem;

/// Whose call a body says it is.
#[derive(Clone, Debug)]
enum Whose {
    Account(AccountId),
    TwilioAccount(TwilioAccountSid),
    /// The key says it.
    Unsaid,
}

#[derive(Clone, Debug)]
struct Wanted {
    whose: Whose,
    call_sid: CallSid,
    from: String,
    to: String,
    direction: Option<String>,
    seconds: Option<u32>,
    tag: Option<String>,
}

impl Fielded for Wanted {
    fn read(fields: &mut Fields) -> Option<Self> {
        let account = fields.nullable("account", parsed::<AccountId>);
        let sid = fields.nullable("twilio_account_sid", parsed::<TwilioAccountSid>);
        let whose = match (account.flatten(), sid.flatten()) {
            (Some(_), Some(_)) => {
                fields.fault("twilio_account_sid", "is given beside account: give one of them");
                None
            }
            (Some(account), None) => Some(Whose::Account(account)),
            (None, Some(sid)) => Some(Whose::TwilioAccount(sid)),
            (None, None) => Some(Whose::Unsaid),
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

pub(super) async fn authorize(State(api): State<Api>, act: Act) -> Result<Response, Problem> {
    let wanted: Wanted = act.read()?;
    let payer = match (&wanted.whose, &act.credential.scope) {
        (Whose::Account(account), _) => Payer::Account(act.credential.require_calls_of(account)?),
        (Whose::Unsaid, Scope::Account(own)) => Payer::Account(own),
        (Whose::Unsaid, _) => {
            let message = "is missing; give account or twilio_account_sid";
            return Err(Problem::missing("account", message));
        }
        (Whose::TwilioAccount(sid), Scope::Account(own)) => {
            // One that pays for another account is as unknown to this key as one that is nobody's.
            let payer = api.balance.account_of(sid).await?;
            let own = payer.filter(|account| account == own).map(|_| own);
            Payer::Account(own.ok_or_else(Problem::unknown_account)?)
        }
        (Whose::TwilioAccount(sid), _) => Payer::TwilioAccount(sid),
    };
    let ask = Ask {
        payer,
        call_sid: &wanted.call_sid,
        ends: CallEnds {
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
