//! How long a call is granted, case by case.

use callmeter_core::domain::{Increments, Money, RatePerMinute};
use callmeter_core::rating::{
    Grant, GrantOutcome, GrantTerms, Pool, grant_allowance_seconds, grant_seconds,
};

const CAP: u32 = 14_400;

fn terms_of(rate: &str, increments: &str) -> GrantTerms {
    GrantTerms {
        rate: RatePerMinute::parse(rate).expect("a rate"),
        increments: Increments::parse(increments).expect("increments"),
    }
}

fn written(outcome: GrantOutcome) -> String {
    match outcome {
        GrantOutcome::Granted(grant) => {
            let more = if grant.is_final { "final" } else { "more" };
            let Grant { granted_seconds, allowance_seconds, wallet_seconds, hold, .. } = grant;
            format!(
                "{granted_seconds} holds {allowance_seconds} + {wallet_seconds} = {hold} {more}"
            )
        }
        GrantOutcome::Refused { shortfall } => format!("lacks {shortfall}"),
        GrantOutcome::OverBudget => "over budget".to_owned(),
    }
}

/// Rows `allowance money asked -> answer`; money `m|b` has `b` left of a budget.
#[track_caller]
fn check(rate: &str, increments: &str, cap: u32, table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (question, answer) = row.split_once("->").expect("a question and an answer");
        let words: Vec<&str> = question.split_whitespace().collect();
        let [allowance, money, asked] = words[..] else { panic!("{question}: three words") };
        let (money, budget) = money.split_once('|').map_or((money, None), |(m, b)| (m, Some(b)));
        let dollars = |text: &str| Money::parse(text).expect("dollars");
        let pool = Pool {
            allowance_seconds: allowance.parse().expect("seconds"),
            money: dollars(money),
            budget: budget.map(dollars),
        };
        let asked = asked.parse().expect("seconds");
        let actual = written(grant_seconds(pool, terms_of(rate, increments), asked, cap));
        assert_eq!(actual, answer.trim(), "{question} at {rate} by {increments}");
    }
}

#[test]
fn whole_minutes_are_granted_as_far_as_allowance_and_money_reach_together() {
    check(
        "0.014",
        "60/60",
        CAP,
        "0   0.014    300 -> 60 holds 0 + 60 = 0.014000 final
         0   0.027999 300 -> 60 holds 0 + 60 = 0.014000 final
         0   0.028    300 -> 120 holds 0 + 120 = 0.028000 final
         0   1.00     300 -> 300 holds 0 + 300 = 0.070000 more
         0   0.07     300 -> 300 holds 0 + 300 = 0.070000 final
         600 0        300 -> 300 holds 300 + 0 = 0.000000 more
         300 0        300 -> 300 holds 300 + 0 = 0.000000 final
         20  0.014    300 -> 60 holds 20 + 40 = 0.009333 final
         20  0.009333 300 -> 60 holds 20 + 40 = 0.009333 final
         90  0.014    300 -> 120 holds 90 + 30 = 0.007000 final",
    );
}

#[test]
fn less_than_the_initial_length_is_refused_with_what_is_missing_for_it() {
    check(
        "0.014",
        "60/60",
        CAP,
        "0  0        300 -> lacks 0.014000
         0  0.013999 300 -> lacks 0.000001
         20 0.009332 300 -> lacks 0.000001
         20 0        300 -> lacks 0.009333
         0  -0.50    300 -> lacks 0.514000
         59 -0.50    300 -> lacks 0.500233",
    );
}

#[test]
fn what_is_asked_cuts_the_grant_and_the_hold_keeps_the_whole_billing_length() {
    check(
        "0.014",
        "60/60",
        CAP,
        "0 1.00  90 -> 90 holds 0 + 120 = 0.028000 more
         0 1.00  30 -> 30 holds 0 + 60 = 0.014000 more
         0 0.014 30 -> 30 holds 0 + 60 = 0.014000 more
         0 0.014 61 -> 60 holds 0 + 60 = 0.014000 final
         0 1.00   0 -> 0 holds 0 + 60 = 0.014000 more",
    );
}

#[test]
fn the_cap_ends_every_grant_even_below_the_initial_length() {
    check(
        "0.014",
        "60/60",
        90,
        "0 1.00   300 -> 90 holds 0 + 120 = 0.028000 final
         0 1.00    90 -> 90 holds 0 + 120 = 0.028000 final
         0 1.00    89 -> 89 holds 0 + 120 = 0.028000 more
         0 0.0279 300 -> 60 holds 0 + 60 = 0.014000 final
         9999999 0 300 -> 90 holds 120 + 0 = 0.000000 final",
    );
    check("0.014", "60/60", 30, "0 1.00 300 -> 30 holds 0 + 60 = 0.014000 final");
}

#[test]
fn a_rate_of_zero_grants_the_cap_without_money() {
    check(
        "0",
        "60/60",
        CAP,
        "0 0     99999 -> 14400 holds 0 + 14400 = 0.000000 final
         0 -5.00   300 -> 300 holds 0 + 300 = 0.000000 more",
    );
}

