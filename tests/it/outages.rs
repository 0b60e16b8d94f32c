//! Servers that are down: the service stays up, reports it, and recovers without help.

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use crate::traffic::Outgoing;
use serde_json::json;
use sqlx::Connection as _;
use std::time::Duration;

fn calls(account: &Account, numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    let partition = |n: usize| i32::try_from(n % 4).expect("small");
    let call = |n| on_calls(partition(n), &completed(account, &call_sid(n), 61, now()));
    numbers.map(call).collect()
}

/// Waits until `/readyz` reports this part as down, and checks that the rest works.
async fn says_that_it_misses(api: &Api, part: &str) {
    until("not ready", SOON, async || {
        let answer = api.get("/readyz").await;
        let named = answer.text.to_lowercase().contains(part);
        (answer.status == 503 && named).then_some(())
    })
    .await;
    assert_eq!(api.get("/livez").await.status, 200);
    until("the metrics say so", SOON, async || {
        let up = api.metric("callmeter_component_up", &[("component", part)]).await;
        up.filter(|up| *up == 0)
    })
    .await;
}

async fn says_that_all_is_well(api: &Api) {
    until("ready again", SOON, async || (api.get("/readyz").await.status == 200).then_some(()))
        .await;
}

async fn balance(api: &Api) -> String {
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    wallet["balance"].as_str().expect("a balance").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_kafka_is_down_the_service_stays_up_and_then_goes_on_by_itself() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0..40)).await;
    system.settle(&api).await;
    for (stop, round) in [("stop", 1), ("kill", 2)] {
        breakable.server("kafka", stop).await;
        says_that_it_misses(&api, "kafka").await;
        // Whatever does not need Kafka continues.
        let body = json!({"type": "credit", "amount": "1", "description": "meanwhile"});
        api.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
        breakable.server("kafka", "start").await;
        says_that_all_is_well(&api).await;
        system.produce(&calls(&acme, 0..40 + 40 * round)).await;
        system.settle(&api).await;
    }
    assert_eq!(balance(&api).await, "7.200000", "10 + 2 - 120 calls of 0.04");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_down_the_service_stays_up_and_then_goes_on_by_itself() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0..40)).await;
    system.settle(&api).await;
    for (stop, round) in [("stop-immediate", 1), ("stop", 2)] {
        // Records in flight when it stops, and more while it is down.
        system.produce(&calls(&acme, 40 * round..40 * round + 20)).await;
        breakable.server("postgres", stop).await;
        system.produce(&calls(&acme, 40 * round + 20..40 * round + 40)).await;
        says_that_it_misses(&api, "postgres").await;
        for path in ["", "/wallet", "/events", "/transactions", "/calls"] {
            let answer = api.get(&format!("/v1/accounts/acme{path}")).await;
            assert_eq!(answer.problem(503), "ledger_unavailable", "{path}");
            assert!(answer.retry_after.is_some(), "{path}");
        }
        breakable.server("postgres", "start").await;
        says_that_all_is_well(&api).await;
        system.settle(&api).await;
    }
    assert_eq!(balance(&api).await, "5.200000", "10 - 120 calls of 0.04");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_starts_while_postgres_and_kafka_are_still_away() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let acme = account("acme", 10_000_000);
    let index = system.start("api", &[]);
    let api = system.ready(index).await;
    system.open(&api, [&acme]).await;
    system.produce(&calls(&acme, 0..40)).await;
    for server in ["kafka", "postgres"] {
        breakable.server(server, "stop").await;
        let early = system.start("meter,api", &[]);
        let api = system.api(early);
        until("it answers", SOON, async || {
            let sent = api.send(reqwest::Method::GET, "/readyz", &[], None).await.ok()?;
            (sent.status == 503).then_some(())
        })
        .await;
        breakable.server(server, "start").await;
        system.ready(early).await;
        system.settle(&api).await;
        system.services[early].terminate();
    }
    assert_eq!(balance(&api).await, "8.400000");
}

/// Longer than a member waits for its batches before it gives its partitions back.
const GIVEN_BACK: Duration = Duration::from_secs(4);

/// The sessions of all members end meanwhile, and a batch is not committed when they are asked for
/// their partitions back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_stands_still_gives_every_partition_to_somebody_again() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("api").await;
    let meters =
        [(); 2].map(|()| system.start("meter", &[("CALLMETER__KAFKA__STALL_SECONDS", "5")]));
    for meter in meters {
        system.ready(meter).await;
    }
    let acme = account("acme", 100_000_000);
    system.open(&api, [&acme]).await;
    let mut database = system.sql().await;
    let mut lock = database.begin().await.expect("a transaction");
    let wallet = "SELECT FROM wallets JOIN accounts USING (account_key)
        WHERE id = 'acme' FOR UPDATE OF wallets";
    sqlx::query(wallet).execute(&mut *lock).await.expect("locked");
    system.produce(&calls(&acme, 0..40)).await;
    breakable.server("kafka", "pause").await;
    let tells =
        |what: &str| meters.iter().all(|meter| system.services[*meter].log_text().contains(what));
    until("the sessions end", SOON, async || tells("partitions revoked").then_some(())).await;
    tokio::time::sleep(GIVEN_BACK).await;
    lock.rollback().await.expect("unlocked");
    until("they join again", SOON, async || tells("joining it again").then_some(())).await;
    breakable.server("kafka", "resume").await;
    system.settle(&api).await;
    assert_eq!(balance(&api).await, "98.400000", "100 - 40 calls of 0.04");
}
