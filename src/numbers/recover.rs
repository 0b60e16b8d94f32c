//! Brings back numbers that this ledger bought and does not know, after Postgres was restored from an
//! older backup: by the mark in their names at Twilio.
//!
//! The purchase is debited again, because the restored wallet was never debited. It must never bring
//! back a number of another ledger, nor one twice.

use callmeter_core::domain::{
    AccountId, Money, NumberId, NumberPrice, RentalAnchor, TransactionKind, TransactionStatus,
    TwilioAccountSid, rental_period_start,
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

use super::mark::Mark;
use super::{NumberError, Numbers};
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::known_calls::{self, LinkedAccount};
use crate::ledger::numbers::progress::{self, Bought};
use crate::ledger::numbers::{self, NewNumber, Which};
use crate::ledger::payments::stripe_account::ledger_id;
use crate::ledger::wallets::{self, Entry};
use crate::ledger::{Refusable, accounts};
use crate::twilio::IncomingNumber;

/// Twilio accounts read from Postgres at once.
const PAGE: i64 = 500;

/// What a recovery of numbers did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoredNumbers {
    /// Numbers of this ledger that Twilio has, bought at the given time or later.
    pub numbers: usize,
    /// Of those, the ones that the ledger lacked and that are debited now.
    pub restored: usize,
    /// Numbers that could not be brought back, with the reason.
    pub unmatched: Vec<NotRestored>,
    /// Twilio accounts whose numbers could not be listed: the token is wrong, or not theirs.
    pub unlisted: Vec<TwilioAccountSid>,
}

/// A number that could not be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotRestored {
    /// The number, as its name at Twilio says.
    pub number: NumberId,
    /// Why: `account`, `no_price`, `owned`.
    pub reason: &'static str,
}

impl Numbers {
    /// Brings back every number of this ledger that was bought at `since` or later.
    ///
    /// # Errors
    /// If Twilio or the ledger does not answer: nothing is lost, run it again.
    pub async fn recover(
        &self,
        since: DateTime<Utc>,
        who: &str,
    ) -> Result<RestoredNumbers, NumberError> {
        let mut restored = RestoredNumbers::default();
        let ledger = ledger_id(&mut *self.store.read().await?).await?;
        let mut after = 0;
        loop {
            let mut connection = self.store.read().await?;
            let page = known_calls::linked_accounts(&mut connection, after, PAGE).await?;
            drop(connection);
            let Some(last) = page.last() else { return Ok(restored) };
            after = last.twilio_account_key;
            let sids: Vec<_> = page.iter().map(|linked| linked.sid.clone()).collect();
            let configured = self.accesses.configured(&self.store, &sids).await?;
            for linked in page.iter().filter(|linked| configured.contains(&linked.sid)) {
                let listed = match self.listed(&linked.sid).await {
                    Err(NumberError::Twilio(error)) if !error.is_transient() => {
                        tracing::warn!(sid = %linked.sid, %error, "numbers are not listed");
                        restored.unlisted.push(linked.sid.clone());
                        continue;
                    }
                    listed => listed?,
                };
                for number in listed {
                    let mark = Mark::parse(&number.friendly_name);
                    let Some(mark) = mark.filter(|mark| mark.is_of(&ledger)) else { continue };
                    if number.date_created.is_some_and(|at| at < since) {
                        continue;
                    }
                    restored.numbers += 1;
                    self.restore(linked, &number, mark, who, &mut restored).await?;
                }
            }
        }
    }

    async fn restore(
        &self,
        linked: &LinkedAccount,
        number: &IncomingNumber,
        mark: Mark,
        who: &str,
        restored: &mut RestoredNumbers,
    ) -> Result<(), NumberError> {
        let id = mark.id.clone();
        if numbers::find(&mut *self.store.read().await?, Which::Id(&id)).await?.is_some() {
            return Ok(());
        }
        let bought_at = number.date_created.unwrap_or_else(|| self.clock.now());
        let price = self.catalog().await?.and_then(|history| {
            let (country, kind) = (&mark.country, mark.number_type.as_str());
            history.at(bought_at).catalog.number_price(country, kind).cloned()
        });
        let mut fail = |reason| restored.unmatched.push(NotRestored { number: id.clone(), reason });
        let Some(price) = price else {
            fail("no_price");
            return Ok(());
        };
        let change = RestoreNumber {
            account: linked.account.clone(),
            twilio_account_sid: linked.sid.clone(),
            number: number.clone(),
            mark,
            price,
            bought_at,
            anchor: self.settings.anchor,
        };
        match self.changes.run(change, By::new(who, self.clock.now())).await? {
            Ok(true) => restored.restored += 1,
            Ok(false) => {}
            Err(reason) => fail(reason),
        }
        Ok(())
    }
}

/// Writes a number that the ledger lost: debited, bought, and with its first period paid.
#[derive(Clone, Debug)]
struct RestoreNumber {
    account: AccountId,
    twilio_account_sid: TwilioAccountSid,
    number: IncomingNumber,
    mark: Mark,
    price: NumberPrice,
    bought_at: DateTime<Utc>,
    anchor: RentalAnchor,
}

impl Change for RestoreNumber {
    /// True if it was not there.
    type Done = bool;
    type Refusal = &'static str;
    const NAME: &'static str = "numbers::restore";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<bool, &'static str> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err("account"));
        };
        let (id, account_key) = (&self.mark.id, head.account_key);
        if numbers::find(connection, Which::Id(id)).await?.is_some() {
            by.changed_nothing();
            return Ok(Ok(false));
        }
        let phone_number = self.number.phone_number.as_str();
        if numbers::find(connection, Which::Owned(phone_number)).await?.is_some() {
            return Ok(Err("owned"));
        }
        let price: Money = self.price.purchase;
        let new = NewNumber {
            id,
            account_key,
            twilio_account_sid: &self.twilio_account_sid,
            phone_number,
            country: &self.mark.country,
            number_type: self.mark.number_type,
            price,
            monthly: self.price.monthly,
            address_sid: None,
            bundle_sid: None,
            anchor: self.anchor,
            request: None,
            created_at: by.at,
            claimed_until: by.at,
        };
        numbers::insert(connection, &new).await?;
        let sequence = if price.is_zero() {
            None
        } else {
            let entry = Entry {
                kind: TransactionKind::NumberPurchase,
                status: TransactionStatus::Completed,
                amount: price,
                description: Some(format!("Purchase of {phone_number}")),
                refers_to: None,
                payment_intent_id: None,
                call_sid: None,
            };
            Some(wallets::post(connection, &mut head, &entry, by.at).await?)
        };
        progress::note_debit(connection, id, sequence, by.at).await?;
        let first_period = self.bought_at.date_naive();
        let next = rental_period_start(first_period, 1, self.anchor);
        let next = next.unwrap_or(first_period + TimeDelta::days(30));
        let bought = Bought {
            sid: self.number.sid.clone(),
            first_period,
            next_due_at: next.and_time(NaiveTime::MIN).and_utc(),
            at: self.bought_at,
        };
        progress::confirm(connection, id, &bought).await?;
        let entry = AuditEntry {
            action: Action::NumberRestored,
            account_key: Some(account_key),
            subject: id.to_string(),
            before: serde_json::Value::Null,
            after: json!({ "sid": self.number.sid, "price": price, "balance": head.balance }),
        };
        audit::note(connection, by, &entry).await?;
        Ok(Ok(true))
    }

    fn affects(&self, _: Option<&bool>) -> Affected {
        Affected::account(&self.account)
    }
}
