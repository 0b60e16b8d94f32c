//! Campaigns: the estimate of a form, and what the calls of a tag cost against it, live.

use super::World;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls, subscribed};
use crate::harness::stripe::Stripe;
use crate::model::account::Account;
use crate::model::time::DAY;
use crate::traffic::Outgoing;
use callmeter::simulate::stripe::Behaviour;
use serde_json::json;

const PATH: &str = "/wallet/campaigns";
/// A tag that would act in a page, an attribute, a script or a path.
const HOSTILE: &str = "../\"><script>alert(1)</script>?a=b&c#{{7*7}} ü";
const ESCAPED: &str = "../&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;?a=b&#38;c#{{7*7}} ü";

/// A completed call with a tag.
pub(super) fn tagged(account: &Account, number: usize, seconds: i64, tag: &str) -> Outgoing {
    let mut call = completed(account, &call_sid(number), seconds, now());
    call["tag"] = json!(tag);
    on_calls(0, &call)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_is_estimated_by_a_form_and_followed_live_whatever_its_tag() {
    let stripe = Stripe::start(Behaviour::default());
    let world = World::start(stripe, "api,meter,jobs", &[]).await;
    let acme = account("acme", 25_000_000);
    let browser = world.signed_in("acme").await;
    let page = browser.get(PATH).await.expect(200);
    page.has("No campaign yet").has("+44 is $0.03 a minute").has("all others $0.02");
    assert!(page.text.contains("href=\"/wallet/campaigns\" aria-current=\"page\""));
    let faults = [("calls", "none"), ("answered", "120"), ("average", "0"), ("to", "London")];
    let wrong = browser.submit(&page, PATH, &faults).await.expect(422);
    wrong.has("4 things to correct").has("Enter a percentage").has("Enter a number or how it");
    wrong.has("Enter seconds from 1 to 86,400");
    let early = browser.submit(&page, PATH, &[("calls", "10")]).await.expect(422);
    early.has("Enter an average: your own calls tell their lengths once there are 20.");
    let blocked = [("calls", "10"), ("average", "60"), ("to", "+8811")];
    browser.submit(&page, PATH, &blocked).await.expect(422).has("Calls to +881 are refused.");
    let budget = json!({"monthly": "20.00", "stop": true});
    world.admin.put("/v1/accounts/acme/budget", &budget).await.expect(200);
    let asked = [("calls", "8,000"), ("answered", "38%"), ("average", "112"), ("tag", HOSTILE)];
    let shown = browser.submit(&page, PATH, &asked).await.expect(200);
    // 3,040 × 2.4 minutes × $0.02
    shown.has("8,000 calls, 3,040 answered").has("Expected cost $145.92").has("7,296");
    shown.has("Available afterwards").has("−$120.92").has("short With $25.00 available");
    shown.has("It may pass your").has("about $145.92 . Calls are refused once it is spent.");
    shown.has("Only the average is known").lacks("<script>alert");
    assert!(shown.text.contains(&format!("<b>{ESCAPED}</b>")), "{}", shown.text);
    let refill = shown.text.split("/wallet/add-funds?amount=").nth(1).expect("a way to the refill");
    let refill = refill.split('&').next().expect("an amount");
    let add = browser.get(&format!("/wallet/add-funds?amount={refill}")).await.expect(200);
    assert!(add.text.contains(refill), "{}", add.text);
    // It has a page before its first call, at an address that any tag fits in.
    let link = shown.text.split("href=\"/wallet/campaigns?campaign=").nth(1).expect("its page");
    let link = format!("{PATH}?campaign={}", link.split('"').next().expect("an address"));
    let before = browser.get(&link).await.expect(200);
    before.has("for 8,000 calls").has("Spent so far $0.00").has("No call of this campaign");
    before.lacks("<script>alert");
    let mut live = browser.listen().await;
    live.hears("campaign").await;
    let part = before.attribute("data-from").replace("&#38;", "&");
    assert!(part.starts_with("/wallet/campaigns/part?campaign="), "{part}");
    let calls = (1..=3).map(|number| tagged(&acme, number, 61, HOSTILE));
    let other =
        [tagged(&acme, 4, 30, "spring"), on_calls(0, &completed(&acme, &call_sid(5), 30, now()))];
    world.system.produce(&calls.chain(other).collect::<Vec<_>>()).await;
    live.hears("campaign").await;
    let until_shown = async |words: &str| {
        until(words, SOON, async || {
            let shown = browser.get(&part).await.expect(200);
            shown.words().contains(words).then_some(shown)
        })
        .await
    };
    let live = until_shown("3 calls charged").await;
    live.has("Spent so far $0.12").has("estimated $145.92").has("Average length 1 min 01 s");
    live.has("For each charged call about $0.04").has("Not covered").has("Average billed 2 min");
    // On course: 3,037 more calls of two minutes.
    live.has("On course for $121.60").has("Still needed $121.48").lacks("<script>alert");
    live.has("Calls charged 3 3 3,040").has("Billed minutes 6 8 7,296").has("$0.12 $0.144 $145.92");
    assert_eq!(live.text.matches("Details").count(), 3, "{}", live.text);
    assert!(live.text.contains("class=\"band\"") && !live.text.contains("style="));
    // More calls: the sums go on from the last counted charge.
    let more: Vec<_> = (6..=10).map(|number| tagged(&acme, number, 119, HOSTILE)).collect();
    world.system.produce(&more).await;
    let later = until_shown("8 calls charged").await;
    later.has("Spent so far $0.32").has("Average length 1 min 37 s");
    let list = browser.get(PATH).await.expect(200);
    list.has("8 16 0 min $0.32 $0.04 Running").has("spring 1 1 0 min $0.02 $0.02 No estimate");
    browser.get("/wallet/campaigns/spring").await.expect(200).has("It has no estimate.");
    // What is asked by GET is shown and not kept; an operator may ask no other way.
    let link = world.link("acme", &json!({ "operator": "eve" })).await;
    let operator = world.browser();
    operator.get(&link).await.expect(303);
    let query = format!("{PATH}?calls=100&average=60&tag=look");
    operator.get(&query).await.expect(200).has("Estimate for look").lacks("/wallet/add-funds");
    operator.get("/wallet/campaigns/look").await.expect(404);
    operator.get("/wallet/campaigns/spring").await.expect(200);
    let forged = [("calls", "100"), ("average", "60"), ("tag", "look")];
    browser.post(PATH, &forged, None).await.expect(403);
    // Another account sees none of it.
    let stranger = world.signed_in("globex").await;
    stranger.get("/wallet/campaigns/spring").await.expect(404);
    stranger.get(PATH).await.expect(200).lacks("spring</b>");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_of_a_subscriber_uses_the_plan_first_and_its_sums_are_those_of_its_calls() {
    let stripe = Stripe::start(Behaviour::default());
    let mut world = World::start(stripe, "api,meter", &[]).await;
    let caller = subscribed(account("caller", 30_000_000), "team", now() - DAY);
    world.system.open(&world.admin, [&caller]).await;
    let browser = world.signed_in("caller").await;
    let page = browser.get(PATH).await.expect(200);
    let asked = [("calls", "20"), ("average", "60"), ("tag", "autumn")];
    browser.submit(&page, PATH, &asked).await.expect(200).has("Plan minutes left −10 −10 −10");
    // 1,500 calls: more than lie between two points of the course.
    let calls: Vec<_> = (0..1_500)
        .map(|number| {
            let tag = if number % 3 == 0 { "autumn" } else { "winter" };
            tagged(&caller, number, i64::try_from(number % 300).expect("small"), tag)
        })
        .collect();
    world.system.produce(&calls).await;
    let admin = world.admin.clone();
    world.system.settle(&admin).await;
    let part = browser.get("/wallet/campaigns/autumn").await.expect(200);
    part.has("500 calls charged").has("plan minutes").has("Above the range");
    let items = admin.items("/v1/accounts/caller/calls?tag=autumn", 500).await.expect("calls");
    let sum = |name: &str| -> i64 {
        items.iter().map(|call| call[name].as_i64().expect("a number")).sum()
    };
    let mut sql = world.system.sql().await;
    let counted: (i64, i64, i64, i64, Vec<i64>) = sqlx::query_as(
        "SELECT calls, seconds, billed_seconds, allowance_seconds, course FROM campaigns
         WHERE tag = 'autumn'",
    )
    .fetch_one(&mut sql)
    .await
    .expect("the campaign");
    let sums = (sum("seconds"), sum("billed_seconds"), sum("allowance_seconds"));
    assert_eq!((counted.0, (counted.1, counted.2, counted.3)), (500, sums));
    assert!(counted.4.len() >= 6 && counted.4[counted.4.len() - 2] == 500, "{:?}", counted.4);
}
