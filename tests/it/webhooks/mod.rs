//! Web hooks to customers: real receivers on loopback addresses, a DNS server of the test's own, and
//! the official library of Standard Webhooks.

mod delivery;
mod dns;
mod endpoints;
mod receivers;
mod targets;

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
use crate::harness::system::System;
use crate::keys::make;
use dns::Dns;
use receivers::Receiver;
use reqwest::Method;
use serde_json::{Value, json};

/// A system with two accounts. Receivers may be in 127.0.1.0/24.
struct World {
    system: System,
    dns: Dns,
    /// With the admin key.
    admin: Api,
    /// With the key of the account acme.
    own: Api,
}

impl World {
    /// Starts `serve`; a failed post is tried again after these seconds.
    async fn start(role: &str, retry_seconds: &str) -> World {
        let (mut system, dns) = (System::new().await, Dns::start());
        let resolver = dns.address.to_string();
        let settings = Self::settings(&resolver, retry_seconds);
        let index = system.start(role, &settings);
        let admin = system.ready(index).await;
        system.open(&admin, [&account("acme", 0), &account("globex", 0)]).await;
        let (_, key) = make(&admin, "account", Some("acme")).await;
        let own = admin.with_key(Some(&key));
        World { system, dns, admin, own }
    }

    fn settings<'a>(resolver: &'a str, retry_seconds: &'a str) -> [(&'static str, &'a str); 5] {
        // Proxies that are not there: whoever used one would deliver nothing.
        let proxy = "http://127.0.2.200:9";
        [
            ("HTTP_PROXY", proxy),
            ("ALL_PROXY", proxy),
            ("CALLMETER__WEBHOOKS__ALLOWED_NETWORKS", "127.0.1.0/24"),
            ("CALLMETER__WEBHOOKS__RESOLVER", resolver),
            ("CALLMETER__WEBHOOKS__RETRY_SECONDS", retry_seconds),
        ]
    }

    /// Creates an endpoint of acme; returns its id and its secret.
    async fn endpoint(&self, url: &str) -> (String, String) {
        let created = self.own.post("/v1/webhook-endpoints", &json!({"url": url})).await;
        let created = created.expect(201);
        (text(&created, "id"), text(&created, "secret"))
    }

    /// Makes an event of acme: a row of its ledger. Returns the row's id.
    async fn event(&self) -> String {
        let body = json!({"type": "credit", "amount": "1.00", "description": "An event"});
        let row = self.admin.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
        text(&row, "id")
    }

    /// The endpoint as acme sees it.
    async fn shown(&self, id: &str) -> Value {
        self.own.get(&format!("/v1/webhook-endpoints/{id}")).await.expect(200)
    }

    /// The endpoint once it has a status.
    async fn until_status(&self, id: &str, status: &str) -> Value {
        until(&format!("an endpoint that is {status}"), SOON, async || {
            let shown = self.shown(id).await;
            (shown["status"] == status).then_some(shown)
        })
        .await
    }

    /// The deliveries of an endpoint, oldest first.
    async fn deliveries(&self, id: &str) -> Vec<Value> {
        let path = format!("/v1/webhook-endpoints/{id}/deliveries");
        let mut items = self.own.items(&path, 100).await.expect("deliveries");
        items.reverse();
        items
    }

    async fn command(&self, path: &str) -> crate::harness::api::Answer {
        self.own.send(Method::POST, path, &[], None).await.expect("an answer")
    }
}

/// Waits until a receiver got as many requests.
async fn until_hooks(receiver: &Receiver, count: usize) {
    until(&format!("{count} web hooks"), SOON, async || {
        (receiver.hooks().len() >= count).then_some(())
    })
    .await;
}

fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}
