//! Behind pgbouncer, which lends a Postgres connection for one transaction at a time.

use crate::authorizations::{allowed, ask};
use crate::harness::api::Api;
use crate::harness::command::finish;
use crate::harness::pgbouncer::Pgbouncer;
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use crate::traffic::Outgoing;
use callmeter::ledger::store::{Begin, Store};
use futures::StreamExt as _;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

/// Connections to Postgres that all processes of a test share.
const POOL_SIZE: u32 = 3;
const CALLS: usize = 1_200;
const HOLDS: usize = 60;
/// Callers at once: more than connections.
const CALLERS: usize = 6;

/// Calls of one minute, over all partitions.
fn calls(account: &Account) -> Vec<Outgoing> {
    let end = now();
    let call = |n| {
        on_calls(i32::try_from(n % 4).expect("small"), &completed(account, &call_sid(n), 60, end))
    };
    (0..CALLS).map(call).collect()
}

/// Several callers place holds, credit and change an account; returns the sum of the credits.
async fn change(apis: &[Api]) -> i128 {
    let changes = (0..HOLDS).map(|n| async move {
        let api = &apis[n % apis.len()];
        allowed(&ask(api, "other", &call_sid(10_000 + n), 60).await);
        let credit = format!("0.{:06}", n + 1);
        let credit = json!({"type": "credit", "amount": credit, "description": "Goodwill"});
        api.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);
        let name = json!({"name": format!("The name {n}")});
        api.patch("/v1/accounts/other", &name).await.expect(200);
    });
    futures::stream::iter(changes).buffer_unordered(CALLERS).collect::<()>().await;
    (1..=HOLDS).map(|n| i128::try_from(n).expect("small")).sum()
}

const SETTINGS: &str =
    "SELECT current_setting('enable_seqscan'), current_setting('plan_cache_mode'),
     current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')";
type Settings = (String, String, String, String);

/// The session settings inside a transaction begun this way.
async fn in_transaction(store: &Store, begin: Begin) -> Settings {
    let mut reserved = store.for_transaction().await.expect("a connection");
    let mut transaction = reserved.begin(begin).await.expect("a transaction");
    let settings = sqlx::query_as(SETTINGS).fetch_one(&mut *transaction).await;
    transaction.rollback().await.expect("its end");
    settings.expect("the settings")
}

fn settings(of: [&str; 4]) -> Settings {
    let [seqscan, plans, statement, idle] = of.map(str::to_owned);
    (seqscan, plans, statement, idle)
}

/// The settings of the Postgres sessions, over as many connections as the pooler has.
async fn settings_of_shared_connections(url: &str) -> Vec<(i32, Settings)> {
    let mut seen = Vec::new();
    let mut held = Vec::new();
    for _ in 0..POOL_SIZE {
        let options: PgConnectOptions = url.parse().expect("a URL");
        // pgbouncer refuses sqlx's setting of float digits.
        let options = options.extra_float_digits(None);
        let mut connection = options.connect().await.expect("pgbouncer answers");
        sqlx::raw_sql("BEGIN").execute(&mut connection).await.expect("a connection is lent");
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await;
        let settings = sqlx::query_as(SETTINGS).fetch_one(&mut connection).await;
        seen.push((pid.expect("a number"), settings.expect("the settings")));
        held.push(connection);
    }
    seen
}

#[tokio::test]
async fn transactions_have_their_settings_with_a_pooler_and_without_and_leave_none_behind() {
    let system = System::new().await;
    let direct = system.database_url();
    let pgbouncer = Pgbouncer::start(&direct, 1).await;
    for (url, alone) in [(direct.clone(), ["1min", "5s"]), (pgbouncer.url(&direct), ["0", "0"])] {
        let store = Store::open(&url, 1).expect("a URL");
        for _ in 0..2 {
            let usual = settings(["on", "auto", "1min", "5s"]);
            assert_eq!(in_transaction(&store, Begin::Usual).await, usual, "{url}");
            assert_eq!(in_transaction(&store, Begin::Snapshot).await, usual, "{url}");
            let batch = settings(["off", "force_generic_plan", "1min", "5s"]);
            assert_eq!(in_transaction(&store, Begin::Batch).await, batch, "{url}");
            let mut connection = store.read().await.expect("a connection");
            let single: Settings =
                sqlx::query_as(SETTINGS).fetch_one(&mut *connection).await.expect("the settings");
            assert_eq!(single, settings(["on", "auto", alone[0], alone[1]]), "{url}");
        }
    }
}

