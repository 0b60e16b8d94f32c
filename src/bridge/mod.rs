//! The bridge: what Twilio posts, checked and put into Kafka, because Twilio has no Kafka sink.
//!
//! Before the flow. A message is taken only where an auth token of the very account that it would be
//! charged to signed it; the account is read by the same code that charges by it. What is signed is
//! never refused for being odd: the meter keeps what it cannot charge, and of what is too long for
//! Kafka the part goes there by which it is charged. Whoever posted it is told so only once Kafka has
//! acknowledged it, and may post it again, however late: charging knows its calls.

mod error;
mod events;
mod form;
mod settings;
mod signature;

pub use error::Refusal;
pub use settings::BridgeSettings;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use callmeter_core::domain::TwilioAccountSid;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::config::Secret;
use crate::ingest::decode;
use crate::ingest::publisher::{NewRecord, PublishError, Publisher, RECORD_BYTES_MAX};
use crate::ledger::links;
use crate::ledger::store::Store;
use crate::ledger::tokens::{Signer, Speaking, TokenError, TwilioTokens, UnopenedToken};
use signature::Signed;

/// Bytes of all messages that wait for Kafka at once, in [`BUDGET_UNIT`]s.
const BUDGET: usize = 1_024;
/// The least that a message counts for: so there are at most 1,024 of them, and 64 MiB.
const BUDGET_UNIT: usize = 65_536;
/// Seconds between two log lines about refused messages; the metric counts them all.
const TOLD_EVERY_SECONDS: i64 = 60;

/// What Twilio posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A status callback: a form.
    Voice,
    /// Events of a sink: a JSON array.
    Events,
}

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// Path and query of the request, as they came.
    pub path_and_query: &'a str,
    /// The host that the request named.
    pub host: Option<&'a str>,
    /// `X-Twilio-Signature`.
    pub signature: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What became of a message that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Records that Kafka acknowledged.
    pub published: usize,
    /// Events that were dropped: of another account than the token's.
    pub foreign: usize,
}

/// The bridge; cheap to clone.
#[derive(Clone, Debug)]
pub struct Bridge {
    store: Store,
    tokens: Arc<TwilioTokens>,
    publisher: Publisher,
    clock: Clock,
    settings: Arc<BridgeSettings>,
    budget: Arc<Semaphore>,
    told_at: Arc<AtomicI64>,
}

/// A record to be, with the account that it would be charged to.
struct Draft {
    account_sid: Option<TwilioAccountSid>,
    value: Vec<u8>,
}

