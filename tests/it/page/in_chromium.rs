//! The wallet page in Chromium: `tests/browser/wallet.mjs` signs in, watches a live change, and refills
//! with a saved card; axe finds no fault on any page, and the console stays empty.

use super::World;
use crate::harness::api::ADMIN_KEY;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::stripe::Stripe;
use crate::model::time::HOUR;
use callmeter::simulate::stripe::{Behaviour, Card};
use std::path::Path;
use std::process::Command;

/// Charges a call of some days ago, and compares the plans by it.
async fn call_before(world: &World) {
    let acme = account("acme", 25_000_000);
    let call = completed(&acme, &call_sid(1), 3_601, now() - 72 * HOUR);
    world.system.produce(&[on_calls(0, &call)]).await;
    until("the call is charged", SOON, async || {
        let charges = world.admin.charges("acme").await.ok()?;
        (charges.len() == 1).then_some(())
    })
    .await;
    world.system.run(&["insights", "update"]).expect_success();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sees_live_changes_refills_by_keyboard_and_complains_about_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = root.join(".local/cache/browser");
    assert!(cache.join("chromium").exists(), "the browser is missing: run script/browser");
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs,meter", &[]).await;
    call_before(&world).await;
    let browser = world.signed_in("acme").await;
    world.save(&browser, Card::default()).await;
    let mut command = Command::new(cache.join("node"));
    command.arg(root.join("tests/browser/wallet.mjs")).args([&world.admin.base, ADMIN_KEY]);
    command.arg(cache.join("node_modules")).arg(cache.join("chromium"));
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs");
    let ran = ran.expect("node starts");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
}
