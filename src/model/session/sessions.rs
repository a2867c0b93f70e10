//! The forward graphs of a bundle.

use super::graph::{Expected, GraphSession};
use super::options::{Provider, SessionOptions};
use super::runtime::Runtime;
use super::values::{Bias, Call, DecoderPart, KvCache, Patches, cache_name, tensor};
use crate::analysis::patching::Site;
use crate::job::CancelToken;
use crate::model::bundle::Bundle;
use crate::model::error::{ModelError, Result};
use crate::model::manifest::ElementType;
use crate::model::request::Device;
use half::f16;
use ort::memory::AllocationDevice;
use ort::value::{DynTensorValueType, DynValue, PrimitiveTensorElementType};
use std::sync::Arc;

/// The open graphs.
#[derive(Debug)]
pub struct Sessions {
    pub(super) runtime: Arc<Runtime>,
    pub(super) provider: Provider,
    pub(super) options: SessionOptions,
    pub(super) vision: GraphSession,
    pub(super) vision_attention: Option<GraphSession>,
    pub(super) embed: GraphSession,
    pub(super) decoder: GraphSession,
    pub(super) relevancy: RelevancySessions,
    pub(super) layers: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) sizes: Sizes,
    pub(super) cache_type: ElementType,
}

/// Axes of the outputs that the manifest fixes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) heads: usize,
    pub(super) hidden: usize,
    pub(super) vocab: usize,
    pub(super) features: usize,
    /// Number of positions in the vision tower.
    pub(super) tower: usize,
    /// Number of layers of the vision tower that feed the language model.
    pub(super) tower_layers: usize,
}

/// The backward graphs that are open.
#[derive(Debug, Default)]
pub(super) struct RelevancySessions {
    pub(super) prompt: Option<GraphSession>,
    pub(super) rows: Option<GraphSession>,
    pub(super) vision: Option<GraphSession>,
    pub(super) attribution: Option<GraphSession>,
}

impl Sessions {
    /// Opens the graphs; `progress` receives the steps done and the total. A note gives the reason why CUDA is not used
    /// if it was only preferred.
    ///
    /// # Errors
    /// A graph that does not load or does not fit its manifest, or a device that cannot be used.
    pub fn open(
        runtime: Arc<Runtime>,
        bundle: &Bundle,
        options: SessionOptions,
        progress: &mut dyn FnMut(u32, u32),
    ) -> Result<(Self, Vec<String>)> {
        let mut notes = Vec::new();
        let providers: &[Provider] = match options.device {
            Device::Cpu => &[Provider::Cpu],
            Device::Cuda => &[Provider::Cuda],
            Device::Auto if could_have_cuda(&runtime) => &[Provider::Cuda, Provider::Cpu],
            Device::Auto => &[Provider::Cpu],
        };
        let mut vision = None;
        for &provider in providers {
            progress(0, 3);
            let graph = &bundle.manifest().graphs.vision;
            match GraphSession::open(&runtime, bundle, ("vision", graph), provider, options) {
                Ok(session) => vision = Some((session, provider)),
                Err(ModelError::Device { reason, .. }) if options.device == Device::Auto => {
                    notes.push(format!("CUDA is not used: {reason}."));
                    continue;
                }
                Err(error) => return Err(error),
            }
            break;
        }
        let Some((vision, provider)) = vision else {
            return Err(ModelError::Device {
                device: "auto".into(),
                reason: "no execution provider works".into(),
            });
        };
        let graphs = &bundle.manifest().graphs;
        progress(1, 3);
        let embed =
            GraphSession::open(&runtime, bundle, ("embed", &graphs.embed), Provider::Cpu, options)?;
        progress(2, 3);
        let decoder =
            GraphSession::open(&runtime, bundle, ("decoder", &graphs.decoder), provider, options)?;
        progress(3, 3);
        let (text, vision_sizes) = (&bundle.manifest().text, &bundle.manifest().vision);
        let sessions = Self {
            runtime,
            provider,
            options,
            vision,
            vision_attention: None,
            embed,
            decoder,
            relevancy: RelevancySessions::default(),
            layers: text.layers,
            kv_heads: text.kv_heads,
            head_dim: text.head_dim,
            sizes: Sizes {
                heads: text.heads,
                hidden: text.hidden,
                vocab: text.vocab,
                features: vision_sizes.features,
                tower: vision_sizes.patches + usize::from(vision_sizes.has_cls),
                tower_layers: vision_sizes.layers_with_gradient,
            },
            cache_type: bundle.manifest().dtype,
        };
        Ok((sessions, notes))
    }

