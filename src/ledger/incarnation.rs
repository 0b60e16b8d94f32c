//! How often this ledger went back in time (a restored backup, a lossy fail-over). If it has refills,
//! acts on money then wait for `callmeter recover`: payments may be missing.

use futures::FutureExt as _;

use super::store::{Store, StoreError};

/// The current incarnation.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn current(store: &Store) -> Result<i64, StoreError> {
    let query = "/* incarnation::current */ SELECT incarnation FROM ledger_identity";
    Ok(sqlx::query_scalar(query).fetch_one(&mut *store.read().await?).await?)
}

/// Raises the incarnation, because an outside witness was ahead of Postgres; returns the new one.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn raise(store: &Store) -> Result<i64, StoreError> {
    let raised = store.transact("incarnation::raise", |connection| {
        let statement = "/* incarnation::raise */
            UPDATE ledger_identity SET incarnation = incarnation + 1,
                recovery_required_at = CASE WHEN EXISTS (SELECT FROM refills)
                    THEN coalesce(recovery_required_at, now()) ELSE recovery_required_at END,
                recovery_reason = CASE WHEN EXISTS (SELECT FROM refills)
                    THEN coalesce(recovery_reason, 'incarnation') ELSE recovery_reason END
            RETURNING incarnation";
        async { Ok(sqlx::query_scalar(statement).fetch_one(connection).await?) }.boxed()
    });
    raised.await
}

/// Raises the incarnation unless another witness did since `seen` was read; returns the current
/// one.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn raise_from(store: &Store, seen: i64) -> Result<i64, StoreError> {
    let statement = || {
        sqlx::query(
            "-- incarnation::raise_from
             UPDATE ledger_identity SET incarnation = incarnation + 1,
                 recovery_required_at = CASE WHEN EXISTS (SELECT FROM refills)
                     THEN coalesce(recovery_required_at, now()) ELSE recovery_required_at END,
                 recovery_reason = CASE WHEN EXISTS (SELECT FROM refills)
                     THEN coalesce(recovery_reason, 'incarnation') ELSE recovery_reason END
             WHERE incarnation = $1",
        )
        .bind(seen)
    };
    store.execute("incarnation::raise_from", statement).await?;
    current(store).await
}
