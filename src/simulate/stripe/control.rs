//! What a test does to the local Stripe: cards, faults, disputes, refunds, time; and what was done.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Complaint;
use super::behaviour::{Behaviour, FaultRule};
use super::card::Card;
use super::customers::known;
use super::form::Parameters;
use super::outbox::Attempt;
use super::world::{LocalStripe, Request};
use super::{attempt, balance, disputes, page, payment_methods, refunds, webhook_endpoints};

type Answer = Result<Value, Complaint>;

/// What was moved for a customer, in cents. Payments without a customer stand under an empty id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Number of payments that succeeded.
    pub payments: u64,
    /// Their sum.
    pub captured: i64,
    /// Refunds that did not fail.
    pub refunded: i64,
    /// Money that disputes took and did not give back.
    pub disputed: i64,
}

impl LocalStripe {
    /// Changes the behaviour.
    pub fn change_behaviour(&self, change: impl FnOnce(&mut Behaviour)) {
        self.with(|world| change(&mut world.behaviour));
    }

    /// The behaviour.
    pub fn behaviour(&self) -> Behaviour {
        self.lock().behaviour.clone()
    }

    /// Adds a fault. Of several that match a request, the first hits it.
    pub fn fault(&self, rule: FaultRule) {
        self.with(|world| world.rules.push(rule));
    }

    /// Removes all faults, and lets go of requests that hang.
    pub fn clear_faults(&self) {
        self.with(|world| {
            world.rules.clear();
            world.releases += 1;
        });
    }

    /// Adds a card to a customer; returns its payment method.
    ///
    /// # Errors
    /// If there is no such customer.
    pub fn add_card(&self, customer: &str, card: Card) -> Result<String, Complaint> {
        self.with(|world| {
            known(world, customer, "customer")?;
            let id = payment_methods::make(world, card, &payment_methods::no_billing());
            payment_methods::attach_to(world, &id, customer);
            Ok(id)
        })
    }

    /// Changes a card or its bank's behaviour.
    ///
    /// # Errors
    /// If there is no such payment method.
    pub fn set_card(&self, method: &str, change: impl FnOnce(&mut Card)) -> Answer {
        self.with(|world| {
            let card = world.cards.get_mut(method);
            let card =
                card.ok_or_else(|| Complaint::missing("payment_method", method, "payment_method"))?;
            change(card);
            let members = payment_methods::members(card);
            Ok(world.set("payment_method", method, &json!({ "card": members })))
        })
    }

    /// Completes or fails the 3-D Secure of a payment or setup intent.
    ///
    /// # Errors
    /// If the intent does not wait for it.
    pub fn authenticate(&self, intent: &str, is_complete: bool) -> Answer {
        self.with(|world| page::authenticate(world, intent, is_complete))
    }

    /// Ends a payment that is `processing`: paid, or declined for a reason.
    ///
    /// # Errors
    /// If it is not `processing`.
    pub fn finish_payment(&self, intent: &str, decline: Option<&str>) -> Answer {
        self.with(|world| attempt::finish(world, intent, decline))
    }

    /// Opens a dispute of a payment, or an inquiry if the reason is `inquiry`. Without an amount (in
    /// cents) it is about what was not refunded.
    ///
    /// # Errors
    /// If the payment did not succeed.
    pub fn open_dispute(&self, intent: &str, reason: &str, amount: Option<i64>) -> Answer {
        self.with(|world| {
            let row = world.find("payment_intent", intent, "payment_intent")?;
            let charge = row["latest_charge"].as_str().unwrap_or_default().to_owned();
            if row["status"] != "succeeded" {
                return Err(Complaint::refused("This payment did not succeed."));
            }
            Ok(disputes::open(world, &charge, reason, amount))
        })
    }

    /// Closes a dispute: won, with the money back, or lost.
    ///
    /// # Errors
    /// If it is not open.
    pub fn close_dispute(&self, dispute: &str, is_won: bool) -> Answer {
        self.with(|world| disputes::close(world, dispute, is_won))
    }

    /// Closes an inquiry.
    ///
    /// # Errors
    /// If it is not open.
    pub fn close_inquiry(&self, dispute: &str) -> Answer {
        self.with(|world| disputes::close_inquiry(world, dispute))
    }

