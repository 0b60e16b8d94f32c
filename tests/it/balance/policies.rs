//! Without Redis the account's policy decides: the current one, once for all processes.

use super::kept::SETTLED;
use super::world::{World, allowed, authorize, sid, until};
use crate::harness::servers::Breakable;
use callmeter::balance::{Decision, Denial, HoldSettings};
use callmeter::ledger::accounts::{AccountChanges, OnRedisLoss};
use callmeter_core::domain::{AccountId, Money};

async fn world(breakable: &Breakable) -> World {
    let world = World::on(&breakable.servers, None, HoldSettings::default()).await;
    world.flush().await;
    world
}

async fn fail_open(world: &World, id: &str, cap: i64) -> AccountId {
    let account = world.open(id, 100_000).await;
    let changes = AccountChanges {
        on_redis_loss: Some(OnRedisLoss::FailOpen),
        redis_loss_cap: Some(Money::from_micros(cap)),
        ..AccountChanges::default()
    };
    world.change(&account, changes).await;
    account
}

async fn is_journaled(world: &World, rows: i64) {
    until(rows, async || {
        let mut connection = world.store.read().await.expect("a connection");
        let count = sqlx::query_scalar("SELECT count(*) FROM hold_states");
        count.fetch_one(&mut *connection).await.expect("a count")
    })
    .await;
}

