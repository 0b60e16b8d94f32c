//! `POST /v1/authorizations/{call_sid}/extend?account=`: lets a call in progress go on. The seconds
//! asked for are the call's total since its answer, so a request that is repeated asks for no more.

use axum::extract::State;
use axum::response::Response;

use super::answer::decided;
use super::{CallPath, seconds, unknown_authorization};
use crate::http::Api;
use crate::http::act::Act;
use crate::http::fields::{Fielded, Fields};
use crate::http::problem::Problem;

#[derive(Clone, Copy, Debug)]
struct Wanted {
    seconds: u32,
}

impl Fielded for Wanted {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { seconds: fields.required("seconds", seconds)? })
    }
}

pub(super) async fn extend(
    State(api): State<Api>,
    CallPath { account, call_sid }: CallPath,
    act: Act,
) -> Result<Response, Problem> {
    let account = act.credential.calls_account(account)?;
    let wanted: Wanted = act.read()?;
    let decision = api.balance.extend(&account, &call_sid, wanted.seconds).await;
    Ok(decided(decision, &call_sid, unknown_authorization))
}
