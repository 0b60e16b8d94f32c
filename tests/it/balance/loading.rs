//! Accounts are loaded into Redis, kept there, and restored after a loss.

use super::world::{World, account, allowed, authorize, sid, signalled, until};
use callmeter::balance::scripts::{Announce, Load, Loaded, WholeAccount};
use callmeter::balance::{Decision, Denial, HoldSettings, Link};
use callmeter::ledger::accounts::AccountChanges;
use callmeter_core::domain::{AccountStatus, CallStatus, Money};
use chrono::TimeDelta;
use std::time::Duration;

#[tokio::test]
async fn an_account_is_loaded_before_its_first_call_is_allowed() {
    let mut world = World::new().await;
    let acme = world.open("acme", 50_000).await;
    world.run(&world.balance.clone());
    assert_eq!(world.held(&acme).await, None);
    let first = allowed(&world.authorize(&acme, "CA1", 300).await);
    assert_eq!((first.granted_seconds, first.is_final), (180, true));
    let again = allowed(&world.authorize(&acme, "CA1", 300).await);
    assert_eq!(again, first);
    let shortfall = Money::from_micros(6_000);
    let denied = Decision::Deny { reason: Denial::InsufficientFunds, shortfall };
    assert_eq!(world.authorize(&acme, "CA2", 60).await, denied);
    assert_eq!(world.authorize(&account("nobody"), "CA1", 60).await, Decision::NotFound);
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn a_charge_settles_its_hold_whoever_granted_it() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    allowed(&world.authorize(&acme, "CA1", 120).await);
    allowed(&authorize(&other, &acme, "CA2", 60).await);
    assert_eq!(world.held(&acme).await, Some((2, 42_000)));
    let (batch, mut committed) = world.charge(&acme, &[("CA1", 61), ("CA2", 5)]).await;
    other.projector().committed(&batch, &mut committed);
    until(Some((0, 0)), async || world.held(&acme).await).await;
    let settled = Decision::Deny { reason: Denial::CallAlreadySettled, shortfall: Money::ZERO };
    assert_eq!(world.authorize(&acme, "CA1", 60).await, settled);
    let left = allowed(&world.authorize(&acme, "CA3", 900).await);
    assert_eq!(left.granted_seconds, 240, "58000 of 100000 are left");
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn what_a_dead_process_did_not_project_is_made_up_for() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    allowed(&world.authorize(&acme, "CA1", 120).await);
    // Committed, but the process dies before it reports it.
    drop(world.charge(&acme, &[("CA1", 61), ("CA7", 10)]).await);
    let (batch, mut committed) = world.charge(&acme, &[("CA8", 10)]).await;
    assert_eq!(world.held(&acme).await, Some((1, 28_000)));
    world.run(&world.balance.clone());
    until(Some((0, 0)), async || world.held(&acme).await).await;
    world.balance.projector().committed(&batch, &mut committed);
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn holds_are_back_before_the_first_call_after_a_flush() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    let first = allowed(&world.authorize(&acme, "CA1", 120).await);
    let second = allowed(&world.authorize(&acme, "CA2", 120).await);
    allowed(&world.authorize(&acme, "CA3", 60).await);
    assert!(world.balance.void(&acme, &sid("CA3")).await.expect("redis answers"));
    drop(world.charge(&acme, &[("CA2", 61)]).await);
    world.flush().await;
    // 72000 of the balance are left, and 28000 of them are held.
    let third = allowed(&authorize(&other, &acme, "CA4", 900).await);
    assert_eq!((third.granted_seconds, third.is_final), (180, true));
    assert_eq!(allowed(&world.authorize(&acme, "CA1", 900).await), first);
    let settled = Decision::Deny { reason: Denial::CallAlreadySettled, shortfall: Money::ZERO };
    for over in ["CA2", "CA3"] {
        assert_eq!(world.authorize(&acme, over, 60).await, settled, "{over}");
    }
    assert_eq!(second.granted_seconds, 120);
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn an_extended_hold_comes_back_as_it_was_extended() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    world.run(&world.balance.clone());
    allowed(&world.authorize(&acme, "CA1", 60).await);
    let more = world.balance.extend(&acme, &sid("CA1"), 300).await.expect("a decision");
    assert_eq!(allowed(&more).granted_seconds, 300);
    world.flush().await;
    assert_eq!(allowed(&world.authorize(&acme, "CA1", 60).await), allowed(&more));
    assert_eq!(world.held(&acme).await, Some((1, 70_000)));
    let none = world.balance.extend(&acme, &sid("CA9"), 300).await.expect("a decision");
    assert_eq!(none, Decision::NotFound);
    world.stop().await;
}

