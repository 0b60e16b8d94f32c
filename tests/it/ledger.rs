//! What the database itself refuses, and what `serve` requires of a database.

use crate::harness::command::{Ran, finish};
use crate::harness::samples::{
    account, call_sid, catalog, completed, now, on_calls, on_rentals, rental,
};
use crate::harness::service::free_port;
use crate::harness::system::{Setup, System};
use crate::model::time::DAY;
use serde_json::json;
use sqlx::{PgConnection, Row as _};
use std::time::{Duration, Instant};

async fn count(sql: &mut PgConnection, table: &str) -> i64 {
    let query = format!("SELECT count(*) FROM {table}");
    sqlx::query(&query).fetch_one(sql).await.expect("a count").get(0)
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_what_was_entered() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let call = on_calls(0, &completed(&acme, &call_sid(1), 61, now() - 70 * DAY));
    system.produce(&[call, on_rentals(0, &rental(&acme, "PN1", "2026-11-01", None))]).await;
    system.settle(&api).await;
    let mut sql = system.sql().await;
    let leaves = sqlx::query(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'charges'::regclass",
    )
    .fetch_all(&mut sql)
    .await
    .expect("the partitions");
    let mut tables: Vec<String> =
        ["transactions", "charges", "call_keys", "subscriptions", "catalog_versions"]
            .map(str::to_owned)
            .to_vec();
    tables.extend(leaves.iter().map(|row| row.get::<String, _>(0)));
    assert!(tables.len() > 5, "charges are partitioned: {tables:?}");
    for table in tables {
        let before = count(&mut sql, &table).await;
        let column = match table.as_str() {
            "subscriptions" => "plan = 'team'",
            "catalog_versions" => "source = ''",
            "transactions" => "amount_micros = 1",
            _ => "seconds = 1",
        };
        let statements = [
            format!("UPDATE {table} SET {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("TRUNCATE {table} CASCADE"),
        ];
        for statement in statements {
            let done = sqlx::raw_sql(&statement).execute(&mut sql).await;
            let error = done.expect_err(&statement).to_string();
            assert!(error.contains("append-only"), "{statement}: {error}");
        }
        assert_eq!(count(&mut sql, &table).await, before, "{table}");
    }
    assert_eq!(api.charges("acme").await.expect("a list").len(), 1);
}

/// Runs `serve`, which must end by itself with one line that gives the reason.
fn refused(system: &System) -> Ran {
    let mut command = system.command(&["serve"]);
    command.env("CALLMETER__HTTP__LISTEN", format!("127.0.0.1:{}", free_port()));
    let begun = Instant::now();
    let ran = finish(command);
    assert!(begun.elapsed() < Duration::from_secs(20), "refuses at once");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    ran
}

#[tokio::test]
async fn serve_refuses_an_empty_database_and_names_the_command_that_helps() {
    let setup = Setup { migrated: false, verified: false, ..Setup::default() };
    let mut system = System::with(setup).await;
    let ran = refused(&system);
    assert!(ran.stderr.contains("callmeter migrate"), "{ran:?}");
    system.run(&["migrate"]).expect_success();
    system.run(&["migrate"]).expect_success();
    system.serve("api").await;
}

#[tokio::test]
async fn serve_refuses_a_database_of_a_newer_version() {
    let setup = Setup { verified: false, ..Setup::default() };
    let system = System::with(setup).await;
    let mut sql = system.sql().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99991231235959, 'from the future', true, '\\x00', 1)",
    )
    .execute(&mut sql)
    .await
    .expect("a later migration is noted");
    let ran = refused(&system);
    assert!(ran.stderr.contains("99991231235959"), "the version is named: {ran:?}");
    let migrated = system.run(&["migrate"]);
    assert_eq!(migrated.code, Some(1), "{migrated:?}");
    assert_eq!(migrated.stderr.trim().lines().count(), 1, "{migrated:?}");
}

