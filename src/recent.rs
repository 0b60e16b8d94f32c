//! What was read a short while ago, by key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// With more than these, old ones are dropped.
const KEYS: usize = 4_096;

/// Values that stand for some time after they were read.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    stands: Duration,
    values: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    /// A value stands for this time.
    pub(crate) fn new(stands: Duration) -> Self {
        Self { stands, values: Mutex::default() }
    }

    /// The value of a key, if it still stands.
    pub(crate) fn find(&self, key: &K) -> Option<V> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, value) = values.get(key)?;
        (read.elapsed() < self.stands).then(|| value.clone())
    }

    /// Keeps what was just read.
    pub(crate) fn keep(&self, key: K, value: V) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() >= KEYS {
            values.retain(|_, (read, _)| read.elapsed() < self.stands);
        }
        values.insert(key, (Instant::now(), value));
    }
}
