//! Rates every charge again from its evidence.
//!
//! A charge used the subscriptions and catalogs committed before it; later backdated ones do not
//! apply to it. Clocks of several machines differ, so a change within [`CLOCKS_DIFFER_SECONDS`] of
//! a charge may or may not have applied.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use callmeter_core::domain::{
    Call, CallSid, Catalog, CatalogHistory, CatalogVersion, PlanId, Subscription, SubscriptionId,
    SubscriptionTimeline, VersionedCatalog, ZeroDurationCompleted,
};
use callmeter_core::rating::{Price, Terms, rate, terms_at};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::{Findings, VerifyError};

/// Charges in memory at once.
const CHARGES_FETCHED: usize = 5_000;

/// Largest difference between the clocks of two machines.
const CLOCKS_DIFFER_SECONDS: i64 = 10;

const INVARIANT: &str = "charges_are_rated_by_their_evidence";

/// The evidence of one charge.
#[derive(sqlx::FromRow)]
struct Charge {
    account_key: i32,
    #[sqlx(rename = "charge_sequence")]
    sequence: i64,
    charged_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
    cycle_start: Option<DateTime<Utc>>,
    subscription_id: Option<i64>,
    allowance_before_seconds: i64,
    rate_micros: i64,
    amount_micros: i64,
    catalog_version: i32,
    seconds: i32,
    billed_seconds: i32,
    allowance_seconds: i32,
    wallet_seconds: i32,
    call_sid: String,
    parent_call_sid: Option<String>,
    call_from: Option<String>,
    call_to: Option<String>,
    direction: Option<String>,
    matched_prefix: Option<String>,
    plan: Option<String>,
}

#[derive(sqlx::FromRow)]
struct SubscriptionRow {
    account_key: i32,
    subscription_id: i64,
    plan: Option<String>,
    starts_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

/// Rates all charges again, in the order in which allowance was used; returns how many.
pub(super) async fn rerate(
    connection: &mut PgConnection,
    findings: &mut Findings,
) -> Result<u64, VerifyError> {
    let catalogs = Catalogs::load(connection).await?;
    sqlx::query(
        "-- verify: rerate
        DECLARE charges_in_order NO SCROLL CURSOR FOR
        SELECT account_key, charge_sequence, charged_at, started_at, cycle_start, subscription_id,
            allowance_before_seconds, rate_micros, amount_micros, catalog_version, seconds,
            billed_seconds, allowance_seconds, wallet_seconds, call_sid, parent_call_sid, call_from,
            call_to, direction, matched_prefix, plan
        FROM charges ORDER BY account_key, charge_sequence",
    )
    .execute(&mut *connection)
    .await?;
    let fetch = format!("FETCH FORWARD {CHARGES_FETCHED} FROM charges_in_order");
    let mut account = Account::default();
    let mut charges = 0;
    loop {
        let fetched: Vec<Charge> =
            sqlx::query_as(fetch.as_str()).fetch_all(&mut *connection).await?;
        let mut timelines = load_subscriptions(connection, &fetched).await?;
        charges += fetched.len() as u64;
        for charge in &fetched {
            if charge.account_key != account.key {
                account = Account { key: charge.account_key, ..Account::default() };
            }
            if let Some(rows) = timelines.remove(&charge.account_key) {
                account.subscriptions = rows;
            }
            if let Err(difference) = account.rate_again(charge, &catalogs) {
                let id = account_id(connection, charge.account_key).await?;
                findings.add(
                    INVARIANT,
                    format!(
                        "account {id}, charge {}, call {}: {difference}",
                        charge.sequence, charge.call_sid
                    ),
                );
            }
            account.use_allowance(charge);
        }
        if fetched.len() < CHARGES_FETCHED {
            return Ok(charges);
        }
    }
}

async fn account_id(connection: &mut PgConnection, key: i32) -> Result<String, sqlx::Error> {
    let id: Option<String> =
        sqlx::query_scalar("-- verify: account_id\nSELECT id FROM accounts WHERE account_key = $1")
            .bind(key)
            .fetch_optional(connection)
            .await?;
    Ok(id.unwrap_or_else(|| format!("#{key}")))
}

/// The subscriptions of the accounts of `charges`, in order of creation.
async fn load_subscriptions(
    connection: &mut PgConnection,
    charges: &[Charge],
) -> Result<HashMap<i32, Vec<SubscriptionRow>>, sqlx::Error> {
    let mut keys: Vec<i32> = charges.iter().map(|charge| charge.account_key).collect();
    keys.dedup();
    let rows: Vec<SubscriptionRow> = sqlx::query_as(
        "-- verify: load_subscriptions
        SELECT account_key, subscription_id, plan, starts_at, created_at FROM subscriptions
        WHERE account_key = ANY($1) ORDER BY account_key, created_at, subscription_id",
    )
    .bind(keys)
    .fetch_all(connection)
    .await?;
    let mut timelines: HashMap<i32, Vec<SubscriptionRow>> = HashMap::new();
    for row in rows {
        timelines.entry(row.account_key).or_default().push(row);
    }
    Ok(timelines)
}

/// How many of the rows a charge at `charged_at` may have seen.
fn visible<T>(
    rows: &[T],
    written_at: impl Fn(&T) -> DateTime<Utc>,
    charged_at: DateTime<Utc>,
) -> std::ops::RangeInclusive<usize> {
    let apart = TimeDelta::seconds(CLOCKS_DIFFER_SECONDS);
    let surely = rows.partition_point(|row| written_at(row) < charged_at - apart);
    let perhaps = rows.partition_point(|row| written_at(row) <= charged_at + apart);
    surely..=perhaps
}

/// The catalogs as known at any time.
struct Catalogs {
    accepted_at: Vec<DateTime<Utc>>,
    /// At index n: the history of the first n + 1 versions.
    histories: Vec<CatalogHistory>,
}

impl Catalogs {
    async fn load(connection: &mut PgConnection) -> Result<Self, VerifyError> {
        let rows: Vec<(i32, DateTime<Utc>, DateTime<Utc>, String)> = sqlx::query_as(
            "-- verify: load_catalogs
            SELECT version, effective_at, accepted_at, source FROM catalog_versions ORDER BY version",
        )
        .fetch_all(connection)
        .await?;
        let mut versions = Vec::new();
        let mut catalogs = Self { accepted_at: Vec::new(), histories: Vec::new() };
        for (version, effective_at, accepted_at, source) in rows {
            let catalog = Catalog::parse(&source)
                .map_err(|source| VerifyError::Catalog { version, source })?;
            versions.push(VersionedCatalog {
                version: CatalogVersion(version),
                effective_at,
                catalog: Arc::new(catalog),
            });
            catalogs.accepted_at.push(accepted_at);
            catalogs.histories.push(CatalogHistory::new(versions.clone())?);
        }
        Ok(catalogs)
    }

