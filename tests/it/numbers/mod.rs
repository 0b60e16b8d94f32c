//! Numbers bought through the local Twilio: what Twilio has, held against the ledger.

mod check;
mod kills;
mod purchase;
mod rents;

use crate::harness::api::{Answer, Api};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, catalog};
use crate::harness::system::{Setup, System};
use crate::harness::twilio::Twilio;
use crate::keys::make;
use crate::model::account::Account;
use crate::model::catalog::NumberPrice;
use callmeter::simulate::twilio::{Behaviour, OwnedNumber};
use reqwest::Method;
use serde_json::{Value, json};

/// Settings that make tests fast.
const FAST: [(&str, &str); 3] = [
    ("CALLMETER__NUMBERS__TIMEOUT_SECONDS", "2"),
    ("CALLMETER__NUMBERS__RETRY_SECONDS", "1"),
    ("CALLMETER__HTTP__PUBLIC_URL", "https://callmeter.example"),
];

/// A system with one account, its customer's API, and Twilio.
struct World {
    system: System,
    twilio: Twilio,
    acme: Account,
    /// With the admin key.
    admin: Api,
    /// With the account's own key.
    own: Api,
    /// What every process has set besides.
    more: Vec<(&'static str, String)>,
}

impl World {
    /// Starts `serve` with the roles; the account has as many micro-dollars.
    async fn start(role: &str, balance: i128) -> World {
        World::start_with(role, balance, vec![]).await
    }

    async fn start_with(role: &str, balance: i128, more: Vec<(&'static str, String)>) -> World {
        let twilio = Twilio::start(Behaviour::default());
        let acme = account("acme", balance);
        twilio.subscribe(&acme, None);
        let mut priced = catalog();
        priced.numbers.push(NumberPrice { country: "DE", kind: "national", monthly: 1_800_000 });
        let mut system = System::with(Setup { catalog: priced, ..Setup::default() }).await;
        let settings = settings(&twilio, &acme, &more);
        let index = system.start(role, &borrowed(&settings));
        let admin = system.ready(index).await;
        system.open(&admin, [&acme]).await;
        let (_, key) = make(&admin, "account", Some("acme")).await;
        let own = admin.with_key(Some(&key));
        World { system, twilio, acme, admin, own, more }
    }

    /// Kills the process and goes on with another one, at another time and with other settings.
    async fn go_on(&mut self, role: &str, offset_seconds: i64, more: &[(&'static str, &str)]) {
        for service in &mut self.system.services {
            if service.runs() {
                service.kill();
            }
        }
        let mut settings = settings(&self.twilio, &self.acme, &self.more);
        settings.push(("CALLMETER__CLOCK__OFFSET_SECONDS", offset_seconds.to_string()));
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let index = self.system.start(role, &borrowed(&settings));
        let base = self.system.ready(index).await.base;
        self.admin = self.admin.at(base.clone());
        self.own = self.own.at(base);
    }

    async fn buy(&self, phone_number: &str) -> Answer {
        self.own.post("/v1/accounts/acme/numbers", &local(phone_number)).await
    }

    /// Buys with an Idempotency-Key.
    async fn buy_as(&self, key: &str, body: &Value) -> Answer {
        let headers = [("idempotency-key", key)];
        let body = Some(body.to_string().into_bytes());
        let path = "/v1/accounts/acme/numbers";
        self.own.send(Method::POST, path, &headers, body).await.expect("an answer")
    }

    async fn release(&self, number: &str) -> Answer {
        let path = format!("/v1/accounts/acme/numbers/{number}");
        self.own.send(Method::DELETE, &path, &[], None).await.expect("an answer")
    }

    /// The number once it has a status.
    async fn until(&self, id: &str, status: &str) -> Value {
        let path = format!("/v1/accounts/acme/numbers/{id}");
        until(&format!("a number that is {status}"), SOON, async || {
            let answer = self.own.send(Method::GET, &path, &[], None).await.ok()?;
            let now = answer.expect(200);
            (now["status"] == status).then_some(now)
        })
        .await
    }

    async fn numbers(&self) -> Vec<Value> {
        self.own.items("/v1/accounts/acme/numbers", 100).await.expect("a list")
    }

    async fn balance(&self) -> String {
        let wallet = self.own.get("/v1/accounts/acme/wallet").await.expect(200);
        text(&wallet, "balance")
    }

    /// Rows of the ledger, oldest first: kind, status, amount.
    async fn rows(&self) -> Vec<(String, String, String)> {
        let rows = self.own.items("/v1/accounts/acme/transactions", 1000).await.expect("rows");
        let row = |row: &Value| (text(row, "kind"), text(row, "status"), text(row, "amount"));
        rows.iter().rev().map(row).collect()
    }

    /// Asserts that the account's numbers at Twilio are those that the ledger has, by sid.
    async fn assert_twilio_agrees(&self) {
        let owned = self.twilio.local.owned_numbers();
        let mut at_twilio: Vec<String> = owned.into_iter().map(|owned| owned.sid).collect();
        let numbers = self.numbers().await;
        let live = numbers.iter().filter(|number| {
            !["failed", "released"].contains(&number["status"].as_str().expect("a status"))
        });
        let mut ours: Vec<String> = live.map(|number| text(number, "sid")).collect();
        at_twilio.sort();
        ours.sort();
        assert_eq!(ours, at_twilio, "{numbers:?}");
    }

    /// The number with a phone number at Twilio.
    fn at_twilio(&self, phone_number: &str) -> Option<OwnedNumber> {
        let owned = self.twilio.local.owned_numbers();
        owned.into_iter().find(|owned| owned.phone_number == phone_number)
    }

    /// The types of the account's published events about numbers, in order.
    fn events(&self) -> Vec<String> {
        let records = self.system.kafka.records(&self.system.events_topic());
        let types = records.into_iter().filter_map(|(_, value)| {
            let event: Value = serde_json::from_slice(&value).expect("JSON");
            let kind = text(&event, "type");
            kind.strip_prefix("callmeter.number.").map(str::to_owned)
        });
        types.collect()
    }

    async fn until_events(&self, expected: &[&str]) {
        until(&format!("the events {expected:?}"), SOON, async || {
            (self.events() == expected).then_some(())
        })
        .await;
    }
}

fn settings(
    twilio: &Twilio,
    account: &Account,
    more: &[(&'static str, String)],
) -> Vec<(&'static str, String)> {
    let mut settings = twilio.settings(account);
    settings.extend(FAST.map(|(name, value)| (name, value.to_owned())));
    settings.extend(more.iter().cloned());
    settings
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The body that buys a local number of the US.
fn local(phone_number: &str) -> Value {
    json!({"phone_number": phone_number, "country": "US", "type": "local"})
}

/// The nth local number of the US that the local Twilio sells.
fn phone_number(n: usize) -> String {
    format!("+1201555{:04}", 1_000 + n)
}

fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}
