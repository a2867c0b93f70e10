//! Interventions by their meaning: a head switched off, patches or words hidden.
//!
//! Positions and rows are derived here from the trace, so that the command line and the window agree on the queries of
//! "the answer".

use super::request::{Interventions, Steering};
use crate::trace::{Head, ImageSpan, Layer, TraceMeta};
use std::ops::Range;

/// The queries whose attention is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KnockFrom {
    /// The rows that predict the answer: the last prompt position and the positions of the answer.
    #[default]
    Answer,
    /// Every position after the last picture: otherwise the question's positions could pass on information that must
    /// not reach the answer.
    Text,
}

/// One change inside the decoder.
#[derive(Clone, Debug, PartialEq)]
pub enum Intervention {
    /// A bias of attention scores.
    Steer(Steer),
    /// Zero the output of these heads (zero ablation).
    AblateHeads(Vec<(Layer, Head)>),
    /// No attention to these key positions in the given layers (empty: all): attention knockout (Geva et al. 2023,
    /// arXiv 2304.14767).
    Knock {
        /// Key positions.
        keys: Vec<u32>,
        /// The queries whose attention is cut.
        from: KnockFrom,
        /// The layers; empty means all.
        layers: Vec<u32>,
    },
    /// No attention to any patch but these key positions.
    KeepPatches {
        /// Key positions of the patches that stay visible.
        keys: Vec<u32>,
        /// The queries whose attention is cut.
        from: KnockFrom,
        /// The layers; empty means all.
        layers: Vec<u32>,
    },
}

/// Steering by its meaning: attention of some heads is turned towards some keys, or away from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Steer {
    /// Key positions.
    pub keys: Vec<u32>,
    /// The heads; empty means all.
    pub heads: Vec<(Layer, Head)>,
    /// Added to the scores.
    pub strength: f32,
    /// The queries whose scores are changed.
    pub from: KnockFrom,
}

impl Steer {
    /// The decoder's inputs on the question of a trace.
    pub fn on(&self, meta: &TraceMeta) -> Interventions {
        let steering = Steering {
            strength: self.strength,
            heads: self.heads.iter().map(|(layer, head)| [layer.0, head.0]).collect(),
            queries: std::iter::once(self.from.first_query(meta)..u32::MAX).collect(),
            keys: ranges(&self.keys),
        };
        Interventions { steering: Some(steering), ..Interventions::default() }
    }
}

impl KnockFrom {
    /// The first of the queries; the range has no end, so that a longer answer is changed as well.
    fn first_query(self, meta: &TraceMeta) -> u32 {
        match self {
            Self::Answer => meta.prompt_len.saturating_sub(1),
            Self::Text => meta.question_range().start as u32,
        }
    }
}

impl Intervention {
    /// The decoder's inputs for this intervention on the question of a trace.
    pub fn on(&self, meta: &TraceMeta) -> Interventions {
        match self {
            Self::Steer(steer) => steer.on(meta),
            Self::AblateHeads(heads) => {
                let [layers, count] = [meta.model.layers, meta.model.heads].map(|n| n as usize);
                let mut head_scale = vec![1.0; layers * count];
                for (layer, head) in heads {
                    if let Some(scale) = head_scale.get_mut(layer.index() * count + head.index()) {
                        *scale = 0.0;
                    }
                }
                Interventions { head_scale, ..Interventions::default() }
            }
            Self::Knock { keys, from, layers } => knock(meta, ranges(keys), *from, layers),
            Self::KeepPatches { keys, from, layers } => {
                let hidden = meta.spans.iter().flat_map(ImageSpan::keys);
                let hidden: Vec<u32> =
                    hidden.map(|key| key as u32).filter(|key| !keys.contains(key)).collect();
                knock(meta, ranges(&hidden), *from, layers)
            }
        }
    }
}

fn knock(
    meta: &TraceMeta,
    knock_keys: Vec<Range<u32>>,
    from: KnockFrom,
    layers: &[u32],
) -> Interventions {
    let knock_layers =
        if layers.is_empty() { (0..meta.model.layers).collect() } else { layers.to_vec() };
    let knock_queries = std::iter::once(from.first_query(meta)..u32::MAX).collect();
    Interventions { knock_layers, knock_queries, knock_keys, ..Interventions::default() }
}

/// Positions as ranges.
fn ranges(positions: &[u32]) -> Vec<Range<u32>> {
    let mut sorted = positions.to_vec();
    sorted.sort_unstable();
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for position in sorted {
        match ranges.last_mut() {
            Some(last) if position <= last.end => last.end = last.end.max(position + 1),
            _ => ranges.push(position..position + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_the_fewest_ranges() {
        assert_eq!(ranges(&[7, 3, 4, 4, 9, 8]), [3..5, 7..10]);
        assert_eq!(ranges(&[]), []);
    }
}
