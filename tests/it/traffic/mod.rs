//! Seeded traffic: calls, rentals and nonsense, as they may arrive from Kafka.
//!
//! The generator knows what it writes, but not what it costs: the model derives that from the
//! records alone.

pub(crate) mod garbage;
pub(crate) mod rentals;
pub(crate) mod shapes;
pub(crate) mod world;

use crate::model::account::Account;
use crate::model::read::Topic;
use crate::model::time::{At, DAY, HOUR, SECOND, at, date_of, days_in_month};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use shapes::{Call, Told, end_point, tell};
use std::collections::BTreeSet;
use world::{ACCOUNTS, ORDERED_ACCOUNTS, World, account_sid};

/// A record to produce.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) timestamp_ms: i64,
    pub(crate) payload: Option<Vec<u8>>,
}

/// Seeded randomness.
pub(crate) struct Dice(StdRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(StdRng::seed_from_u64(seed))
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }

    /// Below `bound`, signed.
    pub(crate) fn span(&mut self, bound: i64) -> i64 {
        self.0.random_range(0..bound)
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_ratio(percent, 100)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.random()
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        choices.choose(&mut self.0).expect("choices are never empty")
    }
}

/// Generates `count` records over `partitions` partitions of each topic.
pub(crate) fn generate(world: &World, seed: u64, count: usize, partitions: i32) -> Vec<Outgoing> {
    let mut traffic = Traffic {
        world,
        dice: Dice::new(seed),
        partitions,
        records: Vec::with_capacity(count + 100),
        position: 0,
        named: 0,
    };
    while traffic.records.len() < count {
        traffic.position += 1;
        traffic.next();
    }
    traffic.records.truncate(count);
    traffic.records.sort_by_key(|(position, _)| *position);
    traffic.records.into_iter().map(|(_, record)| record).collect()
}

struct Traffic<'a> {
    world: &'a World,
    dice: Dice,
    partitions: i32,
    /// Each record with its position in time.
    records: Vec<(i64, Outgoing)>,
    position: i64,
    named: u64,
}

