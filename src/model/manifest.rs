//! manifest.json of a bundle: what the runtime must know beside the graphs.
//!
//! Everything is parsed and judged here, once; the rest of the program trusts these numbers, and
//! no model dimension is written anywhere else. Unknown fields are ignored, so that a newer minor
//! version still opens; onnx/manifest.schema.json is the reference.

use super::error::{ModelError, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// The name of the file in the bundle's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The major version that can be read.
const FORMAT_MAJOR: u32 = 1;
const SUPPORTED: &str = "1.0";
const FORMAT: &str = "vlmscope-bundle";
/// A manifest lists a few names per layer; one larger than this is no manifest.
const MAX_BYTES: usize = 16 << 20;
/// Sanity limit of counts, so that products of them cannot overflow.
const MAX_COUNT: usize = 1 << 24;

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
    /// Every file but the manifest, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// The graphs.
    pub graphs: Graphs,
    /// The language model.
    pub text: Text,
    /// The vision tower.
    pub vision: Vision,
    /// How a picture becomes pixel values.
    pub preprocess: Preprocess,
    /// How a question becomes ids.
    pub prompt: Prompt,
    /// How attention leaves the graphs.
    pub attention: Attention,
    /// What the graphs can do.
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
    /// Size.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// What it holds.
    pub role: Role,
}

/// What a file holds.
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

/// The graphs of a bundle.
#[derive(Clone, Debug, Deserialize)]
pub struct Graphs {
    /// pixel_values → image_features.
    pub vision: Graph,
    /// The same with attention outputs.
    pub vision_attention: Graph,
    /// input_ids, image_features → inputs_embeds.
    pub embed: Graph,
    /// inputs_embeds, past keys and values → logits, presents, attention.
    pub decoder: Graph,
}

impl Graphs {
    /// Name and graph, in the order in which they run.
    pub fn iter(&self) -> [(&'static str, &Graph); 4] {
        [
            ("vision", &self.vision),
            ("vision_attention", &self.vision_attention),
            ("embed", &self.embed),
            ("decoder", &self.decoder),
        ]
    }
}

/// One graph.
#[derive(Clone, Debug, Deserialize)]
pub struct Graph {
    /// Its file.
    pub file: String,
    /// The weight files that it reads.
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
    pub shape: Vec<Axis>,
    /// It has a neutral default and may be left out.
    #[serde(default)]
    pub optional: bool,
}

/// Length of an axis: a number, or the name of one that varies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Axis {
    /// Always this long.
    Fixed(u64),
    /// As long as the inputs make it.
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
    /// Length of a head's vectors.
    pub head_dim: usize,
    /// Length of a position's vector (D).
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
    /// Id that stands for a picture's features.
    pub image_token_id: u32,
}

/// The vision tower.
#[derive(Clone, Debug, Deserialize)]
pub struct Vision {
    /// "clip" or "siglip".
    #[serde(rename = "type")]
    pub family: String,
    /// Its layers (Lv).
    pub layers: usize,
    /// Its heads (Hv).
    pub heads: usize,
    /// Length of its vectors.
    pub hidden: usize,
    /// Side of the square picture in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Rows and columns of patches.
    pub grid: [usize; 2],
    /// Position 0 of the tower is a class token.
    pub has_cls: bool,
    /// Which hidden state is read; negative counts from the end.
    pub feature_layer: i32,
    /// "default" drops the class token, "full" keeps it.
    pub select: String,
    /// Patches (N).
    pub patches: usize,
    /// Image tokens a picture: the patches, plus the class token where it is kept.
    #[serde(default)]
    pub features: usize,
    /// Layers that feed the language model.
    pub layers_with_gradient: usize,
}

/// How a picture becomes pixel values; names as in transformers' image processors.
#[derive(Clone, Debug, Deserialize)]
pub struct Preprocess {
    /// Whether it is resized.
    pub do_resize: bool,
    /// To what.
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

/// The size that a picture is resized to.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Resize {
    /// The short edge gets this length, the long edge follows.
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

/// How a question becomes ids.
#[derive(Clone, Debug, Deserialize)]
pub struct Prompt {
    /// Jinja; `None` means LLaVA-1.5's prompt.
    pub chat_template: Option<String>,
    /// What the template expects as a message's content.
    #[serde(default)]
    pub message_content: MessageContent,
    /// The text that stands for a picture.
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
    /// System prompt where there is no template.
    #[serde(default)]
    pub fallback_system: String,
}

/// What a chat template expects as a message's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageContent {
    /// A list of {type: image} and {type: text, text}.
    #[default]
    Parts,
    /// Text with the image token in it.
    String,
}

