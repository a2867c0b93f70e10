//! Values that are kept with the key of everything that they were computed from.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

/// A value with what it was computed from.
#[derive(Debug)]
pub(super) struct CachedValue<K, V> {
    entry: RefCell<Option<(K, Arc<V>)>>,
}

impl<K, V> Default for CachedValue<K, V> {
    fn default() -> Self {
        Self { entry: RefCell::new(None) }
    }
}

impl<K: PartialEq, V> CachedValue<K, V> {
    pub(super) fn get(&self, key: K, compute: impl FnOnce() -> V) -> Arc<V> {
        if let Some((kept, value)) = &*self.entry.borrow()
            && *kept == key
        {
            return Arc::clone(value);
        }
        let value = Arc::new(compute());
        self.entry.replace(Some((key, Arc::clone(&value))));
        value
    }
}

/// Values of the keys that were used last.
#[derive(Debug)]
pub(super) struct CachedValues<K, V> {
    entries: RefCell<VecDeque<(K, Arc<V>)>>,
}

impl<K, V> Default for CachedValues<K, V> {
    fn default() -> Self {
        Self { entries: RefCell::default() }
    }
}

impl<K: PartialEq, V> CachedValues<K, V> {
    /// A list of answers shows fewer at once.
    const MOST: usize = 64;

    pub(super) fn get(&self, key: K, compute: impl FnOnce() -> V) -> Arc<V> {
        let known = |(own, value): &(K, Arc<V>)| (*own == key).then(|| Arc::clone(value));
        let found = self.entries.borrow().iter().find_map(known);
        if let Some(value) = found {
            return value;
        }
        let value = Arc::new(compute());
        let mut entries = self.entries.borrow_mut();
        if entries.len() == Self::MOST {
            entries.pop_front();
        }
        entries.push_back((key, Arc::clone(&value)));
        value
    }
}
