//! Calls that are rejected after they were decoded: their bytes are kept with the reject, though no
//! batch keeps the bytes of its calls.

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use crate::model::account::Account;
use crate::model::read::Topic;
use crate::traffic::Outgoing;
use sqlx::{Connection as _, Row as _};

fn call(account: &Account, number: usize, seconds: i64) -> Outgoing {
    on_calls(0, &completed(account, &call_sid(number), seconds, now()))
}

/// The offset of every reject, its reason, its value, and the call that it names.
async fn rejects(system: &System) -> Vec<(i64, String, Option<Vec<u8>>, String)> {
    let statement = "SELECT record_offset, reason, record_value, call_sid FROM rejects ORDER BY 1";
    let rows = sqlx::query(statement).fetch_all(&mut system.sql().await).await.expect("rejects");
    let read = |row: &sqlx::postgres::PgRow| (row.get(0), row.get(1), row.get(2), row.get(3));
    rows.iter().map(read).collect()
}

async fn without_bytes(api: &Api) -> Option<String> {
    let text = api.get("/metrics").await.text;
    let line = text.lines().find(|line| line.starts_with("callmeter_rejects_without_bytes_total"));
    line.map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_bytes_of_a_call_that_is_rejected_late_are_kept_with_it() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let (acme, later) = (account("acme", 1_000_000), account("later", 1_000_000));
    system.open(&api, [&acme]).await;
    let first: Vec<_> = (1..=20).map(|number| call(&acme, number, 60)).collect();
    system.produce(&first).await;
    system.settle(&api).await;
    // One unknown account, and one call that was charged before; both among calls that are charged.
    let mut second: Vec<_> = (21..=40).map(|number| call(&acme, number, 60)).collect();
    second.insert(5, call(&later, 100, 60));
    second.insert(12, call(&acme, 7, 120));
    let placed = system.produce(&second).await;
    let last = system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("charges").len(), 40);
    let value = |index: usize| second[index].payload.clone();
    let expected = [
        (placed[5].offset, "unknown_account".to_owned(), value(5), call_sid(100)),
        (placed[12].offset, "conflict".to_owned(), value(12), call_sid(7)),
    ];
    assert_eq!(rejects(&system).await, expected);
    assert_eq!(without_bytes(&api).await.as_deref(), Some("0"));
    // So they can be replayed when Kafka has forgotten them.
    let topic = system.topic(Topic::Calls);
    let end = last.iter().map(|record| record.offset).max().expect("a record");
    system.kafka.delete_records_before(&topic, 0, end).await;
    system.open(&api, [&later]).await;
    system.run(&["rejects", "replay", "--reason", "unknown_account"]).expect_success();
    until("the replay charges it", SOON, async || {
        (api.charges("later").await.ok()?.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_kafka_forgot_before_its_rejection_is_kept_without_its_bytes_and_counted() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let (acme, unknown) = (account("acme", 1_000_000), account("unknown", 0));
    system.open(&api, [&acme]).await;
    let mut sql = system.sql().await;
    let mut locked = sql.begin().await.expect("a transaction");
    let lock = "LOCK TABLE wallets IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *locked).await.expect("it is locked");
    let mut looking = system.sql().await;
    let placed = system.produce(&[call(&acme, 1, 60), call(&unknown, 2, 60)]).await;
    until("the batch waits for its wallets", SOON, async || {
        let waits = "SELECT count(*) > 0 FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'
               AND query LIKE '%lock_wallets%'";
        let waits = sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut looking).await;
        waits.expect("an answer").then_some(())
    })
    .await;
    let topic = system.topic(Topic::Calls);
    system.kafka.delete_records_before(&topic, 0, placed[1].offset + 1).await;
    locked.rollback().await.expect("it is free");
    let kept = until("it is kept", SOON, async || {
        let kept = rejects(&system).await;
        (!kept.is_empty()).then_some(kept)
    })
    .await;
    let reason = "unknown_account".to_owned();
    assert_eq!(kept, [(placed[1].offset, reason, None, call_sid(2))]);
    until("it is counted", SOON, async || {
        (without_bytes(&api).await.as_deref() == Some("1")).then_some(())
    })
    .await;
    assert_eq!(api.charges("acme").await.expect("charges").len(), 1, "the other one is charged");
    // The stream goes on.
    system.produce(&[call(&acme, 3, 60)]).await;
    system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("charges").len(), 2);
}
