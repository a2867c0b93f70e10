//! Checks that the numbers of a manifest are valid and consistent, and that its files are inside the folder.

use super::{AxisLength, ElementType, Manifest, PATCHING, Resize, Role, STEERING, Text};
use crate::analysis::patching::Site;
use crate::model::error::{ModelError, Result};
use std::path::{Component, Path};

/// Upper limit of counts, so that products of them cannot overflow.
const MAX_COUNT: usize = 1 << 24;
/// Upper limit of layers: each layer has its own names in the graphs.
const MAX_LAYERS: usize = 1 << 12;

impl Manifest {
    /// Checks each number by itself and against the others.
    pub(super) fn check(&self, error: &dyn Fn(&str, String) -> ModelError) -> Result<()> {
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
        for (name, layers, most) in [
            ("text.layers", text.layers, MAX_LAYERS),
            ("vision.layers", vision.layers, MAX_LAYERS),
            ("vision.layers_with_gradient", vision.layers_with_gradient, vision.layers),
        ] {
            if layers > most {
                return Err(error(name, format!("is {layers}, more than {most}")));
            }
        }
        if !text.heads.is_multiple_of(text.kv_heads) {
            let reason =
                format!("is {}, which does not divide the {} heads", text.kv_heads, text.heads);
            return Err(error("text.kv_heads", reason));
        }
        // A remainder at the right and lower edge is not seen.
        let side = vision.image_size / vision.patch_size;
        if vision.grid != [side; 2] {
            let reason = format!(
                "is {} × {}, but {} pixels hold {side} × {side} patches of {}",
                vision.grid[0], vision.grid[1], vision.image_size, vision.patch_size
            );
            return Err(error("vision.grid", reason));
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

    /// Checks that file names stay in the folder and that every graph's files are listed.
    pub(super) fn check_files(&self, path: &Path) -> Result<()> {
        let listed = self.files.keys().map(|name| (format!("files.{name}"), name, None));
        let of_graphs = self.graphs.iter().flat_map(|(graph, entry)| {
            let data = entry.data.iter();
            let data =
                data.map(move |name| (format!("graphs.{graph}.data"), name, Some(Role::Weights)));
            let file = (format!("graphs.{graph}.file"), &entry.file, Some(Role::Graph));
            std::iter::once(file).chain(data)
        });
        for (field, name, role) in listed.chain(of_graphs) {
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
            // The role of a file determines whether it is hashed when the bundle is opened.
            if let Some(role) = role.filter(|role| *role != entry.role) {
                let (found, role) = (entry.role.name(), role.name());
                return Err(error(format!(
                    "names {name:?}, which has the role {found}, not {role}"
                )));
            }
            // ONNX Runtime recognises other formats by their file name extension.
            if role == Some(Role::Graph) && !name.ends_with(".onnx") {
                return Err(error(format!("names {name:?}, which does not end in .onnx")));
            }
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

    /// Checks that the graphs have the inputs and outputs that this program uses, with the shapes that the other
    /// sections imply. (When the files are loaded, they are compared with the manifest.)
    pub(super) fn check_graphs(&self, error: &dyn Fn(&str, String) -> ModelError) -> Result<()> {
        for (graph, expected) in self.expected_ports() {
            // Bundles without relevancy graphs can do everything else.
            let Some(entry) = self.graphs.get(graph) else { continue };
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
                            (AxisLength::Symbol(_), None) => true,
                            (AxisLength::Fixed(found), Some(want)) => *found == *want as u64,
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

    /// The contract between exporter and runtime, in the dimensions of this model.
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
        if self.can(PATCHING) {
            decoder.push(input("state_rows", I64, &[None]));
            for site in Site::ALL {
                let (name, place, width) = match site {
                    Site::Heads => (site.name(), 3, head_dim),
                    Site::Residual | Site::Mlp => (site.name(), 1, hidden),
                };
                let features = if site == Site::Heads { heads * head_dim } else { hidden };
                decoder.extend([
                    input(&format!("patch_{name}_counts"), I64, &[Some(layers)]),
                    input(&format!("patch_{name}_at"), I64, &[None, Some(place)]),
                    input(&format!("patch_{name}"), F32, &[None, Some(width)]),
                ]);
                decoder.extend(
                    (0..layers).map(|layer| {
                        output(&format!("{name}_{layer}"), F32, &[None, Some(features)])
                    }),
                );
            }
        }
        if self.can(STEERING) {
            decoder.push(input("attention_bias", F32, &[Some(layers), None, None]));
            decoder.push(input("bias_query", F32, &[None]));
        }
        let mut attribution = vec![
            input("inputs_embeds", F32, &[Some(1), None, Some(hidden)]),
            input("pos", I64, &[None]),
            input("ids", I64, &[None]),
            input("w", F32, &[None]),
            output(&format!("d_residual_{layers}"), F32, &[None, Some(hidden)]),
        ];
        for layer in 0..layers {
            attribution.push(output(&format!("d_residual_{layer}"), F32, &[None, Some(hidden)]));
            let features = [None, Some(heads * head_dim)];
            attribution.push(output(&format!("d_heads_{layer}"), F32, &features));
        }
        let mut relevancy = vec![
            input("inputs_embeds", F32, &[Some(1), None, Some(hidden)]),
            input("pos", I64, &[None]),
            input("ids", I64, &[None]),
            input("w", F32, &[None]),
            output("d_inputs", F32, &[Some(1), None, Some(hidden)]),
        ];
        let mut relevancy_rows = vec![
            input("inputs_embeds", F32, &[Some(1), None, Some(hidden)]),
            input("ids", I64, &[None]),
            input("w", F32, &[None]),
        ];
        let cache = [Some(1), Some(kv_heads), None, Some(head_dim)];
        for layer in 0..layers {
            for kind in ["k", "v"] {
                relevancy_rows.push(input(&format!("past_{kind}_{layer}"), self.dtype, &cache));
            }
            let rows = [Some(heads), None, None];
            relevancy_rows.push(output(&format!("grad_attn_{layer}"), F32, &rows));
            for ports in [&mut relevancy, &mut relevancy_rows] {
                ports.push(output(&format!("abar_{layer}"), F32, &[None, None]));
            }
        }
        let d_features = [Some(self.vision.features), Some(hidden)];
        let mut relevancy_vision = vec![
            input("pixel_values", F32, &[Some(1), Some(3), Some(side), Some(side)]),
            input("d_image_features", F32, &d_features),
        ];
        for layer in 0..self.vision.layers_with_gradient {
            let name = format!("vision_abar_{layer}");
            relevancy_vision.push(output(&name, F32, &[tokens, tokens]));
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
            ("relevancy", relevancy),
            ("relevancy_rows", relevancy_rows),
            ("relevancy_vision", relevancy_vision),
            ("attribution", attribution),
        ]
    }
}

#[derive(Clone)]
struct ExpectedPort {
    name: String,
    dtype: ElementType,
    /// Length of each axis; `None`: it varies.
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

/// Axes in the notation of the manifest.
pub(in crate::model) fn show_axes(axes: &[AxisLength]) -> String {
    let axes: Vec<String> = axes
        .iter()
        .map(|axis| match axis {
            AxisLength::Fixed(length) => length.to_string(),
            AxisLength::Symbol(name) => name.clone(),
        })
        .collect();
    format!("[{}]", axes.join(", "))
}

/// The way in which a file name leaves the bundle's folder, if it does.
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
