//! `callmeter stripe …`: what this service needs at Stripe.

use clap::{Args, Subcommand};
use serde_json::json;

use super::error::refused;
use super::refill::open_payments;
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::config::Settings;
use crate::ledger::schema;
use crate::payments::Payments;

#[derive(Debug, Subcommand)]
pub(super) enum Stripe {
    /// Makes or checks the endpoint that delivers Stripe's events to this service
    #[command(subcommand)]
    Endpoint(Endpoint),
}

#[derive(Debug, Subcommand)]
pub(super) enum Endpoint {
    /// Makes the endpoint at `http.public_url`, and prints its secret, once
    Create(Shown),
    /// Checks address, version, events and status; ends with 1 if events do not arrive
    Check(Shown),
}

#[derive(Debug, Args)]
pub(super) struct Shown {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Stripe, settings: &Settings) -> Result<(), CommandError> {
    let Stripe::Endpoint(command) = command;
    let (store, clock) = (open(settings)?, settings.clock());
    schema::check(&store).await?;
    let payments = open_payments(settings, store, &clock)?;
    match command {
        Endpoint::Create(shown) => create(&payments, &shown).await,
        Endpoint::Check(shown) => check(&payments, &shown).await,
    }
}

fn no_address() -> CommandError {
    refused("http.public_url is not set: Stripe has no address to deliver to".to_owned())
}

async fn create(payments: &Payments, shown: &Shown) -> Result<(), CommandError> {
    let checked = payments.check_endpoint().await;
    let checked = checked.map_err(|error| refused(one_line(&error)))?.ok_or_else(no_address)?;
    if let (Some(id), true) = (&checked.id, checked.faults.is_empty()) {
        return Err(refused(format!("{id} delivers to {} already", checked.url)));
    }
    let made = payments.create_endpoint().await;
    let made = made.map_err(|error| refused(one_line(&error)))?.ok_or_else(no_address)?;
    if shown.json {
        let made = json!({ "id": made.id, "url": made.url, "secret": made.secret });
        return print(&made.to_string());
    }
    let (id, url, secret) = (made.id, made.url, made.secret);
    print(&format!(
        "{id} delivers to {url}; its secret, shown once:\nSTRIPE_WEBHOOK_SECRET={secret}"
    ))
}

async fn check(payments: &Payments, shown: &Shown) -> Result<(), CommandError> {
    let checked = payments.check_endpoint().await;
    let checked = checked.map_err(|error| refused(one_line(&error)))?.ok_or_else(no_address)?;
    if shown.json {
        print(&json!(checked).to_string())?;
    }
    let (url, faults) = (&checked.url, &checked.faults);
    if !faults.is_empty() {
        return Err(refused(format!("Stripe's endpoint for {url}: {}", faults.join("; "))));
    }
    if shown.json {
        return Ok(());
    }
    print(&format!("{} delivers all events to {url}", checked.id.as_deref().unwrap_or("-")))
}
