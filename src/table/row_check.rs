//! Whether rows of a heads table are there twice.

use std::collections::HashMap;

/// Tokens of each sample that are counted in a list; later ones are counted in a map.
const NEAR: u32 = 256;

/// Counts the rows of every answer token of every sample: there is one for each layer and head.
#[derive(Default)]
pub(super) struct RowCheck {
    /// Layers × heads of each sample.
    most: Vec<u32>,
    near: Vec<Vec<u32>>,
    far: HashMap<(u32, u32), u32>,
}

impl RowCheck {
    /// For samples with these numbers of layers × heads.
    pub fn new(most: Vec<u32>) -> Self {
        let near = vec![Vec::new(); most.len()];
        Self { most, near, far: HashMap::new() }
    }

    /// Counts a row; `false` if there are more of its token than the sample has heads.
    pub fn add(&mut self, sample: u32, token: u32) -> bool {
        let (Some(&most), Some(near)) =
            (self.most.get(sample as usize), self.near.get_mut(sample as usize))
        else {
            return false;
        };
        let count = if token < NEAR {
            let place = token as usize;
            if near.len() <= place {
                near.resize(place + 1, 0);
            }
            &mut near[place]
        } else {
            self.far.entry((sample, token)).or_default()
        };
        *count += 1;
        *count <= most
    }

    /// The fault of a row for which [`Self::add`] says `false`.
    pub fn fault(token: u32, sample: &str, row: u64) -> String {
        format!(
            "has the token {token} of the sample `{sample}` more than once for the same head, in row {row} at the latest"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_row_for_each_head() {
        let mut check = RowCheck::new(vec![2, 4]);
        for token in [0, 7, NEAR, u32::MAX] {
            assert!(check.add(0, token) && check.add(0, token) && !check.add(0, token), "{token}");
            assert!((0..4).all(|_| check.add(1, token)) && !check.add(1, token), "{token}");
        }
        assert!(!check.add(2, 0), "no such sample");
    }
}
