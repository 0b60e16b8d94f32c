//! Status events of calls, as one batch contains them.

use super::world::{World, signalled, twilio, until};
use callmeter::ingest::decode::{CallEnded, Event};
use callmeter_core::domain::{Call, CallStatus};

#[tokio::test]
async fn one_call_sid_under_two_account_sids_is_two_calls() {
    let mut world = World::new().await;
    let (acme, other) = (world.open("acme", 300_000).await, world.open("other", 300_000).await);
    world.run(&world.balance.clone());
    let now = world.clock.now();
    let under_way = |account, call| signalled(account, call, CallStatus::InProgress, now);
    let events = vec![under_way(&acme, "CA1"), under_way(&other, "CA1")];
    let (batch, mut committed) = world.commit(events).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(Some((1, 70_000)), async || world.held(&acme).await).await;
    until(Some((1, 70_000)), async || world.held(&other).await).await;

    let ended = Event::CallEnded(CallEnded {
        twilio_account_sid: twilio(acme.as_str()),
        call: Call {
            call_sid: super::world::sid("CA2"),
            parent_call_sid: None,
            from: None,
            to: Some("+15550002".into()),
            direction: None,
            ended_at: now,
            seconds: 30,
            twilio_minutes: None,
            tag: None,
        },
    });
    let events = vec![under_way(&acme, "CA2"), under_way(&other, "CA2"), ended];
    let (batch, mut committed) = world.commit(events).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(Some((2, 140_000)), async || world.held(&other).await).await;
    until(Some((1, 70_000)), async || world.held(&acme).await).await;
    let events = vec![signalled(&acme, "CA1", CallStatus::Busy, now), under_way(&other, "CA3")];
    let (batch, mut committed) = world.commit(events).await;
    world.balance.projector().committed(&batch, &mut committed);
    until(Some((0, 0)), async || world.held(&acme).await).await;
    until(Some((3, 210_000)), async || world.held(&other).await).await;
    world.stop().await;
}
