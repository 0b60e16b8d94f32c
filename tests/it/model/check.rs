//! Compares the accounts that the service reports with the records and rules.

use super::account::Account;
use super::catalog::{Catalog, in_force};
use super::evidence::{Charge, Transaction};
use super::money::{Micros, show};
use super::rate::{Rated, Split, rate, split};
use super::read::{CompletedCall, Reading, Record, RentalDue, read};
use super::time::{At, date_of, rfc3339};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;

/// Everything the service reports about one account.
pub(crate) struct Reported {
    pub(crate) charges: Vec<Charge>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) wallet: Wallet,
}

/// The figures of `GET /v1/accounts/{id}/wallet`.
#[derive(Debug)]
pub(crate) struct Wallet {
    pub(crate) balance: Micros,
    pub(crate) as_of: At,
    /// Plan, cycle start, included, used and remaining seconds.
    pub(crate) allowance: Option<(String, At, i64, i64, i64)>,
}

/// One completed event of a call, and its place.
#[derive(Clone, Debug)]
struct Candidate {
    partition: i32,
    offset: i64,
    call: CompletedCall,
}

/// A number and the first day of a period.
type Period = (String, (i64, i64, i64));

/// The ledger of one account that the records require.
#[derive(Default)]
struct Demand {
    /// By the call's sid, in order of partition and offset.
    calls: BTreeMap<String, Vec<Candidate>>,
    /// By number and period: the attempts of each partition, in order.
    rentals: BTreeMap<Period, Vec<(i32, RentalDue)>>,
}

/// The expected ledger of a set of records.
pub(crate) struct Model<'a> {
    versions: &'a [Catalog],
    accounts: &'a [Account],
    demands: HashMap<String, Demand>,
}

impl<'a> Model<'a> {
    /// Reads all records; records of accounts not in `accounts` require nothing.
    pub(crate) fn new(
        versions: &'a [Catalog],
        accounts: &'a [Account],
        records: &[Record],
    ) -> Self {
        let mut demands: HashMap<String, Demand> = HashMap::new();
        let mut ordered: Vec<&Record> = records.iter().collect();
        ordered.sort_by_key(|record| (record.topic, record.partition, record.offset));
        for record in ordered {
            let Record { topic: _, partition, offset, .. } = *record;
            match read(record) {
                Reading::Completed(call) => {
                    let demand = demands.entry(call.account_sid.clone()).or_default();
                    let candidates = demand.calls.entry(call.call_sid.clone()).or_default();
                    candidates.push(Candidate { partition, offset, call });
                }
                Reading::Rental(due) if monthly_price(versions, &due).is_some() => {
                    let demand = demands.entry(due.account_sid.clone()).or_default();
                    let key = (due.phone_number_sid.clone(), due.period_start);
                    demand.rentals.entry(key).or_default().push((partition, due));
                }
                _ => {}
            }
        }
        Model { versions, accounts, demands }
    }

    /// Number of charged calls and of attempted rentals.
    pub(crate) fn size(&self) -> (usize, usize) {
        let known = self.accounts.iter().filter_map(|account| self.demands.get(&account.sid));
        known.fold((0, 0), |(calls, rentals), demand| {
            (calls + demand.calls.len(), rentals + demand.rentals.len())
        })
    }

    /// Every difference between the rules and the report, in words; empty if there is none.
    pub(crate) fn differences(&self, account: &Account, reported: &Reported) -> Vec<String> {
        let nothing = Demand::default();
        let mut check = Check {
            versions: self.versions,
            account,
            demand: self.demands.get(&account.sid).unwrap_or(&nothing),
            reported,
            differences: Vec::new(),
            used: HashMap::new(),
        };
        check.charges();
        check.order();
        check.transactions();
        check.rentals();
        check.wallet();
        check.differences
    }
}

/// The monthly price of a rental: its own, else the catalog's (the same in all versions here).
pub(crate) fn monthly_price(versions: &[Catalog], due: &RentalDue) -> Option<Micros> {
    let listed = || {
        let numbers = &versions[0].numbers;
        let same =
            |n: &&super::catalog::NumberPrice| n.country == due.country && n.kind == due.kind;
        numbers.iter().find(same).map(|number| number.monthly)
    };
    due.price.or_else(listed)
}

struct Check<'a> {
    versions: &'a [Catalog],
    account: &'a Account,
    demand: &'a Demand,
    reported: &'a Reported,
    differences: Vec<String>,
    /// Seconds used of each cycle, by its anchor and start.
    used: HashMap<At, i64>,
}

