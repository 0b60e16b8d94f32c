//! Money in: refills and cards through the local Stripe, held against the ledger.

mod auto_refill;
mod books;
mod cards;
mod counterparts;
mod events;
mod faults;
mod histories;
mod history;
mod kills;
mod liability;
mod limits;
mod recovery;
mod refills;
mod refunds;
mod restored;
mod settled;
mod storm;
mod two_years;
mod webhooks;

use crate::harness::api::{Answer, Api};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
use crate::harness::stripe::Stripe;
use crate::harness::system::System;
use crate::keys::make;
use callmeter::simulate::stripe::Card;
use reqwest::Method;
use serde_json::{Value, json};

/// Settings that make tests fast.
const FAST: [(&str, &str); 2] =
    [("CALLMETER__STRIPE__LOOKUP_SECONDS", "1"), ("CALLMETER__STRIPE__TIMEOUT_SECONDS", "6")];

/// A system with one account, its customer's API, and Stripe.
struct World {
    system: System,
    stripe: Stripe,
    /// With the admin key.
    admin: Api,
    /// With the account's own key.
    own: Api,
}

impl World {
    /// Starts `serve` with the roles; web hooks are delivered to it where `hooked`.
    async fn start(stripe: Stripe, role: &str, hooked: bool) -> World {
        World::start_with(stripe, role, hooked, &[]).await
    }

    /// Starts it with more settings.
    async fn start_with(stripe: Stripe, role: &str, hooked: bool, extra: &[(&str, &str)]) -> World {
        let mut system = System::new().await;
        let index = system.start_at(role, &stripe, &[&FAST[..], extra].concat());
        let admin = system.ready(index).await;
        system.open(&admin, [&account("acme", 0)]).await;
        if hooked {
            stripe.deliver_to(&system.services[index].url());
        }
        let (_, key) = make(&admin, "account", Some("acme")).await;
        let own = admin.with_key(Some(&key));
        World { system, stripe, admin, own }
    }

    /// Goes on at another time: the process is killed, and another one starts with a moved clock.
    async fn go_on_at(&mut self, role: &str, offset_seconds: i64) {
        for service in &mut self.system.services {
            if service.runs() {
                service.kill();
            }
        }
        let (settings, offset) = (self.stripe.settings(), offset_seconds.to_string());
        let mut changed: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        changed.extend(FAST);
        changed.push(("CALLMETER__TWILIO__API_BASE", "http://127.0.0.1:9"));
        changed.push(("CALLMETER__CLOCK__OFFSET_SECONDS", &offset));
        let index = self.system.start(role, &changed);
        let base = self.system.ready(index).await.base;
        self.admin = self.admin.at(base.clone());
        self.own = self.own.at(base);
    }

    /// Saves a card: the customer's setup, then the card as the browser brings it to Stripe.
    async fn save(&self, card: Card) -> String {
        self.own.post("/v1/accounts/acme/payment-methods/setup", &json!({})).await.expect(201);
        let customers = self.stripe.local.objects("customer");
        let customer = customers[0]["id"].as_str().expect("an id").to_owned();
        let id = self.stripe.local.add_card(&customer, card).expect("it is added");
        let listed = self.own.get("/v1/accounts/acme/payment-methods").await.expect(200);
        assert!(listed["items"].to_string().contains(&id), "{listed}");
        id
    }

    async fn refill(&self, body: &Value) -> Answer {
        self.own.post("/v1/accounts/acme/refills", body).await
    }

    /// Asks for a refill with an Idempotency-Key.
    async fn refill_as(&self, key: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = Some(body.to_string().into_bytes());
        let sent = self.own.send(Method::POST, "/v1/accounts/acme/refills", &headers, body).await;
        sent.expect("an answer")
    }

    /// The refill once it has a status.
    async fn until(&self, refill: &Value, status: &str) -> Value {
        let path = format!("/v1/accounts/acme/refills/{}", text(refill, "id"));
        until(&format!("a refill that is {status}"), SOON, async || {
            let now = self.own.get(&path).await.expect(200);
            (now["status"] == status).then_some(now)
        })
        .await
    }

    async fn balance(&self) -> String {
        let wallet = self.own.get("/v1/accounts/acme/wallet").await.expect(200);
        text(&wallet, "balance")
    }

    /// Rows of the ledger, oldest first: kind, status, amount, whether they name a payment.
    async fn rows(&self) -> Vec<(String, String, String)> {
        let listed = self.own.get("/v1/accounts/acme/transactions").await.expect(200);
        let rows = listed["items"].as_array().expect("rows").iter().rev();
        rows.map(|row| (text(row, "kind"), text(row, "status"), text(row, "amount"))).collect()
    }

    /// Asserts that Stripe was paid as much as the ledger credited.
    async fn assert_books_agree(&self) {
        let paid: i64 = self.stripe.local.totals().values().map(|totals| totals.captured).sum();
        let rows = self.rows().await;
        let credited = rows.iter().filter(|(_, status, _)| status == "completed");
        let cents = |amount: &str| amount.replace('.', "").parse::<i64>().expect("money") / 10_000;
        let credited: i64 = credited.map(|(_, _, amount)| cents(amount)).sum();
        assert_eq!(credited, paid, "{rows:?}");
    }
}

fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

/// A card that the bank declines.
fn declined(code: &str) -> Card {
    Card { decline: Some(code.to_owned()), ..Card::default() }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for service in &self.system.services {
                eprintln!("{}", service.log_tail());
            }
        }
    }
}
