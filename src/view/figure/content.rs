//! The content of a figure, gathered from a view state and a trace.

use super::super::shown_views::{picture_name, pictures};
use super::super::{
    Backdrop, CausalTree, MapSource, PatchTable, Shown, ShownGrid, ViewKind, ViewState,
};
use super::caption::{token_names, token_text};
use super::head_grid::{SortedHeads, descending, head_stats, sort_keys};
use crate::analysis::density::Frame;
use crate::analysis::reduce::Keep;
use crate::analysis::relevancy::{Reliance, TextRelevancy};
use crate::trace::{Stat, TokenKind, Trace};
use std::ops::Range;

/// The layers or heads along an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisMarks {
    /// Number of members.
    pub count: u32,
    /// The marked members; may be empty.
    pub marked: Vec<u32>,
    /// The label of each member: the model's own number. Empty if the labels count from 0.
    pub numbers: Vec<u32>,
}

impl AxisMarks {
    /// The label of a member.
    pub fn number(&self, member: u32) -> u32 {
        self.numbers.get(member as usize).copied().unwrap_or(member)
    }
}

/// One head of the heads view.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadTile {
    /// Its number.
    pub head: u32,
    /// Its share of attention on the image, mean over queries and layers.
    pub image_share: f32,
    /// The ends of its colour range, once they are known.
    pub range: Option<[f32; 2]>,
}

/// One of several pictures side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureTile {
    /// Width / height.
    pub aspect: f32,
    /// Its name: "picture 1", "frame 3 at 2.5 s".
    pub label: String,
    /// The sum of the map over it, once it is known.
    pub sum: Option<f32>,
}

/// One position on an axis of the token matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisToken {
    /// Readable text; empty for a patch.
    pub text: String,
    /// The part of the prompt or answer that it belongs to.
    pub kind: TokenKind,
    /// Its position in the sequence; of several keys in one column, the first.
    pub position: u32,
}

/// One bar of the relevancy view.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The word, or the name of a part of the prompt.
    pub label: String,
    /// Its share of the relevancy, 0–1.
    pub value: f32,
    /// Whether it represents the picture.
    pub is_image: bool,
    /// Whether it is one of the parts that add up to the whole.
    pub is_sum: bool,
}

/// The content of the stage: one map, small multiples, a wall, a matrix or a picture with bars.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A map over a picture.
    Picture {
        /// Width / height.
        aspect: f32,
    },
    /// Small multiples of a picture, one per head.
    Heads {
        /// Width / height of a tile.
        aspect: f32,
        /// The heads in drawing order.
        tiles: Vec<HeadTile>,
        /// The marked heads.
        marked: Vec<u32>,
    },
    /// Pictures side by side.
    Pictures {
        /// In the order of the trace.
        tiles: Vec<PictureTile>,
        /// Index of the chosen one.
        chosen: Option<usize>,
        /// Whether sums are shares of attention.
        is_share: bool,
    },
    /// Layers × heads of maps.
    Wall {
        /// Width / height of one map.
        aspect: f32,
        /// Rows.
        layers: AxisMarks,
        /// Columns.
        heads: AxisMarks,
        /// The ends of each map's colour range, layer by layer, once they are known.
        ranges: Vec<[f32; 2]>,
        /// The order of the heads of each layer; `None`: by their numbers.
        sorted: Option<SortedHeads>,
    },
    /// Layers × heads of numbers.
    Matrix {
        /// Rows.
        layers: AxisMarks,
        /// Columns.
        heads: AxisMarks,
        /// Row-major, if they are available: printed if the cells are large enough.
        values: Option<Vec<f32>>,
    },
    /// Queries × keys.
    TokenMatrix {
        /// Position of the first row.
        first_query: u32,
        /// From the first kept position to the last; positions between them that were not kept are gaps.
        queries: Vec<AxisToken>,
        /// All positions; a picture may be one column.
        keys: Vec<AxisToken>,
    },
    /// A picture and bars beside it.
    Relevancy {
        /// Width / height of the picture.
        aspect: f32,
        /// The bars: the parts that add up to the whole, then details, largest first.
        bars: Vec<Bar>,
    },
    /// A causal graph beside the picture.
    Causal {
        /// The picture; `None` without patches.
        picture: Option<Backdrop>,
        /// The tree, or the reason why there is none; an empty one until the tree was read.
        tree: Result<Box<CausalTree>, String>,
    },
    /// A table of activation patching beside the picture.
    Patching {
        /// The picture; `None` if the table has no patches.
        picture: Option<Backdrop>,
        /// The patches that stand out on it: left, upper, right and lower edge, 0–1. Empty: the whole picture does.
        lit: Vec<[f32; 4]>,
        /// The table, or the reason why there is none; an empty one until the table was read.
        table: Result<Box<PatchTable>, String>,
    },
}

