//! Random steps on an account, for `same_scripts`.

use super::table::cycle;
use callmeter::balance::scripts::{Load, Name, Place, Request, Settle, Stamp, Void, WholeAccount};
use callmeter::balance::{CallTerms, CycleRef, HoldSettings, HoldSource};
use callmeter_core::domain::{
    AccountId, AccountStatus, CallSid, Increments, Money, RatePerMinute, SubscriptionId,
    TwilioAccountSid,
};
use callmeter_core::policy::budget::BudgetStop;
use chrono::DateTime;
use rand::RngExt as _;
use rand::rngs::StdRng;

/// What both accounts go through at once.
#[derive(Debug)]
pub(super) enum Step {
    /// One of the scripts, with its arguments after the keys; the last is the time.
    Run(Name, Vec<String>),
    /// A load was announced: the key, by its number, has this text.
    Announce(usize, &'static str),
    /// Redis loses a key.
    Lose(usize),
    /// The wallet is about to leave Redis.
    LeaveSoon,
}

/// The account's surroundings, which change from step to step.
pub(super) struct Scenario<'a> {
    random: &'a mut StdRng,
    account: AccountId,
    now_micros: i64,
    offset_micros: i64,
    incarnation: i64,
    version: i64,
    rate: i64,
    settings: HoldSettings,
    is_loaded: bool,
}

pub(super) const TICKET: &str = "ticket";
const CALLS: u8 = 12;
/// A whole number of buckets after 1970, long after now, so that Redis lets nothing expire.
const BEGIN_MICROS: i64 = 100_000 * 43_200_000_000;

fn sid(number: u8) -> CallSid {
    CallSid::parse(&format!("CA{number}")).expect("a sid")
}

fn twilio(number: u8) -> TwilioAccountSid {
    TwilioAccountSid::parse(&format!("AC{number}")).expect("a sid")
}

fn other_cycle() -> CycleRef {
    CycleRef { subscription: SubscriptionId(8), ..cycle() }
}

