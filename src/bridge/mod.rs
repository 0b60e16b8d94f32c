//! The bridge checks Twilio's messages and publishes them to Kafka, because Twilio has no Kafka
//! sink.
//!
//! Before the flow. It accepts a message only if an auth token or a shared key of the account that
//! would be charged signed it; the decoder of the meter reads that account. It never refuses a
//! signed message because of its content: the meter keeps what it cannot charge, and a record that
//! is too long for Kafka is reduced to the part that is needed to charge it. It answers success
//! only after Kafka acknowledged the message. Twilio may post it again at any time: a call is
//! charged once.

mod error;
mod events;
mod form;
mod scheme;
mod settings;
mod signature;
mod signers;

pub use error::Refusal;
pub use settings::BridgeSettings;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use callmeter_core::domain::TwilioAccountSid;
use sqlx::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::config::Secret;
use crate::ingest::decode;
use crate::ingest::publisher::{NewRecord, PublishError, Publisher, RECORD_BYTES_MAX};
use crate::ledger::links;
use crate::ledger::shared_keys::SharedKeys;
use crate::ledger::store::Store;
use crate::ledger::tokens::TwilioTokens;
use scheme::Scheme;
use signature::{Proof, Signed};
use signers::{Anybody, Candidates, Signers, Unopened};

/// Bytes of all messages that wait for Kafka at once, in [`BUDGET_UNIT`]s.
const BUDGET: usize = 1_024;
/// A message counts for at least one unit: so at most 1,024 messages wait, with 64 MiB.
const BUDGET_UNIT: usize = 65_536;
/// Seconds between two log lines about refused messages; the metric counts them all.
const TOLD_EVERY_SECONDS: i64 = 60;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A status callback: a form.
    Voice,
    /// Events of a sink: a JSON array.
    Events,
}

/// A message as received.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Path and query of the request, as received.
    pub path_and_query: &'a str,
    /// The host that the request named.
    pub host: Option<&'a str>,
    /// `X-Twilio-Signature`; none if it is missing or comes more than once.
    pub signature: Option<&'a str>,
    /// Every `X-Twilio-Webhooks-Signature-Settings`, as received: it names the shared key.
    pub signature_settings: &'a [&'a [u8]],
    /// The body.
    pub body: &'a [u8],
}

/// The result of an accepted message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Records that Kafka acknowledged.
    pub published: usize,
    /// Events that were dropped: their account is not the signer's.
    pub foreign: usize,
}

/// The bridge; cheap to clone.
#[derive(Clone, Debug)]
pub struct Bridge {
    store: Store,
    signers: Arc<Signers>,
    publisher: Publisher,
    clock: Clock,
    settings: Arc<BridgeSettings>,
    budget: Arc<Semaphore>,
    told_at: Arc<AtomicI64>,
}

/// A record to publish, with the account that would be charged.
struct Draft {
    account_sid: Option<TwilioAccountSid>,
    value: Vec<u8>,
}

impl Bridge {
    /// Prepares the bridge; librdkafka connects to Kafka in the background.
    ///
    /// # Errors
    /// If librdkafka refuses a setting.
    pub fn open(
        settings: BridgeSettings,
        tokens: TwilioTokens,
        keys: SharedKeys,
        store: Store,
        clock: Clock,
    ) -> Result<Self, PublishError> {
        let BridgeSettings { kafka, topic, acknowledged_max, .. } = &settings;
        let publisher = Publisher::open(kafka, topic, "twilio", *acknowledged_max)?;
        let settings = Arc::new(settings);
        let budget = Arc::new(Semaphore::new(BUDGET));
        let told_at = Arc::new(AtomicI64::new(0));
        let signers = Arc::new(Signers { tokens, keys });
        Ok(Self { store, signers, publisher, clock, settings, budget, told_at })
    }

    /// Bytes of the longest message.
    pub fn bytes_max(&self) -> usize {
        self.settings.bytes_max
    }

