//! An estimate as the page of campaigns shows it: how it adds up, what is missing, and whether it
//! passes the month's budget.

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Page;
use super::campaign::link_of;
use super::error::PageError;
use super::money::{Toward, about, cents, exact, field, grouped};
use crate::ledger::estimates::Basis;
use crate::ledger::watched;
use crate::wallet::{EstimateRequest, Estimated};

/// The estimate of the form.
#[derive(Clone, Debug)]
pub(super) struct EstimateCard {
    pub(super) title: String,
    pub(super) calls: String,
    pub(super) answered: String,
    pub(super) expected: String,
    pub(super) low: String,
    pub(super) high: String,
    pub(super) available: String,
    pub(super) basis: String,
    pub(super) rate: String,
    /// Low, expected and high of each line.
    pub(super) minutes: [String; 3],
    pub(super) from_plan: [String; 3],
    pub(super) from_wallet: [String; 3],
    pub(super) costs: [String; 3],
    pub(super) after: [String; 3],
    pub(super) meter: Meter,
    pub(super) short: Option<Short>,
    pub(super) budget: Option<Budget>,
    pub(super) exceeds_plan: bool,
    /// The campaign's page, if the estimate is kept.
    pub(super) link: Option<String>,
}

/// What is available beside the cost, in tenths of a percent of the width.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    pub(super) available: String,
    pub(super) from: String,
    pub(super) width: String,
}

/// Money that is missing, and the way to it.
#[derive(Clone, Debug)]
pub(super) struct Short {
    pub(super) missing: String,
    /// Calls after which the money is spent, at the high end.
    pub(super) calls: String,
    pub(super) refill: String,
    pub(super) link: String,
}

/// A budget that the campaign would pass.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub(super) month: String,
    pub(super) spent: String,
    pub(super) monthly: String,
    pub(super) with_it: String,
    pub(super) stops: bool,
}

impl EstimateCard {
    /// The card of an estimate; `is_kept`: its campaign has a page.
    pub(super) async fn new(
        page: &Page,
        account_key: i32,
        request: &EstimateRequest,
        found: &Estimated,
        is_kept: bool,
    ) -> Result<Self, PageError> {
        let budget = budget(page, account_key, found, page.clock.now()).await?;
        Ok(card(page, request, found, budget, is_kept))
    }
}

fn card(
    page: &Page,
    request: &EstimateRequest,
    found: &Estimated,
    budget: Option<Budget>,
    is_kept: bool,
) -> EstimateCard {
    let estimate = &found.estimate;
    let (billed, cost) = (estimate.billed_seconds, estimate.cost);
    let each = [billed.low, billed.expected, billed.high];
    let minus = |minutes: u64| match minutes {
        0 => "0".to_owned(),
        minutes => format!("\u{2212}{}", grouped(minutes)),
    };
    let of_plan = each.map(|seconds| found.allowance_left_seconds.min(seconds));
    let costs = [
        about(cost.low, Toward::Down),
        about(cost.expected, Toward::Nearest),
        about(cost.high, Toward::Up),
    ];
    let [low, expected, high] = costs.clone();
    let after = [cost.low, cost.expected, cost.high];
    let after = after.map(|cost| found.available.checked_sub(cost).map_or_else(String::new, cents));
    let basis = match (found.basis, found.own_calls) {
        (Basis::OwnCalls, calls) => {
            format!("The lengths are those of {} of your own calls.", grouped(calls as u64))
        }
        (Basis::Given, 0) => "Only the average is known, so the range covers every way in which \
                              lengths spread around it."
            .to_owned(),
        (Basis::Given, calls) => {
            format!("The lengths spread like those of {} of your own calls.", grouped(calls as u64))
        }
    };
    let tag = request.tag.as_deref();
    EstimateCard {
        title: tag.map_or_else(|| "Estimate".to_owned(), |tag| format!("Estimate for {tag}")),
        calls: grouped(request.calls.get().into()),
        answered: grouped(estimate.answered_calls),
        expected,
        low,
        high,
        available: cents(found.available),
        basis,
        rate: exact(estimate.rate.per_minute()),
        minutes: each.map(|seconds| grouped(seconds.div_ceil(60))),
        from_plan: of_plan.map(|seconds| minus(seconds.div_ceil(60))),
        from_wallet: [0, 1, 2].map(|at| grouped((each[at] - of_plan[at]).div_ceil(60))),
        costs,
        after,
        meter: meter(found),
        short: short(page, request, found),
        budget,
        exceeds_plan: found.exceeds_plan,
        link: tag.filter(|_| is_kept).map(|tag| link_of(&page.at, tag)),
    }
}

/// The budget of this month, if the campaign's high end passes it.
async fn budget(
    page: &Page,
    account_key: i32,
    found: &Estimated,
    now: DateTime<Utc>,
) -> Result<Option<Budget>, PageError> {
    let watched = watched::find(&mut *page.store.read().await?, account_key).await?;
    let Some(budget) = watched.budget else { return Ok(None) };
    let spent = watched.spending.at(now);
    let with = |cost: Money| spent.checked_add(cost).unwrap_or(spent);
    if with(found.estimate.cost.high) <= budget.monthly {
        return Ok(None);
    }
    Ok(Some(Budget {
        month: now.format("%B").to_string(),
        spent: exact(spent),
        monthly: exact(budget.monthly),
        with_it: about(with(found.estimate.cost.expected), Toward::Nearest),
        stops: budget.stop,
    }))
}

fn meter(found: &Estimated) -> Meter {
    let cost = found.estimate.cost;
    let available = found.available.micros().max(0);
    let whole = i128::from(available.max(cost.high.micros()).max(1));
    // A tenth of the width stays free behind the greater one.
    let place = |micros: i64| i64::try_from(i128::from(micros) * 900 / whole).unwrap_or(0);
    let text = |tenths: i64| format!("{}.{}", tenths / 10, tenths % 10);
    let (from, to) = (place(cost.low.micros()), place(cost.high.micros()));
    Meter { available: text(place(available)), from: text(from), width: text((to - from).max(5)) }
}

fn short(page: &Page, request: &EstimateRequest, found: &Estimated) -> Option<Short> {
    if !found.shortfall.is_positive() {
        return None;
    }
    let (high, calls) = (found.estimate.cost.high.micros().max(1), request.calls.get());
    let paid = i128::from(found.available.micros().max(0)) * i128::from(calls);
    let paid = u64::try_from(paid / i128::from(high)).unwrap_or(0);
    let amount = field(found.suggested_refill);
    let back = request
        .tag
        .as_deref()
        .map_or_else(|| format!("{}/campaigns", page.at), |tag| link_of(&page.at, tag));
    let back = utf8_percent_encode(&back, NON_ALPHANUMERIC).to_string();
    Some(Short {
        missing: about(found.shortfall, Toward::Up),
        calls: grouped(paid),
        refill: exact(found.suggested_refill),
        link: format!("{}/add-funds?amount={amount}&next={back}", page.at),
    })
}
