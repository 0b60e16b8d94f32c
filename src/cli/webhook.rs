//! `callmeter webhook …`: receivers of web hooks, for users of the machine.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;

use super::actor::Reason;
use super::error::refused;
use super::{CommandError, changes, open, open_balance, print};
use crate::change::Changes;
use crate::config::Settings;
use crate::json::{DeliveryJson, EndpointJson};
use crate::ledger::history::Stretch;
use crate::ledger::schema;
use crate::ledger::store::Store;
use crate::ledger::webhooks::{self, Delivery, DeliveryId, Endpoint, EndpointId, NotReplayed};
use crate::masked::masked_url;
use crate::notify::webhooks::{
    EnableEndpoint, NotRotated, ReplayDelivery, RotateSecret, TestEndpoint, UnknownEndpoint,
    Webhooks, random_secret,
};

/// Rows of one page.
const PAGE: u16 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    /// Lists receivers of web hooks, newest first
    List(List),
    /// Lists what was and will be posted to a receiver, newest first
    Deliveries(Deliveries),
    /// Posts a delivery again
    Replay(Replay),
    /// Posts a test to a receiver
    Test(One),
    /// Gives a receiver a new secret and prints it once
    Rotate(One),
    /// Enables a disabled receiver
    Enable(One),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only receivers of this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Deliveries {
    /// The receiver's id, as `webhook list` shows it
    id: EndpointId,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The receiver's id, as `webhook list` shows it
    id: EndpointId,
    /// The delivery's id, as `webhook deliveries` shows it
    delivery: DeliveryId,
    #[command(flatten)]
    why: Reason,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The receiver's id, as `webhook list` shows it
    id: EndpointId,
    #[command(flatten)]
    why: Reason,
}

pub(super) async fn run(command: Webhook, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    let clock = settings.clock();
    let changes = || open_balance(settings, &clock).map(|it| changes(&store, &it, &clock));
    let now = clock.now();
    match command {
        Webhook::List(command) => list(&command, &store).await,
        Webhook::Deliveries(command) => deliveries(&command, &store).await,
        Webhook::Replay(command) => replay(command, &changes()?, now).await,
        Webhook::Test(command) => test(command, &changes()?, now).await,
        Webhook::Rotate(command) => rotate(command, settings, &changes()?, now).await,
        Webhook::Enable(command) => enable(command, &changes()?, now).await,
    }
}

async fn list(command: &List, store: &Store) -> Result<(), CommandError> {
    let mut stretch = Stretch { below: None, from: None, to: None, limit: PAGE };
    let mut connection = store.read().await?;
    loop {
        let page = webhooks::endpoints(&mut connection, command.account.as_ref(), &stretch).await?;
        for endpoint in page.items {
            let as_json = command.json;
            print(&if as_json {
                json!(EndpointJson::from(endpoint)).to_string()
            } else {
                shown(&endpoint)
            })?;
        }
        let Some(next) = page.next else { return Ok(()) };
        stretch.below = Some(next);
    }
}

async fn deliveries(command: &Deliveries, store: &Store) -> Result<(), CommandError> {
    let mut stretch = Stretch { below: None, from: None, to: None, limit: PAGE };
    let mut connection = store.read().await?;
    let found = webhooks::find(&mut connection, command.id, &None).await?;
    found.ok_or_else(|| unknown(command.id))?;
    loop {
        let page = webhooks::list(&mut connection, command.id, &stretch).await?;
        for delivery in page.items {
            let as_json = command.json;
            print(&if as_json {
                json!(DeliveryJson::from(delivery)).to_string()
            } else {
                posted(&delivery)
            })?;
        }
        let Some(next) = page.next else { return Ok(()) };
        stretch.below = Some(next);
    }
}

async fn replay(
    command: Replay,
    changes: &Changes,
    now: DateTime<Utc>,
) -> Result<(), CommandError> {
    let Replay { id, delivery, why } = command;
    let change = ReplayDelivery { endpoint: id, delivery, owner: None };
    is_due(id, changes.run(change, why.by(now)).await?)
}

async fn test(command: One, changes: &Changes, now: DateTime<Utc>) -> Result<(), CommandError> {
    let change = TestEndpoint { endpoint: command.id, owner: None };
    is_due(command.id, changes.run(change, command.why.by(now)).await?)
}

fn is_due(id: EndpointId, due: Result<Delivery, NotReplayed>) -> Result<(), CommandError> {
    match due {
        Ok(delivery) => print(&format!("{} is due", delivery.id)),
        Err(NotReplayed::UnknownEndpoint) => Err(unknown(id)),
        Err(NotReplayed::UnknownDelivery) => Err(refused(format!("{id} has no such delivery"))),
        Err(NotReplayed::Disabled) => {
            Err(refused(format!("{id} is disabled; `callmeter webhook enable {id}` enables it")))
        }
    }
}

async fn rotate(
    command: One,
    settings: &Settings,
    changes: &Changes,
    now: DateTime<Utc>,
) -> Result<(), CommandError> {
    let Webhooks { secrets, .. } = Webhooks::from_settings(settings);
    let secret = random_secret().ok_or_else(|| refused("the system has no random bytes"))?;
    let change = RotateSecret { secrets, endpoint: command.id, owner: None, secret };
    match changes.run(change, command.why.by(now)).await? {
        Ok(created) => print(created.secret.expose()),
        Err(NotRotated::UnknownEndpoint) => Err(unknown(command.id)),
        Err(NotRotated::NotConfigured) => {
            Err(refused("neither secrets.key nor http.admin_key is set to seal the secret with"))
        }
    }
}

async fn enable(command: One, changes: &Changes, now: DateTime<Utc>) -> Result<(), CommandError> {
    let change = EnableEndpoint { endpoint: command.id, owner: None };
    match changes.run(change, command.why.by(now)).await? {
        Ok(endpoint) => print(&shown(&endpoint)),
        Err(UnknownEndpoint) => Err(unknown(command.id)),
    }
}

fn unknown(id: EndpointId) -> CommandError {
    refused(format!("there is no receiver {id}"))
}

fn shown(endpoint: &Endpoint) -> String {
    let account = endpoint.account.as_ref().map_or("all accounts", AccountId::as_str);
    let disabled = endpoint.disabled.map(|(at, why)| format!(", {} since {at}", why.as_str()));
    let failing = endpoint.failing_since.map(|at| format!(", failing since {at}"));
    format!(
        "{}  {}  {account}  {}{}",
        endpoint.id,
        masked_url(&endpoint.url),
        endpoint.status().as_str(),
        disabled.or(failing).unwrap_or_default()
    )
}

fn posted(delivery: &Delivery) -> String {
    let (id, event, kind) = (delivery.id, delivery.event, &delivery.kind);
    let next = delivery.due_at.map(|at| format!(", next attempt {at}")).unwrap_or_default();
    let error = delivery.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let (status, attempts) = (delivery.status().as_str(), delivery.attempts);
    format!("{id}  {event}  {kind}  {status}, {attempts} attempts{next}{error}")
}
