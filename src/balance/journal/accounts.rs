//! The internal keys of accounts, which the journal's rows carry: read once for each account, not for
//! each hold.
//!
//! A key must never outlive the ledger that gave it: a restored ledger may give it to another account.
//! So the cache is stamped with the ledger's incarnation and the start of the server, which are read in
//! the transaction that uses it.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};

use crate::balance::model::Recent;
use crate::ledger::store::StoreError;

/// Accounts of one generation; there are two.
const KEPT_MAX: usize = 50_000;

/// The keys that are known.
#[derive(Debug)]
pub(super) struct AccountKeys {
    of: Option<(i64, DateTime<Utc>)>,
    known: Recent<AccountId, i32>,
}

impl Default for AccountKeys {
    fn default() -> Self {
        Self { of: None, known: Recent::new(KEPT_MAX) }
    }
}

impl AccountKeys {
    /// The key of each account, in their order; `None`: the ledger does not have the account.
    pub(super) async fn read<'a>(
        &mut self,
        connection: &mut PgConnection,
        accounts: impl Iterator<Item = &'a AccountId> + Clone,
    ) -> Result<Vec<Option<i32>>, StoreError> {
        let row = sqlx::query(
            "-- balance::journal, which ledger
             SELECT incarnation, pg_postmaster_start_time() AS started_at FROM ledger_identity",
        )
        .fetch_one(&mut *connection)
        .await?;
        let ledger = (row.try_get("incarnation")?, row.try_get("started_at")?);
        if self.of != Some(ledger) {
            *self = Self { of: Some(ledger), ..Self::default() };
        }
        let unknown = accounts.clone().filter(|id| self.known.get(*id).is_none());
        let unknown: Vec<&str> = unknown.map(AccountId::as_str).collect();
        if !unknown.is_empty() {
            let rows = sqlx::query(
                "-- balance::journal, the accounts
                 SELECT id, account_key FROM accounts WHERE id = ANY($1)",
            )
            .bind(&unknown)
            .fetch_all(connection)
            .await?;
            for row in rows {
                // What is no account's id is no account of a hold.
                if let Ok(id) = AccountId::parse(row.try_get("id")?) {
                    self.known.insert(id, row.try_get("account_key")?);
                }
            }
        }
        Ok(accounts.map(|id| self.known.get(id).copied()).collect())
    }
}
