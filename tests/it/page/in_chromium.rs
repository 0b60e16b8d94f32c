//! The wallet page in Chromium, by the programs in `tests/browser`: axe finds no fault on any page,
//! nothing is asked of anybody but Stripe, and the console stays empty.

use super::World;
use super::campaigns::tagged;
use super::numbers::at_twilio;
use crate::harness::api::ADMIN_KEY;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::stripe::Stripe;
use crate::model::time::HOUR;
use callmeter::simulate::stripe::{Behaviour, Card};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use tokio::sync::mpsc;

/// Runs a program of `tests/browser`; publishes the calls that it says are completed.
pub(super) async fn run(world: &World, program: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = root.join(".local/cache/browser");
    assert!(cache.join("chromium").exists(), "the browser is missing: run script/browser");
    let mut command = Command::new(cache.join("node"));
    command.arg(root.join("tests/browser").join(program)).args([&world.admin.base, ADMIN_KEY]);
    command.arg(cache.join("node_modules")).arg(cache.join("chromium")).arg(&world.stripe.url);
    #[expect(clippy::disallowed_methods, reason = "given by script/screens")]
    command.args(std::env::var_os("CALLMETER_SCREENS"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("node starts");
    let (sender, mut said) = mpsc::unbounded_channel();
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let reading = tokio::task::spawn_blocking(move || {
        lines.map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    let waiting = tokio::task::spawn_blocking(move || {
        let mut complaints = String::new();
        let read = child.stderr.take().expect("a pipe").read_to_string(&mut complaints);
        read.expect("text");
        (child.wait().expect("it ends"), complaints)
    });
    while let Some(line) = said.recv().await {
        let words: Vec<&str> = line.split(' ').collect();
        let &["completed", call_sid, seconds] = words.as_slice() else { panic!("said {line}") };
        let seconds = seconds.parse().expect("seconds");
        let event = completed(&account("acme", 0), call_sid, seconds, now());
        world.system.produce(&[on_calls(0, &event)]).await;
    }
    reading.await.expect("it is read");
    let (status, complaints) = waiting.await.expect("it ends");
    assert!(status.success(), "{complaints}");
}

/// Charges a call of some days ago, and compares the plans by it.
pub(super) async fn call_before(world: &World) {
    let acme = account("acme", 25_000_000);
    let call = completed(&acme, &call_sid(1_000), 3_601, now() - 72 * HOUR);
    world.system.produce(&[on_calls(0, &call)]).await;
    until("the call is charged", SOON, async || {
        let charges = world.admin.charges("acme").await.ok()?;
        (charges.len() == 41).then_some(())
    })
    .await;
    world.system.run(&["insights", "update"]).expect_success();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sees_live_changes_refills_by_keyboard_and_complains_about_nothing() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs,meter", &[]).await;
    let acme = account("acme", 25_000_000);
    let calls: Vec<_> = (1..=40)
        .map(|number| {
            let seconds = 11 * i64::try_from(number).expect("small");
            tagged(&acme, number, seconds, "spring")
        })
        .collect();
    world.system.produce(&calls).await;
    call_before(&world).await;
    let browser = world.signed_in("acme").await;
    world.save(&browser, Card::default()).await;
    run(&world, "wallet.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_does_everything_in_a_browser() {
    let (world, _twilio) = at_twilio("api,jobs,meter").await;
    world.stripe.deliver_to(&world.admin.base);
    let browser = world.signed_in("acme").await;
    world.save(&browser, Card::default()).await;
    run(&world, "money.mjs").await;
}
