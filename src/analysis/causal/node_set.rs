//! Sets of nodes as bits: a graph search is unions and intersections of them.

use std::ops::{BitAnd, BitOr, Sub};

/// Nodes that a graph can have.
pub const MAX_NODES: usize = 256;
const BITS: usize = u64::BITS as usize;
const WORDS: usize = MAX_NODES / BITS;

/// A set of nodes below [`MAX_NODES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSet([u64; WORDS]);

impl NodeSet {
    /// No node.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// The nodes 0 … `count` − 1.
    pub fn first(count: usize) -> Self {
        Self(std::array::from_fn(|word| match count.saturating_sub(word * BITS) {
            bits if bits >= BITS => u64::MAX,
            bits => (1 << bits) - 1,
        }))
    }

    /// Adds a node.
    pub const fn insert(&mut self, node: usize) {
        self.0[node / BITS] |= 1 << (node % BITS);
    }

    /// Takes a node away.
    pub const fn remove(&mut self, node: usize) {
        self.0[node / BITS] &= !(1 << (node % BITS));
    }

    /// The set with one node more.
    #[must_use]
    pub const fn with(mut self, node: usize) -> Self {
        self.insert(node);
        self
    }

    /// The set without a node.
    #[must_use]
    pub const fn without(mut self, node: usize) -> Self {
        self.remove(node);
        self
    }

    /// Whether a node is in it.
    pub const fn contains(&self, node: usize) -> bool {
        self.0[node / BITS] >> (node % BITS) & 1 == 1
    }

    /// Whether no node is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether all its nodes are in `other`.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        (*self - *other).is_empty()
    }

    /// Its nodes, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                word &= word.wrapping_sub(1);
                (bit < BITS).then_some(index * BITS + bit)
            })
        })
    }
}

impl FromIterator<usize> for NodeSet {
    fn from_iter<I: IntoIterator<Item = usize>>(nodes: I) -> Self {
        nodes.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl BitAnd for NodeSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }
}

impl BitOr for NodeSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }
}

impl Sub for NodeSet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_nodes_of_every_word_in_ascending_order() {
        let nodes = [255, 0, 63, 64, 130];
        let set: NodeSet = nodes.into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 130, 255]);
        assert_eq!(set.len(), 5);
        assert!(set.contains(64) && !set.contains(65));
        let odd: NodeSet = [63, 255, 7].into_iter().collect();
        assert_eq!((set & odd).iter().collect::<Vec<_>>(), [63, 255]);
        assert_eq!((set - odd).iter().collect::<Vec<_>>(), [0, 64, 130]);
        assert_eq!((set | odd).len(), 6);
        assert!((set & odd).is_subset_of(&odd) && !set.is_subset_of(&odd));
        assert!(set.without(0).with(0) == set && NodeSet::EMPTY.is_empty());
        for count in [0, 3, 63, 64, 65, 200, MAX_NODES] {
            assert!(NodeSet::first(count).iter().eq(0..count));
        }
    }
}
