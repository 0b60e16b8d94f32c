//! The start of a refund: its checks, its row, and the reservation of its money.

use callmeter_core::domain::{AccountId, Money, PaymentIntentId, RefillId, RefundId};
use chrono::TimeDelta;
use serde_json::json;
use sqlx::PgConnection;

use crate::balance::BalanceError;
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::payments::refills::{self, Which as WhichRefill};
use crate::ledger::payments::refunds::{self, NewRefund, Refund, Which};
use crate::ledger::{LedgerError, Refusable, accounts};
use crate::payments::{PaymentError, Payments};

/// What an administrator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefundRequest {
    /// Whole cents; `None`: all that is left.
    pub(crate) amount: Option<Money>,
    /// The wallet may go below zero.
    pub(crate) allows_negative: bool,
}

/// Why nothing is refunded. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotRefunded {
    /// The account has no such refill.
    UnknownRefill,
    /// The refill was not completed.
    NotCompleted,
    /// The bank took the money back.
    Disputed,
    /// It is more than is left.
    Exceeds {
        /// What is left.
        left: Money,
    },
    /// The wallet does not have it.
    Insufficient {
        /// How much is missing.
        shortfall: Money,
    },
    /// The Idempotency-Key came with another body before.
    OtherBody,
}

/// Begins a refund.
#[derive(Clone, Debug)]
struct BeginRefund {
    account: AccountId,
    refill: RefillId,
    id: RefundId,
    request: RefundRequest,
    key: Option<(String, [u8; 32])>,
    claimed_for: TimeDelta,
}

impl Change for BeginRefund {
    type Done = (Refund, bool);
    type Refusal = NotRefunded;
    const NAME: &'static str = "payments::begin_refund";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<(Refund, bool), NotRefunded> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(NotRefunded::UnknownRefill));
        };
        let account_key = head.account_key;
        if let Some((key, sha256)) = &self.key
            && let Some(refund) =
                refunds::find(connection, Which::Request(account_key, key)).await?
        {
            by.changed_nothing();
            let is_same = refund.request_sha256.as_deref() == Some(sha256.as_slice());
            return Ok(if is_same { Ok((refund, false)) } else { Err(NotRefunded::OtherBody) });
        }
        let refill = refills::find(connection, WhichRefill::Id(&self.refill)).await?;
        let Some(refill) = refill.filter(|refill| refill.account == self.account) else {
            return Ok(Err(NotRefunded::UnknownRefill));
        };
        let credit = match refill.payment_intent.as_ref().map(PaymentIntentId::as_str) {
            Some(intent) => refunds::credit_of(connection, intent).await?,
            None => None,
        };
        if credit.is_none() {
            return Ok(Err(NotRefunded::NotCompleted));
        }
        if refunds::is_charged_back(connection, &refill.id).await? {
            return Ok(Err(NotRefunded::Disputed));
        }
        let refunded = refunds::sum(connection, &refill.id).await?;
        let left = refill.amount.checked_sub(refunded).unwrap_or_default();
        let amount = self.request.amount.unwrap_or(left);
        if amount > left || !amount.is_positive() {
            return Ok(Err(NotRefunded::Exceeds { left: left.max(Money::ZERO) }));
        }
        refunds::reserve(connection, &mut head, amount).await?;
        let new = NewRefund {
            id: &self.id,
            refill: &refill.id,
            account_key,
            amount,
            is_ours: true,
            is_checked: self.request.allows_negative,
            stripe_refund: None,
            request: self.key.as_ref().map(|(key, sha256)| (key.as_str(), *sha256)),
            created_at: by.at,
            claimed_until: by.at + self.claimed_for,
        };
        refunds::insert(connection, &new).await?;
        let entry = AuditEntry {
            action: Action::RefundRequested,
            account_key: Some(account_key),
            subject: self.id.to_string(),
            before: serde_json::Value::Null,
            after: json!({ "refill": refill.id, "amount": amount }),
        };
        audit::note(connection, by, &entry).await?;
        let refund = refunds::find(connection, Which::Id(&self.id)).await?;
        let refund = refund.ok_or_else(|| LedgerError::unreadable("a refund", "it vanished"))?;
        Ok(Ok((refund, true)))
    }

    fn affects(&self, _: Option<&(Refund, bool)>) -> Affected {
        // What is reserved cannot be granted to a call any more.
        Affected::account(&self.account)
    }
}

