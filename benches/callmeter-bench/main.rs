//! Measures charging as ratios to floors taken in the same run, on the same machine and servers.
//!
//! Each figure is the median of several measurements, taken in turns with those of its floor,
//! because machines are noisy. The table goes to standard output, progress to standard error; a
//! missed budget is not a failure.

mod authorization;
mod browser;
mod charging;
mod client;
mod cpu;
mod fixed_floor;
mod floor;
mod idle;
mod insights;
mod memory;
mod recovery;
mod report;
mod stored;
mod visible;
mod watchers;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use callmeter::config;
use callmeter::simulate::Skew;
use clap::Parser;

use authorization::Turn;
use charging::Run;
use floor::Floor;
use report::{Goal, Report};
use world::World;

/// Records of one measurement.
const RECORDS: u64 = 1_000_000;
/// With fewer, the first touch of memory counts.
const RECORDS_QUICK: u64 = 500_000;
/// Charges of the quick measurement of insights.
const STORED_QUICK: u64 = 1_000_000;
/// CPU budgets, in thousandths of F1's and of S1's.
const CPU_ABSENT_MAX: u64 = 6_000;
const CPU_PRESENT_MAX: u64 = 6_800;
const CPU_AUTHORIZATION_MAX: u64 = 6_000;

/// Measures charging against its floors
#[derive(Debug, Parser)]
struct Arguments {
    /// Writes the rows as JSON, too
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Fewer records and repetitions, and nothing stored before: under four minutes
    #[arg(long)]
    quick: bool,
    /// Measures one part and nothing else
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Charges stored before, for that row and for insights
    #[arg(long, value_name = "COUNT", default_value_t = 20_000_000)]
    stored: u64,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Charging and its floors
    Charging,
    /// Charging into a ledger with many charges; not with `--quick`
    Stored,
    /// Authorizations and their floor
    Authorization,
    /// From published to visible
    Visible,
    /// From a kill to the next charges
    Recovery,
    /// What an idle process costs, and how soon it charges its first call
    Idle,
    /// An account's insights over HTTP, among many charges
    Insights,
    /// Wallet pages that are open while calls are made
    Watchers,
    /// Whether memory grows in a quarter of an hour; not with `--quick`
    Memory,
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
    let mut charged = None;
    if arguments.has(Part::Charging) {
        charged = Some(measure_charging(arguments, world, report).await?);
    }
    if arguments.has(Part::Stored) && !arguments.quick && arguments.stored > 0 {
        let empty = if let Some(empty) = charged {
            empty
        } else {
            let run = Run::measure(world, RECORDS, Skew::Even).await?;
            world.drop_database(&run.database).await?;
            run.per_second
        };
        let with_stored = stored::measure(world, RECORDS, arguments.stored).await?;
        let name = format!("charging, {} charges stored before (records/s)", arguments.stored);
        report.ratio(&name, with_stored, empty, 800);
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
    if arguments.has(Part::Watchers) {
        measure_watchers(arguments, world, report).await?;
    }
    if arguments.has(Part::Insights) {
        let (stored, questions) = if arguments.quick {
            (arguments.stored.min(STORED_QUICK), 500)
        } else {
            (arguments.stored, 2_000)
        };
        let times = insights::measure(world, stored, questions).await?;
        let name = format!("insights over HTTP, {stored} charges of 1,000 accounts, p99 (\u{b5}s)");
        report.limit(&name, times.p99, Goal::AtMost(300_000));
        report.note(format!("{name}: p50 {} \u{b5}s; the job took {:.1?}", times.p50, times.job));
    }
    if arguments.has(Part::Memory) && !arguments.quick {
        let memory = memory::measure(world).await?;
        report.limit(
            "memory of serve over 15 minutes, peak (MB)",
            memory.peak_kib / 1024,
            Goal::AtMost(200),
        );
        report.limit("its growth (KiB a minute)", memory.growth_kib, Goal::AtMost(200));
        let minutes = memory.minutes;
        report.note(format!("memory of serve, least and most of each minute: {minutes:?} KiB"));
    }
    Ok(())
}

async fn measure_watchers(
    arguments: &Arguments,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<()> {
    let seconds = if arguments.quick { 10 } else { 30 };
    let watched = watchers::measure(world, seconds).await?;
    let name = "wallet pages: 2,000 sessions, 200 calls/s, change to shown, p99 (ms)";
    report.limit(name, watched.shown_p99.div_ceil(1_000), Goal::AtMost(1_000));
    let (with, without) = (watched.asked_p99, watched.asked_p99_alone);
    report.ratio_at_most("authorization beside them, p99 (\u{b5}s)", with, without, 2_000);
    let (calls, median, most) = watched.browser;
    report.limit(
        "a browser beside them: call to shown, the slowest (ms)",
        most,
        Goal::AtMost(1_000),
    );
    report.note(format!("the browser: {calls} calls, {median} ms in the median"));
    let (median, fetched) = (watched.shown_p50 / 1_000, watched.fetched);
    report.note(format!(
        "wallet pages: {median} ms in the median, {fetched} parts a second; floor: without pages; {}",
        watched.cpu
    ));
    Ok(())
}

/// What the turns of charging measured.
#[derive(Default)]
struct Charged {
    absent: Vec<Run>,
    present: Vec<Run>,
    one_wallet: Vec<Run>,
    skewed: Vec<Run>,
    floors: Vec<Floor>,
    fixed: Vec<fixed_floor::Charging>,
}

async fn measure_charging(
    arguments: &Arguments,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<u64> {
    let (records, turns) = if arguments.quick { (RECORDS_QUICK, 2) } else { (RECORDS, 3) };
    let mut charged = Charged::default();
    for turn in 1..=turns {
        eprintln!("turn {turn} of {turns}: {records} records over 1,000 wallets");
        let run = Run::measure(world, records, Skew::Even).await?;
        charged.fixed.push(fixed_floor::Charging::measure(world, records).await?);
        let is_last = turn == turns;
        if is_last || !arguments.quick {
            charged.floors.push(Floor::measure(world, &run.database).await?);
        }
        world.drop_database(&run.database).await?;
        charged.absent.push(run);
        let run = Run::measure_present(world, records).await?;
        world.drop_database(&run.database).await?;
        charged.present.push(run);
        if arguments.quick && !is_last {
            continue;
        }
        let others = [(Skew::One, &mut charged.one_wallet), (Skew::Zipf, &mut charged.skewed)];
        for (skew, runs) in others {
            let run = Run::measure(world, records, skew).await?;
            world.drop_database(&run.database).await?;
            runs.push(run);
        }
    }
    Ok(report_charging(report, &charged))
}

/// Adds the rows of charging; returns its records per second over 1,000 wallets.
fn report_charging(report: &mut Report, charged: &Charged) -> u64 {
    let median = |runs: &[Run], figure: fn(&Run) -> u64| {
        report::median(&mut runs.iter().map(figure).collect::<Vec<_>>())
    };
    let figure = median(&charged.absent, |run| run.per_second);
    let (best, floor) = Floor::best(&charged.floors);
    report.ratio("charging, 1,000 wallets (records/s)", figure, floor, 650);
    report.note(format!("floor: COPY of the same rows, {best}"));
    let (best, floor, floor_cpu) = fixed_floor::Charging::best(&charged.fixed);
    report.ratio("the same, of F1 (records/s)", figure, floor, 150);
    report.note(format!("F1: COPY of five columns with one index, {best}"));
    for (name, runs, budget) in [
        ("charging, wallets absent, CPU of F1 (ns a record)", &charged.absent, CPU_ABSENT_MAX),
        ("charging, wallets present, CPU of F1 (ns a record)", &charged.present, CPU_PRESENT_MAX),
    ] {
        report.ratio_at_most(name, median(runs, |run| run.cpu.all()), floor_cpu, budget);
        if let Some(run) = runs.last() {
            let (wal, disk) = (run.wal_bytes, run.disk_bytes);
            let cpu = run.cpu.told();
            report.note(format!("{name}: {cpu}; {wal} bytes of WAL, {disk} on disk"));
        }
    }
    let others =
        [("every call on one wallet", &charged.one_wallet), ("zipf-skewed", &charged.skewed)];
    for (name, runs) in others {
        let other = median(runs, |run| run.per_second);
        report.ratio(&format!("charging, {name} (records/s)"), other, figure, 900);
    }
    let all = [&charged.absent, &charged.present, &charged.one_wallet, &charged.skewed];
    let memory = all.into_iter().flatten().map(|run| run.memory_peak_kib).max().unwrap_or_default();
    report.limit("memory of serve while charging, peak (MB)", memory / 1024, Goal::AtMost(200));
    figure
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
    let median =
        |of: fn(&Turn) -> u64| report::median(&mut measured.iter().map(of).collect::<Vec<_>>());
    let figure = median(|turn| turn.api.per_second);
    let name = "authorization over HTTP, 50 connections (1/s)";
    report.ratio(name, figure, median(|turn| turn.floor.per_second), 750);
    report.ratio("the same, of S1 (1/s)", figure, median(|turn| turn.fixed.per_second), 330);
    let cpu = median(|turn| turn.api.cpu.all());
    let floor = median(|turn| turn.fixed.cpu.redis);
    let name = "authorization, CPU of S1 (ns an answer)";
    report.ratio_at_most(name, cpu, floor, CPU_AUTHORIZATION_MAX);
    if let Some(turn) = measured.last() {
        report.note(format!("{name}: {}", turn.api.cpu.told()));
    }
    let (figure, floor) = (median(|it| it.api.p99_micros), median(|it| it.floor.p99_micros));
    report.ratio_at_most("authorization, p99 (\u{b5}s)", figure, floor, 2_500);
    report.note("floor: redis-benchmark of the same script; S1: of a fixed script".to_owned());
    Ok(())
}
