//! Expired holds without a charge: their calls are looked up at Twilio.

use super::sweep;
use crate::authorizations::{allowed, ask};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{self, account, call_sid, completed, now, on_calls};
use crate::harness::system::{Setup, System};
use crate::harness::twilio::{Twilio, callback};
use crate::model::time::{HOUR, SECOND, rfc3339};
use callmeter::simulate::twilio::Behaviour;
use serde_json::json;
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_expired_holds_are_looked_up_and_those_that_ended_are_charged() {
    let twilio = Twilio::start(Behaviour::default());
    let mut catalog = samples::catalog();
    catalog.standard_increments = (1, 1);
    let mut system = System::with(Setup { catalog, ..Setup::default() }).await;
    let short = [("CALLMETER__HOLDS__RING_SECONDS", "0"), ("CALLMETER__HOLDS__GRACE_SECONDS", "0")];
    let index = system.start("meter,api", &short);
    let api = system.ready(index).await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    let [ended, settled, busy, talking, stranger] = [1, 2, 3, 4, 5].map(call_sid);
    for sid in [&ended, &settled, &busy, &talking, &stranger, &"order-17".to_owned()] {
        allowed(&ask(&api, "acme", sid, 1).await);
    }
    let at = now() - 3 * HOUR;
    for sid in [&ended, &settled] {
        let mut call = callback(&acme, sid, "completed", at);
        call["CallDuration"] = json!("7");
        twilio.learn(&call);
    }
    twilio.learn(&callback(&acme, &busy, "busy", at));
    twilio.learn(&callback(&acme, &talking, "in-progress", at));
    system.produce(&[on_calls(0, &completed(&acme, &settled, 7, at))]).await;
    system.settle(&api).await;
    let mut sql = system.sql().await;
    until("all holds are due", SOON, async || {
        let due = "SELECT count(*) FROM hold_states WHERE expires_at < now()";
        let count: i64 = sqlx::query_scalar(due).fetch_one(&mut sql).await.expect("a count");
        (count == 6).then_some(())
    })
    .await;
    // A period without calls: everything found is found by the holds.
    let (from, to) = (rfc3339(now() - SECOND), rfc3339(now()));
    let settings = twilio.settings(&acme);
    let swept = sweep(&system, &settings, &["--from", &from, "--to", &to]);
    assert_eq!((&swept["holds_looked_up"], &swept["holds_published"]), (&json!(4), &json!(2)));
    system.settle(&api).await;
    let charges = api.charges("acme").await.expect("charges");
    let seconds: BTreeMap<&str, i64> =
        charges.iter().map(|charge| (charge.call_sid.as_str(), charge.seconds)).collect();
    let both = [(ended.as_str(), 7), (settled.as_str(), 7)];
    assert_eq!(seconds, BTreeMap::from(both));
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT call_sid, outcome FROM expired_holds ORDER BY call_sid")
            .fetch_all(&mut sql)
            .await
            .expect("rows");
    let outcomes: Vec<(&str, &str)> =
        rows.iter().map(|(sid, outcome)| (sid.as_str(), outcome.as_str())).collect();
    let expected = [
        (ended.as_str(), "published"),
        (busy.as_str(), "published"),
        (talking.as_str(), "waiting"),
        (stranger.as_str(), "unknown"),
        ("order-17", "unknown"),
    ];
    assert_eq!(outcomes, expected, "the charged one is none");
    let answer = ask(&api, "acme", &busy, 1).await.expect(200);
    assert_eq!(answer["reason"], "call_already_settled", "a tombstone is left: {answer}");

    // The call in progress ends; it is looked up again later.
    let mut end = callback(&acme, &talking, "completed", now());
    end["CallDuration"] = json!("9000");
    twilio.learn(&end);
    let again = "UPDATE expired_holds SET next_attempt_at = now() WHERE outcome = 'waiting'";
    sqlx::query(again).execute(&mut sql).await.expect("an update");
    let swept = sweep(&system, &settings, &["--from", &from, "--to", &to]);
    assert_eq!((&swept["holds_looked_up"], &swept["holds_published"]), (&json!(1), &json!(1)));
    let swept = sweep(&system, &settings, &["--from", &from, "--to", &to]);
    assert_eq!(swept["holds_looked_up"], 0, "each is decided once: {swept}");
    system.settle(&api).await;
    let charges = api.charges("acme").await.expect("charges");
    assert_eq!(charges.len(), 3);
    assert_eq!(charges[0].seconds, 9_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_holds_expire_at_once_each_is_noted_and_some_are_decided_at_a_time() {
    let twilio = Twilio::start(Behaviour::default());
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    let mut sql = system.sql().await;
    // One in a thousand has a Twilio sid; one in a hundred was voided.
    let many = "INSERT INTO hold_changes
            (account_key, call_sid, revision, granted_by, money_micros, hold, expires_at, journaled_at)
        SELECT account_key, CASE WHEN n % 1000 = 0 THEN 'CA' ELSE 'order-' END || n, 1,
            CASE WHEN n % 100 <> 1 THEN 'redis' END, CASE WHEN n % 100 <> 1 THEN 1 END,
            CASE WHEN n % 100 <> 1 THEN 'a hold' END, now() - interval '1 minute', now()
        FROM accounts, generate_series(1, 21000) AS n WHERE id = 'acme'";
    sqlx::query(many).execute(&mut sql).await.expect("rows");
    let settings = twilio.settings(&acme);
    let swept = sweep(&system, &settings, &[]);
    let count = "SELECT count(*) FROM expired_holds WHERE outcome = $1";
    let mut counts: Vec<i64> = Vec::new();
    for outcome in ["waiting", "unknown"] {
        let count = sqlx::query_scalar(count).bind(outcome).fetch_one(&mut sql);
        counts.push(count.await.expect("a count"));
    }
    assert_eq!(counts, [21_000_i64 - 210 - 5_000, 5_000], "{swept}");
    // Holds that the journal deletes stay noted.
    let old = "INSERT INTO hold_changes
            (account_key, call_sid, revision, granted_by, money_micros, hold, expires_at, journaled_at)
        SELECT account_key, 'late-' || call_sid || '-' || days, revision, granted_by, money_micros, hold,
            now() - days * interval '1 day', now()
        FROM hold_changes, (VALUES (4), (5)) AS ago (days) WHERE call_sid LIKE 'CA%'";
    // One day has its own partition, the other is in the default partition.
    let partition = "SELECT ensure_hold_changes_partition(now() - interval '4 days')";
    for statement in [partition, old] {
        sqlx::query(statement).execute(&mut sql).await.expect("rows");
    }
    until("the journal hands them over", SOON, async || {
        let late = "SELECT count(*) FROM expired_holds WHERE call_sid LIKE 'late-CA%'";
        let count: i64 = sqlx::query_scalar(late).fetch_one(&mut sql).await.expect("a count");
        let left = "SELECT count(*) FROM hold_changes WHERE call_sid LIKE 'late-CA%'";
        let left: i64 = sqlx::query_scalar(left).fetch_one(&mut sql).await.expect("a count");
        (count == 42 && left == 0).then_some(())
    })
    .await;
    let partition = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'hold_changes'::regclass
        AND inhrelid = to_regclass('hold_changes_' || to_char(now() - interval '4 days', 'YYYYMMDD'))";
    let there: i64 = sqlx::query_scalar(partition).fetch_one(&mut sql).await.expect("a count");
    assert_eq!(there, 0, "the day is over and dropped");
}
