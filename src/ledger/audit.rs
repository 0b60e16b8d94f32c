//! The audit: one row for each change by an administrator, in the transaction of that change.
//!
//! Every such change takes a [`By`]. It either writes an entry here, with the state before and
//! after, or declares that it changed nothing. The API refuses to commit a change that did neither,
//! so none is missed. An entry must never hold a secret. It names people only [`masked`], since
//! rows here are never redacted.

use std::sync::atomic::{AtomicU32, Ordering};

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;
use super::history::{Page, Stretch, page};
use super::store::StoreError;
use crate::masked as phone_numbers;

/// Who makes a change, when, and why.
#[derive(Debug)]
pub struct By {
    /// The id of a credential, `cli:USER`, or a part of the service.
    pub who: String,
    /// The given reason.
    pub why: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    noted: AtomicU32,
}

impl By {
    /// By `who`, at a time, without a reason.
    pub fn new(who: impl Into<String>, at: DateTime<Utc>) -> Self {
        Self { who: who.into(), why: None, request_id: None, at, noted: AtomicU32::new(0) }
    }

    /// Adds the given reason, if any; phone numbers in it are masked.
    #[must_use]
    pub fn because(self, why: Option<String>) -> Self {
        Self { why: why.map(|why| phone_numbers::masked(&why).into_owned()), ..self }
    }

    /// Adds the id of the request.
    #[must_use]
    pub fn at_request(self, request_id: Option<String>) -> Self {
        Self { request_id, ..self }
    }

    /// Declares that a change had no effect, so that there is nothing to write.
    pub fn changed_nothing(&self) {
        self.noted.fetch_add(1, Ordering::Relaxed);
    }

    /// How many changes wrote an entry, or had no effect; each attempt of a transaction counts.
    pub fn noted(&self) -> u32 {
        self.noted.load(Ordering::Relaxed)
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)+) => {
        /// What an administrator can do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $name,)+
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The action's spelling.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

actions! {
    /// An account was created.
    AccountCreated = "account_created",
    /// An account was changed.
    AccountChanged = "account_changed",
    /// An account takes no new calls.
    AccountClosed = "account_closed",
    /// An account takes calls again.
    AccountReopened = "account_reopened",
    /// An account's name, address and phone numbers were redacted.
    AccountRedacted = "account_redacted",
    /// An account pays for one more Twilio account.
    TwilioAccountLinked = "twilio_account_linked",
    /// An account's plan was set, effective from a given time.
    SubscriptionChanged = "subscription_changed",
    /// The auth token of a Twilio account was set.
    TwilioTokenSet = "twilio_token_set",
    /// The auth token of a Twilio account was forgotten.
    TwilioTokenForgotten = "twilio_token_forgotten",
    /// A shared key of an account was set.
    TwilioSharedKeySet = "twilio_shared_key_set",
    /// A shared key of an account was forgotten.
    TwilioSharedKeyForgotten = "twilio_shared_key_forgotten",
    /// A wallet was corrected by hand.
    WalletAdjusted = "wallet_adjusted",
    /// A refill was asked for.
    RefillRequested = "refill_requested",
    /// A refill was paid, and its wallet credited.
    RefillCompleted = "refill_completed",
    /// A refill failed: nothing was paid.
    RefillFailed = "refill_failed",
    /// A payment fits none of the refills; it was not credited.
    PaymentUnmatched = "payment_unmatched",
    /// A payment that fits no refill was credited or refunded by hand.
    PaymentResolved = "payment_resolved",
    /// A default card was chosen.
    CardChosen = "card_chosen",
    /// A card was removed.
    CardRemoved = "card_removed",
    /// A refill that the ledger had lost was brought back.
    RefillRestored = "refill_restored",
    /// A refund to a card was asked for; its money is set aside.
    RefundRequested = "refund_requested",
    /// A refund was withdrawn before Stripe was asked: the money is not there.
    RefundWithdrawn = "refund_withdrawn",
    /// A refund to a card was booked.
    RefundBooked = "refund_booked",
    /// A refund to a card failed.
    RefundFailed = "refund_failed",
    /// Stripe told of a dispute.
    DisputeTold = "dispute_told",
    /// Auto-refill was set.
    AutoRefillChanged = "auto_refill_changed",
    /// A number was asked for; its price is set aside.
    NumberRequested = "number_requested",
    /// A purchase was withdrawn: the money is not there.
    NumberWithdrawn = "number_withdrawn",
    /// The price of a number was taken from its wallet.
    NumberDebited = "number_debited",
    /// A number was bought at Twilio.
    NumberBought = "number_bought",
    /// A number was not bought; its price was given back.
    NumberFailed = "number_failed",
    /// The release of a number was asked for.
    NumberReleaseRequested = "number_release_requested",
    /// A number was given back to Twilio.
    NumberReleased = "number_released",
    /// A number that the ledger had lost was brought back.
    NumberRestored = "number_restored",
    /// The alert thresholds of an account were set.
    AlertsChanged = "alerts_changed",
    /// The budget of an account was set or removed.
    BudgetChanged = "budget_changed",
    /// A receiver of web hooks was created.
    WebhookEndpointCreated = "webhook_endpoint_created",
    /// A receiver of web hooks was deleted.
    WebhookEndpointDeleted = "webhook_endpoint_deleted",
    /// A receiver of web hooks was disabled by itself.
    WebhookEndpointDisabled = "webhook_endpoint_disabled",
    /// A receiver of web hooks was enabled again.
    WebhookEndpointEnabled = "webhook_endpoint_enabled",
    /// A receiver of web hooks got a new secret.
    WebhookSecretRotated = "webhook_secret_rotated",
    /// An event was to be posted to a receiver again.
    WebhookReplayed = "webhook_replayed",
    /// A test was to be posted to a receiver.
    WebhookTested = "webhook_tested",
    /// An address does not want a kind of mails any more.
    MailUnsubscribed = "mail_unsubscribed",
    /// A key was created.
    KeyCreated = "key_created",
    /// A key was revoked.
    KeyRevoked = "key_revoked",
    /// A link that signs a customer in was created.
    SignInLinkCreated = "sign_in_link_created",
    /// Somebody signed in to the wallet page.
    SignedIn = "signed_in",
    /// Somebody signed out of it.
    SignedOut = "signed_out",
    /// All sessions of an account were ended.
    SessionsEnded = "sessions_ended",
    /// An operator looked at a customer's page.
    PageViewed = "page_viewed",
    /// A partition's offset was set.
    OffsetSet = "offset_set",
    /// A rejected record was replayed.
    RejectReplayed = "reject_replayed",
    /// A rejected record was closed for good.
    RejectClosed = "reject_closed",
    /// A catalog was accepted.
    CatalogAccepted = "catalog_accepted",
}

impl std::str::FromStr for Action {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|action| action.as_str() == text);
        known.ok_or("is no action of the audit")
    }
}

