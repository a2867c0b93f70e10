//! The metadata of a trace: one JSON object under `__metadata__["vlmtrace"]`.

use super::{Affine, ImageSpan, Key, PatchRef, PythonCall, Rect};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything about an answered question that is not a tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceMeta {
    /// "major.minor" of the file format.
    pub format_version: String,
    /// The model that answered.
    pub model: ModelInfo,
    /// The last question, as typed.
    pub question: String,
    /// The last answer, detokenised, without the stop token.
    pub answer: String,
    /// The sampling settings of the answer.
    pub sampling: Sampling,
    /// Every position of the expanded prompt, then every generated id (the stop id included).
    pub tokens: Vec<TokenInfo>,
    /// P: positions of the expanded prompt.
    pub prompt_len: u32,
    /// Positions 0 … `virtual_len` − 1 represent keys of cross-attention layers, not tokens; they are never queries.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub virtual_len: u32,
    /// The reason why image tokens have no place in a picture; there are no spans then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unplaced: Option<String>,
    /// The views, in the order of their keys: grids of patches. The file's form is in `super::format`.
    #[serde(skip)]
    pub spans: Vec<ImageSpan>,
    /// The canvases: the pixels that the model saw of each picture, and their preprocessing.
    #[serde(skip)]
    pub preprocess: Vec<PreprocessInfo>,
    /// The inputs of the vision tower whose attention was kept, `vision.V.attention`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vision: Vec<VisionInput>,
    /// The vocabulary's pieces of alternatives in `answer.topk_ids` that are no tokens of the sequence, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pieces: BTreeMap<u32, String>,
    /// Stored weights are attention × this (a power of two).
    pub attention_scale: f32,
    /// Wall-clock time of each step.
    #[serde(default)]
    pub timings: Timings,
    /// The program, device and request that made the file.
    #[serde(default)]
    pub provenance: Provenance,
}

/// The model that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The bundle's name.
    pub name: String,
    /// SHA-256 of the bundle's manifest: distinguishes two exports. Empty if no bundle was used.
    #[serde(default)]
    pub bundle_sha: String,
    /// Number of all decoder layers, including those without attention.
    pub layers: u32,
    /// H: number of query heads, of the layer with the most.
    pub heads: u32,
    /// Key/value heads.
    pub kv_heads: u32,
    /// Layers of the vision tower.
    #[serde(default)]
    pub vision_layers: u32,
    /// Heads of the vision tower.
    #[serde(default)]
    pub vision_heads: u32,
    /// Class in transformers; empty if another program answered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_class: String,
    /// Type of each decoder layer; empty: every layer attends to all earlier keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_kinds: Vec<LayerKind>,
    /// Numbers of the decoder layers that have pages, ascending: index l on an axis L is layer `attention_layers[l]`.
    /// Empty: all layers with attention. See [`Self::layer_numbers`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attention_layers: Vec<u32>,
    /// Number of query heads of each layer that has pages; empty: H each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads_of_layer: Vec<u32>,
    /// Whether prompt positions attend to later keys.
    #[serde(default, skip_serializing_if = "ImageAttention::is_causal")]
    pub image_attention: ImageAttention,
}

/// The keys that a decoder layer attends to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    /// All earlier keys.
    #[default]
    Full,
    /// A window of keys.
    Sliding,
    /// The keys of the query's chunk.
    Chunked,
    /// Linear attention: no weights.
    Linear,
    /// A convolution: no attention.
    Conv,
    /// The virtual positions, where the patches are.
    Cross,
}

impl LayerKind {
    /// Whether layers of this type have attention weights.
    pub const fn has_attention(self) -> bool {
        !matches!(self, Self::Linear | Self::Conv)
    }

    /// The name in files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Sliding => "sliding",
            Self::Chunked => "chunked",
            Self::Linear => "linear",
            Self::Conv => "conv",
            Self::Cross => "cross",
        }
    }
}

/// The keys that prompt positions attend to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageAttention {
    /// Only the position's own key and earlier keys.
    #[default]
    Causal,
    /// Patches, or the whole prompt, also attend to later keys.
    Bidirectional,
}

impl ImageAttention {
    /// Whether no position attends to a later key.
    pub const fn is_causal(&self) -> bool {
        matches!(self, Self::Causal)
    }
}

impl ModelInfo {
    /// Whether the Python package captured the answer: no bundle of ours can run the model again.
    pub const fn is_captured(&self) -> bool {
        !self.model_class.is_empty() && self.bundle_sha.is_empty()
    }

