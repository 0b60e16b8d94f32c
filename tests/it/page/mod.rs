//! The wallet page over HTTP, as a browser without scripts uses it.

mod browser;
mod campaigns;
mod forms;
mod frames;
mod history;
mod in_chromium;
mod insights;
mod looks;
mod money;
mod numbers;
mod screens;
mod sign_in;

use crate::harness::api::Api;
use crate::harness::samples::account;
use crate::harness::stripe::Stripe;
use crate::harness::system::System;
use crate::keys::make;
use browser::Browser;
use callmeter::simulate::stripe::Card;
use serde_json::{Value, json};

/// A system with two accounts and Stripe.
struct World {
    system: System,
    stripe: Stripe,
    admin: Api,
    /// With a key that may sign customers in, and nothing else.
    signer: Api,
    role: &'static str,
}

impl World {
    async fn start(stripe: Stripe, role: &'static str, changed: &[(&str, &str)]) -> World {
        let mut system = System::new().await;
        let fast = [
            ("CALLMETER__STRIPE__LOOKUP_SECONDS", "1"),
            ("CALLMETER__STRIPE__TIMEOUT_SECONDS", "3"),
        ];
        let index = system.start_at(role, &stripe, &[&fast[..], changed].concat());
        let admin = system.ready(index).await;
        system.open(&admin, &[account("acme", 25_000_000), account("globex", 7_000_000)]).await;
        let (_, key) = make(&admin, "sign_in", None).await;
        let signer = admin.with_key(Some(&key));
        World { system, stripe, admin, signer, role }
    }

    /// Goes on at another time, in a new process.
    async fn go_on_at(&mut self, offset_seconds: i64) {
        for service in &mut self.system.services {
            if service.runs() {
                service.kill();
            }
        }
        let (settings, offset) = (self.stripe.settings(), offset_seconds.to_string());
        let mut changed: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        changed.push(("CALLMETER__TWILIO__API_BASE", "http://127.0.0.1:9"));
        changed.push(("CALLMETER__CLOCK__OFFSET_SECONDS", &offset));
        let index = self.system.start(self.role, &changed);
        let base = self.system.ready(index).await.base;
        self.admin = self.admin.at(base.clone());
        self.signer = self.signer.at(base);
    }

    /// A new sign-in link of an account: its path and query.
    async fn link(&self, account: &str, body: &Value) -> String {
        let path = format!("/v1/accounts/{account}/sign-in-links");
        let link = self.signer.post(&path, body).await.expect(201);
        let url = link["url"].as_str().expect("a url");
        url.strip_prefix(&self.admin.base).expect("an address of this service").to_owned()
    }

    /// A browser without a session.
    fn browser(&self) -> Browser {
        Browser::new(&self.admin.base)
    }

    /// A browser that is signed in to an account.
    async fn signed_in(&self, account: &str) -> Browser {
        let browser = self.browser();
        let link = self.link(account, &json!({ "user": "ada" })).await;
        browser.get(&link).await.expect(303);
        browser
    }

    /// Saves a card of an account: the setup by the page, then the card as Stripe's script brings it.
    async fn save(&self, browser: &Browser, card: Card) -> String {
        let cards = browser.get("/wallet/cards").await.expect(200);
        let page = browser.submit(&cards, "/wallet/cards/setup", &[]).await.expect(200);
        let secret = page.attribute("data-secret");
        let intent = secret.split("_secret").next().expect("an id");
        let setup = self.stripe.local.object(intent).expect("the setup");
        let customer = setup["customer"].as_str().expect("a customer").to_owned();
        self.stripe.local.add_card(&customer, card).expect("it is added")
    }

    /// What the audit has, newest first: who did what.
    async fn audit(&self, account: &str) -> Vec<(String, String)> {
        let items = self.admin.items(&format!("/v1/audit?account={account}"), 100).await;
        let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
        let items = items.expect("the audit");
        items.iter().map(|row| (text(row, "who"), text(row, "action"))).collect()
    }
}
