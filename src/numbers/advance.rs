//! Brings a number forward, step by step, until it rests or waits.

use callmeter_core::domain::{NumberId, NumberStatus, PhoneNumberSid};
use callmeter_core::policy::purchase_state::{AtTwilio, IN_FLIGHT_MAX, NumberFacts, Step, next};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use tokio::time::Instant;

use super::book::{Book, Deed};
use super::mark::Mark;
use super::{NotBought, NumberError, Numbers};
use crate::ledger::LedgerError;
use crate::ledger::audit::By;
use crate::ledger::numbers::{self, Number, Which, progress};
use crate::ledger::payments::stripe_account::ledger_id;
use crate::metrics::{CHARGED_DOLLARS, NUMBERS, add_dollars};
use crate::telemetry::one_line;
use crate::twilio::{NumberOrder, TwilioError};

/// Steps of one call; a number takes six at most without a fault.
const STEPS_MAX: usize = 12;
/// Numbers of one round.
const ROUND: i64 = 100;
/// Who the audit names.
const WHO: &str = "numbers";
/// Twilio's codes for a missing or unfit address or bundle
/// (<https://www.twilio.com/docs/api/errors>).
const ADDRESS_CODES: [i64; 6] = [21615, 21631, 21632, 21649, 21650, 21651];
/// What a failed purchase says: Twilio refused to sell the number.
pub(crate) const REFUSED: &str = "number_unavailable";
/// What a failed purchase says: Twilio asked for an address or a bundle.
pub(crate) const NO_ADDRESS: &str = "address_required";
/// What a failed purchase says: Twilio did not answer for too long.
pub(crate) const NO_ANSWER: &str = "twilio_unavailable";

/// What Twilio said about a number.
enum Seen {
    Bought(PhoneNumberSid),
    Absent,
}

impl Numbers {
    /// Brings a claimed number forward, then ends the claim. If Twilio does not answer, the number
    /// stays as it is, and the loop of the role `jobs` goes on.
    ///
    /// # Errors
    /// If the ledger cannot be read or written, or holds are unknown.
    pub(super) async fn advance(
        &self,
        id: &NumberId,
        deadline: Instant,
    ) -> Result<Result<(), NotBought>, NumberError> {
        let advanced = Box::pin(self.take_forward(id, deadline)).await;
        let again = self.clock.now() + self.settings.retry;
        progress::release_claim(&self.store, id, again).await?;
        match advanced {
            Err(NumberError::Twilio(error)) => {
                let error = one_line(&error);
                tracing::warn!(number = %id, error, "a number waits for twilio");
                Ok(Ok(()))
            }
            advanced => advanced,
        }
    }

