//! The door to Postgres: what reads cannot write, and what writes is tried again.

use crate::harness::poll::{SOON, until};
use crate::harness::system::System;
use callmeter::ledger::store::{Begin, Store};

const RAISE: &str = "UPDATE ledger_identity SET incarnation = incarnation + 1";

async fn incarnation(store: &Store) -> i64 {
    let mut connection = store.read().await.expect("a connection");
    let query = sqlx::query_scalar("SELECT incarnation FROM ledger_identity");
    query.fetch_one(&mut *connection).await.expect("an incarnation")
}

#[tokio::test]
async fn a_connection_for_reading_cannot_change_anything_whoever_used_it_before() {
    let system = System::new().await;
    let store = Store::open(&system.database_url(), 1).expect("a URL");
    let before = incarnation(&store).await;
    for changes in 1..=3 {
        assert_eq!(store.execute("test", || sqlx::query(RAISE)).await.expect("a change"), 1);
        assert_eq!(incarnation(&store).await, before + changes);
        for statement in [RAISE, "DELETE FROM ledger_identity", "CREATE TABLE more ()"] {
            let mut connection = store.read().await.expect("a connection");
            let error = sqlx::query(statement).execute(&mut *connection).await;
            let error = error.expect_err("a connection for reading changes nothing");
            let state = error.as_database_error().and_then(|error| error.code().map(String::from));
            assert_eq!(state.as_deref(), Some("25006"), "{statement}: {error}");
        }
    }
    assert_eq!(incarnation(&store).await, before + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_met_another_one_is_tried_again() {
    let system = System::new().await;
    let store = Store::open(&system.database_url(), 4).expect("a URL");
    let mut reserved = store.for_transaction().await.expect("a connection");
    let mut other = reserved.begin(Begin::Usual).await.expect("a transaction");
    let insert = "INSERT INTO jobs (name, next_at) VALUES ('a', now())";
    sqlx::query(insert).execute(&mut *other).await.expect("a row that nobody sees yet");
    let unless_there = "INSERT INTO jobs (name, next_at)
        SELECT 'a', now() WHERE NOT EXISTS (SELECT FROM jobs WHERE name = 'a')";
    let changed = tokio::spawn({
        let store = store.clone();
        async move { store.execute("test", || sqlx::query(unless_there)).await }
    });
    until("the change to wait", SOON, async || {
        let mut connection = store.read().await.expect("a connection");
        let waits = "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND pid IN (
            SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        let waits = sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut *connection).await;
        waits.expect("an answer").then_some(())
    })
    .await;
    // The first attempt finds its key taken; the second one finds the row, and changes nothing.
    other.commit().await.expect("it is committed");
    assert_eq!(changed.await.expect("it ends").expect("it is tried again"), 0);
}
