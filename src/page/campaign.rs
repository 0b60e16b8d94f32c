//! `/wallet/campaigns/{tag}`: what the calls of a campaign cost, against its estimate, while they are
//! charged.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::Money;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Page;
use super::error::PageError;
use super::form::Query;
use super::money::{Toward, about, cents, exact, field, grouped};
use super::shell::{Entry, Shell};
use super::time::{Time, length};
use super::visit::{Look, Visit};
use crate::ledger::campaigns::CampaignTotals;
use crate::ledger::estimates::KeptEstimate;
use crate::ledger::history::ChargedCall;
use crate::wallet::{Campaign, CampaignDetails, CourseState};

/// Calls that are listed.
const LATEST: u16 = 8;
/// Size of the chart's drawing.
const WIDTH: i128 = 600;
const HEIGHT: i128 = 200;

#[derive(Template)]
#[template(path = "campaign.html")]
struct CampaignPage {
    shell: Shell,
    tag: String,
    estimated: Option<(Time, String)>,
    as_of: Time,
    here: String,
    part: Part,
}

/// What changes while the page is open.
#[derive(Template)]
#[template(path = "campaign-part.html")]
struct Part {
    /// The address of this part alone.
    from: String,
    is_operator: bool,
    is_complete: bool,
    spent: String,
    plan_minutes: Option<String>,
    course: Option<CourseCard>,
    chart: Option<Chart>,
    lines: Vec<Line>,
    latest: Vec<CallRow>,
    costs: Vec<(&'static str, String)>,
}

/// Where the campaign goes.
struct CourseCard {
    cost: String,
    expected: String,
    state: &'static str,
    tone: &'static str,
    needed: String,
    available: String,
    /// The refill that covers the rest: its amount and its address.
    refill: Option<(String, String)>,
}

/// A line of the table: so far, expected by now, and in all.
struct Line {
    name: &'static str,
    so_far: String,
    by_now: String,
    in_all: String,
}

/// Spent against calls, as paths of a drawing of 600 by 200.
struct Chart {
    label: String,
    spent: String,
    band: Option<String>,
    expected: Option<String>,
    now: String,
    top: String,
    middle: String,
    half: String,
    all: String,
    calls: String,
}

struct CallRow {
    end: String,
    at: Time,
    lasted: String,
    billed: String,
    cost: String,
    link: String,
}

/// `GET /wallet/campaigns/{tag}`
pub(super) async fn campaign(
    State(page): State<Page>,
    Look(visit): Look,
    Path(tag): Path<String>,
) -> Result<Response, PageError> {
    show(&page, &visit, &tag).await
}

/// `GET /wallet/campaigns/part?campaign=`
pub(super) async fn part(
    State(page): State<Page>,
    visit: Visit,
    Query(query): Query,
) -> Result<Response, PageError> {
    let tag = query.raw("campaign").ok_or(PageError::NotFound)?;
    let (_, part) = read(&page, &visit, tag).await?;
    Ok(super::html(&part).into_response())
}

/// The page of a campaign.
pub(super) async fn show(page: &Page, visit: &Visit, tag: &str) -> Result<Response, PageError> {
    let (campaign, part) = read(page, visit, tag).await?;
    let (shell, _) = page.shell(visit, Entry::Campaigns, tag).await?;
    let estimated =
        campaign.estimate.as_ref().map(|kept| (Time::minute(kept.at), grouped(kept.calls.into())));
    let shown = CampaignPage {
        shell,
        tag: tag.to_owned(),
        estimated,
        as_of: Time::clock(page.clock.now()),
        here: link_of(&page.at, tag),
        part,
    };
    Ok(super::html(&shown).into_response())
}

async fn read(page: &Page, visit: &Visit, tag: &str) -> Result<(Campaign, Part), PageError> {
    let (account, account_key) = (&visit.session.account, visit.session.account_key);
    if tag.contains('\0') {
        return Err(PageError::NotFound);
    }
    let found = page.wallets.campaign(account_key, tag, LATEST).await?;
    let CampaignDetails { campaign, latest, is_complete } = found.ok_or(PageError::NotFound)?;
    let view = page.wallets.view(account, page.clock.now()).await?.ok_or(PageError::Internal)?;
    let totals = campaign.totals.as_ref();
    let from_plan = totals.map_or(0, |totals| totals.allowance_seconds);
    let encoded = utf8_percent_encode(tag, NON_ALPHANUMERIC);
    let part = Part {
        from: format!("{}/campaigns/part?campaign={encoded}", page.at),
        is_operator: visit.session.visitor.is_operator(),
        is_complete,
        spent: exact(totals.map_or(Money::ZERO, |totals| totals.amount)),
        plan_minutes: (from_plan > 0).then(|| minutes_of(from_plan)),
        course: course(page, &campaign, view.available),
        chart: totals.map(|totals| chart(totals, campaign.estimate.as_ref())),
        lines: lines(&campaign),
        latest: latest.into_iter().map(|call| call_row(&page.at, call)).collect(),
        costs: totals.map(|totals| costs(&campaign, totals)).unwrap_or_default(),
    };
    Ok((campaign, part))
}

/// Billed seconds as whole minutes, rounded up.
pub(super) fn minutes_of(seconds: i64) -> String {
    grouped(seconds.unsigned_abs().div_ceil(60))
}

/// The address of a campaign's page. A tag may be any text, and a path takes only some.
pub(super) fn link_of(at: &str, tag: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !tag.is_empty() && tag.chars().all(is_plain) && tag != "part" {
        return format!("{at}/campaigns/{tag}");
    }
    format!("{at}/campaigns?campaign={}", utf8_percent_encode(tag, NON_ALPHANUMERIC))
}

fn course(page: &Page, campaign: &Campaign, available: Money) -> Option<CourseCard> {
    let course = campaign.course()?;
    let expected = campaign.estimate.as_ref()?.estimate.cost.expected;
    let (state, tone) = match course.state {
        CourseState::Below => ("Below the range", "good"),
        CourseState::Within => ("Within range", "good"),
        CourseState::Above => ("Above the range", "warn"),
    };
    let missing = course.needed.checked_sub(available).filter(|missing| missing.is_positive());
    let refill = missing.map(|missing| {
        let amount = page.estimates.refill_for(missing);
        let back =
            utf8_percent_encode(&link_of(&page.at, &campaign.tag), NON_ALPHANUMERIC).to_string();
        (exact(amount), format!("{}/add-funds?amount={}&next={back}", page.at, field(amount)))
    });
    Some(CourseCard {
        cost: about(course.cost, Toward::Nearest),
        expected: about(expected, Toward::Nearest),
        state,
        tone,
        needed: about(course.needed, Toward::Nearest),
        available: cents(available),
        refill,
    })
}

fn lines(campaign: &Campaign) -> Vec<Line> {
    let (Some(totals), Some(kept)) = (&campaign.totals, &campaign.estimate) else {
        return Vec::new();
    };
    let estimate = &kept.estimate;
    let answered = i64::try_from(estimate.answered_calls).unwrap_or(i64::MAX).max(1);
    let calls = totals.calls.min(answered);
    let billed = i128::from(estimate.billed_seconds.expected) * i128::from(calls);
    let billed = i64::try_from(billed / i128::from(answered)).unwrap_or(i64::MAX);
    let by_now = campaign.expected_by_now().unwrap_or(Money::ZERO);
    vec![
        Line {
            name: "Calls charged",
            so_far: grouped(totals.calls.unsigned_abs()),
            by_now: grouped(calls.unsigned_abs()),
            in_all: grouped(estimate.answered_calls),
        },
        Line {
            name: "Billed minutes",
            so_far: minutes_of(totals.billed_seconds),
            by_now: minutes_of(billed),
            in_all: grouped(estimate.billed_seconds.expected.div_ceil(60)),
        },
        Line {
            name: "Paid from the wallet",
            so_far: exact(totals.amount),
            by_now: about(by_now, Toward::Nearest),
            in_all: about(estimate.cost.expected, Toward::Nearest),
        },
    ]
}

/// What a call costs, as far as it is known.
fn costs(campaign: &Campaign, totals: &CampaignTotals) -> Vec<(&'static str, String)> {
    let calls = totals.calls.max(1);
    let average = |seconds: i64| length((seconds + calls / 2) / calls);
    let of_a_call = campaign.cost_of_a_call().unwrap_or(Money::ZERO);
    vec![
        ("For each charged call", format!("about {}", about(of_a_call, Toward::Nearest))),
        ("Average length", average(totals.seconds)),
        ("Average billed", average(totals.billed_seconds)),
    ]
}

fn call_row(at: &str, call: ChargedCall) -> CallRow {
    let is_inbound = call.direction.as_deref() == Some("inbound");
    let end = if is_inbound { call.from } else { call.to };
    let seconds = |seconds: i32| length(seconds.unsigned_abs().into());
    CallRow {
        end: end.unwrap_or_else(|| "unknown".to_owned()),
        at: Time::second(call.started_at),
        lasted: seconds(call.seconds),
        billed: seconds(call.billed_seconds),
        cost: exact(call.amount),
        link: format!("{at}/history?q={}", utf8_percent_encode(&call.call_sid, NON_ALPHANUMERIC)),
    }
}

/// Draws what was spent against the calls charged, over the range of the estimate.
fn chart(totals: &CampaignTotals, kept: Option<&KeptEstimate>) -> Chart {
    let cost = kept.map(|kept| kept.estimate.cost);
    let answered = kept.map(|kept| i64::try_from(kept.estimate.answered_calls).unwrap_or(i64::MAX));
    let all = totals.calls.max(answered.unwrap_or(0)).max(1);
    let high = cost.map_or(Money::ZERO, |cost| cost.high);
    let top = i128::from(totals.amount.max(high).micros().max(1)) * 10 / 9;
    // Tenths of the drawing's units.
    let x = |calls: i64| i128::from(calls) * WIDTH * 10 / i128::from(all);
    let y = |paid: Money| HEIGHT * 10 - i128::from(paid.micros()) * HEIGHT * 10 / top;
    let text = |tenths: i128| format!("{}.{}", tenths / 10, tenths % 10);
    let point = |calls: i64, paid: Money| format!("{} {}", text(x(calls)), text(y(paid)));
    let mut spent = format!("M0 {HEIGHT}");
    for (calls, paid) in &totals.course {
        spent.push('L');
        spent.push_str(&point(*calls, *paid));
    }
    let end = answered.unwrap_or(all);
    let band =
        cost.map(|cost| format!("M0 {HEIGHT} {} {}Z", point(end, cost.high), point(end, cost.low)));
    let expected = cost.map(|cost| format!("M0 {HEIGHT} {}", point(end, cost.expected)));
    let money = |micros: i128| cents(Money::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)));
    let calls = grouped(totals.calls.unsigned_abs());
    let label = format!("After {calls} charged calls {} is spent", exact(totals.amount));
    let estimated = kept.map(|kept| {
        format!("; {} was estimated in all", about(kept.estimate.cost.expected, Toward::Nearest))
    });
    Chart {
        label: label + &estimated.unwrap_or_default(),
        spent,
        band,
        expected,
        now: text(x(totals.calls)),
        top: money(top),
        middle: money(top / 2),
        half: grouped((all / 2).unsigned_abs()),
        all: grouped(all.unsigned_abs()),
        calls,
    }
}

#[cfg(test)]
mod tests {
    use super::link_of;

    #[test]
    fn a_tag_of_any_text_has_an_address() {
        assert_eq!(link_of("/wallet", "winter-outreach"), "/wallet/campaigns/winter-outreach");
        for (tag, query) in [
            ("..", "%2E%2E"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("<script>", "%3Cscript%3E"),
            ("part", "part"),
            ("é \"", "%C3%A9%20%22"),
        ] {
            assert_eq!(link_of("", tag), format!("/campaigns?campaign={query}"));
        }
    }
}
