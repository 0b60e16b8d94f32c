//! The commands of the program, one file each.
//!
//! A command prints its result on standard output; an error is one line on standard error.

mod account;
mod account_refill;
mod actor;
mod budget;
mod config;
mod error;
mod estimate;
mod insights;
mod kafka;
mod key;
mod local_stripe;
mod local_twilio;
mod migrate;
mod number;
mod offsets;
mod openapi;
mod period;
mod publish;
mod reconcile;
mod reconcile_stripe;
mod recover;
mod redact;
mod refill;
mod rejects;
mod report;
mod serve;
mod shared_key;
mod sign_in;
mod simulate;
mod status;
mod stripe;
mod sweep;
mod token;
mod usage;
mod verify;
mod webhook;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::CommandError;

use crate::balance::Balance;
use crate::change::Changes;
use crate::clock::Clock;
use crate::config::{Settings, load};
use crate::keys::KeyCache;
use crate::ledger::store::Store;
use crate::telemetry;

/// Charges live phone calls: plan allowances first, then the prepaid wallet, exactly once.
#[derive(Debug, Parser)]
#[command(name = "callmeter", version, propagate_version = true)]
struct Arguments {
    /// Settings file; overrides the defaults (config/callmeter.toml documents every key)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service until SIGTERM
    Serve(serve::Serve),
    /// Migrates the database schema
    Migrate,
    /// Creates, shows and changes accounts
    #[command(subcommand)]
    Account(account::Account),
    /// Creates, lists and revokes API keys
    #[command(subcommand)]
    Key(key::Keys),
    /// Shows lag, offsets, rejects and unpaid rents, each with the command that helps
    Status(status::Show),
    /// Shows or moves the stored offsets
    #[command(subcommand)]
    Offsets(offsets::Offsets),
    /// Lists, replays and closes records that could not be charged
    #[command(subcommand)]
    Rejects(rejects::Rejects),
    /// Shows refills, as Stripe has them now
    #[command(subcommand)]
    Refill(refill::Refills),
    /// Lists, buys, shows and releases numbers
    #[command(subcommand)]
    Number(number::NumberCommand),
    /// Makes and checks what this service needs at Stripe
    #[command(subcommand)]
    Stripe(stripe::Stripe),
    /// Lists and tests receivers of web hooks, posts events again, rotates secrets
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Verifies the ledger's invariants; may run beside a working service
    Verify(verify::Verify),
    /// Finds calls at Twilio that were never charged, and publishes them
    Sweep(sweep::Sweep),
    /// Brings back payments and numbers that Stripe and Twilio have and a restored ledger lacks
    Recover(recover::Recover),
    /// Compares our charges with what others billed
    #[command(subcommand)]
    Reconcile(reconcile::Reconcile),
    /// Reports figures for the books, from the ledger alone
    #[command(subcommand)]
    Report(report::Report),
    /// Keeps the sums and comparisons behind the insights
    #[command(subcommand)]
    Insights(insights::Insights),
    /// Publishes events to Kafka, one JSON object per line
    Publish(publish::Publish),
    /// Publishes simulated Twilio traffic to Kafka
    Simulate(simulate::Simulate),
    /// Prints the OpenAPI document of the API
    Openapi,
    /// Checks or shows the settings
    #[command(subcommand)]
    Config(config::Config),
}

/// Runs the command of the arguments; prints one line if it fails.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match usage::read(arguments) {
        Ok(arguments) => arguments,
        Err(exit_code) => return exit_code,
    };
    let ran = match arguments.command {
        // The document does not depend on the settings.
        Command::Openapi => openapi::run(),
        command => load(arguments.config.as_deref())
            .map_err(CommandError::from)
            .and_then(|settings| run_command(command, settings)),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&crate::app::one_line(&error));
            error.exit_code()
        }
    }
}

fn run_command(command: Command, settings: Settings) -> Result<(), CommandError> {
    telemetry::start(&settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::Runtime)?;
    let ran = runtime.block_on(async {
        match command {
            Command::Serve(command) => serve::run(command, settings).await,
            Command::Migrate => migrate::run(&settings).await,
            Command::Account(command) => account::run(command, &settings).await,
            Command::Key(command) => key::run(command, &settings).await,
            Command::Status(command) => status::run(command, &settings).await,
            Command::Offsets(command) => offsets::run(command, &settings).await,
            Command::Rejects(command) => rejects::run(command, &settings).await,
            Command::Refill(command) => refill::run(command, &settings).await,
            Command::Number(command) => number::run(command, &settings).await,
            Command::Stripe(command) => stripe::run(command, &settings).await,
            Command::Webhook(command) => webhook::run(command, &settings).await,
            Command::Verify(command) => verify::run(command, &settings).await,
            Command::Sweep(command) => sweep::run(command, &settings).await,
            Command::Recover(command) => recover::run(command, &settings).await,
            Command::Reconcile(command) => reconcile::run(command, &settings).await,
            Command::Report(command) => report::run(command, &settings).await,
            Command::Insights(command) => insights::run(command, &settings).await,
            Command::Publish(command) => publish::run(command, &settings).await,
            Command::Simulate(command) => simulate::run(command, &settings).await,
            Command::Openapi => openapi::run(),
            Command::Config(command) => config::run(command, &settings).await,
        }
    });
    // A task that was given up must not keep the process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ran
}

/// Prints an error on standard error; ignores that it may be closed.
fn complain(line: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "callmeter: {line}"));
}

/// Opens the ledger for a command that does one thing at a time.
fn open(settings: &Settings) -> Result<Store, CommandError> {
    Ok(Store::open(settings.database.url.expose(), 2)?)
}

/// Opens Redis for a command that changes or shows wallets.
fn open_balance(settings: &Settings, clock: &Clock) -> Result<Balance, CommandError> {
    let balance = Balance::from_settings(settings, clock.clone());
    balance.map_err(|error| error::refused(crate::app::one_line(&error)))
}

/// Creates the runner for the changes of a command.
fn changes(store: &Store, balance: &Balance, clock: &Clock) -> Changes {
    let keys = KeyCache::new(store.clone(), balance.clone(), clock.clone());
    Changes::new(store.clone(), balance.clone(), keys)
}

/// Opens the ledger for a command that processes several Twilio accounts at once.
fn open_for_accounts(settings: &Settings) -> Result<Store, CommandError> {
    let connections = crate::app::connections_for_accounts(settings);
    Ok(Store::open(settings.database.url.expose(), connections)?)
}

/// Writes a result to standard output. A closed pipe is not an error.
fn print(text: &str) -> Result<(), CommandError> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CommandError::Output(error))
        }
        _ => Ok(()),
    }
}
