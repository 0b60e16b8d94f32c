//! One account and the random acts on its payments, for tests that compare what the ledger
//! credited with what Stripe kept.

use super::declined;
use crate::harness::api::Api;
use crate::harness::poll::until;
use crate::harness::stripe::Stripe;
use crate::keys::make;
use callmeter::simulate::stripe::{Authentication, Card, LocalStripe, RefundOutcome};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The limit for what waits for several look-ups.
pub(super) const SETTLED: Duration = Duration::from_secs(90);

/// One account and what happens to it.
pub(super) struct History {
    pub(super) id: String,
    pub(super) admin: Api,
    pub(super) own: Api,
    pub(super) stripe: LocalStripe,
    publishable: String,
    base: String,
    random: StdRng,
    /// Requests, and those of them that were answered.
    sent: AtomicUsize,
    answered: AtomicUsize,
}

impl History {
    /// The history of an account that is open. The same seed makes the same acts.
    pub(super) async fn of(id: &str, admin: &Api, stripe: &Stripe, seed: u64) -> History {
        let (_, key) = make(admin, "account", Some(id)).await;
        History {
            id: id.to_owned(),
            own: admin.with_key(Some(&key)),
            admin: admin.clone(),
            stripe: stripe.local.clone(),
            publishable: stripe.keys.publishable.clone(),
            base: stripe.url.clone(),
            random: StdRng::seed_from_u64(seed),
            sent: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        }
    }

    /// Acts a number of times.
    pub(super) async fn run(&mut self, acts: usize) {
        for _ in 0..acts {
            self.wait_for_the_service().await;
            self.act().await;
        }
    }

    /// How many requests it sent, and how many of them were answered.
    pub(super) fn requests(&self) -> (usize, usize) {
        (self.sent.load(Ordering::Relaxed), self.answered.load(Ordering::Relaxed))
    }

