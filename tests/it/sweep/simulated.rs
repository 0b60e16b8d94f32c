//! Believable traffic with lost ends of calls, and the program's own local Twilio.

use super::{differences, reconcile, report, run, sweep};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::now;
use crate::harness::service::{Service, free_port};
use crate::harness::system::System;
use crate::model::time::{DAY, rfc3339};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn believable_traffic_that_loses_ends_is_charged_whole_after_a_sweep() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let port = free_port();
    let settings = [
        ("CALLMETER__TWILIO__API_BASE", format!("http://127.0.0.1:{port}")),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001".to_owned()),
        ("TWILIO_AUTH_TOKEN", "a-token-of-the-tests".to_owned()),
    ];
    let listen = format!("127.0.0.1:{port}");
    let local = ["simulate", "twilio", "--listen", &listen, "--busy-every", "9"];
    let local = super::command(&system, &settings, &local);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let _local = Service::start(local, port, folder.path().join("twilio.log"));
    until("the local Twilio listens", SOON, async || {
        std::net::TcpStream::connect(&listen).is_ok().then_some(())
    })
    .await;
    let url = format!("http://127.0.0.1:{port}");
    let made = report(
        &run(
            &system,
            &settings,
            &[
                "simulate",
                "--accounts",
                "3",
                "--calls",
                "400",
                "--rate",
                "max",
                "--seed",
                "12",
                "--lose",
                "10%",
                "--faulty",
                "5%",
                "--twilio",
                &url,
                "--no-progress",
                "--json",
            ],
        )
        .expect_success(),
    );
    let number = |key: &str| made[key].as_u64().expect("a number");
    assert!(number("lost_calls") > 20 && number("late_calls") > 0, "{made}");
    system.open(&api, []).await;
    system.settle(&api).await;
    let charged = async || {
        let mut sum = 0;
        for account in ["sim-0001", "sim-0002", "sim-0003"] {
            sum += api.charges(account).await.expect("charges").len();
        }
        u64::try_from(sum).expect("a number")
    };
    let before = charged().await;
    assert!(before < number("billable_calls"), "{before} of {made}");
    let [from, to] = [now() - 45 * DAY, now()].map(|at| rfc3339(at)[..10].to_owned());
    let (found, _) = reconcile(&system, &settings, [&from, &to], 1);
    let missing: i64 = differences(&found)
        .iter()
        .filter(|(_, reason, ..)| *reason == "missing_here")
        .map(|(_, _, calls, _)| -calls)
        .sum();
    let lost = number("billable_calls") - before;
    assert_eq!(u64::try_from(missing).expect("a number"), lost, "{found}");
    let swept = sweep(&system, &settings, &["--from", &from]);
    assert_eq!(swept["published"], lost, "{swept}");
    system.settle(&api).await;
    assert_eq!(charged().await, number("billable_calls"));
    let arguments = ["reconcile", "twilio", "--json", "--from", &from, "--to", &to];
    let found = report(&run(&system, &settings, &arguments));
    let left = differences(&found);
    let of_customers = left.iter().filter(|(account, ..)| account.starts_with("sim-"));
    assert_eq!(of_customers.count(), 0, "{left:?}");
}
