//! Processes that end, die, or resume after a pause.

use crate::alerts::{adjust, until_published};
use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use crate::model::account::Account;
use crate::traffic::Outgoing;
use sqlx::{Connection as _, PgConnection};
use std::time::{Duration, Instant};

const CALLS: usize = 4_000;

fn calls(account: &Account, numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    let end = now();
    let call = |n: usize| {
        let seconds = 60 * (1 + i64::try_from(n % 7).expect("small"));
        let partition = i32::try_from(n % 4).expect("small");
        on_calls(partition, &completed(account, &call_sid(n), seconds, end))
    };
    numbers.map(call).collect()
}

/// Every call charged once, and a balance that matches their sum.
async fn all_charged_once(api: &Api, account: &Account, count: usize) {
    let charges = api.charges(&account.id).await.expect("a list");
    assert_eq!(charges.len(), count);
    let minutes: i128 = (0..count).map(|n| 1 + i128::try_from(n % 7).expect("small")).sum();
    let balance = api.wallet(&account.id).await.expect("a wallet").balance;
    assert_eq!(balance, account.opening_balance - minutes * 20_000);
}

/// Feeds all partitions until each of the two processes has charged something.
async fn both_charge(system: &mut System, watch: &Api, indexes: [usize; 2]) {
    until("both charge", SOON, async || {
        system.settle(watch).await;
        let mut busy = Vec::new();
        for index in indexes {
            let api = system.api(index);
            busy.push(api.metric("callmeter_events_total", &[("outcome", "charged")]).await);
        }
        busy.iter().all(|count| count.is_some_and(|count| count > 0)).then_some(())
    })
    .await;
}