    /// The decoder layer number of each index on an axis L.
    pub fn layer_numbers(&self) -> Vec<u32> {
        if !self.attention_layers.is_empty() {
            return self.attention_layers.clone();
        }
        let kind = |layer: u32| self.layer_kinds.get(layer as usize).copied().unwrap_or_default();
        (0..self.layers).filter(|&layer| kind(layer).has_attention()).collect()
    }

    /// The decoder layer number of one index on an axis L; an index that does not exist is returned unchanged.
    pub fn layer_number(&self, index: u32) -> u32 {
        if self.attention_layers.is_empty() && self.layer_kinds.is_empty() {
            return index;
        }
        self.layer_numbers().get(index as usize).copied().unwrap_or(index)
    }

    /// The index of a decoder layer on an axis L; `None` if the layer has no pages.
    pub fn layer_index(&self, number: u32) -> Option<u32> {
        self.layer_numbers().binary_search(&number).ok().map(|index| index as u32)
    }
}

/// One input of the vision tower whose attention was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VisionInput {
    /// Index of the canvas.
    pub canvas: u32,
    /// The part of the canvas that the tower saw, in canvas pixels.
    pub rect: Rect,
    /// Rows of the tower's patches.
    pub rows: u32,
    /// Columns of the tower's patches.
    pub columns: u32,
    /// Number of tokens before the patches.
    pub class_tokens: u32,
    /// Layers whose attention was kept.
    pub layers: Vec<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The settings by which the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// A temperature of at most 0.001 means greedy decoding.
    pub temperature: f32,
    /// Nucleus sampling: the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Limit of generated tokens.
    pub max_new_tokens: u32,
    /// Seed of the random numbers.
    pub seed: u64,
    /// The answer was given (`--answer`) and only scored.
    #[serde(default)]
    pub forced: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, max_new_tokens: 32, seed: 0, forced: false }
    }
}

impl Sampling {
    /// LVLM-Interpret's rule: a temperature of at most 0.001 means greedy.
    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.001
    }
}

/// The part of the prompt or answer that a position belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// The system prompt and the template's own words before the first picture.
    System,
    /// A patch.
    Image,
    /// Text of a question (in every turn), including the template's words around it.
    Question,
    /// Text of an answer (including earlier turns).
    Answer,
    /// BOS, EOS and other control tokens.
    Special,
    /// A position that the model inserts between or after the patches of one picture: row ends, tile ends, time stamps,
    /// class tokens. It belongs neither to the picture nor to the question.
    Separator,
}

/// One position of the sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Vocabulary id.
    pub id: u32,
    /// The vocabulary's piece, `▁` marking a word start.
    pub text: String,
    /// The part of the prompt or answer that the token belongs to.
    pub kind: TokenKind,
    /// Index of the question-answer turn, from 0.
    #[serde(default)]
    pub turn: u32,
    /// Tokens of one word share this number; `None` for patches, separators and control tokens.
    #[serde(default)]
    pub word: Option<u32>,
}

/// The rule that fits a picture to the model's canvas if it is not square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreprocessMode {
    /// The processor's own rule: resize the short edge, crop the centre.
    #[default]
    Default,
    /// Squash to the model's size.
    Resize,
    /// Expand to a square with a grey border (122, 116, 104).
    Pad,
}

/// The rule of a canvas as stored in a trace; values that this program does not support are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CanvasMode {
    /// A rule that this program can apply.
    Rule(PreprocessMode),
    /// Any other value.
    Other(String),
}

impl CanvasMode {
    /// The rule, if this program can apply it.
    pub const fn rule(&self) -> Option<PreprocessMode> {
        match self {
            Self::Rule(mode) => Some(*mode),
            Self::Other(_) => None,
        }
    }

    /// The name in files.
    pub fn name(&self) -> &str {
        match self {
            Self::Rule(PreprocessMode::Default) => "default",
            Self::Rule(PreprocessMode::Resize) => "resize",
            Self::Rule(PreprocessMode::Pad) => "pad",
            Self::Other(word) => word,
        }
    }
}

impl Default for CanvasMode {
    fn default() -> Self {
        Self::Rule(PreprocessMode::default())
    }
}

impl From<PreprocessMode> for CanvasMode {
    fn from(mode: PreprocessMode) -> Self {
        Self::Rule(mode)
    }
}

