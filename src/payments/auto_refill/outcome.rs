//! What an ended automatic refill means for the next one.

use callmeter_core::policy::auto_refill::{AfterDecline, after_decline, is_soft};
use callmeter_core::policy::decline;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::{NOT_NEEDED, disable};
use crate::ledger::LedgerError;
use crate::ledger::payments::auto_refills;
use crate::ledger::payments::refill_progress;
use crate::ledger::payments::refills::{Refill, StoredDecline};

/// Learns from the end of an automatic refill, in its transaction. `declined`: it failed for this.
pub(in crate::payments) async fn learn(
    connection: &mut PgConnection,
    refill: &Refill,
    declined: Option<&StoredDecline>,
    backoff: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let account_key = refill.account_key;
    let Some(stored) = declined else {
        // Paid. It may be below the threshold all the same.
        return Ok(auto_refills::note_declines(connection, account_key, 0, None, now).await?);
    };
    let Some(found) = auto_refills::find(connection, account_key).await? else { return Ok(()) };
    if stored.code.as_deref() == Some(NOT_NEEDED) {
        // The card was not asked: this says nothing about it.
        let (before, retry_at) = (found.soft_declines, found.retry_at);
        auto_refills::note_declines(connection, account_key, before, retry_at, now).await?;
        return Ok(());
    }
    let told = decline(stored.decline_code.as_deref(), stored.code.as_deref());
    let soft_declines = found.soft_declines + i32::from(is_soft(&told));
    match after_decline(&told, soft_declines, refill.created_at, backoff, now) {
        AfterDecline::Later(at) => {
            let retry_at = Some(at);
            auto_refills::note_declines(connection, account_key, soft_declines, retry_at, at)
                .await?;
            refill_progress::retried_at(connection, &refill.id, at).await?;
        }
        AfterDecline::Off(reason) => {
            let decline = json!({ "code": told.code, "class": told.class, "advice": told.advice });
            disable(connection, account_key, &reason, decline, now).await?;
        }
    }
    Ok(())
}
