//! The thread of a server that has the model: carries out requests one after the other.

use super::limits::{MAX_VARIANTS, json, json_list};
use super::message::{
    AskMessage, ClientMessage, ErrorKind, PagesSent, RelevancyMessage, ResultMessage,
    ServerMessage, TensorInfo, VariantMessage,
};
use super::outbox::Closed;
use super::shared::{Failure, Job, Shared, bad, locked};
use crate::analysis::methods::{Computation, Method};
use crate::job::{CancelToken, guard};
use crate::model::error::{ModelError, Result};
use crate::model::event::{AskEvent, Progress};
use crate::model::local_engine::LocalEngine;
use crate::model::patch::{PatchRequest, patch_here};
use crate::model::relevancy::RelevancyRequest;
use crate::model::request::{AskRequest, Picture};
use crate::model::rescore::{LocalRescorer, Variant, VariantPicture};
use crate::trace::{AnswerIndex, Dtype, Trace, TraceInFile};
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why the thread ended before its input did.
pub enum Ended {
    /// The client is gone.
    Gone(Closed),
    /// The engine panicked.
    Failed(ModelError),
}

impl From<Closed> for Ended {
    fn from(closed: Closed) -> Self {
        Self::Gone(closed)
    }
}

/// The thread with the model.
pub struct Server {
    engine: LocalEngine,
    shared: Arc<Shared>,
    /// The last one: the next variants of the same answer share its results.
    rescorer: Option<(u64, LocalRescorer)>,
}

impl Server {
    /// Serves a model.
    pub const fn new(engine: LocalEngine, shared: Arc<Shared>) -> Self {
        Self { engine, shared, rescorer: None }
    }

    /// Carries out jobs until there are no more, or the input has ended.
    ///
    /// # Errors
    /// If the client is gone, or the engine panicked; the client was told.
    pub fn run(&mut self, jobs: &Receiver<Job>) -> Result<(), Ended> {
        for job in jobs {
            if self.shared.has_ended.load(Ordering::SeqCst) {
                break;
            }
            let (id, cancel) = (job.id, job.cancel.clone());
            let bytes = job.payload.len() as u64;
            let outcome = guard(|| match cancel.is_cancelled() {
                true => Err(ModelError::Cancelled.into()),
                false => self.carry_out(job),
            });
            locked(&self.shared.requests).remove(&id);
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(Failure(kind, message))) => self.shared.fail(id, kind, &message)?,
                Err(panicked) => {
                    self.shared.fail(id, ErrorKind::Failed, &panicked.to_string())?;
                    return Err(Ended::Failed(panicked.into()));
                }
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, job: Job) -> Result<(), Failure> {
        let Job { id, message, payload, cancel } = job;
        if !matches!(message, ClientMessage::Rescore { .. }) {
            // The results that variants share take as much memory as an answer.
            self.rescorer = None;
        }
        match message {
            ClientMessage::Ask { request, pages } => self.ask(id, request, pages, &cancel),
            ClientMessage::Again { trace, change, pages } => {
                let trace = self.shared.trace(trace)?;
                self.answer(id, pages, &cancel, |engine, sink| {
                    engine.again(trace.trace(), &change, &cancel, sink)
                })
            }
            ClientMessage::Relevancy(request) => self.relevancy(id, &request, &cancel),
            ClientMessage::RelevancyMemory(message) => {
                let trace = self.shared.trace(message.trace)?;
                let request = relevancy_request(&message)?;
                let memory = Some(self.engine.relevancy_memory(trace.trace(), &request)?);
                self.result(id, ResultMessage { memory, ..ResultMessage::default() }, Vec::new())
            }
            ClientMessage::OtherQuestion { trace, method } => {
                let trace = self.shared.trace(trace)?;
                let method: Method = method.parse().map_err(bad)?;
                let Computation::Forward(forward) = method.run else {
                    return Err(bad(format!(
                        "the method `{method}` does not ask another question."
                    )));
                };
                let attention = self.engine.other_question(trace.trace(), &forward, &cancel)?;
                let (name, shape) = ("attention".to_owned(), vec![attention.len()]);
                let tensors = vec![TensorInfo { name, dtype: Dtype::F32, shape }];
                let result = ResultMessage { tensors, ..ResultMessage::default() };
                self.result(id, result, bytemuck::cast_slice(&attention).to_vec())
            }
            ClientMessage::Rescore { trace, variants_bytes } => {
                self.rescore(id, trace, variants_bytes, &payload, &cancel)
            }
            ClientMessage::Patch {
                trace,
                answer,
                site,
                groups,
                name,
                estimates,
                exact,
                earlier_bytes,
            } => {
                let (table, other) = json_and_rest(earlier_bytes, &payload)?;
                let earlier = match table {
                    [] => None,
                    table => Some(json(table).map_err(|reason| {
                        bad(format!("the earlier table cannot be read: {reason}."))
                    })?),
                };
                let (answer, other) = (AnswerIndex(answer), other.into());
                let request =
                    PatchRequest { answer, site, groups, other, name, estimates, exact, earlier };
                self.patch(id, trace, request, &cancel)
            }
            ClientMessage::Tokenizer => {
                let bytes = self.engine.bundle().tokenizer_bytes()?;
                self.result(id, ResultMessage::default(), bytes)
            }
            ClientMessage::Forget => {
                self.engine.forget();
                self.rescorer = None;
                self.result(id, ResultMessage::default(), Vec::new())
            }
            // Carried out by the thread that reads.
            ClientMessage::Hello { .. }
            | ClientMessage::Picture { .. }
            | ClientMessage::Trace
            | ClientMessage::Read { .. }
            | ClientMessage::Show { .. }
            | ClientMessage::Release { .. }
            | ClientMessage::Cancel { .. }
            | ClientMessage::Bye => Ok(()),
        }
    }

