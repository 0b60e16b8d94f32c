//! Processes of the previous version, which journal in `hold_journal`, run beside current ones.

use super::world::{World, allowed, sid, until};
use callmeter::balance::HoldSettings;

/// As the migration creates it where accounts exist.
const MIRROR: &str = "CREATE TRIGGER hold_changes_to_journal AFTER INSERT ON hold_changes
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION hold_changes_to_journal('infinity')";

/// Calls of a table with their revisions, and whether they are voided.
async fn rows(world: &World, table: &str) -> Vec<(String, i64, bool)> {
    let mut connection = world.store.read().await.expect("a connection");
    sqlx::query_as(&format!(
        "SELECT call_sid, revision, hold IS NULL FROM {table} ORDER BY call_sid"
    ))
    .fetch_all(&mut *connection)
    .await
    .expect("rows")
}

#[tokio::test]
async fn what_an_old_process_journals_is_known_to_new_ones_and_the_other_way_round() {
    let mut world = World::new().await;
    let acme = world.open("acme", 100_000).await;
    world.sql(MIRROR).await;
    let new = world.another(HoldSettings::default());
    world.run(&new);
    for call in ["CA1", "CA2"] {
        allowed(&super::world::authorize(&new, &acme, call, 60).await);
    }
    assert!(new.void(&acme, &sid("CA2")).await.expect("redis answers"));
    until(true, async || {
        let states = rows(&world, "hold_states").await;
        states.len() == 2 && states[1].2 && states == rows(&world, "hold_journal").await
    })
    .await;
    // An old process grants, extends and voids.
    world
        .sql(
            "INSERT INTO hold_journal
             SELECT account_key, 'CA3', revision + 1, hold, expires_at, journaled_at
             FROM hold_journal WHERE call_sid = 'CA1'",
        )
        .await;
    world.sql("UPDATE hold_journal SET revision = revision + 7 WHERE call_sid = 'CA3'").await;
    world
        .sql(
            "INSERT INTO hold_journal
             SELECT account_key, 'CA4', revision + 1, NULL, now() + interval '1 day', now()
             FROM hold_journal WHERE call_sid = 'CA1'",
        )
        .await;
    let states = rows(&world, "hold_states").await;
    assert_eq!(states, rows(&world, "hold_journal").await);
    assert_eq!(states.len(), 4);
    world.flush().await;
    // 100000 less two holds.
    let granted = allowed(&world.authorize(&acme, "CA5", 900).await);
    assert_eq!(granted.granted_seconds, 300);
    assert_eq!(world.authorize(&acme, "CA4", 60).await, super::kept::SETTLED);
    world.stop().await;
}