/// An audit entry.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// What was done.
    pub action: Action,
    /// The account concerned, if it is one.
    pub account_key: Option<i32>,
    /// What was changed.
    pub subject: String,
    /// State before; null if there was nothing.
    pub before: Value,
    /// State after; null if nothing is left.
    pub after: Value,
}

/// Writes an entry, in the transaction of the change.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn note(
    connection: &mut PgConnection,
    by: &By,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    sqlx::query(
        "-- audit::note
         INSERT INTO audit
             (at, who, action, account_key, subject, before, after, why, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(by.at)
    .bind(&by.who)
    .bind(entry.action.as_str())
    .bind(entry.account_key)
    .bind(&entry.subject)
    .bind(Some(&entry.before).filter(|value| !value.is_null()))
    .bind(Some(&entry.after).filter(|value| !value.is_null()))
    .bind(by.why.as_deref())
    .bind(by.request_id.as_deref())
    .execute(connection)
    .await?;
    by.noted.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Shows the first character and the length of a personal text, nothing else.
pub fn masked(text: &str) -> String {
    let first = text.chars().next().map(String::from).unwrap_or_default();
    format!("{first}*** ({})", text.chars().count())
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Noted {
    pub audit_id: i64,
    pub at: DateTime<Utc>,
    pub who: String,
    pub action: String,
    pub account: Option<String>,
    pub subject: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub why: Option<String>,
    pub request_id: Option<String>,
}

/// Lists entries, newest first; `account` and `action` narrow the list.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn list(
    connection: &mut PgConnection,
    account: Option<&AccountId>,
    action: Option<Action>,
    stretch: &Stretch,
) -> Result<Page<Noted>, LedgerError> {
    let rows = sqlx::query(
        "-- audit::list
         SELECT n.audit_id, n.at, n.who, n.action, a.id, n.subject, n.before, n.after, n.why,
             n.request_id
         FROM audit AS n LEFT JOIN accounts AS a USING (account_key)
         WHERE n.audit_id < $1
           AND n.at >= coalesce($2, '-infinity') AND n.at < coalesce($3, 'infinity')
           AND ($4::text IS NULL OR a.id = $4) AND ($5::text IS NULL OR n.action = $5)
         ORDER BY n.audit_id DESC LIMIT $6",
    )
    .bind(stretch.below.unwrap_or(i64::MAX))
    .bind(stretch.from)
    .bind(stretch.to)
    .bind(account.map(AccountId::as_str))
    .bind(action.map(Action::as_str))
    .bind(i64::from(stretch.limit) + 1)
    .fetch_all(connection)
    .await?;
    let read = |row: &sqlx::postgres::PgRow| {
        Ok::<_, sqlx::Error>(Noted {
            audit_id: row.try_get(0)?,
            at: row.try_get(1)?,
            who: row.try_get(2)?,
            action: row.try_get(3)?,
            account: row.try_get(4)?,
            subject: row.try_get(5)?,
            before: row.try_get(6)?,
            after: row.try_get(7)?,
            why: row.try_get(8)?,
            request_id: row.try_get(9)?,
        })
    };
    let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(page(items, stretch.limit, |noted| noted.audit_id))
}

#[cfg(test)]
mod tests {
    use super::{Action, masked};

    #[test]
    fn an_action_is_read_back_from_its_one_spelling() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
        assert!("account".parse::<Action>().is_err());
    }

    #[test]
    fn a_masked_text_tells_that_it_changed_and_not_what_it_says() {
        assert_eq!(masked("Ada Lovelace"), "A*** (12)");
        assert_eq!(masked(""), "*** (0)");
    }
}
