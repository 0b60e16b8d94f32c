//! Measures charging as ratios to floors taken in the same run, on the same machine and servers.
//!
//! Each figure is the median of several measurements, taken in turns with those of its floor,
//! because machines are noisy. The table goes to standard output, progress to standard error; a
//! missed budget is not a failure.

mod authorization;
mod charging;
mod client;
mod floor;
mod idle;
mod recovery;
mod report;
mod stored;
mod visible;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use callmeter::config;
use callmeter::simulate::Skew;
use clap::Parser;

use authorization::Figures;
use charging::Run;
use floor::Floor;
use report::{Goal, Report};
use world::World;

/// Records of one measurement.
const RECORDS: u64 = 1_000_000;
const RECORDS_QUICK: u64 = 200_000;

/// Measures charging against its floors
#[derive(Debug, Parser)]
struct Arguments {
    /// Writes the rows as JSON, too
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Fewer records and repetitions, and nothing stored before: under two minutes
    #[arg(long)]
    quick: bool,
    /// Measures one part and nothing else
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Charges stored before, for that row
    #[arg(long, value_name = "COUNT", default_value_t = 20_000_000)]
    stored: u64,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Charging and its floors
    Charging,
    /// Authorizations and their floor
    Authorization,
    /// From published to visible
    Visible,
    /// From a kill to the next charges
    Recovery,
    /// What an idle process costs, and how soon it charges its first call
    Idle,
}

impl Arguments {
    fn has(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("callmeter-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = config::load(None).context("DATABASE_URL, REDIS_URL and KAFKA_BROKERS")?;
    let mut world = World::new(settings)?;
    let mut report = Report::default();
    let measured = measure(arguments, &mut world, &mut report).await;
    world.clean_up().await?;
    measured?;
    print!("{}", report.table());
    if let Some(path) = &arguments.json {
        std::fs::write(path, report.json()?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<()> {
    if arguments.has(Part::Charging) {
        measure_charging(arguments, world, report).await?;
    }
    if arguments.has(Part::Authorization) {
        measure_authorization(arguments, world, report).await?;
    }
    if arguments.has(Part::Visible) {
        let seconds = if arguments.quick { 5 } else { 20 };
        let milliseconds = visible::measure(world, seconds).await?;
        let name = "published to visible at 1,000 calls/s, p99 (ms)";
        report.limit(name, milliseconds, Goal::AtMost(150));
    }
    if arguments.has(Part::Recovery) {
        let milliseconds = recovery::measure(world).await?;
        let name = "kill -9 to charges of every partition (ms)";
        report.limit(name, milliseconds, Goal::AtMost(10_000));
    }
    if arguments.has(Part::Idle) {
        let (idle, first) = idle::measure(world).await?;
        report.limit("idle serve, CPU in 20 s (ms)", idle, Goal::AtMost(100));
        report.note("idle: 100 ms in 20 s are 0.5 % of a core".to_owned());
        let first_ready = "published right after the first ready to charged";
        let name = format!("{first_ready}, new topics (ms)");
        report.limit(&name, first.on_new_topics, Goal::AtMost(700));
        let name = format!("{first_ready}, restart (ms)");
        report.limit(&name, first.after_restart, Goal::AtMost(700));
    }
    Ok(())
}

async fn measure_charging(
    arguments: &Arguments,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (records, turns) = if arguments.quick { (RECORDS_QUICK, 2) } else { (RECORDS, 3) };
    let mut charging = Vec::new();
    let mut floors = Vec::new();
    let mut one_wallet = Vec::new();
    let mut skewed = Vec::new();
    let mut memory = 0;
    for turn in 1..=turns {
        eprintln!("turn {turn} of {turns}: {records} records over 1,000 wallets");
        let run = Run::measure(world, records, Skew::Even).await?;
        charging.push(run.per_second);
        memory = memory.max(run.memory_peak_kib);
        floors.push(Floor::measure(world, &run.database).await?);
        world.drop_database(&run.database).await?;
        if arguments.quick && turn > 1 {
            continue;
        }
        for (skew, figures) in [(Skew::One, &mut one_wallet), (Skew::Zipf, &mut skewed)] {
            let run = Run::measure(world, records, skew).await?;
            figures.push(run.per_second);
            world.drop_database(&run.database).await?;
        }
    }
    let (best, floor) = Floor::best(&floors);
    let figure = report::median(&mut charging);
    report.ratio("charging, 1,000 wallets (records/s)", figure, floor, 650);
    report.note(format!("floor: COPY, {best}"));
    let others = [("every call on one wallet", one_wallet), ("zipf-skewed wallets", skewed)];
    for (name, mut figures) in others {
        let other = report::median(&mut figures);
        report.ratio(&format!("charging, {name} (records/s)"), other, figure, 900);
    }
    if !arguments.quick && arguments.stored > 0 {
        let with_stored = stored::measure(world, records, arguments.stored).await?;
        let name = format!("charging, {} charges stored before (records/s)", arguments.stored);
        report.ratio(&name, with_stored, figure, 800);
    }
    report.limit("memory of serve while charging, peak (MB)", memory / 1024, Goal::AtMost(200));
    Ok(())
}

async fn measure_authorization(
    arguments: &Arguments,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<()> {
    if !authorization::has_redis_benchmark() {
        report.note("authorization: not measured, redis-benchmark is missing".to_owned());
        return Ok(());
    }
    let (seconds, turns) = if arguments.quick { (3, 2) } else { (10, 3) };
    let measured = authorization::measure(world, seconds, turns).await?;
    let median = |of: fn(&(Figures, Figures)) -> u64| {
        report::median(&mut measured.iter().map(of).collect::<Vec<_>>())
    };
    let (figure, floor) = (median(|it| it.0.per_second), median(|it| it.1.per_second));
    report.ratio("authorization over HTTP, 50 connections (1/s)", figure, floor, 750);
    let (figure, floor) = (median(|it| it.0.p99_micros), median(|it| it.1.p99_micros));
    report.ratio_at_most("the same, p99 (\u{b5}s)", figure, floor, 2_500);
    report.note("floor: redis-benchmark of the same script, 50 connections".to_owned());
    Ok(())
}
