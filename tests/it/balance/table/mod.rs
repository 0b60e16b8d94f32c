//! Runs a table of script calls on one account; each line is a command, `=>`, and its result.
//!
//! ```text
//! load version=1 balance=50000 => loaded 0
//! place CA1 300                => new granted=180 held=42000 allowance=0 final
//! tick 601                     =>
//! state                        => version=1 holds=1 held=42000
//! ```
//! Money is in micro-dollars, lengths in seconds. Without a plan a minute costs 14000, by 60/60. Of a
//! budget that stops calls, `budget` is left until `ends` seconds from now, and `monthly` from then on.

mod recovery;

use crate::harness::redis_database::RedisDatabase;
use crate::harness::servers::Servers;
use callmeter::balance::scripts::{
    Expire, Extend, Extended, Load, Loaded, Place, Placed, PlacedHold, Settle, Settled, Void,
    Voided, WholeAccount, inspect,
};
use callmeter::balance::{BalanceError, CallTerms, CycleRef, Hold, HoldSettings, HoldSource, Link};
use callmeter_core::domain::{
    AccountId, AccountStatus, CallSid, Increments, Money, RatePerMinute, SubscriptionId,
    TwilioAccountSid,
};
use callmeter_core::policy::budget::BudgetStop;
use chrono::DateTime;
use std::collections::HashMap;
use std::time::Duration;

pub(super) struct Table {
    pub(super) link: Link,
    pub(super) database: RedisDatabase,
    account: AccountId,
    settings: HoldSettings,
    terms: CallTerms,
    terms_revision: String,
    offset_micros: i64,
    incarnation: i64,
    operations: u32,
    /// The last hold returned for each call, as a journal would have it.
    journal: HashMap<CallSid, Hold>,
    /// Ticket of the next load; if none, the load is announced just before.
    ticket: Option<String>,
}

/// Words of a command: those before any `name=value`, and the others by name.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: HashMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Words<'a> {
        let (named, plain): (Vec<_>, Vec<_>) =
            text.split_whitespace().partition(|word| word.contains('='));
        let named = named.into_iter().filter_map(|word| word.split_once('=')).collect();
        Words { plain, named }
    }

    fn number(&self, name: &str, default: i64) -> i64 {
        self.named.get(name).map_or(default, |text| text.parse().expect("a number"))
    }

    fn money(&self, name: &str) -> Money {
        Money::from_micros(self.number(name, 0))
    }

    fn budget(&self) -> Option<BudgetStop> {
        let left = self.named.contains_key("budget").then(|| self.money("budget"))?;
        let ends_at = crate::harness::samples::now() + self.number("ends", 3_600) * 1_000_000;
        let ends_at = DateTime::from_timestamp_micros(ends_at).expect("an instant");
        Some(BudgetStop { left, monthly: self.money("monthly"), ends_at })
    }

    fn sids(&self, from: usize) -> Vec<CallSid> {
        self.plain[from..].iter().map(|sid| CallSid::parse(sid).expect("a sid")).collect()
    }
}

pub(super) fn cycle() -> CycleRef {
    let start = DateTime::from_timestamp(1_793_491_200, 0).expect("an instant");
    CycleRef { subscription: SubscriptionId(7), start }
}

impl Table {
    pub(super) fn new() -> Table {
        let database = RedisDatabase::take(&Servers::shared().redis_url);
        Table {
            link: Link::open(&database.url, Duration::from_secs(5)).expect("an address"),
            database,
            account: AccountId::parse("acme").expect("an id"),
            settings: HoldSettings::default(),
            terms: CallTerms {
                cycle: None,
                included_seconds: 0,
                rate: RatePerMinute::from_micros(14_000).expect("a rate"),
                increments: Increments::PER_MINUTE,
                blocks_overage: false,
                is_destination_blocked: false,
            },
            terms_revision: "r1".to_owned(),
            offset_micros: 0,
            incarnation: 1,
            operations: 0,
            journal: HashMap::new(),
            ticket: None,
        }
    }