/// A canvas: one rectangle of pixels that the vision tower saw, and the preprocessing that produced it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PreprocessInfo {
    /// Index of the picture, as in the trace's `picture.K.original`.
    pub picture: u32,
    /// The preprocessing rule.
    pub mode: CanvasMode,
    /// Width and height of the upright original.
    pub original_size: [u32; 2],
    /// Width and height of the canvas.
    pub preprocessed_size: [u32; 2],
    /// From pixels of the canvas to pixels of the (upright) original.
    pub original_from_preprocessed: Affine,
    /// Name of the file that was given, without its folder.
    pub file_name: String,
}

/// Wall-clock seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// Decoding and resizing the picture.
    pub preprocess: f64,
    /// The vision tower (0 if its features were cached by the question before).
    pub vision: f64,
    /// Prefill of the prompt.
    pub prefill: f64,
    /// All decode steps.
    pub decode: f64,
    /// Relevancy, if it was computed.
    pub relevancy: f64,
}

/// The program, model runtime, device and request that the file comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// "vlmscope" and its version.
    pub writer: String,
    /// Seconds since 1970, UTC.
    pub created_unix: u64,
    /// The execution provider that ran, or the device.
    pub provider: String,
    /// Names and versions of the software that ran the model.
    pub runtime: String,
    /// Source of the attention weights: the exported graph, a computation beside the model's own attention, or the
    /// model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub attention: String,
    /// Number format of the model's weights.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dtype: String,
    /// The device that the model ran on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// Result of the test that the patches are at the positions that the trace states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_check: Option<PositionCheck>,
    /// Whether heads were switched off, or attention was cut or steered, while the model answered.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub model_changed: bool,
    /// Whether attention was steered; `model_changed` is then true as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub steered: bool,
    /// The request; `None` in traces of older versions, and for questions asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestInfo>,
    /// The call of the Python package; `None` in traces of other writers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<PythonCall>,
}

/// Result of the painting test: cells of a picture are painted, and the tokens of these cells must be the ones that
/// change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PositionCheck {
    /// `passed`, `failed` or `unplaced`.
    pub status: String,
    /// Number of painted cells.
    pub cells: u32,
    /// Number of cells whose own token changed most.
    pub hits: u32,
    /// The other cells, described in words.
    pub misses: Vec<String>,
    /// Whether painting one picture leaves the tokens of the others unchanged.
    pub pictures_apart: Option<bool>,
    /// Whether painting one frame leaves the tokens of the others unchanged.
    pub frames_apart: Option<bool>,
    /// Class of the model that was tested.
    pub model_class: String,
    /// Family whose rules were tested.
    pub family: String,
    /// The reason why the test failed or was not run.
    pub reason: Option<String>,
    /// Seconds since 1970, UTC.
    pub created_unix: u64,
}

impl PositionCheck {
    /// Whether maps may lie in the wrong place.
    pub fn has_failed(&self) -> bool {
        self.status == "failed"
    }

    /// The result as a sentence; `None` if the tokens have no place that could be tested.
    pub fn summary(&self) -> Option<String> {
        let (hits, cells) = (self.hits, self.cells);
        let found = format!("the painting test found {hits} of {cells} cells at their place");
        let mixed: String = [(self.pictures_apart, "pictures"), (self.frames_apart, "frames")]
            .iter()
            .filter(|(apart, _)| *apart == Some(false))
            .map(|(_, what)| format!("; it could not tell {what} apart"))
            .collect();
        match self.status.as_str() {
            "passed" => Some(format!("{found}{mixed}")),
            "failed" => Some(format!("{found}{mixed}: maps may lie in the wrong place")),
            _ => None,
        }
    }
}

/// The inputs of an answer other than the model, the question and the sampling. With these, they decide whether a trace
/// answers a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestInfo {
    /// SHA-256 of the picture's file, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_sha256: Option<String>,
    /// Question and answer of each earlier turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<(String, String)>,
    /// The answer that was scored, as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The rule that fitted a picture that is not square.
    pub preprocess: PreprocessMode,
    /// Whether all rows were kept, not only those of text and answer.
    pub all_rows: bool,
    /// Whether the attention of the vision tower was kept.
    pub vision_attention: bool,
    /// Number of alternatives kept for each token.
    pub topk: usize,
    /// Whether patches were blanked or the model was changed.
    pub is_altered: bool,
}

impl TraceMeta {
    /// P: positions of the expanded prompt.
    pub const fn prompt_len(&self) -> usize {
        self.prompt_len as usize
    }

