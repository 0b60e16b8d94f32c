//! The world of the generated traffic: three catalog versions and four dozen accounts, which
//! exercise every rule of the calendar and of the rates.

use crate::model::account::{Account, PlanChange};
use crate::model::catalog::{Catalog, Deck, NumberPrice, Plan};
use crate::model::money::Micros;
use crate::model::time::{At, DAY, HOUR, MINUTE, SECOND, at};

pub(crate) const ACCOUNTS: usize = 48;
/// The first accounts keep all their events in one partition, so that their order is known.
pub(crate) const ORDERED_ACCOUNTS: usize = 12;

pub(crate) const PREFIXES: [&str; 13] = [
    "+1", "+1415", "+44", "+447", "+4420", "+49", "+33", "+55", "+91", "+917", "+61", "+881",
    "+88177",
];
pub(crate) const NUMBER_KINDS: [(&str, &str); 4] =
    [("US", "local"), ("US", "toll free"), ("GB", "mobile"), ("DE", "national")];

/// Id, included minutes, increments, overage blocked, parent legs only.
type PlanRow = (&'static str, i64, (i64, i64), bool, bool);

const PLANS: [PlanRow; 9] = [
    ("starter", 100, (60, 60), false, false),
    ("second", 45, (1, 1), false, false),
    ("six", 61, (6, 6), false, false),
    ("mixed", 30, (30, 6), false, false),
    ("tail", 25, (60, 1), false, false),
    ("team", 50, (60, 60), false, true),
    ("capped", 20, (60, 60), true, false),
    ("bare", 0, (60, 60), false, false),
    ("flat", 25, (60, 60), false, false),
];

pub(crate) struct World {
    pub(crate) now: At,
    /// In the order of acceptance.
    pub(crate) versions: Vec<Catalog>,
    pub(crate) accounts: Vec<Account>,
}

/// Builds the world as seen from `now` (whole seconds).
pub(crate) fn world(now: At) -> World {
    let older = now - 75 * DAY - 3 * HOUR - 7 * SECOND;
    let later = now + 2 * HOUR + 11 * MINUTE;
    World {
        now,
        versions: vec![version(0, None), version(1, Some(older)), version(2, Some(later))],
        accounts: (0..ACCOUNTS).map(|index| account(index, now)).collect(),
    }
}

/// Each version, plan and prefix has a unique rate, some with odd micro-dollars to force rounding.
fn version(number: i64, effective_at: Option<At>) -> Catalog {
    let numbers = (1..).zip(NUMBER_KINDS).map(|(step, (country, kind))| NumberPrice {
        country,
        kind,
        monthly: 1_150_000 * step,
    });
    let plans = (1..).zip(PLANS).map(|(index, plan)| {
        let (id, included_minutes, increments, blocks_overage, parent_legs_only) = plan;
        let free = id == "flat";
        Plan {
            id,
            included_minutes: if included_minutes == 0 { 0 } else { included_minutes - 7 * number },
            deck: if free { Deck { per_minute: 0, prefixes: vec![] } } else { deck(number, index) },
            increments: if id == "mixed" && number > 0 { (6, 6) } else { increments },
            blocks_overage,
            parent_legs_only,
        }
    });
    Catalog {
        effective_at,
        standard: deck(number, 0),
        standard_increments: if number == 1 { (30, 6) } else { (60, 60) },
        plans: plans.collect(),
        numbers: numbers.collect(),
    }
}

fn deck(version: i64, plan: i64) -> Deck {
    let rate = |prefix: i64| -> Micros {
        Micros::from(9_001 + 1_013 * prefix + 10_007 * version + 2_003 * plan)
    };
    // A plan has only some of the prefixes: it inherits none.
    let known = |index: i64| (index + plan) % 3 != 1;
    let prefixes = (1..).zip(PREFIXES).filter(|(index, _)| known(*index)).map(|(index, prefix)| {
        let blocked = prefix == "+88177";
        (prefix.to_owned(), (!blocked).then(|| rate(index)))
    });
    Deck { per_minute: rate(0), prefixes: prefixes.collect() }
}

/// A Twilio account id that contains its number.
pub(crate) fn account_sid(number: usize) -> String {
    format!("AC{:032x}", 0x00c0_ffee_0000 + number * 7_919)
}

fn account(index: usize, now: At) -> Account {
    let plan = |step: usize| Some(PLANS[(index / 8 + index + step * 4) % PLANS.len()].0);
    let change = |starts_at, plan| PlanChange { starts_at, plan };
    let number = i64::try_from(index).expect("a small number");
    let odd = number * 977 * SECOND;
    let changes = match index % 8 {
        0 => vec![],
        1 => vec![change(at((2024, 1, 31), (10, 20, 30)), plan(0))],
        2 => vec![change(at((2024, 2, 29), (0, 0, 0)), plan(0))],
        3 => vec![
            change(now - 200 * DAY - odd + SECOND / 4, plan(0)),
            change(now - 45 * DAY - odd, plan(1)),
        ],
        4 => vec![
            change(at((2025, 6, 30), (23, 59, 59)), plan(0)),
            change(now - 30 * DAY - odd, None),
        ],
        5 => vec![
            change(now - 300 * DAY - odd, plan(0)),
            change(now - 100 * DAY - odd, None),
            change(now - 20 * DAY - odd, plan(1)),
        ],
        6 => vec![
            change(now - 3 * DAY - odd, plan(0)),
            change(now - DAY, plan(0)),
            change(now + 3 * HOUR, plan(1)),
        ],
        _ => vec![change(now - 10 * DAY - odd, plan(1)), change(now - 90 * DAY - odd, plan(0))],
    };
    let opening = [0, 250_000_001, 40_123_456, 1_000_000_000][index % 4];
    Account {
        id: format!("account-{index:02}"),
        sid: account_sid(index),
        opening_balance: opening + Micros::from(number) * Micros::from(i64::from(opening > 0)),
        credit_limit: if index.is_multiple_of(5) { 6_000_000 } else { 0 },
        changes,
        adjustments: vec![],
    }
}
