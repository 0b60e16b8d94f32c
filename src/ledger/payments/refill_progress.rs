//! How a refill goes on, and its end.

use callmeter_core::domain::{PaymentIntentId, PaymentMethodId, RefillId, RefillStatus};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::refills::{CardFace, StoredDecline};
use crate::ledger::store::{Store, StoreError};

/// A change of an unfinished refill; a finished one is left alone.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Its payment intent was created or found.
    Intent(PaymentIntentId),
    /// The keys of another attempt are used.
    NextAttempt,
    /// The intent is to be canceled.
    Canceling,
    /// It waits, and for what.
    Waits {
        /// One of the unfinished states.
        status: RefillStatus,
        /// Where the customer confirms it.
        redirect_url: Option<String>,
    },
    /// Stripe declined a try.
    Declined(StoredDecline),
}

/// Notes the progress of a refill.
///
/// # Errors
/// If Postgres is unavailable, or another refill has the intent.
pub async fn note(store: &Store, id: &RefillId, progress: &Progress) -> Result<(), StoreError> {
    let statement = || {
        let id = id.as_str();
        match progress {
            Progress::Intent(intent) => sqlx::query(
                "/* refill_progress::note, intent */ UPDATE refills SET payment_intent = $2
                 WHERE refill = $1 AND payment_intent IS NULL",
            )
            .bind(id)
            .bind(intent.as_str().to_owned()),
            Progress::NextAttempt => sqlx::query(
                "/* refill_progress::note, attempt */ UPDATE refills SET attempt = attempt + 1
                 WHERE refill = $1 AND finished_at IS NULL",
            )
            .bind(id),
            Progress::Canceling => sqlx::query(
                "/* refill_progress::note, canceling */ UPDATE refills SET is_canceling = true
                 WHERE refill = $1 AND finished_at IS NULL",
            )
            .bind(id),
            Progress::Waits { status, redirect_url } => sqlx::query(
                "/* refill_progress::note, waits */ UPDATE refills SET status = $2, redirect_url = $3
                 WHERE refill = $1 AND finished_at IS NULL",
            )
            .bind(id)
            .bind(status.as_str())
            .bind(redirect_url.clone()),
            Progress::Declined(decline) => sqlx::query(
                "/* refill_progress::note, declined */
                 UPDATE refills SET decline = $2, declines = declines + 1
                 WHERE refill = $1 AND finished_at IS NULL",
            )
            .bind(id)
            .bind(Json(decline.clone())),
        }
    };
    store.execute("refill_progress::note", statement).await.map(|_| ())
}

/// Notes that the customer must confirm a refill; true if that was not told before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn require_action(
    connection: &mut PgConnection,
    id: &RefillId,
    redirect_url: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let is_new: Option<bool> = sqlx::query_scalar(
        "/* refill_progress::require_action */
         UPDATE refills AS r SET status = 'requires_action', redirect_url = $2,
             action_told_at = coalesce(r.action_told_at, $3)
         FROM (SELECT action_told_at IS NULL AS is_new FROM refills WHERE refill = $1) AS before
         WHERE refill = $1 AND finished_at IS NULL RETURNING before.is_new",
    )
    .bind(id.as_str())
    .bind(redirect_url)
    .bind(now)
    .fetch_optional(connection)
    .await?;
    Ok(is_new.unwrap_or_default())
}

/// Notes the payment of a refill that the ledger had lost.
///
/// # Errors
/// If Postgres is unavailable, or another refill has the intent.
pub async fn restore_intent(
    connection: &mut PgConnection,
    id: &RefillId,
    intent: &PaymentIntentId,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* refill_progress::restore_intent */ UPDATE refills SET payment_intent = $2
         WHERE refill = $1 AND payment_intent IS NULL",
    )
    .bind(id.as_str())
    .bind(intent.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// How a refill ended.
#[derive(Clone, Debug)]
pub struct End {
    /// `completed` or `failed`.
    pub status: RefillStatus,
    /// The row of the outcome.
    pub sequence: i64,
    /// Why it failed.
    pub decline: Option<StoredDecline>,
    /// The card that paid, where it was a new one.
    pub card: Option<(PaymentMethodId, CardFace)>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Ends a refill, under the wallet's lock and together with its outcome row.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn end(
    connection: &mut PgConnection,
    id: &RefillId,
    intent: Option<&PaymentIntentId>,
    end: &End,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* refill_progress::end */
         UPDATE refills SET status = $2, outcome_sequence = $3, finished_at = $4,
             decline = coalesce($5, decline), payment_method = coalesce(payment_method, $6),
             card = coalesce(card, $7), payment_intent = coalesce(payment_intent, $8),
             redirect_url = NULL, receipt_email = NULL
         WHERE refill = $1 AND finished_at IS NULL",
    )
    .bind(id.as_str())
    .bind(end.status.as_str())
    .bind(end.sequence)
    .bind(end.at)
    .bind(end.decline.as_ref().map(Json))
    .bind(end.card.as_ref().map(|(id, _)| id.as_str()))
    .bind(end.card.as_ref().map(|(_, face)| Json(face)))
    .bind(intent.map(PaymentIntentId::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes when auto-refill tries again after a failed refill.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn retried_at(
    connection: &mut PgConnection,
    id: &RefillId,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* refill_progress::retried_at */
         UPDATE refills SET decline = decline || jsonb_build_object('retry_at', $2)
         WHERE refill = $1",
    )
    .bind(id.as_str())
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