    /// Takes a permit for a message of this length, until the permit is dropped; none: too many
    /// messages wait. Call it before the body is read.
    pub fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(BUDGET_UNIT).clamp(1, BUDGET);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Arc::clone(&self.budget).try_acquire_many_owned(units).ok()
    }

    /// Checks and publishes a message; returns after Kafka acknowledged all of it.
    ///
    /// # Errors
    /// The message was not published, or only in part; the kind says whether to post it again.
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
            tracing::warn!(events, "events of accounts that did not sign them are dropped");
        }
        self.publisher.publish(&records).await?;
        // A secret that cannot be opened may have signed the others: Twilio is to post them again.
        if let Some(unopened) = accepted.unopened {
            return Err(unopened.into());
        }
        Ok(Taken { published: records.len(), foreign: accepted.foreign })
    }

    /// Decides the accounts whose records are accepted.
    async fn accept(&self, message: &Message<'_>, drafts: &[Draft]) -> Result<Accepted, Refusal> {
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let is_by_key = !message.signature_settings.is_empty();
        if let Some(why) = self.signers.why_none(&mut connection, is_by_key).await? {
            return Err(Refusal::NotConfigured(why));
        }
        let scheme = Scheme::read(message.signature_settings).map_err(|_| Refusal::Forged)?;
        let signed = self.signed(message, scheme).ok_or(Refusal::Forged)?;
        let sids: HashSet<_> =
            drafts.iter().filter_map(|draft| draft.account_sid.clone()).collect();
        if sids.is_empty() {
            return match self.signers.anybody(&mut connection, scheme, &signed, now).await? {
                Anybody::Signed => Ok(Accepted::default()),
                Anybody::Nobody => Err(Refusal::Forged),
                Anybody::Unopened(unopened) => Err(unopened.into()),
            };
        }
        let sids: Vec<_> = sids.into_iter().collect();
        let candidates = self.signers.of_each(&mut connection, scheme, &sids, now).await?;
        let mut tried = Tried { signed: &signed, known: HashMap::new() };
        let (accepted, others): (Vec<_>, Vec<_>) =
            sids.iter().partition(|sid| tried.any(candidates.get(*sid)));
        let unopened = others.iter().find_map(|sid| candidates.get(*sid)?.unopened.clone());
        if accepted.is_empty() {
            return Err(match unopened {
                Some(unopened) => unopened.into(),
                None => self.why_refused(&mut connection, scheme, &signed, &candidates).await?,
            });
        }
        let accepted: HashSet<_> = accepted.into_iter().cloned().collect();
        let foreign = drafts.iter().filter_map(|draft| draft.account_sid.as_ref());
        let foreign = foreign.filter(|sid| !accepted.contains(*sid)).count();
        Ok(Accepted { sids: accepted, foreign, unopened })
    }

    /// The signed parts of a message; none: it has no signature, or its body is not the signed one.
    fn signed(&self, message: &Message<'_>, scheme: Scheme<'_>) -> Option<Signed> {
        let proof = Proof { signature: message.signature?, algorithm: scheme.algorithm() };
        let addresses = self.settings.addresses(message);
        match message.kind {
            Kind::Voice => Some(Signed::form(&addresses, &signature::pairs(message.body), proof)),
            Kind::Events => Signed::json(&addresses, query_of(message), message.body, proof),
        }
    }

    /// Distinguishes a forged message from one of an account without a token or shared key: Twilio
    /// is to post that one again, until somebody sets one.
    async fn why_refused(
        &self,
        connection: &mut PgConnection,
        scheme: Scheme<'_>,
        signed: &Signed,
        candidates: &HashMap<TwilioAccountSid, Candidates>,
    ) -> Result<Refusal, Refusal> {
        let mute = candidates.iter().filter(|(_, candidates)| candidates.is_mute);
        let mute: Vec<_> = mute.map(|(sid, _)| sid.clone()).collect();
        if mute.is_empty() || !links::any_linked(connection, &mute).await? {
            return Ok(Refusal::Forged);
        }
        let now = self.clock.now();
        if self.signers.is_anothers(connection, scheme, signed, now).await? {
            return Ok(Refusal::Forged);
        }
        Ok(Refusal::NotConfigured(match scheme {
            Scheme::Token => "its account has no auth token, and the settings have none",
            Scheme::SharedKey(_) => "its account has no shared key, and the settings have none",
        }))
    }

    /// Logs now and then that messages are refused: the address, a token or a key may be wrong.
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
            match Scheme::read(message.signature_settings) {
                Ok(Scheme::Token) => tracing::warn!(
                    signed,
                    address,
                    "a callback is refused: no token of its account signed this address; \
                     is http.public_url what Twilio was given?"
                ),
                Ok(Scheme::SharedKey(key)) => tracing::warn!(
                    signed,
                    address,
                    key,
                    "a callback is refused: no shared key of its account with this id signed this \
                     address; is the key given, and http.public_url what Twilio was given?"
                ),
                Err(fault) => tracing::warn!(
                    %fault,
                    address,
                    "a callback is refused for its X-Twilio-Webhooks-Signature-Settings"
                ),
            }
        }
    }
}

/// The accounts whose records are accepted; records without an account always are.
#[derive(Debug, Default)]
struct Accepted {
    sids: HashSet<TwilioAccountSid>,
    foreign: usize,
    /// A secret that may have signed the others and cannot be opened.
    unopened: Option<Unopened>,
}

impl Accepted {
    fn covers(&self, sid: Option<&TwilioAccountSid>) -> bool {
        sid.is_none_or(|sid| self.sids.contains(sid))
    }
}

/// Secrets checked against one signature, each once.
struct Tried<'a> {
    signed: &'a Signed,
    known: HashMap<&'a str, bool>,
}

impl<'a> Tried<'a> {
    fn any(&mut self, candidates: Option<&'a Candidates>) -> bool {
        candidates.is_some_and(|it| it.secrets.iter().any(|secret| self.is_one(secret)))
    }

    fn is_one(&mut self, secret: &'a Secret) -> bool {
        let signed = self.signed;
        *self.known.entry(secret.expose()).or_insert_with(|| signed.is_signed_by(secret))
    }
}

fn query_of<'a>(message: &Message<'a>) -> &'a str {
    message.path_and_query.split_once('?').map_or("", |(_, query)| query)
}

/// The records to publish for a message.
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