impl Check<'_> {
    fn expect<T: PartialEq + Debug>(&mut self, what: &str, reported: &T, expected: &T) {
        if reported != expected {
            let id = &self.account.id;
            self.differences.push(format!("{id}: {what} is {reported:?}, must be {expected:?}"));
        }
    }

    fn say(&mut self, what: impl std::fmt::Display) {
        self.differences.push(format!("{}: {what}", self.account.id));
    }

    /// Each call once, by one of its events, with every figure recomputed in order.
    fn charges(&mut self) {
        let mut charges: Vec<&Charge> = self.reported.charges.iter().collect();
        charges.sort_by_key(|charge| charge.number);
        let sequences: Vec<i64> = charges.iter().map(|charge| charge.number).collect();
        let count = i64::try_from(charges.len()).expect("a count");
        if sequences != (1..=count).collect::<Vec<_>>() {
            self.say(format!("charge sequences have a gap or repeat: {sequences:?}"));
        }
        let reported: BTreeSet<&String> = charges.iter().map(|charge| &charge.call_sid).collect();
        if reported.len() != charges.len() {
            self.say(format!("{} calls in {} charges", reported.len(), charges.len()));
        }
        for sid in self.demand.calls.keys().filter(|sid| !reported.contains(sid)) {
            self.say(format!("call {sid} is not charged: {:?}", self.demand.calls[sid]));
        }
        for charge in charges {
            match self.demand.calls.get(&charge.call_sid) {
                Some(candidates) => self.charge(charge, candidates),
                None => self.say(format!("call {} must not be charged", charge.call_sid)),
            }
        }
    }

    fn charge(&mut self, charge: &Charge, candidates: &[Candidate]) {
        let Some(call) = winners(charge, candidates).first().map(|winner| &winner.call) else {
            self.say(format!("{charge:?} is none of the first events {:?}", heads(candidates)));
            return;
        };
        let rated = rate(self.versions, self.account, call);
        let split = self.pay(&rated);
        let id = &charge.call_sid;
        let expected = (rated.billed_seconds, split.allowance_seconds, split.wallet_seconds);
        let reported = (charge.billed_seconds, charge.allowance_seconds, charge.wallet_seconds);
        self.expect(&format!("{id} billed, allowance, wallet seconds"), &reported, &expected);
        self.expect(&format!("{id} amount"), &show(charge.amount), &show(split.amount));
        self.expect(&format!("{id} rate"), &show(charge.rate), &show(rated.rate));
        let plan = rated.cycle.as_ref().map(|cycle| cycle.plan.to_owned());
        self.expect(&format!("{id} plan"), &charge.plan, &plan);
        let start = rated.cycle.as_ref().map(|cycle| rfc3339(cycle.start));
        self.expect(&format!("{id} cycle start"), &charge.cycle_start.map(rfc3339), &start);
    }

    fn pay(&mut self, rated: &Rated) -> Split {
        let Some(cycle) = &rated.cycle else {
            return split(rated, 0);
        };
        let used = self.used.entry(cycle.start).or_default();
        let split = split(rated, (cycle.included_seconds - *used).max(0));
        *used += split.allowance_seconds;
        split
    }

    /// Calls of one partition are charged in the order of their offsets.
    fn order(&mut self) {
        let mut by_partition: BTreeMap<i32, Vec<(i64, i64)>> = BTreeMap::new();
        for charge in &self.reported.charges {
            let candidates = self.demand.calls.get(&charge.call_sid).map_or(&[][..], Vec::as_slice);
            if let [only] = winners(charge, candidates)[..] {
                let place = (charge.number, only.offset);
                by_partition.entry(only.partition).or_default().push(place);
            }
        }
        for (partition, mut places) in by_partition {
            places.sort_unstable();
            if let Some(pair) = places.windows(2).find(|pair| pair[0].1 >= pair[1].1) {
                self.say(format!(
                    "charges of partition {partition} swapped (no., offset): {pair:?}"
                ));
            }
        }
    }

    /// One gapless chain from the opening balance, with one row for each charge that costs
    /// something.
    fn transactions(&mut self) {
        let mut rows: Vec<&Transaction> = self.reported.transactions.iter().collect();
        rows.sort_by_key(|row| row.sequence);
        let (mut balance, mut at) = (0, At::MIN);
        for (sequence, row) in (1..).zip(&rows) {
            let moved = if row.credit { row.amount } else { -row.amount };
            let after = balance + if row.status == "completed" { moved } else { 0 };
            let name = format!("row {} before and after", row.sequence);
            self.expect("a sequence", &row.sequence, &sequence);
            self.expect(&name, &(row.balance_before, row.balance_after), &(balance, after));
            if row.at < at || row.amount <= 0 {
                self.say(format!("time falls, or no positive amount: {row:?}"));
            }
            (balance, at) = (after, row.at);
        }
        let opening = rows.first().is_some_and(|row| {
            row.kind == "adjustment_credit" && row.amount == self.account.opening_balance
        });
        self.expect("opening balance in row 1", &opening, &(self.account.opening_balance > 0));
        let mut adjusted: Vec<Micros> = signed(&rows, "adjustment_credit");
        adjusted.extend(signed(&rows, "adjustment_debit"));
        let mut expected = self.account.adjustments.clone();
        expected.extend((self.account.opening_balance > 0).then_some(self.account.opening_balance));
        adjusted.sort_unstable();
        expected.sort_unstable();
        self.expect("adjustments", &adjusted, &expected);
        self.call_rows(&rows);
    }

    fn call_rows(&mut self, rows: &[&Transaction]) {
        let mut charges: Vec<&Charge> = self.reported.charges.iter().collect();
        charges.sort_by_key(|charge| charge.number);
        let expected: Vec<_> = charges
            .iter()
            .filter(|charge| charge.amount != 0)
            .map(|charge| {
                let kind = if charge.plan.is_some() { "overage" } else { "call" };
                let id = charge.transaction_id.clone().unwrap_or_default();
                (id, kind.to_owned(), Some(charge.call_sid.clone()), charge.amount)
            })
            .collect();
        let of_calls = |row: &&&Transaction| row.kind == "call" || row.kind == "overage";
        let found: Vec<_> = rows
            .iter()
            .filter(of_calls)
            .filter(|row| row.status == "completed" && !row.credit)
            .map(|row| (row.id.clone(), row.kind.clone(), row.call_sid.clone(), row.amount))
            .collect();
        if found != expected {
            let first = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            let (found, expected) = (found.len(), expected.len());
            self.say(format!("{found} rows of calls for {expected} charges; first: {first:?}"));
        }
        self.expect("failed rows of calls", &rows.iter().filter(of_calls).count(), &found.len());
        let free = |charge: &&&Charge| charge.amount == 0 && charge.transaction_id.is_some();
        if let Some(charge) = charges.iter().find(free) {
            self.say(format!("a charge of nothing has a transaction: {charge:?}"));
        }
    }

    /// Each number and period once: paid if the balance and the limit covered it, else failed.
    fn rentals(&mut self) {
        let mut rows: Vec<&Transaction> = self.reported.transactions.iter().collect();
        rows.retain(|row| row.kind == "number_rental");
        for row in &rows {
            let covered = row.balance_before + self.account.credit_limit >= row.amount;
            let status = if covered { "completed" } else { "failed" };
            self.expect(&format!("rental row {}", row.sequence), &&*row.status, &status);
        }
        for (key, attempts) in &self.demand.rentals {
            let mut first: BTreeMap<i32, (bool, Micros)> = BTreeMap::new();
            for (partition, due) in attempts {
                let price = monthly_price(self.versions, due).expect("kept only with a price");
                first.entry(*partition).or_insert((due.price.is_none(), price));
            }
            // An event's own price belongs to this rental alone; the catalog's price is shared by
            // many.
            let prices: BTreeSet<(bool, Micros)> = first.into_values().collect();
            let place = |price: Micros| rows.iter().position(|row| row.amount == price);
            match prices.iter().find_map(|(_, price)| place(*price)) {
                Some(index) => drop(rows.swap_remove(index)),
                None => self.say(format!("rental {key:?} has no row of {prices:?}")),
            }
        }
        if !rows.is_empty() {
            self.say(format!("rows of no rental: {rows:?}"));
        }
    }

    fn wallet(&mut self) {
        let last = self.reported.transactions.iter().max_by_key(|row| row.sequence);
        let balance = last.map_or(0, |row| row.balance_after);
        self.expect("balance", &show(self.reported.wallet.balance), &show(balance));
        let now = self.reported.wallet.as_of;
        let expected = self.account.subscription(now).map(|subscription| {
            let start = super::cycle::start(subscription.anchor, now);
            let plan = subscription.plan;
            let included = in_force(self.versions, start).plan(plan).included_minutes * 60;
            let used = self.used.get(&start).copied().unwrap_or(0);
            (plan.to_owned(), start, included, used, (included - used).max(0))
        });
        let reported = self.reported.wallet.allowance.clone();
        let today = date_of(now);
        self.expect(&format!("allowance on {today:?}"), &reported, &expected);
    }
}

fn signed(rows: &[&Transaction], kind: &str) -> Vec<Micros> {
    let of_kind = rows.iter().filter(|row| row.kind == kind && row.status == "completed");
    of_kind.map(|row| if row.credit { row.amount } else { -row.amount }).collect()
}

/// The first event of the call in each partition; one of them was charged.
fn heads(candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut heads: BTreeMap<i32, &Candidate> = BTreeMap::new();
    for candidate in candidates {
        heads.entry(candidate.partition).or_insert(candidate);
    }
    heads.into_values().collect()
}

/// The first events that match exactly what was charged.
fn winners<'a>(charge: &Charge, candidates: &'a [Candidate]) -> Vec<&'a Candidate> {
    let mut heads = heads(candidates);
    heads.retain(|head| {
        let call = &head.call;
        (call.seconds, call.start) == (charge.seconds, charge.started_at)
            && call.parent_call_sid == charge.parent_call_sid
            && call.from == charge.from
            && call.to == charge.to
            && call.direction == charge.direction
    });
    heads
}
