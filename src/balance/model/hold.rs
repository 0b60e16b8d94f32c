//! A hold: money and allowance kept for one call, as Redis packs it and the journal stores it.

use callmeter_core::domain::{Increments, Money, RatePerMinute, SubscriptionId};
use chrono::{DateTime, Utc};

use super::error::BalanceError;

/// A cycle of a subscription, as Redis names it: `subscription:start`, the start in micro-seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CycleRef {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The cycle's start.
    pub start: DateTime<Utc>,
}

impl std::fmt::Display for CycleRef {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.subscription, self.start.timestamp_micros())
    }
}

impl CycleRef {
    /// The word for a cycle, or for none, in a packed hold.
    pub fn word(cycle: Option<Self>) -> String {
        cycle.map_or_else(|| "-".to_owned(), |cycle| cycle.to_string())
    }

    /// Reads the name that [`Display`](std::fmt::Display) writes; `None` for `-`.
    pub fn parse(text: &str) -> Option<Self> {
        let (subscription, start) = text.split_once(':')?;
        Some(Self {
            subscription: SubscriptionId(subscription.parse().ok()?),
            start: DateTime::from_timestamp_micros(start.parse().ok()?)?,
        })
    }
}

/// What caused a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldSource {
    /// A caller asked.
    Authorize,
    /// The call was seen in the stream; no caller asked.
    Stream,
}

impl HoldSource {
    /// The word in the packed hold.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Stream => "stream",
        }
    }
}

/// Who granted a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantedBy {
    /// A script in Redis.
    Redis {
        /// Id of the last applied request; a retry has the same.
        operation: String,
    },
    /// Postgres, while Redis was away; no script changed it since.
    Postgres,
}

/// The operation that Redis packs for [`GrantedBy::Postgres`]; `restore.lua` knows the word.
const WITHOUT_REDIS: &str = "fail_open";

impl GrantedBy {
    /// The word in the journal.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Redis { .. } => "redis",
            Self::Postgres => "postgres",
        }
    }

    fn from_operation(operation: &str) -> Self {
        match operation {
            WITHOUT_REDIS => Self::Postgres,
            operation => Self::Redis { operation: operation.to_owned() },
        }
    }

    fn operation(&self) -> &str {
        match self {
            Self::Redis { operation } => operation,
            Self::Postgres => WITHOUT_REDIS,
        }
    }
}

/// One call's hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Rises with each change: micro-seconds of Redis's clock.
    pub revision: i64,
    /// How long the call may last, counted from its answer.
    pub granted_seconds: u32,
    /// No more could be had by asking.
    pub is_final: bool,
    /// Money held.
    pub money: Money,
    /// Allowance held, in seconds.
    pub allowance_seconds: u32,
    /// The cycle whose allowance that is.
    pub cycle: Option<CycleRef>,
    /// What that cycle includes, in seconds.
    pub included_seconds: u64,
    /// Rate of the wallet's part.
    pub rate: RatePerMinute,
    /// How seconds become billed seconds.
    pub increments: Increments,
    /// Nothing is granted beyond the allowance.
    pub blocks_overage: bool,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
    /// Until when the call may start and use the grant: ring time + granted time.
    pub valid_until: DateTime<Utc>,
    /// When it is released if the call is neither charged nor voided.
    pub expires_at: DateTime<Utc>,
    /// What caused it.
    pub source: HoldSource,
    /// Who granted it.
    pub granted_by: GrantedBy,
}

impl Hold {
    /// Reads the sixteen words of a packed hold.
    ///
    /// # Errors
    /// `Unreadable` if the text is no packed hold.
    pub fn unpack(packed: &str) -> Result<Self, BalanceError> {
        Self::read(packed).ok_or_else(|| BalanceError::unreadable("a hold", &format!("{packed:?}")))
    }

    fn read(packed: &str) -> Option<Self> {
        let mut words = packed.split(' ');
        let mut next = || words.next();
        let instant = |word: &str| DateTime::from_timestamp_micros(word.parse().ok()?);
        let hold = Self {
            revision: next()?.parse().ok()?,
            granted_seconds: next()?.parse().ok()?,
            is_final: next()? == "1",
            money: Money::from_micros(next()?.parse().ok()?),
            allowance_seconds: next()?.parse().ok()?,
            cycle: match next()? {
                "-" => None,
                cycle => Some(CycleRef::parse(cycle)?),
            },
            included_seconds: next()?.parse().ok()?,
            rate: RatePerMinute::from_micros(next()?.parse().ok()?).ok()?,
            increments: Increments::new(next()?.parse().ok()?, next()?.parse().ok()?).ok()?,
            blocks_overage: next()? == "1",
            placed_at: instant(next()?)?,
            valid_until: instant(next()?)?,
            expires_at: instant(next()?)?,
            source: match next()? {
                "authorize" => HoldSource::Authorize,
                "stream" => HoldSource::Stream,
                _ => return None,
            },
            granted_by: GrantedBy::from_operation(next()?),
        };
        words.next().is_none().then_some(hold)
    }

    /// Writes the sixteen words.
    pub fn pack(&self) -> String {
        let cycle = CycleRef::word(self.cycle);
        format!(
            "{} {} {} {} {} {cycle} {} {} {} {} {} {} {} {} {} {}",
            self.revision,
            self.granted_seconds,
            u8::from(self.is_final),
            self.money.micros(),
            self.allowance_seconds,
            self.included_seconds,
            self.rate.micros(),
            self.increments.initial(),
            self.increments.increment(),
            u8::from(self.blocks_overage),
            self.placed_at.timestamp_micros(),
            self.valid_until.timestamp_micros(),
            self.expires_at.timestamp_micros(),
            self.source.as_str(),
            self.granted_by.operation(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_hold_reads_as_it_was_written_and_nothing_else_does() {
        let packed = "1700000000000001 120 1 28000 0 - 0 14000 60 60 0 1700000000000000 \
                      1700000240000000 1700000540000000 stream op-1";
        let hold = Hold::unpack(packed).expect("a hold");
        assert_eq!(hold.pack(), packed);
        let with_cycle = packed.replace(" - 0 ", " 7:1700000000000000 6000 ");
        let hold = Hold::unpack(&with_cycle).expect("a hold");
        assert_eq!(hold.pack(), with_cycle);
        assert_eq!(hold.cycle.map(|cycle| cycle.subscription), Some(SubscriptionId(7)));
        for wrong in ["", "1 2 3", &format!("{packed} more"), &packed.replace("stream", "dream")] {
            assert!(Hold::unpack(wrong).is_err(), "{wrong}");
        }
    }
}
