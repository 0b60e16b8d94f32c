//! Catalog versions: accepted on SIGHUP, refused if invalid, and applied by the start of the call.

use crate::harness::api::Api;
use crate::harness::command::finish;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, catalog, completed, now, on_calls, subscribed};
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use crate::model::evidence::Charge;
use crate::model::time::{At, DAY, HOUR};

/// Charges one call and returns the charge.
async fn charge(system: &mut System, api: &Api, account: &Account, n: usize, end: At) -> Charge {
    let sid = call_sid(n);
    system.produce(&[on_calls(0, &completed(account, &sid, 61, end))]).await;
    until("the call is charged", SOON, async || {
        let charges = api.charges(&account.id).await.ok()?;
        charges.into_iter().find(|charge| charge.call_sid == sid)
    })
    .await
}

#[tokio::test]
async fn a_late_call_is_charged_by_the_version_and_the_cycle_of_its_start() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let now = now();
    let plain = account("plain", 0);
    let planned = subscribed(account("planned", 0), "starter", now - 80 * DAY);
    system.open(&api, [&plain, &planned]).await;
    let first = charge(&mut system, &api, &plain, 1, now).await;
    assert_eq!(first.rate, 20_000);

    let mut dearer = catalog();
    dearer.effective_at = Some(now - 10 * DAY);
    dearer.standard.per_minute = 25_000;
    dearer.plans[0].included_minutes = 1;
    dearer.plans[0].deck.per_minute = 15_000;
    system.write_catalog(&dearer);
    system.services[0].signal("HUP");
    let mut n = 2;
    until("the new version is in force", SOON, async || {
        n += 1;
        let charge = charge(&mut system, &api, &plain, n, now).await;
        (charge.rate == 25_000).then_some(())
    })
    .await;
    let late = charge(&mut system, &api, &plain, 900, now - 10 * DAY).await;
    assert_eq!(late.rate, 20_000, "it began before the new version");
    let late = charge(&mut system, &api, &planned, 901, now - 11 * DAY).await;
    assert_eq!((late.rate, late.allowance_seconds), (14_000, 120), "the old cycle's allowance");
    assert_eq!(late.cycle_start.map(|start| start < now - 11 * DAY), Some(true));
    // The current cycle began before the new version, so it keeps its included minutes.
    let early = charge(&mut system, &api, &planned, 902, now - 9 * DAY).await;
    assert_eq!((early.rate, early.allowance_seconds), (15_000, 120));
}

#[tokio::test]
async fn a_bad_catalog_is_refused_and_the_old_one_stays() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let planned = subscribed(account("planned", 0), "starter", now() - 80 * DAY);
    let plain = account("plain", 0);
    system.open(&api, [&planned, &plain]).await;
    let good = catalog();
    let mut without_plan = catalog();
    without_plan.standard.per_minute = 99_000;
    without_plan.plans.remove(0);
    let text = good.to_toml();
    let bad = [
        ("starter", without_plan.to_toml()),
        ("catalog", "this is no TOML".to_owned()),
        ("catalog", String::new()),
        ("per_minute", text.replacen("0.020000", "0.0200001", 1)),
        ("per_minute", text.replacen("0.020000", "-0.02", 1)),
        ("increments", text.replacen("60/60", "60/0", 1)),
        ("increments", text.replacen("60/60", "sixty", 1)),
        ("overage", text.replacen("\"wallet\"", "\"never\"", 1)),
        ("legs", text.replacen("\"each\"", "\"some\"", 1)),
        ("included_minutes", text.replacen("included_minutes = 100", "included_minutes = -1", 1)),
        ("prefix", text.replacen("\"+44\"", "\"44\"", 1)),
        ("team", text.replacen("id = \"team\"", "id = \"starter\"", 1)),
        ("colour", format!("colour = \"red\"\n{text}")),
    ];
    for (n, (word, text)) in bad.into_iter().enumerate() {
        assert_ne!(text, good.to_toml(), "{word} is changed");
        let before = system.services[0].log_text().len();
        system.write_catalog_text(&text);
        system.services[0].signal("HUP");
        let said = until("the log says that it is refused", SOON, async || {
            let log = system.services[0].log_text();
            let new = log[before..].to_lowercase();
            (new.contains("catalog") && new.contains("refused")).then_some(new)
        })
        .await;
        assert!(said.contains(word) || word == "team", "{word} is not named: {said}");
        let charge = charge(&mut system, &api, &plain, n, now() - HOUR).await;
        assert_eq!(charge.rate, 20_000, "{word}");
    }
    assert_eq!(api.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn serve_does_not_start_on_a_bad_catalog() {
    let setup = Setup { verified: false, ..Setup::default() };
    let system = System::with(setup).await;
    for text in ["nonsense", "", "[standard]\nper_minute = 0.02\n"] {
        system.write_catalog_text(text);
        for command in [&["serve"][..], &["config", "check"]] {
            let ran = finish(system.command(command));
            assert_eq!(ran.code, Some(2), "{command:?} {text:?}: {ran:?}");
            assert!(ran.stderr.contains("catalog.toml"), "the file is named: {ran:?}");
        }
    }
    std::fs::remove_file(system.catalog_path()).expect("it was there");
    let ran = system.run(&["serve"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("catalog.toml"), "the file is named: {ran:?}");
}

#[tokio::test]
async fn the_catalog_in_force_is_told_also_by_a_process_whose_file_was_refused() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    assert_eq!(api.metric("callmeter_catalog_version", &[]).await, Some(1));
    system.services[0].terminate();
    system.write_catalog_text("[standard");
    system.restart(0, "api");
    let api = system.ready(0).await;
    assert_eq!(api.metric("callmeter_catalog_version", &[]).await, Some(1));
    assert_eq!(api.metric("callmeter_catalog_refused_total", &[]).await, Some(1));
}
