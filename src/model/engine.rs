//! A model that answers questions with traces: in this process, or on another machine.
//!
//! Callers do not know which. What runs the model goes to one of the two; experiments that are made of such runs
//! (occlusion, ablation, curves, masking) are the same code for both.

use super::bundle::Bundle;
use super::engine_info::EngineInfo;
use super::error::{ModelError, Result};
use super::event::Progress;
use super::local_engine::{Counters, LocalEngine, Sink};
use super::manifest::Manifest;
use super::patch::{PatchRequest, patch_here};
use super::relevancy::{MemoryEstimate, RelevancyRequest, RelevancyTimings};
use super::remote::{RemoteEngine, RemoteOptions, ServeFlags};
use super::request::{AskRequest, EngineOptions};
use super::rerun::Rerun;
use crate::analysis::methods::{Computation, Method};
use crate::analysis::patching::PatchResult;
use crate::job::CancelToken;
use crate::trace::Trace;
use std::sync::Arc;

/// A loaded model.
pub struct Engine {
    pub(super) place: Place,
}

/// The place of the model: this process or another machine.
pub(super) enum Place {
    /// In this process.
    Here(Box<LocalEngine>),
    /// On another machine.
    There(Box<RemoteEngine>),
}

impl Engine {
    /// Loads the model of a bundle. `progress` gets [`super::AskStage::Verify`] in megabytes, then
    /// [`super::AskStage::Load`].
    ///
    /// # Errors
    /// A bundle that is damaged or does not fit its graphs, an ONNX Runtime that is missing or unusable, or a device
    /// that cannot be used.
    pub fn load(options: &EngineOptions, progress: &mut dyn FnMut(Progress)) -> Result<Self> {
        let engine = LocalEngine::load(options, progress)?;
        Ok(Self { place: Place::Here(Box::new(engine)) })
    }

    /// Connects to a machine that loads the model. `progress` as in [`Self::load`], after [`super::AskStage::Connect`] if
    /// the machine does not answer for a second.
    ///
    /// # Errors
    /// A machine that cannot be reached, its errors of [`Self::load`], or [`ModelError::Cancelled`].
    pub fn connect(
        remote: &RemoteOptions,
        options: &EngineOptions,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let named = !options.bundle.as_os_str().is_empty();
        let flags = ServeFlags {
            model: named.then(|| options.bundle.clone()),
            device: options.device,
            threads: options.threads,
            runtime: options.runtime.clone(),
        };
        let engine = RemoteEngine::connect(remote, flags, cancel, progress)?;
        Ok(Self { place: Place::There(Box::new(engine)) })
    }

    /// The engine in this process, if the model is here.
    pub fn here(&mut self) -> Option<&mut LocalEngine> {
        match &mut self.place {
            Place::Here(engine) => Some(engine),
            Place::There(_) => None,
        }
    }

    /// The engine on another machine, if the model is there.
    pub fn there(&mut self) -> Option<&mut RemoteEngine> {
        match &mut self.place {
            Place::Here(_) => None,
            Place::There(engine) => Some(engine),
        }
    }

