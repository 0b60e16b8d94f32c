//! Records per second from Kafka to committed charges.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use callmeter::simulate::Skew;
use callmeter::simulate::publish::Extent;
use callmeter::simulate::watch::per_second;

use crate::world::{Meter, Site, World, charged};

/// Time between two reads of the stored offsets: the error of measurements that take seconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Longest time without a commit.
const STALL_MAX: Duration = Duration::from_mins(1);

/// One measurement.
pub(crate) struct Run {
    /// Records per second, from the first commit seen to the last.
    pub(crate) per_second: u64,
    /// Peak memory of the meter, in KiB.
    pub(crate) memory_peak_kib: u64,
    /// The ledger that was filled.
    pub(crate) database: String,
}

impl Run {
    /// Publishes `records`, then lets a meter charge them.
    pub(crate) async fn measure(
        world: &mut World,
        records: u64,
        skew: Skew,
    ) -> anyhow::Result<Self> {
        let site = world.make_site().await?;
        Self::measure_at(world, &site, records, skew, 1).await
    }

    /// The same on an existing ledger.
    pub(crate) async fn measure_at(
        world: &World,
        site: &Site,
        records: u64,
        skew: Skew,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let extent = Extent { calls: Some(records), time: None, rate: None };
        let published = world.publish(site, seed, extent, skew).await?;
        let mut connection = world.connect(&site.database).await?;
        let before: i64 = charged(&mut connection, &site.calls).await?.iter().sum();
        let goal = before + i64::try_from(published).context("a count of records")?;
        let meter = world.start_meter(site)?;
        let mut first = None;
        let mut last = (Instant::now(), before);
        while last.1 < goal {
            tokio::time::sleep(LOOK_EVERY).await;
            let now: i64 = charged(&mut connection, &site.calls).await?.iter().sum();
            if now > last.1 {
                last = (Instant::now(), now);
                first = first.or(Some(last));
            }
            ensure!(last.0.elapsed() < STALL_MAX, "the meter stands still at {now} of {goal}");
        }
        let memory_peak_kib = memory_peak_kib(&meter)?;
        meter.stop()?;
        let charges: i64 =
            sqlx::query_scalar("SELECT count(*) FROM call_keys").fetch_one(&mut connection).await?;
        ensure!(charges >= goal - before, "{charges} charges of {published} records");
        let first = first.context("nothing was charged")?;
        let between = u64::try_from(last.1 - first.1)?;
        let per_second = per_second(between, last.0.duration_since(first.0));
        eprintln!("  {skew:?}: {per_second} records/s, {} MB", memory_peak_kib / 1024);
        Ok(Self { per_second, memory_peak_kib, database: site.database.clone() })
    }
}

/// Peak resident memory of a meter.
fn memory_peak_kib(meter: &Meter) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", meter.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.context("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(peak.parse()?)
}
