//! When a process is ready: a meter once it takes part, the API by what authorizations need.

use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use serde_json::Value;

/// Number of partitions that `/readyz` reports as up.
fn partitions_up(report: &Value) -> usize {
    let components = report["components"].as_object().expect("components");
    let is_up = |(name, state): &(&String, &Value)| {
        name.starts_with("partition") && state["status"] == "up"
    };
    components.iter().filter(is_up).count()
}

#[tokio::test]
async fn a_meter_is_ready_once_it_reads_all_partitions_of_topics_that_it_has_just_made() {
    let setup = Setup { partitions: None, ..Setup::default() };
    let mut system = System::with(setup).await;
    let acme = account("acme", 0);
    let create = ["account", "create", "acme", "--name", "Acme", "--twilio-account-sid", &acme.sid];
    system.run(&create).expect_success();
    for round in 0..2 {
        let index = system.start("meter,api", &[]);
        let api = system.ready(index).await;
        let report = api.get("/readyz").await.expect(200);
        assert_eq!(partitions_up(&report), 8, "four of each topic: {report}");
        let call = |n| on_calls(3, &completed(&acme, &call_sid(10 * round + n), 61, now()));
        system.produce(&[call(1), call(2)]).await;
        until("they are charged", SOON, async || {
            let charges = api.charges("acme").await.ok()?;
            (charges.len() == 2 * (round + 1)).then_some(())
        })
        .await;
        system.services[index].terminate();
    }
}

#[tokio::test]
async fn an_assignment_of_nothing_counts_and_a_rebalance_takes_no_readiness_away() {
    let setup = Setup { partitions: Some(1), ..Setup::default() };
    let mut system = System::with(setup).await;
    let first = system.serve("meter").await;
    for _ in 0..3 {
        let index = system.start("meter", &[]);
        let api = system.api(index);
        until("the next one is ready", SOON, async || {
            let report = first.get("/readyz").await.json();
            assert_eq!(report["components"]["assignment"]["status"], "up", "it was: {report}");
            let sent = api.send(reqwest::Method::GET, "/readyz", &[], None).await.ok()?;
            (sent.status == 200).then_some(())
        })
        .await;
    }
    let idle = system.api(3).get("/readyz").await.expect(200);
    let busy = first.get("/readyz").await.expect(200);
    assert_eq!(idle["components"]["assignment"]["status"], "up", "{idle}");
    let all = [1, 2].map(|index| system.api(index));
    let mut sum = partitions_up(&idle) + partitions_up(&busy);
    for api in all {
        sum += partitions_up(&api.get("/readyz").await.expect(200));
    }
    assert!(sum <= 2, "two partitions for four: {sum}");
}

#[tokio::test]
async fn other_roles_do_not_wait_for_an_assignment() {
    let mut system = System::new().await;
    let nowhere = ("KAFKA_BROKERS", "127.0.0.1:9");
    for role in ["api", "jobs"] {
        let index = system.start(role, &[nowhere]);
        let api = system.ready(index).await;
        let report = api.get("/readyz").await.expect(200);
        assert!(report["components"].get("assignment").is_none(), "{role}: {report}");
        assert_eq!(api.get("/readyz/api").await.status, 200, "{role}");
    }
    let index = system.start("meter,api", &[nowhere]);
    let api = system.api(index);
    until("the API is ready", SOON, async || {
        let sent = api.send(reqwest::Method::GET, "/readyz/api", &[], None).await.ok()?;
        (sent.status == 200).then_some(())
    })
    .await;
    let report = api.get("/readyz").await;
    assert_eq!(report.status, 503, "it has no partitions");
    assert_eq!(report.json()["components"]["assignment"]["status"], "down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_ready_while_redis_is_there_and_postgres_was() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    for (server, is_ready) in [("kafka", true), ("postgres", true), ("redis", false)] {
        breakable.server(server, "stop").await;
        until("the whole is not ready", SOON, async || {
            let answer = api.get("/readyz").await;
            (answer.status == 503 && answer.json()["components"][server]["status"] == "down")
                .then_some(())
        })
        .await;
        let answer = api.get("/readyz/api").await;
        assert_eq!(answer.status == 200, is_ready, "{server}: {}", answer.text);
        let names: Vec<_> =
            answer.json()["components"].as_object().expect("parts").keys().cloned().collect();
        assert_eq!(names, ["postgres", "redis"]);
        if server == "postgres" {
            // A process that starts without Postgres cannot answer anything yet.
            let late = system.start("api", &[]);
            let late = system.api(late);
            until("it answers", SOON, async || {
                let sent = late.send(reqwest::Method::GET, "/readyz/api", &[], None).await.ok()?;
                (sent.status == 503).then_some(())
            })
            .await;
        }
        breakable.server(server, "start").await;
        until("ready again", SOON, async || (api.get("/readyz").await.status == 200).then_some(()))
            .await;
    }
}
