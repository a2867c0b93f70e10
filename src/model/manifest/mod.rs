//! manifest.json of a bundle: the description of the graphs that the runtime needs.
//!
//! Everything is parsed and checked here, once; the rest of the program relies on these numbers, and no model dimension
//! is defined anywhere else. Unknown fields are ignored, so that a newer minor version still opens;
//! onnx/manifest.schema.json is the reference.

mod check;

pub(super) use check::show_axes;

use super::error::{ModelError, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The name of the file in the bundle's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The major version that can be read.
const FORMAT_MAJOR: u32 = 1;
const SUPPORTED: &str = "1.0";
const FORMAT: &str = "vlmscope-bundle";
/// A manifest lists a few names per layer; a larger file is not a manifest.
const MAX_BYTES: usize = 16 << 20;

/// The capability of a bundle whose decoder reads and overwrites activations and that has the graph `attribution`.
pub const PATCHING: &str = "patching";
/// The capability of a bundle whose decoder adds a bias to attention scores.
pub const STEERING: &str = "steering";

/// The whole manifest.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    /// "major.minor" of the format.
    pub format_version: String,
    /// The bundle's name.
    pub name: String,
    /// Hub id or folder name of the model.
    pub source: String,
    /// Type of the weights and of the KV cache.
    pub dtype: ElementType,
    /// Every file except the manifest, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// The graphs.
    pub graphs: Graphs,
    /// The language model.
    pub text: Text,
    /// The vision tower.
    pub vision: Vision,
    /// The rule that turns a picture into pixel values.
    pub preprocess: Preprocess,
    /// The rule that turns a question into ids.
    pub prompt: Prompt,
    /// Format of the attention outputs.
    pub attention: Attention,
    /// Optional features of the graphs.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 64-bit signed integer.
    I64,
}

impl std::fmt::Display for ElementType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I64 => "i64",
        })
    }
}

/// One file of the bundle.
#[derive(Clone, Debug, Deserialize)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// The type of its content.
    pub role: Role,
}

/// The role of a file in the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An ONNX graph without its weights.
    Graph,
    /// Weights, mapped by ONNX Runtime.
    Weights,
    /// tokenizer.json.
    Tokenizer,
}

impl Role {
    /// The name in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Weights => "weights",
            Self::Tokenizer => "tokenizer",
        }
    }
}

/// The graphs of a bundle.
#[derive(Clone, Debug, Deserialize)]
pub struct Graphs {
    /// pixel_values → image_features.
    pub vision: Graph,
    /// As `vision`, with attention outputs.
    pub vision_attention: Graph,
    /// input_ids, image_features → inputs_embeds.
    pub embed: Graph,
    /// inputs_embeds, past keys and values → logits, presents, attention.
    pub decoder: Graph,
    /// inputs_embeds, one seed → every row of Ā, gradient with respect to the inputs.
    #[serde(default)]
    pub relevancy: Option<Graph>,
    /// inputs_embeds, past keys and values → each row of Ā from its own score.
    #[serde(default)]
    pub relevancy_rows: Option<Graph>,
    /// pixel_values, gradient with respect to the features → Ā of the vision tower.
    #[serde(default)]
    pub relevancy_vision: Option<Graph>,
    /// inputs_embeds, one seed → gradients with respect to the activations.
    #[serde(default)]
    pub attribution: Option<Graph>,
}

impl Graphs {
    /// Name and graph, in the order in which they run.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Graph)> {
        let always = [
            ("vision", &self.vision),
            ("vision_attention", &self.vision_attention),
            ("embed", &self.embed),
            ("decoder", &self.decoder),
        ];
        let relevancy = [
            ("relevancy", &self.relevancy),
            ("relevancy_rows", &self.relevancy_rows),
            ("relevancy_vision", &self.relevancy_vision),
            ("attribution", &self.attribution),
        ];
        let relevancy = relevancy.into_iter();
        always
            .into_iter()
            .chain(relevancy.filter_map(|(name, graph)| Some((name, graph.as_ref()?))))
    }

    /// A graph by name.
    pub fn get(&self, name: &str) -> Option<&Graph> {
        self.iter().find(|(found, _)| *found == name).map(|(_, graph)| graph)
    }
}

