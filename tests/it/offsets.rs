//! Where each partition continues: stored with the charges, never guessed.

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use crate::model::read::Topic;
use crate::traffic::Outgoing;
use sqlx::Row as _;
use std::time::{Duration, Instant};

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

/// Waits until `/readyz` names a halted partition.
async fn stands_still(api: &Api, topic: &str, partition: i32) {
    let text = until("a partition stands still", SOON, async || {
        // Earlier, a partition of the topic may not have started yet.
        let answer = api.get("/readyz").await;
        let names_the_way_on = answer.text.contains("offsets set");
        (answer.status == 503 && names_the_way_on).then_some(answer.text)
    })
    .await;
    let part = format!("partition {topic}/{partition}");
    assert!(text.contains(&part), "the partition is named: {text}");
}

fn set(system: &System, topic: &str, partition: i32, offset: i64) {
    let (partition, offset) = (partition.to_string(), offset.to_string());
    let place = ["--topic", topic, "--partition", &partition, "--offset", &offset];
    let mut arguments = vec!["offsets", "set"];
    arguments.extend(place);
    let without_reason = system.run(&arguments);
    assert_eq!(without_reason.code, Some(2), "a reason is asked for: {without_reason:?}");
    arguments.extend(["--reason", "the topic was made anew"]);
    system.run(&arguments).expect_success();
}

#[tokio::test]
async fn a_stored_offset_beyond_the_logs_end_stops_that_partition_until_an_operator_decides() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0, 0..10)).await;
    charged(&api, 10).await;
    system.services[0].terminate();

    let topic = system.topic(Topic::Calls);
    system.kafka.delete_topic(&topic).await;
    system.kafka.create_topic(&topic, 4).await;
    system.produce(&calls(&acme, 0, 100..103)).await;
    system.produce(&calls(&acme, 1, 200..202)).await;
    let index = system.start("meter,api", &[]);
    let api = system.api(index);
    until("it answers", SOON, async || {
        api.send(reqwest::Method::GET, "/livez", &[], None).await.ok()
    })
    .await;
    stands_still(&api, &topic, 0).await;
    // The other partitions continue, and nothing of this one is read by guess.
    charged(&api, 12).await;
    stands_still(&api, &topic, 0).await;

    set(&system, &topic, 0, 0);
    charged(&api, 15).await;
    system.ready(index).await;
}

#[tokio::test]
async fn records_lost_by_retention_stop_that_partition_until_an_operator_decides() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 2, 0..5)).await;
    charged(&api, 5).await;
    system.services[0].terminate();

    let topic = system.topic(Topic::Calls);
    system.produce(&calls(&acme, 2, 5..10)).await;
    system.kafka.delete_records_before(&topic, 2, 8).await;
    system.produce(&calls(&acme, 3, 20..23)).await;
    let index = system.start("meter,api", &[]);
    let api = system.api(index);
    until("it answers", SOON, async || {
        api.send(reqwest::Method::GET, "/livez", &[], None).await.ok()
    })
    .await;
    stands_still(&api, &topic, 2).await;
    charged(&api, 8).await;
    stands_still(&api, &topic, 2).await;

    set(&system, &topic, 2, 8);
    charged(&api, 10).await;
    system.ready(index).await;
    let sids: Vec<_> =
        api.charges("acme").await.expect("a list").into_iter().map(|row| row.call_sid).collect();
    assert!(!sids.contains(&call_sid(7)), "what Kafka lost is not made up");
}

#[tokio::test]
async fn records_lost_while_it_runs_stop_that_partition_too() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0, 0..5)).await;
    charged(&api, 5).await;
    let topic = system.topic(Topic::Calls);
    system.kafka.delete_topic(&topic).await;
    system.kafka.create_topic(&topic, 4).await;
    system.produce(&calls(&acme, 0, 10..12)).await;
    stands_still(&api, &topic, 0).await;
    set(&system, &topic, 0, 0);
    charged(&api, 7).await;
    system.ready(0).await;
    // An operator's step back does not show that Postgres went back in time.
    let incarnation = "SELECT incarnation FROM ledger_identity";
    let row = sqlx::query(incarnation).fetch_one(&mut system.sql().await).await.expect("a row");
    assert_eq!(row.get::<i64, _>(0), 1);
}

