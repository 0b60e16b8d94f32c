//! State of the local Stripe: its objects as they are answered, its cards, keys and deliveries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::Complaint;
use super::behaviour::{Behaviour, Fault, FaultRule};
use super::card::Card;
use super::idempotency::Answers;
use super::outbox::{Delivery, Outbox};
use crate::clock::Clock;

/// The version of the API that is simulated.
pub const API_VERSION: &str = "2025-09-30.clover";

/// Characters of Stripe's ids.
const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Objects of one kind, oldest first.
#[derive(Debug, Default)]
struct Table {
    order: Vec<String>,
    rows: HashMap<String, Value>,
}

impl Table {
    fn get(&self, id: &str) -> Option<&Value> {
        self.rows.get(id)
    }

    /// All objects, newest first.
    fn newest_first(&self) -> impl Iterator<Item = &Value> {
        self.order.iter().rev().filter_map(|id| self.rows.get(id))
    }
}

/// Keys and address of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The secret key, `sk_test_…`.
    pub secret: String,
    /// The publishable key, `pk_test_…`.
    pub publishable: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self { secret: "sk_test_local".to_owned(), publishable: "pk_test_local".to_owned() }
    }
}

/// A request to the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Its id, the header `Request-Id` of the answer.
    pub id: String,
    /// Method.
    pub method: String,
    /// Path without its query.
    pub path: String,
    /// Its query.
    pub query: String,
    /// Its body: parameters of a form.
    pub body: String,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The fault that hit it.
    pub fault: Option<Fault>,
    /// Status of the answer; none while there is none.
    pub status: Option<u16>,
}

#[derive(Debug)]
pub(super) struct World {
    pub behaviour: Behaviour,
    pub rules: Vec<FaultRule>,
    pub keys: Keys,
    /// By the objects' `object`.
    tables: BTreeMap<&'static str, Table>,
    /// Behaviour of payment methods, by id.
    pub cards: BTreeMap<String, Card>,
    /// Payment methods that were detached and cannot be used again.
    pub detached: BTreeSet<String>,
    pub answers: Answers,
    pub outbox: Outbox,
    /// Secrets of web hooks, by id of the endpoint.
    pub secrets: BTreeMap<String, String>,
    /// Balance transactions that were paid out, with their payout.
    pub paid_out: BTreeMap<String, String>,
    pub requests: Vec<Request>,
    /// Number of times that hanging requests were let go.
    pub releases: u64,
    /// Id and idempotency key of the present request.
    pub request: (Option<String>, Option<String>),
    pub account: String,
    pub base_url: String,
    pub now: DateTime<Utc>,
    pub offset: TimeDelta,
    pub random: StdRng,
}

impl World {
    fn new(behaviour: Behaviour, keys: Keys) -> Self {
        let mut world = Self {
            random: StdRng::seed_from_u64(behaviour.seed),
            behaviour,
            rules: Vec::new(),
            keys,
            tables: BTreeMap::new(),
            cards: BTreeMap::new(),
            detached: BTreeSet::new(),
            answers: Answers::default(),
            outbox: Outbox::default(),
            secrets: BTreeMap::new(),
            paid_out: BTreeMap::new(),
            requests: Vec::new(),
            releases: 0,
            request: (None, None),
            account: String::new(),
            base_url: String::new(),
            now: DateTime::UNIX_EPOCH,
            offset: TimeDelta::zero(),
        };
        world.account = world.id("acct");
        world
    }

