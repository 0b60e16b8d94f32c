//! `[stripe]` and `[refill]`: payments by card.

use callmeter_core::domain::Money;
use callmeter_core::policy::auto_refill::AutoRefillLimits;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::Secret;
use super::error::{Problem, refuse};

/// Stripe's own API: the only place that a live key is sent to.
const STRIPE_API: &str = "https://api.stripe.com";
/// Stripe's own script: the only one that takes real cards.
const STRIPE_JS: &str = "https://js.stripe.com/";
/// Declined tries in an hour with a live key, where the setting gives none.
const LIVE_DECLINES_PER_HOUR: u32 = 10;
/// Setups of cards of one account in an hour with a live key, where the setting is not given.
const LIVE_SETUPS_PER_HOUR: u32 = 10;
/// The most that Stripe takes in one payment.
pub const PAYMENT_MAX: Money = Money::from_micros(999_999_990_000);

/// `[stripe]`: card payments.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Stripe {
    pub api_key: Option<Secret>,
    pub publishable_key: Option<String>,
    pub webhook_secret: Option<Secret>,
    pub api_base: String,
    pub js_url: String,
    pub timeout_seconds: u32,
    pub lookup_seconds: u32,
    pub action_minutes: u32,
    pub reconcile_seconds: u32,
}

/// `[refill]`: how customers pay into their wallets.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Refill {
    pub minimum: Money,
    pub declines_per_hour: Option<u32>,
    pub setups_per_hour: Option<u32>,
    pub daily_max: Option<Money>,
}

/// `[auto_refill]`: the limits of automatic refills.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct AutoRefill {
    pub burst_max: u32,
    pub burst_seconds: u32,
    pub backoff_seconds: u32,
    pub monthly_cap: Money,
}

impl AutoRefill {
    /// The limits, with those of refills.
    pub fn limits(&self, refill: &Refill) -> AutoRefillLimits {
        AutoRefillLimits {
            minimum: refill.minimum,
            maximum: PAYMENT_MAX,
            burst_max: self.burst_max.into(),
            burst: TimeDelta::seconds(self.burst_seconds.into()),
            backoff: TimeDelta::seconds(self.backoff_seconds.into()),
        }
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        const RANGE: &str = "config/callmeter.toml gives its range";
        let ranges = [
            ("auto_refill.burst_max", self.burst_max, 1..=1_000),
            ("auto_refill.burst_seconds", self.burst_seconds, 1..=86_400),
            ("auto_refill.backoff_seconds", self.backoff_seconds, 1..=86_400),
        ];
        for (name, value, range) in ranges {
            if !range.contains(&value) {
                return refuse(name, format!("is {value}, out of its range"), RANGE);
            }
        }
        if !self.monthly_cap.is_positive() {
            return refuse("auto_refill.monthly_cap", "is not positive", "give dollars");
        }
        Ok(())
    }
}

impl Stripe {
    /// True if the key moves real money.
    pub fn is_live(&self) -> bool {
        let key = self.api_key.as_ref().map(Secret::expose);
        key.is_some_and(|key| key.starts_with("sk_live_") || key.starts_with("rk_live_"))
    }

    /// The secrets that sign web hooks: one, or two while it rolls.
    pub fn webhook_secrets(&self) -> Vec<Secret> {
        let all = self.webhook_secret.as_ref().map(Secret::expose).unwrap_or_default();
        let each = all.split(',').map(str::trim).filter(|secret| !secret.is_empty());
        each.map(|secret| Secret::from(secret.to_owned())).collect()
    }

    pub(super) fn check(&self, request_seconds_max: u64) -> Result<(), Problem> {
        const RANGE: &str = "config/callmeter.toml gives its range";
        let base = self.api_base.trim_end_matches('/');
        if self.is_live() && base != STRIPE_API {
            let remedy = "use a test key with another address";
            return refuse("stripe.api_base", "is not Stripe's, and the key is live", remedy);
        }
        if !(base.starts_with("https://") || base.starts_with("http://")) {
            return refuse("stripe.api_base", "is not an HTTP address", "give https://host");
        }
        if self.is_live() && !self.js_url.starts_with(STRIPE_JS) {
            let remedy = "use a test key with another address";
            return refuse("stripe.js_url", "is not Stripe's, and the key is live", remedy);
        }
        if !super::page::is_web_address(&self.js_url) {
            return refuse("stripe.js_url", "is not an HTTP address", "give https://host/path");
        }
        if self.webhook_secrets().len() > 2 {
            return refuse("stripe.webhook_secret", "is more than two secrets", "give one or two");
        }
        let longest = request_seconds_max.saturating_sub(1);
        let is_short = (1..=longest).contains(&u64::from(self.timeout_seconds));
        if self.api_key.is_some() && !is_short {
            let fault = format!("is {}, not from 1 to {longest}", self.timeout_seconds);
            let remedy = "stay at least a second below http.request_seconds_max";
            return refuse("stripe.timeout_seconds", fault, remedy);
        }
        if !(1..=3_600).contains(&self.lookup_seconds) {
            let fault = format!("is {}, out of its range", self.lookup_seconds);
            return refuse("stripe.lookup_seconds", fault, RANGE);
        }
        if !(1..=1_440).contains(&self.action_minutes) {
            let fault = format!("is {}, out of its range", self.action_minutes);
            return refuse("stripe.action_minutes", fault, RANGE);
        }
        if !(1..=604_800).contains(&self.reconcile_seconds) {
            let fault = format!("is {}, out of its range", self.reconcile_seconds);
            return refuse("stripe.reconcile_seconds", fault, RANGE);
        }
        Ok(())
    }
}

impl Refill {
    /// Declined tries of an account in an hour; `None`: no limit.
    pub fn declines_per_hour(&self, is_live: bool) -> Option<i64> {
        let default = if is_live { LIVE_DECLINES_PER_HOUR } else { 0 };
        Some(self.declines_per_hour.unwrap_or(default)).filter(|most| *most > 0).map(i64::from)
    }

    /// Setups of cards that an account may begin in an hour; `None`: no limit.
    pub fn setups_per_hour(&self, is_live: bool) -> Option<i64> {
        let default = if is_live { LIVE_SETUPS_PER_HOUR } else { 0 };
        Some(self.setups_per_hour.unwrap_or(default)).filter(|most| *most > 0).map(i64::from)
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        let whole_cents = self.minimum.micros() % 10_000 == 0;
        if !self.minimum.is_positive() || self.minimum > PAYMENT_MAX || !whole_cents {
            let remedy = "give \"0.50\" to \"999999.99\", in whole cents";
            return refuse("refill.minimum", "cannot be paid", remedy);
        }
        if self.daily_max.is_some_and(|most| most < self.minimum) {
            return refuse(
                "refill.daily_max",
                "is below refill.minimum",
                "give more, or leave out",
            );
        }
        Ok(())
    }
}
