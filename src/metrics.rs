//! Every metric in one file: names, help and the recorder. Base units, no account or phone labels.
//!
//! Counters of money hold whole micro-dollars and are rendered as dollars, so that amounts are
//! never added as floats.

use std::time::Duration;

use callmeter_core::domain::Money;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Records read from Kafka, by outcome.
pub const EVENTS: &str = "callmeter_events_total";
/// Dollars charged by this process, by kind of transaction. Count with [`add_dollars`].
pub const CHARGED_DOLLARS: &str = "callmeter_charged_dollars_total";
/// Seconds to commit one batch.
pub const BATCH_COMMIT_SECONDS: &str = "callmeter_batch_commit_seconds";
/// Records in one committed batch.
pub const BATCH_RECORDS: &str = "callmeter_batch_records";
/// Seconds from a call's end to the commit of its charge, for calls charged within
/// [`EVENT_LAG_MAX`]: the delay of Twilio, Kafka and this service together.
pub const EVENT_LAG_SECONDS: &str = "callmeter_event_lag_seconds";
/// Calls charged later than [`EVENT_LAG_MAX`] after their end, which are not in the lag's
/// histogram.
pub const EVENTS_LATE: &str = "callmeter_events_late_total";
/// Records in Kafka that are not yet charged, by topic and partition.
pub const CONSUMER_LAG_RECORDS: &str = "callmeter_consumer_lag_records";
/// 1 if a partition waits for an operator to decide where it continues, by topic and partition.
pub const PARTITION_HALTED: &str = "callmeter_partition_halted";
/// 1 if a partition makes no progress although records wait, by topic and partition.
pub const PARTITION_STALLED: &str = "callmeter_partition_stalled";
/// Dollars by which charges took balances beyond their credit limits. Count with [`add_dollars`].
pub const OVERSHOOT_DOLLARS: &str = "callmeter_overshoot_dollars_total";
/// Open rejects: neither replayed nor closed.
pub const REJECTED_RECORDS: &str = "callmeter_rejected_records";
/// Dollars debited by all replays so far, by kind of transaction: a sum in the ledger, the same in
/// every process. Show with [`show_dollars`].
pub const REPLAYED_DOLLARS: &str = "callmeter_replayed_dollars_total";
/// Rejects whose bytes Kafka did not have any more when they were to be kept.
pub const REJECTS_WITHOUT_BYTES: &str = "callmeter_rejects_without_bytes_total";
/// Bytes of kept rejects.
pub const REJECTED_BYTES: &str = "callmeter_rejected_bytes";
/// Calls whose count of minutes by Twilio disagreed with their seconds.
pub const DURATION_DISAGREEMENTS: &str = "callmeter_duration_disagreements_total";
/// Dollars by which the ledger disagrees with itself, as last verified.
pub const LEDGER_DRIFT_DOLLARS: &str = "callmeter_ledger_drift_dollars";
/// Retries of unpaid rents, by outcome.
pub const RENTAL_ATTEMPTS: &str = "callmeter_rental_attempts_total";
/// Transactions retried after a conflict.
pub const TRANSACTION_RETRIES: &str = "callmeter_transaction_retries_total";
/// Authorizations, by decision and reason.
pub const AUTHORIZATIONS: &str = "callmeter_authorizations_total";
/// Seconds to decide an authorization.
pub const AUTHORIZATION_SECONDS: &str = "callmeter_authorization_seconds";
/// Holds of calls in progress, as of the last patrol.
pub const HOLDS_ACTIVE: &str = "callmeter_holds_active";
/// Dollars held by them.
pub const HELD_DOLLARS: &str = "callmeter_held_dollars";
/// Seconds that the oldest hold has waited to be journaled.
pub const HOLD_JOURNAL_LAG_SECONDS: &str = "callmeter_hold_journal_lag_seconds";
/// Expired holds that were released.
pub const HOLDS_EXPIRED: &str = "callmeter_holds_expired_total";
/// Dollars granted beyond the pool, because Redis lost holds before they were journaled. Count with
/// [`add_dollars`].
pub const HOLDS_BEYOND_POOL_DOLLARS: &str = "callmeter_holds_beyond_pool_dollars_total";
/// Holds restored after a loss of Redis because they were journaled too late for the load.
pub const HOLDS_RESTORED_LATE: &str = "callmeter_holds_restored_late_total";
/// Projections dropped because too many waited; the patrol makes up for them.
pub const PROJECTIONS_DROPPED: &str = "callmeter_projections_dropped_total";
/// Charged records whose status events are not yet applied to holds, by topic and partition; missed
/// events are read from Kafka again.
pub const SIGNALS_LAG_RECORDS: &str = "callmeter_signals_lag_records";
/// Status events that will never change a hold, because a script refused them.
pub const SIGNALS_DROPPED: &str = "callmeter_signals_dropped_total";
/// Callbacks and events posted by Twilio, by kind, by what signs them (`token`, `shared_key`) and
/// by outcome of the request.
pub const CALLBACKS: &str = "callmeter_callbacks_total";
/// Records in these requests: published to Kafka, or events refused as another account's.
pub const CALLBACK_RECORDS: &str = "callmeter_callback_records_total";
/// Answered requests, by method, route and status.
pub const HTTP_REQUESTS: &str = "callmeter_http_requests_total";
/// Seconds from a request's head to its response's head, by method and route.
pub const HTTP_REQUEST_SECONDS: &str = "callmeter_http_request_seconds";
/// Streams of live changes of wallets that are open.
pub const LIVE_STREAMS: &str = "callmeter_live_streams";
/// Streams of live changes that were refused because too many were open.
pub const LIVE_STREAMS_REFUSED: &str = "callmeter_live_streams_refused_total";
/// Open connections to the API's listeners.
pub const HTTP_CONNECTIONS: &str = "callmeter_http_connections";
/// Connections closed at once because too many were open.
pub const HTTP_CONNECTIONS_REFUSED: &str = "callmeter_http_connections_refused_total";
/// Requests refused by a rate limit, by limit.
pub const HTTP_RATE_LIMITED: &str = "callmeter_http_rate_limited_total";
/// Records whose offset does not follow the last one: transaction markers, compaction.
pub const OFFSET_GAPS: &str = "callmeter_offset_gaps_total";
/// Unix time of the start of each job's last successful run.
pub const JOB_LAST_SUCCESS_TIMESTAMP: &str = "callmeter_job_last_success_timestamp_seconds";
/// Job runs by this process, by job and outcome.
pub const JOB_RUNS: &str = "callmeter_job_runs_total";
/// Refills by trigger, and by what became of them or that it is not known yet.
pub const REFILLS: &str = "callmeter_refills_total";
/// Stripe's events, by type and by what became of them.
pub const STRIPE_EVENTS: &str = "callmeter_stripe_events_total";
/// Events of the outbox that were published to Kafka.
pub const EVENTS_PUBLISHED: &str = "callmeter_events_published_total";
/// Alerts, warnings of budgets and notices of refused calls that were published, by type.
pub const ALERTS: &str = "callmeter_alerts_total";
/// Events of the outbox that wait to be published.
pub const OUTBOX_WAITING: &str = "callmeter_outbox_waiting_events";
/// Numbers of customers, by what became of them.
pub const NUMBERS: &str = "callmeter_numbers_total";
/// Periods of numbers that were published to be charged.
pub const RENTALS_PUBLISHED: &str = "callmeter_rentals_published_total";
/// Types of numbers that cost more at Twilio than in the catalog, as last compared.
pub const NUMBERS_UNDERPRICED: &str = "callmeter_numbers_underpriced";
/// Numbers that only Twilio has, or only the ledger, as last compared.
pub const NUMBERS_ASTRAY: &str = "callmeter_numbers_astray";
/// Attempts to post events to customers, by outcome.
pub const WEBHOOK_DELIVERIES: &str = "callmeter_webhook_deliveries_total";
/// Deliveries to customers that wait for their first or next attempt.
pub const WEBHOOKS_WAITING: &str = "callmeter_webhooks_waiting_deliveries";
/// Mails to customers, by outcome.
pub const MAILS: &str = "callmeter_mails_total";
/// Mails to customers that wait.
pub const MAILS_WAITING: &str = "callmeter_mails_waiting";
/// Uncharged calls that the sweep found at Twilio and published, by what found them.
pub const SWEEP_CALLS: &str = "callmeter_sweep_calls_total";
/// Twilio accounts that a sweep could not list.
pub const SWEEP_FAILURES: &str = "callmeter_sweep_failures_total";
/// Expired holds looked up at Twilio, by outcome.
pub const EXPIRED_HOLDS: &str = "callmeter_expired_holds_total";
/// Minutes by which our charges and Twilio's usage differ, by reason, over the last compared days.
pub const TWILIO_DRIFT_MINUTES: &str = "callmeter_twilio_drift_minutes";
/// Dollars charged for calls minus Twilio's price, over the last compared days.
pub const TWILIO_MARGIN_DOLLARS: &str = "callmeter_twilio_margin_dollars";
/// Dollars by which Stripe's books and ours differ, the signs left out, as last compared.
pub const STRIPE_DRIFT_DOLLARS: &str = "callmeter_stripe_drift_dollars";
/// Faults of the endpoint at Stripe that delivers events to this service, as last checked.
pub const STRIPE_ENDPOINT_FAULTS: &str = "callmeter_stripe_endpoint_faults";
/// Number of the last accepted catalog version, whichever process accepted it.
pub const CATALOG_VERSION: &str = "callmeter_catalog_version";
/// Refused catalog files.
pub const CATALOG_REFUSED: &str = "callmeter_catalog_refused_total";
/// 1 if a part of the service works, 0 if not.
pub const COMPONENT_UP: &str = "callmeter_component_up";
/// 1, with the version as a label.
pub const BUILD_INFO: &str = "callmeter_build_info";

