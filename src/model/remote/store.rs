//! Pictures and traces that a server keeps for its client, the newest within a limit of bytes.

use std::collections::VecDeque;
use std::sync::Arc;

/// Values by their key, newest last.
#[derive(Debug)]
pub struct Store<K, V> {
    kept: VecDeque<(K, Arc<V>, u64)>,
    most: usize,
    most_bytes: u64,
}

impl<K: PartialEq, V> Store<K, V> {
    /// An empty store for at most `most` values of `most_bytes` in all.
    pub fn new(most: usize, most_bytes: u64) -> Self {
        Self { kept: VecDeque::new(), most, most_bytes }
    }

    /// Adds a value, or replaces it; the oldest go. The newest stays, however large it is.
    pub fn insert(&mut self, key: K, value: Arc<V>, bytes: u64) {
        self.remove(&key);
        self.kept.push_back((key, value, bytes));
        while self.kept.len() > 1 && (self.kept.len() > self.most || self.bytes() > self.most_bytes)
        {
            self.kept.pop_front();
        }
    }

    /// A value, which is the newest from now on.
    pub fn get(&mut self, key: &K) -> Option<Arc<V>> {
        let at = self.kept.iter().position(|(known, ..)| known == key)?;
        let found = self.kept.remove(at)?;
        let value = Arc::clone(&found.1);
        self.kept.push_back(found);
        Some(value)
    }

    /// Removes a value.
    pub fn remove(&mut self, key: &K) {
        self.kept.retain(|(known, ..)| known != key);
    }

    fn bytes(&self) -> u64 {
        self.kept.iter().map(|(_, _, bytes)| bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_used_longest_ago_goes_first() {
        let mut store = Store::new(3, 100);
        for key in 1..=3 {
            store.insert(key, Arc::new(()), 30);
        }
        assert!(store.get(&1).is_some());
        store.insert(4, Arc::new(()), 30);
        assert!(store.get(&2).is_none() && store.get(&1).is_some(), "four are too many");
        store.insert(5, Arc::new(()), 60);
        assert!(store.get(&3).is_none() && store.get(&4).is_none() && store.get(&1).is_some());
        store.insert(6, Arc::new(()), 1000);
        assert!(store.get(&6).is_some() && store.get(&5).is_none());
    }
}
