//! A budget that stops calls: in the scripts, through a loss of Redis, and without Redis.

use super::table::Table;
use super::world::{World, allowed, authorize, ended, until};
use crate::harness::servers::Breakable;
use callmeter::balance::{Decision, Denial, HoldSettings};
use callmeter::ledger::accounts::{AccountChanges, OnRedisLoss};
use callmeter::ledger::{LedgerError, accounts, budgets, watched};
use callmeter_core::domain::{AccountId, Money};
use callmeter_core::policy::budget::Budget;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;

/// Two years, a leap day among them sooner or later.
const DAYS: i64 = 731;

const STOPPED: Decision = Decision::Deny { reason: Denial::BudgetExceeded, shortfall: Money::ZERO };

impl World {
    /// Sets a budget that stops calls, in micro-dollars, and shows it to authorizations.
    async fn stop_at(&self, id: &AccountId, monthly: i64) {
        let monthly = Money::from_micros(monthly);
        let budget = Budget { monthly, warn_at_percent: Vec::new(), stop: true };
        self.set_budget(id, budget).await;
        self.balance.make_visible(id).await.expect("redis is told");
    }

    async fn set_budget(&self, id: &AccountId, budget: Budget) {
        let (account, now) = (id.clone(), self.clock.now());
        let set: Result<(), LedgerError> = self
            .store
            .transact("test", move |connection| {
                let (account, budget) = (account.clone(), budget.clone());
                async move {
                    let head = accounts::lock(connection, &account).await?;
                    let mut head = head.expect("the account is there");
                    budgets::set(connection, &mut head, Some(&budget), now).await
                }
                .boxed()
            })
            .await;
        set.expect("it is set");
    }
}

#[tokio::test]
async fn a_grant_is_cut_to_what_is_left_of_the_budget_and_none_is_made_beyond() {
    let mut table = Table::new();
    table
        .run(
            "load balance=1000000 budget=50000 monthly=90000 => loaded 0
             place CA1 60                   => new granted=60 held=14000 allowance=0
             extend CA1 600                 => more granted=180 held=42000 allowance=0 final
             place CA2 60                   => denied budget_exceeded 0
             place CA2 60 blocked           => denied destination_blocked 0
             place CA1 900                  => again granted=180 held=42000 allowance=0 final
             settle 1..2 balance=958000 budget=8000 monthly=90000 CA1 => projected 1
             place CA2 60                   => denied budget_exceeded 0
             place CA3 60 stream            => new granted=60 held=14000 allowance=0
             place CA3 60                   => denied budget_exceeded 0
             place CA4 60                   => denied budget_exceeded 0
             settle 2..3 balance=958000 budget=28000 monthly=90000 => projected 0
             place CA3 900                  => new granted=120 held=28000 allowance=0 final
             extend CA3 900                 => same granted=120 held=28000 allowance=0 final
             settle 3..4 balance=958000     => projected 0
             extend CA3 180                 => more granted=180 held=42000 allowance=0",
        )
        .await;
}

#[tokio::test]
async fn a_spent_budget_refuses_calls_that_the_allowance_would_pay_and_money_is_told_first() {
    let mut table = Table::new();
    table
        .run(
            "load balance=10000 used=0 budget=90000 monthly=90000 => loaded 0
             place CA1 60                   => denied insufficient_funds 4000
             plan 120                       =>
             place CA1 60                   => new granted=60 held=0 allowance=60
             settle 1..2 balance=0 used=0 budget=0 monthly=90000 => projected 0
             place CA2 60                   => denied budget_exceeded 0
             extend CA1 120                 => same granted=60 held=0 allowance=60 final
             plan 120 block                 =>
             place CA2 60                   => denied budget_exceeded 0",
        )
        .await;
}

#[tokio::test]
async fn the_month_turns_without_a_charge() {
    let mut table = Table::new();
    table
        .run(
            "load balance=1000000 budget=-5000 monthly=30000 ends=600 => loaded 0
             place CA1 60                   => denied budget_exceeded 0
             tick 590                       =>
             place CA1 60                   => denied budget_exceeded 0
             tick 11                        =>
             place CA1 900                  => new granted=120 held=28000 allowance=0 final
             place CA2 60                   => denied budget_exceeded 0
             settle 1..2 balance=972000 budget=2000 monthly=30000 ends=3600 CA1 => projected 1
             place CA2 60                   => denied budget_exceeded 0",
        )
        .await;
}

