//! Results of activation patching: how much of the answer to picture A returns in a run on picture B when
//! activations of A are copied into it, one place at a time.
//!
//! A result is a table over groups of positions, layers and, for heads, heads. The model fills it in
//! ([`crate::model`]); views, commands and the trace read it.

use crate::trace::{AnswerIndex, ImageSpan, TokenKind, Trace, words};
use serde::{Deserialize, Serialize};

/// Differences between A's and B's log-probability below this are not divided by: nothing is lost that could return.
pub const LEAST_DIFFERENCE: f32 = 1e-2;

/// The activations that are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// The residual stream at the input of a layer.
    Residual,
    /// The output of one head, before the output projection.
    Heads,
    /// The output of a layer's MLP.
    Mlp,
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Residual, Self::Heads, Self::Mlp];

    /// As files and commands name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Residual => "residual",
            Self::Heads => "heads",
            Self::Mlp => "mlp",
        }
    }
}

/// Positions whose activations are copied together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionGroup {
    /// For a reader: `object`, `other patches`, a word, `last position`.
    pub name: String,
    /// Positions in the sequence, ascending.
    pub positions: Vec<u32>,
}

/// The table of one answer token and one site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatchResult {
    /// The answer token of A.
    pub token: u32,
    /// The activations that were copied.
    pub site: Site,
    /// The picture of run B, for a reader.
    pub other: String,
    /// log p of the token in run A.
    pub logprob_a: f32,
    /// log p of the token in run B, with A's answer before it.
    pub logprob_b: f32,
    /// The groups of positions.
    pub groups: Vec<PositionGroup>,
    /// Layers of the model.
    pub layers: u32,
    /// Heads of a layer; 1 where the site is not [`Site::Heads`].
    pub heads: u32,
    /// log p of the token in run B with A's activations, [groups, layers, heads]; `None` where it was not computed (yet).
    pub patched: Vec<Option<f32>>,
    /// First-order estimate of each log p minus `logprob_b`, [groups, layers, heads]; empty where it was not computed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimates: Vec<f32>,
}

/// A stored result that [`crate::model`] cannot have made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored patching result is damaged ({0}); compute it again with `vlmscope patch`")]
pub struct StoredError(String);

impl PatchResult {
    /// An empty table.
    pub fn new(
        (token, site): (AnswerIndex, Site),
        other: String,
        [logprob_a, logprob_b]: [f32; 2],
        groups: Vec<PositionGroup>,
        [layers, heads]: [u32; 2],
    ) -> Self {
        let heads = if site == Site::Heads { heads } else { 1 };
        let cells = groups.len() * layers as usize * heads as usize;
        Self {
            token: token.0,
            site,
            other,
            logprob_a,
            logprob_b,
            groups,
            layers,
            heads,
            patched: vec![None; cells],
            estimates: Vec::new(),
        }
    }

    /// The index of a cell; `None` outside of the table.
    pub fn cell(&self, group: usize, layer: u32, head: u32) -> Option<usize> {
        let inside = group < self.groups.len() && layer < self.layers && head < self.heads;
        inside.then_some(
            (group * self.layers as usize + layer as usize) * self.heads as usize + head as usize,
        )
    }

    /// Group, layer and head of a cell.
    pub fn place(&self, cell: usize) -> (usize, u32, u32) {
        let (layers, heads) = (self.layers.max(1) as usize, self.heads.max(1) as usize);
        (cell / heads / layers, (cell / heads % layers) as u32, (cell % heads) as u32)
    }

    /// A change of log p as a share of what separates A from B: 0 is B, 1 is A. `None` if A and B differ by less than
    /// [`LEAST_DIFFERENCE`].
    pub fn normalised(&self, change: f32) -> Option<f32> {
        let difference = self.logprob_a - self.logprob_b;
        (difference.abs() >= LEAST_DIFFERENCE).then_some(change / difference)
    }

    /// The share of A's answer that returns in a cell: (log p patched − log p of B) / (log p of A − log p of B).
    pub fn restored(&self, cell: usize) -> Option<f32> {
        let patched = self.patched.get(cell).copied().flatten()?;
        self.normalised(patched - self.logprob_b)
    }

    /// The first-order estimate of [`Self::restored`].
    pub fn estimated(&self, cell: usize) -> Option<f32> {
        self.normalised(*self.estimates.get(cell)?)
    }

    /// Number of computed cells.
    pub fn done(&self) -> usize {
        self.patched.iter().flatten().count()
    }

    /// Whether every cell was computed.
    pub fn is_complete(&self) -> bool {
        self.patched.iter().all(Option::is_some)
    }

