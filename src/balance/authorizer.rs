//! May this call go ahead? The use case behind the authorization API.
//!
//! Normally one round trip to Redis: the terms come from the account's document and the catalog, both
//! kept in the process, and the script refuses terms that are not the account's of now. What Redis
//! does not know is loaded first; where Redis is lost, the account's policy decides.

use std::sync::Arc;

use callmeter_core::domain::{AccountId, CallSid, Money, RatePerMinute, TwilioAccountSid};
use callmeter_core::rating::terms_at;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::document::Document;
use super::error::BalanceError;
use super::hold::{Hold, HoldSource};
use super::over;
use super::scripts::{Denial, Place, Placed, PlacedHold};
use super::stage::Balance;
use super::terms::{CallEnds, CallTerms};
use crate::ledger::LedgerError;

/// How often an authorization is tried: an account is loaded, terms are computed anew.
pub(super) const ATTEMPTS_MAX: u32 = 8;

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer<'a> {
    /// By our own id.
    Account(&'a AccountId),
    /// By the Twilio account.
    TwilioAccount(&'a TwilioAccountSid),
    /// By our own id, where it is this account that pays for the Twilio account; else by nobody.
    AccountOf(&'a AccountId, &'a TwilioAccountSid),
}

/// A call that asks to go ahead.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whose it is.
    pub payer: Payer<'a>,
    /// The call.
    pub call_sid: &'a CallSid,
    /// Its ends.
    pub ends: CallEnds<'a>,
    /// How long it would like to last, in seconds since its answer.
    pub seconds: u32,
    /// What the caller files it under, a campaign say: kept for the call's charge.
    pub tag: Option<&'a str>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may go ahead.
    Allow(Allowance),
    /// It may not.
    Deny {
        /// Why.
        reason: Denial,
        /// The money missing; zero where money would not help.
        shortfall: Money,
    },
    /// Holds are unknown right now: neither allowed nor denied.
    Unavailable,
    /// No such account, or for an extension no such hold.
    NotFound,
}

/// What a call was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The call's total since answer, in seconds.
    pub granted_seconds: u32,
    /// Until when it holds.
    pub valid_until: DateTime<Utc>,
    /// Whether no more can be had now.
    pub is_final: bool,
    /// The rate per minute beyond the allowance.
    pub rate: RatePerMinute,
}

impl From<&Hold> for Allowance {
    fn from(hold: &Hold) -> Self {
        Self {
            granted_seconds: hold.granted_seconds,
            valid_until: hold.valid_until,
            is_final: hold.is_final,
            rate: hold.rate,
        }
    }
}

/// A call to be placed, by the stream or a caller.
pub(super) struct Placing<'a> {
    pub account: AccountId,
    twilio_account_sid: Option<&'a TwilioAccountSid>,
    /// No other account may pay for it.
    is_bound: bool,
    pub call_sid: &'a CallSid,
    pub ends: CallEnds<'a>,
    pub seconds: u32,
    pub tag: Option<&'a str>,
    source: HoldSource,
    operation: String,
    pub asked_at: Instant,
    /// The ledger and the journal know that the call is not over.
    is_new: bool,
}

impl Placing<'_> {
    /// Lets `payer` pay for it; false: nobody does who may.
    fn is_paid_by(&mut self, payer: Option<AccountId>) -> bool {
        match payer {
            Some(payer) if payer == self.account => true,
            Some(payer) if !self.is_bound => {
                self.account = payer;
                true
            }
            _ => false,
        }
    }
}

impl Balance {
    /// Decides whether a call may go ahead, and holds what it may cost.
    ///
    /// # Errors
    /// Where the ledger or a script refuses; the caller answers that it cannot tell.
    pub async fn authorize(&self, ask: Ask<'_>) -> Result<Decision, BalanceError> {
        self.authorize_from(ask, HoldSource::Authorize).await
    }

    /// Holds for a call that was seen in the stream; it is never refused for want of money.
    pub(super) async fn place_from_stream(&self, ask: Ask<'_>) -> Result<Decision, BalanceError> {
        self.authorize_from(ask, HoldSource::Stream).await
    }

    async fn authorize_from(
        &self,
        ask: Ask<'_>,
        source: HoldSource,
    ) -> Result<Decision, BalanceError> {
        let (account, twilio_account_sid) = match ask.payer {
            Payer::Account(account) => (account.clone(), None),
            Payer::AccountOf(account, sid) => (account.clone(), Some(sid)),
            Payer::TwilioAccount(sid) => match self.account_of(sid).await? {
                Some(account) => (account, Some(sid)),
                None => return Ok(Decision::NotFound),
            },
        };
        let mut placing = Placing {
            account,
            twilio_account_sid,
            is_bound: matches!(ask.payer, Payer::AccountOf(..)),
            call_sid: ask.call_sid,
            ends: ask.ends,
            seconds: ask.seconds,
            tag: ask.tag,
            source,
            operation: uuid::Uuid::now_v7().simple().to_string(),
            asked_at: Instant::now(),
            is_new: false,
        };
        let decision = match self.place(&mut placing).await {
            Err(error) if error.is_lost() && source == HoldSource::Authorize => {
                match self.find_payer(&mut placing).await? {
                    Some(decision) => decision,
                    None => self.without_redis(&placing).await?,
                }
            }
            decision => decision?,
        };
        if let (Decision::Deny { reason, shortfall }, HoldSource::Authorize) = (&decision, source) {
            let document = match self.document(&placing.account) {
                Some(document) => Some(document),
                None => self.read_document(&placing.account).await.ok().flatten(),
            };
            if let Some(document) = document {
                let key = document.account_key;
                self.0.denials.note(key, ask.call_sid, *reason, *shortfall);
            }
        }
        Ok(decision)
    }

