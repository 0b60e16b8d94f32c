//! Redis and the journal are brought to agree on calls, whichever of them misses something.

use super::world::{World, allowed, authorize, sid, until};
use callmeter::balance::{Ask, Balance, CallParties, Decision, Denial, HoldSettings, Payer};
use callmeter_core::domain::{AccountId, Money};
use sqlx::{Connection as _, PgConnection};

pub(super) const SETTLED: Decision =
    Decision::Deny { reason: Denial::CallAlreadySettled, shortfall: Money::ZERO };

/// Number of journal rows that meet `condition`.
async fn journaled(world: &World, condition: &str) -> i64 {
    let mut connection = world.store.read().await.expect("a connection");
    sqlx::query_scalar(&format!("SELECT count(*) FROM hold_states WHERE {condition}"))
        .fetch_one(&mut *connection)
        .await
        .expect("a count")
}

/// The seconds granted to the call; `None` if the answer is unavailable.
async fn asked(balance: &Balance, id: &AccountId, call: &str, seconds: u32) -> Option<u32> {
    let call_sid = sid(call);
    let parties = CallParties { to: Some("+15550002"), ..CallParties::default() };
    let ask = Ask { payer: Payer::Account(id), call_sid: &call_sid, parties, seconds, tag: None };
    match balance.authorize(ask).await {
        Ok(Decision::Allow(allowance)) => Some(allowance.granted_seconds),
        Ok(Decision::Unavailable) | Err(_) => None,
        Ok(other) => panic!("{call}: {other:?}"),
    }
}

#[tokio::test]
async fn what_a_killed_process_granted_is_journaled_by_another() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    let killed = world.another(HoldSettings::default());
    // The process answers, and dies before it journals.
    let first = allowed(&authorize(&killed, &acme, "CA1", 120).await);
    world.run(&world.balance.clone());
    until(1, async || journaled(&world, "call_sid = 'CA1'").await).await;
    world.flush().await;
    assert_eq!(allowed(&world.authorize(&acme, "CA2", 900).await).granted_seconds, 300);
    assert_eq!(allowed(&world.authorize(&acme, "CA1", 900).await), first);
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn holds_that_a_restored_backup_lacks_are_journaled_again() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    world.run(&world.balance.clone());
    for number in 0..5 {
        allowed(&world.authorize(&acme, &format!("CA{number}"), 60).await);
    }
    until(5, async || journaled(&world, "true").await).await;
    world.sql("DELETE FROM hold_changes").await;
    until(5, async || journaled(&world, "true").await).await;
    world.flush().await;
    assert_eq!(allowed(&world.authorize(&acme, "CA9", 900).await).granted_seconds, 120);
    assert_eq!(world.held(&acme).await, Some((6, 98_000)));
    world.stop().await;
}

