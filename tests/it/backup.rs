//! Postgres restored from an older backup while calls are authorized, made and charged.

use crate::authorizations::{allowed, ask};
use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use sqlx::Row as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The account's balance and the price of a minute, in micro-dollars.
const OPENING: i64 = 1_000_000_000;
const MINUTE: i64 = 20_000;

/// Calls that are authorized, made and ended as fast as they are answered.
struct Traffic<'a> {
    system: &'a System,
    acme: &'a Account,
    api: &'a Api,
    made: AtomicUsize,
    is_over: AtomicBool,
}

impl Traffic<'_> {
    async fn run(&self) {
        while !self.is_over.load(Ordering::Acquire) {
            let number = self.made.load(Ordering::Acquire);
            let sid = call_sid(number);
            // Without an answer the call is made anyway: its cost is charged.
            ask(self.api, "acme", &sid, 60).await;
            let event = completed(self.acme, &sid, 60, now());
            let partition = i32::try_from(number % 4).expect("small");
            self.system.produce(&[on_calls(partition, &event)]).await;
            self.made.store(number + 1, Ordering::Release);
        }
    }

    async fn made_more(&self, calls: usize) {
        let before = self.made.load(Ordering::Acquire);
        until("more calls are made", SOON, async || {
            (self.made.load(Ordering::Acquire) >= before + calls).then_some(())
        })
        .await;
    }
}

async fn incarnation(system: &System) -> i64 {
    let row = sqlx::query("SELECT incarnation FROM ledger_identity");
    row.fetch_one(&mut system.sql().await).await.expect("a row").get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_restored_from_an_older_backup_under_load_charges_all_once_and_redis_follows() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let first = system.serve("meter,api").await;
    let second = system.serve("meter,api").await;
    let acme = account("acme", OPENING.into());
    system.open(&first, [&acme]).await;
    // Calls in progress: the first is older than the backup, the second is newer.
    allowed(&ask(&first, "acme", "CA-older", 600).await);
    let traffic = Traffic {
        system: &system,
        acme: &acme,
        api: &second,
        made: AtomicUsize::new(1),
        is_over: AtomicBool::new(false),
    };
    let restored = async {
        traffic.made_more(50).await;
        breakable.server("postgres", "stop-immediate").await;
        breakable.keep_postgres();
        breakable.server("postgres", "start").await;
        traffic.made_more(50).await;
        until("a call in progress", SOON, async || {
            let answer = ask(&first, "acme", "CA-newer", 600).await;
            (answer.status == 200).then_some(())
        })
        .await;
        // Holds granted by now are journaled in a Postgres that is lost, and remain in Redis.
        traffic.made_more(50).await;
        breakable.server("postgres", "stop-immediate").await;
        breakable.bring_back_postgres();
        breakable.server("postgres", "start").await;
        traffic.made_more(50).await;
        traffic.is_over.store(true, Ordering::Release);
    };
    tokio::join!(traffic.run(), restored);
    let calls = i64::try_from(traffic.made.load(Ordering::Acquire) - 1).expect("few");

    system.settle_within(Duration::from_mins(1), &first).await;
    until("every call is charged", SOON, async || {
        let charged = first.charges("acme").await.ok()?.len();
        (i64::try_from(charged) == Ok(calls)).then_some(())
    })
    .await;
    assert!(incarnation(&system).await > 1, "the incarnation rises");
    let amount = |micros: i64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let expected = [amount(OPENING - calls * MINUTE), amount(20 * MINUTE), "live".to_owned()];
    for api in [&first, &second] {
        let mut shown = None;
        until("the wallet is told by Redis again", SOON, async || {
            allowed(&ask(api, "acme", "CA-newer", 600).await);
            let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
            let text = |key: &str| wallet[key].as_str().unwrap_or_default().to_owned();
            let now = ["balance", "held", "held_source"].map(text);
            if shown.as_ref() != Some(&now) {
                eprintln!("{now:?}, to be {expected:?}");
            }
            let is_right = now == expected;
            shown = Some(now);
            is_right.then_some(())
        })
        .await;
    }
}
