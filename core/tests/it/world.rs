//! One account in a world of its own: a clock, catalog versions, subscriptions, used allowances.
//!
//! [`check`] runs a script line by line. A line `command -> answer` must give that answer; on a
//! failure the whole script is printed with the actual answers.
//!
//! ```text
//! now 2026-01-31T10:00:00Z            sets the clock
//! tick 3 days                         moves it: seconds, minutes, hours, days
//! catalog T                           accepts the next catalog file, in effect from T on (or now)
//! zero duration free                  the setting zero_duration_completed
//! subscribe starter [T] -> new | no change
//! unsubscribe [T] -> new | no change
//! call 36s to +1555 [from +1444] [inbound] [child of CA1] [ended T] -> the price
//!                                     which may stand on the next line; '' is an empty text
//! cycle [T] -> starter, start to end | none
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use callmeter_core::domain::{
    Call, CallSid, Catalog, CatalogHistory, CatalogVersion, PlanId, Subscription, SubscriptionId,
    SubscriptionTimeline, VersionedCatalog, ZeroDurationCompleted,
};
use callmeter_core::rating::{Terms, rate, terms_at};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// Runs a script against catalog files, which `catalog` lines accept in order.
#[track_caller]
pub(crate) fn check(catalog_files: &[&str], script: &str) {
    let mut world = World::new(catalog_files);
    let (mut wanted, mut given) = (String::new(), String::new());
    for line in lines(script) {
        let (command, answer) = match line.split_once("->") {
            Some((command, answer)) => (command.trim(), answer.trim()),
            None => (line.as_str(), ""),
        };
        let actual = world.run(command);
        writeln!(wanted, "{command} -> {answer}").expect("a string takes any text");
        writeln!(given, "{command} -> {actual}").expect("a string takes any text");
    }
    assert!(wanted == given, "the script wants\n{wanted}\nbut the rules give\n{given}");
}

/// Removes comments and empty lines, and joins an answer to the command above it.
fn lines(script: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in script.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match lines.last_mut() {
            Some(command) if line.starts_with("->") => *command += line,
            _ if line.is_empty() => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

pub(crate) fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text} is no instant: {error}"))
}

pub(crate) fn plan_id(text: &str) -> PlanId {
    PlanId::parse(text).expect("tests name plans well")
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

struct World<'a> {
    now: DateTime<Utc>,
    files: std::slice::Iter<'a, &'a str>,
    versions: Vec<VersionedCatalog>,
    subscriptions: Vec<Subscription>,
    zero_duration: ZeroDurationCompleted,
    used_seconds: BTreeMap<(SubscriptionId, DateTime<Utc>), u64>,
}

