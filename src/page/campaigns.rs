//! `/wallet/campaigns`: what calls will cost, and what the calls of each campaign came to.
//!
//! The form posts, and keeps the estimate where it names a campaign; by GET the same address only
//! shows it.

use std::num::NonZeroU32;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{Money, Share, rounded_decimal};
use chrono::{DateTime, Utc};

use super::Page;
use super::campaign::{self, link_of, minutes_of};
use super::controls::FieldError;
use super::error::PageError;
use super::estimate_card::EstimateCard;
use super::form::{Form, Query};
use super::money::{Toward, about, exact, grouped};
use super::shell::{Entry, Shell};
use super::time::length;
use super::visit::{Act, Look, Visit};
use crate::wallet::{
    AVERAGE_SECONDS_MAX, CALLS_MAX, Campaign, CourseState, EstimateRequest, NotEstimated,
    TAG_CHARACTERS_MAX, is_destination,
};

/// Campaigns of the list.
const LISTED: u16 = 50;
/// Destinations that are offered.
const OFFERED: usize = 60;
/// An estimate this near to the cost met it, in percent.
const MET: i64 = 1;

#[derive(Template)]
#[template(path = "campaigns.html")]
struct CampaignsPage {
    shell: Shell,
    is_operator: bool,
    values: Values,
    /// The account's own average, and from how many calls.
    own: Option<(String, String)>,
    destinations: Vec<(String, String)>,
    others: String,
    errors: Vec<FieldError>,
    estimate: Option<EstimateCard>,
    rows: Vec<Row>,
    is_complete: bool,
}

/// The fields of the form, as they are shown.
#[derive(Clone, Debug, Default)]
struct Values {
    calls: String,
    answered: String,
    average: String,
    to: String,
    tag: String,
}

/// A campaign in the list.
#[derive(Clone, Debug)]
struct Row {
    tag: String,
    link: String,
    calls: String,
    minutes: String,
    from_plan: String,
    cost: String,
    of_a_call: String,
    state: String,
    tone: &'static str,
}

impl CampaignsPage {
    fn error(&self, field: &str) -> Option<&str> {
        let found = self.errors.iter().find(|error| error.field == field);
        found.map(|error| error.message.as_str())
    }
}

/// `GET /wallet/campaigns?calls=&answered=&average=&to=&tag=`, and `?campaign=` for a tag that is no
/// part of a path.
pub(super) async fn campaigns(
    State(page): State<Page>,
    Look(visit): Look,
    Query(query): Query,
) -> Result<Response, PageError> {
    if let Some(tag) = query.raw("campaign") {
        return campaign::show(&page, &visit, tag).await;
    }
    let asks = query.one("calls").is_some();
    show(&page, &visit, &query, asks, false).await
}

/// `POST /wallet/campaigns`
pub(super) async fn estimate(
    State(page): State<Page>,
    Act(visit, form): Act,
) -> Result<Response, PageError> {
    show(&page, &visit, &form, true, true).await
}

async fn show(
    page: &Page,
    visit: &Visit,
    form: &Form,
    asks: bool,
    keeps: bool,
) -> Result<Response, PageError> {
    let (account, account_key) = (&visit.session.account, visit.session.account_key);
    let now = page.clock.now();
    let values = Values {
        calls: form.text("calls"),
        answered: form.text("answered"),
        average: form.text("average"),
        to: form.text("to"),
        tag: form.text("tag"),
    };
    let (mut errors, mut estimate) = (Vec::new(), None);
    if asks {
        match read(&values) {
            Err(faults) => errors = faults,
            Ok(request) => {
                let asked = EstimateRequest {
                    tag: request.tag.clone().filter(|_| keeps),
                    ..request.clone()
                };
                let estimated = page.wallets.estimate(account, &asked, page.estimates, now).await?;
                match estimated {
                    Ok(found) => {
                        let card = EstimateCard::new(page, account_key, &request, &found, keeps);
                        estimate = Some(card.await?);
                    }
                    Err(refusal) => errors.push(refused(&refusal)?),
                }
            }
        }
    }
    let title = if errors.is_empty() { "Campaigns" } else { "Error: Campaigns" };
    let (shell, _) = page.shell(visit, Entry::Campaigns, title).await?;
    let own = page.wallets.own_average(account_key, now).await?;
    let destinations = page.wallets.destinations(account, now).await?.ok_or(PageError::Internal)?;
    let campaigns = page.wallets.campaigns(account_key, LISTED).await?;
    let has_errors = !errors.is_empty();
    let offered =
        destinations.prefixes.iter().take(OFFERED).map(|(prefix, rate)| {
            (prefix.clone(), format!("{} a minute", exact(rate.per_minute())))
        });
    let shown = CampaignsPage {
        shell,
        is_operator: visit.session.visitor.is_operator(),
        values,
        own: own.map(|(seconds, calls)| (length(seconds.cast_signed()), grouped(calls as u64))),
        destinations: offered.collect(),
        others: exact(destinations.others.per_minute()),
        errors,
        estimate,
        rows: campaigns.items.iter().map(|campaign| row(page, campaign, now)).collect(),
        is_complete: campaigns.is_complete,
    };
    let status = if has_errors { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, super::html(&shown)).into_response())
}

