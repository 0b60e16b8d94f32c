//! Balance transactions and payouts (<https://docs.stripe.com/reports/balance-transaction-types>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::form::Parameters;
use super::listing;
use super::world::World;

type Answer = Result<Value, Complaint>;

/// Seconds until money of a payment can be paid out.
const AVAILABLE_AFTER_SECONDS: i64 = 2 * 86_400;

/// Parameters of `GET /v1/balance_transactions`.
pub(super) const LIST: &[&str] = &["type", "payout", "source", "currency"];

/// Parameters of `GET /v1/payouts`.
pub(super) const PAYOUT_LIST: &[&str] = &["status", "destination"];

/// A movement of the account's balance.
pub(super) struct Movement<'a> {
    /// Stripe's `type`.
    pub kind: &'a str,
    /// Stripe's `reporting_category`.
    pub category: &'a str,
    /// Hundredths of `currency`; negative if they leave.
    pub amount: i64,
    /// Lower case. The balance may be in another one.
    pub currency: &'a str,
    /// Stripe's fee.
    pub fee: Fee,
    /// Id of the object that moved it.
    pub source: &'a str,
    pub description: &'a str,
}

/// Stripe's fee for a movement, in the currency of the balance.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fee {
    None,
    /// 2.9 % and 30 hundredths.
    Payment,
    /// As many hundredths.
    Fixed(i64),
}

impl Fee {
    fn of(self, amount: i64) -> i64 {
        match self {
            Self::None => 0,
            Self::Payment => (amount * 29 + 500) / 1_000 + 30,
            Self::Fixed(fee) => fee,
        }
    }
}

/// Records a movement; returns the id of its balance transaction.
pub(super) fn record(world: &mut World, movement: &Movement<'_>) -> String {
    let Movement { kind, category, amount, currency: moved_in, fee, source, description } =
        *movement;
    let amount = world.behaviour.settled(amount, moved_in);
    let (currency, rate) =
        (world.behaviour.settles_in().to_owned(), world.behaviour.exchange_rate(moved_in));
    let fee = fee.of(amount);
    let available_on = world.second() + AVAILABLE_AFTER_SECONDS;
    let details = json!([{
        "amount": fee,
        "application": null,
        "currency": currency,
        "description": if kind == "adjustment" { "Dispute fee" } else { "Stripe processing fees" },
        "type": "stripe_fee",
    }]);
    let row = json!({
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "currency": currency,
        "description": description,
        "exchange_rate": rate,
        "fee": fee,
        "fee_details": if fee == 0 { json!([]) } else { details },
        "net": amount - fee,
        "reporting_category": category,
        "source": source,
        "status": "pending",
        "type": kind,
    });
    world.add("balance_transaction", "txn", row)
}

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    let row = world.find("balance_transaction", id, "id").map_err(Complaint::not_found)?;
    Ok(aged(row.clone(), world.second()))
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let matches = listing::equals(form, &["type", "source", "currency"])?;
    let payout = form.text("payout")?;
    let holds = |row: &Value| {
        let of = row["id"].as_str().and_then(|id| world.paid_out.get(id)).map(String::as_str);
        matches(row) && (payout.is_none() || of == payout)
    };
    let mut page =
        listing::page(world, "balance_transaction", "/v1/balance_transactions", form, holds)?;
    for row in page["data"].as_array_mut().into_iter().flatten() {
        *row = aged(row.take(), world.second());
    }
    Ok(page)
}

/// A balance transaction with its status at a second.
fn aged(mut row: Value, now: i64) -> Value {
    if row["available_on"].as_i64().is_some_and(|at| at <= now) {
        row["status"] = json!("available");
    }
    row
}

pub(super) fn show_payout(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find("payout", id, "payout").cloned().map_err(Complaint::not_found)
}

pub(super) fn list_payouts(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let matches = listing::equals(form, PAYOUT_LIST)?;
    listing::page(world, "payout", "/v1/payouts", form, matches)
}

/// Pays out everything in the balance's currency that was not paid out yet, whether it is available or not.
pub(super) fn pay_out(world: &mut World) -> Answer {
    let currency = world.behaviour.settles_in().to_owned();
    let open: Vec<(String, i64)> = world
        .all("balance_transaction")
        .filter(|row| row["currency"] == currency.as_str())
        .filter_map(|row| Some((row["id"].as_str()?.to_owned(), row["net"].as_i64()?)))
        .filter(|(id, _)| !world.paid_out.contains_key(id))
        .collect();
    let amount: i64 = open.iter().map(|(_, net)| net).sum();
    if amount <= 0 {
        let message = "You have insufficient funds in your Stripe account for this transfer.";
        return Err(Complaint::invalid("balance_insufficient", message));
    }
    let destination = world.id("ba");
    let row = json!({
        "amount": amount,
        "application_fee": null,
        "application_fee_amount": null,
        "arrival_date": world.second(),
        "automatic": true,
        "balance_transaction": null,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": destination,
        "failure_balance_transaction": null,
        "failure_code": null,
        "failure_message": null,
        "metadata": {},
        "method": "standard",
        "original_payout": null,
        "payout_method": null,
        "reconciliation_status": "completed",
        "reversed_by": null,
        "source_type": "card",
        "statement_descriptor": null,
        "status": "paid",
        "trace_id": null,
        "type": "bank_account",
    });
    let id = world.add("payout", "po", row);
    let movement = Movement {
        kind: "payout",
        category: "payout",
        amount: -amount,
        currency: &currency,
        fee: Fee::None,
        source: &id,
        description: "STRIPE PAYOUT",
    };
    let own = record(world, &movement);
    let all = open.into_iter().map(|(id, _)| id).chain([own.clone()]);
    for transaction in all {
        world.paid_out.insert(transaction, id.clone());
    }
    let payout = world.set("payout", &id, &json!({ "balance_transaction": own }));
    world.emit("payout.created", &payout);
    world.emit("payout.paid", &payout);
    Ok(payout)
}
