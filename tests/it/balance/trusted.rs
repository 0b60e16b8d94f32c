//! Large batches, whose calls are written without looking them up first.

use super::world::World;
use callmeter::ledger::batch::Outcome;

/// Records of a batch that is large enough to skip the duplicate check.
const LARGE: usize = 2_500;

fn calls(first: usize, count: usize, seconds: u32) -> Vec<(String, u32)> {
    (first..first + count).map(|number| (format!("CA{number}"), seconds)).collect()
}

fn count(outcomes: &[Outcome], wanted: Outcome) -> usize {
    outcomes.iter().filter(|outcome| **outcome == wanted).count()
}

#[tokio::test]
async fn a_large_batch_charges_no_call_twice_though_it_is_not_looked_up() {
    let world = World::new().await;
    let acme = world.open("acme", 1_000_000_000).await;
    let charge = async |calls: Vec<(String, u32)>| {
        let calls: Vec<(&str, u32)> =
            calls.iter().map(|(sid, secs)| (sid.as_str(), *secs)).collect();
        let committed = world.charge(&acme, &calls).await.1;
        [Outcome::Charged, Outcome::Duplicate, Outcome::Conflict]
            .map(|outcome| count(&committed.outcomes, outcome))
    };
    assert_eq!(charge(calls(0, LARGE, 60)).await, [LARGE, 0, 0]);
    assert_eq!(charge(calls(LARGE, LARGE, 60)).await, [LARGE, 0, 0]);
    // One of the earlier calls comes again, and one with another length.
    let mut more = calls(2 * LARGE, LARGE, 60);
    more.push(("CA7".to_owned(), 60));
    more.push(("CA8".to_owned(), 61));
    assert_eq!(charge(more.clone()).await, [LARGE, 1, 1]);
    assert_eq!(charge(more).await, [0, LARGE + 1, 1]);
    // Also within a batch, whether it is looked up or not.
    let mut twice = calls(3 * LARGE, LARGE, 60);
    twice.extend(calls(3 * LARGE, 2, 60));
    assert_eq!(charge(twice).await, [LARGE, 2, 0]);
    let (count, balance, charged): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM charges), (SELECT balance_micros FROM wallets),
                (SELECT sum(amount_micros)::bigint FROM charges)",
    )
    .fetch_one(world.store.pool())
    .await
    .expect("sums");
    assert_eq!(usize::try_from(count), Ok(4 * LARGE));
    assert_eq!(balance, 1_000_000_000 - charged);
}