#[tokio::test]
async fn a_postgres_that_went_back_in_time_is_noticed_and_catches_up() {
    let setup = Setup { verified: false, ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0, 0..5)).await;
    charged(&api, 5).await;
    system.services[0].terminate();
    // As after restoring a backup from before the calls.
    let restored = "UPDATE partition_offsets SET next_offset = 0, signals_offset = 0
                    WHERE next_offset = 5";
    let mut sql = system.sql().await;
    let done = sqlx::query(restored).execute(&mut sql).await.expect("it is set back");
    assert_eq!(done.rows_affected(), 1);
    system.produce(&calls(&acme, 0, 5..6)).await;
    let index = system.start("meter,api", &[]);
    let api = system.ready(index).await;
    charged(&api, 6).await;
    let incarnation = "SELECT incarnation FROM ledger_identity";
    let row = sqlx::query(incarnation).fetch_one(&mut sql).await.expect("a row");
    assert_eq!(row.get::<i64, _>(0), 2, "raised once");
}

#[tokio::test]
async fn a_topic_made_later_is_noticed_within_five_seconds() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    for topic in [Topic::Calls, Topic::Rentals] {
        system.kafka.delete_topic(&system.topic(topic)).await;
    }
    until("the service notices that they are gone", SOON, async || {
        let lag = api.metric("callmeter_consumer_lag_records", &[]).await;
        (lag.is_none() || api.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    for topic in [Topic::Calls, Topic::Rentals] {
        system.kafka.create_topic(&system.topic(topic), 3).await;
    }
    let made = Instant::now();
    system.produce(&calls(&acme, 2, 0..3)).await;
    charged(&api, 3).await;
    assert!(made.elapsed() <= Duration::from_secs(5), "noticed after {:?}", made.elapsed());
    system.ready(0).await;
}

#[tokio::test]
async fn serve_creates_the_topics_that_are_missing() {
    let setup = Setup { partitions: None, ..Setup::default() };
    let mut system = System::with(setup).await;
    let index = system.start("meter,api", &[("CALLMETER__KAFKA__PARTITIONS", "3")]);
    let api = system.ready(index).await;
    for topic in [Topic::Calls, Topic::Rentals] {
        let topic = system.topic(topic);
        let made = until("the topic is made", SOON, async || {
            let partitions = system.kafka.partitions(&topic);
            (partitions > 0).then_some(partitions)
        });
        assert_eq!(made.await, 3);
    }
    system.open(&api, []).await;
    system.settle(&api).await;
}

#[tokio::test]
async fn partitions_added_later_are_read_from_their_start() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.settle(&api).await;
    let topic = system.topic(Topic::Calls);
    system.kafka.add_partitions(&topic, 7).await;
    let made = Instant::now();
    for partition in 4..7 {
        let first = usize::try_from(partition).expect("small") * 10;
        system.produce(&calls(&acme, partition, first..first + 2)).await;
    }
    charged(&api, 6).await;
    assert!(made.elapsed() <= Duration::from_secs(5), "noticed after {:?}", made.elapsed());
}

#[tokio::test]
async fn a_lost_topic_that_came_back_as_long_as_before_is_still_noticed() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0, 0..5)).await;
    charged(&api, 5).await;
    system.services[0].terminate();
    let topic = system.topic(Topic::Calls);
    system.kafka.delete_topic(&topic).await;
    system.kafka.create_topic(&topic, 4).await;
    // These records have whole seconds: those of the new log differ by a minute.
    let mut others = calls(&acme, 0, 100..109);
    for other in &mut others {
        other.timestamp_ms += 60_000;
    }
    system.produce(&others).await;
    let index = system.start("meter,api", &[]);
    let api = system.api(index);
    until("it answers", SOON, async || {
        api.send(reqwest::Method::GET, "/livez", &[], None).await.ok()
    })
    .await;
    stands_still(&api, &topic, 0).await;
    set(&system, &topic, 0, 0);
    charged(&api, 14).await;
}

#[tokio::test]
async fn an_offset_set_on_an_idle_partition_is_noticed_without_another_record() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0, 0..5)).await;
    charged(&api, 5).await;
    let topic = system.topic(Topic::Calls);
    set(&system, &topic, 0, 2);
    until("the records behind it are read again", SOON, async || {
        let read = api.metric("callmeter_events_total", &[("outcome", "duplicate")]).await;
        (read == Some(3)).then_some(())
    })
    .await;
    charged(&api, 5).await;
}
