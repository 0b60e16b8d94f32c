//! The grant is the inverse of the price.

use callmeter_core::domain::{Catalog, Increments, Money, RatePerMinute};
use callmeter_core::rating::{GrantOutcome, GrantTerms, Pool, grant_seconds};
use proptest::prelude::*;

use crate::rating_properties::{increments, plan, price, rates, terms};

const CAP: u32 = 14_400;

/// Any request; its money is often within a micro-dollar of the price of some length.
#[derive(Clone, Copy, Debug)]
struct Question {
    pool: Pool,
    terms: GrantTerms,
    asked: u32,
    cap: u32,
}

fn questions() -> impl Strategy<Value = Question> {
    let allowances = prop_oneof![Just(0), 0..=200_u64, 0..=10_000_u64, Just(u64::MAX)];
    let money = prop_oneof![
        (0..=9000_u32, -1..=1_i64).prop_map(Err),
        (-2_000_000..=200_000_000_i64).prop_map(Ok),
    ];
    // Often none; else near the price of some length, or any amount.
    let budget = prop_oneof![
        2 => Just(None),
        1 => (0..=9000_u32, -1..=1_i64).prop_map(|near| Some(Err(near))),
        1 => (-2_000_000..=200_000_000_i64).prop_map(|micros| Some(Ok(micros))),
    ];
    (rates(), increments(), allowances, (money, budget), 0..=9000_u32, 0..=9000_u32).prop_map(
        |(rate, increments, allowance_seconds, (money, budget), asked, cap)| {
            let near = |(seconds, off): (u32, i64)| {
                let billed = u64::from(increments.billed_seconds(seconds));
                let unpaid = u32::try_from(billed.saturating_sub(allowance_seconds));
                let price = rate.price(unpaid.expect("short")).expect("in range");
                price.micros() + off
            };
            let micros = |given: Result<i64, _>| Money::from_micros(given.unwrap_or_else(near));
            let (money, budget) = (micros(money), budget.map(micros));
            let pool = Pool { allowance_seconds, money, budget };
            Question { pool, terms: GrantTerms { rate, increments }, asked, cap }
        },
    )
}

/// The money that pays: what there is, as far as the budget allows.
fn payable(pool: Pool) -> Money {
    pool.budget.map_or(pool.money, |left| left.min(pool.money)).max(Money::ZERO)
}

/// True if the budget is spent.
fn is_over_budget(pool: Pool) -> bool {
    pool.budget.is_some_and(|left| left <= Money::ZERO)
}

/// The price of a call of these seconds, by the rating function.
fn price_by_rating(question: Question, seconds: u32) -> Money {
    let plan = plan(question.terms.rate, question.terms.increments);
    price(&terms(&plan, question.pool.allowance_seconds), 0, seconds).amount
}

/// A call with asked seconds, a length, and its place among the ends of the others.
fn calls() -> impl Strategy<Value = (u32, u32, prop::sample::Index)> {
    (0..=3600_u32, 0..=3600_u32, any::<prop::sample::Index>())
}

