//! The cost of a completed call before the allowance applies, and how allowance and wallet pay it.

use super::account::Account;
use super::catalog::{Catalog, in_force};
use super::cycle;
use super::money::{Micros, price};
use super::read::CompletedCall;
use super::time::At;

/// A rated call; the remaining allowance is not applied yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rated {
    pub(crate) billed_seconds: i64,
    pub(crate) rate: Micros,
    pub(crate) cycle: Option<Cycle>,
}

/// The cycle that a call belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) plan: &'static str,
    pub(crate) start: At,
    pub(crate) included_seconds: i64,
}

/// How the billed seconds are paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) allowance_seconds: i64,
    pub(crate) wallet_seconds: i64,
    pub(crate) amount: Micros,
}

/// The billed time of a length: the initial seconds, then whole increments.
pub(crate) fn billed(seconds: i64, (initial, increment): (i64, i64)) -> i64 {
    let mut billed = initial;
    let missing = (seconds - initial).max(0);
    billed += missing / increment * increment;
    if missing % increment > 0 { billed + increment } else { billed }
}

/// Rates a call by the subscription, cycle and catalog version of its start.
pub(crate) fn rate(versions: &[Catalog], account: &Account, call: &CompletedCall) -> Rated {
    let catalog = in_force(versions, call.start);
    let rated_number = match call.direction.as_deref() {
        Some("inbound" | "trunking-originating") => call.from.as_deref(),
        _ => call.to.as_deref(),
    };
    let rated_number = rated_number.unwrap_or_default();
    let Some(subscription) = account.subscription(call.start) else {
        return Rated {
            billed_seconds: billed(call.seconds, catalog.standard_increments),
            rate: catalog.standard.rate(rated_number),
            cycle: None,
        };
    };
    let plan = catalog.plan(subscription.plan);
    let start = cycle::start(subscription.anchor, call.start);
    let included = in_force(versions, start).plan(subscription.plan).included_minutes;
    let free_leg = plan.parent_legs_only && call.parent_call_sid.is_some();
    Rated {
        billed_seconds: if free_leg { 0 } else { billed(call.seconds, plan.increments) },
        rate: plan.deck.rate(rated_number),
        cycle: Some(Cycle { plan: subscription.plan, start, included_seconds: included * 60 }),
    }
}

/// Splits the billed seconds between the remaining allowance and the wallet.
pub(crate) fn split(rated: &Rated, left: i64) -> Split {
    let allowance_seconds = rated.billed_seconds.min(left);
    let wallet_seconds = rated.billed_seconds - allowance_seconds;
    Split { allowance_seconds, wallet_seconds, amount: price(rated.rate, wallet_seconds) }
}

#[cfg(test)]
mod tests {
    use super::super::account::PlanChange;
    use super::super::catalog::{Deck, Plan};
    use super::super::time::{SECOND, parse_rfc3339};
    use super::*;

    fn instant(text: &str) -> At {
        parse_rfc3339(text).expect("an instant")
    }

    fn version(effective_at: Option<At>, starter_rate: Micros, included_minutes: i64) -> Catalog {
        let deck = |per_minute| Deck { per_minute, prefixes: vec![("+44".into(), Some(30_000))] };
        let plan = |id, per_minute, parent_legs_only| Plan {
            id,
            included_minutes,
            deck: deck(per_minute),
            increments: (60, 60),
            blocks_overage: false,
            parent_legs_only,
        };
        Catalog {
            effective_at,
            standard: deck(20_000),
            standard_increments: (6, 6),
            plans: vec![plan("starter", starter_rate, false), plan("team", 9_000, true)],
            numbers: vec![],
        }
    }

    fn call(start: &str, seconds: i64) -> CompletedCall {
        CompletedCall {
            account_sid: "AC1".into(),
            call_sid: "CA1".into(),
            parent_call_sid: None,
            from: Some("+442071234567".into()),
            to: Some("+15005550006".into()),
            direction: Some("outbound-api".into()),
            seconds,
            start: instant(start),
        }
    }

