//! What an address does not want any more: written for one address of one account, and one kind.

use callmeter_core::domain::AccountId;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::ledger::LedgerError;
use crate::ledger::accounts;
use crate::ledger::audit::{self, Action, AuditEntry, By};

/// What an address does not want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscription {
    /// The account.
    pub account: AccountId,
    /// The address.
    pub address: String,
    /// The kind of mails.
    pub kind: String,
}

/// Notes that an address does not want a kind of mails; false: there is no such account.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn unsubscribe(
    connection: &mut PgConnection,
    unsubscription: &Unsubscription,
    by: &By,
) -> Result<bool, LedgerError> {
    let Unsubscription { account, address, kind } = unsubscription;
    let Some(account_key) = accounts::key_of(connection, account).await? else { return Ok(false) };
    let noted = sqlx::query(
        "/* mail::unsubscribe */
         INSERT INTO mail_unsubscriptions (account_key, address_sha256, kind, at)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(account_key)
    .bind(Sha256::digest(address.to_lowercase()).as_slice())
    .bind(kind)
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    if noted.rows_affected() == 0 {
        by.changed_nothing();
        return Ok(true);
    }
    let entry = AuditEntry {
        action: Action::MailUnsubscribed,
        account_key: Some(account_key),
        subject: account.to_string(),
        before: Value::Null,
        after: json!({ "kind": kind, "address": audit::masked(address) }),
    };
    audit::note(connection, by, &entry).await?;
    Ok(true)
}