/// One graph.
#[derive(Clone, Debug, Deserialize)]
pub struct Graph {
    /// Its file.
    pub file: String,
    /// The weight files that the graph reads.
    pub data: Vec<String>,
    /// Inputs in order.
    pub inputs: Vec<Port>,
    /// Outputs in order.
    pub outputs: Vec<Port>,
}

/// An input or output of a graph.
#[derive(Clone, Debug, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: ElementType,
    /// Axes, outermost first.
    pub shape: Vec<AxisLength>,
    /// Whether it has a neutral default and may be omitted.
    #[serde(default)]
    pub optional: bool,
}

/// Length of an axis: a number, or the name of one that varies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum AxisLength {
    /// Always this long.
    Fixed(u64),
    /// Depends on the inputs.
    Symbol(String),
}

/// The language model.
#[derive(Clone, Debug, Deserialize)]
pub struct Text {
    /// "llama", "mistral" or "gemma".
    #[serde(rename = "type")]
    pub family: String,
    /// Decoder layers (L).
    pub layers: usize,
    /// Query heads (H).
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Dimension of a head's vectors.
    pub head_dim: usize,
    /// Dimension of a position's vector (D).
    pub hidden: usize,
    /// Size of the vocabulary (V).
    pub vocab: usize,
    /// Longest sequence.
    pub max_positions: usize,
    /// Id of the beginning of a sequence.
    pub bos_id: Option<u32>,
    /// Ids that end an answer.
    pub eos_ids: Vec<u32>,
    /// Id of padding.
    pub pad_id: Option<u32>,
    /// Id of the image token, which is replaced by the picture's features.
    pub image_token_id: u32,
}

/// The vision tower.
#[derive(Clone, Debug, Deserialize)]
pub struct Vision {
    /// "clip" or "siglip".
    #[serde(rename = "type")]
    pub family: String,
    /// Number of its layers (Lv).
    pub layers: usize,
    /// Number of its heads (Hv).
    pub heads: usize,
    /// Dimension of its vectors.
    pub hidden: usize,
    /// Side of the square picture in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Rows and columns of patches.
    pub grid: [usize; 2],
    /// Whether position 0 of the tower is a class token.
    pub has_cls: bool,
    /// Index of the hidden state that is read; negative counts from the end.
    pub feature_layer: i32,
    /// "default" drops the class token, "full" keeps it.
    pub select: String,
    /// Patches (N).
    pub patches: usize,
    /// Number of image tokens per picture: the patches, plus the class token if it is kept.
    #[serde(default)]
    pub features: usize,
    /// Number of layers that feed the language model.
    pub layers_with_gradient: usize,
}

/// The rule that turns a picture into pixel values; names as in transformers' image processors.
#[derive(Clone, Debug, Deserialize)]
pub struct Preprocess {
    /// Whether it is resized.
    pub do_resize: bool,
    /// The target size.
    pub resize: Resize,
    /// PIL's filter.
    pub resample: Resample,
    /// Whether the centre is cut out.
    pub do_center_crop: bool,
    /// Height and width of the centre.
    pub crop: [u32; 2],
    /// Whether bytes are multiplied by the factor.
    pub do_rescale: bool,
    /// Usually 1/255.
    pub rescale_factor: f64,
    /// Whether mean and standard deviation are applied.
    pub do_normalize: bool,
    /// Mean per channel.
    pub mean: [f32; 3],
    /// Standard deviation per channel.
    pub std: [f32; 3],
}

/// The target size of a picture.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Resize {
    /// The short edge gets this length; the long edge keeps the proportions.
    ShortestEdge {
        /// In pixels.
        shortest_edge: u32,
    },
    /// Exactly this size.
    Exact {
        /// In pixels.
        height: u32,
        /// In pixels.
        width: u32,
    },
}