/// How attention leaves the graphs.
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
    /// Another kind of file, a newer version, or a field that makes no sense.
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
        // The version is looked at before anything else, so that a newer bundle is named as such.
        let loose: serde_json::Value = serde_json::from_slice(bytes)
            .map_err(|error| field("(file)", format!("is not JSON ({error})")))?;
        if loose.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(field(
                "format",
                format!("is not {FORMAT:?}: this is another kind of file"),
            ));
        }
        let version =
            loose.get("format_version").and_then(serde_json::Value::as_str).unwrap_or_default();
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
                let reason = format!("is {version:?}, not a version like {SUPPORTED:?}");
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

    /// Numbers that must hold by themselves or with each other.
    fn check(&self, error: &dyn Fn(&str, String) -> ModelError) -> Result<()> {
        let text = &self.text;
        let vision = &self.vision;
        for (name, value) in [
            ("text.layers", text.layers),
            ("text.heads", text.heads),
            ("text.kv_heads", text.kv_heads),
            ("text.head_dim", text.head_dim),
            ("text.hidden", text.hidden),
            ("text.vocab", text.vocab),
            ("text.max_positions", text.max_positions),
            ("vision.layers", vision.layers),
            ("vision.heads", vision.heads),
            ("vision.image_size", vision.image_size),
            ("vision.patch_size", vision.patch_size),
            ("vision.grid[0]", vision.grid[0]),
            ("vision.grid[1]", vision.grid[1]),
            ("preprocess.crop[0]", self.preprocess.crop[0] as usize),
            ("preprocess.crop[1]", self.preprocess.crop[1] as usize),
        ] {
            if value == 0 || value > MAX_COUNT {
                return Err(error(name, format!("is {value}, not a number from 1 to {MAX_COUNT}")));
            }
        }
        if !text.heads.is_multiple_of(text.kv_heads) {
            let reason =
                format!("is {}, which does not divide the {} heads", text.kv_heads, text.heads);
            return Err(error("text.kv_heads", reason));
        }
        let patches = vision.grid[0] * vision.grid[1];
        if vision.patches != patches {
            let reason = format!("is {}, but the grid has {patches} patches", vision.patches);
            return Err(error("vision.patches", reason));
        }
        if vision.features != patches && !(vision.has_cls && vision.features == patches + 1) {
            let reason = format!(
                "is {}, but {patches} patches give {patches} features (or one more with a class token)",
                vision.features
            );
            return Err(error("vision.features", reason));
        }
        if text.eos_ids.is_empty() {
            return Err(error("text.eos_ids", "is empty, so no answer would ever end".into()));
        }
        if let Some(id) = text.eos_ids.iter().find(|&&id| id as usize >= text.vocab) {
            let reason = format!("has {id}, but the vocabulary has {} ids", text.vocab);
            return Err(error("text.eos_ids", reason));
        }
        if self.dtype == ElementType::I64 {
            return Err(error("dtype", "is i64; weights are f32 or f16".into()));
        }
        if self.attention.dtype != ElementType::F16 {
            return Err(error("attention.dtype", "is not f16".into()));
        }
        let scale = self.attention.scale;
        if !(scale.is_normal() && scale > 0.0 && scale.log2().fract() == 0.0) {
            return Err(error("attention.scale", format!("is {scale}, not a power of two")));
        }
        self.check_preprocess(error)?;
        if self.prompt.image_token.is_empty() {
            return Err(error("prompt.image_token", "is empty".into()));
        }
        Ok(())
    }

    fn check_preprocess(&self, error: &dyn Fn(&str, String) -> ModelError) -> Result<()> {
        let preprocess = &self.preprocess;
        let edges = match preprocess.resize {
            Resize::ShortestEdge { shortest_edge } => [shortest_edge; 2],
            Resize::Exact { height, width } => [height, width],
        };
        if edges.iter().any(|&edge| edge == 0 || edge as usize > MAX_COUNT) {
            return Err(error("preprocess.resize", format!("is {edges:?} pixels")));
        }
        let produced = if preprocess.do_center_crop { preprocess.crop } else { edges };
        let side = self.vision.image_size;
        if produced.map(|edge| edge as usize) != [side, side] {
            let reason =
                format!("makes {produced:?} pixels, but the vision tower takes {side} × {side}");
            return Err(error("preprocess", reason));
        }
        let numbers = preprocess.mean.iter().chain(&preprocess.std);
        if !numbers.clone().all(|number| number.is_finite())
            || preprocess.std.contains(&0.0)
            || !preprocess.rescale_factor.is_finite()
        {
            return Err(error("preprocess", "has a mean, std or factor that is no number".into()));
        }
        Ok(())
    }

    /// File names stay in the folder, and every graph's files are listed.
    fn check_files(&self, path: &Path) -> Result<()> {
        let listed = self.files.keys().map(|name| (format!("files.{name}"), name));
        let of_graphs = self.graphs.iter().into_iter().flat_map(|(graph, entry)| {
            std::iter::once((format!("graphs.{graph}.file"), &entry.file))
                .chain(entry.data.iter().map(move |name| (format!("graphs.{graph}.data"), name)))
        });
        for (field, name) in listed.chain(of_graphs) {
            if let Some(reason) = leaves_folder(name) {
                return Err(ModelError::OutsideBundle {
                    path: path.to_owned(),
                    field,
                    name: name.clone(),
                    reason: reason.to_owned(),
                });
            }
            let error = |reason: String| ModelError::Manifest {
                path: path.to_owned(),
                field: field.clone(),
                reason,
            };
            let Some(entry) = self.files.get(name) else {
                return Err(error(format!("names {name:?}, which `files` does not list")));
            };
            let is_hash = entry.sha256.len() == 64
                && entry.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !is_hash {
                return Err(error("has no SHA-256 of 64 hexadecimal digits".into()));
            }
        }
        if self.files.values().filter(|entry| entry.role == Role::Tokenizer).count() != 1 {
            return Err(ModelError::Manifest {
                path: path.to_owned(),
                field: "files".into(),
                reason: "must list exactly one file with the role tokenizer".into(),
            });
        }
        Ok(())
    }

    /// The graphs have the inputs and outputs that this program uses, with the shapes that the
    /// other sections promise. (That the files really have them is checked when they are loaded.)
    fn check_graphs(&self, error: &dyn Fn(&str, String) -> ModelError) -> Result<()> {
        for (graph, expected) in self.expected_ports() {
            let entry = match graph {
                "vision" => &self.graphs.vision,
                "vision_attention" => &self.graphs.vision_attention,
                "embed" => &self.graphs.embed,
                _ => &self.graphs.decoder,
            };
            for port in expected {
                let (side, ports) = if port.output {
                    ("outputs", &entry.outputs)
                } else {
                    ("inputs", &entry.inputs)
                };
                let field = format!("graphs.{graph}.{side}.{}", port.name);
                let Some(found) = ports.iter().find(|found| found.name == port.name) else {
                    return Err(error(&field, "is missing".into()));
                };
                let fits = found.shape.len() == port.shape.len()
                    && found.shape.iter().zip(&port.shape).all(|(found, want)| {
                        match (found, want) {
                            (Axis::Symbol(_), None) => true,
                            (Axis::Fixed(found), Some(want)) => *found == *want as u64,
                            _ => false,
                        }
                    });
                if !fits || found.dtype != port.dtype {
                    let reason = format!(
                        "is {} {}, but the other sections make it {} {}",
                        found.dtype,
                        show_axes(&found.shape),
                        port.dtype,
                        port.show_shape()
                    );
                    return Err(error(&field, reason));
                }
            }
        }
        Ok(())
    }

    /// The contract between exporter and runtime, with this model's numbers.
    fn expected_ports(&self) -> Vec<(&'static str, Vec<ExpectedPort>)> {
        use ElementType::{F16, F32, I64};
        let Text { layers, heads, kv_heads, head_dim, hidden, vocab, .. } = self.text;
        let side = self.vision.image_size;
        let input = |name: &str, dtype, shape: &[Option<usize>]| ExpectedPort {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
            output: false,
        };
        let output = |name: &str, dtype, shape: &[Option<usize>]| ExpectedPort {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
            output: true,
        };
        let pixels = input("pixel_values", F32, &[None, Some(3), Some(side), Some(side)]);
        let features =
            output("image_features", F32, &[None, Some(self.vision.features), Some(hidden)]);
        let mut vision_attention = vec![pixels.clone(), features.clone()];
        let tokens = Some(self.vision.patches + usize::from(self.vision.has_cls));
        for layer in 0..self.vision.layers {
            let shape = [None, Some(self.vision.heads), tokens, tokens];
            vision_attention.push(output(&format!("vision_attn_{layer}"), F16, &shape));
        }
        let mut decoder = vec![
            input("inputs_embeds", F32, &[None, None, Some(hidden)]),
            input("rows", I64, &[None]),
            input("logit_rows", I64, &[None]),
            input("mean_rows", I64, &[None]),
            input("last_rows", I64, &[None]),
            input("head_scale", F32, &[Some(layers), Some(heads)]),
            input("knock_layers", F32, &[Some(layers)]),
            input("knock_query", F32, &[None]),
            input("knock_key", F32, &[None]),
            output("logits", F32, &[None, None, Some(vocab)]),
            output("last_layer", F16, &[None, Some(heads), None, None]),
        ];
        let cache = [None, Some(kv_heads), None, Some(head_dim)];
        for layer in 0..layers {
            for kind in ["k", "v"] {
                decoder.push(input(&format!("past_{kind}_{layer}"), self.dtype, &cache));
                decoder.push(output(&format!("present_{kind}_{layer}"), self.dtype, &cache));
            }
            decoder.push(output(&format!("attn_{layer}"), F16, &[None, Some(heads), None, None]));
            decoder.push(output(&format!("head_mean_{layer}"), F16, &[None, None, None]));
        }
        vec![
            ("vision", vec![pixels, features]),
            ("vision_attention", vision_attention),
            (
                "embed",
                vec![
                    input("input_ids", I64, &[None, None]),
                    input("image_features", F32, &[None, Some(hidden)]),
                    output("inputs_embeds", F32, &[None, None, Some(hidden)]),
                ],
            ),
            ("decoder", decoder),
        ]
    }

    /// The tokenizer's file name.
    pub fn tokenizer_file(&self) -> Option<&str> {
        let mut files = self.files.iter();
        files.find(|(_, entry)| entry.role == Role::Tokenizer).map(|(name, _)| name.as_str())
    }

    /// Whether the exporter built `capability` into the graphs.
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }
}

