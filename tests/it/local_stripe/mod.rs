//! The local Stripe over HTTP, as Stripe answers: what other tests rely on.

mod hooks;
mod keys;
mod money;
mod payments;

use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::Behaviour;
use reqwest::{Client, Method};
use serde_json::Value;

/// A client with a local Stripe of its own.
struct Shop {
    stripe: Stripe,
    client: Client,
}

/// Status, headers of interest and body of an answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    is_replayed: bool,
    should_retry: Option<String>,
    body: Value,
}

impl Answer {
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// Type and code of an error with this status.
    fn complaint(&self, status: u16) -> (&str, &str) {
        assert_eq!(self.status, status, "{:#}", self.body);
        let text = |name: &str| self.body["error"][name].as_str().unwrap_or_default();
        (text("type"), text("code"))
    }
}

impl Shop {
    fn open() -> Shop {
        let client =
            callmeter::http_client::client(|it| it.redirect(reqwest::redirect::Policy::none()));
        Shop { stripe: Stripe::start(Behaviour::default()), client: client.expect("a client") }
    }

    /// A setting with which a process finds the local Stripe.
    fn setting(&self, name: &str) -> String {
        let found = self.stripe.settings().into_iter().find(|(given, _)| *given == name);
        found.expect("the setting").1
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        form: &[(&str, &str)],
        key: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.setting("CALLMETER__STRIPE__API_BASE"));
        let mut request = self
            .client
            .request(method.clone(), &url)
            .bearer_auth(self.setting("STRIPE_API_KEY"))
            .header("Stripe-Version", "2025-09-30.clover");
        if method == Method::POST {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            let kind = "application/x-www-form-urlencoded";
            request = request.header("Content-Type", kind).body(body);
        } else {
            request = request.query(form);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await?;
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().expect("text");
            Some(value.to_owned())
        };
        let (is_replayed, should_retry) =
            (header("idempotent-replayed").is_some(), header("stripe-should-retry"));
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, is_replayed, should_retry, body })
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, path, form, None).await.expect("an answer")
    }

    async fn post_with(&self, key: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, path, form, Some(key)).await.expect("an answer")
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, query, None).await.expect("an answer")
    }

    async fn customer(&self) -> String {
        id(&self.post("/v1/customers", &[("email", "a@example.com")]).await.expect(200))
    }

    /// Pays an amount in cents with a test token.
    async fn pay(&self, cents: &str, token: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("amount", cents),
            ("currency", "usd"),
            ("payment_method_types[]", "card"),
            ("payment_method", token),
            ("confirm", "true"),
        ];
        form.extend(more);
        self.post("/v1/payment_intents", &form).await
    }

    /// Types of the events so far, oldest first.
    fn events(&self) -> Vec<String> {
        let events = self.stripe.local.objects("event");
        events.iter().map(|event| text(event, "type")).collect()
    }
}

fn id(object: &Value) -> String {
    text(object, "id")
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no {name}: {object:#}")).to_owned()
}
