//! The overview and the history of an account with calls.

use super::World;
use crate::authorizations::{allowed, ask};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls, subscribed};
use crate::harness::stripe::Stripe;
use crate::model::time::HOUR;
use callmeter::simulate::stripe::Behaviour;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_held_charged_told_live_found_and_proven() {
    let stripe = Stripe::start(Behaviour::default());
    let world = World::start(stripe, "api,meter,jobs", &[]).await;
    let caller = subscribed(account("caller", 30_000_000), "starter", now() - 3 * HOUR);
    world.system.open(&world.admin, [&caller]).await;
    let browser = world.signed_in("caller").await;
    let overview = browser.get("/wallet").await.expect(200);
    overview.has("$30.00").has("100 of 100 min").has("0 live calls").has("Adjustment");
    let mut live = browser.listen().await;
    live.hears("data: notices,balance").await;
    // A call in progress holds minutes; its end is charged. Each is told.
    allowed(&ask(&world.admin, "caller", &call_sid(1), 600).await);
    live.hears("event: parts").await;
    let parts = browser.get("/wallet/parts?names=balance,plan").await.expect(200);
    parts.has("1 live call").has("10 held by live calls").has("90 of 100 min");
    parts.lacks("Recent activity");
    let calls = [
        on_calls(0, &completed(&caller, &call_sid(1), 5_990, now())),
        on_calls(0, &completed(&caller, &call_sid(2), 61, now())),
    ];
    world.system.produce(&calls).await;
    live.hears("event: parts").await;
    until("both are charged", SOON, async || {
        browser.get("/wallet").await.words().contains("Overage call").then_some(())
    })
    .await;
    let overview = browser.get("/wallet").await.expect(200);
    overview.has("Overage call").has("−$0.028").has("$29.97").has("used up");
    let limit = json!({"calls_in_progress_max": 1});
    world.admin.patch("/v1/accounts/caller", &limit).await.expect(200);
    allowed(&ask(&world.admin, "caller", &call_sid(3), 60).await);
    let denied = ask(&world.admin, "caller", &call_sid(4), 60).await.expect(200);
    assert_eq!(denied["reason"], "too_many_calls", "{denied}");
    until("the refused call is counted", SOON, async || {
        let overview = browser.get("/wallet").await;
        overview.words().contains("Too many calls at once 1").then_some(())
    })
    .await;
    // Every row opens to what it rests on.
    let history = browser.get("/wallet/history").await.expect(200);
    history.has("to +12125550123 · 1 min 01 s, billed 2 min").has("$29.972");
    let opened = browser.get("/wallet/history?open=2").await.expect(200);
    opened.has("$0.014 a min").has("none matched").has(&call_sid(2)).lacks("−$0.03");
    let found = browser.get(&format!("/wallet/history?q={}", call_sid(2))).await.expect(200);
    found.has("What it cost").has("Wallet paid 2 min");
    let free = browser.get(&format!("/wallet/history?q={}", call_sid(1))).await.expect(200);
    free.has("Call covered by the plan").has("Plan paid (had 100 min left) −100 min");
    let all = browser.get("/wallet/history?plan=1").await.expect(200);
    all.has("+15005550001 → +12125550123").has("99 min 50 s").has("$0.00").has("$0.028");
    // Filters, pages and files.
    browser
        .get("/wallet/history?kind=overage")
        .await
        .expect(200)
        .has("−$0.028")
        .lacks("Opening balance");
    browser.get("/wallet/history?kind=refill_manual").await.expect(200).has("No entry matches");
    browser.get("/wallet/history?to=2020-01-01").await.expect(200).has("No entry matches");
    for _ in 0..60 {
        let credit = json!({"type": "credit", "amount": "0.01", "description": "More"});
        world.admin.post("/v1/accounts/caller/adjustments", &credit).await.expect(201);
    }
    let first = browser.get("/wallet/history").await.expect(200);
    let older = first.text.split("rel=\"next\"").next().expect("a link");
    let older = older.rsplit("href=\"").next().expect("its address").split('"').next();
    let older = browser.get(&older.expect("it").replace("&#38;", "&")).await.expect(200);
    older.has("Overage call").has("Newest");
    let csv = browser.get("/wallet/history.csv?kind=overage").await.expect(200);
    assert_eq!(csv.text.lines().count(), 2, "{}", csv.text);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    // A file has what the list shows: the rows that were searched, or the calls.
    let searched = format!("/wallet/history.csv?q={}", call_sid(2));
    let csv = browser.get(&searched).await.expect(200);
    assert_eq!((csv.text.lines().count(), csv.text.contains(&call_sid(2))), (2, true), "{csv:?}");
    let none = browser.get(&format!("{searched}&kind=refill_manual")).await.expect(200);
    assert_eq!(none.text.lines().count(), 1, "{none:?}");
    let csv = browser.get("/wallet/history.csv?plan=1").await.expect(200);
    assert!(csv.text.starts_with("call_sid,") && csv.text.contains(&call_sid(1)), "{csv:?}");
    let month = &overview.attribute("datetime")[..7].to_owned();
    let statement = browser.get(&format!("/wallet/statements/{month}")).await.expect(200);
    statement.has("Opening balance").has("Overage call 1 −$0.028").has("Closing balance");
    for month in ["2999-01", "2026-13", "x"] {
        browser.get(&format!("/wallet/statements/{month}")).await.expect(404);
    }
}