#[tokio::test]
async fn a_transaction_whose_beginning_nobody_waited_for_takes_in_no_other_statement() {
    let system = System::new().await;
    let store = Store::open(&system.database_url(), 1).expect("a URL");
    let mut given_up = 0;
    while given_up < 3 {
        let mut reserved = store.for_transaction().await.expect("a connection");
        {
            let begin = std::pin::pin!(reserved.begin(Begin::Usual));
            given_up += i32::from(futures::poll!(begin).is_pending());
        }
        drop(reserved);
        let mut connection = store.read().await.expect("a connection");
        let alone = "SELECT (now() = statement_timestamp())::text";
        let alone = sqlx::raw_sql(alone).fetch_one(&mut *connection).await.expect("a row");
        assert_eq!(alone.get::<String, _>(0), "true", "it is a transaction by itself");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_pgbouncer_five_processes_on_three_connections_charge_and_hold_what_is_right() {
    let mut system = System::new().await;
    let direct = system.database_url();
    let pgbouncer = Pgbouncer::start(&direct, POOL_SIZE).await;
    let pooled = pgbouncer.url(&direct);
    let pooled = [("DATABASE_URL", pooled.as_str())];
    let mut apis = Vec::new();
    for role in ["api", "api", "meter", "meter", "meter,api"] {
        let index = system.start(role, &pooled);
        let api = system.ready(index).await;
        if role.contains("api") {
            apis.push(api);
        }
    }
    let (acme, other) = (account("acme", 100_000_000), account("other", 2_000_000));
    system.open(&apis[0], [&acme, &other]).await;
    system.produce(&calls(&acme)).await;
    let credited = change(&apis).await;
    system.settle(&apis[1]).await;

    for api in &apis {
        assert_eq!(api.charges("acme").await.expect("a list").len(), CALLS);
        let balance = api.wallet("acme").await.expect("a wallet").balance;
        let debited = i128::try_from(CALLS).expect("small") * 20_000;
        assert_eq!(balance, acme.opening_balance - debited + credited);
        let wallet = api.get("/v1/accounts/other/wallet").await.expect(200);
        assert_eq!([&wallet["held"], &wallet["held_source"]], ["1.200000", "live"], "{wallet}");
    }
    let mut sql = system.sql().await;
    let pids: Vec<i32> = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND client_port > 0",
    )
    .fetch_all(&mut sql)
    .await
    .expect("the sessions");
    assert_eq!(pids.len(), 3, "all processes share the pooler's connections");
    let defaults = settings(["on", "auto", "0", "0"]);
    for (pid, settings) in settings_of_shared_connections(pooled[0].1).await {
        assert!(pids.contains(&pid), "{pid} of {pids:?}");
        assert_eq!(settings, defaults, "nothing is left behind for others");
    }
    let mut verify = system.command(&["verify"]);
    verify.envs(pooled);
    finish(verify).expect_success();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_locks_of_a_session_is_refused_behind_a_pooler_and_changes_nothing() {
    let system = System::with(Setup { migrated: false, verified: false, ..Setup::default() }).await;
    let direct = system.database_url();
    let refused = async |pgbouncer: Pgbouncer, commands: &[&[&str]]| {
        let pooled = pgbouncer.url(&direct);
        for arguments in commands {
            let mut command = system.command(arguments);
            command.env("DATABASE_URL", &pooled);
            command.env("CALLMETER__HTTP__LISTEN", "127.0.0.1:0");
            let ran = finish(command);
            assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
            let said: Vec<&str> = ran.stderr.lines().filter(|it| it.contains("pooler")).collect();
            assert_eq!(said.len(), 1, "{arguments:?} names the cause once: {ran:?}");
            assert!(said[0].contains("DATABASE_URL"), "it tells the way on: {}", said[0]);
        }
    };
    let transaction = async || Pgbouncer::start(&direct, POOL_SIZE).await;
    // It then accepts the settings sent at connect, and drops them.
    let silent = "pool_mode = transaction\nignore_startup_parameters = options";
    let silent = async || Pgbouncer::with(&direct, 1, silent).await;
    refused(transaction().await, &[&["migrate"]]).await;
    refused(silent().await, &[&["migrate"]]).await;
    let mut sql = system.sql().await;
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_one(&mut sql)
    .await
    .expect("a count");
    assert_eq!(tables, 0, "no migration was begun");

    system.run(&["migrate"]).expect_success();
    let commands: &[&[&str]] =
        &[&["serve"], &["serve", "--role", "jobs"], &["serve", "--role", "api,jobs"], &["sweep"]];
    refused(transaction().await, commands).await;
    refused(silent().await, commands).await;
}