    /// The provider that runs the vision tower and the decoder.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Threads for one operator.
    pub fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.options.threads.unwrap_or_else(all)
    }

    /// The library.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// pixel_values [B, 3, side, side] → image features [B, features, D].
    ///
    /// # Errors
    /// If ONNX Runtime fails or the token was cancelled.
    pub fn vision(
        &mut self,
        pixel_values: Vec<f32>,
        side: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        let batch = pixel_values.len() / (3 * side * side).max(1);
        let input = tensor([batch, 3, side, side], pixel_values);
        let (features, hidden) = (self.sizes.features, self.sizes.hidden);
        let expect = |name: &str| {
            (name == "image_features").then(|| Expected::new([batch, features, hidden]))
        };
        let session = &mut self.vision;
        let input = session.check(input, "building its input")?;
        let outputs = session.run(vec![("pixel_values".into(), input)], &[], &expect, cancel)?;
        Ok(session.output::<f32>(&outputs, "image_features")?.to_vec())
    }

    /// pixel_values [1, 3, side, side] → attention of all layers, [Hv, side, side] each, concatenated. The graph is
    /// opened on first use.
    ///
    /// # Errors
    /// As [`Self::vision`].
    pub fn vision_attention(
        &mut self,
        bundle: &Bundle,
        pixel_values: Vec<f32>,
        cancel: &CancelToken,
    ) -> Result<Vec<f16>> {
        let side = bundle.manifest().vision.image_size;
        let session = match &mut self.vision_attention {
            Some(session) => session,
            empty => {
                let graph = ("vision_attention", &bundle.manifest().graphs.vision_attention);
                let opened =
                    GraphSession::open(&self.runtime, bundle, graph, self.provider, self.options)?;
                empty.insert(opened)
            }
        };
        let input =
            session.check(tensor([1, 3, side, side], pixel_values), "building its input")?;
        let vision = &bundle.manifest().vision;
        let tokens = vision.patches + usize::from(vision.has_cls);
        let names: Vec<String> =
            (0..vision.layers).map(|layer| format!("vision_attn_{layer}")).collect();
        let expect = |name: &str| {
            let wanted = names.iter().any(|wanted| wanted == name);
            wanted.then(|| Expected::new([1, vision.heads, tokens, tokens]))
        };
        let outputs = session.run(vec![("pixel_values".into(), input)], &[], &expect, cancel)?;
        let mut weights = Vec::new();
        for name in &names {
            weights.extend_from_slice(session.output::<f16>(&outputs, name)?);
        }
        Ok(weights)
    }

    /// ids `[S]`, the same for every member of the batch, and image features [n, D] for the n image
    /// tokens of all members → embeddings [B, S, D].
    ///
    /// # Errors
    /// If ONNX Runtime fails or the token was cancelled.
    pub fn embed(
        &mut self,
        ids: &[u32],
        batch: usize,
        image_features: &[f32],
        hidden: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        let session = &mut self.embed;
        let shape = [batch, ids.len()];
        let ids = ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>().repeat(batch);
        let ids = session.check(tensor(shape, ids), "building its input")?;
        let features = [image_features.len() / hidden, hidden];
        let features =
            session.check(tensor(features, image_features.to_vec()), "building its input")?;
        let inputs = vec![("input_ids".into(), ids), ("image_features".into(), features)];
        let [batch, positions] = shape;
        let expect = |name: &str| {
            (name == "inputs_embeds").then(|| Expected::new([batch, positions, hidden]))
        };
        let outputs = session.run(inputs, &[], &expect, cancel)?;
        Ok(session.output::<f32>(&outputs, "inputs_embeds")?.to_vec())
    }

    /// Runs the decoder on `embeddings` [B, S, D] after `past`, which has the same batch. Attention and activations are
    /// passed to `parts` in the order in which the graph returns them. Returns the logits [B, logit_rows, V] and the cache of
    /// all positions.
    ///
    /// # Errors
    /// If ONNX Runtime fails or the token was cancelled; `past` is then unchanged.
    pub fn decode(
        &mut self,
        embeddings: Vec<f32>,
        hidden: usize,
        past: &KvCache,
        call: Call,
        cancel: &CancelToken,
        parts: &mut dyn FnMut(DecoderPart<'_>) -> Result<()>,
    ) -> Result<(Vec<f32>, KvCache)> {
        let session = &mut self.decoder;
        let batch = past.batch;
        let new = embeddings.len() / (hidden * batch);
        let positions = past.positions + new;
        let sizes = self.sizes;
        let [rows, logit_rows, mean_rows, last_rows, state_rows] =
            [&call.rows, &call.logit_rows, &call.mean_rows, &call.last_rows, &call.state_rows]
                .map(Vec::len);
        let (heads, kv_heads, head_dim) = (sizes.heads, self.kv_heads, self.head_dim);
        let state_site = call.state_site;
        let expect = |name: &str| match DecoderOutput::from_name(name, self.layers)? {
            DecoderOutput::Logits => Some(Expected::new([batch, logit_rows, sizes.vocab])),
            DecoderOutput::Present(_) => Some(Expected {
                first_new: past.positions,
                ..Expected::new([batch, kv_heads, positions, head_dim])
            }),
            DecoderOutput::Rows(_) => Some(Expected::new([batch, heads, rows, positions])),
            DecoderOutput::HeadMean(_) => Some(Expected::new([batch, mean_rows, positions])),
            DecoderOutput::LastLayer => Some(Expected::new([batch, heads, last_rows, positions])),
            DecoderOutput::States(site, _) => (state_site == Some(site))
                .then(|| Expected::new([state_rows, sizes.features_of(site, head_dim)])),
        };
        let mut inputs =
            vec![("inputs_embeds".to_owned(), tensor([batch, new, hidden], embeddings))];
        inputs.extend(optional_inputs(call, self.layers));
        let inputs = inputs
            .into_iter()
            .map(|(name, value)| Ok((name, session.check(value, "building its inputs")?)))
            .collect::<Result<Vec<_>>>()?;
        let kept =
            past.values.iter().enumerate().map(|(index, value)| (cache_name("past", index), value));
        let kept: Vec<(String, &DynValue)> = kept.collect();
        let outputs = session.run(inputs, &kept, &expect, cancel)?;
        let mut logits = Vec::new();
        let mut values: Vec<Option<DynValue>> = (0..past.values.len()).map(|_| None).collect();
        for (name, value) in outputs {
            let doing = "reading its outputs";
            let Some(kind) = DecoderOutput::from_name(&name, self.layers) else { continue };
            match kind {
                DecoderOutput::Logits => {
                    let (_, data) = session.check(value.try_extract_tensor::<f32>(), doing)?;
                    logits = data.to_vec();
                }
                DecoderOutput::Present(index) => values[index] = Some(value),
                DecoderOutput::Rows(_) | DecoderOutput::HeadMean(_) | DecoderOutput::LastLayer => {
                    let (_, weights) = session.check(value.try_extract_tensor::<f16>(), doing)?;
                    parts(kind.part(weights))?;
                }
                DecoderOutput::States(_, layer) => {
                    let (_, values) = session.check(value.try_extract_tensor::<f32>(), doing)?;
                    parts(DecoderPart::States { layer, values })?;
                }
            }
        }
        let values: Option<Vec<DynValue>> = values.into_iter().collect();
        let values = values
            .ok_or_else(|| session.failed("reading its outputs", "a present output is missing"))?;
        Ok((logits, KvCache { values, positions, batch }))
    }

    /// A cache without positions.
    ///
    /// # Errors
    /// If ONNX Runtime fails.
    pub fn empty_cache(&self, batch: usize) -> Result<KvCache> {
        let shape = [batch, self.kv_heads, 0, self.head_dim];
        let values = (0..2 * self.layers)
            .map(|_| match self.cache_type {
                ElementType::F16 => tensor(shape, Vec::<f16>::new()),
                _ => tensor(shape, Vec::<f32>::new()),
            })
            .collect::<ort::Result<Vec<_>>>();
        let values = self.decoder.check(values, "building an empty cache")?;
        Ok(KvCache { values, positions: 0, batch })
    }

    /// The first `positions` positions of a cache, copied for each of `batch` members; `cache` has one member.
    ///
    /// # Errors
    /// If ONNX Runtime fails.
    pub fn cache_prefix(&self, cache: &KvCache, positions: usize, batch: usize) -> Result<KvCache> {
        let doing = "copying the cache of an earlier question";
        let positions = positions.min(cache.positions);
        let shape = [batch, self.kv_heads, positions, self.head_dim];
        let copy = |value: &DynValue| -> ort::Result<DynValue> {
            let on_cpu = match self.provider {
                Provider::Cpu => None,
                Provider::Cuda => {
                    let tensor = value.view().downcast::<DynTensorValueType>()?;
                    Some(tensor.to(AllocationDevice::CPU, 0)?.into_dyn())
                }
            };
            let value = on_cpu.as_ref().unwrap_or(value);
            match self.cache_type {
                ElementType::F16 => {
                    tensor(shape, self.cut::<f16>(value, cache, positions)?.repeat(batch))
                }
                _ => tensor(shape, self.cut::<f32>(value, cache, positions)?.repeat(batch)),
            }
        };
        let values = cache.values.iter().map(copy).collect::<ort::Result<Vec<_>>>();
        let values = self.decoder.check(values, doing)?;
        Ok(KvCache { values, positions, batch })
    }

    fn cut<T: PrimitiveTensorElementType + Copy>(
        &self,
        value: &DynValue,
        cache: &KvCache,
        positions: usize,
    ) -> ort::Result<Vec<T>> {
        let (_, data) = value.try_extract_tensor::<T>()?;
        let heads = data.chunks_exact(cache.positions * self.head_dim);
        Ok(heads.flat_map(|head| &head[..positions * self.head_dim]).copied().collect())
    }
}