/// The rule literally: tries every billing length that the cap can use.
fn longest_by_search(question: Question) -> Option<u32> {
    if is_over_budget(question.pool) {
        return None;
    }
    let payable = payable(question.pool);
    let (initial, increment) =
        (question.terms.increments.initial(), question.terms.increments.increment());
    let mut longest = None;
    let mut length = initial;
    while price_by_rating(question, length) <= payable {
        longest = Some(length);
        if length >= question.cap {
            break;
        }
        length += increment;
    }
    longest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_grant_is_the_longest_billing_length_whose_price_is_at_most_the_money(
        question in questions(),
    ) {
        let Question { pool, terms, asked, cap } = question;
        let payable = payable(pool);
        let initial = price_by_rating(question, terms.increments.initial());
        match grant_seconds(pool, terms, asked, cap) {
            GrantOutcome::Granted(grant) => {
                prop_assert!(!is_over_budget(pool));
                let price = price_by_rating(question, grant.granted_seconds);
                prop_assert_eq!(grant.hold, price);
                prop_assert!(price <= payable, "holds more than there is");
                prop_assert!(grant.granted_seconds <= asked.min(cap));
                prop_assert_eq!(
                    grant.billed_seconds,
                    terms.increments.billed_seconds(grant.granted_seconds)
                );
                prop_assert_eq!(
                    grant.allowance_seconds + grant.wallet_seconds,
                    grant.billed_seconds
                );
                if grant.granted_seconds < asked.min(cap) {
                    let next = grant.billed_seconds + terms.increments.increment();
                    prop_assert!(payable < price_by_rating(question, next), "could be longer");
                }
            }
            GrantOutcome::Refused { shortfall } => {
                prop_assert!(!is_over_budget(pool));
                prop_assert!(payable < initial, "the initial length can be paid");
                prop_assert_eq!(pool.money.checked_add(shortfall), Some(initial));
            }
            GrantOutcome::OverBudget => {
                let is_cut = payable < initial && pool.money.max(Money::ZERO) >= initial;
                prop_assert!(is_over_budget(pool) || is_cut);
            }
        }
    }

    #[test]
    fn the_formula_finds_what_a_search_finds(question in questions()) {
        let Question { pool, terms, asked, cap } = question;
        let outcome = grant_seconds(pool, terms, asked, cap);
        let searched = longest_by_search(question).map(|longest| {
            (longest.min(asked).min(cap), asked >= longest.min(cap))
        });
        let found = match outcome {
            GrantOutcome::Granted(grant) => Some((grant.granted_seconds, grant.is_final)),
            GrantOutcome::Refused { .. } | GrantOutcome::OverBudget => None,
        };
        prop_assert_eq!(found, searched);
    }

    #[test]
    fn the_shortfall_is_the_least_that_lets_the_call_through(question in questions()) {
        let Question { pool, terms, asked, cap } = question;
        if let GrantOutcome::Refused { shortfall } = grant_seconds(pool, terms, asked, cap) {
            prop_assert!(shortfall.is_positive());
            let with = |more: i64| {
                let money = Money::from_micros(pool.money.micros() + more);
                grant_seconds(Pool { money, ..pool }, terms, asked, cap)
            };
            // With the money there, only the budget may still refuse.
            let lacks_money = |outcome| matches!(outcome, GrantOutcome::Refused { .. });
            prop_assert!(!lacks_money(with(shortfall.micros())));
            prop_assert!(lacks_money(with(shortfall.micros() - 1)));
        }
    }

    #[test]
    fn asking_for_more_after_a_final_grant_gives_no_more(
        question in questions(),
        more in 0..=9000_u32,
    ) {
        let Question { pool, terms, asked, cap } = question;
        if let GrantOutcome::Granted(grant) = grant_seconds(pool, terms, asked, cap) {
            let again = match grant_seconds(pool, terms, asked + more, cap) {
                GrantOutcome::Granted(again) => again.granted_seconds,
                GrantOutcome::Refused { .. } | GrantOutcome::OverBudget => 0,
            };
            prop_assert!(again >= grant.granted_seconds);
            prop_assert!(!grant.is_final || again == grant.granted_seconds);
            prop_assert!(grant.is_final || grant.granted_seconds == asked);
        }
    }

    #[test]
    fn calls_that_stay_within_their_grants_never_overspend_the_pool_together(
        rate in rates(),
        allowance_minutes in 0..=30_u64,
        money in 0..=2_000_000_i64,
        budget in prop::option::of(0..=2_000_000_i64),
        calls in prop::collection::vec(calls(), 1..20),
    ) {
        let terms_asked = GrantTerms { rate, increments: Increments::PER_MINUTE };
        let mut pool = Pool {
            allowance_seconds: allowance_minutes * 60,
            money: Money::from_micros(money),
            budget: budget.map(Money::from_micros),
        };
        let mut lasted = Vec::new();
        for (asked, seconds, place) in calls {
            if let GrantOutcome::Granted(grant) = grant_seconds(pool, terms_asked, asked, CAP) {
                pool.allowance_seconds -= u64::from(grant.allowance_seconds);
                pool.money = pool.money.checked_sub(grant.hold).expect("in range");
                pool.budget = pool.budget.and_then(|left| left.checked_sub(grant.hold));
                let seconds = seconds.min(grant.granted_seconds);
                lasted.insert(place.index(lasted.len() + 1), seconds);
            }
        }
        // They end in any order; the ledger has no data about the holds.
        let plan = plan(rate, Increments::PER_MINUTE);
        let terms = terms(&plan, allowance_minutes * 60);
        let (mut used, mut spent) = (0, 0);
        for seconds in lasted {
            let price = price(&terms, used, seconds);
            used += u64::from(price.allowance_seconds);
            spent += price.amount.micros();
        }
        let most = money.min(budget.unwrap_or(money));
        prop_assert!(spent <= most, "spent {spent} of {most}");
    }
}