/// Withdraws a refund that Stripe was not asked for: the wallet does not have the money.
#[derive(Clone, Debug)]
struct WithdrawRefund {
    refund: Refund,
}

impl Change for WithdrawRefund {
    type Done = ();
    type Refusal = ();
    const NAME: &'static str = "payments::withdraw_refund";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<(), ()> {
        let Some(mut head) = accounts::lock(connection, &self.refund.account).await? else {
            return Ok(Err(()));
        };
        if !refunds::remove(connection, &self.refund.id).await? {
            by.changed_nothing();
            return Ok(Ok(()));
        }
        let back = Money::from_micros(-self.refund.amount.micros());
        refunds::reserve(connection, &mut head, back).await?;
        let entry = AuditEntry {
            action: Action::RefundWithdrawn,
            account_key: Some(self.refund.account_key),
            subject: self.refund.id.to_string(),
            before: json!({ "amount": self.refund.amount }),
            after: serde_json::Value::Null,
        };
        audit::note(connection, by, &entry).await?;
        Ok(Ok(()))
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        Affected::account(&self.refund.account)
    }
}

impl Payments {
    /// Refunds a part of a refill, or all that is left, to its card. Once Stripe was asked, the
    /// refund is answered whatever became of it.
    ///
    /// # Errors
    /// Nothing was sent to Stripe.
    pub(crate) async fn refund(
        &self,
        (account, refill): (AccountId, RefillId),
        request: RefundRequest,
        key: Option<(String, [u8; 32])>,
        by: By,
    ) -> Result<Result<(Refund, bool), NotRefunded>, PaymentError> {
        let deadline = self.deadline();
        self.check_account(deadline).await?;
        self.check_recovery().await?;
        let change = BeginRefund {
            account,
            refill,
            id: RefundId::from_random(rand::random()),
            request,
            key,
            claimed_for: self.claim_time(),
        };
        let (refund, is_new) = match self.changes.run(change, by).await? {
            Ok(begun) => begun,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let id = refund.id.clone();
        if is_new {
            if let Err(refusal) = self.advance_refund(&id, deadline).await? {
                return Ok(Err(refusal));
            }
        } else {
            self.advance_refund_if_free(&id, deadline).await?;
        }
        let refund = refunds::find(&mut *self.store.read().await?, Which::Id(&id)).await?;
        let refund = refund.ok_or_else(|| LedgerError::unreadable("a refund", "it vanished"))?;
        Ok(Ok((refund, is_new)))
    }

    /// Makes sure that the reserved money is there. If calls hold it, the refund is withdrawn.
    pub(super) async fn check_funds(
        &self,
        refund: &Refund,
    ) -> Result<Result<(), NotRefunded>, PaymentError> {
        // Without Redis, calls are granted by a cap and not by what is available.
        let is_known = self.changes.balance().redis().probe().await.is_ok();
        let view = match self.wallets.view(&refund.account, self.clock.now()).await {
            Ok(Some(view)) if is_known => view,
            Ok(None) => return Ok(Err(NotRefunded::UnknownRefill)),
            Err(BalanceError::Ledger(error)) => return Err(error.into()),
            Ok(Some(_)) | Err(_) => {
                self.withdraw(refund).await?;
                return Err(PaymentError::HoldsUnknown);
            }
        };
        if !view.available.is_negative() {
            refunds::note_checked(&self.store, &refund.id).await?;
            return Ok(Ok(()));
        }
        self.withdraw(refund).await?;
        let shortfall = Money::from_micros(-view.available.micros());
        Ok(Err(NotRefunded::Insufficient { shortfall }))
    }

    async fn withdraw(&self, refund: &Refund) -> Result<(), PaymentError> {
        let withdraw = WithdrawRefund { refund: refund.clone() };
        let by = By::new("payments:refund", self.clock.now());
        let _: Result<(), ()> = self.changes.run(withdraw, by).await?;
        Ok(())
    }
}
