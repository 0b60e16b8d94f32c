//! What becomes of a number, each in one transaction: the debit, the purchase or the money back, and
//! the release. Request, command and loop may all run them, however often.

use callmeter_core::domain::{
    AccountId, AccountStatus, EventType, Money, NumberId, PhoneNumberSid, TransactionKind,
    TransactionStatus, rental_period_start,
};
use chrono::{NaiveTime, TimeDelta};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::facts;
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::numbers::progress::{self, Bought};
use crate::ledger::numbers::{self, ACCOUNT_CLOSED, Number, Which};
use crate::ledger::payments::refunds::reserve;
use crate::ledger::wallets::{self, Entry, WalletHead};
use crate::ledger::{LedgerError, Refusable, accounts};

/// What happens to a number.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// Its price is taken from the wallet.
    Debit,
    /// It is bought.
    Confirm {
        /// Its id at Twilio.
        sid: PhoneNumberSid,
        /// True: it is released at once if its account was closed meanwhile.
        releases_if_closed: bool,
    },
    /// Its price is given back.
    Refund(&'static str),
    /// It is given back to Twilio.
    Finish,
}

/// Books what happens to a number.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) id: NumberId,
    pub(super) account: AccountId,
    pub(super) deed: Deed,
}

impl Change for Book {
    /// True if it was booked now, and not before.
    type Done = bool;
    type Refusal = ();
    const NAME: &'static str = "numbers::book";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<bool, ()> {
        let head = accounts::lock(connection, &self.account).await?;
        // Read after the lock: another process may have booked it while this waited.
        let number = numbers::find(connection, Which::Id(&self.id)).await?;
        let (Some(mut head), Some(number)) = (head, number) else { return Ok(Err(())) };
        let is_new = match &self.deed {
            Deed::Debit => debit(connection, &mut head, &number, by).await?,
            Deed::Confirm { sid, .. } => confirm(connection, &number, sid, by).await?,
            Deed::Refund(reason) => refund(connection, &mut head, &number, reason, by).await?,
            Deed::Finish => progress::finish(connection, &number.id, by.at).await?,
        };
        if !is_new {
            by.changed_nothing();
            return Ok(Ok(false));
        }
        let (action, told, after) = match &self.deed {
            Deed::Debit => (Action::NumberDebited, None, json!({ "balance": head.balance })),
            Deed::Confirm { sid, .. } => {
                let after = json!({ "sid": sid });
                (Action::NumberBought, Some(EventType::NumberPurchased), after)
            }
            Deed::Refund(reason) => {
                let after = json!({ "reason": reason, "balance": head.balance });
                (Action::NumberFailed, Some(EventType::NumberPurchaseFailed), after)
            }
            Deed::Finish => (Action::NumberReleased, Some(EventType::NumberReleased), Value::Null),
        };
        if let Some(kind) = told {
            facts::tell(connection, kind, &number.id, by.at).await?;
        }
        let entry = AuditEntry {
            action,
            account_key: Some(number.account_key),
            subject: number.id.to_string(),
            before: json!({ "status": number.status, "price": number.price }),
            after,
        };
        audit::note(connection, by, &entry).await?;
        if let Deed::Confirm { releases_if_closed: true, .. } = self.deed {
            let account = accounts::find(connection, &self.account).await?;
            if account.is_some_and(|account| account.status == AccountStatus::Closed) {
                progress::ask_release(connection, &number, Some(ACCOUNT_CLOSED), by).await?;
            }
        }
        Ok(Ok(true))
    }

    fn affects(&self, done: Option<&bool>) -> Affected {
        match (&self.deed, done) {
            (Deed::Confirm { .. } | Deed::Finish, _) | (_, Some(false)) => Affected::nothing(),
            _ => Affected::account(&self.account),
        }
    }
}

fn entry(number: &Number, kind: TransactionKind, refers_to: Option<i64>) -> Entry {
    let what = match kind {
        TransactionKind::Refund => "Purchase failed:",
        _ => "Purchase of",
    };
    Entry {
        kind,
        status: TransactionStatus::Completed,
        amount: number.price,
        description: Some(format!("{what} {}", number.phone_number)),
        refers_to,
        payment_intent_id: None,
        call_sid: None,
    }
}

/// Takes the price that is set aside.
async fn debit(
    connection: &mut PgConnection,
    head: &mut WalletHead,
    number: &Number,
    by: &By,
) -> Result<bool, LedgerError> {
    if number.debited_at.is_some() || number.finished_at.is_some() {
        return Ok(false);
    }
    let sequence = if number.price.is_zero() {
        None
    } else {
        reserve(connection, head, Money::from_micros(-number.price.micros())).await?;
        let entry = entry(number, TransactionKind::NumberPurchase, None);
        Some(wallets::post(connection, head, &entry, by.at).await?)
    };
    progress::note_debit(connection, &number.id, sequence, by.at).await?;
    Ok(true)
}

async fn confirm(
    connection: &mut PgConnection,
    number: &Number,
    sid: &PhoneNumberSid,
    by: &By,
) -> Result<bool, LedgerError> {
    let first_period = by.at.date_naive();
    let next = rental_period_start(first_period, 1, number.anchor);
    let next = next.unwrap_or(first_period + TimeDelta::days(30));
    let bought = Bought {
        sid: sid.clone(),
        first_period,
        next_due_at: next.and_time(NaiveTime::MIN).and_utc(),
        at: by.at,
    };
    Ok(progress::confirm(connection, &number.id, &bought).await?)
}

async fn refund(
    connection: &mut PgConnection,
    head: &mut WalletHead,
    number: &Number,
    reason: &str,
    by: &By,
) -> Result<bool, LedgerError> {
    if number.finished_at.is_some() || number.bought_at.is_some() {
        return Ok(false);
    }
    let sequence = match number.debit_sequence {
        Some(debit) => {
            let entry = entry(number, TransactionKind::Refund, Some(debit));
            Some(wallets::post(connection, head, &entry, by.at).await?)
        }
        None => None,
    };
    Ok(progress::fail(connection, &number.id, reason, sequence, by.at).await?)
}
