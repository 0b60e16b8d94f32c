//! `callmeter simulate`: publishes realistic Twilio traffic to Kafka.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use callmeter_core::domain::Money;
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::kafka::reached;
use super::local_stripe::{self, LocalStripe};
use super::local_twilio::{self, LocalTwilio};
use super::{CommandError, open, print};
use crate::clock::Clock;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::topics;
use crate::ledger::audit::By;
use crate::ledger::{catalogs, schema};
use crate::operator::catalog_file;
use crate::simulate::dialer::{self, Dialer};
use crate::simulate::progress::Progress;
use crate::simulate::publish::{self, Extent, Outcome, Publisher, Topics};
use crate::simulate::traffic::{Profile, Traffic};
use crate::simulate::watch::{Watch, per_second};
use crate::simulate::{CallReporter, Share, Skew, accounts};

/// Time between two reports of progress.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Simulate {
    #[command(subcommand)]
    server: Option<Server>,
    /// Number of customers (sim-0001, sim-0002, ...); missing ones are created
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    accounts: u32,
    /// Number of calls; default: until --seconds are over, or Ctrl-C
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    calls: Option<u64>,
    /// Stops making calls after so many seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Calls per second, or "max": as fast as Kafka takes them
    #[arg(long, default_value = "100", value_parser = rate)]
    rate: Rate,
    /// Seed; the same seed makes the same calls
    #[arg(long)]
    seed: Option<u64>,
    /// Share of records that are published twice: 0.05 or 5%
    #[arg(long, value_name = "SHARE", default_value = "0.02")]
    duplicates: Share,
    /// Share of records that are published out of order
    #[arg(long, value_name = "SHARE", default_value = "0.02")]
    reorder: Share,
    /// Share of calls whose events come minutes to 40 days late
    #[arg(long, value_name = "SHARE", default_value = "0.01")]
    late: Share,
    /// Share of calls followed by a record that must be rejected
    #[arg(long, value_name = "SHARE", default_value = "0")]
    faulty: Share,
    /// Share of calls followed by a number's monthly rental
    #[arg(long, value_name = "SHARE", default_value = "0.002")]
    rentals: Share,
    /// Share of calls whose end is never published; a sweep finds them
    #[arg(long, value_name = "SHARE", default_value = "0")]
    lose: Share,
    /// Reports every call to this local Twilio: http://host:port
    #[arg(long, value_name = "URL")]
    twilio: Option<String>,
    /// How calls are spread over the customers
    #[arg(long, value_enum, default_value_t)]
    skew: Skew,
    /// Only the ends of completed calls: one record, one charge
    #[arg(long)]
    ends_only: bool,
    /// Opening balance of a new customer, in dollars
    #[arg(long, value_name = "DOLLARS", default_value = "500.00", value_parser = super::account::opening_balance)]
    opening_balance: Money,
    /// Authorizes each call at this service, before and during it: http://host:port
    #[arg(long, value_name = "URL", value_parser = dialer::service)]
    authorize: Option<String>,
    /// A key that may authorize; without it, the `http.admin_key` of the settings
    #[arg(long, requires = "authorize")]
    key: Option<String>,
    /// Creates no customers; calls of missing ones are rejected
    #[arg(long)]
    no_accounts: bool,
    /// Shows no progress
    #[arg(long)]
    no_progress: bool,
    /// Prints the totals as JSON
    #[arg(long)]
    json: bool,
}

/// What is simulated instead of traffic.
#[derive(Debug, Subcommand)]
enum Server {
    /// Serves a local Twilio for --twilio and for sweeps
    Twilio(LocalTwilio),
    /// Serves a local Stripe for payments
    Stripe(Box<LocalStripe>),
}

/// Calls per second.
#[derive(Clone, Copy, Debug)]
enum Rate {
    PerSecond(u32),
    Max,
}

fn rate(text: &str) -> Result<Rate, String> {
    match (text, text.parse()) {
        ("max", _) => Ok(Rate::Max),
        (_, Ok(calls @ 1..=1_000_000)) => Ok(Rate::PerSecond(calls)),
        _ => Err("is not \"max\" or a whole number from 1 to 1000000".to_owned()),
    }
}

pub(super) async fn run(command: Simulate, settings: &Settings) -> Result<(), CommandError> {
    match &command.server {
        Some(Server::Twilio(server)) => return local_twilio::run(server, settings).await,
        Some(Server::Stripe(server)) => return local_stripe::run(server).await,
        None => {}
    }
    let clock = settings.clock();
    let mut watch = Watch::new(command.calls, command.no_progress);
    if !command.no_accounts {
        make_accounts(&command, settings, &clock, &watch).await?;
    }
    let kafka = KafkaSettings::from(&settings.kafka);
    let topics = Topics {
        calls: settings.kafka.topic_calls.clone(),
        rentals: settings.kafka.topic_rentals.clone(),
    };
    let names = [topics.calls.as_str(), topics.rentals.as_str()];
    let ensured = topics::ensure(&kafka, &names, settings.kafka.partitions).await;
    ensured.map_err(|error| reached(&kafka, &error))?;
    let seed = command.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let extent = Extent {
        calls: command.calls,
        time: command.seconds.map(Duration::from_secs),
        rate: match command.rate {
            Rate::PerSecond(calls) => Some(calls),
            Rate::Max => None,
        },
    };
    let traffic = Traffic::new(profile(&command), seed);
    watch.say(&format!("seed {seed}; Ctrl-C ends the traffic"));
    let progress = Arc::new(Progress::default());
    let shown = Arc::clone(&progress);
    let dialer = match &command.authorize {
        Some(service) => Some(open_dialer(service, &command, settings, &progress).await?),
        None => None,
    };
    let teller = command.twilio.as_deref().map(CallReporter::open).transpose();
    let teller = teller.map_err(|error| CommandError::Usage(error.to_string()))?;
    let publishing = tokio::task::spawn_blocking(move || {
        let publisher = Publisher::open(&kafka, topics)?.telling(teller);
        publish::run(traffic, extent, &publisher, &clock, &shown, dialer)
    });
    let outcome = watch_until_done(publishing, &progress, &mut watch).await?;
    sum_up(&outcome, seed, &command)
}

