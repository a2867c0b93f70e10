//! A model in this process: it answers questions with traces and keeps results that the next question can reuse.
//!
//! After a question, the engine keeps the picture's features, the keys and values of every position, and the trace. The
//! next question on the same picture starts after the longest common prefix of ids. The attention rows of that prefix
//! do not depend on later positions, so they are read from the earlier trace.

use super::builtin::cache_folder;
use super::bundle::Bundle;
use super::engine_info::EngineInfo;
use super::error::{ModelError, Result};
use super::event::{AskEvent, AskStage, Progress};
use super::manifest::STEERING;
use super::preprocess::{Preprocessed, preprocess};
use super::prompt::{self, BuiltPrompt};
use super::request::{AskOptions, AskRequest, EngineOptions, Interventions};
use super::session::{KvCache, Runtime, SessionOptions, Sessions};
use crate::job::CancelToken;
use crate::trace::RowStats;
use crate::trace::{
    FORMAT_OF_ONE_CANVAS, ImageSpan, Provenance, Sampling, Timings, Trace, TraceBuilder, TraceMeta,
};
use half::f16;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The name of the program in the provenance of traces.
pub const WRITER: &str = concat!("vlmscope ", env!("CARGO_PKG_VERSION"));

/// A sink for events.
pub type Sink<'a> = dyn FnMut(AskEvent) + 'a;

/// Amount of work since the model was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Runs of the vision tower for features.
    pub vision_runs: u64,
    /// Prompt positions that went through the decoder (including scored answers).
    pub prefill_positions: u64,
    /// Prompt positions that were reused from the question before.
    pub reused_positions: u64,
    /// Decode steps of one token.
    pub decode_steps: u64,
    /// Answers that were scored again under a changed picture or model, see [`super::Rescorer`].
    pub rescored: u64,
}

/// A picture that went through the vision tower.
pub(super) struct KeptPicture {
    /// SHA-256 of the pixel values.
    key: [u8; 32],
    pub features: Arc<Vec<f32>>,
    /// [Lv, Hv, tokens, tokens], if it was requested.
    attention: Option<Arc<Vec<f16>>>,
}

/// Results of a question that the next question can reuse.
pub(super) struct KeptPrefix {
    pub picture: Option<[u8; 32]>,
    pub interventions: Interventions,
    /// Ids of the positions in `cache`.
    pub ids: Vec<u32>,
    pub cache: KvCache,
    pub trace: Trace,
}

/// A model that is loaded in this process.
pub struct LocalEngine {
    pub(super) bundle: Arc<Bundle>,
    pub(super) sessions: Sessions,
    notes: Vec<String>,
    pub(super) counters: Counters,
    pub(super) picture: Option<KeptPicture>,
    pub(super) prefix: Option<KeptPrefix>,
}

impl LocalEngine {
    /// Opens a bundle, finds ONNX Runtime, hashes the weights and loads the graphs. `progress` gets
    /// [`AskStage::Verify`] in megabytes, then [`AskStage::Load`].
    ///
    /// # Errors
    /// A bundle that is damaged or does not fit its graphs, an ONNX Runtime that is missing or unusable, or a device
    /// that cannot be used.
    pub fn load(options: &EngineOptions, progress: &mut dyn FnMut(Progress)) -> Result<Self> {
        let bundle = Arc::new(Bundle::open(&options.bundle)?);
        let runtime = Runtime::load(options.runtime.as_deref())?;
        bundle.verify_weights(cache_folder().as_deref(), &mut |done, total| {
            let [done, total] = [done, total].map(|bytes| (bytes / 1_000_000) as u32);
            progress(Progress { stage: AskStage::Verify, done, total });
        })?;
        let (device, threads) = (options.device, options.threads);
        let session_options = SessionOptions { device, threads, prepack: true };
        let (sessions, notes) =
            Sessions::open(runtime, &bundle, session_options, &mut |done, total| {
                progress(Progress { stage: AskStage::Load, done, total });
            })?;
        let engine = Self {
            bundle,
            sessions,
            notes,
            counters: Counters::default(),
            picture: None,
            prefix: None,
        };
        let info = engine.info();
        log::info!(
            "model {} from {} on {}; ONNX Runtime {} from {}",
            info.model.name,
            info.bundle.display(),
            info.provider,
            info.runtime_version,
            info.runtime_path.display()
        );
        info.notes.iter().for_each(|note| log::info!("{note}"));
        Ok(engine)
    }

