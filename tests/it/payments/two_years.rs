//! Two years of automatic refills and alerts within seconds: this process does what the role `jobs`
//! does, with a clock that it moves.

use super::World;
use crate::harness::samples::now;
use crate::harness::stripe::Stripe;
use crate::model::time::SECOND;
use callmeter::accounts::adjust::Adjust;
use callmeter::balance::Balance;
use callmeter::change::Changes;
use callmeter::clock::Clock;
use callmeter::config::load_from;
use callmeter::keys::KeyCache;
use callmeter::ledger::adjustments::Adjustment;
use callmeter::ledger::audit::By;
use callmeter::ledger::store::Store;
use callmeter::payments::Payments;
use callmeter::simulate::stripe::{Behaviour, Card};
use callmeter_core::domain::{AccountId, Money, TransactionType};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use sqlx::Row;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const DOLLAR: i64 = 1_000_000;
const CAP: i64 = 300 * DOLLAR;
const DAYS: i64 = 731;
/// What the settings allow within ten minutes.
const BURST: usize = 3;

/// An automatic refill as the ledger has it.
#[derive(Debug)]
struct Seen {
    begun: DateTime<Utc>,
    amount: i64,
    status: String,
}

/// What the role `jobs` works with, at a time of the test's choice.
struct Jobs {
    changes: Changes,
    payments: Payments,
    /// Seconds since 1970.
    seconds: Arc<AtomicI64>,
    clock: Clock,
}

impl Jobs {
    fn new(world: &World) -> Jobs {
        let mut environment: Vec<(OsString, OsString)> = Vec::new();
        for (name, value) in world.system.command(&[]).get_envs() {
            environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        }
        for (name, value) in world.stripe.settings() {
            environment.push((name.into(), value.into()));
        }
        let settings = load_from(None, environment).expect("settings");
        let seconds = Arc::new(AtomicI64::new(now() / SECOND));
        let read = seconds.clone();
        let clock = Clock::from_fn(move || {
            DateTime::from_timestamp(read.load(Ordering::Relaxed), 0).expect("a time")
        });
        let store = Store::open(settings.database.url.expose(), 4).expect("an address");
        let balance = Balance::from_settings(&settings, clock.clone()).expect("settings");
        let keys = KeyCache::new(store.clone(), balance.clone(), clock.clone());
        let changes = Changes::new(store.clone(), balance, keys);
        let payments = Payments::from_settings(&settings, store, changes.clone(), clock.clone());
        let payments = payments.expect("settings").expect("a key of Stripe");
        Jobs { changes, payments, seconds, clock }
    }

    async fn spend(&self, micros: i64) {
        let adjustment = Adjustment {
            direction: TransactionType::Debit,
            amount: Money::from_micros(micros),
            description: "calls of a day".to_owned(),
            refers_to: None,
            reason: None,
        };
        let account = AccountId::parse("acme").expect("an id");
        let change = Adjust { account, adjustment, refers_to: None };
        let done = self.changes.run(change, By::new("test", self.clock.now())).await;
        done.expect("it is written").expect("it is allowed");
    }