    /// Brings a number forward unless another process works on it.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub(super) async fn advance_if_free(
        &self,
        id: &NumberId,
        deadline: Instant,
    ) -> Result<Result<(), NotBought>, NumberError> {
        let now = self.clock.now();
        if !progress::claim(&self.store, id, now, now + self.claim_time()).await? {
            return Ok(Ok(()));
        }
        self.advance(id, deadline).await
    }

    /// True if a number waits for a step or for its next period.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn have_work(&self) -> Result<bool, NumberError> {
        let suspended_wait = self.settings.releases_automatically;
        Ok(progress::have_work(&self.store, suspended_wait, self.clock.now()).await?)
    }

    /// Brings every number forward that waits and that nobody works on. An error about one does not
    /// stop the others.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn advance_waiting(&self) -> Result<usize, NumberError> {
        let statuses = [NumberStatus::Pending.as_str(), NumberStatus::Releasing.as_str()];
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let ids = progress::unattended(&mut connection, &statuses, now, ROUND).await?;
        drop(connection);
        for id in &ids {
            // Withdrawn where the money is gone: nothing is left of it.
            match self.advance_if_free(id, self.deadline()).await {
                Ok(_) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    tracing::warn!(number = %id, error = one_line(&error), "a number waits");
                }
            }
        }
        Ok(ids.len())
    }

    async fn take_forward(
        &self,
        id: &NumberId,
        deadline: Instant,
    ) -> Result<Result<(), NotBought>, NumberError> {
        let mut seen: Option<Seen> = None;
        for _ in 0..STEPS_MAX {
            let found = numbers::find(&mut *self.store.read().await?, Which::Id(id)).await?;
            let Some(number) = found else { return Ok(Ok(())) };
            let at_twilio = seen.as_ref().map(|seen| match seen {
                Seen::Bought(_) => AtTwilio::Bought,
                Seen::Absent => AtTwilio::Absent,
            });
            match next(&facts(&number, self.clock.now()), at_twilio) {
                Step::CheckFunds => {
                    if let Err(refusal) = self.check_funds(&number).await? {
                        return Ok(Err(refusal));
                    }
                }
                Step::Debit => {
                    if self.book(&number, Deed::Debit).await? {
                        add_dollars(CHARGED_DOLLARS, Some("number_purchase"), number.price);
                    }
                }
                Step::Buy => seen = self.order(&number, deadline).await?,
                Step::LookUp => seen = Some(self.look_up(&number, deadline).await?),
                Step::Confirm => {
                    let Some(Seen::Bought(sid)) = &seen else { break };
                    let releases_if_closed = self.settings.releases_on_close;
                    let deed = Deed::Confirm { sid: sid.clone(), releases_if_closed };
                    self.count(&number, deed, "bought").await?;
                }
                Step::Refund => {
                    self.count(&number, Deed::Refund(reason_of(&number)), "failed").await?;
                }
                Step::Remove => {
                    self.remove(&number, deadline).await?;
                    seen = Some(Seen::Absent);
                }
                Step::Finish => self.count(&number, Deed::Finish, "released").await?,
                Step::Await | Step::Rest => break,
            }
        }
        Ok(Ok(()))
    }

    async fn book(&self, number: &Number, deed: Deed) -> Result<bool, NumberError> {
        let book = Book { id: number.id.clone(), account: number.account.clone(), deed };
        let booked = self.changes.run(book, By::new(WHO, self.clock.now())).await?;
        booked.map_err(|()| LedgerError::unreadable("a number", "it vanished").into())
    }

    async fn count(
        &self,
        number: &Number,
        deed: Deed,
        outcome: &'static str,
    ) -> Result<(), NumberError> {
        if self.book(number, deed).await? {
            ::metrics::counter!(NUMBERS, "outcome" => outcome).increment(1);
            tracing::info!(number = %number.id, outcome, "a number went on");
        }
        Ok(())
    }

    /// Asks Twilio to sell the number, once. The request is noted before it is sent.
    async fn order(&self, number: &Number, deadline: Instant) -> Result<Option<Seen>, NumberError> {
        let order = self.order_of(number).await?;
        progress::note_asked(&self.store, &number.id, self.clock.now()).await?;
        let sid = number.twilio_account_sid.clone();
        let bought = self.ask(&number.twilio_account_sid, deadline, |credentials| {
            let (twilio, sid, order) = (self.twilio.clone(), sid.clone(), order.clone());
            async move { twilio.buy_number(credentials, &sid, &order).await }.boxed()
        });
        match bought.await {
            Ok(bought) => Ok(Some(Seen::Bought(bought.sid))),
            Err(NumberError::Twilio(TwilioError::Refused { code, .. })) => {
                tracing::warn!(number = %number.id, code, "twilio refuses to sell a number");
                progress::note_refused(&self.store, &number.id, code).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn order_of(&self, number: &Number) -> Result<NumberOrder, NumberError> {
        let ledger = ledger_id(&mut *self.store.read().await?).await?;
        let kind = (number.country.as_str(), number.number_type);
        let settings = &self.settings;
        Ok(NumberOrder {
            phone_number: number.phone_number.clone(),
            friendly_name: Mark::new(&ledger, &number.id, kind).to_string(),
            status_callback: settings.status_callback.clone(),
            voice_url: settings.voice_url.clone(),
            voice_application_sid: settings.voice_application_sid.clone(),
            trunk_sid: settings.trunk_sid.clone(),
            address_sid: number.address_sid.clone(),
            bundle_sid: number.bundle_sid.clone(),
        })
    }

    /// Looks whether the number is in its Twilio account, bought by this purchase.
    async fn look_up(&self, number: &Number, deadline: Instant) -> Result<Seen, NumberError> {
        let (sid, wanted) = (number.twilio_account_sid.clone(), number.phone_number.clone());
        let found = self.ask(&number.twilio_account_sid, deadline, |credentials| {
            let (twilio, sid, wanted) = (self.twilio.clone(), sid.clone(), wanted.clone());
            async move { twilio.find_number(credentials, &sid, &wanted).await }.boxed()
        });
        let ours = found.await?.filter(|found| {
            Mark::parse(&found.friendly_name).is_some_and(|mark| mark.id == number.id)
        });
        Ok(ours.map_or(Seen::Absent, |found| Seen::Bought(found.sid)))
    }

    /// Gives the number back to Twilio; one that is gone is given back.
    async fn remove(&self, number: &Number, deadline: Instant) -> Result<(), NumberError> {
        let Some(number_sid) = number.sid.clone() else { return Ok(()) };
        let sid = number.twilio_account_sid.clone();
        let removed = self.ask(&number.twilio_account_sid, deadline, |credentials| {
            let (twilio, sid, number_sid) = (self.twilio.clone(), sid.clone(), number_sid.clone());
            async move { twilio.remove_number(credentials, &sid, &number_sid).await }.boxed()
        });
        removed.await
    }
}

fn facts(number: &Number, now: DateTime<Utc>) -> NumberFacts {
    let since = |at: DateTime<Utc>| now - at;
    NumberFacts {
        status: number.status,
        is_checked: number.is_checked,
        is_debited: number.debited_at.is_some(),
        was_asked: number.asked_at.is_some(),
        is_refused: number.refused_code.is_some(),
        is_in_flight: is_in_flight(number, since),
        age: since(number.created_at),
    }
}

/// True if a request whose answer nobody saw may still take effect: the last one, unless it was
/// refused, or the one before it.
fn is_in_flight(number: &Number, since: impl Fn(DateTime<Utc>) -> TimeDelta) -> bool {
    let last = number.asked_at.filter(|_| number.refused_code.is_none());
    let requests = [last, number.unanswered_at];
    requests.into_iter().flatten().any(|at| since(at) < IN_FLIGHT_MAX)
}

fn reason_of(number: &Number) -> &'static str {
    match number.refused_code {
        Some(code) if ADDRESS_CODES.contains(&code) => NO_ADDRESS,
        Some(_) => REFUSED,
        None => NO_ANSWER,
    }
}