    /// The histories that a charge at that time may have used, latest first.
    fn known_at(&self, charged_at: DateTime<Utc>) -> impl Iterator<Item = &CatalogHistory> {
        let counts = visible(&self.accepted_at, |at| *at, charged_at);
        counts.rev().filter_map(|count| self.histories.get(count.checked_sub(1)?))
    }
}

/// The account of the charges being read.
#[derive(Default)]
struct Account {
    key: i32,
    subscriptions: Vec<SubscriptionRow>,
    /// The timeline built last, with the number of subscriptions it contains.
    timeline: Option<(usize, SubscriptionTimeline)>,
    /// Seconds used, by subscription and cycle.
    used: HashMap<(i64, DateTime<Utc>), u64>,
}

impl Account {
    /// Compares a charge with its recomputed price; returns the differences as an error.
    fn rate_again(&mut self, charge: &Charge, catalogs: &Catalogs) -> Result<(), String> {
        let call = charge.call()?;
        let mut difference = None;
        for catalog in catalogs.known_at(charge.charged_at) {
            let counts = visible(&self.subscriptions, |row| row.created_at, charge.charged_at);
            for count in counts.rev() {
                self.build_timeline(count)?;
                let timeline = &self.timeline.as_ref().expect("it was just built").1;
                let terms = terms_at(catalog, timeline, charge.started_at)
                    .map_err(|error| error.to_string())?;
                match charge.compare(&call, &terms, self.used_seconds(&terms)) {
                    Ok(()) => return Ok(()),
                    Err(found) => difference = difference.or(Some(found)),
                }
            }
        }
        Err(difference.unwrap_or_else(|| "no catalog was accepted before it".to_owned()))
    }

    fn build_timeline(&mut self, count: usize) -> Result<(), String> {
        if self.timeline.as_ref().is_some_and(|(built, _)| *built == count) {
            return Ok(());
        }
        let entries = self.subscriptions[..count].iter().map(|row| {
            let plan = row.plan.as_deref().map(PlanId::parse).transpose();
            let plan = plan.map_err(|error| error.to_string())?;
            Ok(Subscription {
                id: SubscriptionId(row.subscription_id),
                plan,
                starts_at: row.starts_at,
            })
        });
        let entries = entries.collect::<Result<Vec<_>, String>>()?;
        self.timeline = Some((count, SubscriptionTimeline::new(entries)));
        Ok(())
    }

    fn used_seconds(&self, terms: &Terms<'_>) -> u64 {
        match terms {
            Terms::Standard { .. } => 0,
            Terms::Plan { subscription, cycle, .. } => {
                self.used.get(&(subscription.0, cycle.start)).copied().unwrap_or(0)
            }
        }
    }

