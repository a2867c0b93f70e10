//! Tables of activation patching as figures and panels show them: groups of positions × layers, or layers × heads.

use super::causal::on_picture;
use super::figure::{PatchNumbers, head_name};
use super::{Bounds, ViewError, ViewState};
use crate::analysis::patching::{PatchResult, Site, StoredError};
use crate::trace::{AnswerIndex, PatchRef, Trace, TraceMeta};

/// Why a table cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum PatchTableError {
    /// The selection names no answer token.
    #[error(transparent)]
    Token(#[from] ViewError),
    /// The trace holds no table.
    #[error(
        "the trace holds no copied activations of answer token {token}{what}; compute them with `vlmscope patch TRACE OTHER --token {token}`."
    )]
    NotComputed {
        /// The answer token.
        token: u32,
        /// The requested activations as a part of the sentence; empty for any.
        what: String,
    },
    /// The table in the trace is damaged.
    #[error(transparent)]
    Stored(#[from] StoredError),
}

impl PatchTableError {
    /// The reason in a few words, without advice, for a figure.
    pub fn in_short(&self) -> String {
        match self {
            Self::NotComputed { .. } => "No activations were copied for this token yet".into(),
            other => other.to_string(),
        }
    }
}

/// A table of activation patching.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchTable {
    /// The copied activations.
    pub site: Site,
    /// The picture of the run that they are copied into.
    pub other: String,
    /// log p of the token with its own picture and with the other one.
    pub logprobs: [f32; 2],
    /// Groups of positions, or layers (of each group) for heads.
    pub rows: Vec<PatchRow>,
    /// Number of layers, or of heads.
    pub columns: u32,
    /// Share of the answer that returns, [rows, columns]; `None` where it is not known.
    pub values: Vec<Option<f32>>,
    /// Whether the values are first-order estimates.
    pub is_estimate: bool,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchRow {
    /// Its name: a group of positions, or the number of a layer.
    pub name: String,
    /// The positions that are copied together.
    pub positions: Vec<u32>,
    /// The layer, if the columns are heads.
    pub layer: Option<u32>,
}

impl PatchRow {
    /// The patches among its positions.
    pub fn patches(&self, meta: &TraceMeta) -> Vec<PatchRef> {
        self.positions.iter().filter_map(|&key| meta.patch_of_key(key)).collect()
    }
}

impl PatchTable {
    /// The exact values of a result, or its first-order estimates.
    pub fn new(result: &PatchResult, is_estimate: bool) -> Self {
        let is_heads = result.site == Site::Heads;
        let several = result.groups.len() > 1;
        let mut rows = Vec::new();
        for group in &result.groups {
            let layers = if is_heads { (0..result.layers).map(Some).collect() } else { vec![None] };
            rows.extend(layers.into_iter().map(|layer| PatchRow {
                name: match layer {
                    Some(layer) if several => format!("{} · {layer}", group.name),
                    Some(layer) => layer.to_string(),
                    None => group.name.clone(),
                },
                positions: group.positions.clone(),
                layer,
            }));
        }
        // Cells are [groups, layers, heads], which are [rows, columns] for both kinds of tables.
        let value = |cell| match is_estimate {
            true => result.estimated(cell),
            false => result.restored(cell),
        };
        Self {
            site: result.site,
            other: result.other.clone(),
            logprobs: [result.logprob_a, result.logprob_b],
            rows,
            columns: if is_heads { result.heads } else { result.layers },
            values: (0..result.patched.len()).map(value).collect(),
            is_estimate,
        }
    }

    /// The table of a state that the trace holds: of its activations or, without a choice, the first of residual stream,
    /// heads and MLPs. Estimates are shown where nothing else was computed.
    ///
    /// # Errors
    /// A token that was not chosen, no table, or a damaged one.
    pub fn of_trace(state: &ViewState, trace: &Trace) -> Result<Self, PatchTableError> {
        let answer = Bounds::from_trace(trace).causal_answer(&state.map.queries)?;
        let result = Self::stored(state.site, trace, answer)?;
        Ok(Self::new(&result, result.done() == 0))
    }

    fn stored(
        site: Option<Site>,
        trace: &Trace,
        answer: AnswerIndex,
    ) -> Result<PatchResult, PatchTableError> {
        let wanted = site.as_ref().map_or(&Site::ALL[..], std::slice::from_ref);
        for &site in wanted {
            if let Some(found) = PatchResult::stored(trace, answer, site)? {
                return Ok(found);
            }
        }
        let what = site.map_or_else(String::new, |site| format!(" (--what {})", site.name()));
        Err(PatchTableError::NotComputed { token: answer.0, what })
    }

