//! The main test: a long stream of everything that may arrive, charged exactly by the rules.

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples;
use crate::harness::servers::{Breakable, Servers};
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use crate::model::catalog::Catalog;
use crate::model::check::Model;
use crate::model::money::show;
use crate::model::outcomes::{Charged, Outcomes, Place, fate};
use crate::model::read::{Record, Topic};
use crate::traffic::world::{World, world};
use crate::traffic::{Dice, generate};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const EVENTS: usize = 50_000;
const PARTITIONS: i32 = 4;
const SEED: u64 = 20_261_124;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_fifty_thousand_events_over_four_partitions_is_charged_as_the_model_says() {
    let mut world = world(samples::now());
    let mut system = begin(Servers::shared(), &world).await;
    let first = system.serve("meter,api").await;
    let second = system.serve("meter,api").await;
    system.open(&first, &world.accounts).await;
    let apis = [first, second];
    let mut records = both_take_part(&mut system, &apis).await;

    let stream = generate(&world, SEED, EVENTS, PARTITIONS);
    let (sent, adjusted) =
        tokio::join!(system.produce(&stream), adjust(&apis[1], &mut world.accounts));
    records.extend(sent);
    records.extend(system.settle(&apis[0]).await);
    assert_eq!(adjusted, 20);

    let outcomes = compare(&system, &apis[0], &world, &records).await;
    compare_outcomes(&apis, &outcomes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_stream_is_charged_alike_through_twenty_kills_and_a_crash_of_postgres() {
    let breakable = Breakable::take();
    let world = world(samples::now());
    let mut system = begin(breakable.servers.clone(), &world).await;
    let watch = system.serve("api").await;
    for index in [1, 2] {
        let place = system.start("meter", &[]);
        assert_eq!(place, index);
    }
    for index in [1, 2] {
        system.ready(index).await;
    }
    system.open(&watch, &world.accounts).await;
    let mut records = system.settle(&watch).await;

    let stream = generate(&world, SEED + 1, EVENTS, PARTITIONS);
    let mut dice = Dice::new(SEED);
    // Six times both are killed at once; four times each alone; once Postgres.
    let faults: [&[usize]; 15] = [
        &[1],
        &[2],
        &[1, 2],
        &[2, 1],
        &[1],
        &[2],
        &[1, 2],
        &[],
        &[2],
        &[1],
        &[2, 1],
        &[1, 2],
        &[1],
        &[2],
        &[2, 1],
    ];
    let mut kills = [0; 3];
    let mut recoveries = Vec::new();
    let kafka = system.kafka.clone();
    for (part, victims) in stream.chunks(EVENTS.div_ceil(faults.len())).zip(faults) {
        let topics = [system.topic(Topic::Calls), system.topic(Topic::Rentals)];
        let flow = async {
            let mut pace = tokio::time::interval(Duration::from_millis(40));
            let mut sent = Vec::new();
            for slice in part.chunks(part.len().div_ceil(20)) {
                pace.tick().await;
                let name = |topic| topics[usize::from(topic == Topic::Rentals)].clone();
                sent.extend(kafka.produce(name, slice).await);
            }
            sent
        };
        let fault = async {
            // A random moment while records flow; nothing waits for it.
            tokio::time::sleep(Duration::from_millis(dice.number() % 700)).await;
            for index in victims {
                system.services[*index].kill();
                kills[*index] += 1;
            }
            let mut last = Instant::now();
            for index in victims {
                system.restart(*index, "meter");
            }
            if victims.is_empty() {
                breakable.server("postgres", "stop-immediate").await;
                breakable.server("postgres", "start").await;
                last = Instant::now();
            }
            last
        };
        let (sent, last) = tokio::join!(flow, fault);
        records.extend(sent);
        records.extend(system.settle(&watch).await);
        recoveries.push(last.elapsed());
    }
    println!("from each kill to new charges in every partition: {recoveries:?}");
    let slowest = recoveries.iter().max();
    assert!(slowest <= Some(&Duration::from_secs(10)), "{recoveries:?}");
    assert_eq!(kills, [0, 10, 10]);
    compare(&system, &watch, &world, &records).await;
}

/// A system that has accepted every catalog version of the world, in order.
async fn begin(servers: Servers, world: &World) -> System {
    let catalog: Catalog = world.versions[0].clone();
    let setup = Setup { servers, catalog, partitions: Some(PARTITIONS), ..Setup::default() };
    let mut system = System::with(setup).await;
    for version in &world.versions {
        system.write_catalog(version);
        system.serve("api").await;
        let mut reader = system.services.remove(0);
        let (status, _) = reader.terminate();
        let log = reader.log_text();
        assert!(status.success() && log.contains("catalog accepted"), "{status}: {log}");
    }
    system
}

/// Feeds the partitions until each process has charged something.
async fn both_take_part(system: &mut System, apis: &[Api; 2]) -> Vec<Record> {
    let mut records = Vec::new();
    let deadline = Instant::now() + SOON;
    loop {
        records.extend(system.settle(&apis[0]).await);
        let mut charged = Vec::new();
        for api in apis {
            let metric = api.metric("callmeter_events_total", &[("outcome", "charged")]).await;
            charged.push(metric.unwrap_or(0));
        }
        if charged.iter().all(|count| *count > 0) {
            return records;
        }
        assert!(Instant::now() < deadline, "one process charges nothing: {charged:?}");
    }
}

/// Adjusts wallets while their calls are charged; returns the number of adjustments.
async fn adjust(api: &Api, accounts: &mut [Account]) -> usize {
    let mut count = 0;
    for account in accounts.iter_mut().take(20) {
        let amount = 1_000_001 + 7 * count;
        let kind = if count % 3 == 2 { "debit" } else { "credit" };
        let body = json!({"type": kind, "amount": show(amount), "description": "a test"});
        api.post(&format!("/v1/accounts/{}/adjustments", account.id), &body).await.expect(201);
        account.adjustments.push(if kind == "debit" { -amount } else { amount });
        count += 1;
    }
    usize::try_from(count).expect("a small number")
}

/// Compares every account and every rejected record with the model. Returns the required outcomes.
async fn compare(system: &System, api: &Api, world: &World, records: &[Record]) -> Outcomes {
    let mut accounts = world.accounts.clone();
    accounts.push(system.watchman().clone());
    let model = Model::new(&world.versions, &accounts, records);
    let (calls, rentals) = model.size();
    assert!(calls > 20_000 && rentals > 500, "{calls} calls and {rentals} rentals are too few");
    let mut differences = Vec::new();
    let mut charged = Charged::default();
    for account in &accounts {
        let reported = api.reported(&account.id).await.expect("the API answers");
        differences.extend(model.differences(account, &reported));
        charged.note(account, &reported);
    }
    assert_none(&differences);
    assert_eq!(charged.seconds.len(), calls);

    let fate = fate(&world.versions, &accounts, records, &charged);
    let (single, conflicts) = (fate.single.len(), fate.conflicts.len());
    assert!(single > 1_500 && conflicts > 200, "{single} rejects, {conflicts} conflicts");
    assert_none(&fate.differences(&rejects(system)));
    fate.outcomes
}

fn assert_none(differences: &[String]) {
    let first = &differences[..differences.len().min(20)];
    assert!(differences.is_empty(), "{} differences: {first:#?}", differences.len());
}

/// The rows of `rejects list --json`.
fn rejects(system: &System) -> Vec<(Place, String)> {
    let listed = system.run(&["rejects", "list", "--json"]).expect_success();
    let calls = system.topic(Topic::Calls);
    let places = listed.stdout.lines().map(|line| {
        let row: Value = serde_json::from_str(line).expect("one object per line");
        let topic = if row["topic"] == json!(calls) { Topic::Calls } else { Topic::Rentals };
        let partition = row["partition"].as_i64().and_then(|value| i32::try_from(value).ok());
        let place =
            (topic, partition.expect("a partition"), row["offset"].as_i64().expect("an offset"));
        assert!(row["id"].is_number() || row["id"].is_string(), "{row}");
        assert!(row["at"].is_string(), "{row}");
        (place, row["reason"].as_str().expect("a reason").to_owned())
    });
    places.collect()
}

/// Nothing was killed, so the two processes together have counted each record once.
async fn compare_outcomes(apis: &[Api], expected: &Outcomes) {
    let reported = until("the metrics cover all records", SOON, async || {
        let mut reported = Outcomes::default();
        for word in Outcomes::WORDS {
            let mut sum = 0;
            for api in apis {
                let metric = api.metric("callmeter_events_total", &[("outcome", word)]).await;
                sum += usize::try_from(metric.unwrap_or(0)).expect("a count");
            }
            reported.0.insert(word, sum);
        }
        (reported.total() >= expected.total()).then_some(reported)
    })
    .await;
    assert_eq!(&reported, expected);
}
