//! Compressed records: every Kafka codec is read, whether the producer or the broker compressed.

use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::{Setup, System};
use crate::model::read::Topic;

/// The codecs that Kafka producers may use.
const OF_PRODUCERS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const CALLS_OF_EACH: usize = 20;

/// Charges calls from producers of each codec, on a topic that the broker keeps compressed with
/// `how`.
async fn all_producers_are_charged_from_a_topic_of(how: &str) {
    let setup = Setup { partitions: None, ..Setup::default() };
    let mut system = System::with(setup).await;
    for topic in [Topic::Calls, Topic::Rentals] {
        system.kafka.create_topic_compressed(&system.topic(topic), 4, how).await;
    }
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    for (round, codec) in OF_PRODUCERS.into_iter().enumerate() {
        let call = |n| on_calls(2, &completed(&acme, &call_sid(round * 100 + n), 61, now()));
        let records: Vec<_> = (0..CALLS_OF_EACH).map(call).collect();
        let producer = system.kafka.compressing(codec);
        producer.produce(|topic| system.topic(topic), &records).await;
        until(&format!("{codec} is charged from a topic of {how}"), SOON, async || {
            let charges = api.charges("acme").await.ok()?;
            (charges.len() == (round + 1) * CALLS_OF_EACH).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn every_codec_is_charged_from_a_topic_that_keeps_the_producers() {
    all_producers_are_charged_from_a_topic_of("producer").await;
}

#[tokio::test]
async fn every_codec_is_charged_from_a_topic_that_is_not_compressed() {
    all_producers_are_charged_from_a_topic_of("uncompressed").await;
}

#[tokio::test]
async fn every_codec_is_charged_from_a_topic_of_gzip() {
    all_producers_are_charged_from_a_topic_of("gzip").await;
}

#[tokio::test]
async fn every_codec_is_charged_from_a_topic_of_snappy() {
    all_producers_are_charged_from_a_topic_of("snappy").await;
}

#[tokio::test]
async fn every_codec_is_charged_from_a_topic_of_lz4() {
    all_producers_are_charged_from_a_topic_of("lz4").await;
}

#[tokio::test]
async fn every_codec_is_charged_from_a_topic_of_zstd() {
    all_producers_are_charged_from_a_topic_of("zstd").await;
}
