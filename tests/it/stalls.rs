//! Partitions that make no progress though records wait: reported within the setting for any cause,
//! and well again without help.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::harness::api::Api;
use crate::harness::command::finish;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use crate::model::read::Topic;
use crate::traffic::Outgoing;
use serde_json::{Value, json};
use sqlx::Connection as _;

const SETTING: (&str, &str) = ("CALLMETER__KAFKA__STALL_SECONDS", "2");

fn calls(account: &Account, partition: i32, numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    let call = |n| on_calls(partition, &completed(account, &call_sid(n), 61, now()));
    numbers.map(call).collect()
}

async fn charged(api: &Api, count: usize) {
    until("the calls are charged", SOON, async || {
        let charges = api.charges("acme").await.ok()?;
        (charges.len() == count).then_some(())
    })
    .await;
}

/// Flips a byte of the first batch of records; a second call restores it.
fn flip(segment: &Path) {
    let file = File::options().read(true).write(true).open(segment).expect("the segment opens");
    let mut byte = [0];
    // After the 61 bytes of the batch's header.
    file.read_exact_at(&mut byte, 80).expect("the batch is that long");
    file.write_all_at(&[!byte[0]], 80).expect("it is written");
}

fn status(system: &System) -> Value {
    let (name, value) = SETTING;
    let mut command = system.command(&["status", "--json"]);
    command.env(name, value);
    serde_json::from_str(&finish(command).expect_success().stdout).expect("one JSON object")
}

/// Waits until `/readyz` says that partition 0 makes no progress; returns the reason.
async fn is_told(api: &Api, system: &System) -> String {
    let component = format!("partition {}/0", system.topic(Topic::Calls));
    let reason = until("the partition is down", SOON, async || {
        let answer = api.get("/readyz").await;
        let part = answer.json()["components"][&component].clone();
        let is_down = answer.status == 503 && part["status"] == "down";
        is_down.then(|| part["reason"].as_str().expect("a reason").to_owned())
    })
    .await;
    let labels = [("partition", "0"), ("topic", &system.topic(Topic::Calls))];
    assert_eq!(api.metric("callmeter_partition_stalled", &labels).await, Some(1));
    let problem = until("the status tells it", SOON, async || {
        let shown = status(system);
        let problems = shown["problems"].as_array().expect("problems").clone();
        problems.into_iter().find(|it| it["what"].to_string().contains("makes no progress"))
    })
    .await;
    let what = problem["what"].as_str().expect("text");
    let cause = reason.split_once(": ").expect("a cause").1;
    assert!(what.contains(cause), "{what}: as in /readyz: {reason}");
    assert!(problem["help"].to_string().contains("runbook"), "the way on: {problem}");
    reason
}

async fn is_well_again(api: &Api, system: &System) {
    until("ready again", SOON, async || (api.get("/readyz").await.status == 200).then_some(()))
        .await;
    let labels = [("partition", "0"), ("topic", &system.topic(Topic::Calls))];
    until("the metric too", SOON, async || {
        let stalled = api.metric("callmeter_partition_stalled", &labels).await;
        (stalled == Some(0)).then_some(())
    })
    .await;
    until("the status too", SOON, async || {
        (!status(system)["problems"].to_string().contains("makes no progress")).then_some(())
    })
    .await;
}