#[derive(Clone)]
struct ExpectedPort {
    name: String,
    dtype: ElementType,
    /// `None`: varies.
    shape: Vec<Option<usize>>,
    output: bool,
}

impl ExpectedPort {
    fn show_shape(&self) -> String {
        let axes: Vec<String> = self
            .shape
            .iter()
            .map(|axis| axis.map_or_else(|| "(varies)".to_owned(), |axis| axis.to_string()))
            .collect();
        format!("[{}]", axes.join(", "))
    }
}

/// Axes as the manifest writes them.
pub(super) fn show_axes(axes: &[Axis]) -> String {
    let axes: Vec<String> = axes
        .iter()
        .map(|axis| match axis {
            Axis::Fixed(length) => length.to_string(),
            Axis::Symbol(name) => name.clone(),
        })
        .collect();
    format!("[{}]", axes.join(", "))
}

/// How a file name would leave the bundle's folder, if it would.
fn leaves_folder(name: &str) -> Option<&'static str> {
    let path = Path::new(name);
    if path.is_absolute() || name.starts_with(['/', '\\']) || name.contains(':') {
        return Some("is an absolute path");
    }
    if path.components().any(|part| matches!(part, Component::ParentDir)) || name.contains("..") {
        return Some("goes up with `..`");
    }
    if name.is_empty() || name.contains(['/', '\\', '\0']) {
        return Some("is not a plain file name");
    }
    None
}