    async fn place(&self, placing: &mut Placing<'_>) -> Result<Decision, BalanceError> {
        let mut was_lost = false;
        for _ in 0..ATTEMPTS_MAX {
            let document = self.document(&placing.account);
            if !self.0.journal.has_room(&placing.account) {
                return Ok(Decision::Unavailable);
            }
            let placed = match self.place_once(placing, document.as_deref()).await {
                // Applied or not: the same call with the same operation is answered the same hold.
                Err(error) if error.is_lost() && !was_lost => {
                    was_lost = true;
                    continue;
                }
                placed => placed?,
            };
            match placed {
                Placed::Held(held) => return Ok(self.granted(placing, &held)),
                Placed::Denied { reason, shortfall } => {
                    return Ok(Decision::Deny { reason, shortfall });
                }
                Placed::Stale { document, .. } => {
                    self.keep_document(&placing.account, Document::read(document)?);
                }
                Placed::Unsure => {
                    let Some(document) = document else { continue };
                    let (key, now) = (document.account_key, self.0.clock.now());
                    if over::is_over(&self.0.store, key, placing.call_sid, now).await? {
                        let reason = Denial::CallAlreadySettled;
                        return Ok(Decision::Deny { reason, shortfall: Money::ZERO });
                    }
                    placing.is_new = true;
                }
                Placed::Unknown { why } if why == "moved" => {
                    let Some(sid) = placing.twilio_account_sid else { continue };
                    let payer = self.account_after_move(sid, &placing.account).await?;
                    if !placing.is_paid_by(payer) {
                        return Ok(Decision::NotFound);
                    }
                }
                Placed::Unknown { .. } => {
                    if !self.load(&placing.account).await? {
                        return Ok(Decision::NotFound);
                    }
                }
            }
        }
        tracing::warn!(account = %placing.account, "the account is not settled enough to be asked");
        Ok(Decision::Unavailable)
    }

    async fn place_once(
        &self,
        placing: &Placing<'_>,
        document: Option<&Document>,
    ) -> Result<Placed, BalanceError> {
        // Without a document the script answers it, before any of these terms is looked at.
        let (terms, revision) = match document {
            Some(document) => {
                (self.terms(document, placing.ends).await?, document.revision.as_str())
            }
            None => (CallTerms::default(), "-"),
        };
        let place = Place {
            account: &placing.account,
            operation: &placing.operation,
            call_sid: placing.call_sid,
            source: placing.source,
            terms_revision: revision,
            twilio_account_sid: placing.twilio_account_sid,
            terms: &terms,
            asked_seconds: placing.seconds,
            settings: &self.0.settings,
            is_new: placing.is_new,
        };
        match placing.source {
            HoldSource::Authorize => self.ask_believing(&place).await,
            HoldSource::Stream => self.bulk(&place).await,
        }
    }

    fn granted(&self, placing: &Placing<'_>, held: &PlacedHold) -> Decision {
        let Placing { account, call_sid, tag, asked_at, .. } = placing;
        self.0.journal.placed(account, call_sid, &held.hold, held.is_new, *asked_at);
        if let Some(tag) = tag {
            self.0.journal.tagged(held.account_key, call_sid, tag);
        }
        Decision::Allow(Allowance::from(&held.hold))
    }

    pub(super) async fn terms(
        &self,
        document: &Document,
        ends: CallEnds<'_>,
    ) -> Result<CallTerms, BalanceError> {
        let catalogs = self.0.catalogs.history(document.catalog_version).await?;
        let terms = terms_at(&catalogs, &document.timeline, self.0.clock.now())
            .map_err(|error| LedgerError::unreadable("a subscription", error))?;
        Ok(CallTerms::of(&terms, ends))
    }

    /// Finds who pays while Redis is lost: no script tells now whether what is remembered still
    /// holds, so the ledger is asked, where it can be. A decision: nobody pays, or nobody can tell.
    async fn find_payer(
        &self,
        placing: &mut Placing<'_>,
    ) -> Result<Option<Decision>, BalanceError> {
        let Some(sid) = placing.twilio_account_sid else { return Ok(None) };
        let payer = match self.account_in_ledger(sid).await {
            Err(error) if error.is_passing() => match self.account_named(sid) {
                None => return Ok(Some(Decision::Unavailable)),
                remembered => remembered,
            },
            payer => payer?,
        };
        Ok((!placing.is_paid_by(payer)).then_some(Decision::NotFound))
    }

    /// Reads an account's document from the ledger; `None`: it has no such account.
    pub(super) async fn read_document(
        &self,
        account: &AccountId,
    ) -> Result<Option<Arc<Document>>, BalanceError> {
        let now = self.0.clock.now();
        let purpose = super::snapshot::Purpose::Project { charge_sequence: i64::MAX };
        let snapshot = super::snapshot::read(&self.0.store, account, purpose, now).await?;
        Ok(snapshot.map(|snapshot| self.keep_document(account, snapshot.document)))
    }
}
