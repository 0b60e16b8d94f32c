//! State of the local Twilio: its accounts, their calls, and its behaviour.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::numbers::Numbers;
use crate::clock::Clock;
use crate::ingest::decode::parse_instant;

/// An account of the local Twilio.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriber {
    /// Its `AccountSid`.
    pub account_sid: String,
    /// Its auth token.
    pub auth_token: String,
    /// Its parent account, if it is a sub-account.
    #[serde(default)]
    pub parent: Option<String>,
}

/// Behaviour of the local Twilio. A number of 0 switches its fault off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// One request in this many is answered 429.
    pub busy_every: u64,
    /// One request in this many is answered 500.
    pub broken_every: u64,
    /// Number of calls of a page that the next page repeats.
    pub repeated: usize,
    /// Most calls of a page, whatever the request asks for; Twilio's limit is 1,000.
    pub page_max: usize,
    /// Seconds after its end during which a call has no price.
    pub price_delay_seconds: u32,
    /// Seconds after its last change during which listings omit a call.
    pub listing_delay_seconds: u32,
    /// Seconds after its end during which usage records do not count a call.
    pub usage_delay_seconds: u32,
    /// Every request is answered 503.
    pub is_down: bool,
    /// Requests after this number get no answer while this is set.
    pub hangs_after: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            busy_every: 0,
            broken_every: 0,
            repeated: 2,
            page_max: 1_000,
            price_delay_seconds: 60,
            listing_delay_seconds: 0,
            usage_delay_seconds: 0,
            is_down: false,
            hangs_after: 0,
        }
    }
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub sid: String,
    pub account_sid: String,
    pub parent_call_sid: Option<String>,
    pub status: String,
    pub from: String,
    pub to: String,
    pub direction: String,
    pub start: Option<DateTime<Utc>>,
    pub end: Option<DateTime<Utc>>,
    pub seconds: Option<u32>,
    pub changed_at: DateTime<Utc>,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub subscribers: BTreeMap<String, Subscriber>,
    /// By `AccountSid` and `CallSid`.
    pub legs: BTreeMap<(String, String), Leg>,
    pub behaviour: Behaviour,
    pub requests: u64,
    /// Members that replace a row's own, by call, or by day and category of usage.
    pub oddities: BTreeMap<String, Value>,
    /// Parent account of accounts that a call names but nobody subscribed.
    pub adopter: Option<String>,
    /// Numbers for sale, and owned ones.
    pub numbers: Numbers,
}

/// The local Twilio; cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalTwilio {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) clock: Clock,
}

impl LocalTwilio {
    /// A local Twilio without accounts and calls.
    pub fn new(clock: Clock, behaviour: Behaviour) -> Self {
        let world = World { behaviour, ..World::default() };
        Self { world: Arc::new(Mutex::new(world)), clock }
    }

    /// Adds an account, or changes its token.
    pub fn subscribe(&self, subscriber: Subscriber) {
        self.lock().subscribers.insert(subscriber.account_sid.clone(), subscriber);
    }

    /// Treats every account that nobody subscribed as a sub-account of this one.
    pub fn adopt_as(&self, parent: &str) {
        self.lock().adopter = Some(parent.to_owned());
    }