#[tokio::test]
async fn what_is_journaled_late_reaches_redis_after_a_load() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    let slow = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    for (call, seconds) in [("CA1", 60), ("CA2", 120)] {
        allowed(&world.authorize(&acme, call, seconds).await);
    }
    world.balance.void(&acme, &sid("CA9")).await.expect("redis answers");
    // The slow process voids one call and grants three others, but journals nothing yet.
    assert!(slow.void(&acme, &sid("CA1")).await.expect("redis answers"));
    for (call, seconds) in [("CA3", 60), ("CA4", 60), ("CA5", 60)] {
        allowed(&authorize(&slow, &acme, call, seconds).await);
    }
    world.flush().await;
    // 100000 less the 42000 that are known to be held.
    allowed(&world.authorize(&acme, "CA6", 240).await);
    assert_eq!(world.held(&acme).await, Some((3, 98_000)));
    // One of the lost calls ends before its hold is restored.
    let (batch, mut committed) = world.charge(&acme, &[("CA4", 60)]).await;
    world.balance.projector().committed(&batch, &mut committed);
    world.run(&slow);
    until(Some((4, 112_000)), async || world.held(&acme).await).await;
    assert_eq!(slow.restored_late(), Money::from_micros(42_000));
    let settled = Decision::Deny { reason: Denial::CallAlreadySettled, shortfall: Money::ZERO };
    assert_eq!(world.authorize(&acme, "CA1", 60).await, settled);
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn an_administrators_change_is_seen_by_the_next_request() {
    let mut world = World::new().await;
    let acme = world.open("acme", 0).await;
    let other = world.another(HoldSettings::default());
    world.run(&world.balance.clone());
    world.run(&other);
    let refused =
        Decision::Deny { reason: Denial::InsufficientFunds, shortfall: Money::from_micros(14_000) };
    assert_eq!(world.authorize(&acme, "CA1", 60).await, refused);
    assert_eq!(authorize(&other, &acme, "CA1", 60).await, refused);
    let credit_limit = Some(Money::from_micros(28_000));
    world.change(&acme, AccountChanges { credit_limit, ..AccountChanges::default() }).await;
    world.balance.make_visible(&acme).await.expect("projected");
    let granted = allowed(&authorize(&other, &acme, "CA1", 900).await);
    assert_eq!(granted.granted_seconds, 120);
    let key = "(SELECT account_key FROM accounts WHERE id = 'acme')";
    world
        .sql(&format!(
            "INSERT INTO subscriptions (account_key, plan, starts_at, created_at)
             VALUES ({key}, 'strict', now() - interval '1 day', now());
             UPDATE wallets SET version = version + 1 WHERE account_key = {key}"
        ))
        .await;
    world.balance.make_visible(&acme).await.expect("projected");
    // Both processes had the old terms document.
    let granted = allowed(&authorize(&other, &acme, "CA2", 900).await);
    assert_eq!(granted.granted_seconds, 120, "two minutes are included");
    let exhausted = Decision::Deny { reason: Denial::AllowanceExhausted, shortfall: Money::ZERO };
    assert_eq!(world.authorize(&acme, "CA3", 60).await, exhausted);
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn a_load_that_read_the_ledger_before_a_change_brings_nothing_after_it() {
    let world = World::new().await;
    let acme = world.open("acme", 50_000).await;
    let link = Link::open(&world.redis_url, Duration::from_secs(5)).expect("an address");
    let ticket = link.run(&Announce { account: &acme }, 1, 0).await.expect("announced");
    // The load has read version 1 with the opening balance; then the change is made and shown.
    let credit_limit = Some(Money::from_micros(28_000));
    world.change(&acme, AccountChanges { credit_limit, ..AccountChanges::default() }).await;
    world.balance.make_visible(&acme).await.expect("nothing to project");
    let load = Load {
        account: &acme,
        ticket: &ticket,
        account_key: 1,
        version: 1,
        charge_sequence: 0,
        balance: Money::from_micros(50_000),
        credit_limit: Money::ZERO,
        budget: None,
        whole: WholeAccount {
            status: AccountStatus::Open,
            calls_in_progress_max: None,
            terms_revision: "r1",
            document: "{}",
            twilio_account_sids: &[],
        },
        cycles: &[],
        holds: &[],
        settled: &[],
        unsure: None,
    };
    assert_eq!(link.run(&load, 1, 0).await.expect("an answer"), Loaded::Behind);
}

#[tokio::test]
async fn calls_of_the_stream_hold_and_free() {
    let mut world = World::new().await;
    let acme = world.open("acme", 200_000).await;
    world.run(&world.balance.clone());
    let now = world.clock.now();
    let old = now - TimeDelta::days(2);
    let events = vec![
        signalled(&acme, "CA1", CallStatus::InProgress, now),
        signalled(&acme, "CA2", CallStatus::Ringing, now),
        signalled(&acme, "CA3", CallStatus::InProgress, old),
    ];
    let (batch, mut committed) = world.commit(events).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(Some((2, 140_000)), async || world.held(&acme).await).await;
    let (batch, mut committed) =
        world.commit(vec![signalled(&acme, "CA2", CallStatus::Busy, now)]).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(Some((1, 70_000)), async || world.held(&acme).await).await;
    let (batch, mut committed) = world.charge(&acme, &[("CA1", 30)]).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(Some((0, 0)), async || world.held(&acme).await).await;
    // Late and ended: neither places a hold. The next event proves that both were processed.
    let events = vec![
        signalled(&acme, "CA1", CallStatus::InProgress, now),
        signalled(&acme, "CA2", CallStatus::InProgress, now),
        signalled(&acme, "CA4", CallStatus::InProgress, now),
    ];
    let (batch, mut committed) = world.commit(events).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(Some((1, 70_000)), async || world.held(&acme).await).await;
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn redis_follows_a_ledger_that_went_back_in_time() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    world.run(&world.balance.clone());
    allowed(&world.authorize(&acme, "CA1", 60).await);
    let (batch, mut committed) = world.charge(&acme, &[("CA7", 61), ("CA8", 61)]).await;
    world.balance.projector().committed(&batch, &mut committed);
    assert_eq!(world.drift().await, Vec::<String>::new());
    let more = world.balance.extend(&acme, &sid("CA1"), 9_000).await.expect("a decision");
    assert_eq!(allowed(&more).granted_seconds, 180, "44000 are left");
    // The backup is older than the two charges.
    world
        .sql(
            "UPDATE wallets SET version = version - 2, charge_sequence = 0, sequence = 1,
                 balance_micros = 100000
             WHERE account_key = (SELECT account_key FROM accounts WHERE id = 'acme')",
        )
        .await;
    until(420, async || {
        let granted = world.balance.extend(&acme, &sid("CA1"), 9_000).await;
        granted.map(|it| allowed(&it).granted_seconds).unwrap_or_default()
    })
    .await;
    assert_eq!(world.drift().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test]
async fn denials_are_counted_and_some_are_kept() {
    let mut world = World::new().await;
    let acme = world.open("acme", 0).await;
    world.run(&world.balance.clone());
    for number in 0..50 {
        world.authorize(&acme, &format!("CA{number}"), 60).await;
    }
    world.stop().await;
    let mut connection = world.store.read().await.expect("a connection");
    let counted: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT sum(denials)::bigint FROM denial_counts WHERE reason = 'insufficient_funds'),
             (SELECT count(*) FROM denials WHERE shortfall_micros = 14000)",
    )
    .fetch_one(&mut *connection)
    .await
    .expect("counts");
    assert_eq!(counted.0, 50);
    assert!((1..=40).contains(&counted.1), "{counted:?}");
}

#[tokio::test]
async fn old_denials_are_forgotten_faster_than_new_ones_come() {
    let mut world = World::new().await;
    world.open("acme", 0).await;
    world
        .sql(
            "INSERT INTO denials (account_key, denied_at, call_sid, reason, shortfall_micros)
             SELECT 1, now() - interval '31 days', 'CA' || n, 'insufficient_funds', 0
             FROM generate_series(1, 30000) AS n",
        )
        .await;
    world.run(&world.balance.clone());
    let mut connection = world.store.read().await.expect("a connection");
    until(0, async || {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM denials");
        count.fetch_one(&mut *connection).await.expect("a count")
    })
    .await;
    drop(connection);
    world.stop().await;
}