    fn account() -> Account {
        let change = |at, plan| PlanChange { starts_at: instant(at), plan };
        Account {
            id: "a".into(),
            sid: "AC1".into(),
            opening_balance: 0,
            credit_limit: 0,
            changes: vec![
                change("2026-01-31T12:00:00Z", Some("starter")),
                change("2026-04-10T00:00:00Z", Some("team")),
            ],
            adjustments: vec![],
        }
    }

    #[test]
    fn the_model_bills_an_initial_time_and_whole_increments() {
        let cases = [
            ((60, 60), [(0, 60), (1, 60), (60, 60), (61, 120), (120, 120)]),
            ((30, 6), [(0, 30), (30, 30), (31, 36), (36, 36), (37, 42)]),
            ((1, 1), [(0, 1), (1, 1), (2, 2), (59, 59), (86_400, 86_400)]),
            ((60, 1), [(0, 60), (59, 60), (60, 60), (61, 61), (119, 119)]),
            ((6, 6), [(0, 6), (6, 6), (7, 12), (12, 12), (13, 18)]),
        ];
        for (increments, lengths) in cases {
            for (seconds, expected) in lengths {
                assert_eq!(billed(seconds, increments), expected, "{increments:?} of {seconds}");
            }
        }
    }

    #[test]
    fn the_model_splits_thirty_six_seconds_with_twenty_left() {
        let rated = Rated { billed_seconds: 36, rate: 14_000, cycle: None };
        let split = split(&rated, 20);
        assert_eq!((split.allowance_seconds, split.wallet_seconds, split.amount), (20, 16, 3_733));
    }

    #[test]
    fn the_model_rates_by_the_start_of_the_call() {
        let changed = instant("2026-03-10T00:00:00Z");
        let versions = [version(None, 14_000, 100), version(Some(changed), 15_000, 90)];
        let rated = |start, seconds| rate(&versions, &account(), &call(start, seconds));
        let in_cycle = |plan, start, included_seconds| {
            Some(Cycle { plan, start: instant(start), included_seconds })
        };
        let before = rated("2026-01-31T11:59:59Z", 7);
        assert_eq!((before.billed_seconds, before.rate, before.cycle), (12, 20_000, None));
        let cases = [
            ("2026-01-31T12:00:00Z", 14_000, ("starter", "2026-01-31T12:00:00Z", 6_000)),
            ("2026-02-28T11:59:59Z", 14_000, ("starter", "2026-01-31T12:00:00Z", 6_000)),
            ("2026-03-09T23:59:59Z", 14_000, ("starter", "2026-02-28T12:00:00Z", 6_000)),
            ("2026-03-10T00:00:00Z", 15_000, ("starter", "2026-02-28T12:00:00Z", 6_000)),
            ("2026-04-09T23:59:59Z", 15_000, ("starter", "2026-03-31T12:00:00Z", 5_400)),
            ("2026-04-10T00:00:00Z", 9_000, ("team", "2026-04-10T00:00:00Z", 5_400)),
            ("2026-05-10T00:00:00Z", 9_000, ("team", "2026-05-10T00:00:00Z", 5_400)),
        ];
        for (start, rate, (plan, cycle_start, included)) in cases {
            let rated = rated(start, 61);
            assert_eq!((rated.billed_seconds, rated.rate), (120, rate), "{start}");
            assert_eq!(rated.cycle, in_cycle(plan, cycle_start, included), "{start}");
        }
    }

    #[test]
    fn the_model_prices_the_rated_number_and_frees_child_legs_of_parent_only_plans() {
        let versions = [version(None, 14_000, 100)];
        let mut inbound = call("2026-02-10T00:00:00Z", 61);
        inbound.direction = Some("inbound".into());
        assert_eq!(rate(&versions, &account(), &inbound).rate, 30_000);
        inbound.start = instant("2026-05-10T00:00:00Z") + SECOND;
        inbound.parent_call_sid = Some("CA0".into());
        let leg = rate(&versions, &account(), &inbound);
        assert_eq!(leg.billed_seconds, 0);
        assert_eq!(split(&leg, 100).amount, 0);
    }
}