async fn open_dialer(
    service: &str,
    command: &Simulate,
    settings: &Settings,
    progress: &Arc<Progress>,
) -> Result<Dialer, CommandError> {
    let of_settings = || settings.http.admin_key.as_ref().map(|key| key.expose().to_owned());
    let key = command.key.clone().or_else(of_settings).ok_or_else(|| {
        CommandError::Usage("--authorize needs --key, or http.admin_key in the settings".to_owned())
    })?;
    let dialer = Dialer::open(service, &key, Arc::clone(progress)).await;
    dialer.map_err(|error| CommandError::Refused(crate::app::one_line(&error)))
}

fn profile(command: &Simulate) -> Profile {
    Profile {
        accounts: command.accounts,
        skew: command.skew,
        duplicates: command.duplicates,
        reorder: command.reorder,
        late: command.late,
        faulty: command.faulty,
        lose: command.lose,
        rentals: command.rentals,
        ends_only: command.ends_only,
    }
}

async fn make_accounts(
    command: &Simulate,
    settings: &Settings,
    clock: &Clock,
    watch: &Watch,
) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    let latest = catalogs::latest(&mut *store.read().await?).await?;
    if latest.is_none() {
        let by = By::new("simulate", clock.now());
        catalog_file::offer(&store, &settings.catalog.path, by).await?;
    }
    let (count, balance) = (command.accounts, command.opening_balance);
    let made = accounts::ensure(&store, count, balance, clock.now(), |_| {}).await;
    let made = made.map_err(|error| CommandError::Refused(crate::app::one_line(&error)))?;
    watch.say(&format!("{count} customers, {made} of them new"));
    Ok(())
}

type Publishing = tokio::task::JoinHandle<Result<Outcome, publish::PublishError>>;

/// Shows progress until the traffic ends; Ctrl-C and SIGTERM end it.
async fn watch_until_done(
    mut publishing: Publishing,
    progress: &Progress,
    watch: &mut Watch,
) -> Result<Outcome, CommandError> {
    let mut terminated = signal(SignalKind::terminate()).map_err(CommandError::Runtime)?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let ended = loop {
        tokio::select! {
            ended = &mut publishing => break ended,
            _ = look.tick() => watch.look(progress),
            _ = tokio::signal::ctrl_c() => progress.stop.store(true, Ordering::Relaxed),
            _ = terminated.recv() => progress.stop.store(true, Ordering::Relaxed),
        }
    };
    watch.end();
    ended
        .map_err(|error| CommandError::Refused(format!("the traffic broke off: {error}")))?
        .map_err(|error| CommandError::Refused(crate::app::one_line(&error)))
}

fn sum_up(outcome: &Outcome, seed: u64, command: &Simulate) -> Result<(), CommandError> {
    let made = outcome.made;
    let rate = per_second(made.records, outcome.elapsed);
    if command.json {
        let mut summary = json!(made);
        summary["seed"] = json!(seed);
        summary["accounts"] = json!(command.accounts);
        if let Some(authorizations) = &outcome.authorizations {
            summary["authorizations"] = json!(authorizations);
        }
        summary["undelivered"] = json!(outcome.undelivered);
        summary["elapsed_milliseconds"] = json!(outcome.elapsed.as_millis());
        summary["records_per_second"] = json!(rate);
        print(&summary.to_string())?;
    } else if std::io::stdout().is_terminal() || !command.no_progress {
        print(&format!(
            "{} records in {:.1?} ({rate}/s) from seed {seed}: {} calls, {} of them billable, \
             {} s; {} repeated, {} reordered, {} late, {} to be rejected, {} rents",
            made.records,
            outcome.elapsed,
            made.calls,
            made.billable_calls,
            made.billable_seconds,
            made.duplicates,
            made.reordered,
            made.late_calls,
            made.faulty,
            made.rentals,
        ))?;
        if let Some(authorizations) = &outcome.authorizations {
            print(&authorizations.to_string())?;
        }
    }
    if let Some(refused) = outcome.authorizations.as_ref().and_then(|it| it.refused.as_ref()) {
        return Err(CommandError::Refused(refused.clone()));
    }
    if outcome.undelivered == 0 {
        return Ok(());
    }
    let why = outcome.failure.as_deref().unwrap_or("no answer");
    Err(CommandError::Refused(format!(
        "{} records were not acknowledged by Kafka: {why}",
        outcome.undelivered
    )))
}