impl Traffic<'_> {
    fn next(&mut self) {
        let account = self.dice.below(ACCOUNTS);
        match self.dice.below(100) {
            0..4 => self.garbage(account),
            4..7 => self.stranger(),
            7..8 => self.other_event(account),
            8..10 => self.rental(account),
            10..18 => self.failed_call(account),
            _ => self.completed_call(account),
        }
    }

    fn completed_call(&mut self, account: usize) {
        let call = self.call(account);
        self.lifecycle(&call, account);
        self.put_told(&call, "completed", account, 0);
        if self.dice.chance(18) {
            for _ in 0..=self.dice.below(2) {
                let mut again = call.clone();
                if self.dice.chance(20) {
                    again.end -= SECOND;
                }
                self.put_told(&again, "completed", account, 3_000);
            }
        }
        if self.dice.chance(3) {
            let mut other = call.clone();
            other.seconds = (call.seconds + 1 + self.dice.span(120)).min(86_400);
            for _ in 0..=self.dice.below(2) {
                self.put_told(&other, "completed", account, 3_000);
            }
        }
        if self.dice.chance(1) {
            let foreign = (account + 1 + self.dice.below(ACCOUNTS - 1)) % ACCOUNTS;
            let twin = Call { account_sid: account_sid(foreign), ..call };
            self.put_told(&twin, "completed", foreign, 500);
        }
    }

    fn lifecycle(&mut self, call: &Call, account: usize) {
        if self.dice.chance(30) {
            for status in ["initiated", "ringing", "in-progress"] {
                if self.dice.chance(70) {
                    self.put_told(call, status, account, 4);
                }
            }
        }
        if self.dice.chance(2) {
            let status = *self.dice.pick(&["busy", "failed", "no-answer", "canceled"]);
            self.put_told(call, status, account, 10);
        }
    }

    fn failed_call(&mut self, account: usize) {
        let call = self.call(account);
        let status = *self.dice.pick(&["busy", "failed", "no-answer", "canceled"]);
        self.lifecycle(&call, account);
        self.put_told(&call, status, account, 0);
    }

    fn stranger(&mut self) {
        let mut call = self.call(0);
        call.account_sid = account_sid(1_000 + self.dice.below(20));
        let partition = self.any_partition();
        let told = tell(&call, "completed", &mut self.dice, self.world.now);
        self.put(Topic::Calls, partition, Some(call.account_sid.into_bytes()), told, 0);
    }

    fn garbage(&mut self, account: usize) {
        let call = self.call(account);
        let payload = garbage::call_payload(&call, &mut self.dice, self.world.now);
        let partition = self.any_partition();
        let record = Outgoing {
            topic: Topic::Calls,
            partition,
            key: Some(call.account_sid.into_bytes()),
            timestamp_ms: self.world.now / 1_000,
            payload,
        };
        self.records.push((self.position, record));
    }

    fn other_event(&mut self, account: usize) {
        let kinds =
            ["com.twilio.messaging.message.delivered", "com.twilio.voice.insights.call-summary"];
        let kind = *self.dice.pick(&kinds);
        // The content of such an event must not matter, even if it looks familiar.
        let data = match self.dice.below(5) {
            0 => json!({"request": "GET /", "AccountSid": account_sid(account)}),
            1 => json!({"request": {"parameters": ["CallSid"]}}),
            2 => json!("plain text"),
            3 => json!(null),
            _ => json!({"AccountSid": account_sid(account), "CallStatus": "completed"}),
        };
        let event = json!({"specversion": "1.0", "type": kind, "data": data});
        let told = Told { payload: event.to_string().into_bytes(), timestamp_ms: None };
        let partition = self.any_partition();
        self.put(Topic::Calls, partition, None, told, 0);
    }

    fn rental(&mut self, account: usize) {
        let period = at((2026, 1, 1), (0, 0, 0)) + self.dice.span(300) * DAY;
        let named = self.name();
        let rental = rentals::Rental::new(account, named, period, &mut self.dice);
        let home = home_partition(&account_sid(account), self.partitions);
        let mut payloads = vec![rental.event(&mut self.dice)];
        for _ in 0..self.dice.below(3) {
            payloads.push(rental.event(&mut self.dice));
        }
        if self.dice.chance(15) && self.world.accounts[account].opening_balance > 900_000_000 {
            payloads.push(rental.at_another_price());
        }
        for payload in payloads {
            let wanders = account >= ORDERED_ACCOUNTS && self.dice.chance(20);
            let partition = if wanders { self.any_partition() } else { home };
            let bad = self.dice.chance(8);
            let text = payload.to_string().into_bytes();
            let payload =
                if bad { garbage::rental_payload(&payload, &mut self.dice) } else { Some(text) };
            let record = Outgoing {
                topic: Topic::Rentals,
                partition,
                key: Some(account_sid(account).into_bytes()),
                timestamp_ms: self.world.now / 1_000,
                payload,
            };
            let position = self.position + self.dice.span(1_000);
            self.records.push((position, record));
        }
        if self.dice.chance(10) {
            let mut foreign = rental.event(&mut self.dice);
            foreign["data"]["AccountSid"] = json!(account_sid(2_000));
            foreign["data"]["PhoneNumberSid"] = json!(format!("PN{:032x}", self.name()));
            let told = Told { payload: foreign.to_string().into_bytes(), timestamp_ms: None };
            self.put(Topic::Rentals, home, None, told, 0);
        }
    }

    /// Renders the call and sends it, mostly with its account's partition and key.
    fn put_told(&mut self, call: &Call, status: &str, account: usize, spread: i64) {
        let told = tell(call, status, &mut self.dice, self.world.now);
        let home = home_partition(&account_sid(account), self.partitions);
        let wanders = account >= ORDERED_ACCOUNTS && self.dice.chance(12);
        let partition = if wanders { self.any_partition() } else { home };
        let key = match self.dice.below(20) {
            0 => None,
            1 => Some(account_sid(account + 1).into_bytes()),
            2 => Some(vec![0, 0xff, 0xfe]),
            _ => Some(call.account_sid.clone().into_bytes()),
        };
        self.put(Topic::Calls, partition, key, told, spread);
    }

    fn put(&mut self, topic: Topic, partition: i32, key: Option<Vec<u8>>, told: Told, spread: i64) {
        let recently = self.world.now / 1_000 - self.dice.span(600_000);
        let timestamp_ms = told.timestamp_ms.unwrap_or(recently);
        let position =
            self.position + if spread == 0 { 0 } else { self.dice.span(2 * spread) - spread / 4 };
        let record = Outgoing { topic, partition, key, timestamp_ms, payload: Some(told.payload) };
        self.records.push((position, record));
    }

    fn call(&mut self, account: usize) -> Call {
        let seconds = self.seconds();
        let start = self.start(&self.world.accounts[account].clone());
        let call_sid = format!("CA{:032x}", u128::from(self.name()) << 64 | 0x00ab_cdef);
        let directions =
            ["outbound-api", "outbound-api", "outbound-dial", "inbound", "trunking-originating"];
        let parent = self.dice.chance(15).then(|| format!("CA{:032x}", self.dice.number()));
        Call {
            account_sid: account_sid(account),
            sid: call_sid,
            parent_call_sid: parent,
            from: end_point(&mut self.dice),
            to: end_point(&mut self.dice),
            direction: directions[self.dice.below(directions.len())],
            seconds,
            end: (start + seconds * SECOND).min(self.world.now + 23 * HOUR),
        }
    }

    fn seconds(&mut self) -> i64 {
        match self.dice.below(100) {
            0..8 => self.dice.span(5),
            8..25 => 60 * (1 + self.dice.span(12)) - 1 + self.dice.span(3),
            25..95 => 1 + self.dice.span(900),
            95..99 => 900 + self.dice.span(6_300),
            _ => 86_398 + self.dice.span(3),
        }
    }

    fn start(&mut self, account: &Account) -> At {
        let now = self.world.now;
        let fraction = if self.dice.chance(15) { self.dice.span(1_000) * 1_000 } else { 0 };
        let start = match self.dice.below(100) {
            0..38 => now - self.dice.span(30 * 86_400) * SECOND,
            38..62 => now - self.dice.span(400 * 86_400) * SECOND,
            62..84 if !account.changes.is_empty() => self.around_a_cycle(account),
            84..88 => {
                let version = self.dice.pick(&self.world.versions[1..]);
                version.effective_at.expect("has one") + (self.dice.span(5) - 2) * SECOND
            }
            88..91 => at((2018, 1, 1), (0, 0, 0)) + self.dice.span(7 * 365 * 86_400) * SECOND,
            91..94 => at((2024, 2, 28), (12, 0, 0)) + self.dice.span(2 * 86_400) * SECOND,
            94..97 => now + self.dice.span(22 * 3_600) * SECOND,
            _ => now - self.dice.span(3_600) * SECOND,
        };
        start + fraction
    }

    /// Within two seconds of a start of the account's cycles.
    fn around_a_cycle(&mut self, account: &Account) -> At {
        let anchor = self.dice.pick(&account.changes).starts_at;
        let since = (self.world.now - anchor).max(0) / (30 * DAY);
        let months = date_of(anchor).month - 1 + self.dice.span(since + 2).min(since);
        let (year, month) = (date_of(anchor).year + months / 12, months % 12 + 1);
        let day = date_of(anchor).day.min(days_in_month(year, month));
        let boundary = at((year, month, day), (0, 0, 0)) + anchor.rem_euclid(DAY);
        boundary - boundary % SECOND + (self.dice.span(5) - 2) * SECOND
    }

    fn name(&mut self) -> u64 {
        self.named += 1;
        self.named
    }

    fn any_partition(&mut self) -> i32 {
        i32::try_from(self.dice.span(i64::from(self.partitions))).expect("a small number")
    }
}