/// The meaning of a decoder output's name.
#[derive(Clone, Copy)]
enum DecoderOutput {
    Logits,
    /// Index into the values of a [`KvCache`].
    Present(usize),
    Rows(usize),
    HeadMean(usize),
    LastLayer,
    /// Activations of a layer.
    States(Site, usize),
}

impl Sizes {
    /// Number of features of one position at a site.
    pub(super) fn features_of(&self, site: Site, head_dim: usize) -> usize {
        if site == Site::Heads { self.heads * head_dim } else { self.hidden }
    }
}

/// The inputs of a call beside embeddings and cache. Inputs that change nothing are left out: the graph has neutral
/// defaults, and the graphs of earlier exporters lack some of them.
fn optional_inputs(call: Call, layers: usize) -> Vec<(String, ort::Result<DynValue>)> {
    let mut inputs = Vec::new();
    let mut push = |name: &str, value| inputs.push((name.to_owned(), value));
    for (name, rows) in [
        ("rows", call.rows),
        ("logit_rows", call.logit_rows),
        ("mean_rows", call.mean_rows),
        ("last_rows", call.last_rows),
    ] {
        push(name, tensor([rows.len()], rows));
    }
    if !call.head_scale.is_empty() {
        let shape = [layers, call.head_scale.len() / layers];
        push("head_scale", tensor(shape, call.head_scale));
    }
    if !call.knock_layers.is_empty() {
        for (name, values) in [
            ("knock_layers", call.knock_layers),
            ("knock_query", call.knock_query),
            ("knock_key", call.knock_key),
        ] {
            push(name, tensor([values.len()], values));
        }
    }
    if let Some(Bias { heads, keys, values, queries }) = call.bias {
        push("attention_bias", tensor([layers, heads, keys], values));
        push("bias_query", tensor([queries.len()], queries));
    }
    if !call.state_rows.is_empty() {
        push("state_rows", tensor([call.state_rows.len()], call.state_rows));
    }
    // A part of the prompt may be without patched positions.
    let patches = call.patches.filter(|patches| !patches.places.is_empty());
    if let Some(Patches { site, counts, places, values }) = patches {
        let name = site.name();
        let place = if site == Site::Heads { 3 } else { 1 };
        let count = places.len() / place;
        let width = values.len() / count.max(1);
        push(&format!("patch_{name}_counts"), tensor([layers], counts));
        push(&format!("patch_{name}_at"), tensor([count, place], places));
        push(&format!("patch_{name}"), tensor([count, width], values));
    }
    inputs
}

