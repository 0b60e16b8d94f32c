//! Generates the records of a world of calls: events in order, and repeated, reordered, late and
//! broken ones in the given shares. Pure: the caller passes the time and a seed, and takes the
//! records.
//!
//! A call takes no real time: its last event happens "now" whatever its length, and its earlier
//! events carry earlier times. Events of many calls are mixed, as when many calls are in progress.

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::call::{Call, Direction, End, Shape, Status};
use super::render::{Event, Fault, Renderer, Rental, Sid, sid};
use super::sampling::{Accounts, Share, Skew};

/// Most calls that start while an event waits.
const DELAY_CALLS_MAX: usize = 512;

/// Most days that a late event is late.
const LATE_DAYS_MAX: u32 = 40;

/// Settings of the traffic.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How many accounts call.
    pub accounts: u32,
    /// How calls are spread over them.
    pub skew: Skew,
    /// Share of the records that are sent twice.
    pub duplicates: Share,
    /// Share of the records sent after later ones.
    pub reorder: Share,
    /// Share of the calls reported hours or days after their end.
    pub late: Share,
    /// Share of the calls followed by a record that cannot be charged.
    pub faulty: Share,
    /// Share of the calls followed by a number's rent.
    pub rentals: Share,
    /// Share of the calls whose end is never reported.
    pub lose: Share,
    /// Only ends of charged calls: one record, one charge. For benchmarks.
    pub ends_only: bool,
}

/// The topic of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Call events.
    Calls,
    /// Rents that are due.
    Rentals,
}

/// One record to publish.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The topic.
    pub topic: Topic,
    /// The `AccountSid`.
    pub key: &'a [u8],
    /// The JSON.
    pub value: &'a [u8],
    /// Its fate.
    pub fate: Fate,
}

/// The fate of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It happened, and arrives.
    Arrives,
    /// It happened, and is lost.
    Lost,
    /// It never happened, and arrives.
    MadeUp,
}

/// Everything generated so far: what a service must have charged at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Made {
    /// Records of both topics.
    pub records: u64,
    /// Legs with any end.
    pub calls: u64,
    /// Legs that must be charged once each.
    pub billable_calls: u64,
    /// Sum of their `CallDuration`.
    pub billable_seconds: u64,
    /// Records that repeat an earlier one.
    pub duplicates: u64,
    /// Records delayed behind later ones.
    pub reordered: u64,
    /// Legs reported hours or days after their end.
    pub late_calls: u64,
    /// Legs whose end is never reported; those that are billable are charged after a sweep.
    pub lost_calls: u64,
    /// Records that must be rejected.
    pub faulty: u64,
    /// Periods of numbers that must be paid once each.
    pub rentals: u64,
}

/// An event that waits to be published.
#[derive(Clone, Copy)]
struct Waiting {
    call: Call,
    status: Status,
    shape: Shape,
    sequence: u8,
    delivery: u8,
    fault: Option<Fault>,
    late_seconds: u32,
    is_lost: bool,
    /// When it happened; set when it is first due.
    at: Option<DateTime<Utc>>,
}

/// A planned call; the dialer may ask for it before it is made.
#[derive(Clone, Copy)]
pub struct Planned {
    pub(super) call: Call,
    late_seconds: u32,
    pub(super) account_sid: Sid,
}

/// The generator.
pub struct Traffic {
    profile: Profile,
    random: StdRng,
    accounts: Accounts,
    sids: Vec<Sid>,
    /// Events due this many calls from now; `due` is the present slot.
    ring: Vec<Vec<Waiting>>,
    due: usize,
    renderer: Renderer,
    made: Made,
}

/// The `AccountSid` of a simulated account, the same for every seed; indices count from 0.
pub fn account_sid(index: u32) -> Sid {
    const ODD: u128 = 0x2545_f491_4f6c_dd1d_9e37_79b9_7f4a_7c15;
    sid(*b"AC", (u128::from(index) + 1).wrapping_mul(ODD))
}

