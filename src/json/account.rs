//! An account as JSON.

use callmeter_core::domain::{AccountId, AccountStatus, Money, TwilioAccountSid};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::accounts::{Account, OnRedisLoss};

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(crate) struct AccountJson {
    #[schema(value_type = schema::AccountId)]
    id: AccountId,
    name: String,
    email: Option<String>,
    #[schema(value_type = schema::AccountStatus)]
    status: AccountStatus,
    /// The first of `twilio_account_sids`.
    #[schema(value_type = Option<schema::TwilioAccountSid>)]
    twilio_account_sid: Option<TwilioAccountSid>,
    #[schema(value_type = Vec<schema::TwilioAccountSid>)]
    twilio_account_sids: Vec<TwilioAccountSid>,
    #[schema(value_type = schema::Amount)]
    credit_limit: Money,
    #[schema(value_type = schema::OnRedisLoss)]
    on_redis_loss: OnRedisLoss,
    #[schema(value_type = schema::Amount)]
    redis_loss_cap: Money,
    calls_in_progress_max: Option<i32>,
    created_at: DateTime<Utc>,
}

impl From<Account> for AccountJson {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            name: account.name,
            email: account.email,
            status: account.status,
            twilio_account_sid: account.twilio_account_sids.first().cloned(),
            twilio_account_sids: account.twilio_account_sids,
            credit_limit: account.credit_limit,
            on_redis_loss: account.on_redis_loss,
            redis_loss_cap: account.redis_loss_cap,
            calls_in_progress_max: account.calls_in_progress_max,
            created_at: account.created_at,
        }
    }
}
