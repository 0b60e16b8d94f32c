//! Spending, budgets and alerts, over single rows and over two years of them.

use std::collections::{BTreeMap, BTreeSet};

use callmeter_core::domain::{Money, TransactionKind, TransactionStatus, TransactionType};
use callmeter_core::policy::budget::{
    Budget, BudgetMark, BudgetStop, Spending, forecast, spending_of,
};
use callmeter_core::policy::crosses;
use chrono::{DateTime, Datelike, TimeDelta, Utc};

fn money(text: &str) -> Money {
    Money::parse(text).expect("an amount")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn budget(monthly: &str, percents: &[i16], stop: bool) -> Budget {
    Budget { monthly: money(monthly), warn_at_percent: percents.to_vec(), stop }
}

#[test]
fn completed_debits_are_spending_save_those_that_buy_nothing_and_refunds_give_back() {
    let spent = ["call", "overage", "number_purchase", "number_rental"];
    for kind in TransactionKind::ALL {
        let expected = match kind.as_str() {
            word if spent.contains(&word) => money("2"),
            "refund" => money("-2"),
            _ => Money::ZERO,
        };
        let completed = spending_of(*kind, TransactionStatus::Completed, money("2"));
        assert_eq!(completed, expected, "{kind}");
        for status in [TransactionStatus::Pending, TransactionStatus::Failed] {
            assert_eq!(spending_of(*kind, status, money("2")), Money::ZERO, "{kind}");
        }
    }
}

#[test]
fn a_month_turns_by_time_alone_and_a_row_begins_the_next() {
    let mut spending = Spending::NONE;
    assert_eq!(spending.at(at("2026-11-30T23:00:00Z")), Money::ZERO);
    assert_eq!(spending.enter(at("2026-11-30T23:59:59Z"), money("3")), Money::ZERO);
    assert_eq!(spending.ends_at, at("2026-12-01T00:00:00Z"));
    assert_eq!(spending.at(at("2026-11-30T23:59:59.999999Z")), money("3"));
    assert_eq!(spending.at(at("2026-12-01T00:00:00Z")), Money::ZERO);
    assert_eq!(spending.enter(at("2026-11-30T23:59:59Z"), money("1")), money("3"));
    assert_eq!(spending.enter(at("2026-12-01T00:00:00Z"), money("-2")), Money::ZERO);
    assert_eq!(spending.at(at("2026-12-31T00:00:00Z")), money("-2"));
    assert_eq!(spending.ends_at, at("2027-01-01T00:00:00Z"));
}

#[test]
fn each_mark_is_reached_exactly_at_its_percent() {
    let watched = budget("120.00", &[1, 50, 100, 150], false);
    let marks = |spent| watched.reached(money(spent)).collect::<Vec<_>>();
    let percents = |marks: &[i16]| marks.iter().map(|p| BudgetMark::Percent(*p)).collect();
    assert_eq!(marks("1.199999"), vec![]);
    assert_eq!(marks("1.2"), percents(&[1]));
    assert_eq!(marks("59.999999"), percents(&[1]));
    assert_eq!(marks("60"), percents(&[1, 50]));
    let mut all: Vec<BudgetMark> = percents(&[1, 50, 100]);
    all.push(BudgetMark::Spent);
    assert_eq!(marks("120"), all);
    all.insert(3, BudgetMark::Percent(150));
    assert_eq!(marks("180"), all);
    let crossed = watched.crossed(money("59"), money("120")).collect::<Vec<_>>();
    let expected = [BudgetMark::Percent(50), BudgetMark::Percent(100), BudgetMark::Spent];
    assert_eq!(crossed, expected);
    // A micro-dollar a month, and nothing spent: no mark.
    assert_eq!(budget("0.000001", &[1], false).reached(Money::ZERO).count(), 0);
}

#[test]
fn a_stop_leaves_the_rest_of_the_month_and_all_of_the_next() {
    let mut spending = Spending::NONE;
    spending.enter(at("2026-11-10T00:00:00Z"), money("7"));
    assert_eq!(budget("10", &[], false).stop(spending), None);
    let stop = budget("10", &[], true).stop(spending).expect("it stops");
    let (before, after) = (at("2026-11-30T23:59:59Z"), at("2026-12-01T00:00:00Z"));
    assert_eq!(stop.left_at(before, money("1")), money("2"));
    assert_eq!(stop.left_at(before, money("4")), money("-1"));
    assert_eq!(stop.left_at(after, money("4")), money("6"));
    // Whatever was spent or given back, Redis counts what is left exactly.
    for spent in [i64::MIN, i64::MAX] {
        let spending = Spending { spent: Money::from_micros(spent), ..spending };
        let BudgetStop { left, .. } = budget("10", &[], true).stop(spending).expect("it stops");
        assert!(left.micros().abs() <= Money::EXACT_IN_LUA.micros());
    }
}

#[test]
fn the_forecast_scales_what_was_spent_to_the_length_of_the_month() {
    let table = [
        ("2026-11-01T12:00:00Z", "5", None),
        ("2026-11-01T23:59:59Z", "5", None),
        ("2026-11-02T00:00:00Z", "5", Some("150.000000")),
        ("2026-11-16T00:00:00Z", "30", Some("60.000000")),
        ("2028-02-15T12:00:00Z", "10", Some("20.000000")),
        ("2026-02-15T00:00:00Z", "10", Some("20.000000")),
        ("2026-11-30T23:59:59.999Z", "30", Some("30.000000")),
        ("2026-11-11T00:00:00Z", "-1", Some("-3.000000")),
    ];
    for (now, spent, expected) in table {
        let told = forecast(money(spent), at(now)).map(|told| told.to_string());
        assert_eq!(told.as_deref(), expected, "{now}");
    }
    assert_eq!(forecast(Money::from_micros(i64::MAX), at("2026-11-02T00:00:00Z")), None);
}

/// A small generator of pseudo-random numbers (Knuth's), so that a failure repeats.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        i64::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// What the ledger does with each row, and beside it the rules told another way.
struct Account {
    balance: Money,
    levels: Vec<Money>,
    budget: Budget,
    spending: Spending,
    /// As the ledger keeps it: what was told of which month.
    told: BTreeSet<(String, BudgetMark)>,
    events: Vec<String>,
    /// Levels at or above which the balance was since the last crossing.
    armed: BTreeSet<i64>,
    sums: BTreeMap<String, i64>,
    told_plainly: BTreeSet<(String, i16)>,
    expected: Vec<String>,
}

fn month(now: DateTime<Utc>) -> String {
    format!("{:04}-{:02}", now.year(), now.month())
}

impl Account {
    fn tell(&mut self, now: DateTime<Utc>, mark: BudgetMark) {
        if self.told.insert((month(now), mark)) {
            self.events.push(format!("{} {mark:?}", month(now)));
        }
    }

    fn tell_plainly(&mut self, now: DateTime<Utc>) {
        let spent = self.sums.get(&month(now)).copied().unwrap_or_default();
        let mut percents: Vec<(i16, BudgetMark)> = Vec::new();
        for percent in &self.budget.warn_at_percent {
            percents.push((*percent, BudgetMark::Percent(*percent)));
        }
        percents.push((0, BudgetMark::Spent));
        for (percent, mark) in percents {
            let share = if percent == 0 { 100 } else { i64::from(percent) };
            let is_true = spent * 100 >= self.budget.monthly.micros() * share;
            if is_true && self.told_plainly.insert((month(now), percent)) {
                self.expected.push(format!("{} {mark:?}", month(now)));
            }
        }
    }

    fn row(&mut self, now: DateTime<Utc>, kind: TransactionKind, amount: Money) {
        let signed = match kind.transaction_type() {
            TransactionType::Credit => amount.micros(),
            TransactionType::Debit => -amount.micros(),
        };
        let (before, after) = (self.balance, Money::from_micros(self.balance.micros() + signed));
        self.balance = after;
        for level in self.levels.clone() {
            if crosses(before, after, level) {
                self.events.push(format!("{now} below {level}"));
            }
            // The same by a state: armed at or above, told once below.
            if after >= level {
                self.armed.insert(level.micros());
            } else if self.armed.remove(&level.micros()) {
                self.expected.push(format!("{now} below {level}"));
            }
        }
        let spends = spending_of(kind, TransactionStatus::Completed, amount);
        let spent_before = self.spending.enter(now, spends);
        let marks: Vec<_> = self.budget.crossed(spent_before, self.spending.spent).collect();
        for mark in marks {
            self.tell(now, mark);
        }
        *self.sums.entry(month(now)).or_default() += spends.micros();
        self.tell_plainly(now);
    }

    /// Sets another budget; what it makes true is told at once.
    fn set(&mut self, now: DateTime<Utc>, budget: Budget) {
        self.budget = budget;
        let marks: Vec<_> = self.budget.reached(self.spending.at(now)).collect();
        for mark in marks {
            self.tell(now, mark);
        }
        self.tell_plainly(now);
    }
}

#[test]
fn two_years_of_rows_tell_each_crossing_once_and_each_percent_once_a_month() {
    use TransactionKind as Kind;
    let kinds = [
        Kind::Call,
        Kind::Call,
        Kind::Overage,
        Kind::NumberRental,
        Kind::Refund,
        Kind::AdjustmentDebit,
        Kind::AdjustmentCredit,
        Kind::Chargeback,
    ];
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let mut account = Account {
            balance: Money::ZERO,
            levels: ["50", "20", "5", "0"].map(money).to_vec(),
            budget: budget("100", &[50, 80, 100], false),
            spending: Spending::NONE,
            told: BTreeSet::new(),
            events: Vec::new(),
            armed: BTreeSet::from([0]),
            sums: BTreeMap::new(),
            told_plainly: BTreeSet::new(),
            expected: Vec::new(),
        };
        // Two years with a leap day, some hours from row to row, months without a row among them.
        let mut now = at("2027-06-15T10:00:00Z");
        while now < at("2029-06-15T10:00:00Z") {
            let hours = if numbers.below(200) == 0 { 1_000 } else { 1 + numbers.below(20) };
            now += TimeDelta::hours(hours) + TimeDelta::seconds(numbers.below(3_600));
            if numbers.below(40) == 0 {
                let monthly = Money::from_micros(1 + numbers.below(300_000_000));
                let percents: &[i16] = [&[50_i16, 80][..], &[10, 90, 250], &[]]
                    [usize::try_from(seed % 3).expect("small")];
                let set = Budget { monthly, warn_at_percent: percents.to_vec(), stop: false };
                account.set(now, set);
            }
            let kind = if account.balance < money("-20") {
                Kind::RefillAuto
            } else {
                kinds[usize::try_from(numbers.below(8)).expect("small")]
            };
            let amount = match kind {
                Kind::RefillAuto => 80_000_000,
                _ => 1 + numbers.below(6_000_000),
            };
            account.row(now, kind, Money::from_micros(amount));
        }
        account.events.sort_unstable();
        account.expected.sort_unstable();
        assert!(account.events.len() > 50, "{}", account.events.len());
        assert_eq!(account.events, account.expected, "seed {seed}");
    }
}