    /// Whether another table is about the same token, site and pair of pictures.
    pub fn is_same_pair(&self, other: &Self) -> bool {
        /// Two runs on one picture differ by rounding alone.
        const ROUNDING: f32 = 1e-3;
        let close = |a: f32, b: f32| (a - b).abs() <= ROUNDING;
        (self.token, self.site) == (other.token, other.site)
            && self.other == other.other
            && (self.layers, self.heads) == (other.layers, other.heads)
            && close(self.logprob_a, other.logprob_a)
            && close(self.logprob_b, other.logprob_b)
    }

    /// With the groups that only an earlier table about the same pair has, before its own new ones.
    /// Estimates that not all groups have are left out.
    #[must_use]
    pub fn over(self, earlier: &Self) -> Self {
        let has_all = earlier.groups.iter().all(|group| self.groups.contains(group));
        if has_all || !self.is_same_pair(earlier) {
            return self;
        }
        let is_new = |group: &&PositionGroup| !earlier.groups.contains(group);
        let new = self.groups.iter().filter(is_new);
        let mut groups: Vec<_> = earlier.groups.iter().chain(new).cloned().collect();
        groups.sort_by_key(|group| group.name == LAST);
        let logprobs = [self.logprob_a, self.logprob_b];
        let size = [self.layers, self.heads];
        let place = (AnswerIndex(self.token), self.site);
        let mut all = Self::new(place, self.other.clone(), logprobs, groups, size);
        all.continue_from(earlier);
        all.continue_from(&self);
        all
    }

    /// Takes over the cells of an earlier table about the same token, site and pictures, for the groups that both have,
    /// and its estimates if it has all groups.
    pub fn continue_from(&mut self, earlier: &Self) {
        if !self.is_same_pair(earlier) {
            return;
        }
        let cells = self.layers as usize * self.heads as usize;
        let mut estimates = Vec::with_capacity(self.patched.len());
        for (index, group) in self.groups.iter().enumerate() {
            let Some(at) = earlier.groups.iter().position(|other| other == group) else { continue };
            let own = self.patched.get_mut(index * cells..(index + 1) * cells);
            if let Some((own, known)) = own.zip(earlier.patched.get(at * cells..(at + 1) * cells)) {
                for (own, known) in own.iter_mut().zip(known) {
                    *own = own.or(*known);
                }
            }
            let known = earlier.estimates.get(at * cells..(at + 1) * cells);
            estimates.extend_from_slice(known.unwrap_or_default());
        }
        if estimates.len() == self.patched.len() {
            self.estimates = estimates;
        }
    }

    /// Pearson's correlation of the estimates with the exact values, over the cells that have both. `None` if there are
    /// fewer than three, or if one side is constant.
    pub fn correlation(&self) -> Option<f64> {
        let pairs: Vec<(f64, f64)> = (0..self.patched.len())
            .filter_map(|cell| {
                Some((f64::from(self.estimated(cell)?), f64::from(self.restored(cell)?)))
            })
            .collect();
        if pairs.len() < 3 {
            return None;
        }
        let count = pairs.len() as f64;
        let (x, y) = pairs.iter().fold((0.0, 0.0), |(x, y), pair| (x + pair.0, y + pair.1));
        let (x, y) = (x / count, y / count);
        let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
        for (a, b) in pairs {
            xx += (a - x) * (a - x);
            yy += (b - y) * (b - y);
            xy += (a - x) * (b - y);
        }
        let norm = (xx * yy).sqrt();
        (norm > 0.0).then(|| xy / norm)
    }

    /// The result that the trace holds for a token and a site; `None` if nothing was computed.
    ///
    /// # Errors
    /// [`StoredError`] for anything that cannot belong to the trace.
    pub fn stored(
        trace: &Trace,
        answer: AnswerIndex,
        site: Site,
    ) -> Result<Option<Self>, StoredError> {
        let Some(json) = trace.patching(site.name(), answer) else { return Ok(None) };
        let found: Self =
            serde_json::from_slice(&json).map_err(|error| StoredError(error.to_string()))?;
        match found.fault(answer, site, trace) {
            Some(fault) => Err(StoredError(fault.to_owned())),
            None => Ok(Some(found)),
        }
    }