    /// The names of rows and columns.
    pub const fn axes(&self) -> [&'static str; 2] {
        match self.site {
            Site::Heads => ["layer", "head"],
            Site::Residual | Site::Mlp => ["position", "layer"],
        }
    }

    /// The value of a cell.
    pub fn value(&self, row: usize, column: u32) -> Option<f32> {
        if column >= self.columns {
            return None;
        }
        self.values.get(row * self.columns as usize + column as usize).copied().flatten()
    }

    /// The place of a cell for a reader: "layer 3, fox", "L3 H2".
    pub fn place(&self, row: usize, column: u32) -> String {
        match self.rows.get(row) {
            Some(PatchRow { layer: Some(layer), .. }) => head_name(*layer, column),
            Some(row) => format!("layer {column}, {}", row.name),
            None => String::new(),
        }
    }

    /// The place of a share on a diverging colour map: 0 is its middle, and both ends are at a whole answer.
    pub fn shade(share: f32) -> f32 {
        0.5 + 0.5 * share.clamp(-1.0, 1.0)
    }

    /// The numbers of its caption and legend.
    pub fn numbers(&self) -> PatchNumbers {
        let known = || self.values.iter().flatten();
        PatchNumbers {
            site: self.site,
            is_estimate: self.is_estimate,
            done: known().count(),
            places: self.values.len(),
            is_clipped: [known().any(|&value| value < -1.0), known().any(|&value| value > 1.0)],
        }
    }

    /// The patches that stand out on the picture beside the table, as left, upper, right and lower edge, 0–1: the selected
    /// ones or, without a selection, those of objects. Empty where nothing stands out.
    pub fn lit(&self, state: &ViewState, trace: &Trace) -> Vec<[f32; 4]> {
        let meta = trace.meta();
        let mut patches = state.selected.clone();
        if patches.is_empty() && self.site != Site::Heads {
            // The last group with patches holds those outside of all objects.
            let groups = self.rows.iter().map(|row| row.patches(meta));
            let mut groups: Vec<_> = groups.filter(|patches| !patches.is_empty()).collect();
            groups.pop();
            patches = groups.concat();
        }
        patches.into_iter().filter_map(|patch| on_picture(state, trace, patch)).collect()
    }

    /// Whether a row has patches, which a picture beside the table shows.
    pub fn has_patches(&self, meta: &TraceMeta) -> bool {
        self.rows.iter().any(|row| row.positions.iter().any(|&at| meta.patch_of_key(at).is_some()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::analysis::patching::PositionGroup;

    fn result(site: Site, groups: &[&str]) -> PatchResult {
        let group = |(index, name): (usize, &&str)| PositionGroup {
            name: (*name).to_owned(),
            positions: vec![index as u32],
        };
        let groups = groups.iter().enumerate().map(group).collect();
        let mut found =
            PatchResult::new((AnswerIndex(1), site), "B".into(), [-1.0, -3.0], groups, [3, 2]);
        found.patched[1] = Some(-2.0);
        found.estimates = vec![4.0; found.patched.len()];
        found
    }

    #[test]
    fn a_table_has_positions_and_layers_or_layers_and_heads() {
        let table = PatchTable::new(&result(Site::Residual, &["fox", "last position"]), false);
        assert_eq!((table.rows.len(), table.columns, table.axes()), (2, 3, ["position", "layer"]));
        assert_eq!(
            (table.value(0, 1), table.value(0, 0), table.value(0, 3)),
            (Some(0.5), None, None)
        );
        assert_eq!(table.place(0, 1), "layer 1, fox");
        assert_eq!((table.numbers().done, table.numbers().places), (1, 6));

        let heads = PatchTable::new(&result(Site::Heads, &["last position"]), true);
        assert_eq!((heads.rows.len(), heads.columns, heads.axes()), (3, 2, ["layer", "head"]));
        assert_eq!((heads.rows[2].name.as_str(), heads.place(2, 1)), ("2", "L2 H1".into()));
        assert_eq!(heads.value(2, 1), Some(2.0), "4 of a difference of 2");
        assert_eq!(heads.numbers().is_clipped, [false, true]);
        assert_eq!([-3.0, 0.0, 0.5, 9.0].map(PatchTable::shade), [0.0, 0.5, 0.75, 1.0]);

        let several = PatchTable::new(&result(Site::Heads, &["fox", "last position"]), false);
        assert_eq!(several.rows.len(), 6);
        assert_eq!(several.rows[4].name, "last position · 1");
    }
}