    /// Runs every line and compares its result.
    pub(super) async fn run(&mut self, table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, expected) = line.split_once("=>").expect("a command => its answer");
            let answer = self.answer(command).await;
            assert_eq!(answer, expected.trim(), "{line}");
        }
    }

    /// Runs one command and returns its result.
    pub(super) async fn answer(&mut self, command: &str) -> String {
        let words = Words::of(command);
        match words.plain[0] {
            "load" => self.load(&words).await,
            "place" => self.place(&words).await,
            "extend" => self.extend(&words).await,
            "void" => self.void(&words).await,
            "announce" => {
                self.ticket = Some(self.announce().await);
                String::new()
            }
            "restore" => self.restore(&words).await,
            "look" => self.look().await,
            "missing" => self.missing(&words).await,
            "holds" => self.holds(&words).await,
            "remember" => self.remember(&words).await,
            "settle" => self.settle(&words).await,
            "expire" => self.expire(&words).await,
            "state" => self.state().await,
            "tick" => {
                let seconds: i64 = words.plain[1].parse().expect("seconds");
                self.offset_micros += seconds * 1_000_000;
                String::new()
            }
            "incarnation" => {
                self.incarnation = words.plain[1].parse().expect("a number");
                String::new()
            }
            "plan" => {
                self.terms.cycle = Some(cycle());
                self.terms.included_seconds = words.plain[1].parse().expect("seconds");
                self.terms.blocks_overage = words.plain.get(2) == Some(&"block");
                String::new()
            }
            "terms" => {
                words.plain[1].clone_into(&mut self.terms_revision);
                String::new()
            }
            "flush" => {
                self.redis("FLUSHDB", &[]).await;
                String::new()
            }
            "delete" => {
                self.redis("DEL", &[&format!("cm:{{acme}}{}", words.plain[1])]).await;
                String::new()
            }
            other => panic!("no command {other}"),
        }
    }

    pub(super) async fn redis(&self, name: &str, arguments: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.database.url.as_str()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        redis::cmd(name).arg(arguments).query_async(&mut connection).await.expect("done")
    }

    async fn load(&mut self, words: &Words<'_>) -> String {
        let used = u64::try_from(words.number("used", 0)).expect("seconds");
        let holds: Vec<(CallSid, Hold)> = match words.plain.get(1) {
            Some(&"journal") => self.journal.clone().into_iter().collect(),
            _ => Vec::new(),
        };
        let sid = TwilioAccountSid::parse("AC1").expect("a sid");
        let document = format!("document of {}", self.terms_revision);
        let ticket = match self.ticket.take() {
            Some(ticket) => ticket,
            None => self.announce().await,
        };
        let load = Load {
            account: &self.account,
            ticket: &ticket,
            account_key: 17,
            version: words.number("version", 1),
            charge_sequence: words.number("charges", 0),
            balance: words.money("balance"),
            credit_limit: words.money("limit"),
            budget: words.budget(),
            whole: WholeAccount {
                status: match words.named.get("status") {
                    Some(&"closed") => AccountStatus::Closed,
                    _ => AccountStatus::Open,
                },
                calls_in_progress_max: words.named.get("calls").map(|n| n.parse().expect("calls")),
                terms_revision: &self.terms_revision,
                document: &document,
                twilio_account_sids: &[sid],
            },
            cycles: &[(cycle(), used)],
            holds: &holds,
            settled: &words
                .named
                .get("over")
                .map_or(Vec::new(), |sid| vec![CallSid::parse(sid).expect("a sid")]),
            unsure: words.named.get("unsure").copied(),
        };
        let answer = self.link.run(&load, self.incarnation, self.offset_micros).await;
        match answer.expect("an answer") {
            Loaded::Loaded { holds } => format!("loaded {holds}"),
            Loaded::Current => "current".to_owned(),
            Loaded::Gap { version, charge_sequence } => format!("gap {version} {charge_sequence}"),
            Loaded::Behind => "behind".to_owned(),
            Loaded::Forgotten => "forgotten".to_owned(),
            Loaded::Newer { incarnation } => format!("newer {incarnation}"),
        }
    }

    async fn look(&self) -> String {
        let look = inspect(&self.account);
        let answer = self.link.run(&look, self.incarnation, self.offset_micros).await;
        let looked = answer.expect("an answer");
        // A wallet of an older incarnation does not count.
        let looked = looked.filter(|looked| looked.incarnation >= self.incarnation);
        let Some(looked) = looked else { return "unknown".to_owned() };
        let cycles = looked.cycles.iter().map(|(found, seconds)| {
            assert_eq!(*found, cycle());
            format!(" allowance={seconds}")
        });
        let cycles: String = cycles.collect();
        let (holds, held) = (looked.holds, looked.held.micros());
        format!("version={} holds={holds} held={held}{cycles}", looked.version)
    }

    async fn place(&mut self, words: &Words<'_>) -> String {
        self.operations += 1;
        let operation = format!("op{}", self.operations);
        let call_sid = CallSid::parse(words.plain[1]).expect("a sid");
        let is_stream = words.plain.contains(&"stream");
        let sid = words.named.get("sid").map(|sid| TwilioAccountSid::parse(sid).expect("a sid"));
        let mut terms = self.terms.clone();
        terms.is_destination_blocked = words.plain.contains(&"blocked");
        let place = Place {
            account: &self.account,
            operation: &operation,
            call_sid: &call_sid,
            source: if is_stream { HoldSource::Stream } else { HoldSource::Authorize },
            terms_revision: &self.terms_revision,
            twilio_account_sid: sid.as_ref(),
            terms: &terms,
            asked_seconds: words.plain[2].parse().expect("seconds"),
            settings: &self.settings,
            is_new: words.plain.contains(&"known"),
        };
        let answer = self.link.run(&place, self.incarnation, self.offset_micros).await;
        match answer {
            Ok(Placed::Held(held)) => self.held(call_sid, held, ["again", "new"]),
            Ok(Placed::Denied { reason, shortfall, account_key }) => {
                assert_eq!(account_key, 17);
                format!("denied {} {}", reason.as_str(), shortfall.micros())
            }
            Ok(Placed::Stale { revision, document }) => format!("stale {revision}: {document}"),
            Ok(Placed::Unsure) => "unsure".to_owned(),
            Ok(Placed::Unknown(why)) => format!("unknown {}", why.as_str()),
            Err(BalanceError::Refused(error)) => {
                format!("refused {}", error.detail().unwrap_or(""))
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn extend(&mut self, words: &Words<'_>) -> String {
        self.operations += 1;
        let own = format!("op{}", self.operations);
        let call_sid = CallSid::parse(words.plain[1]).expect("a sid");
        let extend = Extend {
            account: &self.account,
            operation: words.named.get("op").copied().unwrap_or(&own),
            call_sid: &call_sid,
            asked_seconds: words.plain[2].parse().expect("seconds"),
            settings: &self.settings,
        };
        let answer = self.link.run(&extend, self.incarnation, self.offset_micros).await;
        match answer.expect("an answer") {
            Extended::Held(held) => self.held(call_sid, held, ["same", "more"]),
            Extended::Settled => "settled".to_owned(),
            Extended::Absent => "absent".to_owned(),
            Extended::Unknown(why) => format!("unknown {}", why.as_str()),
        }
    }

    fn held(&mut self, call_sid: CallSid, held: PlacedHold, words: [&str; 2]) -> String {
        let PlacedHold { is_new, hold, account_key } = held;
        assert_eq!(account_key, 17);
        let valid = hold.valid_until - hold.placed_at;
        assert_eq!(valid.num_seconds(), 120 + i64::from(hold.granted_seconds));
        assert_eq!((hold.expires_at - hold.valid_until).num_seconds(), 300);
        let text = format!(
            "{} granted={} held={} allowance={}{}",
            words[usize::from(is_new)],
            hold.granted_seconds,
            hold.money.micros(),
            hold.allowance_seconds,
            if hold.is_final { " final" } else { "" }
        );
        self.journal.insert(call_sid, hold);
        text
    }

    async fn void(&self, words: &Words<'_>) -> String {
        let call_sid = CallSid::parse(words.plain[1]).expect("a sid");
        let sid = words.named.get("sid").map(|sid| TwilioAccountSid::parse(sid).expect("a sid"));
        let void =
            Void { account: &self.account, call_sid: &call_sid, twilio_account_sid: sid.as_ref() };
        let answer = self.link.run(&void, self.incarnation, self.offset_micros).await;
        let (was_held, revision) = match answer.expect("an answer") {
            Voided::Voided { was_held, revision } => (was_held, revision),
            Voided::Unknown(why) => return format!("unknown {}", why.as_str()),
        };
        if let Some(hold) = self.journal.get(&call_sid) {
            assert!(revision > hold.revision, "the journal takes it");
        }
        if was_held { "freed" } else { "nothing" }.to_owned()
    }

    async fn settle(&self, words: &Words<'_>) -> String {
        let (from, to) = words.plain[1].split_once("..").expect("from..to");
        let used = words.named.get("used").map(|used| (cycle(), used.parse().expect("seconds")));
        let settle = Settle {
            account: &self.account,
            from_version: from.parse().expect("a version"),
            version: to.parse().expect("a version"),
            charge_sequence: words.number("charges", 0),
            balance: words.money("balance"),
            credit_limit: words.money("limit"),
            budget: words.budget(),
            whole: words.named.get("status").map(|status| WholeAccount {
                status: AccountStatus::parse(status).expect("a status"),
                calls_in_progress_max: None,
                terms_revision: &self.terms_revision,
                document: "changed",
                twilio_account_sids: &[],
            }),
            cycles: used.as_slice(),
            call_sids: &words.sids(2),
        };
        let answer = self.link.run(&settle, self.incarnation, self.offset_micros).await;
        match answer.expect("an answer") {
            Settled::Projected { holds } => format!("projected {holds}"),
            Settled::Stale => "stale".to_owned(),
            Settled::Gap { version, charge_sequence } => format!("gap {version} {charge_sequence}"),
            Settled::Unknown => "unknown".to_owned(),
            Settled::Newer { incarnation } => format!("newer {incarnation}"),
        }
    }

    async fn expire(&self, words: &Words<'_>) -> String {
        let most = words.plain[1].parse().expect("a number");
        let expire = Expire { account: &self.account, most };
        let answer = self.link.run(&expire, self.incarnation, self.offset_micros).await;
        match answer.expect("an answer") {
            Some(standing) => format!("expired {}", standing.expired),
            None => "unknown".to_owned(),
        }
    }

    async fn state(&self) -> String {
        let answer =
            self.link.run(&inspect(&self.account), self.incarnation, self.offset_micros).await;
        let Some(standing) = answer.expect("an answer") else { return "unknown".to_owned() };
        format!(
            "version={} balance={} holds={} held={}",
            standing.version,
            standing.balance.micros(),
            standing.holds,
            standing.held.micros()
        )
    }
}
