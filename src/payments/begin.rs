//! The start of a refill: its checks, its `pending` row and its state, in one transaction. Nothing
//! is asked of Stripe here.

use callmeter_core::domain::{
    AccountId, AccountStatus, Money, PaymentMethodId, RefillId, RefillTrigger, TransactionKind,
    TransactionStatus,
};
use chrono::TimeDelta;
use serde_json::json;
use sqlx::PgConnection;

use super::limits::{OverLimit, RefillRules, check_limits};
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::payments::cards;
use crate::ledger::payments::refills::{self, NewRefill, Refill, Which};
use crate::ledger::wallets::{self, Entry, WalletHead};
use crate::ledger::{LedgerError, Refusable, accounts};

/// The card of a refill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardChoice {
    /// The account's default card.
    Default,
    /// This saved card; `None`: its id is none of Stripe's.
    Saved(Option<PaymentMethodId>),
    /// One that the customer enters in the browser.
    New {
        /// It is saved for later payments.
        is_saved: bool,
    },
}

/// What a customer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefillRequest {
    /// Whole cents.
    pub amount: Money,
    /// The card.
    pub card: CardChoice,
    /// Where the bank's page leads back to.
    pub return_url: Option<String>,
}

/// Begins a refill.
#[derive(Clone, Debug)]
pub(super) struct BeginRefill {
    /// The account.
    pub account: AccountId,
    /// The id of a new refill, random.
    pub id: RefillId,
    /// What is asked for.
    pub request: RefillRequest,
    /// The Idempotency-Key and the SHA-256 of the body.
    pub key: Option<(String, [u8; 32])>,
    /// The limits.
    pub rules: RefillRules,
    /// How long the request may work on it before the job does.
    pub claimed_for: TimeDelta,
}

/// A refill that was begun, now or by an earlier request with the same key.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The refill.
    pub refill: Refill,
    /// True if this request began it.
    pub is_new: bool,
}

/// Why no refill is begun. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// There is no such account.
    UnknownAccount,
    /// The account is closed.
    AccountClosed,
    /// No card is named, and the account has no default.
    NoPaymentMethod,
    /// The card is not the account's.
    UnknownPaymentMethod,
    /// The Idempotency-Key came with another body before.
    OtherBody,
    /// It would pass a limit.
    OverLimit(OverLimit),
}

impl Change for BeginRefill {
    type Done = Begun;
    type Refusal = NotBegun;
    const NAME: &'static str = "payments::begin";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<Begun, NotBegun> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(NotBegun::UnknownAccount));
        };
        let account_key = head.account_key;
        if let Some((key, sha256)) = &self.key
            && let Some(refill) =
                refills::find(connection, Which::Request(account_key, key)).await?
        {
            by.changed_nothing();
            let is_same = refill.request_sha256.as_deref() == Some(sha256.as_slice());
            return Ok(if is_same {
                Ok(Begun { refill, is_new: false })
            } else {
                Err(NotBegun::OtherBody)
            });
        }
        let Some(account) = accounts::find(connection, &self.account).await? else {
            return Ok(Err(NotBegun::UnknownAccount));
        };
        if account.status == AccountStatus::Closed {
            return Ok(Err(NotBegun::AccountClosed));
        }
        let saved = cards::list(connection, account_key).await?;
        let chosen = match &self.request.card {
            CardChoice::New { .. } => None,
            CardChoice::Default => match saved.iter().find(|card| card.is_default) {
                Some(card) => Some((card.id.clone(), card.face.clone())),
                None => return Ok(Err(NotBegun::NoPaymentMethod)),
            },
            CardChoice::Saved(id) => {
                match saved.iter().find(|card| Some(&card.id) == id.as_ref()) {
                    Some(card) => Some((card.id.clone(), card.face.clone())),
                    None => return Ok(Err(NotBegun::UnknownPaymentMethod)),
                }
            }
        };
        let amount = self.request.amount;
        let refused = check_limits(connection, account_key, &self.rules, amount, by.at).await?;
        if let Some(limit) = refused {
            return Ok(Err(NotBegun::OverLimit(limit)));
        }
        let new = NewRefill {
            id: self.id.clone(),
            account_key,
            trigger: RefillTrigger::Manual,
            amount: self.request.amount,
            pending_sequence: 0,
            payment_method: chosen,
            saves_card: self.request.card == CardChoice::New { is_saved: true },
            return_url: self.request.return_url.clone(),
            receipt_email: account.email,
            request: self.key.clone(),
            created_at: by.at,
            claimed_until: by.at + self.claimed_for,
        };
        let refill = write_refill(connection, &mut head, new, by).await?;
        Ok(Ok(Begun { refill, is_new: true }))
    }

    fn affects(&self, _: Option<&Begun>) -> Affected {
        // A pending row moves no money, but raises the wallet's version.
        Affected::account(&self.account)
    }
}

/// Writes the `pending` row of a refill and its state; the row's number is set here.
pub(super) async fn write_refill(
    connection: &mut PgConnection,
    head: &mut WalletHead,
    mut new: NewRefill,
    by: &By,
) -> Result<Refill, LedgerError> {
    let entry = Entry {
        kind: kind_of(new.trigger),
        status: TransactionStatus::Pending,
        amount: new.amount,
        description: None,
        refers_to: None,
        payment_intent_id: None,
        call_sid: None,
    };
    new.pending_sequence = wallets::post(connection, head, &entry, by.at).await?;
    refills::insert(connection, &new).await?;
    let entry = AuditEntry {
        action: Action::RefillRequested,
        account_key: Some(new.account_key),
        subject: new.id.to_string(),
        before: serde_json::Value::Null,
        after: json!({ "amount": new.amount, "trigger": new.trigger }),
    };
    audit::note(connection, by, &entry).await?;
    let refill = refills::find(connection, Which::Id(&new.id)).await?;
    refill.ok_or_else(|| LedgerError::unreadable("a refill", "it vanished"))
}

/// The kind of a refill's rows.
pub(super) const fn kind_of(trigger: RefillTrigger) -> TransactionKind {
    match trigger {
        RefillTrigger::Manual => TransactionKind::RefillManual,
        RefillTrigger::Auto => TransactionKind::RefillAuto,
    }
}