    fn result(&self, id: u64, result: ResultMessage, payload: Vec<u8>) -> Result<(), Failure> {
        let result = ResultMessage { counters: Some(self.engine.counters()), ..result };
        Ok(self.shared.outbox.send(id, &ServerMessage::Result(Box::new(result)), payload)?)
    }

    fn ask(
        &mut self,
        id: u64,
        message: AskMessage,
        pages: PagesSent,
        cancel: &CancelToken,
    ) -> Result<(), Failure> {
        let AskMessage { picture, turns, question, options } = message;
        let picture = match picture {
            None => None,
            Some(wanted) => {
                let found = locked(&self.shared.pictures).get(&wanted.sha256);
                let found = found.ok_or_else(|| {
                    let text = format!("the server does not have the picture {}.", wanted.name);
                    Failure(ErrorKind::MissingPicture, text)
                })?;
                Some(Picture { name: wanted.name, bytes: Arc::clone(&found.bytes) })
            }
        };
        let request = AskRequest { picture, turns, question, options };
        self.answer(id, pages, cancel, |engine, sink| engine.ask(&request, cancel, sink))
    }

    /// Sends the events of an answer, and the trace.
    fn answer(
        &mut self,
        id: u64,
        pages: PagesSent,
        cancel: &CancelToken,
        ask: impl FnOnce(&mut LocalEngine, &mut dyn FnMut(AskEvent)) -> Result<Trace>,
    ) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        locked(&shared.answering).begin(id, pages);
        let trace = ask(&mut self.engine, &mut |event| {
            let sent = locked(&shared.answering).message(event);
            let sent = sent.map_err(Closed).and_then(|sent| {
                sent.map_or(Ok(()), |(message, payload)| shared.outbox.send(id, &message, payload))
            });
            if sent.is_err() {
                cancel.cancel();
            }
        });
        locked(&shared.answering).end();
        let trace = Arc::new(TraceInFile::new(trace?)?);
        let ranges = trace.first_ranges();
        let mut payload = Vec::new();
        for range in &ranges {
            let bytes = trace.read(range.clone());
            payload.extend(bytes.map_err(|error| Failure(ErrorKind::Failed, error.to_string()))?);
        }
        let done = ServerMessage::Done {
            trace: self.shared.keep(Arc::clone(&trace)),
            file_bytes: trace.file_bytes(),
            ranges: ranges.iter().map(|range| [range.start, range.end - range.start]).collect(),
            counters: self.engine.counters(),
        };
        Ok(self.shared.outbox.send(id, &done, payload)?)
    }

    fn relevancy(
        &mut self,
        id: u64,
        message: &RelevancyMessage,
        cancel: &CancelToken,
    ) -> Result<(), Failure> {
        let trace = self.shared.trace(message.trace)?;
        let request = relevancy_request(message)?;
        let outbox = &self.shared.outbox;
        let mut tell = |Progress { stage, done, total }| {
            if outbox.send(id, &ServerMessage::Progress { stage, done, total }, []).is_err() {
                cancel.cancel();
            }
        };
        let (found, timings) = self.engine.relevancy(trace.trace(), &request, cancel, &mut tell)?;
        let (mut tensors, mut payload) = (Vec::new(), Vec::new());
        for (name, dtype, shape, bytes) in found.tensors_beyond(trace.trace()) {
            tensors.push(TensorInfo { name, dtype, shape });
            payload.extend_from_slice(&bytes);
        }
        let timings = Some(timings);
        self.result(id, ResultMessage { timings, tensors, ..ResultMessage::default() }, payload)
    }

    fn rescore(
        &mut self,
        id: u64,
        trace: u64,
        variants_bytes: u64,
        payload: &[u8],
        cancel: &CancelToken,
    ) -> Result<(), Failure> {
        let of = self.shared.trace(trace)?;
        let variants = variants(of.trace(), variants_bytes, payload)?;
        let mut rescorer = match self.rescorer.take() {
            Some((number, rescorer)) if number == trace => rescorer,
            _ => LocalRescorer::new(&self.engine, of.trace())?,
        };
        let shared = Arc::clone(&self.shared);
        rescorer.score(&mut self.engine, variants, cancel, &mut |index, scored| {
            let mut payload = bytemuck::cast_slice::<f32, u8>(&scored.logprobs).to_vec();
            payload.extend_from_slice(bytemuck::cast_slice(&scored.top_ids));
            let message = ServerMessage::Scored { index: index as u64 };
            if shared.outbox.send(id, &message, payload).is_err() {
                cancel.cancel();
            }
        })?;
        self.rescorer = Some((trace, rescorer));
        self.result(id, ResultMessage::default(), Vec::new())
    }

    fn patch(
        &mut self,
        id: u64,
        trace: u64,
        request: PatchRequest,
        cancel: &CancelToken,
    ) -> Result<(), Failure> {
        let trace = self.shared.trace(trace)?;
        let shared = Arc::clone(&self.shared);
        let mut known: Option<Vec<bool>> = None;
        patch_here(&mut self.engine, trace.trace(), request, cancel, &mut |table| {
            let (message, payload) = match &mut known {
                None => {
                    known = Some(table.patched.iter().map(Option::is_some).collect());
                    (ServerMessage::Patching, serde_json::to_vec(table).unwrap_or_default())
                }
                Some(known) => {
                    let (mut cells, mut logprobs) = (Vec::<u32>::new(), Vec::<f32>::new());
                    for ((cell, known), logprob) in (0..).zip(known).zip(&table.patched) {
                        if let (false, Some(logprob)) = (*known, logprob) {
                            *known = true;
                            cells.push(cell);
                            logprobs.push(*logprob);
                        }
                    }
                    let mut payload = bytemuck::cast_slice::<u32, u8>(&cells).to_vec();
                    payload.extend_from_slice(bytemuck::cast_slice(&logprobs));
                    (ServerMessage::Patched, payload)
                }
            };
            if shared.outbox.send(id, &message, payload).is_err() {
                cancel.cancel();
            }
        })?;
        self.result(id, ResultMessage::default(), Vec::new())
    }
}