    /// Why it cannot be a table of this token and site of the trace; `None` if it can.
    pub fn fault(&self, answer: AnswerIndex, site: Site, trace: &Trace) -> Option<&'static str> {
        let model = &trace.meta().model;
        let heads = if site == Site::Heads { model.heads } else { 1 };
        let cells = self.groups.len() * model.layers as usize * heads as usize;
        if (self.token, self.site) != (answer.0, site) {
            return Some("it is about another token or site");
        }
        if (self.layers, self.heads) != (model.layers, heads) || self.patched.len() != cells {
            return Some("its table does not fit the model");
        }
        if !self.estimates.is_empty() && self.estimates.len() != cells {
            return Some("its estimates do not fit its table");
        }
        let patched = self.patched.iter().flatten();
        let numbers = patched.chain(&self.estimates).chain([&self.logprob_a, &self.logprob_b]);
        if numbers.into_iter().any(|number| !number.is_finite()) {
            return Some("it holds numbers that are not finite");
        }
        let end = trace.shape().positions as u32;
        let fits = |group: &PositionGroup| {
            let ascending = group.positions.windows(2).all(|pair| pair[0] < pair[1]);
            ascending && group.positions.last().is_some_and(|&last| last < end)
        };
        (!self.groups.iter().all(fits))
            .then_some("a group has positions that the trace does not have")
    }
}

/// An object of the picture: a name, and for every patch the part of its area inside, `[N]`.
pub type ObjectPatches<'a> = (&'a str, &'a [f32]);

/// The groups of positions of an answer token: the patches of each object (at least half of their area inside; of the
/// first where they overlap), the other patches, each word of the text after the picture, and the position that
/// predicts the token. Positions of chat templates between the words are one group, `other text`.
pub fn position_groups(
    trace: &Trace,
    answer: AnswerIndex,
    objects: &[ObjectPatches<'_>],
) -> Vec<PositionGroup> {
    let meta = trace.meta();
    let last = meta.query_of_answer(answer).0;
    let keys: Vec<u32> =
        meta.spans.iter().flat_map(ImageSpan::keys).map(|key| key as u32).collect();
    let object_of = |patch: usize| {
        objects.iter().position(|(_, inside)| inside.get(patch).is_some_and(|&part| part >= 0.5))
    };
    let mut groups: Vec<PositionGroup> = Vec::new();
    let push = |groups: &mut Vec<PositionGroup>, name: &str, mut positions: Vec<u32>| {
        positions.retain(|&position| position < last || name == LAST);
        positions.sort_unstable();
        if !positions.is_empty() {
            groups.push(PositionGroup { name: name.to_owned(), positions });
        }
    };
    let of = |wanted: Option<usize>| -> Vec<u32> {
        let patches = keys.iter().enumerate().filter(|(patch, _)| object_of(*patch) == wanted);
        patches.map(|(_, &key)| key).collect()
    };
    for (index, (name, _)) in objects.iter().enumerate() {
        push(&mut groups, name, of(Some(index)));
    }
    let others = if objects.is_empty() { "all patches" } else { "other patches" };
    push(&mut groups, others, of(None));
    let first = meta.question_range().start;
    let end = (last as usize + 1).min(meta.tokens.len());
    let mut rest: Vec<u32> = Vec::new();
    for word in words(meta.tokens.get(first..end).unwrap_or_default()) {
        let positions = word.tokens.clone().map(|token| (first + token) as u32).collect();
        match word.kind {
            TokenKind::Question | TokenKind::Answer if word.is_numbered => {
                let name = word.plain();
                let name = name.trim();
                let part = if word.kind == TokenKind::Answer { " (answer)" } else { "" };
                let is_free = |name: &String| groups.iter().all(|group| group.name != *name);
                // Words that occur again get a name of their own.
                let names = [name.to_owned(), format!("{name}{part}")].into_iter();
                let counted = (2..).map(|count| format!("{name}{part} {count}"));
                if let Some(free) = names.chain(counted).find(is_free) {
                    push(&mut groups, &free, positions);
                }
            }
            _ => rest.extend(positions),
        }
    }
    push(&mut groups, "other text", rest);
    push(&mut groups, LAST, vec![last]);
    groups
}

/// The name of the map of one layer of a table: each patch has the value of its group.
pub fn layer_map_name(site: Site, layer: u32) -> String {
    format!("map.{}{AT_LAYER}{layer}", site.name())
}

/// The site and layer of a map of one layer of a table, by its name.
pub fn of_layer_map(name: &str) -> Option<(Site, u32)> {
    let (site, layer) = name.strip_prefix("map.")?.split_once(AT_LAYER)?;
    let site = Site::ALL.into_iter().find(|own| own.name() == site)?;
    Some((site, layer.parse().ok()?))
}

const AT_LAYER: &str = "_patched_at_layer_";

/// Name of the group of the position that predicts the token.
pub const LAST: &str = "last position";