/// Counters that hold micro-dollars and are rendered as dollars.
const MONEY_COUNTERS: [&str; 4] =
    [CHARGED_DOLLARS, REPLAYED_DOLLARS, OVERSHOOT_DOLLARS, HOLDS_BEYOND_POOL_DOLLARS];

/// Bounds of histograms in seconds: from a fast response to a stuck one.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Longest lag that the histogram observes: its highest bound. One event that is months late would
/// outweigh millions in the sum.
pub const EVENT_LAG_MAX: Duration = Duration::from_hours(24);
/// Bounds of event lag.
const LAG_SECONDS: [f64; 14] =
    [0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3_600.0, 14_400.0, 86_400.0];
/// Bounds of batch sizes.
const RECORDS: [f64; 10] =
    [1.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 20_000.0];

/// How often histograms are compacted, so that a process that is not scraped does not grow.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The recorder of this process; renders the answer of `/metrics`.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A recorder is already installed, or the bounds of a histogram are empty.
    #[error("the recorder of metrics cannot be installed")]
    Build(#[from] metrics_exporter_prometheus::BuildError),
}

impl Recorder {
    /// Installs the recorder for the whole process and describes every metric.
    ///
    /// # Errors
    /// If one is already installed.
    pub fn install() -> Result<Self, MetricsError> {
        let bounds = |name: &str| Matcher::Full(name.to_owned());
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(bounds(BATCH_COMMIT_SECONDS), &SECONDS)?
            .set_buckets_for_metric(bounds(HTTP_REQUEST_SECONDS), &SECONDS)?
            .set_buckets_for_metric(bounds(AUTHORIZATION_SECONDS), &SECONDS)?
            .set_buckets_for_metric(bounds(EVENT_LAG_SECONDS), &LAG_SECONDS)?
            .set_buckets_for_metric(bounds(BATCH_RECORDS), &RECORDS)?
            .install_recorder()?;
        describe();
        metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        // Present from the start, so that an alert on its rate sees the first refusal.
        metrics::counter!(CATALOG_REFUSED).absolute(0);
        Ok(Self(handle))
    }

