//! Partitions that bring nothing for a while are not read, only watched: their next record is charged
//! like any other.

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls, on_rentals, rental};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use std::time::Duration;

/// Longer than it takes until a partition that brings nothing is watched.
const QUIET: Duration = Duration::from_secs(4);

/// One call on each partition; their numbers begin at `first`.
async fn call_everywhere(system: &System, payer: &Account, first: usize) -> usize {
    let calls: Vec<_> = (0..4_i32)
        .zip(first..)
        .map(|(partition, number)| {
            on_calls(partition, &completed(payer, &call_sid(number), 60, now()))
        })
        .collect();
    system.produce(&calls).await;
    first + calls.len()
}

async fn charged(api: &Api, count: usize) {
    until("the calls are charged", SOON, async || {
        let charges = api.charges("acme").await.ok()?;
        (charges.len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_next_records_of_idle_partitions_are_charged_however_often_they_become_idle() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    let mut count = 0;
    for round in 1..=3 {
        tokio::time::sleep(QUIET).await;
        count = call_everywhere(&system, &acme, count).await;
        charged(&api, count).await;
        let number = format!("PN{round:032x}");
        system.produce(&[on_rentals(1, &rental(&acme, &number, "2026-01-01", None))]).await;
        until("the rent is paid", SOON, async || {
            let rows = api.transactions("acme").await.ok()?;
            let rents = rows.iter().filter(|row| row.kind == "number_rental").count();
            (rents == round).then_some(())
        })
        .await;
    }
    system.settle(&api).await;
    system.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_restarts_while_partitions_are_idle_brings_their_next_records() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    let mut count = call_everywhere(&system, &acme, 0).await;
    charged(&api, count).await;
    tokio::time::sleep(QUIET).await;
    breakable.server("kafka", "stop").await;
    breakable.server("kafka", "start").await;
    count = call_everywhere(&system, &acme, count).await;
    charged(&api, count).await;
    tokio::time::sleep(QUIET).await;
    count = call_everywhere(&system, &acme, count).await;
    charged(&api, count).await;
    system.settle(&api).await;
    system.verify();
}
