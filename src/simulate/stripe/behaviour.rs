//! Behaviour of the local Stripe, and faults that a test asks for.

use serde::{Deserialize, Serialize};
use serde_json::Number;

/// Behaviour of the local Stripe. A number of 0 switches its fault off; a percentage of 100 means
/// every one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Seed of ids and of everything that is left to chance.
    pub seed: u64,
    /// One request in this many is answered 429.
    pub busy_every: u64,
    /// `Retry-After` of a 429, in seconds; 0 leaves the header out.
    pub retry_after_seconds: u64,
    /// Time before a request has its effect, while its idempotency key is in use.
    pub latency_milliseconds: u64,
    /// Refuses connections and cuts those that are open.
    pub refuses_connections: bool,
    /// Objects and events are those of live mode.
    pub livemode: bool,
    /// Currency of the account's balance, lower case and of two places; empty: `usd`. What moves in
    /// another currency is converted.
    pub settlement_currency: String,
    /// What one unit of a payment's currency is in the balance's, in millionths.
    pub settlement_rate_millionths: u64,
    /// `api_version` of events; empty: the version of the endpoint.
    pub event_api_version: String,
    /// Keeps deliveries back while it is set.
    pub holds_deliveries: bool,
    /// Deliveries that are lost, in percent; Stripe considers them delivered.
    pub lost_percent: u8,
    /// Deliveries that come twice, in percent.
    pub doubled_percent: u8,
    /// Deliveries that come after those that follow them, in percent.
    pub reordered_percent: u8,
    /// Deliveries before which a forged one comes, with a wrong signature, in percent.
    pub forged_percent: u8,
    /// Time before the first attempt of a delivery.
    pub delivery_delay_milliseconds: u64,
    /// First pause after a failed delivery; it doubles with every attempt, up to 100 times.
    pub retry_milliseconds: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            seed: 1,
            busy_every: 0,
            retry_after_seconds: 0,
            latency_milliseconds: 0,
            refuses_connections: false,
            livemode: false,
            settlement_currency: String::new(),
            settlement_rate_millionths: 1_000_000,
            event_api_version: String::new(),
            holds_deliveries: false,
            lost_percent: 0,
            doubled_percent: 0,
            reordered_percent: 0,
            forged_percent: 0,
            delivery_delay_milliseconds: 0,
            retry_milliseconds: 200,
        }
    }
}

impl Behaviour {
    /// Currency of the account's balance.
    pub(super) fn settles_in(&self) -> &str {
        match self.settlement_currency.as_str() {
            "" => "usd",
            currency => currency,
        }
    }

    /// An amount in the balance's currency, rounded to its hundredth.
    pub(super) fn settled(&self, amount: i64, currency: &str) -> i64 {
        if currency == self.settles_in() {
            return amount;
        }
        let product = i128::from(amount) * i128::from(self.settlement_rate_millionths);
        let half = if product < 0 { -500_000 } else { 500_000 };
        i64::try_from((product + half) / 1_000_000).unwrap_or(i64::MAX)
    }

    /// The rate as Stripe writes it, where an amount was converted.
    pub(super) fn exchange_rate(&self, currency: &str) -> Option<Number> {
        if currency == self.settles_in() {
            return None;
        }
        let rate = self.settlement_rate_millionths;
        format!("{}.{:06}", rate / 1_000_000, rate % 1_000_000).parse().ok()
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Answers 429 `rate_limit`; nothing is kept for the key.
    Busy,
    /// Answers 429 `lock_timeout`; nothing is kept for the key.
    LockTimeout,
    /// Answers 503 from before the API; nothing is kept for the key.
    Unavailable,
    /// Answers 500 without an effect, and keeps that answer for the key.
    ServerErrorBeforeEffect,
    /// Has its effect, answers 500, and keeps that answer for the key.
    ServerErrorAfterEffect,
    /// Never answers and has no effect: the request was lost on its way.
    HangBeforeEffect,
    /// Has its effect once the faults are cleared, even if nobody waits any more; until then the key
    /// is in use.
    HangThenEffect,
    /// Has its effect, keeps the answer for the key, and does not send it until the faults are
    /// cleared.
    HangAfterEffect,
    /// Closes the connection without an effect.
    ResetBeforeEffect,
    /// Has its effect, keeps the answer for the key, and closes the connection instead.
    ResetAfterEffect,
    /// Has its effect, keeps the answer for the key, and sends a body that is no JSON.
    UnreadableAfterEffect,
}

/// A fault of the requests that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What happens.
    pub fault: Fault,
    /// Method and path such as `POST /v1/payment_intents/*/confirm`; `*` stands for one segment.
    /// Empty: every request of the API.
    #[serde(default)]
    pub request: String,
    /// Number of matching requests that pass first.
    #[serde(default)]
    pub skip: u64,
    /// Number of matching requests that the fault hits; 0 means all.
    #[serde(default = "once")]
    pub times: u64,
}

fn once() -> u64 {
    1
}

impl FaultRule {
    /// A fault that hits the next request that matches.
    pub fn once(fault: Fault, request: &str) -> Self {
        Self { fault, request: request.to_owned(), skip: 0, times: 1 }
    }

    /// A fault that hits every request that matches.
    pub fn always(fault: Fault, request: &str) -> Self {
        Self { times: 0, ..Self::once(fault, request) }
    }

    /// True if it is for a request.
    pub fn matches(&self, method: &str, path: &str) -> bool {
        let Some((of_method, pattern)) = self.request.split_once(' ') else {
            return self.request.is_empty();
        };
        let (pattern, path) = (pattern.split('/'), path.split('/'));
        of_method == method
            && pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(pattern, part)| pattern == "*" || pattern == part)
    }
}

/// The fault that hits a request; spent rules are removed.
pub(super) fn hit(rules: &mut Vec<FaultRule>, method: &str, path: &str) -> Option<Fault> {
    let place = rules.iter().position(|rule| rule.matches(method, path))?;
    let rule = &mut rules[place];
    if rule.skip > 0 {
        rule.skip -= 1;
        return None;
    }
    let fault = rule.fault;
    if rule.times == 1 {
        rules.remove(place);
    } else if rule.times > 1 {
        rule.times -= 1;
    }
    Some(fault)
}