    /// The bundle.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// A description of the model, its device and its runtime.
    pub fn info(&self) -> EngineInfo {
        EngineInfo {
            model: self.bundle.model_info(),
            bundle: self.bundle.folder().to_owned(),
            provider: self.sessions.provider().name().to_owned(),
            runtime_version: self.sessions.runtime().version.clone(),
            runtime_path: self.sessions.runtime().path.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Amount of work so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Discards the results kept from earlier questions.
    pub fn forget(&mut self) {
        self.picture = None;
        self.prefix = None;
    }

    /// Answers a question, or scores a given answer. Events go to `sink` in the order of [`AskEvent`]; results that the
    /// next question on the same picture can reuse are kept.
    ///
    /// # Errors
    /// A picture, question or option that cannot be used, a failure of ONNX Runtime, or
    /// [`ModelError::Cancelled`].
    pub fn ask(
        &mut self,
        request: &AskRequest,
        cancel: &CancelToken,
        sink: &mut Sink<'_>,
    ) -> Result<Trace> {
        self.check_options(&request.options)?;
        let mut timings = Timings::default();
        let pictures = usize::from(request.picture.is_some());
        let built = prompt::build(&self.bundle, &request.turns, &request.question, pictures)?;
        let forced = self.forced_ids(request, &built)?;
        self.check_length(&built, forced.as_deref())?;

        let start = Instant::now();
        let mut seen = None;
        if let Some(picture) = &request.picture {
            begin(sink, AskStage::Preprocess, 1);
            let manifest = self.bundle.manifest();
            let mut prepared = preprocess(picture, request.options.preprocess, manifest)?;
            for notice in std::mem::take(&mut prepared.notices) {
                sink(AskEvent::Notice(notice));
            }
            prepared.blank(&request.options.blanked, manifest)?;
            seen = Some(prepared);
        } else if !request.options.blanked.is_empty() {
            return Err(ModelError::Request {
                what: "a patch that is blanked".into(),
                reason: "needs a picture, and the question has none.".into(),
            });
        }
        timings.preprocess = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let mut key = None;
        if let Some(seen) = &mut seen {
            key = Some(self.encode_image(seen, request.options.vision_attention, cancel, sink)?);
        }
        timings.vision = start.elapsed().as_secs_f64();

        let mut builder =
            self.start_trace(&built, seen.as_ref(), &request.options, forced.is_some())?;
        builder.set_request(request.info());
        sink(AskEvent::Prompt(Box::new(builder.clone())));
        let run = AnswerContext {
            key,
            options: &request.options,
            row_stats: RowStats::new(
                &builder.meta().spans,
                builder.meta().question_keys(),
                builder.meta().attention_scale,
            ),
            turn: request.turns.len() as u32,
            prompt_len: built.ids.len(),
        };
        self.answer(&run, built, forced, builder, timings, cancel, sink)
    }

    pub(super) fn check_options(&self, options: &AskOptions) -> Result<()> {
        let error = |what: &str, reason: String| ModelError::Request { what: what.into(), reason };
        let Sampling { temperature, top_p, max_new_tokens, .. } = options.sampling;
        if !(temperature.is_finite() && temperature >= 0.0) {
            let reason = format!("is {temperature}; use 0 (always the most likely token) or more.");
            return Err(error("the temperature", reason));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            let reason = format!("is {top_p}; use more than 0 and at most 1.");
            return Err(error("top-p", reason));
        }
        if max_new_tokens == 0 && options.answer.is_none() {
            return Err(error("the number of new tokens", "is 0; use 1 or more.".into()));
        }
        self.check_interventions(&options.interventions)
    }

    /// Compares interventions with the model and with what its graphs can do.
    pub(super) fn check_interventions(&self, given: &Interventions) -> Result<()> {
        if given.steering.is_some() {
            self.bundle.require(STEERING, "steering attention")?;
        }
        given.check(&self.bundle.manifest().text)
    }

    /// The ids of a given answer, the stop id included.
    fn forced_ids(&self, request: &AskRequest, built: &BuiltPrompt) -> Result<Option<Vec<u32>>> {
        let Some(answer) = &request.options.answer else { return Ok(None) };
        let answer = answer.trim();
        if answer.is_empty() {
            return Err(ModelError::EmptyAnswer);
        }
        let mut ids = prompt::answer_ids(&self.bundle, &built.text, answer)?;
        ids.extend(self.bundle.manifest().text.eos_ids.first());
        Ok(Some(ids))
    }

    pub(super) fn check_length(&self, built: &BuiltPrompt, forced: Option<&[u32]>) -> Result<()> {
        let max_positions = self.bundle.manifest().text.max_positions;
        // The last id is never fed back.
        let answer = forced.map_or(0, |ids| ids.len().saturating_sub(1));
        let positions = built.ids.len() + answer;
        if positions <= max_positions {
            return Ok(());
        }
        let patches = built.first_patches.len() * self.bundle.manifest().vision.features;
        let text = built.ids.len() - patches;
        let mut what = format!("{patches} for the picture, {text} for the text");
        if forced.is_some() {
            what.push_str(&format!(", {answer} for the answer"));
        }
        Err(ModelError::PromptTooLong { positions, what, max_positions })
    }

    /// Runs the vision tower unless the picture is the one it encoded last. Returns the picture's key.
    pub(super) fn encode_image(
        &mut self,
        seen: &mut Preprocessed,
        attention: bool,
        cancel: &CancelToken,
        sink: &mut Sink<'_>,
    ) -> Result<[u8; 32]> {
        let key: [u8; 32] =
            Sha256::digest(bytemuck::cast_slice::<f32, u8>(&seen.pixel_values)).into();
        let side = self.bundle.manifest().vision.image_size;
        let known = self.picture.as_ref().is_some_and(|kept| kept.key == key);
        let has_attention =
            known && self.picture.as_ref().is_some_and(|kept| kept.attention.is_some());
        if known && (has_attention || !attention) {
            return Ok(key);
        }
        begin(sink, AskStage::Vision, 1);
        let pixels = std::mem::take(&mut seen.pixel_values);
        let weights = if attention && !has_attention {
            let weights = self.sessions.vision_attention(&self.bundle, pixels.clone(), cancel)?;
            Some(Arc::new(weights))
        } else {
            None
        };
        if known {
            if let Some(kept) = &mut self.picture {
                kept.attention = weights;
            }
            return Ok(key);
        }
        // The features always come from the same graph, so that a trace does not depend on whether the tower's
        // attention was requested.
        let features = Arc::new(self.sessions.vision(pixels, side, cancel)?);
        self.counters.vision_runs += 1;
        self.picture = Some(KeptPicture { key, features, attention: weights });
        Ok(key)
    }

    /// Key and features of a picture that was already resized, cropped and normalised; the vision tower runs unless the
    /// picture is the one it encoded last.
    pub(super) fn features_of(
        &mut self,
        pixel_values: &[f32],
        cancel: &CancelToken,
    ) -> Result<([u8; 32], Arc<Vec<f32>>)> {
        let key: [u8; 32] = Sha256::digest(bytemuck::cast_slice::<f32, u8>(pixel_values)).into();
        if let Some(kept) = self.picture.as_ref().filter(|kept| kept.key == key) {
            return Ok((key, Arc::clone(&kept.features)));
        }
        let side = self.bundle.manifest().vision.image_size;
        let features = Arc::new(self.sessions.vision(pixel_values.to_vec(), side, cancel)?);
        self.counters.vision_runs += 1;
        self.picture = Some(KeptPicture { key, features: Arc::clone(&features), attention: None });
        Ok((key, features))
    }

    pub(super) fn start_trace(
        &self,
        built: &BuiltPrompt,
        seen: Option<&Preprocessed>,
        options: &AskOptions,
        forced: bool,
    ) -> Result<TraceBuilder> {
        let manifest = self.bundle.manifest();
        let spans: Vec<ImageSpan> = built
            .first_patches
            .iter()
            .zip(seen)
            .map(|(&first, seen)| seen.span(0, first, manifest))
            .collect();
        let sampling = Sampling { forced, ..options.sampling };
        let meta = TraceMeta {
            format_version: FORMAT_OF_ONE_CANVAS.to_owned(),
            model: self.bundle.model_info(),
            question: built.question.clone(),
            answer: String::new(),
            sampling,
            tokens: built.tokens.clone(),
            prompt_len: built.tokens.len() as u32,
            spans,
            preprocess: seen.iter().map(|seen| seen.info.clone()).collect(),
            attention_scale: manifest.attention.scale,
            timings: Timings::default(),
            provenance: self.provenance(&options.interventions),
            ..TraceMeta::default()
        };
        let mut builder = TraceBuilder::new(meta);
        if let Some(seen) = seen {
            builder.add_picture(0, &seen.original, seen.size, &seen.rgb)?;
        }
        if options.vision_attention
            && let Some(attention) = self.picture.as_ref().and_then(|kept| kept.attention.as_ref())
        {
            let tokens = manifest.vision.patches + usize::from(manifest.vision.has_cls);
            builder.set_vision_attention(tokens, attention)?;
        }
        Ok(builder)
    }

    fn provenance(&self, interventions: &Interventions) -> Provenance {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Provenance {
            writer: WRITER.to_owned(),
            created_unix: now.as_secs(),
            provider: self.sessions.provider().name().to_owned(),
            runtime: self.sessions.runtime().version.clone(),
            model_changed: !interventions.is_neutral(),
            steered: interventions.steers(),
            ..Provenance::default()
        }
    }
}

pub(super) fn begin(sink: &mut Sink<'_>, stage: AskStage, total: u32) {
    sink(AskEvent::Progress(Progress { stage, done: 0, total }));
}

/// Values that are constant while one question is answered.
pub(super) struct AnswerContext<'a> {
    pub key: Option<[u8; 32]>,
    pub options: &'a AskOptions,
    pub row_stats: RowStats,
    pub turn: u32,
    pub prompt_len: usize,
}
