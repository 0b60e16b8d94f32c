//! Settings of holds.

use crate::config::Settings;

/// How long holds live and how much they take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldSettings {
    /// Most seconds granted to one call.
    pub granted_seconds_max: u32,
    /// Seconds that a call may ring.
    pub ring_seconds: u32,
    /// Seconds that the event of a call's end may take to be charged.
    pub grace_seconds: u32,
    /// Seconds held for a call that was seen in the stream.
    pub stream_seconds: u32,
    /// Longest call; a status event older than that places no hold.
    pub call_seconds_max: u32,
    /// Most holds that one step releases.
    pub expired_per_step_max: u32,
    /// Most holds of one account that are not journaled yet.
    pub unjournaled_account_max: usize,
    /// Most holds of all accounts that are not journaled yet.
    pub unjournaled_max: usize,
    /// Micro-seconds added to Redis's clock; 0 in production.
    pub redis_clock_offset_micros: i64,
}

impl Default for HoldSettings {
    fn default() -> Self {
        Self {
            granted_seconds_max: 14_400,
            ring_seconds: 120,
            grace_seconds: 300,
            stream_seconds: 300,
            call_seconds_max: 86_400,
            expired_per_step_max: 16,
            unjournaled_account_max: 1_000,
            unjournaled_max: 20_000,
            redis_clock_offset_micros: 0,
        }
    }
}

impl From<&Settings> for HoldSettings {
    fn from(settings: &Settings) -> Self {
        let holds = &settings.holds;
        Self {
            granted_seconds_max: holds.grant_seconds_max,
            ring_seconds: holds.ring_seconds,
            grace_seconds: holds.grace_seconds,
            stream_seconds: holds.stream_seconds,
            call_seconds_max: settings.charging.call_seconds_max,
            expired_per_step_max: holds.expired_per_step_max,
            unjournaled_max: holds.unjournaled_max,
            unjournaled_account_max: holds.unjournaled_account_max,
            redis_clock_offset_micros: settings.clock.offset_seconds.saturating_mul(1_000_000),
        }
    }
}