/// The partition of an account's key.
pub(crate) fn home_partition(sid: &str, partitions: i32) -> i32 {
    let sum: i32 = sid.bytes().map(i32::from).sum();
    sum % partitions
}

#[test]
fn the_traffic_of_a_seed_is_always_the_same_and_holds_every_kind_of_record() {
    use crate::model::read::{Reading, Record, read};
    let world = world::world(at((2026, 11, 24), (9, 30, 0)));
    let records = generate(&world, 7, 30_000, 4);
    let again = generate(&world, 7, 30_000, 4);
    let same = records.iter().zip(&again).all(|(a, b)| a.payload == b.payload);
    assert!(same && records.len() == again.len());
    let seen: BTreeSet<String> = records
        .iter()
        .map(|outgoing| {
            let Outgoing { topic, partition, timestamp_ms, .. } = *outgoing;
            let payload = outgoing.payload.clone();
            match read(&Record { topic, partition, offset: 0, timestamp_ms, payload }) {
                Reading::Completed(_) => format!("{topic:?} completed in {partition}"),
                Reading::Rental(_) => format!("{topic:?} rental in {partition}"),
                Reading::Invalid(why) => format!("{topic:?} {why}"),
                other => format!("{topic:?} {other:?}"),
            }
        })
        .collect();
    let kinds = [
        "Calls CallDuration too long",
        "Calls NotBillable",
        "Calls Skipped",
        "Calls Undecodable",
        "Calls completed in 0",
        "Calls completed in 3",
        "Calls ends too far ahead",
        "Calls no CallSid or AccountSid",
        "Calls no data",
        "Calls no parameters",
        "Calls no whole CallDuration",
        "Calls unknown CallStatus",
        "Rentals MonthlyPrice is no price",
        "Rentals Undecodable",
        "Rentals no AccountSid or PhoneNumberSid",
        "Rentals no PeriodStart",
        "Rentals no data",
        "Rentals rental in 0",
        "Rentals rental in 3",
    ];
    for kind in kinds {
        assert!(seen.contains(kind), "no {kind} in {seen:#?}");
    }
}
