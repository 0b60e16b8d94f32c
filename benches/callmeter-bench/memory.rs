//! Memory of `serve` under load for a quarter of an hour: does it grow?
//!
//! Calls that began before end in bulk, while others are authorized, end and are charged.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use callmeter::simulate::Skew;
use callmeter::simulate::publish::Extent;

use crate::report::median;
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

/// What was measured.
pub(crate) struct Memory {
    /// The most that was resident, in KiB.
    pub(crate) peak_kib: u64,
    /// How much more was resident in the last third than in the first, in KiB a minute; zero if less.
    pub(crate) growth_kib: u64,
    /// What was resident in each third, in KiB: the medians.
    pub(crate) thirds: [u64; 3],
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
                seen.push(resident_kib(process)?);
            }
        }
        anyhow::Ok(seen)
    };
    let (published, called, seen) =
        tokio::join!(world.publish(&site, 1, extent, Skew::Even), callers.call(TIME), looking);
    let (published, mut seen) = (published?, seen?);
    let asked = called?.len();
    service.process.stop()?;
    world.drop_database(&site.database).await?;
    eprintln!("memory: {published} calls ended, and {asked} that were authorized");
    let peak_kib = seen.iter().copied().max().context("a look")?;
    let third = seen.len() / 3;
    ensure!(third > 0, "too few looks");
    let thirds = [0, 1, 2].map(|place| median(&mut seen[place * third..(place + 1) * third]));
    // From the middle of the first third to that of the last.
    let minutes = (TIME - SETTLED).as_secs() * 2 / 3 / 60;
    let growth_kib = thirds[2].saturating_sub(thirds[0]) / minutes.max(1);
    Ok(Memory { peak_kib, growth_kib, thirds })
}

/// Resident memory of a process.
fn resident_kib(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(resident.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?)
}