#[tokio::test]
async fn what_was_granted_without_redis_is_held_when_it_is_back() {
    let breakable = Breakable::take();
    let mut world = world(&breakable).await;
    let open = fail_open(&world, "open", 10_000_000).await;
    world.run(&world.balance.clone());
    allowed(&world.authorize(&open, "CA0", 60).await);
    breakable.server("redis", "pause").await;
    for number in 1..=30 {
        allowed(&world.authorize(&open, &format!("CA{number}"), 60).await);
    }
    breakable.server("redis", "resume").await;
    // No caller asks for this account, and Redis has lost nothing.
    until(Some((31, 31 * 14_000)), async || {
        let held = world.balance.held_in_redis(&open, 0).await.ok().flatten()?;
        Some((held.holds, held.money.micros()))
    })
    .await;
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn without_redis_a_call_keeps_its_hold_and_what_is_over_stays_over() {
    let breakable = Breakable::take();
    let mut world = world(&breakable).await;
    let open = fail_open(&world, "open", 1_000_000).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    let first = allowed(&world.authorize(&open, "CA1", 60).await);
    allowed(&world.authorize(&open, "CA2", 60).await);
    world.balance.void(&open, &sid("CA2")).await.expect("redis answers");
    drop(world.charge(&open, &[("CA3", 61)]).await);
    is_journaled(&world, 2).await;
    breakable.server("redis", "kill").await;
    for process in [&world.balance, &other] {
        assert_eq!(allowed(&authorize(process, &open, "CA1", 600).await), first);
        for over in ["CA2", "CA3"] {
            assert_eq!(authorize(process, &open, over, 60).await, SETTLED, "{over}");
        }
    }
    // A call granted by one process gets the same grant from the other.
    let fourth = allowed(&world.authorize(&open, "CA4", 60).await);
    assert_eq!(allowed(&authorize(&other, &open, "CA4", 600).await), fourth);
    breakable.server("redis", "start").await;
    until(true, async || {
        matches!(world.authorize(&open, "CA1", 600).await, Decision::Allow(it) if it == first)
    })
    .await;
    assert_eq!(allowed(&authorize(&other, &open, "CA4", 600).await), fourth);
    assert_eq!(world.held(&open).await, Some((2, 28_000)));
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn without_redis_all_processes_share_one_cap_and_the_next_loss_has_its_own() {
    let breakable = Breakable::take();
    let mut world = world(&breakable).await;
    let open = fail_open(&world, "open", 42_000).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    for process in [&world.balance, &other] {
        allowed(&authorize(process, &open, "CA0", 60).await);
    }
    for loss in 0..2 {
        breakable.server("redis", "kill").await;
        let call = |number: u32| format!("CA{loss}x{number}");
        let calls: Vec<String> = (0..8).map(call).collect();
        let asked = calls
            .iter()
            .enumerate()
            .map(|(number, call)| authorize([&world.balance, &other][number % 2], &open, call, 60));
        let decisions = futures::future::join_all(asked).await;
        let granted = decisions.iter().filter(|it| matches!(it, Decision::Allow(_))).count();
        assert_eq!(granted, 3, "of 42000 for all, in loss {loss}: {decisions:?}");
        breakable.server("redis", "start").await;
        for process in [&world.balance, &other] {
            until(true, async || {
                matches!(authorize(process, &open, "CA0", 60).await, Decision::Allow(_))
            })
            .await;
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn without_redis_the_account_is_asked_as_it_is_now() {
    let breakable = Breakable::take();
    let mut world = world(&breakable).await;
    let open = fail_open(&world, "open", 1_000_000).await;
    world.run(&world.balance.clone());
    // This gives the process its knowledge of the account.
    allowed(&world.authorize(&open, "CA0", 60).await);
    is_journaled(&world, 1).await;
    breakable.server("redis", "kill").await;
    let most =
        |most| AccountChanges { calls_in_progress_max: Some(most), ..AccountChanges::default() };
    world.change(&open, most(Some(2))).await;
    allowed(&world.authorize(&open, "CA1", 60).await);
    let denied = |reason| Decision::Deny { reason, shortfall: Money::ZERO };
    assert_eq!(world.authorize(&open, "CA2", 60).await, denied(Denial::TooManyCalls));
    world.change(&open, most(None)).await;
    allowed(&world.authorize(&open, "CA2", 60).await);
    world.sql("UPDATE accounts SET status = 'closed'").await;
    assert_eq!(world.authorize(&open, "CA3", 60).await, denied(Denial::AccountClosed));
    world.sql("UPDATE accounts SET status = 'open'").await;
    let changes = AccountChanges {
        on_redis_loss: Some(OnRedisLoss::FailClosed),
        ..AccountChanges::default()
    };
    world.change(&open, changes).await;
    assert_eq!(world.authorize(&open, "CA3", 60).await, Decision::Unavailable);
    breakable.server("redis", "start").await;
    world.stop().await;
}

#[tokio::test]
async fn without_redis_and_postgres_nobody_can_tell_whatever_the_policy() {
    let breakable = Breakable::take();
    let mut world = world(&breakable).await;
    let open = fail_open(&world, "open", 1_000_000).await;
    world.run(&world.balance.clone());
    let first = allowed(&world.authorize(&open, "CA0", 60).await);
    is_journaled(&world, 1).await;
    breakable.server("redis", "kill").await;
    let second = allowed(&world.authorize(&open, "CA1", 60).await);
    breakable.server("postgres", "stop-immediate").await;
    // Neither a new call nor one that this process granted itself.
    for call in ["CA2", "CA1", "CA0"] {
        assert_eq!(world.authorize(&open, call, 60).await, Decision::Unavailable, "{call}");
    }
    breakable.server("postgres", "start").await;
    until(true, async || {
        matches!(world.authorize(&open, "CA1", 60).await, Decision::Allow(it) if it == second)
    })
    .await;
    assert_eq!(allowed(&world.authorize(&open, "CA0", 60).await), first);
    breakable.server("redis", "start").await;
    until(Some((2, 28_000)), async || {
        let held = world.balance.held_in_redis(&open, 0).await.ok().flatten();
        if held.is_none() {
            world.authorize(&open, "CA0", 60).await;
        }
        held.map(|held| (held.holds, held.money.micros()))
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_void_is_not_forgotten_though_postgres_was_away() {
    let breakable = Breakable::take();
    let mut world = world(&breakable).await;
    let acme = world.open("acme", 100_000).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    allowed(&world.authorize(&acme, "CA1", 60).await);
    is_journaled(&world, 1).await;
    breakable.server("postgres", "stop-immediate").await;
    // This process has no data about the account.
    assert!(other.void(&acme, &sid("CA1")).await.expect("redis answers"));
    breakable.server("postgres", "start").await;
    until(true, async || {
        let Ok(mut connection) = world.store.read().await else { return false };
        let voids = sqlx::query_scalar("SELECT count(*) = 1 FROM hold_states WHERE hold IS NULL");
        voids.fetch_one(&mut *connection).await.unwrap_or(false)
    })
    .await;
    world.flush().await;
    until(SETTLED, async || world.authorize(&acme, "CA1", 60).await).await;
    world.stop().await;
}