/// Reads the form.
///
/// # Errors
/// What is wrong with each field.
fn read(values: &Values) -> Result<EstimateRequest, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut fault = |field, message: String| errors.push(FieldError::new(field, message));
    let plain = |text: &str| text.replace([',', ' '], "");
    let calls = plain(&values.calls).parse::<NonZeroU32>().ok();
    let calls = calls.filter(|calls| calls.get() <= CALLS_MAX);
    if calls.is_none() {
        let most = grouped(CALLS_MAX.into());
        fault("calls", format!("Enter how many calls you place, from 1 to {most}."));
    }
    let answered = match plain(&values.answered).trim_end_matches('%') {
        "" => Some(Share::ALL),
        // A percent has 10,000 millionths.
        text => rounded_decimal(text, 4)
            .and_then(|millionths| u32::try_from(millionths).ok())
            .and_then(|millionths| Share::from_millionths(millionths).ok()),
    };
    if answered.is_none() {
        fault("answered", "Enter a percentage from 0 to 100, such as 38.".to_owned());
    }
    let average = match plain(&values.average).as_str() {
        "" => Some(None),
        text => rounded_decimal(text, 3)
            .filter(|read| (1_000..=AVERAGE_SECONDS_MAX * 1_000).contains(read))
            .map(Some),
    };
    if average.is_none() {
        let most = grouped(AVERAGE_SECONDS_MAX);
        fault("average", format!("Enter seconds from 1 to {most}, such as 112."));
    }
    let to = values.to.replace(' ', "");
    if !to.is_empty() && !is_destination(&to) {
        let message = "Enter a number or how it begins, such as +44 or +12125550123.";
        fault("to", message.to_owned());
    }
    if values.tag.chars().count() > TAG_CHARACTERS_MAX || values.tag.contains('\0') {
        fault("tag", format!("Enter at most {TAG_CHARACTERS_MAX} characters."));
    }
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    match (calls, answered, average) {
        (Some(calls), Some(answered), Some(average_milliseconds)) if errors.is_empty() => {
            let tag = given(values.tag.clone());
            Ok(EstimateRequest { calls, average_milliseconds, answered, to: given(to), tag })
        }
        _ => Err(errors),
    }
}

fn refused(refusal: &NotEstimated) -> Result<FieldError, PageError> {
    let (field, message) = match refusal {
        NotEstimated::UnknownAccount => return Err(PageError::Internal),
        NotEstimated::NoAverage { needed, .. } => (
            "average",
            format!("Enter an average: your own calls tell their lengths once there are {needed}."),
        ),
        NotEstimated::Blocked { prefix } => ("to", format!("Calls to {prefix} are refused.")),
        NotEstimated::OutOfRange => ("calls", "Enter fewer calls.".to_owned()),
    };
    Ok(FieldError::new(field, message))
}

fn row(page: &Page, campaign: &Campaign, now: DateTime<Utc>) -> Row {
    let totals = campaign.totals.as_ref();
    let number = |number: i64| grouped(number.unsigned_abs());
    let (state, tone) = standing(campaign, now);
    Row {
        tag: campaign.tag.clone(),
        link: link_of(&page.at, &campaign.tag),
        calls: number(totals.map_or(0, |totals| totals.calls)),
        minutes: minutes_of(totals.map_or(0, |totals| totals.billed_seconds)),
        from_plan: minutes_of(totals.map_or(0, |totals| totals.allowance_seconds)),
        cost: exact(totals.map_or(Money::ZERO, |totals| totals.amount)),
        of_a_call: campaign
            .cost_of_a_call()
            .map_or_else(|| "–".to_owned(), |cost| about(cost, Toward::Nearest)),
        state,
        tone,
    }
}

/// How a campaign stands, in a word, with its tone.
fn standing(campaign: &Campaign, now: DateTime<Utc>) -> (String, &'static str) {
    let Some(kept) = &campaign.estimate else { return ("No estimate".to_owned(), "") };
    let Some(totals) = &campaign.totals else { return ("Not started".to_owned(), "") };
    let is_above = campaign.course().is_some_and(|course| course.state == CourseState::Above);
    if campaign.is_running(now) {
        return if is_above {
            ("Running, above".to_owned(), "warn")
        } else {
            ("Running".to_owned(), "info")
        };
    }
    let expected = kept.estimate.cost.expected.micros();
    let off = i128::from(totals.amount.micros()) - i128::from(expected);
    let percent = i64::try_from(off * 100 / i128::from(expected.max(1))).unwrap_or(i64::MAX);
    match percent {
        percent if percent.abs() < MET => ("As estimated".to_owned(), "good"),
        percent if percent < 0 => (format!("{}% below", percent.unsigned_abs()), "good"),
        percent => (format!("{percent}% above"), if is_above { "warn" } else { "good" }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Values, read};

    #[test]
    fn the_form_is_read_as_people_write_it() {
        let values = |calls: &str, answered: &str, average: &str, to: &str| {
            let [calls, answered, average, to] = [calls, answered, average, to].map(str::to_owned);
            read(&Values { calls, answered, average, to, tag: String::new() })
        };
        let request = values("8,000", "38 %", "112", "+1 212 555 0123").expect("it is right");
        assert_eq!((request.calls.get(), request.answered.millionths()), (8_000, 380_000));
        assert_eq!(request.average_milliseconds, Some(112_000));
        assert_eq!(request.to.as_deref(), Some("+12125550123"));
        let request = values("1", "", "", "").expect("it is right");
        assert_eq!(
            (request.answered.millionths(), request.average_milliseconds),
            (1_000_000, None)
        );
        let faults = values("0", "101", "-1", "London").expect_err("it is wrong");
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["calls", "answered", "average", "to"]);
    }
}
