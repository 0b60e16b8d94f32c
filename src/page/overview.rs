//! `GET /wallet`: what can be spent, what calls hold, what the plan still covers, and what happened
//! last.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{Money, WalletState};
use chrono::{DateTime, Utc};

use super::Page;
use super::add_funds::suggested;
use super::controls::{AutoRefillSummary, Of};
use super::error::PageError;
use super::money::{cents, exact, grouped};
use super::notices::{Notice, notices};
use super::row::{Refills, Row};
use super::shell::{Entry, Shell};
use super::time::{Time, left, length, minutes};
use super::visit::{Look, Visit};
use crate::ledger::entries;
use crate::ledger::history::{Stretch, TransactionFilter};
use crate::ledger::payments::refills;
use crate::ledger::watched::{self, Watched};
use crate::wallet::{AllowanceView, LiveCall, Told, WalletView};

/// What changes while the page is open.
pub(super) const PARTS: [&str; 6] = ["notices", "balance", "plan", "calls", "recent", "refused"];
/// Rows of the latest activity.
const RECENT: u16 = 8;
/// Calls in progress that are listed.
const LIVE: usize = 12;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    parts: Parts,
}

/// The parts that change while the page is open.
#[derive(Template)]
#[template(path = "overview-parts.html")]
pub(super) struct Parts {
    at: String,
    /// The parts to write; none: the whole page.
    names: Vec<&'static str>,
    is_operator: bool,
    as_of: Time,
    notices: Vec<Notice>,
    balance: Balance,
    plan: Option<Plan>,
    auto: AutoRefillSummary,
    /// Calls in progress, the newest first, and how many more there are.
    live: Vec<Live>,
    more_live: i64,
    budget: Option<Budget>,
    recent: Vec<Row>,
    refused: Refused,
}

#[derive(Clone, Debug)]
struct Balance {
    state: &'static str,
    tone: &'static str,
    available: String,
    lead: &'static str,
    whole: String,
    held: String,
    /// The same without a sign.
    held_plain: String,
    calls: i64,
    credit_limit: Option<String>,
    sum: String,
    /// For how many days it lasts.
    lasts: Option<String>,
    is_journal: bool,
}

/// The plan's minutes, and the parts of the bar in thousandths of its width.
#[derive(Clone, Debug)]
struct Plan {
    name: String,
    left: String,
    included: String,
    used: String,
    held: String,
    used_width: String,
    held_width: String,
    is_used_up: bool,
    cycle_end: Time,
    time_left: String,
}

/// A call in progress.
#[derive(Clone, Debug)]
struct Live {
    call_sid: String,
    tag: Option<String>,
    running: String,
    up_to: String,
    allowance: Option<String>,
    money: String,
}

/// The month's budget.
#[derive(Clone, Debug)]
struct Budget {
    month: String,
    spent: String,
    of: Of,
    stops: bool,
}

/// Refused calls of 30 days.
#[derive(Clone, Debug)]
struct Refused {
    reasons: Vec<(&'static str, String)>,
    /// True if money would have helped.
    for_money: bool,
    suggestion: String,
}

impl Parts {
    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.contains(&name)
    }
}

/// `GET /wallet`
pub(super) async fn overview(
    State(page): State<Page>,
    Look(visit): Look,
) -> Result<Response, PageError> {
    let (shell, _) = page.shell(&visit, Entry::Overview, "Overview").await?;
    let parts = read(&page, &visit, Vec::new(), None).await?;
    Ok(super::html(&OverviewPage { shell, parts }).into_response())
}

/// Reads the parts with these names, and nothing for the others; without names, the whole page. `told`
/// is what the watchers of the wallet were told before.
pub(super) async fn read(
    page: &Page,
    visit: &Visit,
    names: Vec<&'static str>,
    told: Option<Told>,
) -> Result<Parts, PageError> {
    let (account, account_key) = (&visit.session.account, visit.session.account_key);
    let now = page.clock.now();
    let view = page.wallets.view(account, now).await?.ok_or(PageError::Internal)?;
    // If Redis is away, the number of calls is not shown, and the held amount is the journal's.
    let held = page.balance.held_sums(std::slice::from_ref(account)).await;
    let calls = held.ok().and_then(|held| held.into_iter().next().flatten());
    let is_operator = visit.session.visitor.is_operator();
    let wants = |name: &str| names.is_empty() || names.contains(&name);
    let (mut runway, mut auto) = (None, AutoRefillSummary::default());
    if names.is_empty() {
        runway = page.wallets.runway_days(account, view.available, now).await?;
    } else if wants("balance") {
        runway = page.wallets.recent_runway_days(account, view.available, now).await?;
    }
    if wants("notices") || wants("refused") {
        auto = page.recent_auto_refill_summary(visit, told, now).await?;
    }
    let (mut live, mut recent) = (Vec::new(), Vec::new());
    let (mut denials, mut spent) = (Vec::new(), None);
    let mut connection = page.store.read().await?;
    if wants("calls") {
        live = page.wallets.live_calls(&mut connection, account, account_key, LIVE).await?;
    }
    if wants("recent") {
        let stretch = Stretch { below: None, from: None, to: None, limit: RECENT };
        let filter = TransactionFilter::default();
        let found = entries::entries(&mut connection, account_key, &filter, &stretch).await?;
        let of_refills = refills_of(&mut connection, account_key, &found.items).await?;
        let rows = found.items.into_iter();
        recent = rows.map(|entry| Row::new(entry, &of_refills, is_operator)).collect();
    }
    // Beside them stand auto-refill and the budget.
    if wants("refused") {
        denials = entries::denials(&mut connection, account_key, now).await?;
        spent = budget(&watched::find(&mut connection, account_key).await?, now);
    }
    drop(connection);
    let count = calls.map_or(0, |(calls, _)| calls);
    let more_live = count.saturating_sub(i64::try_from(live.len()).unwrap_or(i64::MAX)).max(0);
    let suggestion = suggested(page, view.available);
    Ok(Parts {
        at: page.at.clone(),
        names,
        is_operator,
        as_of: Time::clock(now),
        notices: notices(page, &view, &auto, suggestion),
        balance: balance(&view, count, runway),
        plan: view.allowance.as_ref().map(|allowance| plan(allowance, now)),
        auto,
        live: live.into_iter().map(|call| Live::new(call, now)).collect(),
        more_live,
        budget: spent,
        recent,
        refused: refused(&denials, suggestion),
    })
}

