//! Campaigns: what the calls of each tag cost, against their estimate.

use callmeter_core::domain::{Money, divide_half_away_from_zero};
use chrono::{DateTime, TimeDelta, Utc};

use super::read::Wallets;
use crate::ledger::LedgerError;
use crate::ledger::campaigns::{self, CampaignTotals};
use crate::ledger::estimates::{self, KeptEstimate};
use crate::ledger::history::ChargedCall;

/// A campaign runs while its last call was charged within this time.
const RUNNING: TimeDelta = TimeDelta::hours(1);

/// The calls of one tag, and what they were expected to cost. One of the two may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// The tag.
    pub tag: String,
    /// What its calls came to; `None`: none was charged.
    pub totals: Option<CampaignTotals>,
    /// Its newest estimate; `None`: it has none.
    pub estimate: Option<KeptEstimate>,
}

/// Where a campaign stands against its estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CourseState {
    /// It will cost less than the estimate's low end.
    Below,
    /// It will cost what was estimated.
    Within,
    /// It will cost more than the estimate's high end.
    Above,
}

/// What a campaign will have cost at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// All of it.
    pub cost: Money,
    /// What is still to come.
    pub needed: Money,
    /// Against the estimate.
    pub state: CourseState,
}

/// The campaigns of an account, the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaigns {
    /// The campaigns.
    pub items: Vec<Campaign>,
    /// False: so many charges are new that the next look counts on.
    pub is_complete: bool,
}

/// A campaign and its latest calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignDetails {
    /// The campaign.
    pub campaign: Campaign,
    /// Newest first.
    pub latest: Vec<ChargedCall>,
    /// As in [`Campaigns`].
    pub is_complete: bool,
}

impl Wallets {
    /// The latest campaigns of an account.
    ///
    /// # Errors
    /// If Postgres is unavailable.
    pub async fn campaigns(&self, account_key: i32, most: u16) -> Result<Campaigns, LedgerError> {
        let is_complete = campaigns::count(self.store(), account_key).await?;
        let mut connection = self.store().read().await?;
        let mut tags = campaigns::latest_tags(&mut connection, account_key, most).await?;
        for tag in estimates::latest_tags(&mut connection, account_key, most).await? {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let mut totals = campaigns::find(&mut connection, account_key, &tags).await?;
        let mut kept = estimates::find(&mut connection, account_key, &tags).await?;
        let campaigns = tags.iter().map(|tag| Campaign {
            tag: (*tag).to_owned(),
            totals: take(&mut totals, |totals| totals.tag == *tag),
            estimate: take(&mut kept, |kept| kept.tag == *tag),
        });
        let mut items: Vec<Campaign> = campaigns.collect();
        items.sort_by_key(|campaign| std::cmp::Reverse(campaign.last_at()));
        items.truncate(most.into());
        Ok(Campaigns { items, is_complete })
    }

    /// One campaign; `None`: no call has its tag, and no estimate.
    ///
    /// # Errors
    /// If Postgres is unavailable.
    pub async fn campaign(
        &self,
        account_key: i32,
        tag: &str,
        calls: u16,
    ) -> Result<Option<CampaignDetails>, LedgerError> {
        let is_complete = campaigns::count(self.store(), account_key).await?;
        let mut connection = self.store().read().await?;
        let totals = campaigns::find(&mut connection, account_key, &[tag]).await?;
        let kept = estimates::find(&mut connection, account_key, &[tag]).await?;
        let campaign = Campaign {
            tag: tag.to_owned(),
            totals: totals.into_iter().next(),
            estimate: kept.into_iter().next(),
        };
        if campaign.totals.is_none() && campaign.estimate.is_none() {
            return Ok(None);
        }
        let latest = match &campaign.totals {
            Some(totals) => {
                campaigns::latest_calls(&mut connection, account_key, totals, calls).await?
            }
            None => Vec::new(),
        };
        Ok(Some(CampaignDetails { campaign, latest, is_complete }))
    }
}

fn take<T>(items: &mut Vec<T>, is_it: impl Fn(&T) -> bool) -> Option<T> {
    items.iter().position(is_it).map(|place| items.swap_remove(place))
}

impl Campaign {
    /// When its last call was charged, or its estimate made.
    fn last_at(&self) -> Option<DateTime<Utc>> {
        let estimated_at = self.estimate.as_ref().map(|kept| kept.at);
        self.totals.as_ref().map(|totals| totals.last_charged_at).max(estimated_at)
    }

    /// True while calls of it are charged.
    pub fn is_running(&self, now: DateTime<Utc>) -> bool {
        self.totals.as_ref().is_some_and(|totals| totals.last_charged_at > now - RUNNING)
    }

    /// What one charged call cost on average; `None`: there is none.
    pub fn cost_of_a_call(&self) -> Option<Money> {
        let totals = self.totals.as_ref()?;
        Some(share(totals.amount, 1, totals.calls))
    }

    /// What it costs in all, if the calls to come are like those charged: at the average billed
    /// time, after what the estimate has left of the plan's minutes. `None` without an estimate and
    /// without calls.
    pub fn course(&self) -> Option<Course> {
        let (totals, kept) = (self.totals.as_ref()?, self.estimate.as_ref()?);
        let estimate = &kept.estimate;
        let signed = |number: u64| i128::from(number);
        let to_come = (signed(estimate.answered_calls) - i128::from(totals.calls)).max(0);
        let billed = i128::from(totals.billed_seconds);
        let billed_to_come = billed * to_come / i128::from(totals.calls.max(1));
        let from_plan = i128::from(totals.allowance_seconds);
        let left_of_plan = (signed(estimate.allowance_seconds) - from_plan).max(0);
        let wallet_seconds = (billed_to_come - left_of_plan).max(0);
        // The price of a wallet second so far, else that of the estimate.
        let (price, over) = match billed - from_plan {
            0 => (i128::from(estimate.rate.micros()), 60),
            paid => (i128::from(totals.amount.micros()), paid),
        };
        let needed = divide_half_away_from_zero(price * wallet_seconds, over.max(1));
        let needed = Money::from_micros(i64::try_from(needed).unwrap_or(i64::MAX));
        let cost = totals.amount.checked_add(needed).unwrap_or(totals.amount);
        let state = if cost < estimate.cost.low {
            CourseState::Below
        } else if cost > estimate.cost.high {
            CourseState::Above
        } else {
            CourseState::Within
        };
        Some(Course { cost, needed, state })
    }

    /// What was expected of the estimate's cost by now: its share of the answered calls.
    pub fn expected_by_now(&self) -> Option<Money> {
        let (totals, kept) = (self.totals.as_ref()?, self.estimate.as_ref()?);
        let answered = i64::try_from(kept.estimate.answered_calls).unwrap_or(i64::MAX);
        Some(share(kept.estimate.cost.expected, totals.calls.min(answered), answered))
    }
}

/// A share of an amount, rounded once.
fn share(amount: Money, part: i64, of: i64) -> Money {
    let micros = i128::from(amount.micros()) * i128::from(part);
    let micros = divide_half_away_from_zero(micros, i128::from(of.max(1)));
    Money::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
