//! A choice of samples.

/// Whether each sample is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask(Vec<bool>);

impl Mask {
    /// All of `samples` samples.
    pub fn all(samples: usize) -> Self {
        Self(vec![true; samples])
    }

    /// One entry for each sample.
    pub const fn new(chosen: Vec<bool>) -> Self {
        Self(chosen)
    }

    /// Number of samples, chosen or not.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no samples at all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a sample is chosen.
    pub fn has(&self, sample: usize) -> bool {
        self.0.get(sample) == Some(&true)
    }

    /// Number of chosen samples.
    pub fn count(&self) -> usize {
        self.0.iter().filter(|chosen| **chosen).count()
    }

    /// The chosen samples in their order.
    pub fn rows(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|&sample| self.0[sample]).collect()
    }

    /// The samples that both choose.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(own, other)| *own && *other).collect())
    }

    /// The samples that are not chosen.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self(self.0.iter().map(|chosen| !chosen).collect())
    }
}
