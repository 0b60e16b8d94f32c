//! Corrections by an administrator: a credit or a debit with its reason.

use callmeter_core::domain::{
    AccountId, AdjustmentReason, Money, TransactionKind, TransactionStatus, TransactionType,
};
use serde_json::json;
use sqlx::PgConnection;

use super::audit::{self, Action, AuditEntry, By};
use super::error::{LedgerError, Refusable};
use super::history::{self, Transaction};
use super::{accounts, wallets};

/// A correction to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// A credit favours the customer, a debit us.
    pub direction: TransactionType,
    /// Positive.
    pub amount: Money,
    /// The reason; customers read it.
    pub description: String,
    /// Sequence of the transaction it corrects.
    pub refers_to: Option<i64>,
    /// Why, in the words of the books.
    pub reason: Option<AdjustmentReason>,
}

/// Why a wallet is not corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdjusted {
    /// There is no such account.
    UnknownAccount,
    /// The account has no transaction with the number it refers to.
    UnknownReference,
}

/// Posts a correction. A debit may take the balance below zero: it is a correction.
///
/// # Errors
/// `BalanceOutOfRange` if the new balance is out of range.
pub async fn adjust(
    connection: &mut PgConnection,
    id: &AccountId,
    adjustment: &Adjustment,
    by: &By,
) -> Refusable<Transaction, NotAdjusted> {
    let Some(mut head) = accounts::lock(connection, id).await? else {
        return Ok(Err(NotAdjusted::UnknownAccount));
    };
    if let Some(sequence) = adjustment.refers_to
        && !(1..=head.sequence).contains(&sequence)
    {
        return Ok(Err(NotAdjusted::UnknownReference));
    }
    let entry = wallets::Entry {
        kind: match adjustment.direction {
            TransactionType::Credit => TransactionKind::AdjustmentCredit,
            TransactionType::Debit => TransactionKind::AdjustmentDebit,
        },
        status: TransactionStatus::Completed,
        amount: adjustment.amount,
        description: Some(adjustment.description.clone()),
        refers_to: adjustment.refers_to,
        payment_intent_id: None,
        call_sid: None,
    };
    let before = json!({ "balance": head.balance });
    let sequence = wallets::post(connection, &mut head, &entry, by.at).await?;
    if let Some(reason) = adjustment.reason {
        keep_reason(connection, head.account_key, sequence, reason).await?;
    }
    let entry = AuditEntry {
        action: Action::WalletAdjusted,
        account_key: Some(head.account_key),
        subject: id.to_string(),
        before,
        after: match adjustment.reason {
            Some(reason) => {
                json!({ "balance": head.balance, "sequence": sequence, "reason": reason })
            }
            None => json!({ "balance": head.balance, "sequence": sequence }),
        },
    };
    audit::note(connection, by, &entry).await?;
    let posted = history::transaction(connection, head.account_key, sequence).await?;
    posted.map(Ok).ok_or_else(|| {
        LedgerError::unreadable("a transaction", format!("{sequence} vanished after its posting"))
    })
}

async fn keep_reason(
    connection: &mut PgConnection,
    account_key: i32,
    sequence: i64,
    reason: AdjustmentReason,
) -> Result<(), LedgerError> {
    sqlx::query(
        "/* adjustments::keep_reason */
         INSERT INTO adjustment_reasons (account_key, sequence, reason) VALUES ($1, $2, $3)",
    )
    .bind(account_key)
    .bind(sequence)
    .bind(reason.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
