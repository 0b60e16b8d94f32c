//! Memory of `serve` under load for a quarter of an hour: does it grow?
//!
//! Calls that began before end in bulk, while others are authorized, end and are charged.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use callmeter::simulate::Skew;
use callmeter::simulate::publish::Extent;

use crate::watchers::Callers;
use crate::world::World;

/// How long it takes.
const TIME: Duration = Duration::from_mins(15);
/// Until then caches and pools fill.
const SETTLED: Duration = Duration::from_mins(3);
/// Calls that end every second, beside those that are authorized.
const RATE: u32 = 20_000;
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOKS_IN_A_MINUTE: usize = 12;

/// What was measured.
pub(crate) struct Memory {
    /// The most that was resident, in KiB.
    pub(crate) peak_kib: u64,
    /// How much more was resident in the last third than in the first, in KiB a minute; zero if less.
    /// Batches come and go, so the least of each third counts.
    pub(crate) growth_kib: u64,
    /// What was resident in each minute, in KiB: the least and the most.
    pub(crate) minutes: Vec<(u64, u64)>,
}

/// Measures a meter that is also the API.
pub(crate) async fn measure(world: &mut World) -> anyhow::Result<Memory> {
    let site = world.make_site().await?;
    let service = world.start(&site, "meter,api")?;
    service.ready().await?;
    let mut callers = Callers::of_all(world, &site, service.address).await?;
    let extent = Extent { calls: None, time: Some(TIME), rate: Some(RATE) };
    let process = service.process.id();
    let looking = async {
        let (began, mut seen) = (Instant::now(), Vec::new());
        while began.elapsed() < TIME {
            tokio::time::sleep(LOOK_EVERY).await;
            if began.elapsed() >= SETTLED {
                seen.push(kib(process, "VmRSS")?);
            }
        }
        anyhow::Ok(seen)
    };
    let (published, called, seen) =
        tokio::join!(world.publish(&site, 1, extent, Skew::Even), callers.call(TIME), looking);
    let (published, seen) = (published?, seen?);
    let asked = called?.len();
    service.process.stop()?;
    world.drop_database(&site.database).await?;
    eprintln!("memory: {published} calls ended, and {asked} that were authorized");
    let peak_kib = seen.iter().copied().max().context("a look")?;
    let minutes: Vec<(u64, u64)> = seen
        .chunks(LOOKS_IN_A_MINUTE)
        .filter_map(|looks| Some((looks.iter().min().copied()?, looks.iter().max().copied()?)))
        .collect();
    let third = minutes.len() / 3;
    ensure!(third > 0, "too few looks");
    let low = |looks: &[(u64, u64)]| looks.iter().map(|(least, _)| *least).min();
    let first = low(&minutes[..third]).context("a look")?;
    let last = low(&minutes[minutes.len() - third..]).context("a look")?;
    let apart = u64::try_from(minutes.len() - third)?;
    Ok(Memory { peak_kib, growth_kib: last.saturating_sub(first) / apart, minutes })
}

/// The memory of a process as Linux counts it: `VmRSS` is resident, `VmHWM` the most that was.
pub(crate) fn kib(process: u32, what: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no {what}"))?.trim().trim_end_matches(" kB").parse()?)
}
