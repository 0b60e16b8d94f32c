//! `GET /v1/accounts/{id}/wallet`: the balance, holds and allowance. One round trip to Postgres and
//! one to Redis; more after a new catalog, or if Redis is behind or does not know the account.
//!
//! While Redis is down the held amount comes from the journal, and `held_source` says so.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::access::{Authorized, Reader};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::wallet::WalletView;

/// The wallet of an account.
#[derive(ToSchema)]
#[schema(as = Wallet)]
#[expect(dead_code, reason = "documents what `WalletView` writes")]
pub(in crate::http) struct WalletJson {
    #[schema(value_type = schema::Amount)]
    balance: String,
    /// Money held by calls in progress.
    #[schema(value_type = schema::Amount)]
    held: String,
    /// Balance + credit limit - held.
    #[schema(value_type = schema::Amount)]
    available: String,
    #[schema(value_type = schema::Amount)]
    credit_limit: String,
    #[schema(value_type = schema::WalletState)]
    state: String,
    /// Always `USD`.
    currency: String,
    /// Null without a subscription.
    allowance: Option<AllowanceJson>,
    held_source: HeldSource,
    as_of: DateTime<Utc>,
}

/// The allowance of the current cycle.
#[derive(ToSchema)]
#[schema(as = Allowance)]
#[expect(dead_code, reason = "documents what `AllowanceView` writes")]
pub(in crate::http) struct AllowanceJson {
    #[schema(value_type = schema::PlanId)]
    plan: String,
    cycle_start: DateTime<Utc>,
    cycle_end: DateTime<Utc>,
    included_seconds: u64,
    used_seconds: u64,
    held_seconds: u64,
    remaining_seconds: u64,
}

/// The source of the held amount: `live` is Redis; `journal` is Postgres, while Redis does not know
/// the account.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the words")]
enum HeldSource {
    Live,
    Journal,
}

/// Shows the balance, what calls in progress hold of it, and the rest of the allowance.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/wallet", tag = "Accounts", operation_id = "showWallet",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "The wallet as of now", body = WalletJson)),
    extensions(("x-scopes" = json!(["admin", "account"])),
        ("x-problems" = json!(["unknown_account", "holds_unavailable"])))
)]
pub(super) async fn wallet(
    State(api): State<Api>,
    Authorized(Reader(id)): Authorized<Reader>,
) -> Result<Json<WalletView>, Problem> {
    let view = api.wallets.view(&id, api.clock.now()).await?;
    view.map(Json).ok_or_else(Problem::unknown_account)
}
