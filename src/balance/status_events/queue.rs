//! The queue between the meter and the projector.
//!
//! The meter hands a committed batch over and goes on at once. If the queue is full, the batch is
//! dropped here. Nothing is lost: the patrol projects those wallets, and missed status events are
//! read from Kafka again.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::of_batch::of_batch;
use super::offset::StatusEventsOffset;
use crate::ingest::batch::Batch;
use crate::ingest::decode::CallSignalled;
use crate::ledger::batch::{Committed, WalletChange};
use crate::metrics::PROJECTIONS_DROPPED;

/// Batches that may wait to be projected.
pub(crate) const BATCHES_MAX: usize = 32;

/// The handle by which the meter hands over committed batches; cheap to clone.
#[derive(Clone, Debug)]
pub struct Projector {
    work: mpsc::Sender<Committal>,
    /// Records how far the status events of the handle's partition are applied.
    applied: Option<Arc<StatusEventsOffset>>,
}

/// The batches that wait to be projected.
pub(crate) type Work = mpsc::Receiver<Committal>;

/// One committed batch: its wallets, and the status events that came with it.
#[derive(Debug)]
pub(crate) struct Committal {
    pub wallets: Vec<WalletChange>,
    pub signals: Vec<CallSignalled>,
    /// The offset at which the batch ended, and the record of its partition's applied events.
    place: Option<(Arc<StatusEventsOffset>, i64)>,
}

impl Projector {
    pub(crate) fn new() -> (Self, Work) {
        let (sender, work) = mpsc::channel(BATCHES_MAX);
        (Self { work: sender, applied: None }, work)
    }

    /// A handle for the batches of one partition, in their order.
    #[must_use]
    pub fn of_partition(&self, applied: Arc<StatusEventsOffset>) -> Self {
        Self { work: self.work.clone(), applied: Some(applied) }
    }

    /// Hands a committed batch over; never waits.
    pub fn committed(&self, batch: &Batch, committed: &mut Committed) {
        let wallets = std::mem::take(&mut committed.wallets);
        let signals = of_batch(batch);
        let place = self.applied.as_ref().map(|applied| (Arc::clone(applied), batch.next_offset));
        if let Some((applied, to)) = &place {
            applied.committed(*to, signals.is_empty());
        }
        if wallets.is_empty() && signals.is_empty() {
            return;
        }
        let committal = Committal { wallets, signals, place };
        let Err(refused) = self.work.try_send(committal) else { return };
        let dropped = refused.into_inner();
        let count = u64::try_from(dropped.wallets.len()).unwrap_or(u64::MAX);
        metrics::counter!(PROJECTIONS_DROPPED).increment(count);
        dropped.are_signals_applied(false);
    }
}

impl Committal {
    /// Records whether the status events of the batch are applied; a batch without any is applied.
    pub(crate) fn are_signals_applied(&self, are: bool) {
        match &self.place {
            Some((applied, to)) if are => applied.apply(*to),
            Some((applied, to)) if !self.signals.is_empty() => applied.miss(*to),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use callmeter_core::domain::{CallSid, CallStatus, TwilioAccountSid};
    use chrono::DateTime;

    use super::*;
    use crate::ingest::decode::Event;

    /// The batch of one record at this offset: a call in progress.
    fn ringing(offset: i64) -> Batch {
        let signalled = CallSignalled {
            status: CallStatus::Ringing,
            twilio_account_sid: TwilioAccountSid::parse("AC1").ok(),
            call_sid: CallSid::parse("CA1").ok(),
            direction: None,
            from: None,
            to: None,
            parent_call_sid: None,
            signalled_at: DateTime::UNIX_EPOCH,
        };
        let mut batch = Batch::starting_at(offset);
        batch.push_decoded(offset, None, Event::CallSignalled(signalled));
        batch
    }

    #[test]
    fn status_events_that_there_is_no_room_for_are_read_again() {
        let (projector, mut work) = Projector::new();
        let applied = Arc::new(StatusEventsOffset::between(0, 0));
        let projector = projector.of_partition(Arc::clone(&applied));
        let room = i64::try_from(BATCHES_MAX).unwrap();
        for offset in 0..room {
            projector.committed(&ringing(offset), &mut Committed::default());
        }
        assert_eq!((applied.gap(), applied.behind()), (None, room));
        projector.committed(&ringing(room), &mut Committed::default());
        assert_eq!(applied.gap(), Some(0..room + 1));
        // What waits is applied in vain; the gap is closed as a whole.
        while let Ok(committal) = work.try_recv() {
            committal.are_signals_applied(true);
        }
        assert_eq!(applied.offset(), 0);
        projector.committed(&ringing(room + 1), &mut Committed::default());
        work.try_recv().unwrap().are_signals_applied(true);
        applied.read_again(room + 1);
        assert_eq!((applied.offset(), applied.behind()), (room + 2, 0));
    }
}