impl Content {
    /// The content for a state and a trace; the state must fit the trace ([`super::super::Bounds::check`]).
    pub fn new(state: &ViewState, trace: &Trace) -> Self {
        let shape = trace.shape();
        let marked = |set: &super::super::AxisSet| set.named().unwrap_or_default().to_vec();
        let layers = || AxisMarks {
            count: shape.layers as u32,
            marked: if state.map.layers.named().is_some() && state.map.head_set.is_none() {
                state.map.layers.layer_indices(&trace.meta().model)
            } else {
                Vec::new()
            },
            numbers: trace.meta().model.layer_numbers(),
        };
        let heads = || AxisMarks {
            count: shape.heads as u32,
            marked: match state.map.head_set {
                Some(_) => Vec::new(),
                None => marked(&state.map.heads),
            },
            numbers: Vec::new(),
        };
        let aspect = picture_aspect(state, trace);
        match state.view {
            ViewKind::Overlay | ViewKind::Diff => Self::Picture { aspect },
            ViewKind::Relevancy => Self::Relevancy { aspect, bars: relevancy_bars(state, trace) },
            ViewKind::Heads => Self::Heads {
                aspect,
                tiles: head_tiles(state, trace),
                marked: marked(&state.map.heads),
            },
            ViewKind::Pictures => Self::pictures(state, trace),
            ViewKind::Causal => {
                Self::Causal { picture: state.backdrop(trace), tree: Err(String::new()) }
            }
            ViewKind::Patch => {
                Self::Patching { picture: None, lit: Vec::new(), table: Err(String::new()) }
            }
            ViewKind::Wall => {
                let grid = Shown::new(state, trace).grids.first().copied();
                let frame = grid.map(|grid| grid.rect(trace.meta()));
                let aspect = frame.map_or(1.0, |frame| (frame.width / frame.height) as f32);
                let sorted = SortedHeads::new(state, trace);
                Self::Wall { aspect, layers: layers(), heads: heads(), ranges: Vec::new(), sorted }
            }
            ViewKind::LayerHead => Self::Matrix { layers: layers(), heads: heads(), values: None },
            ViewKind::TokenMatrix => {
                let first_query = trace.rows().first().copied().unwrap_or(0);
                let end = trace.rows().last().map_or(0, |&row| row as usize + 1);
                let meta = trace.meta();
                let names = token_names(&meta.tokens);
                let token = |position: usize| {
                    let token = meta.tokens.get(position)?;
                    let is_patch = token.kind == TokenKind::Image;
                    let text = if is_patch { String::new() } else { names[position].clone() };
                    Some(AxisToken { text, kind: token.kind, position: position as u32 })
                };
                let queries = (first_query as usize..end).filter_map(token).collect();
                let column = |keys: Range<usize>| {
                    let first = token(keys.start)?;
                    let picture =
                        meta.spans.iter().find(|span| span.extent().contains(&keys.start));
                    Some(match picture.filter(|_| keys.len() > 1) {
                        Some(span) => AxisToken {
                            text: match pictures(meta).len() {
                                1 => "picture".into(),
                                _ => picture_name(meta, span.picture),
                            },
                            kind: TokenKind::Image,
                            ..first
                        },
                        None => first,
                    })
                };
                let columns = meta.key_columns(shape.positions, state.every_patch);
                let keys = columns.into_iter().filter_map(column).collect();
                Self::TokenMatrix { first_query, queries, keys }
            }
        }
    }

