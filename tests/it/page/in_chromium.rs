//! The wallet page in Chromium: `tests/browser/wallet.mjs` signs in, watches a live change, and refills
//! with a saved card; axe finds no fault on any page, and the console stays empty.

use super::World;
use super::campaigns::tagged;
use crate::harness::api::ADMIN_KEY;
use crate::harness::samples::account;
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card};
use std::path::Path;
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sees_live_changes_refills_by_keyboard_and_complains_about_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = root.join(".local/cache/browser");
    assert!(cache.join("chromium").exists(), "the browser is missing: run script/browser");
    let roles = "api,meter,jobs";
    let mut world = World::start(Stripe::start(Behaviour::default()), roles, &[]).await;
    let calls: Vec<_> = (1..=40)
        .map(|number| {
            let seconds = 11 * i64::try_from(number).expect("small");
            tagged(&account("acme", 25_000_000), number, seconds, "spring")
        })
        .collect();
    world.system.produce(&calls).await;
    let admin = world.admin.clone();
    world.system.settle(&admin).await;
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
