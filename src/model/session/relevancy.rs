//! The backward graphs in ONNX Runtime, each opened on first use.
//!
//! They read the same weight files as the forward graphs, and ONNX Runtime memory-maps these: unless it repacks weights
//! for speed, the system holds each weight once, however many graphs use it.

use super::graph::{Expected, GraphSession};
use super::options::SessionOptions;
use super::sessions::Sessions;
use super::values::{KvCache, cache_name, tensor};
use crate::analysis::patching::Site;
use crate::job::CancelToken;
use crate::model::bundle::Bundle;
use crate::model::error::{ModelError, Result};
use ort::value::DynValue;

/// A backward graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackwardGraph {
    /// A whole prompt and one score.
    Prompt,
    /// Positions after a prompt, each from its own score.
    Rows,
    /// The vision tower.
    Vision,
    /// A whole prompt and one log-probability: gradients of activations.
    Attribution,
}

impl BackwardGraph {
    /// Its name in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prompt => "relevancy",
            Self::Rows => "relevancy_rows",
            Self::Vision => "relevancy_vision",
            Self::Attribution => "attribution",
        }
    }
}

/// The start of a backward pass: w · logit of `id` at `position`.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// The position that predicts the token.
    pub position: usize,
    /// The token.
    pub id: u32,
    /// Factor on its logit: 1 / temperature.
    pub weight: f32,
}

impl Seed {
    /// The inputs of a backward pass through `embeddings`, [S, D].
    fn inputs(
        self,
        embeddings: Vec<f32>,
        [positions, hidden]: [usize; 2],
    ) -> Vec<(&'static str, ort::Result<DynValue>)> {
        vec![
            ("inputs_embeds", tensor([1, positions, hidden], embeddings)),
            ("pos", tensor([1], vec![self.position as i64])),
            ("ids", tensor([1], vec![i64::from(self.id)])),
            ("w", tensor([1], vec![self.weight])),
        ]
    }
}

/// One output per layer, as ONNX Runtime returned it: f32 on the CPU.
#[derive(Debug)]
pub struct LayerOutputs {
    graph: std::path::PathBuf,
    values: Vec<DynValue>,
}

impl LayerOutputs {
    /// The numbers of each layer, first layer first.
    ///
    /// # Errors
    /// If an output cannot be read as f32.
    pub fn layers(&self) -> Result<Vec<&[f32]>> {
        let read = |value| DynValue::try_extract_tensor::<f32>(value).map(|(_, data)| data);
        let slices = self.values.iter().map(read).collect::<ort::Result<_>>();
        slices.map_err(|error| ModelError::Runtime {
            path: self.graph.clone(),
            doing: "reading its outputs".into(),
            reason: error.message().to_owned(),
        })
    }
}

impl Sessions {
    /// Whether a backward graph is open.
    pub fn is_open(&self, graph: BackwardGraph) -> bool {
        match graph {
            BackwardGraph::Prompt => self.relevancy.prompt.is_some(),
            BackwardGraph::Rows => self.relevancy.rows.is_some(),
            BackwardGraph::Vision => self.relevancy.vision.is_some(),
            BackwardGraph::Attribution => self.relevancy.attribution.is_some(),
        }
    }

    /// Opens a backward graph unless it is already open. `prepack` lets ONNX Runtime repack the weights: this is a
    /// quarter faster, but needs another copy of them in memory.
    ///
    /// # Errors
    /// If the bundle has no such graph, or it does not load.
    pub fn open_backward(
        &mut self,
        bundle: &Bundle,
        which: BackwardGraph,
        prepack: bool,
    ) -> Result<()> {
        if self.is_open(which) {
            return Ok(());
        }
        let graph = bundle.manifest().graphs.get(which.name());
        let graph = graph.ok_or_else(|| ModelError::NoRelevancy {
            folder: bundle.folder().to_owned(),
            graph: which.name(),
        })?;
        let options = SessionOptions { prepack, ..self.options };
        let named = (which.name(), graph);
        let session = GraphSession::open(&self.runtime, bundle, named, self.provider, options)?;
        match which {
            BackwardGraph::Prompt => self.relevancy.prompt = Some(session),
            BackwardGraph::Rows => self.relevancy.rows = Some(session),
            BackwardGraph::Vision => self.relevancy.vision = Some(session),
            BackwardGraph::Attribution => self.relevancy.attribution = Some(session),
        }
        Ok(())
    }