    fn use_allowance(&mut self, charge: &Charge) {
        if let (Some(subscription), Some(cycle_start)) =
            (charge.subscription_id, charge.cycle_start)
        {
            let used = self.used.entry((subscription, cycle_start)).or_default();
            *used += u64::try_from(charge.allowance_seconds).unwrap_or(0);
        }
    }
}

impl Charge {
    /// A number of the call; if it was redacted, the prefix matched in it, which gives the same
    /// rate.
    fn end(&self, stored: Option<&str>) -> Option<Box<str>> {
        let prefix = self.matched_prefix.as_deref();
        if stored == Some("") { prefix.map(Into::into) } else { stored.map(Into::into) }
    }

    /// The call as it was rated.
    fn call(&self) -> Result<Call, String> {
        let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
        let seconds =
            u32::try_from(self.seconds).map_err(|_| format!("{} seconds", self.seconds))?;
        Ok(Call {
            call_sid: CallSid::parse(&self.call_sid).map_err(|error| error.to_string())?,
            parent_call_sid: boxed(&self.parent_call_sid),
            from: self.end(self.call_from.as_deref()),
            to: self.end(self.call_to.as_deref()),
            direction: boxed(&self.direction),
            ended_at: self.started_at + TimeDelta::seconds(seconds.into()),
            seconds,
            twilio_minutes: None,
            tag: None,
        })
    }

    fn compare(&self, call: &Call, terms: &Terms<'_>, used_seconds: u64) -> Result<(), String> {
        let mut prices = Vec::new();
        // The setting at that time is not in the row; for calls of 0 seconds both are right.
        for zero in [ZeroDurationCompleted::Minimum, ZeroDurationCompleted::Free] {
            let price = rate(call, terms, used_seconds, zero).map_err(|error| error.to_string())?;
            if self.written(terms, &price) {
                return Ok(());
            }
            prices.push(price);
            if call.seconds > 0 {
                break;
            }
        }
        Err(self.difference(terms, &prices[0]))
    }

    /// True if the row matches.
    fn written(&self, terms: &Terms<'_>, price: &Price) -> bool {
        let (subscription, cycle_start) = subscription_and_cycle(terms);
        self.plan.as_deref() == terms.plan().map(|plan| plan.id.as_str())
            && self.subscription_id == subscription
            && self.cycle_start == cycle_start
            && self.catalog_version == terms.version().0
            && self.matched_prefix.as_deref() == price.matched_prefix.as_deref()
            && u64::try_from(self.allowance_before_seconds) == Ok(price.allowance_before_seconds)
            && u32::try_from(self.billed_seconds) == Ok(price.billed_seconds)
            && u32::try_from(self.allowance_seconds) == Ok(price.allowance_seconds)
            && u32::try_from(self.wallet_seconds) == Ok(price.wallet_seconds)
            && self.rate_micros == price.rate.micros()
            && self.amount_micros == price.amount.micros()
    }

    /// The stored and the right values, if they differ.
    fn difference(&self, terms: &Terms<'_>, price: &Price) -> String {
        let (subscription, cycle_start) = subscription_and_cycle(terms);
        let mut text = String::new();
        let mut compare = |what: &str, stored: String, right: String| {
            if stored != right {
                let comma = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{comma}{what} {stored} should be {right}");
            }
        };
        let plan = terms.plan().map(|plan| plan.id.as_str().to_owned());
        let prefix = price.matched_prefix.as_deref().map(str::to_owned);
        compare("plan", or_none(self.plan.as_ref()), or_none(plan.as_ref()));
        compare(
            "subscription",
            or_none(self.subscription_id.as_ref()),
            or_none(subscription.as_ref()),
        );
        compare("cycle", or_none(self.cycle_start.as_ref()), or_none(cycle_start.as_ref()));
        compare("catalog version", self.catalog_version.to_string(), terms.version().to_string());
        compare("prefix", or_none(self.matched_prefix.as_ref()), or_none(prefix.as_ref()));
        let numbers = [
            (
                "allowance before",
                self.allowance_before_seconds,
                price.allowance_before_seconds.cast_signed(),
            ),
            ("billed seconds", self.billed_seconds.into(), price.billed_seconds.into()),
            ("allowance seconds", self.allowance_seconds.into(), price.allowance_seconds.into()),
            ("wallet seconds", self.wallet_seconds.into(), price.wallet_seconds.into()),
            ("rate", self.rate_micros, price.rate.micros()),
            ("amount", self.amount_micros, price.amount.micros()),
        ];
        for (what, stored, right) in numbers {
            compare(what, stored.to_string(), right.to_string());
        }
        text
    }
}

fn subscription_and_cycle(terms: &Terms<'_>) -> (Option<i64>, Option<DateTime<Utc>>) {
    match terms {
        Terms::Standard { .. } => (None, None),
        Terms::Plan { subscription, cycle, .. } => (Some(subscription.0), Some(cycle.start)),
    }
}

fn or_none<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}