impl<'a> Scenario<'a> {
    pub(super) fn new(random: &'a mut StdRng) -> Scenario<'a> {
        let settings = HoldSettings {
            granted_seconds_max: one_of(random, &[90, 600, 14_400]),
            ring_seconds: one_of(random, &[0, 60, 120]),
            grace_seconds: one_of(random, &[0, 30, 300]),
            expired_per_step_max: one_of(random, &[1, 1, 2, 16]),
            ..HoldSettings::default()
        };
        let moved =
            random.random_range(0..3) * 14_400_000_000 + random.random_range(0..100_000_000);
        Scenario {
            account: AccountId::parse("acme").expect("an id"),
            now_micros: BEGIN_MICROS + moved,
            offset_micros: one_of(random, &[0, 0, 3_600_000_123]),
            incarnation: 2,
            version: 5,
            rate: one_of(random, &[0, 1, 14_000, 14_000, 30_000, 10_000_000_000]),
            settings,
            is_loaded: false,
            random,
        }
    }

    pub(super) fn step(&mut self) -> Step {
        let passed = [0, 0, 0, 0, 0, 1, 1_000_000, 90_000_000, 600_000_000, 43_200_000_000];
        let passed = one_of(self.random, &passed);
        // A day and a half passes at once, rarely: then all ended calls are forgotten.
        self.now_micros += if self.one_in(50) { 130_000_000_000 } else { passed };
        if !self.is_loaded && !self.one_in(20) {
            self.is_loaded = true;
            return self.load();
        }
        match self.random.random_range(0..100) {
            0..70 => self.place(),
            70..84 => self.settle(),
            84..88 => self.void(),
            88..92 => Step::LeaveSoon,
            92..94 => {
                self.is_loaded = self.one_in(2);
                Step::Lose(self.random.random_range(0..9))
            }
            94..96 => Step::Announce(8, TICKET),
            _ => self.load(),
        }
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.random.random_ratio(1, times)
    }

    fn run<R: Request>(&mut self, request: &R) -> Step {
        // Now and then the caller knows an older or a newer time, or another server.
        let incarnation = match self.random.random_range(0..60) {
            0 => self.incarnation - 1,
            1 => self.incarnation + 1,
            _ => self.incarnation,
        };
        let epoch = if self.one_in(60) { "another" } else { "epoch" };
        let stamp = Stamp { epoch: epoch.into(), incarnation, offset_micros: self.offset_micros };
        let command = request.command(&stamp);
        let words = command.args_iter().map(|argument| match argument {
            redis::Arg::Simple(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
            _ => panic!("a script has no cursor"),
        });
        let mut arguments: Vec<String> = words.skip(3 + R::KEYS).collect();
        arguments.push(self.now_micros.to_string());
        Step::Run(R::SCRIPT, arguments)
    }

    fn place(&mut self) -> Step {
        let account = self.account.clone();
        let settings = self.settings.clone();
        let random = &mut *self.random;
        let cycle = one_of(random, &[None, Some(cycle()), Some(cycle()), Some(other_cycle())]);
        let included = one_of(random, &[1, 60, 200, 6_000]);
        let increments = one_of(random, &[(60, 60), (60, 60), (1, 1), (30, 6)]);
        let terms = CallTerms {
            cycle,
            included_seconds: if cycle.is_some() { included } else { 0 },
            rate: RatePerMinute::from_micros(self.rate).expect("a rate"),
            increments: Increments::new(increments.0, increments.1).expect("increments"),
            blocks_overage: cycle.is_some() && random.random_ratio(1, 3),
            is_destination_blocked: random.random_ratio(1, 15),
        };
        let call_sid = sid(random.random_range(0..CALLS));
        let payer = one_of(random, &[None, Some(1), Some(1), Some(1), Some(1), Some(1), Some(2)])
            .map(twilio);
        let place = Place {
            account: &account,
            operation: &format!("op{}", random.random_range(0..1_000)),
            call_sid: &call_sid,
            source: one_of(
                random,
                &[HoldSource::Authorize, HoldSource::Authorize, HoldSource::Stream],
            ),
            terms_revision: one_of(random, &["r1", "r1", "r1", "r1", "r1", "r2"]),
            twilio_account_sid: payer.as_ref(),
            terms: &terms,
            asked_seconds: one_of(random, &[0, 1, 60, 61, 300, 14_400]),
            settings: &settings,
            is_new: random.random_ratio(1, 2),
        };
        self.run(&place)
    }

    fn status(&mut self) -> AccountStatus {
        if self.one_in(8) { AccountStatus::Closed } else { AccountStatus::Open }
    }

    fn money(&mut self) -> Money {
        let micros = match self.random.random_range(0..5) {
            0 => self.random.random_range(-20_000..20_000),
            1 => self.random.random_range(0..30_000_000_000),
            _ => self.random.random_range(14_000..140_000),
        };
        Money::from_micros(micros)
    }

    /// Often none; its month is over, or ends soon, or later.
    fn budget(&mut self) -> Option<BudgetStop> {
        if self.one_in(2) {
            return None;
        }
        let ends_in = one_of(self.random, &[-1, 0, 60_000_000, 86_400_000_000]);
        let ends_at = DateTime::from_timestamp_micros(self.now_micros + ends_in);
        let (left, monthly, ends_at) = (self.money(), self.money(), ends_at.expect("an instant"));
        Some(BudgetStop { left, monthly, ends_at })
    }

    fn calls(&mut self, most: usize) -> Vec<CallSid> {
        let count = self.random.random_range(0..=most);
        (0..count).map(|_| sid(self.random.random_range(0..CALLS))).collect()
    }

    fn load(&mut self) -> Step {
        let account = self.account.clone();
        let sids = [twilio(1), twilio(3)];
        let load = Load {
            account: &account,
            ticket: TICKET,
            account_key: 17,
            version: self.version,
            charge_sequence: 100 + self.version,
            balance: self.money(),
            credit_limit: Money::from_micros(one_of(self.random, &[0, 0, 28_000])),
            budget: self.budget(),
            whole: WholeAccount {
                status: self.status(),
                calls_in_progress_max: one_of(self.random, &[None, None, Some(1), Some(2)]),
                terms_revision: "r1",
                document: "a document",
                twilio_account_sids: &sids,
            },
            cycles: &[(cycle(), one_of(self.random, &[0, 60, 150]))],
            holds: &[],
            settled: &self.calls(2),
            unsure: one_of(self.random, &[None, None, None, Some("9")]),
        };
        self.run(&load)
    }

    fn settle(&mut self) -> Step {
        let account = self.account.clone();
        let (from, to) = match self.random.random_range(0..8) {
            0 => (self.version - 1, self.version),
            1 => (self.version + 1, self.version + 2),
            _ => (self.version, self.version + 1),
        };
        self.version = self.version.max(to.min(self.version + 1));
        let payers = [twilio(1), twilio(self.random.random_range(2..4))];
        let whole = WholeAccount {
            status: self.status(),
            calls_in_progress_max: one_of(self.random, &[None, None, Some(3)]),
            terms_revision: one_of(self.random, &["r1", "r1", "r2"]),
            document: "another document",
            twilio_account_sids: &payers[usize::from(self.one_in(6))..],
        };
        let settle = Settle {
            account: &account,
            from_version: from,
            version: to,
            charge_sequence: 100 + to,
            balance: self.money(),
            credit_limit: Money::from_micros(one_of(self.random, &[0, 14_000])),
            budget: self.budget(),
            whole: if self.one_in(4) { Some(whole) } else { None },
            cycles: &[(cycle(), self.random.random_range(0..250)), (other_cycle(), 10)]
                [self.random.random_range(0..3)..],
            call_sids: &self.calls(8),
        };
        self.run(&settle)
    }

    fn void(&mut self) -> Step {
        let (account, call_sid) = (self.account.clone(), sid(self.random.random_range(0..CALLS)));
        let payer = one_of(self.random, &[None, Some(1), Some(2)]).map(twilio);
        let void =
            Void { account: &account, call_sid: &call_sid, twilio_account_sid: payer.as_ref() };
        self.run(&void)
    }
}

fn one_of<T: Copy>(random: &mut StdRng, choices: &[T]) -> T {
    choices[random.random_range(0..choices.len())]
}
