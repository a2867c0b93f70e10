//! The metadata of a trace: one JSON object under `__metadata__["vlmtrace"]`.

use super::{ImageSpan, Key, PatchRef};
use serde::{Deserialize, Serialize};

/// Everything about an answered question that is not a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceMeta {
    /// "major.minor" of the file format.
    pub format_version: String,
    /// The model that answered.
    pub model: ModelInfo,
    /// The last question, as typed.
    pub question: String,
    /// The last answer, detokenised, without the stop token.
    pub answer: String,
    /// How the answer was chosen.
    pub sampling: Sampling,
    /// Every position of the expanded prompt, then every generated id (the stop id included).
    pub tokens: Vec<TokenInfo>,
    /// P: positions of the expanded prompt.
    pub prompt_len: u32,
    /// Where the patches are.
    pub spans: Vec<ImageSpan>,
    /// How each picture became what the model saw.
    pub preprocess: Vec<PreprocessInfo>,
    /// Stored weights are attention × this (a power of two).
    pub attention_scale: f32,
    /// How long each step took.
    pub timings: Timings,
    /// The program, device and request that made the file.
    pub provenance: Provenance,
}

/// The model that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The bundle's name.
    pub name: String,
    /// SHA-256 over the bundle's manifest: tells two exports apart.
    pub bundle_sha: String,
    /// Decoder layers (L).
    pub layers: u32,
    /// Query heads (H).
    pub heads: u32,
    /// Key/value heads.
    pub kv_heads: u32,
    /// Layers of the vision tower.
    pub vision_layers: u32,
    /// Heads of the vision tower.
    pub vision_heads: u32,
}

/// How the next token was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 (up to 0.001) is greedy.
    pub temperature: f32,
    /// Nucleus: the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// At most this many tokens.
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
    /// Text of a question (every turn), template words around it included.
    Question,
    /// Text of an answer (earlier turns too).
    Answer,
    /// BOS, EOS and other control tokens.
    Special,
}

/// One position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Vocabulary id.
    pub id: u32,
    /// The vocabulary's piece, `▁` marking a word start.
    pub text: String,
    /// What it belongs to.
    pub kind: TokenKind,
    /// Which question-answer turn, from 0.
    pub turn: u32,
    /// Tokens of one word share this number; `None` for patches, separators and control tokens.
    pub word: Option<u32>,
}

/// How a picture that is not square is made to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreprocessMode {
    /// The processor's own rule: resize the short edge, crop the centre.
    #[default]
    Default,
    /// Squash to the model's size.
    Resize,
    /// Expand to a square on grey-ish (122, 116, 104).
    Pad,
}

/// How one picture became what the model saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreprocessInfo {
    /// The rule used.
    pub mode: PreprocessMode,
    /// Width and height of the upright original.
    pub original_size: [u32; 2],
    /// Width and height of the preprocessed picture.
    pub preprocessed_size: [u32; 2],
    /// Name of the file that was given, without its folder.
    #[serde(default)]
    pub file_name: String,
}

/// Wall-clock seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// Decoding and resizing the picture.
    pub preprocess: f64,
    /// The vision tower (0 where its features were kept from the question before).
    pub vision: f64,
    /// The prompt.
    pub prefill: f64,
    /// All decode steps.
    pub decode: f64,
    /// Relevancy, where it was computed.
    pub relevancy: f64,
}

/// What wrote the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// "vlmscope" and its version.
    pub writer: String,
    /// Seconds since 1970, UTC.
    pub created_unix: u64,
    /// The execution provider that really ran.
    pub provider: String,
    /// Version of ONNX Runtime.
    pub runtime: String,
    /// Whether heads were switched off or attention was cut while the model answered.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub model_changed: bool,
    /// What was asked for; `None` in traces of older versions, and of questions asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestInfo>,
}

/// What decides an answer beside the model, the question and the sampling: tells whether a trace
/// answers a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestInfo {
    /// SHA-256 of the picture's file, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_sha256: Option<String>,
    /// Question and answer of each turn before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<(String, String)>,
    /// The answer that was scored, as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// How a picture that is not square was made to fit.
    pub preprocess: PreprocessMode,
    /// Whether all rows were kept, not those of text and answer alone.
    pub all_rows: bool,
    /// Whether the attention of the vision tower was kept.
    pub vision_attention: bool,
    /// Alternatives kept for each token.
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

    /// The key position of a patch; `None` if there is no such patch.
    pub fn key_of_patch(&self, patch: PatchRef) -> Option<Key> {
        self.spans.get(patch.span as usize)?.key(patch.row, patch.column)
    }

    /// The tokens of the answer.
    pub fn answer_tokens(&self) -> &[TokenInfo] {
        self.tokens.get(self.prompt_len()..).unwrap_or_default()
    }

    /// The query row that predicts answer token `i`: q = P − 1 + i.
    pub fn query_of_answer(&self, answer: super::AnswerIndex) -> super::Query {
        super::Query(self.prompt_len.saturating_add(answer.0).saturating_sub(1))
    }

    /// LVLM-Interpret's question columns: the prompt positions after the (last) picture.
    pub fn question_keys(&self) -> std::ops::Range<usize> {
        let first = self.spans.iter().map(|span| span.keys().end).max().unwrap_or(0);
        first.min(self.prompt_len())..self.prompt_len()
    }
}
