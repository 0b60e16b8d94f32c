//! Insights on the page: the chart, the table beneath it, and the plans.

use super::World;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls, subscribed};
use crate::harness::stripe::Stripe;
use crate::model::time::HOUR;
use callmeter::simulate::stripe::Behaviour;
use serde_json::json;

const DAY: i64 = 24 * HOUR;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_days_are_drawn_and_told_and_the_cheapest_plan_is_named() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,meter", &[]).await;
    let caller = subscribed(account("caller", 90_000_000), "team", now() - 40 * DAY);
    world.system.open(&world.admin, [&caller]).await;
    let browser = world.signed_in("caller").await;
    let empty = browser.get("/wallet/insights").await.expect(200);
    empty.has("Nothing was spent in these days").has("No call was billed").has("from 0 calls");
    empty
        .has("No call of these days belongs to a cycle")
        .lacks("priced again")
        .lacks("<svg class=\"chart\"");
    // In the cycle that is over: 10 minutes of the plan, and 4,000 beyond it at 0.009.
    let end = now() - 35 * DAY;
    let calls: Vec<_> = [(1, 600), (2, 120_000), (3, 119_990)]
        .map(|(number, seconds)| {
            on_calls(0, &completed(&caller, &call_sid(number), seconds / 2, end))
        })
        .into();
    world.system.produce(&calls).await;
    until("the calls are charged", SOON, async || {
        let charges = world.admin.charges("caller").await.ok()?;
        (charges.len() == 3).then_some(())
    })
    .await;
    world.system.run(&["insights", "update"]).expect_success();
    let seen = browser.get("/wallet/insights").await.expect(200);
    seen.has("Spend by day $17.955").has("from 3 calls").has("Calls $17.955");
    assert!(seen.text.contains("class=\"f1\"/></g>"), "a bar: {}", seen.text);
    seen.has("A call lasts 668 min 18 s on average").has("the wallet paid $0.00075");
    seen.has("1,995 $17.955").has("you went beyond the plan");
    // The plans' fees are the same, so the minutes decide: starter's 0.014 a minute is dearer.
    seen.has("Your plan was the cheapest")
        .has("The 3 calls of the cycle of")
        .has("They cost $46.955");
    seen.has("Plan team Yours").has("the same").has("more");
    for period in ["cycle", "last-cycle", "90", "365", "nonsense"] {
        let seen = browser.get(&format!("/wallet/insights?period={period}")).await.expect(200);
        seen.has("Insights").lacks("nonsense");
    }
    let marked = browser.get("/wallet/insights?period=90").await.expect(200);
    assert!(marked.text.contains("<option value=\"90\" selected>"), "{}", marked.text);
    let history = browser.get("/wallet/history").await.expect(200);
    assert!(history.text.contains("/wallet/insights\">Insights</a>"), "{}", history.text);
    // An operator reads it, and is noted.
    let operator = world.browser();
    let link = world.link("caller", &json!({ "operator": "Grace" })).await;
    operator.get(&link).await.expect(303);
    operator.get("/wallet/insights").await.expect(200).has("Spend by day $17.955");
    let noted = world.audit("caller").await;
    assert!(noted.first().is_some_and(|(who, _)| who.contains("Grace")), "{noted:?}");
    // Two days later there is a pace: 90 - 17.955 = 72.045 left, at 17.955 in seven days.
    world.go_on_at(2 * 86_400).await;
    let later = world.signed_in("caller").await.get("/wallet").await.expect(200);
    later.has("At the pace of the last 7 days this lasts about 28 days");
    let nobody = world.browser().get("/wallet/insights").await;
    assert_eq!(nobody.status, 401, "{nobody:?}");
}