impl<'a> World<'a> {
    fn new(catalog_files: &'a [&'a str]) -> Self {
        let mut world = Self {
            now: DateTime::UNIX_EPOCH,
            files: catalog_files.iter(),
            versions: Vec::new(),
            subscriptions: Vec::new(),
            zero_duration: ZeroDurationCompleted::default(),
            used_seconds: BTreeMap::new(),
        };
        world.accept_catalog(DateTime::UNIX_EPOCH);
        world
    }

    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["now", at] => self.now = instant(at),
            ["tick", count, unit] => self.now += duration(count, unit),
            ["catalog"] => self.accept_catalog(self.now),
            ["catalog", at] => self.accept_catalog(instant(at)),
            ["zero", "duration", policy] => {
                self.zero_duration = policy.parse().expect("a policy");
            }
            ["subscribe", plan] => return self.subscribe(Some(plan), self.now),
            ["subscribe", plan, at] => return self.subscribe(Some(plan), instant(at)),
            ["unsubscribe"] => return self.subscribe(None, self.now),
            ["unsubscribe", at] => return self.subscribe(None, instant(at)),
            ["cycle"] => return self.cycle(self.now),
            ["cycle", at] => return self.cycle(instant(at)),
            ["call", length, details @ ..] => return self.call(length, details),
            _ => panic!("unknown command {command:?}"),
        }
        String::new()
    }

    fn accept_catalog(&mut self, effective_at: DateTime<Utc>) {
        let file = self.files.next().expect("a catalog file for each `catalog` line");
        let catalog = Catalog::parse(file).unwrap_or_else(|error| panic!("{error}"));
        let number = i32::try_from(self.versions.len() + 1).expect("few versions");
        self.versions.push(VersionedCatalog {
            version: CatalogVersion(number),
            effective_at,
            catalog: Arc::new(catalog),
        });
    }

    fn subscribe(&mut self, plan: Option<&str>, starts_at: DateTime<Utc>) -> String {
        let plan = plan.map(plan_id);
        if !self.timeline().change_needed(plan.as_ref(), starts_at) {
            return "no change".to_owned();
        }
        let number = i64::try_from(self.subscriptions.len() + 1).expect("few subscriptions");
        self.subscriptions.push(Subscription { id: SubscriptionId(number), plan, starts_at });
        "new".to_owned()
    }

    fn timeline(&self) -> SubscriptionTimeline {
        SubscriptionTimeline::new(self.subscriptions.clone())
    }

    fn cycle(&self, at: DateTime<Utc>) -> String {
        let timeline = self.timeline();
        let Some(in_force) = timeline.in_force(at) else {
            return "none".to_owned();
        };
        let (start, end) = (written(in_force.cycle.start), written(in_force.cycle.end));
        format!("{}, {start} to {end}", in_force.plan)
    }

    /// Rates and commits one call: the next call of its cycle finds less allowance.
    fn call(&mut self, length: &str, details: &[&str]) -> String {
        let seconds = length.strip_suffix('s').and_then(|count| count.parse().ok());
        let seconds = seconds.unwrap_or_else(|| panic!("{length} is no length such as 36s"));
        let call = call_of(seconds, self.now, details);
        let catalogs = CatalogHistory::new(self.versions.clone()).expect("there is a catalog");
        let timeline = self.timeline();
        let terms = match terms_at(&catalogs, &timeline, call.started_at()) {
            Ok(terms) => terms,
            Err(error) => return error.to_string(),
        };
        let mut unused = 0;
        let used_seconds = match terms {
            Terms::Standard { .. } => &mut unused,
            Terms::Plan { subscription, cycle, .. } => {
                self.used_seconds.entry((subscription, cycle.start)).or_default()
            }
        };
        let price = match rate(&call, &terms, *used_seconds, self.zero_duration) {
            Ok(price) => price,
            Err(error) => return error.to_string(),
        };
        *used_seconds += u64::from(price.allowance_seconds);
        assert_eq!(price.billed_seconds, price.allowance_seconds + price.wallet_seconds);
        let prefix = price.matched_prefix.map(|prefix| format!(" {prefix}")).unwrap_or_default();
        format!(
            "{} of {} + {} at {}{prefix} = {} {}, v{}",
            price.allowance_seconds,
            price.allowance_before_seconds,
            price.wallet_seconds,
            price.rate,
            price.amount,
            price.kind,
            terms.version(),
        )
    }
}

fn duration(count: &str, unit: &str) -> TimeDelta {
    let count = count.parse().expect("a whole number of units");
    match unit {
        "seconds" => TimeDelta::seconds(count),
        "minutes" => TimeDelta::minutes(count),
        "hours" => TimeDelta::hours(count),
        "days" => TimeDelta::days(count),
        _ => panic!("unknown unit {unit:?}"),
    }
}

/// A call that ended now, unless the details say otherwise.
fn call_of(seconds: u32, now: DateTime<Utc>, details: &[&str]) -> Call {
    let mut call = Call {
        call_sid: CallSid::parse("CA0001").expect("a call SID"),
        parent_call_sid: None,
        from: None,
        to: None,
        direction: None,
        ended_at: now,
        seconds,
        twilio_minutes: None,
        tag: None,
    };
    let mut rest = details;
    loop {
        rest = match rest {
            [] => return call,
            ["to", end, rest @ ..] => {
                call.to = Some((*end).into());
                rest
            }
            ["from", end, rest @ ..] => {
                call.from = Some((*end).into());
                rest
            }
            ["child", "of", parent, rest @ ..] => {
                call.parent_call_sid = Some(parent.trim_matches('\'').into());
                rest
            }
            ["ended", at, rest @ ..] => {
                call.ended_at = instant(at);
                rest
            }
            [direction, rest @ ..] => {
                call.direction = Some((*direction).into());
                rest
            }
        };
    }
}
