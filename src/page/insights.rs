//! `GET /wallet/insights`: where the money went by day, what rounding and overage cost, and what the
//! last cycle would have cost under each plan. The period stands in the address.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{Money, TransactionKind};
use chrono::NaiveDate;

use super::Page;
use super::chart::{Chart, percent};
use super::error::PageError;
use super::form::Query;
use super::money::{exact, grouped};
use super::shell::{Entry, Shell};
use super::time::length;
use super::visit::Look;
use crate::ledger::insights::Days;
use crate::wallet::insights::{CycleDays, CycleOverage, InsightsView, PlanCost, PlansFor};

/// The series of the chart: their names, and the kinds of each.
const SERIES: [(&str, &[TransactionKind]); 3] = [
    ("Calls", &[TransactionKind::Call, TransactionKind::Overage]),
    ("Monthly number fees", &[TransactionKind::NumberRental]),
    ("Number purchases", &[TransactionKind::NumberPurchase]),
];

#[derive(Template)]
#[template(path = "insights.html")]
struct InsightsPage {
    shell: Shell,
    periods: Vec<Period>,
    first: String,
    last: String,
    calls: String,
    spent: String,
    legend: Vec<Series>,
    refunds: Option<String>,
    chart: Chart,
    top: String,
    middle: String,
    /// Days below the chart.
    ticks: Vec<String>,
    rows: Vec<DayRow>,
    rounding: Option<RoundingCard>,
    cycles: Vec<CycleRow>,
    cycles_beyond: usize,
    plans: Option<Plans>,
}

/// A choice of the period.
#[derive(Clone, Debug)]
struct Period {
    value: &'static str,
    text: &'static str,
    is_chosen: bool,
}

/// A series of the chart, with its total.
#[derive(Clone, Debug)]
struct Series {
    number: usize,
    name: &'static str,
    total: String,
}

/// A day of the table. An empty text: nothing.
#[derive(Clone, Debug)]
struct DayRow {
    day: String,
    amounts: Vec<String>,
    refund: String,
    all: String,
}

#[derive(Clone, Debug)]
struct RoundingCard {
    percent: String,
    talked_width: String,
    talked: String,
    added: String,
    average: String,
    cost: String,
}

#[derive(Clone, Debug)]
struct CycleRow {
    name: String,
    width: String,
    minutes: String,
    amount: String,
}

#[derive(Clone, Debug)]
struct Plans {
    title: String,
    /// The cheapest plan, if it saves money.
    saving: Option<String>,
    calls: String,
    of: String,
    paid: String,
    as_of: String,
    rows: Vec<PlanRow>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark beside the plan")]
struct PlanRow {
    name: String,
    is_own: bool,
    is_cheapest: bool,
    included: String,
    fee: String,
    beyond: String,
    overage: String,
    total: String,
    against: String,
    saves: bool,
    refuses_overage: bool,
}

/// `GET /wallet/insights?period=`
pub(super) async fn insights(
    State(page): State<Page>,
    Look(visit): Look,
    Query(query): Query,
) -> Result<Response, PageError> {
    let now = page.clock.now();
    let (shell, _) = page.shell(&visit, Entry::Insights, "Insights").await?;
    let cycles = page.wallets.cycle_days(visit.session.account_key, now).await?;
    let (periods, days) = periods(query.one("period"), cycles, now.date_naive());
    let view = page.wallets.insights(&visit.session.account, days, now).await?;
    let view = view.ok_or(PageError::Internal)?;
    Ok(super::html(&InsightsPage::new(shell, periods, days, &view)).into_response())
}

/// The choices, and the days of the chosen one; what cannot be read is the first.
fn periods(asked: Option<&str>, cycles: CycleDays, today: NaiveDate) -> (Vec<Period>, Days) {
    let back = |count: u64| {
        let first = today.checked_sub_days(chrono::Days::new(count - 1));
        Days::new(first, None, today).ok()
    };
    let choices = [
        ("30", "Last 30 days", back(30)),
        ("cycle", "This cycle", cycles.present),
        ("last-cycle", "Last cycle", cycles.last),
        ("90", "Last 90 days", back(90)),
        ("365", "Last 365 days", back(365)),
    ];
    let there = choices.into_iter().filter_map(|(value, text, days)| Some((value, text, days?)));
    let there: Vec<_> = there.collect();
    let chosen = there.iter().position(|(value, ..)| Some(*value) == asked).unwrap_or(0);
    let days = there.get(chosen).map_or_else(|| Days::full_before(today, 30), |it| it.2);
    let periods = there.into_iter().enumerate().map(|(place, (value, text, _))| Period {
        value,
        text,
        is_chosen: place == chosen,
    });
    (periods.collect(), days)
}

fn sum(amounts: impl IntoIterator<Item = Money>) -> Money {
    amounts.into_iter().fold(Money::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(sum))
}

fn day_text(day: NaiveDate) -> String {
    day.format("%-d %b").to_string()
}

/// Empty for nothing.
fn or_empty(amount: Money) -> String {
    if amount.is_zero() { String::new() } else { exact(amount) }
}

impl InsightsPage {
    fn new(shell: Shell, periods: Vec<Period>, days: Days, view: &InsightsView) -> Self {
        let of = |day: NaiveDate, kinds: &[TransactionKind]| {
            let of_day = view.by_day.iter().filter(|of| of.date == day);
            sum(of_day.filter(|of| kinds.contains(&of.kind)).map(|of| of.amount))
        };
        let (mut bars, mut rows) = (Vec::new(), Vec::new());
        for day in days.iter() {
            let amounts: Vec<Money> = SERIES.iter().map(|(_, kinds)| of(day, kinds)).collect();
            let refund = of(day, &[TransactionKind::Refund]);
            let all = sum(amounts.iter().copied().chain([refund]));
            let is_empty = refund.is_zero() && amounts.iter().all(|amount| amount.is_zero());
            let title = (!is_empty).then(|| format!("{}: {}", day_text(day), exact(all)));
            if !is_empty {
                rows.push(DayRow {
                    day: day_text(day),
                    amounts: amounts.iter().copied().map(or_empty).collect(),
                    refund: or_empty(refund),
                    all: exact(all),
                });
            }
            bars.push((title, amounts));
        }
        let chart = Chart::new(&bars);
        let total = |kinds: &[TransactionKind]| {
            let of_kinds = view.by_day.iter().filter(|of| kinds.contains(&of.kind));
            sum(of_kinds.map(|of| of.amount))
        };
        let legend = (1..).zip(SERIES).map(|(number, (name, kinds))| {
            let total = exact(total(kinds));
            Series { number, name, total }
        });
        let refunds = total(&[TransactionKind::Refund]);
        let last = bars.len().saturating_sub(1);
        let ticks = [0, last / 3, last * 2 / 3, last].map(|place| days.iter().nth(place));
        Self {
            shell,
            periods,
            first: day_text(days.first()),
            last: days.last().format("%-d %b %Y").to_string(),
            calls: grouped(view.calls.unsigned_abs()),
            spent: exact(sum(view.by_day.iter().map(|of| of.amount))),
            legend: legend.collect(),
            refunds: (!refunds.is_zero()).then(|| exact(refunds)),
            top: exact(chart.top),
            middle: exact(chart.middle),
            chart,
            ticks: ticks.into_iter().flatten().map(day_text).collect(),
            rows,
            rounding: rounding(view),
            cycles: cycles(&view.overage_by_cycle),
            cycles_beyond: view.overage_by_cycle.iter().filter(|it| it.minutes > 0).count(),
            plans: plans(view),
        }
    }
}

fn rounding(view: &InsightsView) -> Option<RoundingCard> {
    let rounding = &view.rounding;
    let added = rounding.billed_seconds - rounding.talked_seconds;
    if rounding.billed_seconds == 0 {
        return None;
    }
    Some(RoundingCard {
        percent: percent(added, rounding.billed_seconds),
        talked_width: percent(rounding.talked_seconds, rounding.billed_seconds),
        talked: time(rounding.talked_seconds),
        added: time(added),
        average: length(view.average_seconds.unwrap_or_default()),
        cost: exact(rounding.cost),
    })
}

/// A length with the minutes' thousands apart.
fn time(seconds: i64) -> String {
    match (grouped((seconds / 60).unsigned_abs()), seconds % 60) {
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds:02} s"),
    }
}

