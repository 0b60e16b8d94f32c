//! The next authorization sees a command's change before the command reports success, or the
//! command says that it cannot guarantee it.

use crate::authorizations::{allowed, ask};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
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
