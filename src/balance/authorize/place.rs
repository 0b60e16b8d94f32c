//! Places a hold for a call.
//!
//! Normally one round trip to Redis: the terms come from the account's document and the catalog,
//! both kept in the process, and the script refuses outdated terms. An account that Redis does not
//! know is loaded first; if Redis is lost, the account's policy decides.

use callmeter_core::domain::Money;
use tokio::time::Instant;

use super::placing::Placing;
use super::{ATTEMPTS_MAX, Allowance, Ask, Decision, Payer};
use crate::balance::journal::store as journal;
use crate::balance::model::{BalanceError, CallTerms, Denial, Document, HoldSource};
use crate::balance::scripts::{Place, Placed, PlacedHold, Unknown};
use crate::balance::state::Balance;

impl Balance {
    /// Decides whether a call may go ahead, and holds what it may cost.
    ///
    /// # Errors
    /// If the ledger or a script fails; there is no decision then.
    pub async fn authorize(&self, ask: Ask<'_>) -> Result<Decision, BalanceError> {
        self.authorize_from(ask, HoldSource::Authorize).await
    }

    /// Places a hold for a call that was seen in the stream; it is never refused for lack of money.
    pub(super) async fn place_from_stream(&self, ask: Ask<'_>) -> Result<Decision, BalanceError> {
        self.authorize_from(ask, HoldSource::Stream).await
    }

    async fn authorize_from(
        &self,
        ask: Ask<'_>,
        source: HoldSource,
    ) -> Result<Decision, BalanceError> {
        let account = match ask.payer {
            Payer::Account(account) | Payer::AccountOf(account, _) => account.clone(),
            Payer::TwilioAccount(sid) => match self.payer_of(sid).await? {
                Some(account) => account,
                None => return Ok(Decision::NotFound),
            },
        };
        let operation = uuid::Uuid::now_v7().simple().to_string();
        let asked_at = Instant::now();
        let mut placing = Placing { ask, account, source, operation, asked_at, is_new: false };
        match self.place(&mut placing).await {
            Err(error) if error.is_lost() && source == HoldSource::Authorize => {
                match Box::pin(self.find_payer(&mut placing)).await? {
                    Some(decision) => Ok(decision),
                    None => Box::pin(self.without_redis(&placing)).await,
                }
            }
            decision => decision,
        }
    }

    async fn place(&self, placing: &mut Placing<'_>) -> Result<Decision, BalanceError> {
        let mut was_lost = false;
        for _ in 0..ATTEMPTS_MAX {
            let document = self.document(&placing.account);
            if !self.0.journal.has_permit(&placing.account) {
                return Ok(Decision::Unavailable);
            }
            let placed = match self.place_once(placing, document.as_deref()).await {
                // Applied or not: the same call with the same operation gets the same hold.
                Err(error) if error.is_lost() && !was_lost => {
                    was_lost = true;
                    continue;
                }
                placed => placed?,
            };
            match placed {
                Placed::Held(held) => return Ok(self.granted(placing, held)),
                Placed::Denied { reason, shortfall, account_key } => {
                    return Ok(self.deny(placing, account_key, reason, shortfall));
                }
                Placed::Stale { document, .. } => {
                    self.keep_document(&placing.account, Document::read(document)?);
                }
                Placed::Unsure => {
                    let Some(document) = document else { continue };
                    let (key, call_sid) = (document.account_key, placing.ask.call_sid);
                    let now = self.0.clock.now();
                    if Box::pin(journal::has_ended(&self.0.store, key, call_sid, now)).await? {
                        let reason = Denial::CallAlreadySettled;
                        return Ok(self.deny(placing, key, reason, Money::ZERO));
                    }
                    placing.is_new = true;
                }
                Placed::Unknown(Unknown::Moved) => {
                    let Some(sid) = placing.ask.payer.twilio_account() else { continue };
                    let payer = Box::pin(self.payer_after_move(sid, &placing.account)).await?;
                    if !placing.is_paid_by(payer) {
                        return Ok(Decision::NotFound);
                    }
                }
                Placed::Unknown(_) => {
                    if !Box::pin(self.load(&placing.account)).await? {
                        return Ok(Decision::NotFound);
                    }
                }
            }
        }
        tracing::warn!(account = %placing.account, "no decision: the account keeps changing");
        Ok(Decision::Unavailable)
    }

    async fn place_once(
        &self,
        placing: &Placing<'_>,
        document: Option<&Document>,
    ) -> Result<Placed, BalanceError> {
        let Placing { ask, account, source, operation, is_new, .. } = placing;
        // Without a document the script returns it, before it reads any of these terms.
        let (terms, revision) = match document {
            Some(document) => {
                (self.terms(document, ask.parties).await?, document.revision.as_str())
            }
            None => (CallTerms::default(), "-"),
        };
        let place = Place {
            account,
            operation,
            call_sid: ask.call_sid,
            source: *source,
            terms_revision: revision,
            twilio_account_sid: ask.payer.twilio_account(),
            terms: &terms,
            asked_seconds: ask.seconds,
            settings: &self.0.settings,
            is_new: *is_new,
        };
        match source {
            HoldSource::Authorize => self.ask_leased(&place).await,
            HoldSource::Stream => self.0.redis.bulk(&place).await,
        }
    }

    fn granted(&self, placing: &Placing<'_>, held: PlacedHold) -> Decision {
        let Placing { ask: Ask { call_sid, tag, .. }, account, asked_at, .. } = placing;
        let allowance = Allowance::from(&held.hold);
        self.0.journal.placed(account, call_sid, held.hold, held.is_new, *asked_at);
        self.note_tag(held.account_key, call_sid, *tag);
        Decision::Allow(allowance)
    }

    /// Asks the ledger who pays while Redis is lost, because no script checks a remembered payer
    /// now. Returns a decision if nobody pays, or if the ledger does not answer.
    async fn find_payer(
        &self,
        placing: &mut Placing<'_>,
    ) -> Result<Option<Decision>, BalanceError> {
        let Some(sid) = placing.ask.payer.twilio_account() else { return Ok(None) };
        match self.payer_in_ledger(sid).await {
            Err(error) if error.is_passing() => Ok(Some(Decision::Unavailable)),
            payer => Ok((!placing.is_paid_by(payer?)).then_some(Decision::NotFound)),
        }
    }
}
