//! `callmeter refill show`: one refill, as Stripe has it now. Support's tool for "my balance was not
//! updated".

use callmeter_core::domain::{PaymentIntentId, RefillId};
use callmeter_core::policy::decline;
use clap::{Args, Subcommand};
use serde_json::json;

use super::actor::by_user;
use super::error::refused;
use super::{CommandError, changes, open, open_balance, print};
use crate::app::one_line;
use crate::clock::Clock;
use crate::config::Settings;
use crate::json::UnmatchedPaymentJson;
use crate::ledger::payments::refills::{self, Refill, Which};
use crate::ledger::payments::unmatched::{self, Kept, Resolution};
use crate::ledger::schema;
use crate::ledger::store::Store;
use crate::payments::Payments;

#[derive(Debug, Subcommand)]
pub(super) enum Refills {
    /// Asks Stripe about a refill, settles it, and shows it
    Show(Show),
    /// Settles a payment that fits no refill: credits it, or sends it back
    Resolve(Resolve),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The refill (rf_...) or its payment intent (pi_...)
    id: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("how").required(true))]
pub(super) struct Resolve {
    /// The payment intent (pi_...)
    payment_intent: String,
    /// Credits the payment to its account
    #[arg(long, group = "how")]
    credit: bool,
    /// Refunds the payment to the card
    #[arg(long, group = "how")]
    refund: bool,
    /// Why, for the audit
    #[arg(long)]
    reason: String,
}

/// The use cases of payments, for a command that asks Stripe.
pub(super) fn open_payments(
    settings: &Settings,
    store: Store,
    clock: &Clock,
) -> Result<Payments, CommandError> {
    let balance = open_balance(settings, clock)?;
    let changes = changes(&store, &balance, clock);
    let payments = Payments::from_settings(settings, store, changes, clock.clone());
    let payments = payments.map_err(|error| refused(one_line(&error)))?;
    let missing = || refused("STRIPE_API_KEY is not set: Stripe cannot be asked".to_owned());
    payments.ok_or_else(missing)
}

async fn resolve(command: Resolve, settings: &Settings) -> Result<(), CommandError> {
    let intent = PaymentIntentId::parse(&command.payment_intent)
        .map_err(|error| CommandError::Usage(error.to_string()))?;
    let (store, clock) = (open(settings)?, settings.clock());
    schema::check(&store).await?;
    let payments = open_payments(settings, store, &clock)?;
    let how = if command.credit { Resolution::Credit } else { Resolution::Refund };
    let by = by_user(clock.now(), Some(&command.reason));
    let resolved = payments.resolve(&intent, how, by).await;
    let resolved = resolved.map_err(|error| refused(one_line(&error)))?;
    resolved.map_err(|why| refused(format!("{why} ({intent})")))?;
    let what = if command.credit { "credited" } else { "refunded" };
    print(&format!("{intent} is {what}"))
}

pub(super) async fn run(command: Refills, settings: &Settings) -> Result<(), CommandError> {
    let command = match command {
        Refills::Show(command) => command,
        Refills::Resolve(command) => return resolve(command, settings).await,
    };
    let (store, clock) = (open(settings)?, settings.clock());
    schema::check(&store).await?;
    let mut connection = store.read().await?;
    let found = match (RefillId::parse(&command.id), PaymentIntentId::parse(&command.id)) {
        (Ok(id), _) => refills::find(&mut connection, Which::Id(&id)).await?,
        (_, Ok(id)) => refills::find(&mut connection, Which::Intent(&id)).await?,
        _ => {
            let problem = format!("{} is neither a refill nor a payment intent", command.id);
            return Err(CommandError::Usage(problem));
        }
    };
    if let (None, Ok(id)) = (&found, PaymentIntentId::parse(&command.id))
        && let Some(kept) = unmatched::find(&mut connection, &id).await?
    {
        return print(&unmatched_text(&kept, command.json));
    }
    drop(connection);
    let unknown = || refused(format!("there is no refill {}", command.id));
    let mut refill = found.ok_or_else(unknown)?;
    if !refill.is_finished() {
        let payments = open_payments(settings, store, &clock)?;
        let who = by_user(clock.now(), None).who;
        let advanced = payments.advance_if_free(&refill.id, &who, payments.deadline()).await;
        if let Some(advanced) = advanced.map_err(|error| refused(one_line(&error)))? {
            refill = advanced.refill;
        }
    }
    print(&if command.json { refill_json(&refill).to_string() } else { refill_text(&refill) })
}

pub(super) fn refill_json(refill: &Refill) -> serde_json::Value {
    json!({
        "id": refill.id, "account": refill.account, "trigger": refill.trigger,
        "amount": refill.amount, "status": refill.status,
        "payment_intent": refill.payment_intent, "decline": refill.decline,
        "created_at": refill.created_at, "finished_at": refill.finished_at,
    })
}

pub(super) fn refill_text(refill: &Refill) -> String {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let declined = refill.decline.as_ref().map(|stored| {
        let told = decline(stored.decline_code.as_deref(), stored.code.as_deref());
        let code = stored.decline_code.as_ref().or(stored.code.as_ref());
        format!("{} ({})", told.advice, code.map_or("no code", String::as_str))
    });
    let rows = [
        ("refill", refill.id.to_string()),
        ("account", refill.account.to_string()),
        ("amount", refill.amount.to_string()),
        ("status", refill.status.to_string()),
        ("payment", or_none(refill.payment_intent.as_ref().map(ToString::to_string))),
        ("declined", or_none(declined)),
        ("asked for", refill.created_at.to_string()),
        ("ended", or_none(refill.finished_at.map(|at| at.to_string()))),
    ];
    let lines: Vec<String> =
        rows.iter().map(|(name, value)| format!("{name:<10} {value}")).collect();
    lines.join("\n")
}

/// A payment that fits no refill.
fn unmatched_text(kept: &Kept, as_json: bool) -> String {
    if as_json {
        return json!({ "unmatched": UnmatchedPaymentJson::from(kept.clone()) }).to_string();
    }
    let Kept { payment_intent: id, reason, amount, currency, .. } = kept;
    let became = match (&kept.resolution, &kept.resolved_at) {
        (Some(how), Some(at)) => format!("settled by {how} at {at}"),
        _ => "settle it: `callmeter refill resolve`".to_owned(),
    };
    format!("{id} fits no refill ({reason}): {amount} in the smallest unit of {currency}; {became}")
}
