//! The calls of the simulated world: who calls whom, how a call ends, how long it lasts, and in
//! which shape Twilio reports it. Pure.

use rand::RngExt;
use rand::rngs::StdRng;

use super::sampling::conversation_seconds;

/// A town with telephones, as Twilio's geography names it.
pub(super) struct Place {
    pub(super) country: &'static str,
    pub(super) state: &'static str,
    pub(super) city: &'static str,
    pub(super) zip: &'static str,
    /// Prefix of the numbers there.
    pub(super) prefix: &'static str,
    /// Digits that follow the prefix.
    pub(super) digits: usize,
    /// Calls of a thousand that go there.
    weight: u32,
}

macro_rules! places {
    ($($country:literal $state:literal $city:literal $zip:literal $prefix:literal $digits:literal $weight:literal;)+) => {
        &[$(Place {
            country: $country, state: $state, city: $city, zip: $zip,
            prefix: $prefix, digits: $digits, weight: $weight,
        }),+]
    };
}

pub(super) const PLACES: &[Place] = places! {
    "US" "NY" "NEW YORK" "10004" "+1646555" 4 180;
    "US" "CA" "LOS ANGELES" "90012" "+1213555" 4 150;
    "US" "TX" "AUSTIN" "78701" "+1512555" 4 110;
    "US" "WI" "FOND DU LAC" "54937" "+1920555" 4 90;
    "US" "" "" "" "+1888555" 4 60;
    "CA" "ON" "TORONTO" "" "+1416555" 4 60;
    "GB" "London" "" "" "+4420794609" 2 110;
    "GB" "" "" "" "+4477009009" 2 50;
    "DE" "" "Berlin" "" "+493023125" 3 50;
    "BR" "SP" "São Paulo" "" "+5511555500" 3 50;
    "IN" "Bihar / Jharkhand" "" "" "+9180855501" 2 60;
    "AU" "NSW" "Sydney" "" "+6125550" 4 28;
    "" "" "" "" "+881622" 6 2;
};

/// Number of places with customers' own numbers: the American ones.
const HOMES: u32 = 4;

/// One end of a call.
#[derive(Clone, Copy)]
pub(super) enum End {
    Phone { place: u8, line: u32 },
    Client(u32),
    Sip(u32),
    Anonymous,
}

impl End {
    /// The number of an account: always the same one.
    pub(super) fn of_account(account: u32) -> Self {
        let place = u8::try_from(account % HOMES).expect("there are few homes");
        Self::Phone { place, line: account / HOMES }
    }

    fn far(random: &mut StdRng) -> Self {
        let line = random.random::<u32>();
        match random.random_range(0..100) {
            0 => Self::Client(line),
            1 => Self::Sip(line),
            _ => Self::Phone { place: draw_place(random), line },
        }
    }
}

fn draw_place(random: &mut StdRng) -> u8 {
    let total: u32 = PLACES.iter().map(|place| place.weight).sum();
    let mut left = random.random_range(0..total);
    for (place, index) in PLACES.iter().zip(0..) {
        if left < place.weight {
            return index;
        }
        left -= place.weight;
    }
    unreachable!("the weights sum to the total")
}

/// Twilio's `CallStatus`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Initiated,
    Ringing,
    InProgress,
    Completed,
    Busy,
    NoAnswer,
    Failed,
    Canceled,
}

impl Status {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no-answer",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Last word of the `CloudEvent` type; Twilio has one event for all ends of a call.
    pub(super) const fn event(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "answered",
            _ => "completed",
        }
    }

    pub(super) const fn is_end(self) -> bool {
        !matches!(self, Self::Initiated | Self::Ringing | Self::InProgress)
    }
}

/// Twilio's `Direction`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Inbound,
    OutboundApi,
    OutboundDial,
    TrunkingOriginating,
}

impl Direction {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::OutboundApi => "outbound-api",
            Self::OutboundDial => "outbound-dial",
            Self::TrunkingOriginating => "trunking-originating",
        }
    }
}

/// The shape of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The status-callback parameters as one object.
    Flat,
    /// A `CloudEvent` of Event Streams: the older family of types, `data` as a JSON string.
    Cloud { older: bool, text: bool },
}

impl Shape {
    pub(super) fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..20) {
            0..10 => Self::Flat,
            10..15 => Self::Cloud { older: false, text: false },
            15..17 => Self::Cloud { older: false, text: true },
            17..19 => Self::Cloud { older: true, text: false },
            _ => Self::Cloud { older: true, text: true },
        }
    }
}