/// A service whose partition 0 begins with three calls in a damaged batch and three in an intact
/// one; two calls of partition 1 are charged.
async fn damaged(breakable: &Breakable) -> (System, Api, Account, PathBuf) {
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    system.services[0].terminate();
    let together = system.kafka.compressing("gzip");
    for numbers in [0..3, 3..6] {
        together.produce(|topic| system.topic(topic), &calls(&acme, 0, numbers)).await;
    }
    system.produce(&calls(&acme, 1, 10..12)).await;
    let segment = breakable.first_segment(&system.topic(Topic::Calls), 0);
    flip(&segment);
    let index = system.start("meter,api", &[SETTING]);
    let api = system.ready(index).await;
    charged(&api, 2).await;
    (system, api, acme, segment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_whose_records_are_damaged_on_the_brokers_disk_is_told_and_comes_back() {
    let breakable = Breakable::take();
    let (system, api, acme, segment) = damaged(&breakable).await;
    let reason = is_told(&api, &system).await;
    assert!(reason.contains("at offset 0") && reason.contains("cannot be fetched"), "{reason}");
    // Dialers get answers, other partitions are charged, and nothing is skipped.
    assert_eq!(api.get("/readyz/api").await.status, 200);
    let body = json!({"account": "acme", "call_sid": call_sid(99), "from": "+15005550001",
                      "to": "+12125550123"});
    assert_eq!(api.post("/v1/authorizations", &body).await.expect(200)["decision"], "allow");
    system.produce(&calls(&acme, 1, 12..14)).await;
    charged(&api, 4).await;
    let tries = "many tries have failed";
    until(tries, SOON, async || {
        let shown = status(&system);
        let of_calls = system.topic(Topic::Calls);
        let partitions = shown["partitions"].as_array()?;
        let stuck = partitions.iter().find(|it| it["topic"] == of_calls.as_str())?;
        let since = stuck["stalled_since"].as_str()?.parse::<chrono::DateTime<chrono::Utc>>();
        let lasts = now() - since.ok()?.timestamp_micros();
        (lasts > 6_000_000).then_some(())
    })
    .await;
    let log = system.services[1].log_text();
    let told = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    let lines: Vec<_> = log.lines().filter(told).filter(|it| it.contains("no progress")).collect();
    assert_eq!(lines.len(), 1, "one line for the incident: {lines:#?}");
    let all: Vec<_> = log.lines().filter(told).filter(|it| it.contains("partition")).collect();
    assert_eq!(all.len(), 1, "none for each try: {all:#?}");

    flip(&segment);
    charged(&api, 10).await;
    is_well_again(&api, &system).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_set_on_a_stuck_partition_is_noticed_and_goes_on_behind_what_is_damaged() {
    let breakable = Breakable::take();
    let (system, api, _, _) = damaged(&breakable).await;
    is_told(&api, &system).await;
    let topic = system.topic(Topic::Calls);
    let place = ["--topic", &topic, "--partition", "0", "--offset", "3"];
    let arguments = [&["offsets", "set", "--reason", "damaged"][..], &place].concat();
    system.run(&arguments).expect_success();
    charged(&api, 5).await;
    is_well_again(&api, &system).await;
}

#[tokio::test]
async fn a_partition_whose_batch_is_not_committed_is_told_and_comes_back() {
    let mut system = System::new().await;
    let index = system.start("meter,api", &[SETTING]);
    let api = system.ready(index).await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0, 0..2)).await;
    charged(&api, 2).await;
    let mut sql = system.sql().await;
    let mut held = sql.begin().await.expect("a transaction");
    let lock = "LOCK TABLE partition_offsets IN SHARE MODE";
    sqlx::query(lock).execute(&mut *held).await.expect("it is locked");
    system.produce(&calls(&acme, 0, 2..4)).await;
    let reason = is_told(&api, &system).await;
    assert!(reason.contains("not committed"), "{reason}");
    assert_eq!(api.get("/readyz/api").await.status, 200);
    held.rollback().await.expect("it is free");
    charged(&api, 4).await;
    is_well_again(&api, &system).await;
}

#[tokio::test]
async fn the_status_tells_of_records_that_wait_where_no_meter_runs() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    let mut records = calls(&acme, 0, 0..2);
    for record in &mut records {
        record.timestamp_ms -= 60_000;
    }
    system.produce(&records).await;
    let problems = status(&system)["problems"].to_string();
    assert!(problems.contains("2 records wait"), "{problems}");
    assert!(problems.contains("serve --role meter"), "{problems}");
    // Records that have just arrived are no problem.
    system.produce(&calls(&acme, 1, 2..4)).await;
    let (name, value) = ("CALLMETER__KAFKA__STALL_SECONDS", "30");
    let mut command = system.command(&["status", "--json"]);
    command.env(name, value);
    let shown: Value =
        serde_json::from_str(&finish(command).expect_success().stdout).expect("one JSON object");
    let told = shown["problems"].to_string();
    assert_eq!(told.matches("records wait").count(), 1, "of partition 0 only: {told}");
}
