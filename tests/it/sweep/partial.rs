//! Incomplete rows of Twilio: charged if the rest determines the charge; nothing is guessed.

use super::{run, sweep};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, now};
use crate::harness::system::System;
use crate::harness::twilio::{Twilio, callback};
use crate::model::time::{MINUTE, SECOND};
use callmeter::simulate::twilio::Behaviour;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completed_row_is_charged_by_start_and_duration_where_its_end_is_missing() {
    let twilio = Twilio::start(Behaviour { repeated: 0, ..Behaviour::default() });
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    let seconds = |number: usize| 61 + i64::try_from(number).expect("a small number");
    let end = now() - now() % SECOND - 10 * MINUTE;
    for number in 0..6 {
        let mut call = callback(&acme, &call_sid(number), "completed", end);
        call["CallDuration"] = json!(seconds(number).to_string());
        twilio.learn(&call);
    }
    for (number, odd) in [
        (1, json!({"end_time": null})),
        (2, json!({"end_time": ""})),
        (3, json!({"start_time": null})),
        // The billed time, or its date, would be a guess.
        (4, json!({"duration": ""})),
        (5, json!({"start_time": null, "end_time": null})),
    ] {
        twilio.local.garble(&call_sid(number), odd);
    }
    let settings = twilio.settings(&acme);
    let ran = run(&system, &settings, &["sweep", "--json"]);
    assert_eq!(ran.code, Some(1), "not all of it was swept: {ran:?}");
    let swept: Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!((&swept["published"], &swept["unusable"]), (&json!(4), &json!(2)), "{swept}");
    system.settle(&api).await;
    let charges = api.charges("acme").await.expect("charges");
    let mut found: Vec<_> =
        charges.iter().map(|it| (it.call_sid.clone(), it.seconds, it.started_at)).collect();
    found.sort_unstable();
    let due = |number| (call_sid(number), seconds(number), end - seconds(number) * SECOND);
    assert_eq!(found, [0, 1, 2, 3].map(due));
    // The row is complete later: charged calls are not published again.
    for number in 0..6 {
        twilio.local.garble(&call_sid(number), json!({}));
    }
    assert_eq!(sweep(&system, &settings, &[])["published"], 2);
    until("the other two are charged", SOON, async || {
        (api.charges("acme").await.ok()?.len() == 6).then_some(())
    })
    .await;
}
