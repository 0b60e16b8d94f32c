//! `callmeter account refill` and `callmeter account card list`: pays into a wallet from a saved
//! card, and shows the cards.

use callmeter_core::domain::{AccountId, Money, PaymentMethodId, RefillStatus};
use callmeter_core::policy::decline;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::actor::Reason;
use super::error::{refused, unknown};
use super::refill::{open_payments, refill_json, refill_text};
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::config::{PAYMENT_MAX, Settings};
use crate::ledger::payments::refills::Refill;
use crate::payments::{Begun, CardChoice, CardsError, NotBegun, OverLimit, RefillRequest, cents};

/// Refills an account from a saved card.
#[derive(Debug, Args)]
pub(super) struct RefillAccount {
    /// The account's id
    id: AccountId,
    /// Dollars, in whole cents
    #[arg(value_parser = amount)]
    amount: Money,
    /// The saved card (pm_...); without it, the default card
    #[arg(long, value_name = "CARD", value_parser = card)]
    payment_method: Option<PaymentMethodId>,
    /// Names the request: run again with the same key, it is the same refill
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Cards {
    /// Lists the saved cards, newest first
    List(ListCards),
}

#[derive(Debug, Args)]
pub(super) struct ListCards {
    /// The account's id
    id: AccountId,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

fn amount(text: &str) -> Result<Money, String> {
    let amount = Money::parse(text).map_err(|error| error.to_string())?;
    if !amount.is_positive() || amount > PAYMENT_MAX || cents(amount).is_none() {
        return Err("is not 0.01 to 999999.99 in whole cents".to_owned());
    }
    Ok(amount)
}

fn card(text: &str) -> Result<PaymentMethodId, String> {
    PaymentMethodId::parse(text).map_err(|error| error.to_string())
}

impl RefillAccount {
    pub(super) async fn run(
        self,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let (store, clock) = (open(settings)?, settings.clock());
        let payments = open_payments(settings, store, &clock)?;
        if self.amount < payments.minimum() {
            let problem = format!("{} is below the minimum of {}", self.amount, payments.minimum());
            return Err(refused(problem));
        }
        let card = self.payment_method.clone();
        let choice = card.clone().map_or(CardChoice::Default, |id| CardChoice::Saved(Some(id)));
        let key = self.idempotency_key.clone().map(|key| {
            let named = json!([self.amount, card.as_ref().map(PaymentMethodId::as_str)]);
            (key, <[u8; 32]>::from(Sha256::digest(named.to_string())))
        });
        let request = RefillRequest { amount: self.amount, card: choice, return_url: None };
        let by = self.why.by(now);
        let (who, deadline) = (by.who.clone(), payments.deadline());
        let begun = payments.begin(self.id.clone(), request, key, by).await;
        let begun = begun.map_err(|error| refused(one_line(&error)))?;
        let Begun { refill, is_new } = begun.map_err(|why| not_begun(&self.id, why))?;
        let advanced = if is_new {
            payments.advance(&refill.id, &who, deadline).await.map(Some)
        } else {
            payments.advance_if_free(&refill.id, &who, deadline).await
        };
        let advanced = advanced.map_err(|error| refused(one_line(&error)))?;
        let refill = advanced.map_or(refill, |advanced| advanced.refill);
        print(&if self.json { refill_json(&refill).to_string() } else { refill_text(&refill) })?;
        verdict(&refill)
    }
}

/// Ends with 1 unless the wallet was refilled, or may be yet.
fn verdict(refill: &Refill) -> Result<(), CommandError> {
    match refill.status {
        RefillStatus::Failed => {
            let stored = refill.decline.clone().unwrap_or_default();
            let told = decline(stored.decline_code.as_deref(), stored.code.as_deref());
            Err(refused(format!("nothing was charged: {}", told.advice)))
        }
        RefillStatus::Completed => Ok(()),
        _ => {
            let help = "it is not known yet what becomes of it: `callmeter refill show`";
            print(&format!("{help} {}", refill.id))
        }
    }
}

fn not_begun(id: &AccountId, why: NotBegun) -> CommandError {
    match why {
        NotBegun::UnknownAccount => unknown(id),
        NotBegun::AccountClosed => refused(format!("account {id} is closed")),
        NotBegun::NoPaymentMethod => refused(format!("account {id} has no default card")),
        NotBegun::UnknownPaymentMethod => refused(format!("account {id} has no such card")),
        NotBegun::OtherBody => refused("the key named another amount or card before".to_owned()),
        NotBegun::OverLimit(OverLimit::TooManyDeclines) => {
            refused(format!("the cards of {id} were declined too often in the last hour"))
        }
        NotBegun::OverLimit(OverLimit::DailyMax { left }) => {
            refused(format!("{id} may pay {left} more until midnight, UTC"))
        }
    }
}

impl Cards {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), CommandError> {
        let Self::List(command) = self;
        let (store, clock) = (open(settings)?, settings.clock());
        let payments = open_payments(settings, store, &clock)?;
        let cards = payments.cards(&command.id).await.map_err(|error| match error {
            CardsError::UnknownAccount => unknown(&command.id),
            error => refused(one_line(&error)),
        })?;
        if command.json {
            let cards = cards.iter().map(|card| {
                json!({
                    "id": card.id, "brand": card.face.brand, "last4": card.face.last4,
                    "exp_month": card.exp_month, "exp_year": card.exp_year,
                    "default": card.is_default,
                })
            });
            return print(&json!({ "items": cards.collect::<Vec<_>>() }).to_string());
        }
        if cards.is_empty() {
            return print("no card");
        }
        let lines = cards.iter().map(|card| {
            let (face, default) = (&card.face, if card.is_default { "  default" } else { "" });
            let expires = format!("{:02}/{}", card.exp_month, card.exp_year);
            format!("{:<32}{:<12}{:<6}{expires}{default}", card.id, face.brand, face.last4)
        });
        print(&lines.collect::<Vec<_>>().join("\n"))
    }
}
