//! The typed settings. Units and effects are documented in `config/callmeter.toml`.

use std::path::PathBuf;

use callmeter_core::domain::{Money, RentalAnchor, ZeroDurationCompleted};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::alerts::Alerts;
use super::clock::ClockSettings;
use super::error::{Problem, refuse};
use super::http::Http;
use super::jobs::{Insights, Reconcile, Sweep};
use super::notifications::{Mail, Webhooks};
use super::numbers::Numbers;
use super::page::Page;
use super::payments::{AutoRefill, Refill, Stripe};
use super::privacy::Privacy;
use super::secrets::{Secrets, Twilio};
use super::{ConnectionUrl, KafkaOptions};
use crate::clock::Clock;

/// Every setting, checked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Settings {
    pub http: Http,
    pub database: Database,
    pub redis: Redis,
    pub kafka: Kafka,
    pub batch: Batch,
    pub charging: Charging,
    pub holds: Holds,
    pub rentals: Rentals,
    pub numbers: Numbers,
    pub rejects: Rejects,
    pub wallet: Wallet,
    pub alerts: Alerts,
    pub catalog: CatalogFile,
    pub clock: ClockSettings,
    pub stripe: Stripe,
    pub page: Page,
    pub refill: Refill,
    pub auto_refill: AutoRefill,
    pub webhooks: Webhooks,
    pub mail: Mail,
    pub twilio: Twilio,
    pub secrets: Secrets,
    pub privacy: Privacy,
    pub sweep: Sweep,
    pub reconcile: Reconcile,
    pub insights: Insights,
    pub log: Log,
}

/// `[database]`: the ledger in Postgres.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Database {
    pub url: ConnectionUrl,
    pub connections_max: u32,
}

/// `[redis]`: holds and projections.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Redis {
    pub url: ConnectionUrl,
}

/// `[kafka]`: the source of events.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Kafka {
    pub brokers: String,
    pub group: String,
    pub topic_calls: String,
    pub topic_rentals: String,
    pub topic_events: String,
    pub partitions: i32,
    pub stall_seconds: u32,
    pub options: KafkaOptions,
}

/// `[batch]`: the limits of one transaction of the meter.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Batch {
    pub records_max: usize,
    pub bytes_max: usize,
    pub linger_milliseconds: u64,
    pub commits_max: usize,
    pub large_max: usize,
}

/// `[charging]`: what is billed, and what is rejected.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Charging {
    pub zero_duration_completed: ZeroDurationCompleted,
    pub call_seconds_max: u32,
    pub end_ahead_seconds_max: u32,
}

/// `[holds]`: how much allowance and money calls in progress reserve.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Holds {
    pub asked_seconds: u32,
    pub grant_seconds_max: u32,
    pub ring_seconds: u32,
    pub grace_seconds: u32,
    pub stream_seconds: u32,
    pub expired_per_step_max: u32,
    pub unjournaled_account_max: usize,
    pub unjournaled_max: usize,
}

/// `[rentals]`: monthly fees of numbers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Rentals {
    pub retry_days: u32,
    pub anchor: RentalAnchor,
}

/// `[rejects]`: records that could not be charged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Rejects {
    pub bytes_max: u64,
}

/// `[wallet]`: what customers see.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Wallet {
    pub low_balance_threshold: Money,
    pub watchers_max: u32,
    pub account_watchers_max: u32,
}

/// `[catalog]`: rates and plans.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct CatalogFile {
    pub path: PathBuf,
}

