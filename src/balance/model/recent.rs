//! A cache of recently used values, with a bound on its memory.
//!
//! Forgetting loses nothing: every value can be read again.

use std::borrow::Borrow;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

/// Two generations of entries: when the younger one is full, the older one is forgotten.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    generation_max: usize,
    younger: HashMap<K, V>,
    older: HashMap<K, V>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Holds up to twice `generation_max` entries.
    pub(crate) fn new(generation_max: usize) -> Self {
        Self { generation_max, younger: HashMap::new(), older: HashMap::new() }
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.younger.get(key).or_else(|| self.older.get(key))
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.younger.len() >= self.generation_max {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(key, value);
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.younger.remove(key);
        self.older.remove(key);
    }
}
