//! `callmeter account estimate`: what calls of an account will cost, before they are made.

use std::num::NonZeroU32;

use callmeter_core::domain::{AccountId, Money, Share, rounded_decimal};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use super::actor::printable;
use super::error::{refused, unknown};
use super::{CommandError, print};
use crate::app::one_line;
use crate::balance::BalanceError;
use crate::config::Settings;
use crate::ledger::estimates::Basis;
use crate::wallet::{
    AVERAGE_SECONDS_MAX, CALLS_MAX, EstimateJson, EstimateRequest, EstimateRules, Estimated,
    NotEstimated, TAG_CHARACTERS_MAX, Wallets, is_destination,
};

#[derive(Debug, Args)]
pub(super) struct EstimateArguments {
    /// The account's id
    id: AccountId,
    /// Calls to place
    #[arg(long, value_parser = calls)]
    calls: NonZeroU32,
    /// Average length of an answered call in seconds; default: the lengths of the account's own calls
    #[arg(long, value_name = "SECONDS", value_parser = average)]
    average_seconds: Option<u64>,
    /// Share of the calls that is answered, such as 0.38; default: all
    #[arg(long, value_name = "SHARE", default_value = "1")]
    answer_rate: Share,
    /// The number called, or how it begins, such as +44; default: where the own calls went
    #[arg(long, value_name = "NUMBER", value_parser = destination)]
    to: Option<String>,
    /// The campaign: the estimate is kept, and the calls with this tag are compared with it
    #[arg(long)]
    tag: Option<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

fn calls(text: &str) -> Result<NonZeroU32, String> {
    let calls = text.parse::<NonZeroU32>().ok().filter(|calls| calls.get() <= CALLS_MAX);
    calls.ok_or_else(|| format!("is not a whole number from 1 to {CALLS_MAX}"))
}

/// Seconds as milliseconds.
fn average(text: &str) -> Result<u64, String> {
    let read = rounded_decimal(text, 3);
    let read = read.filter(|read| (1_000..=AVERAGE_SECONDS_MAX * 1_000).contains(read));
    read.ok_or_else(|| format!("is not a number of seconds from 1 to {AVERAGE_SECONDS_MAX}"))
}

fn destination(text: &str) -> Result<String, String> {
    let fault = "is not a \"+\" and 1 to 15 digits, nor a sip: or client: address";
    if is_destination(text) { Ok(text.to_owned()) } else { Err(fault.to_owned()) }
}

impl EstimateArguments {
    pub(super) async fn run(
        self,
        wallets: &Wallets,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let tag = self.tag.as_deref().map(|tag| printable(tag, "--tag")).transpose()?;
        if tag.as_ref().is_some_and(|tag| tag.chars().count() > TAG_CHARACTERS_MAX) {
            let fault = format!("--tag takes at most {TAG_CHARACTERS_MAX} characters");
            return Err(CommandError::Usage(fault));
        }
        let request = EstimateRequest {
            calls: self.calls,
            average_milliseconds: self.average_seconds,
            answered: self.answer_rate,
            to: self.to,
            tag,
        };
        let rules = EstimateRules::new(settings);
        let estimated = wallets.estimate(&self.id, &request, rules, now).await;
        let estimated = estimated.map_err(|error| match error {
            BalanceError::Ledger(error) => CommandError::from(error),
            error => refused(one_line(&error)),
        })?;
        let estimated = estimated.map_err(|refusal| match refusal {
            NotEstimated::UnknownAccount => unknown(&self.id),
            NotEstimated::NoAverage { own_calls, needed } => refused(format!(
                "give --average-seconds: account {} has {own_calls} charged calls, and their \
                 lengths tell nothing before there are {needed}",
                self.id
            )),
            NotEstimated::Blocked { prefix } => {
                refused(format!("calls to {prefix} are refused under the account's terms"))
            }
            NotEstimated::OutOfRange => {
                refused("the cost is beyond the range of amounts; estimate fewer calls".to_owned())
            }
        })?;
        if self.json {
            return print(&json!(EstimateJson::from(&estimated)).to_string());
        }
        print(&text(&self.id, &estimated))
    }
}

fn text(id: &AccountId, estimated: &Estimated) -> String {
    let estimate = &estimated.estimate;
    let minutes = |seconds: u64| seconds.div_ceil(60);
    let basis = match (estimated.basis, estimated.own_calls) {
        (Basis::Given, 0) => "the average given".to_owned(),
        (Basis::Given, calls) => format!("the average given, spread like {calls} own calls"),
        (Basis::OwnCalls, calls) => format!("the lengths of {calls} own calls"),
    };
    let or_none = |amount: Money| match amount {
        Money::ZERO => "-".to_owned(),
        amount => amount.to_string(),
    };
    let plan =
        if estimated.exceeds_plan { " (the plan refuses calls beyond its minutes)" } else { "" };
    let rows = [
        ("account", id.to_string()),
        ("answered", format!("{} calls", estimate.answered_calls)),
        ("minutes", minutes(estimate.billed_seconds.expected).to_string()),
        ("from plan", format!("{}{plan}", minutes(estimate.allowance_seconds))),
        ("a minute", estimate.rate.to_string()),
        ("cost", estimate.cost.expected.to_string()),
        ("9 of 10", format!("{} to {}", estimate.cost.low, estimate.cost.high)),
        ("available", estimated.available.to_string()),
        ("afterwards", estimated.balance_after.to_string()),
        ("shortfall", or_none(estimated.shortfall)),
        ("refill", or_none(estimated.suggested_refill)),
        ("rests on", basis),
    ];
    rows.map(|(name, value)| format!("{name:<14}{value}")).join("\n")
}