#[tokio::test]
async fn a_stop_survives_a_redis_that_lost_everything() {
    let mut world = World::new().await;
    let acme = world.open("acme", 1_000_000).await;
    world.run(&world.balance.clone());
    allowed(&world.authorize(&acme, "CA1", 60).await);
    world.stop_at(&acme, 56_000).await;
    // The batch's own projection brings what is left.
    let (batch, mut committed) = world.charge(&acme, &[("CA1", 61)]).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(Some((0, 0)), async || world.held(&acme).await).await;
    assert_eq!(world.drift().await, Vec::<String>::new());
    assert_eq!(allowed(&world.authorize(&acme, "CA2", 900).await).granted_seconds, 120);
    assert_eq!(world.authorize(&acme, "CA3", 60).await, STOPPED);
    assert!(world.balance.is_journaled().await);
    world.flush().await;
    assert_eq!(world.authorize(&acme, "CA3", 60).await, STOPPED);
    assert_eq!(world.held(&acme).await, Some((1, 28_000)));
    // A call that nobody authorized is charged all the same.
    let (batch, mut committed) = world.charge(&acme, &[("CA9", 61)]).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(true, async || world.balance.held_in_redis(&acme, 4).await.is_ok()).await;
    world.balance.void(&acme, &super::world::sid("CA2")).await.expect("redis answers");
    assert_eq!(world.authorize(&acme, "CA3", 60).await, STOPPED, "56000 of 56000 are spent");
    world.stop_at(&acme, 70_000).await;
    assert_eq!(allowed(&world.authorize(&acme, "CA3", 900).await).granted_seconds, 60);
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn rows_that_an_older_release_wrote_are_counted_wherever_the_wallet_is_read() {
    let mut world = World::new().await;
    let acme = world.open("acme", 1_000_000).await;
    world.run(&world.balance.clone());
    drop(world.charge(&acme, &[("CA1", 61), ("CA2", 61)]).await);
    world.stop_at(&acme, 84_000).await;
    // As if the second call had been charged by a process that knows nothing of spending.
    world.sql("UPDATE wallets SET spent_micros = 28000, spent_sequence = 2").await;
    let spent = async || {
        let mut connection = world.store.read().await.expect("a connection");
        let watched = watched::find(&mut connection, 1).await.expect("a wallet");
        watched.spending.spent.micros()
    };
    assert_eq!(spent().await, 56_000);
    // All rows, of which the first call's was in an earlier month.
    let earlier = "UPDATE transactions SET at = at - interval '40 days' WHERE sequence <= 2";
    world.sql("ALTER TABLE transactions DISABLE TRIGGER USER").await;
    world.sql(earlier).await;
    world.sql("CREATE TABLE kept AS SELECT spending_ends_at FROM wallets").await;
    let nothing = "spent_micros = 0, spent_sequence = 0, spending_ends_at = to_timestamp(0)";
    world.sql(&format!("UPDATE wallets SET {nothing}")).await;
    assert_eq!(spent().await, 28_000, "of the month of the last row");
    world.sql(&earlier.replace('-', "+")).await;
    assert_eq!(spent().await, 56_000, "of all kinds of rows");
    world.sql("ALTER TABLE transactions ENABLE TRIGGER USER").await;
    let before =
        "spent_micros = 28000, spent_sequence = 2, spending_ends_at = kept.spending_ends_at";
    world.sql(&format!("UPDATE wallets SET {before} FROM kept")).await;
    world.sql("DROP TABLE kept").await;
    world.balance.make_visible(&acme).await.expect("redis is told");
    assert_eq!(allowed(&world.authorize(&acme, "CA3", 900).await).granted_seconds, 120);
    assert_eq!(world.authorize(&acme, "CA4", 60).await, STOPPED);
    drop(world.charge(&acme, &[("CA5", 1)]).await);
    assert_eq!(spent().await, 70_000);
    let uncounted = sqlx::query_scalar("SELECT count(*) FROM wallets WHERE spent_micros <> 70000");
    let mut connection = world.store.read().await.expect("a connection");
    assert_eq!(uncounted.fetch_one(&mut *connection).await.ok(), Some(0_i64), "the charge did");
    drop(connection);
    world.stop().await;
}

#[tokio::test]
async fn without_redis_the_stop_holds_across_processes() {
    let breakable = Breakable::take();
    let mut world = World::on(&breakable.servers, None, HoldSettings::default()).await;
    world.flush().await;
    let acme = world.open("acme", 10_000_000).await;
    let changes = AccountChanges {
        on_redis_loss: Some(OnRedisLoss::FailOpen),
        redis_loss_cap: Some(Money::from_micros(5_000_000)),
        ..AccountChanges::default()
    };
    world.change(&acme, changes).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    drop(world.charge(&acme, &[("CA8", 61)]).await);
    world.stop_at(&acme, 112_000).await;
    allowed(&world.authorize(&acme, "CA0", 120).await);
    assert!(world.balance.is_journaled().await);
    breakable.server("redis", "kill").await;
    // 28000 are spent and 28000 held: 56000 are left, which pay four minutes.
    let calls: Vec<String> = (1..=12).map(|number| format!("CA{number}x")).collect();
    let asked = calls
        .iter()
        .enumerate()
        .map(|(number, call)| authorize([&world.balance, &other][number % 2], &acme, call, 60));
    let decisions = futures::future::join_all(asked).await;
    let granted = decisions.iter().filter(|it| matches!(it, Decision::Allow(_))).count();
    assert_eq!(granted, 4, "{decisions:?}");
    assert_eq!(decisions.iter().filter(|it| **it == STOPPED).count(), 8, "{decisions:?}");
    breakable.server("redis", "start").await;
    until(STOPPED, async || world.authorize(&acme, "CA99", 60).await).await;
    until(Some((5, 84_000)), async || world.held(&acme).await).await;
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_years_of_a_budget_tell_each_percent_once_in_its_month() {
    let world = World::new().await;
    let acme = world.open("acme", 1_000_000_000).await;
    let monthly = 100_000_000;
    let budget = Budget {
        monthly: Money::from_micros(monthly),
        warn_at_percent: vec![50, 80, 120],
        stop: false,
    };
    world.set_budget(&acme, budget).await;
    let mut random = StdRng::seed_from_u64(13);
    let mut now = world.clock.now();
    let mut number = 0;
    for day in 0..DAYS {
        // Some months spend little, some much; several marks may be reached by one batch.
        let most = if (day / 30) % 3 == 0 { 2 } else { 10 };
        let calls: Vec<_> = (0..random.random_range(0..=most))
            .map(|_| {
                number += 1;
                ended(&acme, &format!("CA{number}"), random.random_range(1..7_200), now)
            })
            .collect();
        if !calls.is_empty() {
            world.commit_at(calls, now).await;
        }
        now += TimeDelta::days(1);
    }
    let mut sql = world.store.read().await.expect("a connection");
    let rows: Vec<(DateTime<Utc>, i64)> = sqlx::query_as(
        "SELECT at, amount_micros FROM transactions WHERE kind = 'call' ORDER BY sequence",
    )
    .fetch_all(&mut *sql)
    .await
    .expect("rows");
    // What must be told, by the sums of each month.
    let (mut spent, mut expected) = (BTreeMap::<String, i64>::new(), Vec::new());
    for (at, amount) in rows {
        let month = at.format("%Y-%m").to_string();
        let sum = spent.entry(month.clone()).or_default();
        let before = *sum;
        *sum += amount;
        for (percent, name) in [(50, "50"), (80, "80"), (100, "spent"), (120, "120")] {
            let mark = monthly * percent / 100;
            if before < mark && *sum >= mark {
                expected.push((month.clone(), name.to_owned()));
            }
        }
    }
    let mut told: Vec<(String, String)> = sqlx::query_as(
        "SELECT data->>'month', coalesce(data->>'percent', 'spent') FROM outbox
         WHERE type IN ('budget.warning', 'budget.exceeded')",
    )
    .fetch_all(&mut *sql)
    .await
    .expect("rows");
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    assert!(spent.len() >= 24, "{spent:?}");
    let of = |name: &str| told.iter().filter(|(_, told)| told == name).count();
    assert!((8..spent.len()).contains(&of("spent")), "{told:?}");
    assert!(of("50") > of("120"), "{told:?}");
}
