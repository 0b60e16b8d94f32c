//! Logs an incident once, not at each retry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An incident is over after this long without a sign of it.
const QUIET: Duration = Duration::from_mins(1);
/// Most incidents remembered; beyond it those that are over are forgotten first, then all.
const INCIDENTS_MAX: usize = 256;

/// The incidents in progress.
#[derive(Debug, Default)]
pub struct Incidents {
    seen: Mutex<HashMap<String, Instant>>,
}

impl Incidents {
    /// Notes an occurrence; true if it is the first since the incident was quiet.
    pub fn begins(&self, incident: impl Into<String>) -> bool {
        self.begins_at(incident.into(), Instant::now())
    }

    fn begins_at(&self, incident: String, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |at: &Instant| now.saturating_duration_since(*at) < QUIET;
        if seen.len() >= INCIDENTS_MAX {
            seen.retain(|_, at| lasts(at));
        }
        if seen.len() >= INCIDENTS_MAX {
            seen.clear();
        }
        seen.insert(incident, now).is_none_or(|at| !lasts(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_told_once_until_it_was_quiet() {
        let incidents = Incidents::default();
        let start = Instant::now();
        let happens = |seconds| {
            incidents.begins_at("a broker is away".to_owned(), start + Duration::from_secs(seconds))
        };
        assert_eq!(
            [happens(0), happens(1), happens(60), happens(119)],
            [true, false, false, false]
        );
        assert!(happens(180), "after a minute of quiet it is another one");
        assert!(incidents.begins_at("another".to_owned(), start));
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let incidents = Incidents::default();
        for n in 0..10 * INCIDENTS_MAX {
            incidents.begins(n.to_string());
        }
        assert!(incidents.seen.lock().unwrap().len() <= INCIDENTS_MAX);
    }
}
