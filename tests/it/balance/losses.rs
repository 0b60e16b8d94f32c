//! Redis and Postgres fail, and return with less data than they had.

use super::world::{World, allowed, until};
use crate::harness::servers::Breakable;
use callmeter::balance::{Decision, HoldSettings};
use callmeter::ledger::accounts::{AccountChanges, OnRedisLoss};
use callmeter_core::domain::Money;
use std::time::{Duration, Instant};

async fn world(breakable: &Breakable) -> World {
    let world = World::on(&breakable.servers, None, HoldSettings::default()).await;
    world.flush().await;
    world
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_or_old_is_loaded_before_it_answers() {
    let breakable = Breakable::take();
    let mut world = world(&breakable).await;
    let acme = world.open("acme", 100_000).await;
    world.run(&world.balance.clone());
    let first = allowed(&world.authorize(&acme, "CA1", 120).await);
    let snapshot = dump(&world.redis_url).await;
    let second = allowed(&world.authorize(&acme, "CA2", 60).await);
    let (batch, mut committed) = world.charge(&acme, &[("CA7", 61)]).await;
    world.balance.projector().committed(&batch, &mut committed);
    assert_eq!(world.drift().await, Vec::<String>::new());

    breakable.server("redis", "kill").await;
    assert_eq!(world.authorize(&acme, "CA3", 60).await, Decision::Unavailable);
    breakable.server("redis", "start").await;
    assert_eq!(allowed(&world.authorize(&acme, "CA1", 900).await), first);
    assert_eq!(world.held(&acme).await, Some((2, 42_000)));

    breakable.server("redis", "kill").await;
    breakable.server("redis", "start").await;
    restore(&world.redis_url, &snapshot).await;
    assert_eq!(allowed(&world.authorize(&acme, "CA2", 900).await), second);
    assert_eq!(world.held(&acme).await, Some((2, 42_000)));
    // 100000 less 28000 charged, less 42000 held: two minutes.
    assert_eq!(allowed(&world.authorize(&acme, "CA3", 900).await).granted_seconds, 120);
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn while_redis_is_silent_the_accounts_policy_decides() {
    let breakable = Breakable::take();
    let mut world = world(&breakable).await;
    let closed = world.open("closed", 100_000).await;
    let open = world.open("open", 100_000).await;
    let changes = AccountChanges {
        on_redis_loss: Some(OnRedisLoss::FailOpen),
        redis_loss_cap: Some(Money::from_micros(42_000)),
        ..AccountChanges::default()
    };
    world.change(&open, changes).await;
    world.run(&world.balance.clone());
    allowed(&world.authorize(&closed, "CA1", 60).await);
    allowed(&world.authorize(&open, "CA1", 60).await);

    breakable.server("redis", "pause").await;
    let began = Instant::now();
    assert_eq!(world.authorize(&closed, "CA2", 60).await, Decision::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let granted = allowed(&world.authorize(&open, "CA2", 120).await);
    assert_eq!(granted.granted_seconds, 120);
    assert_eq!(allowed(&world.authorize(&open, "CA2", 120).await), granted, "the same call");
    assert_eq!(allowed(&world.authorize(&open, "CA3", 120).await).granted_seconds, 60);
    assert_eq!(world.authorize(&open, "CA4", 60).await, Decision::Unavailable, "the cap is spent");
    // Charging continues.
    drop(world.charge(&closed, &[("CA1", 61)]).await);
    breakable.server("redis", "resume").await;

    until(true, async || matches!(world.authorize(&closed, "CA2", 60).await, Decision::Allow(_)))
        .await;
    until(Some((1, 14_000)), async || world.held(&closed).await).await;
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn while_postgres_is_away_warm_accounts_go_on_within_the_cap() {
    let breakable = Breakable::take();
    let settings = HoldSettings { unjournaled_account_max: 5, ..HoldSettings::default() };
    let mut world = World::on(&breakable.servers, None, settings).await;
    world.flush().await;
    let acme = world.open("acme", 1_000_000).await;
    let cold = world.open("cold", 1_000_000).await;
    world.run(&world.balance.clone());
    allowed(&world.authorize(&acme, "CA0", 60).await);
    // A hold that is certainly journaled.
    tokio::time::sleep(Duration::from_millis(200)).await;
    breakable.server("postgres", "stop-immediate").await;
    for number in 1..=5 {
        allowed(&world.authorize(&acme, &format!("CA{number}"), 60).await);
    }
    until(Decision::Unavailable, async || world.authorize(&acme, "CA6", 60).await).await;
    let decision = world.balance.extend(&cold, &super::world::sid("CA1"), 60).await;
    assert!(decision.is_err(), "a cold account cannot be loaded: {decision:?}");
    breakable.server("postgres", "start").await;
    until(true, async || matches!(world.authorize(&acme, "CA6", 60).await, Decision::Allow(_)))
        .await;
    // Holds granted meanwhile are journaled now, and are restored.
    world.flush().await;
    until(true, async || matches!(world.authorize(&acme, "CA0", 60).await, Decision::Allow(_)))
        .await;
    assert_eq!(world.held(&acme).await, Some((7, 98_000)));
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

type Dump = Vec<(String, Vec<u8>)>;

async fn dump(url: &str) -> Dump {
    let client = redis::Client::open(url).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("cm:*").query_async(&mut connection).await.expect("keys");
    let mut dump = Vec::new();
    for key in keys {
        let value = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await;
        dump.push((key, value.expect("a dump")));
    }
    assert!(dump.len() >= 3, "a wallet, its holds and their expiries");
    dump
}

async fn restore(url: &str, dump: &Dump) {
    let client = redis::Client::open(url).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    for (key, value) in dump {
        let mut command = redis::cmd("RESTORE");
        command.arg(key).arg(0).arg(value).arg("REPLACE");
        command.exec_async(&mut connection).await.expect("restored");
    }
}