#[tokio::test]
async fn a_hold_that_redis_lacks_is_drift_and_is_put_back() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    let running = world.another(HoldSettings::default());
    world.run(&running);
    for call in ["CA1", "CA2"] {
        allowed(&authorize(&running, &acme, call, 60).await);
    }
    until(2, async || journaled(&world, "true").await).await;
    world.stop().await;
    let client = redis::Client::open(world.redis_url.as_str()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut forget = redis::pipe();
    forget.atomic().hdel("cm:{acme}:h", "CA1").zrem("cm:{acme}:x", "CA1");
    forget.hincr("cm:{acme}", "holds", -1).hincr("cm:{acme}", "held", -14_000);
    let _: redis::Value = forget.query_async(&mut connection).await.expect("forgotten");
    let drift = world.drift().await;
    assert!(drift.len() == 1 && drift[0].contains("CA1"), "{drift:?}");
    world.run(&world.balance.clone());
    until(Some((2, 28_000)), async || world.held(&acme).await).await;
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn nothing_is_granted_on_a_journal_that_cannot_be_written() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    allowed(&world.authorize(&acme, "CA1", 60).await);
    until(1, async || journaled(&world, "true").await).await;
    let options = world.store.pool().connect_options();
    let mut slow: PgConnection = sqlx::ConnectOptions::connect(&*options).await.expect("Postgres");
    let mut lock = slow.begin().await.expect("a transaction");
    let statement = "LOCK TABLE hold_changes IN EXCLUSIVE MODE";
    sqlx::query(statement).execute(&mut *lock).await.expect("locked");
    allowed(&authorize(&other, &acme, "CA2", 120).await);
    allowed(&world.authorize(&acme, "CA3", 120).await);
    world.flush().await;
    // 30000 are left, but no process can be certain of it.
    let answers = [&world.balance, &other].map(|it| asked(it, &acme, "CA4", 900));
    assert_eq!(futures::future::join_all(answers).await, [None, None]);
    lock.rollback().await.expect("released");
    until(true, async || asked(&world.balance, &acme, "CA4", 900).await.is_some()).await;
    assert_eq!(asked(&world.balance, &acme, "CA4", 900).await, Some(120));
    assert_eq!(world.held(&acme).await, Some((4, 98_000)));
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_asked_for_the_same_calls_do_not_wait_for_each_other() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000_000).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    for round in 0..40 {
        let all = [&world.balance, &other].map(|process| {
            let calls = (0..300).map(|number| {
                let number = if round % 2 == 0 { number } else { 299 - number };
                let acme = &acme;
                async move { allowed(&authorize(process, acme, &format!("CA{number}"), 60).await) }
            });
            futures::future::join_all(calls)
        });
        futures::future::join_all(all).await;
    }
    world.stop().await;
    // A connection reports its counts when it ends, at the latest. Autovacuum comes and goes.
    let options = world.store.pool().connect_options();
    world.store.pool().close().await;
    let mut alone: PgConnection = sqlx::ConnectOptions::connect(&*options).await.expect("Postgres");
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend'
           AND pid <> pg_backend_pid()",
    )
    .execute(&mut alone)
    .await
    .expect("ended");
    until((true, 0), async || {
        sqlx::query_as::<_, (bool, i64)>(
            "SELECT (SELECT count(*) = 1 FROM pg_stat_activity
                     WHERE datname = current_database() AND backend_type = 'client backend'),
                 deadlocks FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&mut alone)
        .await
        .expect("counts")
    })
    .await;
}

#[tokio::test]
async fn a_void_is_journaled_whether_or_not_it_frees_a_hold() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    let killed = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    allowed(&world.authorize(&acme, "CA1", 60).await);
    // A busy call that was never authorized.
    assert!(world.balance.void(&acme, &sid("CA2")).await.expect("redis answers"));
    // The process that voided this call died before it journaled; the caller repeats the void.
    assert!(killed.void(&acme, &sid("CA1")).await.expect("redis answers"));
    assert!(world.balance.void(&acme, &sid("CA1")).await.expect("redis answers"));
    world.flush().await;
    for over in ["CA1", "CA2"] {
        assert_eq!(world.authorize(&acme, over, 60).await, SETTLED, "{over}");
    }
    assert_eq!(world.held(&acme).await, Some((0, 0)));
    world.stop().await;
}

#[tokio::test]
async fn all_calls_that_are_over_are_known_after_a_loss_however_many() {
    const CALLS: usize = 12_000;
    let mut world = World::new().await;
    let acme = world.open("acme", 1_000_000_000).await;
    let sids: Vec<String> = (0..CALLS).map(|number| format!("CA{number}")).collect();
    for sids in sids.chunks(3_000) {
        let calls: Vec<(&str, u32)> = sids.iter().map(|sid| (sid.as_str(), 60)).collect();
        drop(world.charge(&acme, &calls).await);
    }
    // First directly after the load, then when all calls are in Redis again.
    for round in 0..2 {
        if round == 1 {
            world.run(&world.balance.clone());
            until(i64::try_from(CALLS).expect("small"), async || settled(&world).await).await;
        }
        for over in ["CA0", "CA11999", "CA9000", "CA3000"] {
            assert_eq!(world.authorize(&acme, over, 60).await, SETTLED, "{over}");
        }
        allowed(&world.authorize(&acme, &format!("CA-new{round}"), 60).await);
    }
    world.stop().await;
}

/// Calls that Redis has as ended.
async fn settled(world: &World) -> i64 {
    let client = redis::Client::open(world.redis_url.as_str()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut count = redis::pipe();
    for bucket in 0..4 {
        count.scard(format!("cm:{{acme}}:t{bucket}"));
    }
    let counts: Vec<i64> = count.query_async(&mut connection).await.expect("counts");
    counts.iter().sum()
}