    fn pictures(state: &ViewState, trace: &Trace) -> Self {
        let (meta, shown) = (trace.meta(), Shown::new(state, trace));
        let tile = |grid: &ShownGrid| PictureTile {
            aspect: aspect(grid.frame, trace),
            label: picture_name(meta, grid.picture),
            sum: None,
        };
        Self::Pictures {
            tiles: shown.grids.iter().map(tile).collect(),
            chosen: shown.grids.iter().position(|grid| grid.picture == state.picture.index),
            is_share: state.map.source == MapSource::Attention && !state.is_difference(),
        }
    }
}

/// Width / height of what a view shows, without axes; `None` for a view that fills any shape.
pub fn content_aspect(state: &ViewState, trace: &Trace) -> Option<f32> {
    let shape = trace.shape();
    let grid = shape.heads as f32 / shape.layers.max(1) as f32;
    match state.view {
        ViewKind::TokenMatrix
        | ViewKind::Heads
        | ViewKind::Pictures
        | ViewKind::Causal
        | ViewKind::Patch => None,
        ViewKind::LayerHead => Some(grid),
        ViewKind::Wall => Some(picture_aspect(state, trace) * grid),
        _ => Some(picture_aspect(state, trace)),
    }
    .filter(|aspect| aspect.is_finite() && *aspect > 0.0)
}

/// Width / height of the picture under the map.
fn picture_aspect(state: &ViewState, trace: &Trace) -> f32 {
    aspect(state.picture.frame(trace), trace)
}

fn aspect(frame: Frame, trace: &Trace) -> f32 {
    let [width, height] = frame.size(trace.meta());
    (width / height) as f32
}

/// The heads of the chosen layers in the chosen order, with their image shares.
fn head_tiles(state: &ViewState, trace: &Trace) -> Vec<HeadTile> {
    let heads = trace.shape().heads;
    let layers = state.map.layers.layer_indices(&trace.meta().model);
    let over_layers = |values: &[f32]| -> Vec<f32> {
        let of = |layer: &u32, head: usize| values.get(*layer as usize * heads + head);
        (0..heads).map(|head| layers.iter().filter_map(|layer| of(layer, head)).sum()).collect()
    };
    let stats = head_stats(state, trace);
    let shares: Vec<f32> = stats.iter().map(|stats| stats[Stat::ImageSum as usize]).collect();
    let shares = over_layers(&shares);
    let rows = state.map.queries.rows(trace).unwrap_or_default().len();
    let count = (rows * layers.len()).max(1) as f32;
    let order = match sort_keys(state, trace) {
        Some(keys) => descending(&over_layers(&keys)),
        None => (0..heads).collect(),
    };
    let tile = |head: usize| HeadTile {
        head: head as u32,
        image_share: shares[head] / count,
        range: None,
    };
    order.into_iter().map(tile).collect()
}

/// Shares of the relevancy of the chosen words, if the map has a value for every position: picture, question, earlier
/// answer and the rest, which add up to the whole; then the strongest patch and the question words with the largest
/// shares.
fn relevancy_bars(state: &ViewState, trace: &Trace) -> Vec<Bar> {
    const WORDS: usize = 3;
    let numbers = match &state.map.source {
        MapSource::Named(_) => state.map.resolve(trace, Keep::One, state.remove_bos).ok(),
        MapSource::Attention => None,
    };
    let Some(row) = numbers.and_then(|numbers| numbers.at_positions()) else { return Vec::new() };
    let sums = Reliance::from_row(&row, trace).named();
    let sums = sums.into_iter().enumerate().map(|(index, (name, value))| Bar {
        label: name.into(),
        value,
        is_image: index == 0,
        is_sum: true,
    });
    let text = TextRelevancy::from_row(&row, trace);
    let strongest = text.share(text.patch_max);
    let words = text.words_by_share().into_iter().take(WORDS);
    let words = words.filter_map(|(index, value)| {
        let label = token_text(&text.words.get(index)?.text);
        Some(Bar { label, value, is_image: false, is_sum: false })
    });
    let label = "strongest patch".to_owned();
    let mut details: Vec<Bar> =
        words.chain([Bar { label, value: strongest, is_image: true, is_sum: false }]).collect();
    details.sort_by(|a, b| b.value.total_cmp(&a.value));
    sums.chain(details).collect()
}