    /// A fresh id, or another random word, such as `pi_3Q…`.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}_1{}", self.word(23))
    }

    /// Random letters and digits.
    pub(super) fn word(&mut self, length: usize) -> String {
        let letter = |_| char::from(LETTERS[self.random.random_range(0..LETTERS.len())]);
        (0..length).map(letter).collect()
    }

    /// The present second, as Stripe writes instants.
    pub(super) fn second(&self) -> i64 {
        self.now.timestamp()
    }

    /// All objects of a kind, newest first.
    pub(super) fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.tables.get(kind).into_iter().flat_map(Table::newest_first)
    }

    /// An object, or Stripe's error for an id in a parameter.
    pub(super) fn find(&self, kind: &str, id: &str, name: &str) -> Result<&Value, Complaint> {
        let found = self.tables.get(kind).and_then(|table| table.get(id));
        found.ok_or_else(|| Complaint::missing(kind, id, name))
    }

    /// An object of any kind.
    pub(super) fn any(&self, id: &str) -> Option<&Value> {
        self.tables.values().find_map(|table| table.get(id))
    }

    /// Adds an object of a kind, with its `id`, `object`, `created` and `livemode`; returns its id.
    pub(super) fn add(&mut self, kind: &'static str, prefix: &str, mut row: Value) -> String {
        let id = self.id(prefix);
        row["id"] = json!(id);
        row["object"] = json!(kind);
        row["created"] = json!(self.second());
        if !matches!(kind, "refund" | "balance_transaction") {
            row["livemode"] = json!(self.behaviour.livemode);
        }
        let table = self.tables.entry(kind).or_default();
        table.order.push(id.clone());
        table.rows.insert(id.clone(), row);
        id
    }

    /// A copy of an object that is known to exist; null where it does not.
    pub(super) fn row(&self, kind: &str, id: &str) -> Value {
        let found = self.tables.get(kind).and_then(|table| table.get(id));
        found.cloned().unwrap_or_default()
    }

    /// Sets members of an object, and returns it.
    pub(super) fn set(&mut self, kind: &str, id: &str, members: &Value) -> Value {
        let row = self.tables.get_mut(kind).and_then(|table| table.rows.get_mut(id));
        let Some(row) = row else { return Value::Null };
        for (member, value) in members.as_object().into_iter().flatten() {
            row[member] = value.clone();
        }
        row.clone()
    }

    /// Records an event with the object as it is now, and queues its deliveries; returns its id.
    pub(super) fn emit(&mut self, kind: &str, object: &Value) -> String {
        let (request, key) = self.request.clone();
        let version = match self.behaviour.event_api_version.as_str() {
            "" => API_VERSION,
            version => version,
        };
        let event = json!({
            "api_version": version,
            "data": { "object": object },
            "pending_webhooks": 1,
            "request": { "id": request, "idempotency_key": key },
            "type": kind,
        });
        let id = self.add("event", "evt", event);
        self.queue(&id);
        id
    }

    /// Queues the deliveries of an event.
    pub(super) fn queue(&mut self, event: &str) {
        let event = self.row("event", event);
        let kind = event["type"].as_str().unwrap_or_default();
        let body = serde_json::to_string_pretty(&event).unwrap_or_default();
        let delay = Duration::from_millis(self.behaviour.delivery_delay_milliseconds);
        let endpoints: Vec<(String, String)> = self
            .all("webhook_endpoint")
            .filter(|endpoint| endpoint["status"] == "enabled" && wants(endpoint, kind))
            .filter_map(|endpoint| {
                let secret = self.secrets.get(endpoint["id"].as_str()?)?;
                Some((endpoint["url"].as_str()?.to_owned(), secret.clone()))
            })
            .collect();
        for (url, secret) in endpoints {
            let delivery = Delivery {
                event: event["id"].as_str().unwrap_or_default().to_owned(),
                kind: kind.to_owned(),
                url,
                secret,
                body: body.clone(),
                attempt: 1,
                due: Instant::now() + delay,
                is_forged: false,
            };
            self.outbox.push(delivery, &self.behaviour, &mut self.random);
        }
    }

    /// Puts another object in the place of one, and returns it.
    pub(super) fn replace(&mut self, kind: &str, id: &str, row: Value) -> Value {
        if let Some(table) = self.tables.get_mut(kind) {
            table.rows.insert(id.to_owned(), row.clone());
        }
        row
    }
}

fn wants(endpoint: &Value, kind: &str) -> bool {
    let listed = endpoint["enabled_events"].as_array().into_iter().flatten();
    listed.filter_map(Value::as_str).any(|name| name == "*" || name == kind)
}

/// The local Stripe; cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalStripe {
    world: Arc<Mutex<World>>,
    pub(super) clock: Clock,
    /// Told at every change, so that what waits looks again.
    pub(super) changes: watch::Sender<u64>,
}

impl LocalStripe {
    /// A local Stripe without objects.
    pub fn new(clock: Clock, behaviour: Behaviour, keys: Keys) -> Self {
        let world = Arc::new(Mutex::new(World::new(behaviour, keys)));
        Self { world, clock, changes: watch::Sender::new(0) }
    }

    /// Runs a step on the state at the present time, then wakes what waits.
    pub(super) fn with<R>(&self, step: impl FnOnce(&mut World) -> R) -> R {
        let result = step(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        result
    }

    /// Waits until hanging requests are let go, counted from `release`.
    pub(super) async fn released(&self, release: u64) {
        let mut changes = self.changes.subscribe();
        while self.lock().releases == release {
            drop(changes.changed().await);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.now = self.clock.now() + world.offset;
        world
    }
}