impl Bridge {
    /// Prepares the bridge; Kafka is connected to by itself.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub fn open(
        settings: BridgeSettings,
        tokens: Arc<TwilioTokens>,
        store: Store,
        clock: Clock,
    ) -> Result<Self, PublishError> {
        let BridgeSettings { kafka, topic, acknowledged_max, .. } = &settings;
        let publisher = Publisher::open(kafka, topic, "twilio", *acknowledged_max)?;
        let settings = Arc::new(settings);
        let budget = Arc::new(Semaphore::new(BUDGET));
        let told_at = Arc::new(AtomicI64::new(0));
        Ok(Self { store, tokens, publisher, clock, settings, budget, told_at })
    }

    /// Bytes of the longest message.
    pub fn bytes_max(&self) -> usize {
        self.settings.bytes_max
    }

    /// Takes a place for a message of this length, which is given back when it is dropped; none: too
    /// many wait. Ask before its body is read.
    pub fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(BUDGET_UNIT).clamp(1, BUDGET);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Arc::clone(&self.budget).try_acquire_many_owned(units).ok()
    }

    /// Checks a message and publishes it; returns when Kafka has acknowledged all of it.
    ///
    /// # Errors
    /// Why it was not, or not wholly, published; its kind says whether to post it again.
    pub async fn take(&self, message: &Message<'_>) -> Result<Taken, Refusal> {
        let drafts = drafts(message);
        let accepted = self.accept(message, &drafts).await;
        if matches!(accepted, Err(Refusal::Forged)) {
            self.tell_refused(message);
        }
        let accepted = accepted?;
        let records: Vec<NewRecord> = drafts
            .into_iter()
            .filter(|draft| accepted.covers(draft.account_sid.as_ref()))
            .map(|draft| NewRecord {
                key: draft.account_sid.map(|sid| sid.as_str().to_owned()),
                value: draft.value,
            })
            .collect();
        if accepted.foreign > 0 {
            let events = accepted.foreign;
            tracing::warn!(events, "events of another account than the token's are refused");
        }
        self.publisher.publish(&records).await?;
        // The others may be signed by a token that cannot be opened: they are to be posted again.
        if let Some(unopened) = accepted.unopened {
            return Err(TokenError::from(unopened).into());
        }
        Ok(Taken { published: records.len(), foreign: accepted.foreign })
    }

    /// Decides which accounts' records are taken.
    async fn accept(&self, message: &Message<'_>, drafts: &[Draft]) -> Result<Accepted, Refusal> {
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        if !self.tokens.exist(&mut connection).await? {
            return Err(Refusal::NotConfigured(
                "no auth token is set, by which it could be checked",
            ));
        }
        let signed = self.signed(message).ok_or(Refusal::Forged)?;
        let sids: HashSet<_> =
            drafts.iter().filter_map(|draft| draft.account_sid.clone()).collect();
        if sids.is_empty() {
            return match self.signer(&mut connection, &signed, now).await? {
                Signer::Found => Ok(Accepted::default()),
                Signer::Nobody => Err(Refusal::Forged),
                Signer::Unopened(token) => Err(TokenError::from(token).into()),
            };
        }
        let sids: Vec<_> = sids.into_iter().collect();
        let speaking = self.tokens.speaking_for(&mut connection, &sids, now).await?;
        let mut signers = Signers { signed: &signed, known: HashMap::new() };
        let (accepted, others): (Vec<_>, Vec<_>) =
            sids.iter().partition(|sid| signers.any(speaking.get(*sid)));
        let unopened = others.iter().find_map(|sid| speaking.get(*sid)?.unopened.clone());
        if accepted.is_empty() {
            return Err(match unopened {
                Some(token) => TokenError::from(token).into(),
                None => self.why_refused(&mut connection, &signed, &sids, &speaking, now).await?,
            });
        }
        let accepted: HashSet<_> = accepted.into_iter().cloned().collect();
        let foreign = drafts.iter().filter_map(|draft| draft.account_sid.as_ref());
        let foreign = foreign.filter(|sid| !accepted.contains(*sid)).count();
        Ok(Accepted { sids: accepted, foreign, unopened })
    }

    /// Looks for a token of anybody's that signed it.
    async fn signer(
        &self,
        connection: &mut PgConnection,
        signed: &Signed,
        now: DateTime<Utc>,
    ) -> Result<Signer, TokenError> {
        self.tokens.any(connection, now, |token| signed.is_signed_by(&token.token)).await
    }

    /// What is signed of a message; none: it has no signature, or is not what was signed.
    fn signed(&self, message: &Message<'_>) -> Option<Signed> {
        let signature = message.signature?;
        let addresses = self.settings.addresses(message);
        match message.kind {
            Kind::Voice => {
                Some(Signed::form(&addresses, &signature::pairs(message.body), signature))
            }
            Kind::Events => Signed::json(&addresses, query_of(message), message.body, signature),
        }
    }

    /// Tells a forged message from one of an account that nobody gave a token for: that one is to be
    /// posted again, until somebody does.
    async fn why_refused(
        &self,
        connection: &mut PgConnection,
        signed: &Signed,
        sids: &[TwilioAccountSid],
        speaking: &HashMap<TwilioAccountSid, Speaking>,
        now: DateTime<Utc>,
    ) -> Result<Refusal, Refusal> {
        let is_mute = |sid: &&TwilioAccountSid| {
            speaking.get(*sid).is_none_or(|speaking| speaking.tokens.is_empty())
        };
        let mute = sids.iter().filter(is_mute);
        let mute: Vec<_> = mute.cloned().collect();
        if mute.is_empty() || !links::any_linked(connection, &mute).await? {
            return Ok(Refusal::Forged);
        }
        match self.signer(connection, signed, now).await? {
            Signer::Found => Ok(Refusal::Forged),
            Signer::Nobody | Signer::Unopened(_) => Ok(Refusal::NotConfigured(
                "its account has no auth token, and the settings have none",
            )),
        }
    }

    /// Says once in a while that messages are refused, for whoever has set a wrong address or token.
    fn tell_refused(&self, message: &Message<'_>) {
        let now = self.clock.now().timestamp();
        let told_at = self.told_at.load(Ordering::Relaxed);
        if now - told_at < TOLD_EVERY_SECONDS {
            return;
        }
        let swapped =
            self.told_at.compare_exchange(told_at, now, Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_ok() {
            let signed = message.signature.is_some();
            let addresses = self.settings.addresses(message);
            let address = addresses.first().and_then(|address| address.split('?').next());
            tracing::warn!(
                signed,
                address,
                "a callback is refused: no token of its account signed this address; \
                 is http.public_url what Twilio was given?"
            );
        }
    }
}

/// The accounts whose records are taken; records of no account always are.
#[derive(Debug, Default)]
struct Accepted {
    sids: HashSet<TwilioAccountSid>,
    foreign: usize,
    /// A token that may have signed the others, and cannot be opened.
    unopened: Option<UnopenedToken>,
}

impl Accepted {
    fn covers(&self, sid: Option<&TwilioAccountSid>) -> bool {
        sid.is_none_or(|sid| self.sids.contains(sid))
    }
}

/// Tokens held against one signature, each once.
struct Signers<'a> {
    signed: &'a Signed,
    known: HashMap<&'a str, bool>,
}

impl<'a> Signers<'a> {
    fn any(&mut self, speaking: Option<&'a Speaking>) -> bool {
        speaking.is_some_and(|it| it.tokens.iter().any(|token| self.is_one(&token.token)))
    }

    fn is_one(&mut self, token: &'a Secret) -> bool {
        let signed = self.signed;
        *self.known.entry(token.expose()).or_insert_with(|| signed.is_signed_by(token))
    }
}

fn query_of<'a>(message: &Message<'a>) -> &'a str {
    message.path_and_query.split_once('?').map_or("", |(_, query)| query)
}

/// What would be published of a message.
fn drafts(message: &Message<'_>) -> Vec<Draft> {
    let tag = form::tag(query_of(message));
    let values = match message.kind {
        Kind::Voice => {
            vec![form::record(&signature::pairs(message.body), tag.as_deref())]
        }
        Kind::Events => {
            let events = events::split(message.body).into_iter();
            events.map(|event| events::tagged(event, tag.as_deref())).collect()
        }
    };
    let draft = |value: Vec<u8>| {
        let is_short = value.len() <= RECORD_BYTES_MAX;
        let value = if is_short { value } else { decode::reduced(&value) };
        Draft { account_sid: decode::account_sid(&value), value }
    };
    values.into_iter().map(draft).collect()
}