    /// Renders all metrics in Prometheus's text format.
    pub fn render(&self) -> String {
        dollars_from_micros(&self.0.render())
    }

    /// Compacts histograms; call it every [`UPKEEP_EVERY`].
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Recorder")
    }
}

/// Adds an amount to a counter of money; `kind` is its label, if it has one.
pub fn add_dollars(name: &'static str, kind: Option<&'static str>, amount: Money) {
    let micros = u64::try_from(amount.micros()).unwrap_or(0);
    match kind {
        Some(kind) => metrics::counter!(name, "kind" => kind).increment(micros),
        None => metrics::counter!(name).increment(micros),
    }
}

/// Shows a sum from elsewhere as a counter of money; it never falls while the process lives.
pub fn show_dollars(name: &'static str, kind: &'static str, sum: Money) {
    metrics::counter!(name, "kind" => kind).absolute(u64::try_from(sum.micros()).unwrap_or(0));
}

/// Sets a gauge of money.
pub fn set_dollars(name: &'static str, amount: Money) {
    // Six decimal places of up to nine billion dollars fit a float's precision.
    metrics::gauge!(name).set(amount.to_string().parse::<f64>().unwrap_or(f64::NAN));
}

/// Rewrites the samples of money counters from micro-dollars to dollars.
fn dollars_from_micros(rendered: &str) -> String {
    let mut text = String::with_capacity(rendered.len());
    for line in rendered.lines() {
        let money = MONEY_COUNTERS.iter().any(|name| line.starts_with(name));
        let sample = if money { line.rsplit_once(' ') } else { None };
        match sample.and_then(|(series, micros)| Some((series, micros.parse::<i64>().ok()?))) {
            Some((series, micros)) => {
                text.push_str(series);
                text.push(' ');
                text.push_str(&Money::from_micros(micros).to_string());
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn describe() {
    describe_counter!(EVENTS, "Records read from Kafka by this process, by outcome");
    describe_counter!(
        CHARGED_DOLLARS,
        "Dollars charged by this process, by kind of transaction; replays are counted apart"
    );
    describe_counter!(
        REPLAYED_DOLLARS,
        "Dollars that replays debited so far, by kind; the same sum in every process"
    );
    describe_histogram!(BATCH_COMMIT_SECONDS, Unit::Seconds, "Time that one batch took to commit");
    describe_histogram!(BATCH_RECORDS, "Records in one committed batch");
    describe_histogram!(
        EVENT_LAG_SECONDS,
        Unit::Seconds,
        "From a call's end to its charge, of calls charged within a day of their end"
    );
    describe_counter!(EVENTS_LATE, "Calls charged more than a day after their end");
    describe_gauge!(CONSUMER_LAG_RECORDS, "Records in Kafka that are not yet charged");
    describe_gauge!(PARTITION_HALTED, "1 where a partition waits for an operator");
    describe_gauge!(PARTITION_STALLED, "1 where a partition stands still though records wait");
    describe_counter!(OVERSHOOT_DOLLARS, "Dollars by which charges went beyond credit limits");
    describe_gauge!(REJECTED_RECORDS, "Rejected records that are neither replayed nor closed");
    describe_counter!(
        REJECTS_WITHOUT_BYTES,
        "Rejected records whose bytes Kafka did not have any more"
    );
    describe_gauge!(REJECTED_BYTES, "Bytes of rejected records that are kept");
    describe_counter!(
        DURATION_DISAGREEMENTS,
        "Calls whose count of minutes disagreed with their seconds"
    );
    describe_gauge!(
        LEDGER_DRIFT_DOLLARS,
        "Dollars by which the ledger disagrees, as last verified"
    );
    describe_counter!(RENTAL_ATTEMPTS, "Further attempts at unpaid rents, by outcome");
    describe_counter!(TRANSACTION_RETRIES, "Transactions run again because another was in the way");
    describe_counter!(AUTHORIZATIONS, "Authorizations, by decision and reason");
    describe_histogram!(AUTHORIZATION_SECONDS, Unit::Seconds, "Time to decide an authorization");
    describe_gauge!(HOLDS_ACTIVE, "Holds of calls in progress");
    describe_gauge!(HELD_DOLLARS, "Dollars held for calls in progress");
    describe_gauge!(HOLD_JOURNAL_LAG_SECONDS, "Age of the oldest hold that is not journaled");
    describe_counter!(HOLDS_EXPIRED, "Holds that were due and were released");
    describe_counter!(
        HOLDS_BEYOND_POOL_DOLLARS,
        "Dollars granted beyond the pool by a loss of Redis"
    );
    describe_counter!(HOLDS_RESTORED_LATE, "Holds that were missing after a loss of Redis");
    describe_counter!(PROJECTIONS_DROPPED, "Projections that were left to the patrol");
    describe_gauge!(SIGNALS_LAG_RECORDS, "Records whose status events are not applied to holds");
    describe_counter!(SIGNALS_DROPPED, "Status events of calls that were refused");
    describe_counter!(CALLBACKS, "Callbacks that Twilio posted, by kind, signature, outcome");
    describe_counter!(CALLBACK_RECORDS, "Records in them, by outcome");
    describe_counter!(HTTP_REQUESTS, "Requests answered, by method, route and status");
    describe_histogram!(HTTP_REQUEST_SECONDS, Unit::Seconds, "Time to answer a request");
    describe_gauge!(LIVE_STREAMS, "Streams of live changes that are open");
    describe_counter!(
        LIVE_STREAMS_REFUSED,
        "Streams of live changes refused because too many were open"
    );
    describe_gauge!(HTTP_CONNECTIONS, "Connections to the API that are open");
    describe_counter!(HTTP_CONNECTIONS_REFUSED, "Connections closed because too many were open");
    describe_counter!(HTTP_RATE_LIMITED, "Requests refused by a limit on their rate, by limit");
    describe_gauge!(
        JOB_LAST_SUCCESS_TIMESTAMP,
        Unit::Seconds,
        "Unix time of each job's last run that ended well"
    );
    describe_counter!(JOB_RUNS, "Runs of jobs by this process, by job and outcome");
    describe_counter!(REFILLS, "Refills, by trigger and outcome");
    describe_counter!(STRIPE_EVENTS, "Stripe's events, by type and outcome");
    describe_counter!(EVENTS_PUBLISHED, "Events published to Kafka");
    describe_counter!(ALERTS, "Alerts and notices published to Kafka, by type");
    describe_gauge!(OUTBOX_WAITING, "Events that wait to be published to Kafka");
    describe_counter!(NUMBERS, "Numbers of customers, by what became of them");
    describe_counter!(RENTALS_PUBLISHED, "Periods of numbers published to be charged");
    describe_gauge!(NUMBERS_UNDERPRICED, "Types of numbers dearer at Twilio than in the catalog");
    describe_gauge!(NUMBERS_ASTRAY, "Numbers that only Twilio or only the ledger has");
    describe_counter!(WEBHOOK_DELIVERIES, "Attempts to post events to customers, by outcome");
    describe_gauge!(WEBHOOKS_WAITING, "Deliveries to customers that wait for an attempt");
    describe_counter!(MAILS, "Attempts to send mails to customers, by outcome");
    describe_gauge!(MAILS_WAITING, "Mails to customers that wait");
    describe_counter!(SWEEP_CALLS, "Calls found uncharged at Twilio, by what found them");
    describe_counter!(SWEEP_FAILURES, "Twilio accounts that a sweep could not list");
    describe_counter!(EXPIRED_HOLDS, "Expired holds that Twilio was asked about, by outcome");
    describe_gauge!(TWILIO_DRIFT_MINUTES, "Minutes of ours and Twilio's that differ, by reason");
    describe_gauge!(TWILIO_MARGIN_DOLLARS, "Dollars charged for calls less what Twilio took");
    describe_gauge!(STRIPE_DRIFT_DOLLARS, "Dollars by which Stripe's books and ours differ");
    describe_gauge!(STRIPE_ENDPOINT_FAULTS, "Faults of the endpoint at Stripe for our web hooks");
    describe_gauge!(CATALOG_VERSION, "Number of the catalog version accepted last");
    describe_counter!(CATALOG_REFUSED, "Catalog files that were refused");
    describe_gauge!(COMPONENT_UP, "1 where a part of the service works, 0 where it does not");
    describe_gauge!(BUILD_INFO, "1, with the version as a label");
}

#[cfg(test)]
mod tests {
    use super::dollars_from_micros;

    #[test]
    fn micro_dollars_are_rendered_as_dollars_and_nothing_else_is_touched() {
        let rendered = "# HELP callmeter_charged_dollars_total Dollars charged\n\
            callmeter_charged_dollars_total{kind=\"call\"} 14000\n\
            callmeter_events_total{outcome=\"charged\"} 14000\n";
        let expected = "# HELP callmeter_charged_dollars_total Dollars charged\n\
            callmeter_charged_dollars_total{kind=\"call\"} 0.014000\n\
            callmeter_events_total{outcome=\"charged\"} 14000\n";
        assert_eq!(dollars_from_micros(rendered), expected);
    }
}