impl DecoderOutput {
    /// `None` if no output of a decoder of `layers` layers has this name.
    fn from_name(name: &str, layers: usize) -> Option<Self> {
        let layer = |text: &str| text.parse().ok().filter(|&layer: &usize| layer < layers);
        match name {
            "logits" => return Some(Self::Logits),
            "last_layer" => return Some(Self::LastLayer),
            _ => {}
        }
        if let Some(text) = name.strip_prefix("attn_") {
            return layer(text).map(Self::Rows);
        }
        if let Some(text) = name.strip_prefix("head_mean_") {
            return layer(text).map(Self::HeadMean);
        }
        for site in Site::ALL {
            if let Some(text) = name.strip_prefix(site.name()).and_then(|end| end.strip_prefix('_'))
            {
                return layer(text).map(|layer| Self::States(site, layer));
            }
        }
        let (kind, text) = name.strip_prefix("present_")?.split_once('_')?;
        let first = 2 * layer(text)?;
        match kind {
            "k" => Some(Self::Present(first)),
            "v" => Some(Self::Present(first + 1)),
            _ => None,
        }
    }

    fn part(self, weights: &[f16]) -> DecoderPart<'_> {
        match self {
            Self::Rows(layer) => DecoderPart::Rows { layer, weights },
            Self::HeadMean(layer) => DecoderPart::HeadMean { layer, weights },
            _ => DecoderPart::LastLayer { weights },
        }
    }
}

/// Whether the library comes with a CUDA provider, so that its failure should be reported.
fn could_have_cuda(runtime: &Runtime) -> bool {
    let name = if cfg!(windows) {
        "onnxruntime_providers_cuda.dll"
    } else {
        "libonnxruntime_providers_cuda.so"
    };
    runtime.path.parent().is_some_and(|folder| folder.join(name).exists())
}