/// A number as a Lua script has it: whole, and below 2^53.
fn lua(number: i64) -> i64 {
    assert!(number.abs() <= Money::EXACT_IN_LUA.micros(), "{number} is beyond what Lua counts");
    number
}

/// The formula of the module's documentation, step by step, only with numbers that Lua counts
/// exactly. Returns (granted, billed, allowance, wallet, hold, final) or the shortfall, which is
/// `None` if the budget refuses.
fn formula(question: Question) -> Result<[i64; 7], Option<i64>> {
    let [initial, increment] = [
        i64::from(question.terms.increments.initial()),
        i64::from(question.terms.increments.increment()),
    ];
    let (rate, money) = (question.terms.rate.micros(), question.pool.money.micros());
    let (asked, cap) = (i64::from(question.asked), i64::from(question.cap));
    let allowance_given = i64::try_from(question.pool.allowance_seconds).unwrap_or(i64::MAX);
    let price = |seconds: i64| lua(lua(rate * seconds) + 30) / 60;
    let up = |seconds: i64| {
        initial + ((seconds - initial).max(0) + increment - 1) / increment * increment
    };

    let budget = question.pool.budget.map(|left| lua(left.micros()));
    if budget.is_some_and(|left| left <= 0) {
        return Err(None);
    }
    let longest = up(cap);
    let allowance = allowance_given.min(longest);
    let purse = lua(money).min(budget.unwrap_or(money));
    let usable = purse.max(0).min(price(longest - allowance));
    let paid = if rate == 0 { longest } else { lua(lua(60 * usable) + 29) / rate };
    let payable = lua(allowance + paid);
    if payable < initial {
        let missing = lua(price(initial - allowance) - money);
        return Err((missing > 0).then_some(missing));
    }
    let length = initial + (payable - initial) / increment * increment;
    let granted = length.min(asked).min(cap);
    let billed = up(granted);
    let from_allowance = billed.min(allowance);
    let wallet = billed - from_allowance;
    let attainable = length.min(cap);
    let is_final = i64::from(granted >= attainable);
    Ok([granted, attainable, billed, from_allowance, wallet, price(wallet), is_final])
}

fn flattened(outcome: GrantOutcome) -> Result<[i64; 7], Option<i64>> {
    match outcome {
        GrantOutcome::Granted(grant) => Ok([
            grant.granted_seconds.into(),
            grant.attainable_seconds.into(),
            grant.billed_seconds.into(),
            grant.allowance_seconds.into(),
            grant.wallet_seconds.into(),
            grant.hold.micros(),
            grant.is_final.into(),
        ]),
        GrantOutcome::Refused { shortfall } => Err(Some(shortfall.micros())),
        GrantOutcome::OverBudget => Err(None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_documented_formula_is_the_function(question in questions()) {
        let Question { pool, terms, asked, cap } = question;
        prop_assert_eq!(formula(question), flattened(grant_seconds(pool, terms, asked, cap)));
    }
}

#[test]
fn the_documented_formula_counts_exactly_in_lua_at_every_limit() {
    let most = Money::EXACT_IN_LUA.micros();
    for money in [-most / 2, 0, 1, most / 2, most] {
        for rate in [0, 1, Catalog::RATE_MAX.micros()] {
            for (initial, increment) in [(1, 1), (3600, 3600), (3600, 1), (1, 3600)] {
                for (asked, cap) in [(86_400, 86_400), (1, 86_400), (86_400, 1)] {
                    for allowance_seconds in [0, 59, 1_000_000] {
                        let terms = GrantTerms {
                            rate: RatePerMinute::from_micros(rate).expect("a rate"),
                            increments: Increments::new(initial, increment).expect("in range"),
                        };
                        for budget in [None, Some(-most), Some(1), Some(most)] {
                            let (money, budget) =
                                (Money::from_micros(money), budget.map(Money::from_micros));
                            let pool = Pool { allowance_seconds, money, budget };
                            let question = Question { pool, terms, asked, cap };
                            let outcome = grant_seconds(pool, terms, asked, cap);
                            assert_eq!(formula(question), flattened(outcome), "{question:?}");
                        }
                    }
                }
            }
        }
    }
}
