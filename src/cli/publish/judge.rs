//! Finds the topic of an event, and checks that the meter can read it.
//!
//! It uses the decoder of the meter, so that a published event must never be rejected later for its
//! form. It does not know whether an account has the event's `AccountSid`.

use crate::clock::Clock;
use crate::config::Settings;
use crate::ingest::decode::{self, Event, Limits, Topic};
use crate::ingest::publisher::NewRecord;
use crate::masked::masked;

/// The topic of each kind of event, and the limits that the meter applies.
pub(super) struct Judge {
    pub(super) calls: String,
    pub(super) rentals: String,
    limits: Limits,
    clock: Clock,
    /// The topic of every event; none: the event decides.
    chosen: Option<Topic>,
}

/// An event that may be published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) topic: Topic,
    pub(super) record: NewRecord,
    /// Whether the meter skips it because its type is never charged.
    pub(super) is_skipped: bool,
}

impl Judge {
    /// Judges with these settings; `topic` is the topic of the command line.
    ///
    /// # Errors
    /// If the meter does not read that topic.
    pub(super) fn new(
        settings: &Settings,
        clock: Clock,
        topic: Option<&str>,
    ) -> Result<Self, String> {
        let calls = settings.kafka.topic_calls.clone();
        let rentals = settings.kafka.topic_rentals.clone();
        let chosen = match topic {
            None => None,
            Some(name) if name == calls => Some(Topic::Calls),
            Some(name) if name == rentals => Some(Topic::Rentals),
            Some(name) => {
                return Err(format!("--topic {name} is not read; {calls} and {rentals} are"));
            }
        };
        let limits = Limits {
            call_seconds_max: settings.charging.call_seconds_max,
            end_ahead_seconds_max: settings.charging.end_ahead_seconds_max,
        };
        Ok(Self { calls, rentals, limits, clock, chosen })
    }

    /// The name of a topic.
    pub(super) fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Calls => &self.calls,
            Topic::Rentals => &self.rentals,
        }
    }

    /// Judges one event.
    ///
    /// # Errors
    /// What is wrong, without phone numbers.
    pub(super) fn judge(&self, value: Vec<u8>) -> Result<Judged, String> {
        let (topic, is_skipped) = self.topic(&value)?;
        // As in the bridge: events of one account share a partition.
        let key = decode::subject(&value).twilio_account_sid.map(|sid| sid.as_str().to_owned());
        Ok(Judged { topic, record: NewRecord { key, value }, is_skipped })
    }

    fn topic(&self, value: &[u8]) -> Result<(Topic, bool), String> {
        let first = self.chosen.unwrap_or(Topic::Calls);
        let second = if first == Topic::Calls { Topic::Rentals } else { Topic::Calls };
        if self.is_ours(first, value)? {
            return Ok((first, false));
        }
        match (self.is_ours(second, value)?, self.chosen) {
            (true, None) => Ok((second, false)),
            (true, Some(_)) => Err(format!("it belongs to the topic {}", self.name(second))),
            (false, Some(_)) => Ok((first, true)),
            (false, None) => {
                Err("its type is neither a call's nor a rental's; with --topic it is \
                                  published anyway"
                    .to_owned())
            }
        }
    }

    /// Whether the meter would accept the event from this topic and not skip it.
    fn is_ours(&self, topic: Topic, value: &[u8]) -> Result<bool, String> {
        match decode::decode(topic, value, self.clock.now(), self.limits) {
            Event::CallEnded(_) | Event::CallSignalled(_) | Event::RentalDue(_) => Ok(true),
            Event::Skipped => Ok(false),
            Event::Rejected(rejection) => Err(masked(&rejection.detail).into_owned()),
        }
    }
}