#[tokio::test]
async fn verify_finds_a_ledger_that_was_tampered_with() {
    let setup = Setup { verified: false, ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    system.produce(&[on_calls(0, &completed(&acme, &call_sid(1), 61, now()))]).await;
    system.settle(&api).await;
    system.verify();
    let tampering = [
        ("UPDATE wallets SET balance_micros = balance_micros + 1", "balance"),
        ("UPDATE wallets SET sequence = sequence + 1", "sequence"),
        ("UPDATE wallets SET charge_sequence = charge_sequence + 1", "charge"),
    ];
    let mut sql = system.sql().await;
    let of_acme = "WHERE account_key = (SELECT account_key FROM accounts WHERE id = 'acme')";
    for (change, word) in tampering {
        let mut change = format!("{change} {of_acme}");
        sqlx::raw_sql(&change).execute(&mut sql).await.expect("it is changed");
        let ran = system.run(&["verify"]);
        assert_eq!(ran.code, Some(1), "{change}: {ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("acme") && said.contains(word), "{change}: {ran:?}");
        change = change.replace("+ 1", "- 1");
        sqlx::raw_sql(&change).execute(&mut sql).await.expect("it is changed back");
    }
    system.verify();
}

#[tokio::test]
async fn no_charge_takes_a_balance_beyond_what_redis_counts_exactly() {
    let mut dear = catalog();
    dear.standard.prefixes.push(("+999".to_owned(), Some(10_000_000_000)));
    let mut system = System::with(Setup { catalog: dear, ..Setup::default() }).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    let adjust = async |kind: &str, amount: &str| {
        let body = json!({"type": kind, "amount": amount, "description": "by hand"});
        api.post("/v1/accounts/acme/adjustments", &body).await
    };
    adjust("debit", "9000000000").await.expect(201);
    // 14,400,000 dollars: beyond 2^53 micro-dollars below zero.
    let mut dear = completed(&acme, &call_sid(1), 86_400, now() - DAY);
    dear["To"] = json!("+9991234567");
    let cheap = completed(&acme, &call_sid(2), 61, now());
    system.produce(&[on_calls(0, &dear), on_calls(0, &cheap)]).await;
    system.settle(&api).await;
    let charged = api.charges("acme").await.expect("a list");
    let charged: Vec<_> = charged.iter().map(|charge| charge.call_sid.clone()).collect();
    assert_eq!(charged, [call_sid(2)], "the one that fits");
    let kept = system.run(&["rejects", "list"]).expect_success().stdout;
    assert!(kept.contains("invalid: the balance is beyond the range"), "{kept}");
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "-9000000000.040000");
    let ask =
        json!({"account": "acme", "call_sid": call_sid(3), "from": "+1", "to": "+12125550123"});
    let answer = api.post("/v1/authorizations", &ask).await.expect(200);
    assert_eq!(answer["reason"], "insufficient_funds", "Redis still counts: {answer}");
    // Once the wallet has credit again, a replay charges it.
    adjust("credit", "100000000").await.expect(201);
    system.run(&["rejects", "replay"]).expect_success();
    assert_eq!(api.charges("acme").await.expect("a list").len(), 2);
}

#[tokio::test]
async fn verify_finds_a_wallet_beyond_its_range_and_a_credit_brings_it_back() {
    let setup = Setup { verified: false, ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 0)]).await;
    // As an older program without range checks left it.
    let beyond = "
        INSERT INTO transactions (account_key, sequence, at, amount_micros, balance_before_micros,
            balance_after_micros, type, kind, status)
        SELECT account_key, 1, last_at, 9300000000000000, 0, -9300000000000000, 'debit',
            'adjustment_debit', 'completed' FROM wallets JOIN accounts USING (account_key)
        WHERE id = 'acme';
        UPDATE wallets SET balance_micros = -9300000000000000, sequence = 1, version = version + 1
        WHERE account_key = (SELECT account_key FROM accounts WHERE id = 'acme')";
    let mut sql = system.sql().await;
    sqlx::raw_sql(beyond).execute(&mut sql).await.expect("it is written");
    let ran = system.run(&["verify"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("2^53"), "{ran:?}");
    let adjust = async |kind: &str, amount: &str| {
        let body = json!({"type": kind, "amount": amount, "description": "by hand"});
        api.post("/v1/accounts/acme/adjustments", &body).await
    };
    adjust("debit", "0.000001").await.problem(422);
    adjust("credit", "100").await.expect(201);
    adjust("credit", "400000000").await.expect(201);
    system.verify();
}