#[test]
fn an_allowance_is_granted_while_the_money_is_below_zero() {
    check(
        "0.014",
        "60/60",
        CAP,
        "120 -5.00 300 -> 120 holds 120 + 0 = 0.000000 final
         119 -5.00 300 -> 60 holds 60 + 0 = 0.000000 final",
    );
}

#[test]
fn odd_increments_are_granted_in_their_own_lengths() {
    check(
        "0.013",
        "30/6",
        CAP,
        "0 0.0065   300 -> 30 holds 0 + 30 = 0.006500 final
         0 0.007799 300 -> 30 holds 0 + 30 = 0.006500 final
         0 0.0078   300 -> 36 holds 0 + 36 = 0.007800 final
         0 0.006499 300 -> lacks 0.000001",
    );
    // 0.0137 × 16 / 60 is 3653.33 micro-dollars, 17 seconds 3881.67: the half decides.
    check(
        "0.0137",
        "1/1",
        CAP,
        "20 0.003653 300 -> 36 holds 20 + 16 = 0.003653 final
         20 0.003652 300 -> 35 holds 20 + 15 = 0.003425 final
         20 0.003881 300 -> 36 holds 20 + 16 = 0.003653 final
         20 0.003882 300 -> 37 holds 20 + 17 = 0.003882 final",
    );
    check("0.000001", "1/1", CAP, "0 0 300 -> 29 holds 0 + 29 = 0.000000 final");
}

#[test]
fn a_blocking_plan_grants_its_allowance_alone_whatever_the_rate() {
    for rate in ["0.014", "0.000001", "0"] {
        for (allowance, asked, answer) in [
            (600, 300, "300 holds 300 + 0 = 0.000000 more"),
            (119, 300, "60 holds 60 + 0 = 0.000000 final"),
            (120, 90, "90 holds 120 + 0 = 0.000000 more"),
            (59, 300, "lacks 0.000000"),
            (0, 300, "lacks 0.000000"),
        ] {
            let ask = |budget: Option<i64>| {
                let budget = budget.map(Money::from_micros);
                let pool = Pool { allowance_seconds: allowance, money: Money::ZERO, budget };
                grant_allowance_seconds(pool, terms_of(rate, "60/60"), asked, CAP)
            };
            for budget in [None, Some(1)] {
                assert_eq!(written(ask(budget)), answer, "{allowance} s left at {rate}");
            }
            assert_eq!(ask(Some(0)), GrantOutcome::OverBudget);
        }
    }
}

#[test]
fn what_is_left_of_a_budget_cuts_the_grant_and_a_spent_one_refuses_every_call() {
    check(
        "0.014",
        "60/60",
        CAP,
        "0   1|0.05     300 -> 180 holds 0 + 180 = 0.042000 final
         0   1|0.07     300 -> 300 holds 0 + 300 = 0.070000 final
         0   1|9        300 -> 300 holds 0 + 300 = 0.070000 more
         0   0.03|9     300 -> 120 holds 0 + 120 = 0.028000 final
         0   1|0.013999 300 -> over budget
         20  1|0.009333 300 -> 60 holds 20 + 40 = 0.009333 final
         20  1|0.009332 300 -> over budget
         0   1|0        300 -> over budget
         600 1|0        300 -> over budget
         600 1|-0.01    300 -> over budget
         600 0|0.000001 300 -> 300 holds 300 + 0 = 0.000000 more
         0   0.01|0.005 300 -> lacks 0.004000
         0   -1|0       300 -> over budget",
    );
}

#[test]
fn the_extremes_of_every_input_give_an_answer() {
    for allowance_seconds in [0, 1, u64::MAX] {
        for money in [i64::MIN, -1, 0, 1, i64::MAX].map(Money::from_micros) {
            for rate in [0, 1, i64::MAX] {
                for initial in [1, 3600] {
                    let terms = GrantTerms {
                        rate: RatePerMinute::from_micros(rate).expect("a rate"),
                        increments: Increments::new(initial, 3600).expect("increments"),
                    };
                    let pool = Pool { allowance_seconds, money, budget: None };
                    let GrantOutcome::Granted(grant) =
                        grant_seconds(pool, terms, u32::MAX, u32::MAX)
                    else {
                        continue;
                    };
                    assert!(grant.hold <= money.max(Money::ZERO), "{pool:?} {terms:?} {grant:?}");
                }
            }
        }
    }
}

#[test]
fn a_shortfall_beyond_the_range_of_amounts_stays_at_its_end() {
    let rate = RatePerMinute::from_micros(i64::MAX).expect("a rate");
    let terms = GrantTerms { rate, increments: Increments::PER_MINUTE };
    let money = Money::from_micros(i64::MIN);
    let pool = Pool { allowance_seconds: 0, money, budget: None };
    let shortfall = Money::from_micros(i64::MAX);
    assert_eq!(grant_seconds(pool, terms, 300, CAP), GrantOutcome::Refused { shortfall });
}
