//! The monthly partitions of charges.

use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::{Setup, System};

#[tokio::test]
async fn a_partition_that_a_restored_ledger_lacks_is_made_again_before_the_next_charge() {
    // A dropped partition takes its charges along, so the ledger cannot be whole.
    let setup = Setup { verified: false, ..Setup::default() };
    let mut system = System::with(setup).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let call = |number| on_calls(0, &completed(&acme, &call_sid(number), 60, now()));
    system.produce(&[call(1)]).await;
    system.settle(&api).await;
    let mut sql = system.sql().await;
    let statement = "SELECT relname::text FROM pg_class
         WHERE relispartition AND relkind = 'r' AND relname LIKE 'charges\\_%'";
    let names: Vec<String> =
        sqlx::query_scalar(statement).fetch_all(&mut sql).await.expect("their names");
    assert!(!names.is_empty());
    for name in &names {
        let drop = format!("DROP TABLE {name}");
        sqlx::raw_sql(&drop).execute(&mut sql).await.expect("it is dropped");
    }
    system.produce(&[call(2)]).await;
    until("the call is charged", SOON, async || {
        let statement = sqlx::query_scalar::<_, String>("SELECT call_sid FROM charges");
        let charged = statement.fetch_all(&mut sql).await.expect("charges");
        charged.contains(&call_sid(2)).then_some(())
    })
    .await;
}