    /// Changes the behaviour.
    pub fn change_habits(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.lock().behaviour);
    }

    /// Replaces members of a row by undocumented ones: of the call with this sid, or of usage such
    /// as `2026-11-24 calls`.
    pub fn garble(&self, row: &str, members: Value) {
        self.lock().oddities.insert(row.to_owned(), members);
    }

    /// Number of requests so far.
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// Records a call from the parameters of a status callback, alone or in a CloudEvent. A later
    /// status replaces an earlier one; nothing follows the call's end.
    ///
    /// # Errors
    /// Names what is missing in the parameters.
    pub fn learn(&self, callback: &Value) -> Result<(), String> {
        let leg = Leg::read(&parameters_of(callback), self.clock.now())?;
        let mut world = self.lock();
        if let Some(parent) = world.adopter.clone().filter(|parent| *parent != leg.account_sid) {
            let account_sid = leg.account_sid.clone();
            world.subscribers.entry(account_sid.clone()).or_insert_with(|| Subscriber {
                auth_token: format!("token-of-{account_sid}"),
                account_sid,
                parent: Some(parent),
            });
        }
        let key = (leg.account_sid.clone(), leg.sid.clone());
        match world.legs.get(&key) {
            Some(known) if known.end.is_some() => {}
            _ => drop(world.legs.insert(key, leg)),
        }
        Ok(())
    }

    /// Forgets a call, as if it had been deleted.
    pub fn forget(&self, account_sid: &str, call_sid: &str) {
        self.lock().legs.remove(&(account_sid.to_owned(), call_sid.to_owned()));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// A row as the API answers it, with its replaced members.
    pub(super) fn answered(&self, name: &str, mut row: Value) -> Value {
        let members = self.oddities.get(name).and_then(Value::as_object);
        for (member, value) in members.into_iter().flatten() {
            row[member] = value.clone();
        }
        row
    }
}

/// The parameters inside a CloudEvent, whose `data` may be text; else the value itself.
fn parameters_of(event: &Value) -> Cow<'_, Value> {
    match &event["data"] {
        Value::Null => Cow::Borrowed(event),
        Value::String(text) => {
            let data: Value = serde_json::from_str(text).unwrap_or_default();
            Cow::Owned(data["request"]["parameters"].clone())
        }
        data => Cow::Borrowed(&data["request"]["parameters"]),
    }
}

impl Leg {
    fn read(callback: &Value, now: DateTime<Utc>) -> Result<Self, String> {
        let optional = |name: &str| match &callback[name] {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let required = |name: &str| optional(name).ok_or_else(|| format!("{name} is missing"));
        let status = required("CallStatus")?;
        let at = optional("Timestamp").and_then(|text| parse_instant(&text)).unwrap_or(now);
        let seconds = optional("CallDuration").and_then(|text| text.parse::<u32>().ok());
        let has_ended =
            !matches!(status.as_str(), "queued" | "initiated" | "ringing" | "in-progress");
        let end = has_ended.then_some(at);
        if status == "completed" && seconds.is_none() {
            return Err("CallDuration of a completed call is missing".to_owned());
        }
        let start = match status.as_str() {
            "queued" => None,
            _ => Some(at - TimeDelta::seconds(seconds.unwrap_or_default().into())),
        };
        Ok(Self {
            sid: required("CallSid")?,
            account_sid: required("AccountSid")?,
            parent_call_sid: optional("ParentCallSid"),
            status,
            from: optional("From").unwrap_or_default(),
            to: optional("To").unwrap_or_default(),
            direction: optional("Direction").unwrap_or_else(|| "outbound-api".to_owned()),
            start,
            end,
            seconds,
            changed_at: at.min(now),
        })
    }

    /// Minutes that Twilio bills: a completed leg is rounded up to whole minutes.
    pub(super) fn billed_minutes(&self) -> u32 {
        if self.status == "completed" { self.seconds.unwrap_or_default().div_ceil(60) } else { 0 }
    }

    /// Twilio's price in micro-dollars.
    pub(super) fn cost_micros(&self) -> i64 {
        let rate = match self.category() {
            "calls" if self.is_inbound() => 8_500,
            "calls" => 14_000,
            _ => 4_000,
        };
        i64::from(self.billed_minutes()) * rate
    }

    pub(super) fn is_inbound(&self) -> bool {
        matches!(self.direction.as_str(), "inbound" | "trunking-terminating")
    }

    /// The usage category that counts this leg.
    pub(super) fn category(&self) -> &'static str {
        let far = if self.is_inbound() { &self.from } else { &self.to };
        match far.split_once(':') {
            Some(("client", _)) => "calls-client",
            Some(("sip" | "sips", _)) => "calls-sip",
            _ => "calls",
        }
    }
}
