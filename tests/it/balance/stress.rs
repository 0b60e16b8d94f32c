//! Two hundred callers on one account, two processes, and Redis killed meanwhile.

use super::world::{World, authorize, sid, until};
use crate::harness::servers::Breakable;
use callmeter::balance::{Allowance, Balance, Decision, HoldSettings};
use callmeter_core::domain::{AccountId, RatePerMinute};
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const CALLERS: u64 = 200;
const CALLS_EACH: u32 = 8;
/// 1200 minutes.
const POOL_MICROS: i64 = 16_800_000;

/// The grants promised to callers, and the charges: together never more than the pool.
#[derive(Default)]
struct Tracker {
    promised: HashMap<String, (i64, DateTime<Utc>)>,
    charged: i64,
    granted: u32,
    refused: u32,
    unavailable: u32,
    most: i64,
}

fn price(seconds: u32) -> i64 {
    let rate = RatePerMinute::from_micros(14_000).expect("a rate");
    rate.price(seconds.div_ceil(60) * 60).expect("in range").micros()
}

struct Callers {
    world: World,
    acme: AccountId,
    processes: [Balance; 2],
    tracker: Mutex<Tracker>,
    /// Set when no more failures are caused.
    is_over: AtomicBool,
}

impl Callers {
    fn track<T>(&self, change: impl FnOnce(&mut Tracker) -> T) -> T {
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut tracker);
        let now = self.world.clock.now();
        tracker.promised.retain(|_, (_, valid_until)| *valid_until > now);
        let promised: i64 = tracker.promised.values().map(|(price, _)| price).sum();
        let sum = promised + tracker.charged;
        tracker.most = tracker.most.max(sum);
        answer
    }

    fn promise(&self, call: &str, allowance: &Allowance) {
        let promise = (price(allowance.granted_seconds), allowance.valid_until);
        self.track(|tracker| tracker.promised.insert(call.to_owned(), promise));
    }

    async fn caller(&self, number: u64) {
        let mut random = StdRng::seed_from_u64(number);
        let mut call = 0;
        while call < CALLS_EACH || !self.is_over.load(Ordering::Acquire) {
            call += 1;
            let call = format!("CA{number:03}x{call}");
            let process = &self.processes[random.random_range(0..2)];
            // Most calls are long enough not to expire while this runs; some are left to expire.
            let is_left = random.random_range(0..10) == 0;
            let asked =
                if is_left { random.random_range(1..4) } else { random.random_range(60..900) };
            let allowance = match authorize(process, &self.acme, &call, asked).await {
                Decision::Allow(allowance) => allowance,
                Decision::Unavailable => {
                    self.track(|tracker| tracker.unavailable += 1);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    // It may have been applied anyway; the call is not made.
                    self.void(process, &call).await;
                    continue;
                }
                _ => {
                    self.track(|tracker| tracker.refused += 1);
                    tokio::time::sleep(Duration::from_millis(random.random_range(1..20))).await;
                    continue;
                }
            };
            self.track(|tracker| tracker.granted += 1);
            self.promise(&call, &allowance);
            if is_left {
                continue;
            }
            self.go_on(&mut random, &call, allowance).await;
        }
    }

    async fn go_on(&self, random: &mut StdRng, call: &str, mut allowance: Allowance) {
        if random.random_range(0..3) == 0 {
            // A caller without an answer asks again, perhaps another process.
            let process = &self.processes[random.random_range(0..2)];
            if let Decision::Allow(again) = authorize(process, &self.acme, call, 900).await {
                assert_eq!(again.granted_seconds, allowance.granted_seconds, "{call}");
            }
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(1..200))).await;
        if random.random_range(0..3) == 0 {
            let process = &self.processes[random.random_range(0..2)];
            let wanted = allowance.granted_seconds + random.random_range(1..300);
            let extended = process.extend(&self.acme, &sid(call), wanted).await;
            if let Decision::Allow(more) = extended.expect("a decision") {
                assert!(more.granted_seconds >= allowance.granted_seconds, "{call}");
                allowance = more;
                self.promise(call, &allowance);
            }
        }
        if random.random_range(0..3) == 0 {
            self.track(|tracker| tracker.promised.remove(call));
            self.void(&self.processes[random.random_range(0..2)], call).await;
            return;
        }
        let seconds = random.random_range(1..=allowance.granted_seconds);
        // The call has ended: its cost is known, and the rest of its grant is released. Another
        // caller's batch may project the charge before this caller sees its commit.
        self.track(|tracker| {
            tracker.promised.insert(call.to_owned(), (price(seconds), allowance.valid_until))
        });
        let (batch, mut committed) = self.world.charge(&self.acme, &[(call, seconds)]).await;
        self.track(|tracker| {
            tracker.promised.remove(call);
            tracker.charged += price(seconds);
        });
        // Some projections are lost, as if their process had died, and left to the patrol.
        if random.random_range(0..4) > 0 {
            let process = &self.processes[random.random_range(0..2)];
            process.projector().committed(&batch, &mut committed);
        }
    }

    async fn void(&self, process: &Balance, call: &str) {
        while !process.void(&self.acme, &sid(call)).await.expect("an answer") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_are_never_granted_more_than_the_pool() {
    let breakable = Breakable::take();
    let settings = HoldSettings { ring_seconds: 1, grace_seconds: 1, ..HoldSettings::default() };
    let mut world = World::on(&breakable.servers, None, settings.clone()).await;
    world.flush().await;
    let acme = world.open("acme", POOL_MICROS).await;
    let processes = [world.balance.clone(), world.another(settings)];
    for process in &processes {
        world.run(process);
    }
    let callers = Callers {
        world,
        acme,
        processes,
        tracker: Mutex::default(),
        is_over: AtomicBool::new(false),
    };
    let all = futures::future::join_all((0..CALLERS).map(|number| callers.caller(number)));
    let trouble = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        callers.world.flush().await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        breakable.server("redis", "kill").await;
        breakable.server("redis", "start").await;
        let before = callers.track(|tracker| tracker.granted);
        until(true, async || callers.track(|tracker| tracker.granted) > before + 50).await;
        callers.is_over.store(true, Ordering::Release);
    };
    tokio::join!(all, trouble);

    let acme = callers.acme.clone();
    until(Some((0, 0)), async || callers.world.held(&acme).await).await;
    assert_eq!(callers.world.drift().await, Vec::<String>::new());
    let (granted, refused, most) =
        callers.track(|tracker| (tracker.granted, tracker.refused, tracker.most));
    // Grants that were not journaled in time when Redis was lost are the stated exception.
    let late: i64 = callers.processes.iter().map(|it| it.restored_late().micros()).sum();
    assert!(most <= POOL_MICROS + late, "{most} of {POOL_MICROS} was promised, {late} of it late");
    assert!(granted > 200 && refused > 50, "granted {granted}, refused {refused}");
    assert!(most > POOL_MICROS * 9 / 10, "the pool was never contended: {most}");
    let Callers { mut world, .. } = callers;
    world.stop().await;
}
