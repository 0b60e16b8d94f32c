//! `callmeter number`: lists, buys, shows and releases numbers.

use callmeter_core::domain::{AccountId, NumberStatus, NumberType, is_e164};
use clap::{Args, Subcommand};
use serde_json::json;

use super::actor::Reason;
use super::error::refused;
use super::{CommandError, changes, open, open_balance, print};
use crate::app::one_line;
use crate::clock::Clock;
use crate::config::Settings;
use crate::json::NumberJson;
use crate::ledger::history::Stretch;
use crate::ledger::numbers::{self, Number};
use crate::ledger::store::Store;
use crate::ledger::{accounts, schema};
use crate::numbers::{NotBought, NotReleased, Numbers, PurchaseRequest};

#[derive(Debug, Subcommand)]
pub(super) enum NumberCommand {
    /// Lists numbers, newest first
    List(List),
    /// Buys a number for an account
    Buy(Buy),
    /// Gives a number back to Twilio; also one that is suspended
    Release(Release),
    /// Shows a number
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only numbers of this account
    #[arg(long)]
    account: Option<String>,
    /// Only numbers in this state
    #[arg(long, value_name = "STATUS")]
    status: Option<NumberStatus>,
    /// Most numbers
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Prints JSON, one object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Buy {
    /// The account
    account: String,
    /// The number (+ and digits)
    phone_number: String,
    /// Its country, two letters
    #[arg(long)]
    country: String,
    /// Its type: local, mobile, national, toll free
    #[arg(long = "type", value_name = "TYPE")]
    number_type: String,
    /// Twilio's id of the address that the country asks for
    #[arg(long)]
    address_sid: Option<String>,
    /// Twilio's id of the regulatory bundle that the country asks for
    #[arg(long)]
    bundle_sid: Option<String>,
    #[command(flatten)]
    reason: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Release {
    /// The number's id (nb_...) or Twilio's (PN...)
    number: String,
    #[command(flatten)]
    reason: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The number's id (nb_...) or Twilio's (PN...)
    number: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: NumberCommand, settings: &Settings) -> Result<(), CommandError> {
    let (store, clock) = (open(settings)?, settings.clock());
    schema::check(&store).await?;
    match command {
        NumberCommand::List(command) => list(command, &store).await,
        NumberCommand::Buy(command) => buy(command, settings, store, &clock).await,
        NumberCommand::Release(command) => release(command, settings, store, &clock).await,
        NumberCommand::Show(command) => {
            let number = find(&store, &command.number).await?;
            print_number(number, command.json)
        }
    }
}

/// The use cases of numbers, for a command.
pub(super) fn open_numbers(
    settings: &Settings,
    store: Store,
    clock: &Clock,
) -> Result<Numbers, CommandError> {
    let balance = open_balance(settings, clock)?;
    let changes = changes(&store, &balance, clock);
    let numbers = Numbers::from_settings(settings, store, changes, clock.clone());
    numbers.map_err(|error| refused(one_line(&error)))
}

async fn list(command: List, store: &Store) -> Result<(), CommandError> {
    let mut connection = store.read().await?;
    let account_key = match &command.account {
        None => None,
        Some(text) => {
            let account = account_of(text)?;
            let key = accounts::key_of(&mut connection, &account).await?;
            Some(key.ok_or_else(|| refused(format!("there is no account {account}")))?)
        }
    };
    let stretch = Stretch { below: None, from: None, to: None, limit: command.limit };
    let page = numbers::list(&mut connection, account_key, command.status, &stretch).await?;
    let lines = page.items.into_iter().map(|number| {
        if command.json {
            return json!(NumberJson::from(number)).to_string();
        }
        let sid = number.sid.as_ref().map_or("-", |sid| sid.as_str());
        let (id, account, status) = (&number.id, &number.account, number.status);
        format!("{id}  {account:<20} {status:<10} {:<16} {sid}", number.phone_number)
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { Ok(()) } else { print(&lines.join("\n")) }
}

async fn buy(
    command: Buy,
    settings: &Settings,
    store: Store,
    clock: &Clock,
) -> Result<(), CommandError> {
    let account = account_of(&command.account)?;
    let usage = |problem: &str| CommandError::Usage(problem.to_owned());
    if !is_e164(&command.phone_number) {
        return Err(usage("the number is not one such as +12015551000"));
    }
    let country = command.country.to_ascii_uppercase();
    if country.len() != 2 || !country.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        return Err(usage("--country is not two letters"));
    }
    let number_type = NumberType::parse_loosely(&command.number_type);
    let number_type =
        number_type.ok_or_else(|| usage("--type is not local, mobile, national or toll free"))?;
    let request = PurchaseRequest {
        phone_number: command.phone_number,
        country,
        number_type,
        address_sid: command.address_sid,
        bundle_sid: command.bundle_sid,
    };
    let numbers = open_numbers(settings, store, clock)?;
    let by = command.reason.by(clock.now());
    let bought = numbers.buy(account, request, None, by).await;
    let bought = bought.map_err(|error| refused(one_line(&error)))?;
    let (number, _) = bought.map_err(|refusal| refused(told(refusal)))?;
    if number.status == NumberStatus::Failed {
        let reason = number.reason.unwrap_or_default();
        let problem = format!("{} failed ({reason}); the price was given back", number.id);
        return Err(refused(problem));
    }
    print_number(number, command.json)
}

async fn release(
    command: Release,
    settings: &Settings,
    store: Store,
    clock: &Clock,
) -> Result<(), CommandError> {
    let found = find(&store, &command.number).await?;
    let numbers = open_numbers(settings, store, clock)?;
    let by = command.reason.by(clock.now());
    let released = numbers.release(found.account, found.id.as_str(), by).await;
    let released = released.map_err(|error| refused(one_line(&error)))?;
    let number = released.map_err(|refusal| {
        refused(match refusal {
            NotReleased::UnknownNumber => format!("there is no number {}", command.number),
            NotReleased::NotBought => format!("{} is not bought", command.number),
        })
    })?;
    print_number(number, command.json)
}

fn told(refusal: NotBought) -> String {
    match refusal {
        NotBought::UnknownAccount => "there is no such account".to_owned(),
        NotBought::AccountClosed => "the account is closed".to_owned(),
        NotBought::NoPrice => "the catalog has no price for this country and type".to_owned(),
        NotBought::AddressRequired { field } => {
            let option = field.replace('_', "-");
            format!("the country asks for an address or a bundle: give --{option}")
        }
        NotBought::Unavailable => {
            "twilio does not sell this number, or it is rented already".to_owned()
        }
        NotBought::Insufficient { shortfall } => format!("the wallet lacks {shortfall}"),
        NotBought::OtherBody | NotBought::InProgress => "another request is in progress".to_owned(),
    }
}

fn account_of(text: &str) -> Result<AccountId, CommandError> {
    AccountId::parse(text).map_err(|error| CommandError::Usage(error.to_string()))
}

async fn find(store: &Store, name: &str) -> Result<Number, CommandError> {
    let found = numbers::find_named(&mut *store.read().await?, name).await?;
    found.ok_or_else(|| refused(format!("there is no number {name}")))
}

fn print_number(number: Number, as_json: bool) -> Result<(), CommandError> {
    if as_json {
        return print(&json!(NumberJson::from(number)).to_string());
    }
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let rows = [
        ("number", number.id.to_string()),
        ("sid", or_none(number.sid.as_ref().map(ToString::to_string))),
        ("account", number.account.to_string()),
        ("phone number", number.phone_number),
        ("type", format!("{} {}", number.country, number.number_type)),
        ("status", number.status.to_string()),
        ("reason", or_none(number.reason)),
        ("price", number.price.to_string()),
        ("monthly", number.monthly.to_string()),
        ("renewal", or_none(number.next_due_at.map(|at| at.date_naive().to_string()))),
    ];
    let lines: Vec<String> =
        rows.iter().map(|(name, value)| format!("{name:<13} {value}")).collect();
    print(&lines.join("\n"))
}
