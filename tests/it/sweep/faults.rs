//! Killed processes, servers down, two sweeps at once: a sweep runs again, and nothing is charged
//! twice.

use super::{command, report, run, sweep};
use crate::harness::command::finish;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, now};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use crate::harness::twilio::{Twilio, callback};
use crate::model::account::Account;
use crate::model::time::{MINUTE, SECOND};
use callmeter::simulate::twilio::Behaviour;
use serde_json::json;
use std::process::Stdio;

/// Completed calls whose callbacks were lost, each with a unique length.
fn lost_calls(twilio: &Twilio, account: &Account, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let age = i64::try_from(number).expect("a small number") * SECOND;
        let mut call = callback(account, &call_sid(number), "completed", now() - MINUTE - age);
        call["CallDuration"] = json!((number + 1).to_string());
        twilio.learn(&call);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_killed_midway_and_two_at_once_charge_each_call_once() {
    let twilio = Twilio::start(Behaviour { page_max: 20, hangs_after: 4, ..Behaviour::default() });
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    lost_calls(&twilio, &acme, 0..200);
    let settings = twilio.settings(&acme);
    let mut first = command(&system, &settings, &["sweep"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    until("some pages are read", SOON, async || (twilio.local.requests() > 4).then_some(())).await;
    first.kill().expect("it is killed");
    first.wait().expect("it ends");
    twilio.local.change_habits(|behaviour| behaviour.hangs_after = 0);
    let two = [(); 2].map(|()| {
        let sweep = command(&system, &settings, &["sweep", "--json"]);
        std::thread::spawn(move || report(&finish(sweep).expect_success()))
    });
    for thread in two {
        let report = thread.join().expect("a report");
        assert_eq!(report["failed"], json!([]), "{report}");
        assert_eq!(report["accounts"], 2, "{report}");
    }
    system.settle(&api).await;
    let charges = api.charges("acme").await.expect("charges");
    assert_eq!(charges.len(), 200, "each once");
    let seconds: i64 = charges.iter().map(|charge| charge.seconds).sum();
    assert_eq!(seconds, 200 * 201 / 2);
    let swept = sweep(&system, &settings, &[]);
    assert_eq!(swept["published"], 0, "{swept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_kafka_is_away_a_sweep_says_so_and_the_next_one_finds_the_same() {
    let twilio = Twilio::start(Behaviour::default());
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    lost_calls(&twilio, &acme, 0..30);
    let mut settings = twilio.settings(&acme);
    breakable.server("kafka", "stop").await;
    let option = "CALLMETER__KAFKA__OPTIONS__MESSAGE_TIMEOUT_MS";
    settings.push((option, "2000".to_owned()));
    let ran = run(&system, &settings, &["sweep"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.lines().any(|line| line.contains("did not take a record")), "{ran:?}");
    settings.pop();
    breakable.server("kafka", "start").await;
    let swept = sweep(&system, &settings, &[]);
    assert_eq!(swept["published"], 30, "{swept}");
    system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("charges").len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_sweeps_by_the_clock_and_goes_on_when_twilio_is_back() {
    let twilio = Twilio::start(Behaviour { is_down: true, ..Behaviour::default() });
    let mut system = System::new().await;
    let acme = account("acme", 1_000_000_000);
    let mut settings = twilio.settings(&acme);
    settings.push(("CALLMETER__SWEEP__EVERY_SECONDS", "1".to_owned()));
    let changed: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let index = system.start("meter,api,jobs", &changed);
    system.start("jobs", &changed);
    let api = system.ready(index).await;
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    lost_calls(&twilio, &acme, 0..30);
    let mut sql = system.sql().await;
    let failing = "SELECT count(*) FROM twilio_sweeps WHERE failing_since IS NOT NULL";
    until("both accounts fail", SOON, async || {
        let count: i64 = sqlx::query_scalar(failing).fetch_one(&mut sql).await.expect("a count");
        (count == 2).then_some(())
    })
    .await;
    let told = system.run(&["status"]).expect_success();
    assert!(told.stdout.contains("was not swept since") && told.stdout.contains("503"), "{told:?}");
    twilio.local.change_habits(|behaviour| behaviour.is_down = false);
    until("all is charged", SOON, async || {
        (api.charges("acme").await.ok()?.len() == 30).then_some(())
    })
    .await;
    lost_calls(&twilio, &acme, 30..40);
    until("what is lost later, too", SOON, async || {
        (api.charges("acme").await.ok()?.len() == 40).then_some(())
    })
    .await;
    let other = system.api(1);
    until("both processes tell of the last sweep", SOON, async || {
        for api in [&api, &other] {
            let name = "callmeter_job_last_success_timestamp_seconds";
            let at = api.metric(name, &[("job", "sweep")]).await?;
            (at > now() / SECOND - 60).then_some(())?;
        }
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_twilio_is_away_a_sweep_does_not_ask_for_every_account() {
    let twilio = Twilio::start(Behaviour { is_down: true, ..Behaviour::default() });
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let accounts: Vec<Account> =
        (0..30).map(|number| account(&format!("acme-{number}"), 0)).collect();
    system.open(&api, &accounts).await;
    let mut settings = twilio.settings(&accounts[0]);
    settings.push(("CALLMETER__SWEEP__ACCOUNTS_AT_ONCE", "15".to_owned()));
    let ran = run(&system, &settings, &["sweep"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("one account after the other"), "{ran:?}");
    let requests = twilio.local.requests();
    assert!(requests < 31 * 5, "{requests} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_the_lock_gives_up_and_who_comes_next_goes_on() {
    let twilio = Twilio::start(Behaviour { page_max: 20, hangs_after: 3, ..Behaviour::default() });
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    lost_calls(&twilio, &acme, 0..100);
    let settings = twilio.settings(&acme);
    let start = || {
        let sweep = command(&system, &settings, &["sweep", "--json"]);
        std::thread::spawn(move || finish(sweep))
    };
    let first = start();
    until("it hangs", SOON, async || (twilio.local.requests() > 3).then_some(())).await;
    let second = start();
    let mut sql = system.sql().await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND classid = 1785684595
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let cut: i64 = sqlx::query_scalar(cut).fetch_one(&mut sql).await.expect("a count");
    assert_eq!(cut, 1, "one has the lock");
    let first = first.join().expect("an end");
    assert_eq!(first.code, Some(1), "{first:?}");
    assert!(first.stderr.contains("Postgres went away"), "{first:?}");
    twilio.local.change_habits(|behaviour| behaviour.hangs_after = 0);
    let second = second.join().expect("an end").expect_success();
    assert_eq!(report(&second)["accounts"], 2, "{second:?}");
    system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("charges").len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_without_a_token_cost_one_statement_together() {
    let twilio = Twilio::start(Behaviour::default());
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let accounts: Vec<Account> = (0..30).map(|n| account(&format!("none-{n}"), 0)).collect();
    system.open(&api, &accounts).await;
    let mut settings = twilio.settings(&accounts[0]);
    settings.retain(|(name, _)| *name != "TWILIO_AUTH_TOKEN");
    settings.push(("CALLMETER__LOG__LEVEL", "debug".to_owned()));
    let ran = run(&system, &settings, &["sweep"]);
    assert!(ran.stderr.contains("known_calls::linked_accounts"), "statements are logged: {ran:?}");
    let asked = ran.stderr.matches("tokens::speaking_for").count();
    assert!(asked <= 2, "{asked} statements for 30 accounts");
}
