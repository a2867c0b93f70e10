//! Whether rows of a heads table are there twice, or name heads that their sample's model lacks.

use super::SampleRow;
use crate::trace::MAX_MAPS;
use std::collections::HashMap;

/// Tokens of each sample that are counted in a list; later ones are counted in a map.
const NEAR: u32 = 256;

/// The heads of a sample's model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    /// Layers with attention × heads.
    cells: u32,
    heads: u32,
    /// The numbers of the layers are below this.
    layers_end: u32,
}

impl Heads {
    /// Of `layers` with attention. Where the number of all layers of the model is not known, it is that of the largest model
    /// that a trace can have.
    pub fn new(layers: u32, heads: u32, model_layers: Option<u32>) -> Self {
        let most = || u32::try_from(MAX_MAPS / u64::from(heads.max(1))).unwrap_or(u32::MAX);
        let layers_end = model_layers.unwrap_or_else(most);
        Self { cells: layers.saturating_mul(heads), heads, layers_end }
    }

    /// Of a row of the samples table.
    pub fn of(row: &SampleRow) -> Self {
        Self::new(row.layers, row.heads, row.model_layers)
    }
}

/// A row of a heads table.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadRow {
    /// Place of the sample.
    pub sample: u32,
    pub token: u32,
    pub layer: u32,
    pub head: u32,
    /// The number of the row, from 1.
    pub row: u64,
}

/// The column with a fault, and the fault.
pub(super) type Fault = (&'static str, String);

/// Counts the rows of every answer token of every sample: there is one for each layer and head.
#[derive(Default)]
pub(super) struct RowCheck {
    samples: Vec<Heads>,
    near: Vec<Vec<u32>>,
    far: HashMap<(u32, u32), u32>,
}

impl RowCheck {
    /// For samples with these heads.
    pub fn new(samples: Vec<Heads>) -> Self {
        let near = vec![Vec::new(); samples.len()];
        Self { samples, near, far: HashMap::new() }
    }

    /// The heads of the sample of a row, after a check that its head is one of them.
    ///
    /// # Errors
    /// A layer or head that the sample's model lacks.
    pub fn check_head<'a>(&self, of: HeadRow, name: impl Fn() -> &'a str) -> Result<Heads, Fault> {
        let HeadRow { sample, layer, head, row, .. } = of;
        let Some(heads) = self.samples.get(sample as usize) else {
            return Err(("sample", format!("names the unknown sample `{}` in row {row}", name())));
        };
        let lacks = |column, number: u32, most: u32| {
            let reason = format!(
                "names the {column} {number} in row {row}, and the sample `{}` has at most {most}, counted from 0",
                name()
            );
            Err((column, reason))
        };
        if layer >= heads.layers_end {
            return lacks("layer", layer, heads.layers_end);
        }
        if head >= heads.heads {
            return lacks("head", head, heads.heads);
        }
        Ok(*heads)
    }

    /// Number of tokens of each sample.
    pub fn tokens(&self) -> Vec<u32> {
        let near = |counts: &Vec<u32>| counts.iter().filter(|count| **count > 0).count() as u32;
        let mut tokens: Vec<u32> = self.near.iter().map(near).collect();
        for (sample, _) in self.far.keys() {
            tokens[*sample as usize] += 1;
        }
        tokens
    }

    /// Counts a row; `name` is the name of its sample.
    ///
    /// # Errors
    /// As [`Self::check_head`], or more rows of a token than the model has heads.
    pub fn add<'a>(&mut self, of: HeadRow, name: impl Fn() -> &'a str) -> Result<(), Fault> {
        let heads = self.check_head(of, &name)?;
        let HeadRow { sample, token, row, .. } = of;
        let near = &mut self.near[sample as usize];
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
        if *count > heads.cells {
            let reason = format!(
                "has the token {token} of the sample `{}` more than once for the same head, in row {row} at the latest",
                name()
            );
            return Err(("token", reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn row(sample: u32, token: u32, [layer, head]: [u32; 2]) -> HeadRow {
        HeadRow { sample, token, layer, head, row: 7 }
    }

    fn added(check: &mut RowCheck, sample: u32, token: u32, place: [u32; 2]) -> Result<(), Fault> {
        check.add(row(sample, token, place), || "a")
    }

    #[test]
    fn a_token_has_one_row_for_each_head() {
        let mut check = RowCheck::new(vec![Heads::new(1, 2, None), Heads::new(2, 2, Some(2))]);
        for token in [0, 7, NEAR, u32::MAX] {
            assert!(
                added(&mut check, 0, token, [0, 0]).is_ok()
                    && added(&mut check, 0, token, [0, 1]).is_ok()
            );
            let fault = added(&mut check, 0, token, [0, 1]).unwrap_err();
            assert_eq!(fault.0, "token", "{token}");
            assert!(
                (0..4).all(|at| added(&mut check, 1, token, [at / 2, at % 2]).is_ok()),
                "{token}"
            );
            assert!(added(&mut check, 1, token, [0, 0]).is_err(), "{token}");
        }
        assert_eq!(check.tokens(), [4, 4]);
        assert!(added(&mut check, 2, 0, [0, 0]).is_err(), "no such sample");
    }

    #[test]
    fn layers_and_heads_that_the_model_lacks_are_refused() {
        let mut check = RowCheck::new(vec![Heads::new(2, 4, Some(8)), Heads::new(2, 4, None)]);
        // Layers have the model's own numbers: two of eight have attention.
        assert!(added(&mut check, 0, 0, [7, 3]).is_ok());
        let (column, reason) = added(&mut check, 0, 0, [8, 0]).unwrap_err();
        let wanted = "names the layer 8 in row 7, and the sample `a` has at most 8, counted from 0";
        assert_eq!((column, reason.as_str()), ("layer", wanted));
        let (column, reason) = added(&mut check, 0, 0, [0, 4]).unwrap_err();
        assert!(column == "head" && reason.contains("the head 4 in row 7"), "{reason}");
        // A table of an earlier program lacks the number of all layers.
        assert!(added(&mut check, 1, 0, [8, 3]).is_ok());
        assert_eq!(added(&mut check, 1, 0, [u32::MAX, 0]).unwrap_err().0, "layer");
    }
}