    /// Makes a dispute of an inquiry.
    ///
    /// # Errors
    /// If it is not open.
    pub fn escalate_inquiry(&self, dispute: &str) -> Answer {
        self.with(|world| disputes::escalate(world, dispute))
    }

    /// Refunds a payment as from the dashboard, without our metadata; without an amount (in cents)
    /// all that is left.
    ///
    /// # Errors
    /// Those of the API.
    pub fn refund(&self, intent: &str, amount: Option<i64>) -> Answer {
        let amount = amount.map(|cents| format!("&amount={cents}")).unwrap_or_default();
        let form = Parameters::decode(format!("payment_intent={intent}{amount}").as_bytes());
        self.with(|world| refunds::create(world, "", &form))
    }

    /// Makes a refund fail, also one that succeeded.
    ///
    /// # Errors
    /// If it failed before.
    pub fn fail_refund(&self, refund: &str) -> Answer {
        self.with(|world| refunds::fail(world, refund))
    }

    /// Ends a refund that is pending.
    ///
    /// # Errors
    /// If it is not pending.
    pub fn finish_refund(&self, refund: &str) -> Answer {
        self.with(|world| refunds::finish(world, refund))
    }

    /// Detaches a card as from the dashboard.
    ///
    /// # Errors
    /// If it is not attached.
    pub fn detach(&self, method: &str) -> Answer {
        self.with(|world| payment_methods::detach(world, method, &Parameters::default()))
    }

    /// Pays the balance out, in its currency.
    ///
    /// # Errors
    /// If the balance is not positive.
    pub fn pay_out(&self) -> Answer {
        self.with(balance::pay_out)
    }

    /// Moves the clock, forward or back. Signatures keep the real time.
    pub fn move_clock(&self, by: TimeDelta) {
        self.with(|world| world.offset += by);
    }

    /// Forgets the answers of all idempotency keys, as Stripe may after a day.
    pub fn forget_keys(&self) {
        self.with(|world| world.answers.forget());
    }

    /// Delivers an event once more.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn resend(&self, event: &str) -> Result<(), Complaint> {
        self.with(|world| {
            world.find("event", event, "id").map_err(Complaint::not_found)?;
            world.queue(event);
            Ok(())
        })
    }

    /// Makes an event about any object, such as one that contradicts what was paid; returns its id.
    pub fn announce(&self, kind: &str, object: &Value) -> String {
        self.with(|world| world.emit(kind, object))
    }

    /// Delivers all events to an address, signed with a secret; returns the endpoint's id.
    pub fn register_webhook(&self, url: &str, secret: &str) -> String {
        self.with(|world| webhook_endpoints::register(world, url, secret))
    }

    /// All objects of a kind, such as `payment_intent` or `event`, oldest first.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        let mut objects: Vec<Value> = self.lock().all(kind).cloned().collect();
        objects.reverse();
        objects
    }

    /// The object with an id.
    pub fn object(&self, id: &str) -> Option<Value> {
        self.lock().any(id).cloned()
    }

    /// Id of the account.
    pub fn account(&self) -> String {
        self.lock().account.clone()
    }

    /// All attempts to deliver events, in order.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.lock().outbox.attempts.clone()
    }

    /// Number of deliveries that wait.
    pub fn undelivered(&self) -> usize {
        self.lock().outbox.waiting()
    }

    /// All requests to the API, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// What was moved, by customer.
    pub fn totals(&self) -> BTreeMap<String, Totals> {
        let world = self.lock();
        let mut totals: BTreeMap<String, Totals> = BTreeMap::new();
        for charge in world.all("charge").filter(|row| row["paid"] == true) {
            let customer = charge["customer"].as_str().unwrap_or_default().to_owned();
            let of_customer = totals.entry(customer).or_default();
            of_customer.payments += 1;
            of_customer.captured += charge["amount_captured"].as_i64().unwrap_or_default();
            of_customer.refunded += charge["amount_refunded"].as_i64().unwrap_or_default();
            let disputes = world.all("dispute").filter(|row| row["charge"] == charge["id"]);
            // In the payment's currency: the balance may have another one.
            for dispute in disputes {
                let moved = dispute["balance_transactions"].as_array().map_or(0, Vec::len);
                let is_withdrawn = moved % 2 == 1;
                let amount = dispute["amount"].as_i64().unwrap_or_default();
                of_customer.disputed += if is_withdrawn { amount } else { 0 };
            }
        }
        totals
    }
}