    /// One backward pass from a seed through the positions of `embeddings` [S, D]: every row of Ā, [S, S] per layer,
    /// and, if requested, the gradient with respect to the embeddings [S, D].
    ///
    /// # Errors
    /// If the graph is not open or fails, or the token was cancelled.
    pub fn backward_prompt(
        &mut self,
        embeddings: Vec<f32>,
        hidden: usize,
        seed: Seed,
        wants_inputs: bool,
        cancel: &CancelToken,
    ) -> Result<(LayerOutputs, Vec<f32>)> {
        let layers = self.layers;
        let session = opened(&mut self.relevancy.prompt, BackwardGraph::Prompt)?;
        let positions = embeddings.len() / hidden;
        let inputs = built(session, seed.inputs(embeddings, [positions, hidden]))?;
        let expect = |name: &str| match name {
            "d_inputs" => wants_inputs.then(|| Expected::new([1, positions, hidden])),
            _ => layer_of(name, "abar_", layers).map(|_| Expected::new([positions; 2])),
        };
        let outputs = session.run(inputs, &[], &expect, cancel)?;
        let (gradients, layers): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|(name, _)| name == "d_inputs");
        let gradient = match wants_inputs {
            true => session.output::<f32>(&gradients, "d_inputs")?.to_vec(),
            false => Vec::new(),
        };
        Ok((by_layer(session, layers, "abar_")?, gradient))
    }

    /// One backward pass from weight · log p of a seed's id through the positions of `embeddings` [S, D]: the gradient with
    /// respect to the activations of a site, [S, features] per layer.
    ///
    /// # Errors
    /// As [`Self::backward_prompt`].
    pub fn backward_activations(
        &mut self,
        embeddings: Vec<f32>,
        hidden: usize,
        seed: Seed,
        site: Site,
        cancel: &CancelToken,
    ) -> Result<LayerOutputs> {
        let (layers, sizes, head_dim) = (self.layers, self.sizes, self.head_dim);
        let session = opened(&mut self.relevancy.attribution, BackwardGraph::Attribution)?;
        let positions = embeddings.len() / hidden;
        let inputs = built(session, seed.inputs(embeddings, [positions, hidden]))?;
        // An MLP's output is added to the residual stream that the next layer reads: both have one gradient.
        let (prefix, wanted) = match site {
            Site::Residual => ("d_residual_", 0..layers),
            Site::Heads => ("d_heads_", 0..layers),
            Site::Mlp => ("d_residual_", 1..layers + 1),
        };
        let expect = |name: &str| {
            let layer = layer_of(name, prefix, layers + 1)?;
            let shape = [positions, sizes.features_of(site, head_dim)];
            wanted.contains(&layer).then(|| Expected::new(shape))
        };
        let outputs = session.run(inputs, &[], &expect, cancel)?;
        by_layer(session, outputs, prefix)
    }

    /// A backward pass for each position of `embeddings` [S, D] after `past`, from the score of its own id, with all
    /// earlier keys and values constant: the position's row of Ā, [S, C+S] per layer, and, if requested, gradient ⊙
    /// attention with its sign, [H, S, C+S] per layer (otherwise no layers).
    ///
    /// # Errors
    /// As [`Self::backward_prompt`].
    #[expect(clippy::too_many_arguments, reason = "the inputs of one graph")]
    pub fn backward_rows(
        &mut self,
        embeddings: Vec<f32>,
        hidden: usize,
        past: &KvCache,
        ids: &[u32],
        weight: f32,
        wants_gradients: bool,
        cancel: &CancelToken,
    ) -> Result<(LayerOutputs, LayerOutputs)> {
        let (layers, heads) = (self.layers, self.sizes.heads);
        let session = opened(&mut self.relevancy.rows, BackwardGraph::Rows)?;
        let rows = ids.len();
        let inputs = vec![
            ("inputs_embeds", tensor([1, rows, hidden], embeddings)),
            ("ids", tensor([rows], ids.iter().map(|&id| i64::from(id)).collect())),
            ("w", tensor([rows], vec![weight; rows])),
        ];
        let inputs = built(session, inputs)?;
        let kept: Vec<(String, &DynValue)> = past
            .values
            .iter()
            .enumerate()
            .map(|(index, value)| (cache_name("past", index), value))
            .collect();
        let positions = past.positions + rows;
        let expect = |name: &str| {
            if layer_of(name, "abar_", layers).is_some() {
                return Some(Expected::new([rows, positions]));
            }
            let is_gradient = layer_of(name, "grad_attn_", layers).is_some();
            (is_gradient && wants_gradients).then(|| Expected::new([heads, rows, positions]))
        };
        let outputs = session.run(inputs, &kept, &expect, cancel)?;
        let (abar, gradients): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|(name, _)| name.starts_with("abar_"));
        let abar = by_layer(session, abar, "abar_")?;
        Ok((abar, by_layer(session, gradients, "grad_attn_")?))
    }

    /// A backward pass through the vision tower from the gradient with respect to the picture's features [features, D]:
    /// Ā [tokens, tokens] of each layer that feeds the language model.
    ///
    /// # Errors
    /// As [`Self::backward_prompt`].
    pub fn backward_vision(
        &mut self,
        pixel_values: Vec<f32>,
        side: usize,
        gradient: Vec<f32>,
        hidden: usize,
        cancel: &CancelToken,
    ) -> Result<LayerOutputs> {
        let (tower, layers) = (self.sizes.tower, self.sizes.tower_layers);
        let session = opened(&mut self.relevancy.vision, BackwardGraph::Vision)?;
        let inputs = vec![
            ("pixel_values", tensor([1, 3, side, side], pixel_values)),
            ("d_image_features", tensor([gradient.len() / hidden, hidden], gradient)),
        ];
        let inputs = built(session, inputs)?;
        let expect =
            |name: &str| layer_of(name, "vision_abar_", layers).map(|_| Expected::new([tower; 2]));
        let outputs = session.run(inputs, &[], &expect, cancel)?;
        by_layer(session, outputs, "vision_abar_")
    }
}