/// `[log]`: the log lines on standard error.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// The program's clock.
    pub fn clock(&self) -> Clock {
        Clock::system().moved_by(TimeDelta::seconds(self.clock.offset_seconds))
    }

    /// Finds the first key whose value has the right type and is still wrong.
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.http.check()?;
        self.check_servers()?;
        let positive = [
            ("http.body_bytes_max", self.http.body_bytes_max > 0),
            ("http.request_seconds_max", self.http.request_seconds_max > 0),
            ("http.requests_in_progress_max", self.http.requests_in_progress_max > 0),
            ("http.connections_max", self.http.connections_max > 0),
            ("database.connections_max", self.database.connections_max > 0),
            ("kafka.partitions", self.kafka.partitions > 0),
            ("kafka.stall_seconds", self.kafka.stall_seconds > 0),
            ("batch.records_max", self.batch.records_max > 0),
            ("batch.bytes_max", self.batch.bytes_max > 0),
            ("batch.commits_max", self.batch.commits_max > 0),
            ("batch.large_max", self.batch.large_max > 0),
            ("charging.call_seconds_max", self.charging.call_seconds_max > 0),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, holds)| !holds) {
            return refuse(key, "is zero or less", "give 1 or more");
        }
        if self.charging.call_seconds_max > 10 * 86_400 {
            return refuse(
                "charging.call_seconds_max",
                "is more than 10 days",
                "give 864000 or less",
            );
        }
        self.holds.check()?;
        self.secrets.check()?;
        self.privacy.check()?;
        self.twilio.check()?;
        self.stripe.check(self.http.request_seconds_max.into())?;
        self.refill.check()?;
        self.auto_refill.check()?;
        self.webhooks.check()?;
        self.mail.check()?;
        self.page.check(self.http.public_url.as_deref())?;
        self.clock.check(self.stripe.is_live(), &self.twilio.api_base)?;
        self.alerts.check()?;
        self.sweep.check()?;
        self.reconcile.check()?;
        self.insights.check()?;
        self.numbers.check()?;
        let watchers = [
            ("wallet.watchers_max", self.wallet.watchers_max),
            ("wallet.account_watchers_max", self.wallet.account_watchers_max),
        ];
        if let Some((key, _)) = watchers.into_iter().find(|(_, most)| *most > 1_000_000) {
            return refuse(key, "is more than 1000000", "give 0 to 1000000");
        }
        if self.wallet.low_balance_threshold.is_negative() {
            return refuse("wallet.low_balance_threshold", "is negative", "give \"0\" or more");
        }
        if tracing_subscriber::EnvFilter::try_new(&self.log.level).is_err() {
            let remedy =
                "give error, warn, info, debug, trace, or a filter such as \"info,sqlx=warn\"";
            return refuse("log.level", "is not a log level", remedy);
        }
        Ok(())
    }

    fn check_servers(&self) -> Result<(), Problem> {
        if self.database.url.expose().parse::<sqlx::postgres::PgConnectOptions>().is_err()
            || !self.database.url.expose().starts_with("postgres")
        {
            return refuse(
                "database.url",
                "is not a Postgres URL",
                "give postgres://user@host:port/name",
            );
        }
        let redis = self.redis.url.expose();
        if !is_redis_url(redis) {
            return refuse(
                "redis.url",
                "is not a Redis URL",
                "give redis://host:port or rediss://host:port",
            );
        }
        let has_port = |broker: &str| {
            let port = broker.trim().rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            matches!(port, Some(Ok(1..)))
        };
        if !self.kafka.brokers.split(',').all(has_port) {
            return refuse(
                "kafka.brokers",
                "is not a list of brokers",
                "give host:port, or several with commas",
            );
        }
        let topic_problem = "is not a topic name";
        let topic_remedy = "give 1 to 249 of letters, digits, `.`, `_` and `-`";
        if !is_topic(&self.kafka.topic_calls) {
            return refuse("kafka.topic_calls", topic_problem, topic_remedy);
        }
        if !is_topic(&self.kafka.topic_rentals) {
            return refuse("kafka.topic_rentals", topic_problem, topic_remedy);
        }
        if self.kafka.topic_calls == self.kafka.topic_rentals {
            return refuse("kafka.topic_rentals", "is the topic of calls", "give another topic");
        }
        if !is_topic(&self.kafka.topic_events) {
            return refuse("kafka.topic_events", topic_problem, topic_remedy);
        }
        if [&self.kafka.topic_calls, &self.kafka.topic_rentals].contains(&&self.kafka.topic_events)
        {
            let fault = "is a topic that callmeter reads";
            return refuse("kafka.topic_events", fault, "give another topic");
        }
        if self.kafka.group.is_empty() {
            return refuse("kafka.group", "is empty", "give a name for the consumer group");
        }
        Ok(())
    }
}

impl Holds {
    /// The longest grant that the scripts in Redis compute exactly; no call is longer.
    const GRANT_SECONDS_MAX: u32 = 86_400;

    fn check(&self) -> Result<(), Problem> {
        // A wallet stays in Redis for two idle days, longer than the sum of these maxima.
        let ranges = [
            ("holds.asked_seconds", self.asked_seconds, 1..=Self::GRANT_SECONDS_MAX),
            ("holds.grant_seconds_max", self.grant_seconds_max, 1..=Self::GRANT_SECONDS_MAX),
            ("holds.stream_seconds", self.stream_seconds, 1..=Self::GRANT_SECONDS_MAX),
            ("holds.ring_seconds", self.ring_seconds, 0..=3_600),
            ("holds.grace_seconds", self.grace_seconds, 0..=43_200),
            ("holds.expired_per_step_max", self.expired_per_step_max, 1..=1_000),
        ];
        if let Some((key, value, _)) =
            ranges.iter().find(|(_, value, range)| !range.contains(value))
        {
            let remedy = "config/callmeter.toml gives its range";
            return refuse(key, format!("is {value}, out of its range"), remedy);
        }
        let counts = [
            ("holds.unjournaled_account_max", self.unjournaled_account_max),
            ("holds.unjournaled_max", self.unjournaled_max),
        ];
        match counts.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => refuse(key, "is zero", "give 1 or more"),
            None => Ok(()),
        }
    }
}

/// `redis://host:port` or `rediss://…`; a path is a database from 0 to 15.
fn is_redis_url(url: &str) -> bool {
    let rest = url.strip_prefix("redis://").or_else(|| url.strip_prefix("rediss://"));
    let Some(rest) = rest else { return false };
    let address = rest.split_once('?').map_or(rest, |(address, _)| address);
    let (host, database) = address.split_once('/').unwrap_or((address, ""));
    !host.is_empty() && (database.is_empty() || matches!(database.parse::<u8>(), Ok(0..=15)))
}

fn is_topic(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}