/// One leg.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) sid: u128,
    /// The leg that dialled this one; 0: none.
    pub(super) parent: u128,
    pub(super) account: u32,
    pub(super) from: End,
    pub(super) to: End,
    pub(super) direction: Direction,
    pub(super) end: Status,
    /// Seconds from answer to end; 0 if nobody answered.
    pub(super) seconds: u32,
    /// Seconds from dialling to answer, or to the end.
    pub(super) ring_seconds: u32,
    pub(super) by_machine: bool,
    /// Whether durations are JSON numbers.
    pub(super) as_numbers: bool,
    /// Twilio's `Duration`, which most events have.
    pub(super) minutes: Option<u32>,
}

impl Call {
    /// Draws a call of `account` with any end.
    pub(super) fn draw(account: u32, random: &mut StdRng) -> Self {
        let (end, by_machine) = match random.random_range(0..100) {
            0..42 => (Status::Completed, false),
            42..64 => (Status::Completed, true),
            64..85 => (Status::NoAnswer, false),
            85..93 => (Status::Busy, false),
            93..97 => (Status::Failed, false),
            _ => (Status::Canceled, false),
        };
        Self::ending(account, end, by_machine, random)
    }

    /// Draws a call of `account` that is charged.
    pub(super) fn draw_completed(account: u32, random: &mut StdRng) -> Self {
        let by_machine = random.random_range(0..64) < 22;
        Self::ending(account, Status::Completed, by_machine, random)
    }

    fn ending(account: u32, end: Status, by_machine: bool, random: &mut StdRng) -> Self {
        let seconds = match end {
            Status::Completed if random.random_range(0..200) == 0 => 0,
            Status::Completed if by_machine => random.random_range(4..38),
            Status::Completed => conversation_seconds(random),
            _ => 0,
        };
        let own = End::of_account(account);
        let far = End::far(random);
        let (direction, from, to) = match random.random_range(0..20) {
            0..15 => (Direction::OutboundApi, own, far),
            15..18 => (Direction::Inbound, far, own),
            18 => (Direction::Inbound, End::Anonymous, own),
            _ => (Direction::TrunkingOriginating, far, own),
        };
        Self {
            sid: random.random(),
            parent: 0,
            account,
            from,
            to,
            direction,
            end,
            seconds,
            ring_seconds: if end == Status::NoAnswer { 30 } else { random.random_range(1..20) },
            by_machine,
            as_numbers: random.random_range(0..32) == 0,
            minutes: twilio_minutes(seconds, random),
        }
    }

    /// Draws the leg that an answered call dials, such as a transfer to an agent.
    pub(super) fn draw_child(&self, random: &mut StdRng) -> Self {
        let seconds = self.seconds - random.random_range(0..=self.seconds.min(20));
        Self {
            sid: random.random(),
            parent: self.sid,
            from: if self.direction == Direction::OutboundApi { self.from } else { self.to },
            to: End::far(random),
            direction: Direction::OutboundDial,
            seconds,
            ring_seconds: random.random_range(1..10),
            by_machine: false,
            minutes: twilio_minutes(seconds, random),
            ..*self
        }
    }

    /// Ends an answered call after this many seconds, as Twilio's `TimeLimit` does.
    pub(super) fn cut_to(&mut self, seconds: u32) {
        self.seconds = self.seconds.min(seconds);
        self.minutes = self.minutes.map(|_| self.seconds.div_ceil(60));
    }

    /// The events before the end, in order.
    pub(super) fn leads(&self) -> &'static [Status] {
        match (self.direction, self.end) {
            (Direction::Inbound | Direction::TrunkingOriginating, Status::Completed) => {
                &[Status::Ringing, Status::InProgress]
            }
            (_, Status::Completed) => &[Status::Initiated, Status::Ringing, Status::InProgress],
            (Direction::Inbound | Direction::TrunkingOriginating, _) => &[Status::Ringing],
            (_, Status::Busy | Status::Failed) => &[Status::Initiated],
            _ => &[Status::Initiated, Status::Ringing],
        }
    }

    /// Seconds between an event and the call's end.
    pub(super) fn seconds_to_end(&self, status: Status) -> u32 {
        match status {
            Status::Initiated => self.seconds + self.ring_seconds + 1,
            Status::Ringing => self.seconds + self.ring_seconds,
            Status::InProgress => self.seconds,
            _ => 0,
        }
    }
}

/// Twilio's own count of minutes: nearly always present and nearly always right.
fn twilio_minutes(seconds: u32, random: &mut StdRng) -> Option<u32> {
    match random.random_range(0..1_000) {
        0 => Some(seconds.div_ceil(60) + 1),
        1..20 => None,
        _ => Some(seconds.div_ceil(60)),
    }
}