    /// G: generated ids, the stop id included.
    pub fn generated(&self) -> usize {
        self.tokens.len().saturating_sub(self.prompt_len())
    }

    /// T = P + G − 1: positions that have attention (the last id is never fed back).
    pub fn positions(&self) -> usize {
        (self.prompt_len() + self.generated()).saturating_sub(1)
    }

    /// N: patches over all spans.
    pub fn patches(&self) -> usize {
        self.spans.iter().map(ImageSpan::patches).sum()
    }

    /// The sum of a map `[N]` over the patches of each view; a map that is too short counts as 0 where it ends.
    pub fn view_sums(&self, map: &[f32]) -> Vec<f32> {
        let mut rest = map;
        let sum = |span: &ImageSpan| {
            let (own, others) = rest.split_at(span.patches().min(rest.len()));
            rest = others;
            own.iter().sum()
        };
        self.spans.iter().map(sum).collect()
    }

    /// The sum of a map `[N]` over the patches of each picture: of all its views.
    pub fn picture_sums(&self, map: &[f32]) -> BTreeMap<u32, f32> {
        let mut sums = BTreeMap::new();
        for (span, sum) in self.spans.iter().zip(self.view_sums(map)) {
            *sums.entry(span.picture).or_insert(0.0) += sum;
        }
        sums
    }

    /// The patch at an index over all views in order, row by row.
    pub fn patch_at(&self, index: usize) -> Option<PatchRef> {
        let mut rest = index;
        for (span, of_span) in (0_u32..).zip(&self.spans) {
            if rest < of_span.patches() {
                let (columns, rest) = (of_span.columns.max(1), rest as u32);
                return Some(PatchRef { span, row: rest / columns, column: rest % columns });
            }
            rest -= of_span.patches();
        }
        None
    }

    /// The key position of a patch; `None` if there is no such patch.
    pub fn key_of_patch(&self, patch: PatchRef) -> Option<Key> {
        self.spans.get(patch.span as usize)?.key(patch.row, patch.column)
    }

    /// The patch at a key position; `None` for a position that is no patch.
    pub fn patch_of_key(&self, position: u32) -> Option<PatchRef> {
        (0_u32..).zip(&self.spans).find_map(|(span, of)| {
            let offset = position.checked_sub(of.first)?;
            let (row, column) = (offset / of.stride().max(1), offset % of.stride().max(1));
            of.key(row, column).map(|_| PatchRef { span, row, column })
        })
    }

    /// The tokens of the answer.
    pub fn answer_tokens(&self) -> &[TokenInfo] {
        self.tokens.get(self.prompt_len()..).unwrap_or_default()
    }

    /// The query row that predicts answer token `i`: q = P − 1 + i.
    pub fn query_of_answer(&self, answer: super::AnswerIndex) -> super::Query {
        super::Query(self.prompt_len.saturating_add(answer.0).saturating_sub(1))
    }

    /// The reason why there are no patches, to follow "the trace": there is no picture, or its tokens have no place in it.
    pub fn why_no_patches(&self) -> String {
        self.unplaced.as_ref().map_or_else(
            || "has no picture".into(),
            |reason| format!("has no patches with a place in a picture ({reason})"),
        )
    }

    /// The vocabulary's piece of an id, if the trace holds it.
    pub fn piece(&self, id: u32) -> Option<&str> {
        let token = self.tokens.iter().find(|token| token.id == id);
        token.map(|token| &token.text).or_else(|| self.pieces.get(&id)).map(String::as_str)
    }

    /// The prompt positions after the last patch, including separators; without views, after the last token of kind
    /// `image` (the latents of a resampler) and the virtual positions.
    pub fn question_range(&self) -> std::ops::Range<usize> {
        let last_patch = self.spans.iter().map(|span| span.extent().end).max();
        let first = last_patch.unwrap_or_else(|| {
            let prompt = self.tokens.get(..self.prompt_len()).unwrap_or(&self.tokens);
            let last_latent = prompt.iter().rposition(|token| token.kind == TokenKind::Image);
            last_latent.map_or(0, |at| at + 1).max(self.virtual_len as usize)
        });
        first.min(self.prompt_len())..self.prompt_len()
    }

    /// LVLM-Interpret's question columns: the prompt positions behind the (last) picture, without separators.
    pub fn question_keys(&self) -> Vec<usize> {
        let is_text = |key: &usize| {
            self.tokens.get(*key).is_some_and(|token| token.kind != TokenKind::Separator)
        };
        self.question_range().filter(is_text).collect()
    }
}