fn relevancy_request(message: &RelevancyMessage) -> Result<RelevancyRequest, Failure> {
    // A map is computed once, however often its method is named.
    let mut methods = Vec::new();
    for name in &message.methods {
        let method: Method = name.parse().map_err(bad)?;
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(RelevancyRequest {
        tokens: message.tokens.iter().map(|&token| AnswerIndex(token)).collect(),
        memory_budget: message.memory_budget,
        ..RelevancyRequest::new(methods)
    })
}

/// The JSON at the start of a payload, and the bytes after it.
fn json_and_rest(json_bytes: u64, payload: &[u8]) -> Result<(&[u8], &[u8]), Failure> {
    let at = usize::try_from(json_bytes).ok();
    at.and_then(|at| payload.split_at_checked(at)).ok_or_else(|| {
        bad(format!(
            "the payload has {} bytes, fewer than the {json_bytes} of its first part.",
            payload.len()
        ))
    })
}

/// The variants of a request, with their pixels.
fn variants(trace: &Trace, variants_bytes: u64, payload: &[u8]) -> Result<Vec<Variant>, Failure> {
    let cut = || bad("the variants do not fit their payload.");
    let (json, mut pixels) = json_and_rest(variants_bytes, payload)?;
    let messages = json_list::<VariantMessage>(json, MAX_VARIANTS)
        .map_err(|reason| bad(format!("the variants cannot be read: {reason}.")))?;
    let length = trace.canvas(0).map_or(0, |seen| seen.rgb.len());
    let mut found = Vec::with_capacity(messages.len());
    for VariantMessage { picture, blank, interventions } in messages {
        let picture = match blank {
            Some(blank) => VariantPicture::Blanked(blank.fill, blank.patches),
            None if picture => {
                let rgb = pixels.get(..length).ok_or_else(cut)?;
                pixels = &pixels[length..];
                VariantPicture::Rgb(rgb.into())
            }
            None => VariantPicture::Own,
        };
        found.push(Variant { picture, interventions });
    }
    Ok(found)
}