/// A system with two meters, each of which has charged something.
async fn two_meters(changed: &[(&str, &str)], accounts: &[&Account]) -> (System, Api, [usize; 2]) {
    let mut system = System::new().await;
    let watch = system.serve("api").await;
    let mut meters = [0; 2];
    for meter in &mut meters {
        *meter = system.start("meter", changed);
        system.ready(*meter).await;
    }
    system.open(&watch, accounts.iter().copied()).await;
    both_charge(&mut system, &watch, meters).await;
    (system, watch, meters)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_serve_within_fifteen_seconds_and_loses_nothing() {
    let mut system = System::new().await;
    let watch = system.serve("api").await;
    let meter = system.start("meter", &[]);
    system.ready(meter).await;
    let acme = account("acme", 1_000_000_000);
    system.open(&watch, [&acme]).await;
    for part in 0..2 {
        let range = part * CALLS / 2..(part + 1) * CALLS / 2;
        system.produce(&calls(&acme, range.clone())).await;
        until("charging is under way", SOON, async || {
            let last = watch.get("/v1/accounts/acme/calls?limit=1").await.json();
            let charged = last["items"][0]["charge_sequence"].as_u64().unwrap_or(0);
            (charged > range.start as u64).then_some(())
        })
        .await;
        let (status, took) = system.services[meter].terminate();
        assert!(status.success(), "{status} after {took:?}: {}", system.services[meter].log_tail());
        system.verify();
        system.restart(meter, "meter");
    }
    system.settle(&watch).await;
    all_charged_once(&watch, &acme, CALLS).await;
}

/// A meter that is about to be stopped, and an account whose calls it charges.
struct Sleep {
    system: System,
    watch: Api,
    sleeper: usize,
    acme: Account,
}

impl Sleep {
    async fn prepare() -> Self {
        let mut system = System::new().await;
        let watch = system.serve("api").await;
        let sleeper = system.start("meter", &[]);
        system.ready(sleeper).await;
        let acme = account("acme", 1_000_000_000);
        system.open(&watch, [&acme]).await;
        system.settle(&watch).await;
        Self { system, watch, sleeper, acme }
    }

    /// It goes on, gets all calls again, and charges none of them twice.
    async fn wakes(mut self) {
        self.system.services[self.sleeper].signal("CONT");
        self.system.produce(&calls(&self.acme, 0..CALLS)).await;
        self.system.settle(&self.watch).await;
        all_charged_once(&self.watch, &self.acme, CALLS).await;
        self.system.ready(self.sleeper).await;
        self.system.verify();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_wakes_after_others_took_its_partitions_charges_nothing_twice() {
    let Sleep { mut system, watch, sleeper, acme } = Sleep::prepare().await;
    // It is paused amid its work, with batches gathered and perhaps an open transaction.
    system.produce(&calls(&acme, 0..CALLS / 2)).await;
    system.services[sleeper].signal("STOP");
    let heir = system.start("meter", &[]);
    system.produce(&calls(&acme, CALLS / 2..CALLS)).await;
    system.settle(&watch).await;
    all_charged_once(&watch, &acme, CALLS).await;
    let more = system.api(heir).metric("callmeter_events_total", &[("outcome", "charged")]).await;
    assert!(more.is_some_and(|count| count >= 1), "the heir has charged: {more:?}");

    Sleep { system, watch, sleeper, acme }.wakes().await;
}

/// Where it stands still amid a COPY, no time-out of Postgres ends its transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_amid_a_copy_keeps_its_wallets_from_nobody() {
    let Sleep { mut system, watch, sleeper, acme } = Sleep::prepare().await;
    // It comes to its COPY with the wallet locked, and waits for the table.
    let mut database = system.sql().await;
    let mut lock = database.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE call_keys IN SHARE MODE").execute(&mut *lock).await.expect("locked");
    system.produce(&calls(&acme, 0..CALLS / 2)).await;
    let mut observer = system.sql().await;
    copies(&mut observer, "Lock").await;
    // It is stopped, and then Postgres waits for the rows.
    system.services[sleeper].signal("STOP");
    lock.rollback().await.expect("unlocked");
    copies(&mut observer, "Client").await;

    let heir = system.start("meter", &[]);
    system.produce(&calls(&acme, CALLS / 2..CALLS)).await;
    system.settle(&watch).await;
    all_charged_once(&watch, &acme, CALLS).await;
    let log = system.services[heir].log_text();
    assert!(log.contains("held locks while its process stood still"), "{log}");

    Sleep { system, watch, sleeper, acme }.wakes().await;
}

/// Waits until a COPY of this database waits for this.
async fn copies(observer: &mut PgConnection, wait: &str) {
    until("a COPY waits", SOON, async || {
        let found: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND state = 'active'
                AND query LIKE '%commit_batch: call_keys%COPY%' AND wait_event_type = $1
                AND pid <> pg_backend_pid()",
        )
        .bind(wait)
        .fetch_one(&mut *observer)
        .await
        .expect("a count");
        (found > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_leaves_its_jobs_to_another_one() {
    let mut system = System::new().await;
    let watch = system.serve("api").await;
    let sleeper = system.start("jobs", &[]);
    system.ready(sleeper).await;
    system.open(&watch, [&account("acme", 30_000_000)]).await;
    // It has the lock of the outbox: there is nobody else.
    adjust(&watch, "debit", "15").await;
    until_published(&system, "acme", "alert.", 1).await;
    let heir = system.start("jobs", &[]);
    system.ready(heir).await;
    system.services[sleeper].signal("STOP");
    adjust(&watch, "credit", "15").await;
    adjust(&watch, "debit", "15").await;
    until_published(&system, "acme", "alert.", 2).await;

    // It goes on, has lost the lock, and does not disturb the other one.
    system.services[sleeper].signal("CONT");
    system.ready(sleeper).await;
    adjust(&watch, "credit", "15").await;
    adjust(&watch, "debit", "15").await;
    let told = until_published(&system, "acme", "alert.", 3).await;
    assert_eq!(told.len(), 3, "{told:?}");
    system.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_takes_over_from_a_killed_one_within_ten_seconds() {
    let (mut system, watch, [first, _]) = two_meters(&[], &[]).await;
    system.services[first].kill();
    // It is not restarted: the other process has all partitions before the timeout.
    system.settle_within(Duration::from_secs(10), &watch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_that_starts_again_has_its_partitions_and_no_other_one_waits() {
    let (mut system, watch, [first, second]) = two_meters(&[], &[]).await;
    for victims in [vec![first], vec![second, first]] {
        let before = revocations(&system, second);
        for index in &victims {
            system.services[*index].kill();
        }
        for index in &victims {
            system.restart(*index, "meter");
        }
        both_charge(&mut system, &watch, [first, second]).await;
        let after = revocations(&system, second);
        assert_eq!(after, before, "{}", system.services[second].log_text());
    }
    system.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_name_one_goes_on_without_it() {
    let mut system = System::new().await;
    let watch = system.serve("api").await;
    let named = [("CALLMETER__KAFKA__OPTIONS__GROUP_INSTANCE_ID", "meter")];
    let first = system.start("meter", &named);
    system.ready(first).await;
    let acme = account("acme", 1_000_000_000);
    system.open(&watch, [&acme]).await;
    system.produce(&calls(&acme, 0..CALLS / 2)).await;
    let second = system.start("meter", &named);
    system.ready(second).await;
    until("the first one joins without a name", SOON, async || {
        let log = system.services[first].log_text();
        log.contains("the group is joined again without a name").then_some(())
    })
    .await;
    system.produce(&calls(&acme, CALLS / 2..CALLS)).await;
    both_charge(&mut system, &watch, [first, second]).await;
    all_charged_once(&watch, &acme, CALLS).await;
    // Neither takes the other's place any more.
    for index in [first, second] {
        system.ready(index).await;
    }
    let log = system.services[second].log_text();
    assert!(!log.contains("joined again without a name"), "{log}");
    system.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_leaves_the_group_before_its_session_is_over() {
    let long = [("CALLMETER__KAFKA__OPTIONS__SESSION_TIMEOUT_MS", "300000")];
    let (mut system, watch, [first, _]) = two_meters(&long, &[]).await;
    let (status, _) = system.services[first].terminate();
    assert!(status.success(), "{status}");
    system.settle(&watch).await;
}

fn revocations(system: &System, index: usize) -> usize {
    system.services[index].log_text().matches("partitions revoked").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_amid_the_take_over_from_another_is_survived_too() {
    let acme = account("acme", 1_000_000_000);
    let (mut system, watch, [first, second]) = two_meters(&[], &[&acme]).await;
    system.produce(&calls(&acme, 0..CALLS)).await;
    let before = revocations(&system, second);
    system.services[first].kill();
    // One with another name takes part instead.
    system.start("meter", &[]);
    // The second one has answered the rebalance, and waits for its assignment.
    until("the second one gives its partitions back", SOON, async || {
        (revocations(&system, second) > before).then_some(())
    })
    .await;
    system.services[second].kill();
    let killed = Instant::now();
    system.restart(second, "meter");
    // The first one's membership ends only with its session.
    system.settle_within(Duration::from_secs(20), &watch).await;
    println!("from the second kill to new charges in every partition: {:?}", killed.elapsed());
    all_charged_once(&watch, &acme, CALLS).await;
}
