//! Deliveries of events that wait to be sent, and what became of those that were.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::Serialize;
use tokio::time::Instant;

use super::behaviour::Behaviour;

/// Delay of a delivery that later ones overtake.
const OVERTAKEN_BY: Duration = Duration::from_millis(150);

/// An event on its way to an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub event: String,
    pub kind: String,
    pub url: String,
    pub secret: String,
    pub body: String,
    pub attempt: u32,
    pub due: Instant,
    pub is_forged: bool,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Id of the event.
    pub event: String,
    /// Type of the event.
    pub kind: String,
    /// Address of the endpoint.
    pub url: String,
    /// Status of the answer; none if there was no answer.
    pub status: Option<u16>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The signature was wrong on purpose.
    pub is_forged: bool,
}

/// The next step of the sender.
pub(super) enum Next {
    Send(Box<Delivery>),
    WaitUntil(Instant),
    Wait,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Delivery>,
    pub attempts: Vec<Attempt>,
}

impl Outbox {
    /// Adds a delivery with the faults that the behaviour asks for.
    pub(super) fn push(&mut self, delivery: Delivery, behaviour: &Behaviour, random: &mut StdRng) {
        let mut hits = |percent: u8| random.random_range(0..100) < percent;
        if hits(behaviour.lost_percent) {
            return;
        }
        let is_doubled = hits(behaviour.doubled_percent);
        let is_late = hits(behaviour.reordered_percent);
        if hits(behaviour.forged_percent) {
            self.waiting.push_back(Delivery { is_forged: true, ..delivery.clone() });
        }
        if is_doubled {
            self.waiting.push_back(delivery.clone());
        }
        let pause = if is_late { OVERTAKEN_BY } else { Duration::ZERO };
        self.waiting.push_back(Delivery { due: delivery.due + pause, ..delivery });
    }

    /// Adds a delivery again after an attempt that failed.
    pub(super) fn retry(&mut self, delivery: Delivery, behaviour: &Behaviour) {
        let doublings = delivery.attempt.min(7).saturating_sub(1);
        let pause = behaviour.retry_milliseconds.saturating_mul(1 << doublings);
        let due = Instant::now() + Duration::from_millis(pause);
        self.waiting.push_back(Delivery { attempt: delivery.attempt + 1, due, ..delivery });
    }

    /// Takes the first delivery that is due.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if let Some(place) = self.waiting.iter().position(|delivery| delivery.due <= now)
            && let Some(delivery) = self.waiting.remove(place)
        {
            return Next::Send(Box::new(delivery));
        }
        match self.waiting.iter().map(|delivery| delivery.due).min() {
            Some(due) => Next::WaitUntil(due),
            None => Next::Wait,
        }
    }

    /// Number of deliveries that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
