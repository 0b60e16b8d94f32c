//! A busy partition beside idle ones: it reads through a client of its own, and gives it up again.

use std::time::Duration;

use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;

/// Records of a batch: a few calls fill one.
const BATCH: (&str, &str) = ("CALLMETER__BATCH__RECORDS_MAX", "20");

#[tokio::test]
async fn a_busy_partition_reads_alone_and_comes_back_and_each_call_is_charged_once() {
    let mut system = System::new().await;
    let index = system.start("meter,api", &[BATCH, ("CALLMETER__LOG__LEVEL", "debug")]);
    let api = system.ready(index).await;
    let acme = account("acme", 1_000_000_000);
    system.open(&api, [&acme]).await;
    system.settle(&api).await;
    let call =
        |partition, number| on_calls(partition, &completed(&acme, &call_sid(number), 61, now()));
    let charged = async |count| {
        until("the calls are charged", SOON, async || {
            (api.charges("acme").await.ok()?.len() == count).then_some(())
        })
        .await;
    };
    let times = |text: &str, words: &str| text.matches(words).count();

    let burst: Vec<_> = (0..400).map(|number| call(1, number)).collect();
    system.produce(&burst).await;
    charged(400).await;
    let alone = until("it reads alone", SOON, async || {
        let text = system.services[index].log_text();
        (times(&text, "a client of its own") > 0).then_some(text)
    })
    .await;
    assert_eq!(times(&alone, "back to the group"), 0, "not while it is busy");
    // Both kinds of reading at once.
    system.produce(&[call(1, 400), call(0, 401)]).await;
    charged(402).await;

    until("it comes back", SOON, async || {
        let text = system.services[index].log_text();
        (times(&text, "back to the group") > 0).then_some(())
    })
    .await;
    system.produce(&[call(1, 402), call(0, 403)]).await;
    charged(404).await;
    // A client of its own holds up no end.
    let again: Vec<_> = (500..900).map(|number| call(2, number)).collect();
    system.produce(&again).await;
    charged(804).await;
    let (status, took) = system.services[index].terminate();
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
}
