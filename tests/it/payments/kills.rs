//! A process that dies at every step of a refill, of an automatic one and of a refund: after its
//! restart each ends exactly once, and Stripe took what the ledger credited.

use super::{World, declined, text};
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Authentication, Behaviour, Card, Fault, FaultRule};
use callmeter_core::policy::refill_state::Step;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

const CREATE: &str = "POST /v1/payment_intents";
const CONFIRM: &str = "POST /v1/payment_intents/*/confirm";
const CANCEL: &str = "POST /v1/payment_intents/*/cancel";
const READ: &str = "GET /v1/payment_intents/*";
const LIST: &str = "GET /v1/payment_intents";
const REFUND: &str = "POST /v1/refunds";
const ROLES: &str = "api,jobs";

/// A refill is taken up again soon after the process that had it died.
const SHORT: [(&str, &str); 1] = [("CALLMETER__STRIPE__TIMEOUT_SECONDS", "2")];

fn stripe() -> Stripe {
    Stripe::start(Behaviour::default())
}

/// Where a step can be interrupted.
enum Point {
    /// While Stripe is asked: the request was lost, or its answer is.
    Asked(&'static str),
    /// In the ledger, after Stripe answered this request.
    Written(&'static str),
}

/// The point of a step, the card that leads there, and how the refill ends.
fn scenario(step: Step) -> (Point, Card, &'static str) {
    let asks_bank = Card { authentication: Authentication::Always, ..Card::default() };
    let slow = Card { is_slow: true, ..Card::default() };
    match step {
        Step::CreateIntent => (Point::Asked(CREATE), Card::default(), "completed"),
        Step::Confirm => (Point::Asked(CONFIRM), Card::default(), "completed"),
        Step::ReadIntent => (Point::Asked(READ), Card::default(), "completed"),
        Step::FindIntent => (Point::Asked(LIST), Card::default(), "failed"),
        Step::Cancel(_) => (Point::Asked(CANCEL), declined("do_not_honor"), "failed"),
        Step::Complete => (Point::Written(CONFIRM), Card::default(), "completed"),
        Step::Fail(_) => (Point::Written(CANCEL), declined("do_not_honor"), "failed"),
        Step::AwaitCard => (Point::Written(CREATE), Card::default(), "requires_payment_method"),
        Step::AwaitAction => (Point::Written(CONFIRM), asks_bank, "requires_action"),
        Step::AwaitBank => (Point::Written(CONFIRM), slow, "pending"),
    }
}

impl World {
    /// Sends a request whose answer nobody waits for.
    fn send_off(&self, path: &str, body: &Value) -> tokio::task::JoinHandle<()> {
        let (own, path) = (self.admin.clone(), path.to_owned());
        let body = Some(body.to_string().into_bytes());
        let headers = [("content-type", "application/json")];
        tokio::spawn(async move {
            drop(own.send(Method::POST, &path, &headers, body).await);
        })
    }

    /// Waits until a request arrives at Stripe that none did since `asked`.
    async fn until_asked(&self, request: &str, asked: usize) {
        let rule = FaultRule::once(Fault::Busy, request);
        until(&format!("{request} at Stripe"), SOON, async || {
            let requests = self.stripe.local.requests();
            let fits =
                |it: &callmeter::simulate::stripe::Request| rule.matches(&it.method, &it.path);
            requests[asked..].iter().any(fits).then_some(())
        })
        .await;
    }

    /// Kills the process, ends all faults but the `next` ones, and starts another process.
    async fn die(&mut self, next: &[FaultRule]) {
        self.system.services[0].kill();
        self.stripe.local.clear_faults();
        for rule in next {
            self.stripe.local.fault(rule.clone());
        }
        self.system.restart(0, ROLES);
        self.system.ready(0).await;
        let base = self.system.services[0].url();
        self.admin = self.admin.at(base.clone());
        self.own = self.own.at(base);
    }

    /// Kills the process at a point that `begin` leads to.
    async fn die_at(&mut self, point: &Point, fault: Fault, begin: impl AsyncFn(&World)) {
        let asked = self.stripe.local.requests().len();
        match point {
            Point::Asked(request) => {
                self.stripe.local.fault(FaultRule::always(fault, request));
                begin(self).await;
                self.until_asked(request, asked).await;
                self.die(&[]).await;
            }
            Point::Written(request) => {
                self.stripe.local.fault(FaultRule::always(Fault::HangAfterEffect, request));
                begin(self).await;
                self.until_asked(request, asked).await;
                // What Stripe answered cannot be written: the process dies in its transaction.
                let mut sql = self.system.sql().await;
                let mut locked = sql.begin().await.expect("a transaction");
                let lock = "LOCK TABLE refills, refunds, wallets IN EXCLUSIVE MODE";
                sqlx::query(lock).execute(&mut *locked).await.expect("a lock");
                self.stripe.local.clear_faults();
                let mut other = self.system.sql().await;
                until("a transaction that waits", SOON, async || waits(&mut other).await).await;
                self.system.services[0].kill();
                locked.rollback().await.expect("it ends");
                self.die(&[]).await;
            }
        }
    }

    /// The newest refill once it has a status.
    async fn newest_until(&self, trigger: &str, status: &str) -> Value {
        let path = format!("/v1/accounts/acme/refills?trigger={trigger}&limit=1");
        until(&format!("a refill that is {status}"), SOON, async || {
            let listed = self.own.get(&path).await.expect(200);
            (listed["items"][0]["status"] == status).then(|| listed["items"][0].clone())
        })
        .await
    }
}

async fn waits(sql: &mut PgConnection) -> Option<()> {
    let waits = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND datname = current_database())";
    let waits: bool = sqlx::query_scalar(waits).fetch_one(sql).await.expect("a row");
    waits.then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_at_any_step_of_a_refill_ends_it_once_after_its_restart() {
    let mut world = World::start_with(stripe(), ROLES, false, &SHORT).await;
    for (number, step) in Step::ALL.into_iter().enumerate() {
        let (point, card, status) = scenario(step);
        println!("{step:?}");
        let card = world.save(card).await;
        let cents = format!("{}.00", 11 + number);
        let method = if step == Step::AwaitCard { "new" } else { card.as_str() };
        let body = json!({"amount": cents, "payment_method": method});
        let fault = if number % 2 == 0 { Fault::HangBeforeEffect } else { Fault::HangAfterEffect };
        let begin = async |world: &World| {
            world.send_off("/v1/accounts/acme/refills", &body);
        };
        match (step, &point) {
            // The job takes these steps, after an earlier death.
            (Step::ReadIntent | Step::FindIntent, Point::Asked(request)) => {
                let before = if step == Step::ReadIntent { CONFIRM } else { CREATE };
                let asked = world.stripe.local.requests().len();
                let hangs = FaultRule::always(Fault::HangBeforeEffect, before);
                world.stripe.local.fault(hangs);
                begin(&world).await;
                world.until_asked(before, asked).await;
                if step == Step::FindIntent {
                    // It is not to be made any more, if it was not.
                    let mut sql = world.system.sql().await;
                    let late = "UPDATE refills SET is_canceling = true WHERE finished_at IS NULL";
                    sqlx::query(late).execute(&mut sql).await.expect("it is changed");
                }
                let asked = world.stripe.local.requests().len();
                world.die(&[FaultRule::always(fault, request)]).await;
                world.until_asked(request, asked).await;
                world.die(&[]).await;
            }
            _ => world.die_at(&point, fault, begin).await,
        }
        let refill = world.newest_until("manual", status).await;
        let path = format!("/v1/accounts/acme/refills/{}", text(&refill, "id"));
        assert_eq!(refill["amount"], format!("{cents}0000"), "{step:?}: {refill}");
        match step {
            Step::AwaitAction => {
                let intent = text(&refill, "payment_intent");
                world.stripe.local.authenticate(&intent, true).expect("it waits");
            }
            Step::AwaitBank => {
                // It may not have got as far as the payment's id.
                let paid = async || {
                    let shown = world.own.get(&path).await.expect(200);
                    let intent = shown["payment_intent"].as_str()?.to_owned();
                    world.stripe.local.finish_payment(&intent, None).ok()
                };
                until("the bank answers", SOON, paid).await;
            }
            _ => continue,
        }
        let ended = async || {
            let shown = world.own.get(&path).await.expect(200);
            (shown["status"] == "completed").then_some(())
        };
        until(&format!("{step:?} completed"), SOON, ended).await;
    }
    world.assert_books_agree().await;
    let rows = world.rows().await;
    let count = |status: &str| rows.iter().filter(|row| row.1 == status).count();
    // One waits for a new card; each other one has its outcome once.
    assert_eq!((count("pending"), count("completed") + count("failed")), (10, 9), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_at_any_step_of_an_automatic_refill_ends_it_once() {
    let mut world = World::start_with(stripe(), ROLES, false, &SHORT).await;
    world.save(Card::default()).await;
    let auto = json!({"enabled": true, "threshold": "20.00", "amount": "30.00"});
    let points = [
        (Point::Asked(CREATE), Fault::HangBeforeEffect),
        (Point::Asked(CREATE), Fault::HangAfterEffect),
        (Point::Written(CREATE), Fault::HangAfterEffect),
        (Point::Asked(CONFIRM), Fault::HangBeforeEffect),
        (Point::Asked(CONFIRM), Fault::HangAfterEffect),
        (Point::Written(CONFIRM), Fault::HangAfterEffect),
    ];
    for (number, (point, fault)) in points.iter().enumerate() {
        // Three within ten minutes are the most: the next ones count anew.
        let mut sql = world.system.sql().await;
        let older = "UPDATE refills SET created_at = created_at - interval '20 minutes'";
        sqlx::query(older).execute(&mut sql).await.expect("it is changed");
        let begin = async |world: &World| {
            let wallet = world.own.get("/v1/accounts/acme/wallet").await.expect(200);
            if wallet["balance"] != "0.000000" {
                let taken =
                    json!({"type": "debit", "amount": wallet["balance"], "description": "x"});
                world.admin.post("/v1/accounts/acme/adjustments", &taken).await.expect(201);
            }
            let set = world.own.put("/v1/accounts/acme/auto-refill", &auto).await;
            set.expect(200);
        };
        world.die_at(point, *fault, begin).await;
        until("the automatic refill ended", SOON, async || {
            let path = "/v1/accounts/acme/refills?trigger=auto&status=completed";
            let listed = world.own.get(path).await.expect(200);
            (listed["items"].as_array().map(Vec::len) == Some(number + 1)).then_some(())
        })
        .await;
        assert_eq!(world.balance().await, "30.000000");
    }
    let captured: i64 = world.stripe.local.totals().values().map(|it| it.captured).sum();
    assert_eq!(captured, 6 * 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_at_any_step_of_a_refund_makes_it_once() {
    let mut world = World::start_with(stripe(), ROLES, false, &SHORT).await;
    world.save(Card::default()).await;
    let refill = world.refill(&json!({"amount": "90.00"})).await.expect(201);
    let path = format!("/v1/accounts/acme/refills/{}/refunds", text(&refill, "id"));
    let points = [
        (Point::Asked(REFUND), Fault::HangBeforeEffect),
        (Point::Asked(REFUND), Fault::HangAfterEffect),
        (Point::Written(REFUND), Fault::HangAfterEffect),
    ];
    for (number, (point, fault)) in points.iter().enumerate() {
        let begin = async |world: &World| {
            world.send_off(&path, &json!({"amount": "10.00"}));
        };
        world.die_at(point, *fault, begin).await;
        until("the refund is made", SOON, async || {
            let listed = world.admin.get(&path).await.expect(200);
            let items = listed["items"].as_array().expect("refunds").clone();
            let all = items.iter().all(|refund| refund["status"] == "completed");
            (items.len() == number + 1 && all).then_some(())
        })
        .await;
    }
    let refunded: i64 = world.stripe.local.totals().values().map(|it| it.refunded).sum();
    assert_eq!(refunded, 3_000);
    assert_eq!(world.balance().await, "60.000000");
    let wallet = world.own.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["held"], "0.000000", "{wallet}");
}