impl Traffic {
    /// Creates traffic like `profile`; the same seed and times generate the same records.
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            accounts: Accounts::new(profile.accounts, profile.skew),
            sids: (0..profile.accounts).map(account_sid).collect(),
            ring: vec![Vec::new(); DELAY_CALLS_MAX],
            due: 0,
            renderer: Renderer::default(),
            made: Made::default(),
            profile,
        }
    }

    /// What was generated so far.
    pub fn made(&self) -> Made {
        self.made
    }

    /// Starts one call at `now` and passes every due record to `publish`.
    pub fn start_call(&mut self, now: DateTime<Utc>, publish: &mut impl FnMut(Record<'_>)) {
        let planned = self.plan_call();
        self.make_call(planned, now, publish);
        self.publish_due(now, publish);
    }

    /// Draws a call without making it.
    pub fn plan_call(&mut self) -> Planned {
        let account = self.accounts.draw(&mut self.random);
        let call = if self.profile.ends_only {
            Call::draw_completed(account, &mut self.random)
        } else {
            Call::draw(account, &mut self.random)
        };
        let late_seconds = self.draw_lateness();
        Planned { call, late_seconds, account_sid: self.sids[account as usize] }
    }

    /// Makes a planned call with all that follows from it.
    pub fn make_call(
        &mut self,
        planned: Planned,
        now: DateTime<Utc>,
        publish: &mut impl FnMut(Record<'_>),
    ) {
        let Planned { call, late_seconds, .. } = planned;
        self.schedule(call, late_seconds);
        let dials = call.seconds > 10
            && !call.by_machine
            && call.direction != Direction::TrunkingOriginating;
        if !self.profile.ends_only && dials && self.random.random_range(0..6) == 0 {
            let child = call.draw_child(&mut self.random);
            self.schedule(child, late_seconds);
        }
        if self.profile.faulty.hits(&mut self.random) {
            self.schedule_fault(call);
        }
        if self.profile.rentals.hits(&mut self.random) {
            self.publish_rental(call.account, now, publish);
        }
    }

    /// Passes all records that still wait to `publish`.
    pub fn finish(&mut self, now: DateTime<Utc>, publish: &mut impl FnMut(Record<'_>)) {
        while self.ring.iter().any(|slot| !slot.is_empty()) {
            self.publish_due(now, publish);
        }
    }

    fn draw_lateness(&mut self) -> u32 {
        if !self.profile.late.hits(&mut self.random) {
            return 0;
        }
        // Twilio's own retries end after 4 hours; later events were found by a sweep.
        if self.random.random() {
            self.random.random_range(60..4 * 3_600)
        } else {
            self.random.random_range(4 * 3_600..LATE_DAYS_MAX * 86_400)
        }
    }

    fn schedule(&mut self, call: Call, late_seconds: u32) {
        self.made.calls += 1;
        self.made.late_calls += u64::from(late_seconds > 0);
        if call.end == Status::Completed {
            self.made.billable_calls += 1;
            self.made.billable_seconds += u64::from(call.seconds);
        }
        let is_lost = self.profile.lose.hits(&mut self.random);
        self.made.lost_calls += u64::from(is_lost);
        let shape = Shape::draw(&mut self.random);
        let mut event = Waiting {
            call,
            status: call.end,
            shape,
            sequence: 0,
            delivery: 0,
            fault: None,
            late_seconds,
            is_lost,
            at: None,
        };
        if self.profile.ends_only {
            event.sequence = 3;
            return self.wait(event, 0);
        }
        let mut delay = 0;
        for lead in call.leads() {
            self.wait(Waiting { status: *lead, ..event }, delay);
            event.sequence += 1;
            delay += self.random.random_range(1..8);
        }
        let in_progress = if call.end == Status::Completed { 128 } else { 16 };
        delay += self.random.random_range(0..in_progress);
        self.wait(event, delay);
    }

    /// Schedules a record that cannot be charged, well behind all events of `call`.
    fn schedule_fault(&mut self, call: Call) {
        let fault = match self.random.random_range(0..4) {
            0 if call.end == Status::Completed => Fault::OtherDuration,
            1 => Fault::NoDuration,
            2 => Fault::UnknownAccount,
            _ => Fault::BrokenJson,
        };
        let sid = if fault == Fault::OtherDuration { call.sid } else { self.random.random() };
        let call = Call { sid, end: Status::Completed, ..call };
        let shape = Shape::draw(&mut self.random);
        let event = Waiting {
            call,
            status: Status::Completed,
            shape,
            sequence: 3,
            delivery: 0,
            fault: Some(fault),
            late_seconds: 0,
            is_lost: false,
            at: None,
        };
        self.wait(event, DELAY_CALLS_MAX - 1);
    }

    fn wait(&mut self, event: Waiting, calls: usize) {
        assert!(calls < self.ring.len(), "a delay is within the ring");
        let place = (self.due + calls) % self.ring.len();
        self.ring[place].push(event);
    }

    /// Passes every record that is due at this call to `publish`.
    pub fn publish_due(&mut self, now: DateTime<Utc>, publish: &mut impl FnMut(Record<'_>)) {
        let mut slot = std::mem::take(&mut self.ring[self.due]);
        for event in slot.drain(..) {
            self.publish_event(event, now, publish);
        }
        self.ring[self.due] = slot;
        self.due = (self.due + 1) % self.ring.len();
    }

    /// Publishes one due event, or delays it; a repetition follows some way behind.
    fn publish_event(
        &mut self,
        event: Waiting,
        now: DateTime<Utc>,
        publish: &mut impl FnMut(Record<'_>),
    ) {
        let first = event.at.is_none();
        let before =
            i64::from(event.late_seconds) + i64::from(event.call.seconds_to_end(event.status));
        let at = event.at.unwrap_or(now - TimeDelta::seconds(before));
        let event = Waiting { at: Some(at), ..event };
        if first && event.fault.is_none() {
            if self.profile.reorder.hits(&mut self.random) {
                self.made.reordered += 1;
                let calls = self.random.random_range(1..64);
                return self.wait(event, calls);
            }
            if self.profile.duplicates.hits(&mut self.random) {
                self.repeat(event);
            }
        }
        let sid = match event.fault {
            Some(Fault::UnknownAccount) => sid(*b"AC", !event.call.sid),
            _ => self.sids[event.call.account as usize],
        };
        let value = self.renderer.call(&Event {
            call: &event.call,
            account_sid: &sid,
            status: event.status,
            shape: event.shape,
            sequence: event.sequence,
            delivery: event.delivery,
            fault: event.fault,
            at,
        });
        let fate = match event.fault {
            Some(_) => Fate::MadeUp,
            None if event.is_lost && event.status.is_end() => Fate::Lost,
            None => Fate::Arrives,
        };
        self.made.records += u64::from(fate != Fate::Lost);
        self.made.faulty += u64::from(event.fault.is_some());
        publish(Record { topic: Topic::Calls, key: &sid, value, fate });
    }

    /// Half of the repetitions are the same delivery, half report the event again.
    fn repeat(&mut self, event: Waiting) {
        self.made.duplicates += 1;
        let mut again = event;
        if self.random.random() {
            again.delivery += 1;
            again.shape = Shape::draw(&mut self.random);
        }
        let calls = self.random.random_range(1..DELAY_CALLS_MAX);
        self.wait(again, calls);
    }

    fn publish_rental(
        &mut self,
        account: u32,
        now: DateTime<Utc>,
        publish: &mut impl FnMut(Record<'_>),
    ) {
        let rental = Rental {
            account_sid: &self.sids[account as usize],
            number: self.random.random(),
            phone: End::of_account(account),
            toll_free: self.random.random_range(0..4) == 0,
            at: now,
        };
        let repeated = self.profile.duplicates.hits(&mut self.random);
        self.made.rentals += 1;
        self.made.duplicates += u64::from(repeated);
        for _ in 0..=u8::from(repeated) {
            let value = self.renderer.rental(&rental);
            self.made.records += 1;
            let (key, fate) = (rental.account_sid, Fate::Arrives);
            publish(Record { topic: Topic::Rentals, key, value, fate });
        }
    }
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
