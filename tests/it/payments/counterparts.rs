//! Others that know Stripe: its official SDKs, and stripe-mock, which has the schema of its API.

use super::{World, declined, text};
use crate::harness::poll::{SOON, until};
use crate::harness::sdk::{self, Sdk};
use crate::harness::stripe::{Stripe, WEBHOOK_SECRET};
use callmeter::simulate::stripe::{Authentication, Behaviour, Card};
use callmeter::stripe::API_VERSION;
use reqwest::Method;
use serde_json::json;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// stripe-mock, which ends with the test.
struct StripeMock {
    child: Child,
    base: String,
}

impl StripeMock {
    async fn start() -> StripeMock {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = root.join(".local/cache/stripe-mock/stripe-mock");
        assert!(program.exists(), "stripe-mock is missing: run script/stripe-mock");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let child = Command::new(program)
            .args(["-http-addr", &address, "-https-addr", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let base = format!("http://{address}");
        let client = reqwest::Client::new();
        until("stripe-mock", SOON, async || client.get(&base).send().await.ok()).await;
        StripeMock { child, base }
    }

    /// What it has against a request; none: the request fits the schema.
    async fn complaint(&self, method: &str, path: &str, query: &str, body: &str) -> Option<String> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("{}{path}?{query}", self.base);
        let sent = reqwest::Client::new()
            .request(method, url)
            .bearer_auth("sk_test_123")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.to_owned())
            .send()
            .await
            .expect("an answer");
        if sent.status().is_success() {
            return None;
        }
        Some(sent.text().await.expect("a text"))
    }
}