    /// Acts on a process that has died would all come to nothing.
    async fn wait_for_the_service(&self) {
        until("the service is there", SETTLED, async || {
            let answer = self.own.send(Method::GET, "/livez", &[], None).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }

    /// Sends a request. Its answer is looked at only where there is one: processes die.
    pub(super) async fn send(
        &self,
        api: &Api,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Option<Value> {
        let path = format!("/v1/accounts/{}{path}", self.id);
        let headers = [("content-type", "application/json")];
        let body = (method != Method::GET).then(|| body.to_string().into_bytes());
        self.sent.fetch_add(1, Ordering::Relaxed);
        let answer = api.send(method, &path, &headers, body).await.ok()?;
        self.answered.fetch_add(1, Ordering::Relaxed);
        assert!(answer.status != 500, "{path}: {}", answer.text);
        serde_json::from_str(&answer.text).ok()
    }

    /// Refills of a status, newest first.
    pub(super) async fn refills(&self, status: &str) -> Vec<Value> {
        let path = format!("/refills?status={status}");
        let listed = self.send(&self.own, Method::GET, &path, &Value::Null).await;
        listed.and_then(|listed| listed["items"].as_array().cloned()).unwrap_or_default()
    }

    pub(super) async fn act(&mut self) {
        let dollars = format!("{}.00", self.random.random_range(10..100));
        match self.random.random_range(0..100) {
            0..15 => self.save_any().await,
            15..45 => {
                let body = json!({"amount": dollars});
                let twice = self.random.random_range(0..3) == 0;
                let one = self.send(&self.own, Method::POST, "/refills", &body);
                if twice {
                    futures::join!(one, self.send(&self.own, Method::POST, "/refills", &body));
                } else {
                    one.await;
                }
            }
            45..55 => {
                let body = json!({"amount": dollars, "payment_method": "new", "save": true});
                let begun = self.send(&self.own, Method::POST, "/refills", &body).await;
                if let Some(refill) = begun {
                    self.pay_in_the_browser(&refill).await;
                }
            }
            55..65 => {
                let is_confirmed = self.random.random();
                for refill in self.refills("requires_action").await {
                    let intent = refill["payment_intent"].as_str().unwrap_or_default();
                    drop(self.stripe.authenticate(intent, is_confirmed));
                }
            }
            65..75 => {
                if let Some(refill) = self.refills("completed").await.choose(&mut self.random) {
                    let path = format!("/refills/{}/refunds", refill["id"].as_str().expect("it"));
                    let body = json!({"amount": "7.00"});
                    self.send(&self.admin, Method::POST, &path, &body).await;
                }
            }
            75..80 => {
                if let Some(refill) = self.refills("completed").await.choose(&mut self.random) {
                    let intent = refill["payment_intent"].as_str().unwrap_or_default();
                    drop(self.stripe.refund(intent, Some(300)));
                }
            }
            80..85 => {
                if let Some(refill) = self.refills("completed").await.choose(&mut self.random) {
                    let intent = refill["payment_intent"].as_str().unwrap_or_default();
                    let disputed = self.stripe.open_dispute(intent, "fraudulent", None);
                    if let (Ok(dispute), true) = (disputed, self.random.random()) {
                        let id = dispute["id"].as_str().expect("an id");
                        drop(self.stripe.close_dispute(id, self.random.random()));
                    }
                }
            }
            85..93 => {
                let body = json!({"enabled": true, "threshold": "15.00", "amount": "20.00"});
                self.send(&self.own, Method::PUT, "/auto-refill", &body).await;
            }
            _ => {
                let body = json!({"type": "debit", "amount": "12.00", "description": "Calls"});
                self.send(&self.admin, Method::POST, "/adjustments", &body).await;
            }
        }
    }

    /// Saves a card that may be declined.
    async fn save_any(&mut self) {
        let card = match self.random.random_range(0..8) {
            0 => declined("insufficient_funds"),
            1 => declined("do_not_honor"),
            2 => Card { authentication: Authentication::Always, ..Card::default() },
            3 => Card { refunds: RefundOutcome::Fails, ..Card::default() },
            _ => Card::default(),
        };
        self.save(card).await;
    }

    /// The customer's setup, then a card as the browser brings it to Stripe.
    pub(super) async fn save(&self, card: Card) -> Option<String> {
        let setup = "/payment-methods/setup";
        self.send(&self.own, Method::POST, setup, &json!({})).await;
        let customer = self.customer()?;
        let id = self.stripe.add_card(&customer, card).ok()?;
        self.send(&self.own, Method::GET, "/payment-methods", &Value::Null).await;
        let default = format!("/payment-methods/{id}/default");
        self.send(&self.own, Method::PUT, &default, &json!({})).await;
        Some(id)
    }

    /// Refills by a saved card that pays.
    pub(super) async fn pay(&self, card: &str, amount: &str) -> Value {
        let body = json!({"amount": amount, "payment_method": card});
        let refill = self.send(&self.own, Method::POST, "/refills", &body).await;
        let refill = refill.expect("an answer");
        assert_eq!(refill["status"], "completed", "{}: {refill}", self.id);
        refill
    }

    /// Pays a refill with a new card, with what the browser knows.
    pub(super) async fn pay_in_the_browser(&self, refill: &Value) {
        let (Some(secret), Some(intent)) =
            (refill["client_secret"].as_str(), refill["payment_intent"].as_str())
        else {
            return;
        };
        let sent = reqwest::Client::new()
            .post(format!("{}/v1/payment_intents/{intent}/confirm", self.base))
            .basic_auth(&self.publishable, None::<&str>)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("client_secret={secret}&payment_method=pm_card_visa"));
        drop(tokio::time::timeout(Duration::from_secs(3), sent.send()).await);
    }

    fn customer(&self) -> Option<String> {
        self.customers().into_iter().next()
    }

    /// The account's customers: where Stripe made one and said 500, another one was made.
    fn customers(&self) -> Vec<String> {
        let mut customers = self.stripe.objects("customer");
        customers.retain(|customer| customer["metadata"]["callmeter_account"] == self.id.as_str());
        let ids = customers.iter().filter_map(|customer| customer["id"].as_str());
        ids.map(str::to_owned).collect()
    }

    /// Cents that Stripe keeps of this account's payments.
    pub(super) fn kept(&self) -> i64 {
        let totals = self.stripe.totals();
        let of_account = self.customers();
        let of_account = of_account.iter().filter_map(|customer| totals.get(customer));
        of_account.map(|totals| totals.captured - totals.refunded - totals.disputed).sum()
    }

    /// What the ledger credited for payments less what went back, in cents; none while it is not
    /// known.
    pub(super) async fn credited(&self) -> Option<i64> {
        let path = format!("/v1/accounts/{}/transactions", self.id);
        let rows = self.admin.items(&path, 500).await.ok()?;
        let mut cents = 0;
        for row in rows.iter().filter(|row| row["status"] == "completed") {
            let kind = row["kind"].as_str().expect("a kind");
            let amount: String = row["amount"].as_str().expect("an amount").replace('.', "");
            let amount = amount.parse::<i64>().expect("money") / 10_000;
            cents += match kind {
                "refill_manual"
                | "refill_auto"
                | "chargeback_reversal"
                | "refill_refund_reversal" => amount,
                "refill_refund" | "chargeback" => -amount,
                _ => 0,
            };
        }
        Some(cents)
    }

    /// Ends what waits for the customer who is there. Returns what is not right yet.
    pub(super) async fn unsettled(&self) -> Option<String> {
        for refill in self.refills("requires_action").await {
            let intent = refill["payment_intent"].as_str().unwrap_or_default();
            drop(self.stripe.authenticate(intent, true));
        }
        // An automatic refill waits a day for its customer.
        let mut open = self.refills("requires_action").await;
        open.retain(|refill| refill["trigger"] != "auto");
        open.extend(self.refills("pending").await);
        let (credited, kept) = (self.credited().await, self.kept());
        let is_right = open.is_empty() && credited == Some(kept);
        (!is_right).then(|| format!("{credited:?} cents credited, Stripe has {kept}; {open:?}"))
    }
}

/// Waits until each account has what Stripe kept of its money; returns how many refills ended how.
pub(super) async fn settle(histories: &[History], what: &str) -> BTreeMap<&'static str, usize> {
    let mut outcomes = BTreeMap::from([("completed", 0), ("failed", 0)]);
    for history in histories {
        let deadline = Instant::now() + SETTLED;
        while let Some(unsettled) = history.unsettled().await {
            assert!(Instant::now() < deadline, "{what}, {}: {unsettled}", history.id);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for (status, count) in &mut outcomes {
            *count += history.refills(status).await.len();
        }
    }
    outcomes
}