    /// Looks once, as the loop of the role `jobs` does each second.
    async fn look(&self) {
        for refill in self.payments.begin_auto_refills().await.expect("the ledger answers") {
            self.payments.advance_auto_refill(&refill).await.expect("Stripe answers");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_years_of_automatic_refills_and_alerts_keep_every_limit() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let card = world.save(Card::default()).await;
    let credit = json!({"type": "credit", "amount": "40.00", "description": "A correction"});
    world.admin.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);
    let set = json!({"enabled": true, "threshold": "20.00", "amount": "50.00",
        "monthly_cap": "300.00", "payment_method": card});
    world.own.put("/v1/accounts/acme/auto-refill", &set).await.expect(200);
    let alerts = json!({"thresholds": ["20.00", "5.00"]});
    world.own.put("/v1/accounts/acme/alerts", &alerts).await.expect(200);
    let mut sql = world.system.sql().await;
    for service in &mut world.system.services {
        service.kill();
    }
    let jobs = Jobs::new(&world);
    let mut random = StdRng::seed_from_u64(2);
    let balance = "SELECT balance_micros FROM wallets";
    for day in 0..DAYS {
        // Once a quarter the card has no money for three days: soft declines, then longer waits.
        let today = jobs.clock.now();
        let is_bad = today.month().is_multiple_of(3) && (2..=4).contains(&today.day());
        let decline = is_bad.then(|| "insufficient_funds".to_owned());
        world.stripe.local.set_card(&card, |card| card.decline = decline).expect("a card");
        // Some days have a burst: several looks, a second apart, each after more was spent.
        let spends = if day % 50 == 7 { 6 } else { 1 };
        for _ in 0..spends {
            let left: i64 = sqlx::query_scalar(balance).fetch_one(&mut sql).await.expect("a row");
            if left > 0 {
                jobs.spend(random.random_range(5..=45) * DOLLAR).await;
            }
            jobs.look().await;
            jobs.seconds.fetch_add(1, Ordering::Relaxed);
            jobs.look().await;
        }
        jobs.seconds.fetch_add(86_400 - spends, Ordering::Relaxed);
        jobs.look().await;
    }
    let rows = sqlx::query(
        "SELECT created_at, amount_micros, status FROM refills WHERE trigger = 'auto'
         ORDER BY created_at",
    );
    let rows = rows.fetch_all(&mut sql).await.expect("rows");
    let refills: Vec<Seen> = rows
        .iter()
        .map(|row| Seen { begun: row.get(0), amount: row.get(1), status: row.get(2) })
        .collect();
    let mut months: BTreeMap<(i32, u32), i64> = BTreeMap::new();
    for refill in &refills {
        assert!(["completed", "failed"].contains(&refill.status.as_str()), "{refill:?}");
        if refill.status == "completed" {
            *months.entry((refill.begun.year(), refill.begun.month())).or_default() +=
                refill.amount;
        }
    }
    assert!(months.len() >= 24, "{months:?}");
    assert!(months.values().all(|paid| *paid <= CAP), "{months:?}");
    let capped = months.values().filter(|paid| **paid == CAP).count();
    assert!(capped >= 12, "most months reach the cap: {months:?}");
    for (place, refill) in refills.iter().enumerate() {
        let window = refill.begun + TimeDelta::seconds(600);
        let burst = refills[place..].iter().take_while(|later| later.begun < window).count();
        assert!(burst <= BURST, "{:?}", &refills[place..place + burst]);
    }
    let failed = refills.iter().filter(|refill| refill.status == "failed").count();
    assert!((4..=40).contains(&failed), "{failed} soft declines in eight bad times");
    // Told once for each month whose cap was reached, and never switched off.
    let told: Vec<(DateTime<Utc>,)> =
        sqlx::query_as("SELECT at FROM outbox WHERE type = 'auto_refill.capped' ORDER BY at")
            .fetch_all(&mut sql)
            .await
            .expect("rows");
    let told_months: Vec<(i32, u32)> = told.iter().map(|(at,)| (at.year(), at.month())).collect();
    let mut once = told_months.clone();
    once.dedup();
    assert_eq!(once, told_months, "once a month");
    assert!(told_months.len() >= 12, "{told_months:?}");
    let is_enabled: bool = sqlx::query_scalar("SELECT is_enabled FROM auto_refills")
        .fetch_one(&mut sql)
        .await
        .expect("a row");
    assert!(is_enabled);
    // Each crossing of a threshold was told once, in two years of them.
    for (level, text) in [(20 * DOLLAR, "20.000000"), (5 * DOLLAR, "5.000000")] {
        let crossed: Vec<String> = sqlx::query_scalar(
            "SELECT 'txn_' || account_key || '_' || sequence FROM transactions
             WHERE balance_before_micros >= $1 AND balance_after_micros < $1 ORDER BY sequence",
        )
        .bind(level)
        .fetch_all(&mut sql)
        .await
        .expect("rows");
        let told: Vec<String> = sqlx::query_scalar(
            "SELECT data->>'transaction_id' FROM outbox WHERE type = 'alert.balance_below'
             AND data->>'threshold' = $1 ORDER BY event_number",
        )
        .bind(text)
        .fetch_all(&mut sql)
        .await
        .expect("rows");
        assert_eq!(told, crossed, "below {text}");
        assert!(crossed.len() > 1, "{crossed:?}");
    }
    // Stripe was paid what the ledger credited.
    let paid: i64 = world.stripe.local.totals().values().map(|totals| totals.captured).sum();
    assert_eq!(paid * 10_000, months.values().sum::<i64>());
}