    /// The bundle; of a model on another machine, the manifest and the tokenizer, which is fetched the first time.
    ///
    /// # Errors
    /// A lost connection, or a tokenizer that cannot be read.
    pub fn bundle(&mut self, cancel: &CancelToken) -> Result<Arc<Bundle>> {
        match &mut self.place {
            Place::Here(engine) => Ok(Arc::clone(engine.bundle())),
            Place::There(engine) => engine.bundle(cancel),
        }
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &Manifest {
        match &self.place {
            Place::Here(engine) => engine.bundle().manifest(),
            Place::There(engine) => engine.manifest(),
        }
    }

    /// A description of the model, its device and its runtime.
    pub fn info(&self) -> EngineInfo {
        match &self.place {
            Place::Here(engine) => engine.info(),
            Place::There(engine) => engine.info(),
        }
    }

    /// Amount of work so far.
    pub fn counters(&self) -> Counters {
        match &self.place {
            Place::Here(engine) => engine.counters(),
            Place::There(engine) => engine.counters(),
        }
    }

    /// Discards the results kept from earlier questions.
    ///
    /// # Errors
    /// [`ModelError::Cancelled`] while another machine does not answer.
    pub fn forget(&mut self, cancel: &CancelToken) -> Result<()> {
        match &mut self.place {
            Place::Here(engine) => {
                engine.forget();
                Ok(())
            }
            Place::There(engine) => engine.forget(cancel),
        }
    }

    /// Answers a question, or scores a given answer. Events go to `sink` in the order of [`super::AskEvent`]; results
    /// that the next question on the same picture can reuse are kept.
    ///
    /// # Errors
    /// A picture, question or option that cannot be used, a failure of ONNX Runtime, a lost connection, or
    /// [`ModelError::Cancelled`].
    pub fn ask(
        &mut self,
        request: &AskRequest,
        cancel: &CancelToken,
        sink: &mut Sink<'_>,
    ) -> Result<Trace> {
        match &mut self.place {
            Place::Here(engine) => engine.ask(request, cancel, sink),
            Place::There(engine) => engine.ask(request, cancel, sink),
        }
    }

    /// Asks the question of `trace` again with the same ids, picture, sampling and seed.
    ///
    /// # Errors
    /// A trace of another model, ids that are not in the vocabulary, or as [`Self::ask`].
    pub fn again(
        &mut self,
        trace: &Trace,
        change: &Rerun,
        cancel: &CancelToken,
        sink: &mut Sink<'_>,
    ) -> Result<Trace> {
        match &mut self.place {
            Place::Here(engine) => engine.again(trace, change, cancel, sink),
            Place::There(engine) => engine.again(trace, change, cancel, sink),
        }
    }

    /// Computes relevancy maps of an answer and returns a copy of the trace with them. Rows that were computed earlier
    /// for other tokens are kept.
    ///
    /// # Errors
    /// A trace of another model, or without a picture if one is needed, a bundle without backward graphs, too little
    /// memory ([`ModelError::Memory`], before anything runs), a failure of ONNX Runtime, a lost connection, or
    /// [`ModelError::Cancelled`].
    pub fn relevancy(
        &mut self,
        trace: &Trace,
        request: &RelevancyRequest,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Trace, RelevancyTimings)> {
        match &mut self.place {
            Place::Here(engine) => engine.relevancy(trace, request, cancel, progress),
            Place::There(engine) => engine.relevancy(trace, request, cancel, progress),
        }
    }

    /// The memory that relevancy of a trace needs, and whether weights could be repacked.
    ///
    /// # Errors
    /// A trace of another model, or a lost connection.
    pub fn relevancy_memory(
        &mut self,
        trace: &Trace,
        request: &RelevancyRequest,
        cancel: &CancelToken,
    ) -> Result<MemoryEstimate> {
        match &mut self.place {
            Place::Here(engine) => engine.relevancy_memory(trace, request),
            Place::There(engine) => engine.relevancy_memory(trace, request, cancel),
        }
    }

    /// The attention `[N]` under the other question of a method.
    pub(super) fn other_question(
        &mut self,
        trace: &Trace,
        method: Method,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        match (&mut self.place, method.run) {
            (Place::Here(engine), Computation::Forward(forward)) => {
                engine.other_question(trace, &forward, cancel)
            }
            (Place::Here(_), _) => Err(ModelError::Request {
                what: format!("the method `{method}`"),
                reason: "asks no other question.".into(),
            }),
            (Place::There(engine), _) => engine.other_question(trace, method, cancel),
        }
    }
}

/// Copies activations of a trace's run into a run on another picture, and measures how much of an answer token returns.
/// `each` receives the table whenever more of it is filled in. A run that is cancelled while it fills the table returns
/// what it has, if anything.
///
/// # Errors
/// A bundle without patching inputs ([`ModelError::NoCapability`]), a trace of another model, a token, group or picture
/// that does not fit, pictures for which the token is equally likely, too little memory for the estimates
/// ([`ModelError::Memory`]), a failure of ONNX Runtime, a lost connection, or [`ModelError::Cancelled`].
pub fn patch(
    engine: &mut Engine,
    trace: &Trace,
    request: PatchRequest,
    cancel: &CancelToken,
    each: &mut dyn FnMut(&PatchResult),
) -> Result<PatchResult> {
    match &mut engine.place {
        Place::Here(engine) => patch_here(engine, trace, request, cancel, each),
        Place::There(engine) => engine.patch(trace, &request, cancel, each),
    }
}