impl Drop for StripeMock {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl World {
    /// Runs a command that asks Stripe.
    fn run_with_stripe(&self, arguments: &[&str]) -> String {
        let settings = self.stripe.settings();
        let mut command = self.system.command(arguments);
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("CALLMETER__HTTP__PUBLIC_URL", "https://callmeter.example");
        let ran = command.output().expect("it runs");
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{arguments:?}: {told}");
        String::from_utf8(ran.stdout).expect("UTF-8")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_ours_fits_the_schema_of_stripes_api() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    let mock = StripeMock::start().await;
    assert!(mock.complaint("POST", "/v1/refunds", "", "bogus=1").await.is_some());
    let card = world.save(Card::default()).await;
    let other =
        world.save(Card { authentication: Authentication::Always, ..Card::default() }).await;
    let paid = world.refill(&json!({"amount": "50.00"})).await.expect(201);
    assert_eq!(paid["status"], "completed", "{paid}");
    let auto = json!({"enabled": true, "threshold": "55.00", "amount": "10.00"});
    world.own.put("/v1/accounts/acme/auto-refill", &auto).await.expect(200);
    let automatic = async || {
        let refills = world.own.get("/v1/accounts/acme/refills?trigger=auto").await.expect(200);
        (refills["items"][0]["status"] == "completed").then_some(())
    };
    until("an automatic refill", SOON, automatic).await;
    let body =
        json!({"amount": "20.00", "payment_method": other, "return_url": "http://127.0.0.1/"});
    let waits = world.refill(&body).await.expect(201);
    assert_eq!(waits["status"], "requires_action", "{waits}");
    world.stripe.local.authenticate(&text(&waits, "payment_intent"), false).expect("it is refused");
    world.until(&waits, "failed").await;
    let body = json!({"amount": "20.00", "payment_method": "new", "save": true});
    world.refill(&body).await.expect(201);
    let path = format!("/v1/accounts/acme/payment-methods/{other}");
    let renewed = world.own.patch(&path, &json!({"exp_month": 3, "exp_year": 2031})).await;
    renewed.expect(200);
    let removed = world.own.send(Method::DELETE, &path, &[], None).await.expect("an answer");
    assert_eq!(removed.status, 204, "{}", removed.text);
    let refunds = format!("/v1/accounts/acme/refills/{}/refunds", text(&paid, "id"));
    world.admin.post(&refunds, &json!({"amount": "10.00"})).await.expect(201);
    let intent = text(&paid, "payment_intent");
    world.stripe.local.open_dispute(&intent, "fraudulent", None).expect("a dispute");
    world.run_with_stripe(&["stripe", "endpoint", "create"]);
    world.run_with_stripe(&["stripe", "endpoint", "check"]);
    world.run_with_stripe(&["account", "card", "list", "acme"]);
    let key = ["--payment-method", card.as_str(), "--idempotency-key", "once", "--json"];
    let told = world.run_with_stripe(&[&["account", "refill", "acme", "30.00"], &key[..]].concat());
    assert!(told.contains("\"completed\""), "{told}");
    world.run_with_stripe(&["recover", "--since", "2020-01-01"]);
    let mut seen = std::collections::BTreeSet::new();
    for request in world.stripe.local.requests() {
        let (method, path) = (request.method.as_str(), request.path.as_str());
        let complaint = mock.complaint(method, path, &request.query, &request.body).await;
        assert_eq!(complaint, None, "{method} {path} {} {}", request.query, request.body);
        seen.insert(format!("{method} {}", path.split('/').nth(2).unwrap_or_default()));
    }
    // Each resource that this program uses was asked for.
    for expected in [
        "POST customers",
        "POST setup_intents",
        "POST payment_intents",
        "POST refunds",
        "POST payment_methods",
        "POST webhook_endpoints",
        "GET payment_intents",
        "GET refunds",
        "GET account",
        "GET customers",
        "GET webhook_endpoints",
        "GET disputes",
    ] {
        assert!(seen.contains(expected), "{expected} is not among {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stripes_own_sdks_agree_with_us_about_events() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(declined("insufficient_funds")).await;
    let refill = world.refill(&json!({"amount": "15.00"})).await.expect(201);
    assert_eq!(refill["decline"]["class"], "later", "{refill}");
    let events = world.stripe.local.objects("event");
    let at = crate::harness::samples::now() / crate::model::time::SECOND;
    for sdk in [Sdk::Python, Sdk::Node] {
        // What it signs, we accept.
        let bodies: Vec<String> = events.iter().map(ToString::to_string).collect();
        let asked =
            bodies.iter().map(|body| json!({"sign": body, "secret": WEBHOOK_SECRET, "at": at}));
        let signed = sdk::ask(sdk, "stripe_events", &asked.collect::<Vec<_>>());
        let mut reads = Vec::new();
        for (body, signed) in bodies.iter().zip(&signed) {
            let header = text(signed, "header");
            let headers = [("stripe-signature", header.as_str())];
            let body = body.clone();
            let sent = world
                .own
                .post_as(
                    "/webhooks/stripe",
                    "application/json",
                    &headers,
                    body.clone().into_bytes(),
                )
                .await
                .expect("an answer");
            assert_eq!(sent.status, 204, "{sdk:?}: {} {body}", sent.text);
            reads.push(json!({"read": body, "header": header, "secret": WEBHOOK_SECRET}));
            reads.push(json!({"read": body, "header": header, "secret": "whsec_other"}));
        }
        // What the local Stripe sends, it reads; a wrong secret it refuses, as we do.
        let read = sdk::ask(sdk, "stripe_events", &reads);
        for (event, answers) in events.iter().zip(read.chunks(2)) {
            assert_eq!(answers[0]["type"], event["type"], "{sdk:?} {answers:?}");
            assert_eq!(answers[0]["object"], event["data"]["object"]["id"], "{sdk:?}");
            let refused = text(&answers[1], "error");
            assert!(refused.ends_with("SignatureVerificationError"), "{sdk:?}: {refused}");
        }
        let (base, key) = (&world.stripe.url, &world.stripe.keys.secret);
        let pay = json!({"pay": 4_200, "base": base, "key": key, "version": API_VERSION});
        let paid = &sdk::ask(sdk, "stripe_events", &[pay])[0];
        assert_eq!(paid["status"], "requires_payment_method", "{sdk:?}: {paid}");
        assert_eq!(paid["listed"], json!([paid["payment"]]), "{sdk:?}: {paid}");
        assert_eq!(paid["missing"], "resource_missing", "{sdk:?}: {paid}");
    }
}