/// PIL's resampling filters, antialiased when shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resample {
    /// The nearest pixel.
    Nearest,
    /// Mean of the covered pixels.
    Box,
    /// Linear.
    Bilinear,
    /// Hamming window.
    Hamming,
    /// Cubic with a = −0.5.
    Bicubic,
    /// Lanczos with three lobes.
    Lanczos,
}

/// The rule that turns a question into ids.
#[derive(Clone, Debug, Deserialize)]
pub struct Prompt {
    /// The chat template in Jinja; `None` means LLaVA-1.5's prompt.
    pub chat_template: Option<String>,
    /// The type of a message's content in the template.
    #[serde(default)]
    pub message_content: MessageContent,
    /// The image token's text.
    pub image_token: String,
    /// Whether the tokenizer adds BOS to the rendered template.
    pub add_special_tokens: bool,
    /// Text of BOS for the template.
    #[serde(default)]
    pub bos_token: Option<String>,
    /// Text of EOS for the template.
    #[serde(default)]
    pub eos_token: Option<String>,
    /// Text of padding for the template.
    #[serde(default)]
    pub pad_token: Option<String>,
    /// Text of the unknown token for the template.
    #[serde(default)]
    pub unk_token: Option<String>,
    /// System prompt if there is no template.
    #[serde(default)]
    pub fallback_system: String,
}

/// The type of a message's content that a chat template expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageContent {
    /// A list of {type: image} and {type: text, text}.
    #[default]
    Parts,
    /// Text with the image token in it.
    String,
}

/// Format of the attention outputs.
#[derive(Clone, Debug, Deserialize)]
pub struct Attention {
    /// Outputs are attention × this.
    pub scale: f32,
    /// Always f16.
    pub dtype: ElementType,
}

impl Manifest {
    /// Parses and checks a manifest; `path` names it in errors.
    ///
    /// # Errors
    /// Another kind of file, a newer version, or an invalid field.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let field = |field: &str, reason: String| ModelError::Manifest {
            path: path.to_owned(),
            field: field.to_owned(),
            reason,
        };
        if bytes.len() > MAX_BYTES {
            return Err(field(
                "(file)",
                format!("has {} bytes, which no manifest has", bytes.len()),
            ));
        }
        // The version is checked first, so that the error for a newer bundle names the version.
        let loose: serde_json::Value = serde_json::from_slice(bytes)
            .map_err(|error| field("(file)", format!("is not JSON ({error})")))?;
        if loose.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(field(
                "format",
                format!("is not {FORMAT:?}: this is another kind of file"),
            ));
        }
        let given = loose.get("format_version");
        let version = given.and_then(serde_json::Value::as_str).unwrap_or_default();
        let major: Option<u32> = version.split_once('.').and_then(|(major, _)| major.parse().ok());
        match major {
            Some(FORMAT_MAJOR) => {}
            Some(major) if major > FORMAT_MAJOR => {
                return Err(ModelError::NewerBundle {
                    path: path.to_owned(),
                    found: version.to_owned(),
                    supported: SUPPORTED.to_owned(),
                });
            }
            _ => {
                let given = given.map_or_else(|| "missing".to_owned(), ToString::to_string);
                let reason = format!("is {given}, not a version like {SUPPORTED:?}");
                return Err(field("format_version", reason));
            }
        }
        let mut manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| field("(fields)", format!("do not fit format {version} ({error})")))?;
        if manifest.vision.features == 0 {
            manifest.vision.features = manifest.vision.patches;
        }
        manifest.check(&field)?;
        manifest.check_files(path)?;
        manifest.check_graphs(&field)?;
        Ok(manifest)
    }

    /// The tokenizer's file name.
    pub fn tokenizer_file(&self) -> Option<&str> {
        let mut files = self.files.iter();
        files.find(|(_, entry)| entry.role == Role::Tokenizer).map(|(name, _)| name.as_str())
    }

    /// Whether the exported graphs have `capability`.
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }
}