/// The refills of some rows.
pub(super) async fn refills_of(
    connection: &mut sqlx::PgConnection,
    account_key: i32,
    rows: &[entries::Entry],
) -> Result<Refills, PageError> {
    // The rows of calls are of none.
    let others = rows.iter().filter(|row| row.charge.is_none());
    let times = others.map(|row| row.transaction.at);
    let (Some(oldest), Some(newest)) = (times.clone().min(), times.max()) else {
        return Ok(Refills::default());
    };
    // A refill begins at most a day and an hour before its outcome is written.
    let from = oldest - chrono::TimeDelta::hours(25);
    let stretch = Stretch {
        below: None,
        from: Some(from),
        to: Some(newest + chrono::TimeDelta::seconds(1)),
        limit: 200,
    };
    let found = refills::list(connection, account_key, None, None, &stretch).await?;
    Ok(Refills::new(found.items))
}

fn balance(view: &WalletView, calls: i64, runway_days: Option<i64>) -> Balance {
    let (state, tone, lead) = match view.state {
        WalletState::Active => ("Active", "good", "ready for calls and numbers"),
        WalletState::Low => ("Low", "warn", "ready for calls and numbers"),
        WalletState::Empty => ("Empty", "bad", "nothing left to call with"),
        WalletState::Closed => ("Closed", "", "the account is closed"),
    };
    let limit = view.credit_limit;
    let credit = if limit.is_zero() { String::new() } else { format!(" + {}", exact(limit)) };
    let held =
        if view.held.is_zero() { String::new() } else { format!(" − {}", exact(view.held)) };
    let sum = format!("{}{credit}{held} = {}", exact(view.balance), exact(view.available));
    Balance {
        state,
        tone,
        available: cents(view.available),
        lead,
        whole: cents(view.balance),
        held: if view.held.is_zero() {
            exact(view.held)
        } else {
            format!("−{}", exact(view.held))
        },
        held_plain: exact(view.held),
        calls,
        credit_limit: (!limit.is_zero()).then(|| exact(limit)),
        sum,
        lasts: runway_days.filter(|_| view.available.is_positive()).map(lasts),
        is_journal: view.held_source == crate::balance::HeldSource::Journal,
    }
}

/// `about 12 days`
fn lasts(days: i64) -> String {
    match days {
        0 => "less than a day".to_owned(),
        1 => "about 1 day".to_owned(),
        days => format!("about {} days", grouped(days.unsigned_abs())),
    }
}

fn plan(allowance: &AllowanceView, now: DateTime<Utc>) -> Plan {
    let included = allowance.included_seconds;
    let used = allowance.used_seconds.min(included);
    // Calls that began before the minutes were used up may hold more than is left.
    let held = allowance.held_seconds.min(included - used);
    let width = |seconds: u64| {
        let tenths =
            seconds.saturating_mul(1_000).checked_div(included).unwrap_or(1_000).min(1_000);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    Plan {
        name: allowance.plan.to_string(),
        left: minutes(allowance.remaining_seconds),
        included: minutes(included),
        used: minutes(used),
        held: minutes(held),
        used_width: width(used),
        held_width: width(held),
        is_used_up: used == included,
        cycle_end: Time::date(allowance.cycle_end),
        time_left: left(now, allowance.cycle_end),
    }
}

impl Live {
    fn new(call: LiveCall, now: DateTime<Utc>) -> Self {
        Self {
            running: length((now - call.placed_at).num_seconds().max(0)),
            up_to: length(call.granted_seconds.into()),
            allowance: (call.allowance_seconds > 0).then(|| length(call.allowance_seconds.into())),
            money: exact(call.money),
            tag: call.tag,
            call_sid: call.call_sid,
        }
    }
}

fn budget(watched: &Watched, now: DateTime<Utc>) -> Option<Budget> {
    let budget = watched.budget.as_ref()?;
    let spent = watched.spending.at(now);
    Some(Budget {
        month: now.format("%B").to_string(),
        spent: exact(spent),
        of: Of::new(spent, budget.monthly),
        stops: budget.stop,
    })
}

fn refused(denials: &[(String, i64)], suggestion: Money) -> Refused {
    let word = |reason: &str| match reason {
        "insufficient_funds" => "Not enough money",
        "allowance_exhausted" => "Plan minutes used up",
        "account_closed" => "Account closed",
        "budget_exceeded" => "Budget spent",
        "destination_blocked" => "Destination blocked",
        "too_many_calls" => "Too many calls at once",
        "call_already_settled" => "Call ended already",
        _ => "Other reasons",
    };
    let reasons =
        denials.iter().map(|(reason, count)| (word(reason), grouped(count.unsigned_abs())));
    Refused {
        reasons: reasons.collect(),
        for_money: denials.iter().any(|(reason, _)| reason == "insufficient_funds"),
        suggestion: exact(suggestion),
    }
}
