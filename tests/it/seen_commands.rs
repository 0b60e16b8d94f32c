//! The next authorization sees a command's change before the command reports success, or the
//! command says that it cannot guarantee it.

use crate::authorizations::{allowed, ask, void};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_reports_a_change_only_when_authorizations_see_it() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("api").await;
    system.open(&api, &[account("shut", 5_000_000)]).await;
    allowed(&ask(&api, "shut", "CA-warm", 60).await);
    breakable.server("redis", "pause").await;
    system.run(&["account", "close", "shut"]).expect_success();
    breakable.server("redis", "resume").await;
    let answer = until("the call is decided", SOON, async || {
        let answer = ask(&api, "shut", "CA1", 60).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!(answer.expect(200)["reason"], "account_closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_cannot_promise_that_its_change_is_seen_says_so_and_fails() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("api").await;
    system.open(&api, &[account("shut", 5_000_000)]).await;
    let mut sql = system.sql().await;
    // Redis is silent and Postgres cannot note it: no process can learn of the change.
    let rename = "ALTER TABLE unprojected_wallets RENAME TO away";
    sqlx::query(rename).execute(&mut sql).await.expect("renamed");
    breakable.server("redis", "pause").await;
    let ran = system.run(&["account", "close", "shut"]);
    breakable.server("redis", "resume").await;
    let rename = "ALTER TABLE away RENAME TO unprojected_wallets";
    sqlx::query(rename).execute(&mut sql).await.expect("renamed back");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.is_empty(), "it reports no success: {}", ran.stdout);
    let words = "the change of shut is made, but authorizations may not see it";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    system.run(&["account", "close", "shut"]).expect_success();
    until("the change is seen", SOON, async || {
        let answer = ask(&api, "shut", "CA1", 60).await;
        (answer.status == 200 && answer.json()["reason"] == "account_closed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_replay_debits_is_seen_by_the_next_authorization() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    // The price of one minute each; more accounts than one, for a projection may be faster than a command.
    let names: Vec<String> = (0..8).map(|number| format!("late-{number}")).collect();
    let accounts: Vec<_> = names.iter().map(|name| account(name, 20_000)).collect();
    let calls = accounts.iter().enumerate();
    let calls =
        calls.map(|(number, late)| on_calls(0, &completed(late, &call_sid(number), 60, now())));
    system.open(&api, &[]).await;
    system.produce(&calls.collect::<Vec<_>>()).await;
    system.settle(&api).await;
    system.open(&api, &accounts).await;
    for name in &names {
        let warm = format!("CA-warm-{name}");
        allowed(&ask(&api, name, &warm, 60).await);
        assert_eq!(void(&api, name, &warm).await, 204);
    }
    let listed = system.run(&["rejects", "list", "--json"]).expect_success();
    let ids = listed.stdout.lines().map(|line| {
        let reject: serde_json::Value = serde_json::from_str(line).expect("JSON");
        reject["id"].to_string()
    });
    for (id, name) in ids.zip(&names) {
        system.run(&["rejects", "replay", &id]).expect_success();
        let answer = ask(&api, name, "CA-next", 60).await.expect(200);
        assert_eq!(answer["reason"], "insufficient_funds", "{name}: {answer}");
    }
}
