//! Wires the meter: translates the settings into its own.

use std::sync::Arc;
use std::time::Duration;

use super::App;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::decode::Limits;
use crate::ingest::gather::BatchLimits;
use crate::ledger::batch::{Charger, ChargingPolicy};
use crate::ledger::rentals::RetryPolicy;
use crate::ledger::store::Store;
use crate::meter::{Meter, MeterSettings};

const SECONDS_A_DAY: u32 = 86_400;

impl App {
    /// The meter of this process, with a pool of its own.
    pub(super) fn meter(&self) -> anyhow::Result<Meter> {
        let Settings { kafka, batch, charging, rentals, rejects, .. } = &*self.settings;
        let retry = RetryPolicy {
            interval_seconds: SECONDS_A_DAY,
            give_up_seconds: rentals.retry_days.saturating_mul(SECONDS_A_DAY),
        };
        let policy = ChargingPolicy {
            zero_duration_completed: charging.zero_duration_completed,
            rental_retry_seconds: retry.interval_seconds,
        };
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        let to_kafka = KafkaSettings::from(kafka);
        let settings = MeterSettings {
            instance: to_kafka.instance(&host, self.settings.http.listen.port()),
            kafka: to_kafka,
            topic_calls: kafka.topic_calls.clone(),
            topic_rentals: kafka.topic_rentals.clone(),
            partitions: kafka.partitions,
            batch: BatchLimits {
                records_max: batch.records_max,
                bytes_max: batch.bytes_max,
                linger: Duration::from_millis(batch.linger_milliseconds),
            },
            commits_max: batch.commits_max,
            large_max: batch.large_max,
            limits: Limits {
                call_seconds_max: charging.call_seconds_max,
                end_ahead_seconds_max: charging.end_ahead_seconds_max,
            },
            rejects_bytes_max: i64::try_from(rejects.bytes_max).unwrap_or(i64::MAX),
            rental_retry: retry,
            stall_max: Duration::from_secs(kafka.stall_seconds.into()),
        };
        // Each commit, the rents, the offsets, the check of the offsets and the counts may need a
        // connection at the same time.
        let connections_max = u32::try_from(batch.commits_max)?.saturating_add(5);
        let store = Store::open(self.settings.database.url.expose(), connections_max)?;
        Ok(Meter {
            settings: Arc::new(settings),
            charger: Arc::new(Charger::new(store, policy)),
            balance: self.balance.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
        })
    }
}