fn opened(
    session: &mut Option<GraphSession>,
    graph: BackwardGraph,
) -> Result<&mut GraphSession, ModelError> {
    session.as_mut().ok_or_else(|| ModelError::Request {
        what: format!("the graph `{}`", graph.name()),
        reason: "is not open.".into(),
    })
}

fn built(
    session: &GraphSession,
    inputs: Vec<(&str, ort::Result<DynValue>)>,
) -> Result<Vec<(String, DynValue)>> {
    let input = |(name, value): (&str, _)| {
        Ok((name.to_owned(), session.check(value, "building its inputs")?))
    };
    inputs.into_iter().map(input).collect()
}

/// The layer in the name of an output, if it is one of `layers`.
fn layer_of(name: &str, prefix: &str, layers: usize) -> Option<usize> {
    name.strip_prefix(prefix)?.parse().ok().filter(|&layer| layer < layers)
}

/// The outputs PREFIX0, PREFIX1 … in the order of the layers.
fn by_layer(
    session: &GraphSession,
    outputs: Vec<(String, DynValue)>,
    prefix: &str,
) -> Result<LayerOutputs> {
    let mut layers = Vec::with_capacity(outputs.len());
    for (name, value) in outputs {
        let layer = layer_of(&name, prefix, usize::MAX).ok_or_else(|| {
            session.failed("reading its outputs", &format!("{name} is unexpected"))
        })?;
        layers.push((layer, value));
    }
    layers.sort_by_key(|(layer, _)| *layer);
    let values = layers.into_iter().map(|(_, value)| value).collect();
    Ok(LayerOutputs { graph: session.path().to_owned(), values })
}