fn cycles(found: &[CycleOverage]) -> Vec<CycleRow> {
    let most = found.iter().map(|cycle| cycle.minutes).max().unwrap_or_default();
    let row = |cycle: &CycleOverage| CycleRow {
        name: format!(
            "{} – {}",
            day_text(cycle.cycle_start.date_naive()),
            day_text(cycle.cycle_end.date_naive())
        ),
        width: percent(cycle.minutes, most),
        minutes: grouped(cycle.minutes.unsigned_abs()),
        amount: exact(cycle.amount),
    };
    found.iter().map(row).collect()
}

fn plans(view: &InsightsView) -> Option<Plans> {
    let (of, as_of) = (view.plans_for.as_ref()?, view.plans_as_of?);
    let cheapest = view.plans.first()?;
    let saves = cheapest.saving.is_positive() && !cheapest.refuses_overage;
    let title = if saves {
        format!("{} would have cost {} less", cheapest.name, exact(cheapest.saving))
    } else if of.plan.is_some() {
        "Your plan was the cheapest".to_owned()
    } else {
        "No plan would have been cheaper".to_owned()
    };
    Some(Plans {
        title,
        saving: saves.then(|| exact(cheapest.saving)),
        calls: grouped(of.calls.unsigned_abs()),
        of: period_of(of),
        paid: exact(of.paid),
        as_of: as_of.format("%-d %b %Y").to_string(),
        rows: view.plans.iter().map(|plan| plan_row(plan, of, cheapest)).collect(),
    })
}

fn period_of(of: &PlansFor) -> String {
    let (first, end) = (of.begins_at.date_naive(), of.ends_at.date_naive());
    if of.plan.is_some() {
        return format!("the cycle of {} to {}", day_text(first), day_text(end));
    }
    let last = end.pred_opt().unwrap_or(end);
    format!("the days from {} to {}", day_text(first), day_text(last))
}

fn plan_row(plan: &PlanCost, of: &PlansFor, cheapest: &PlanCost) -> PlanRow {
    let saving = plan.saving;
    let saves = saving.is_positive() && !plan.refuses_overage;
    let against = match saving.micros() {
        0 => "the same".to_owned(),
        1.. => format!("{} less", exact(saving)),
        _ => format!("{} more", exact(saving.checked_neg().unwrap_or(saving))),
    };
    PlanRow {
        name: plan.name.clone(),
        is_own: of.plan.as_ref() == Some(&plan.plan),
        is_cheapest: plan.plan == cheapest.plan && saves,
        included: grouped(plan.included_minutes.unsigned_abs()),
        fee: exact(plan.monthly_fee),
        beyond: grouped(plan.overage_minutes.unsigned_abs()),
        overage: exact(plan.overage),
        total: exact(plan.total),
        against,
        saves,
        refuses_overage: plan.refuses_overage,
    }
}
