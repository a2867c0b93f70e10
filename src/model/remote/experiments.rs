//! Experiments on a trace by a model on another machine: relevancy, answers scored again, activation patching.

use super::client::RemoteEngine;
use super::connection::Call;
use super::limits::{MAX_VARIANTS, json};
use super::message::{
    BlankMessage, ClientMessage, RelevancyMessage, ServerMessage, TensorInfo, VariantMessage,
};
use super::receive::Incoming;
use crate::analysis::methods::{Layout, Method};
use crate::analysis::patching::PatchResult;
use crate::job::CancelToken;
use crate::model::error::{ModelError, Result};
use crate::model::event::Progress;
use crate::model::patch::PatchRequest;
use crate::model::relevancy::{MemoryEstimate, RelevancyRequest, RelevancyTimings};
use crate::model::rescore::{Rescored, Variant, VariantPicture};
use crate::trace::{AnswerIndex, Dtype, NamedTensor, Trace};
use half::f16;
use std::borrow::Cow;
use std::sync::Arc;

/// Pixels of one request.
const PIXEL_BYTES_AT_ONCE: usize = 32 << 20;

impl RemoteEngine {
    /// As [`crate::model::Engine::relevancy`].
    ///
    /// # Errors
    /// As there, and a lost connection.
    pub fn relevancy(
        &mut self,
        trace: &Trace,
        request: &RelevancyRequest,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Trace, RelevancyTimings)> {
        self.ensure_connected(cancel, progress)?;
        let (result, payload) = self.with_trace(trace, cancel, &mut |own, number| {
            let message = ClientMessage::Relevancy(relevancy_message(number, request));
            let call = own.connection.call(&message, Vec::new())?;
            loop {
                let Incoming { message, payload, .. } = call.next(cancel)?;
                match message {
                    ServerMessage::Progress { stage, done, total } => {
                        progress(Progress { stage, done, total });
                    }
                    ServerMessage::Result(result) => {
                        call.complete();
                        own.counters = result.counters.unwrap_or(own.counters);
                        return Ok((*result, payload));
                    }
                    other => return Err(own.connection.unexpected(&other)),
                }
            }
        })?;
        let tensors = named_tensors(&result.tensors, &payload)
            .ok_or_else(|| self.does_not_fit("its tensors do not fill their payload"))?;
        if let Some(fault) = tensors.iter().find_map(|tensor| fault_of(tensor, request)) {
            return Err(self.does_not_fit(fault));
        }
        let mut found = trace.with_tensors(tensors)?;
        if !has_maps(&found, request)? {
            return Err(self.does_not_fit("it lacks a map that was asked for"));
        }
        let timings = result.timings.unwrap_or_default();
        if !timings.all_s().into_iter().all(is_duration) {
            return Err(self.does_not_fit("its time is not a number of seconds"));
        }
        found.add_relevancy_time(timings.total_s);
        Ok((found, timings))
    }

    /// As [`crate::model::Engine::relevancy_memory`], of the machine there.
    ///
    /// # Errors
    /// As there, and a lost connection.
    pub fn relevancy_memory(
        &mut self,
        trace: &Trace,
        request: &RelevancyRequest,
        cancel: &CancelToken,
    ) -> Result<MemoryEstimate> {
        self.ensure_connected(cancel, &mut |_| {})?;
        self.with_trace(trace, cancel, &mut |own, number| {
            let message = ClientMessage::RelevancyMemory(relevancy_message(number, request));
            let (result, _) = own.result(&message, cancel)?;
            result.memory.ok_or_else(|| own.does_not_fit("it lacks the estimate"))
        })
    }

    /// Attention under another question, see [`crate::analysis::methods::Forward`]: `[N]`.
    ///
    /// # Errors
    /// A trace of another model or without a picture, or a lost connection.
    pub fn other_question(
        &mut self,
        trace: &Trace,
        method: Method,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        self.ensure_connected(cancel, &mut |_| {})?;
        self.with_trace(trace, cancel, &mut |own, number| {
            let message =
                ClientMessage::OtherQuestion { trace: number, method: method.name.to_owned() };
            let (_, payload) = own.result(&message, cancel)?;
            let attention = numbers(&payload, trace.meta().patches())
                .ok_or_else(|| own.does_not_fit("it has another number of patches"))?;
            own.all_finite(&attention)?;
            Ok(attention)
        })
    }

    /// As [`crate::model::Rescorer::score`].
    ///
    /// # Errors
    /// As there, and a lost connection.
    pub fn rescore(
        &mut self,
        trace: &Trace,
        variants: impl IntoIterator<Item = Variant>,
        cancel: &CancelToken,
        each: &mut dyn FnMut(usize, &Rescored),
    ) -> Result<Vec<Rescored>> {
        self.ensure_connected(cancel, &mut |_| {})?;
        let mut results = Vec::new();
        let mut variants = variants.into_iter().peekable();
        while variants.peek().is_some() {
            let (mut messages, mut pixels) = (Vec::new(), Vec::new());
            while messages.len() < MAX_VARIANTS && pixels.len() < PIXEL_BYTES_AT_ONCE {
                let Some(Variant { picture, interventions }) = variants.next() else { break };
                let mut message = VariantMessage { interventions, ..VariantMessage::default() };
                match picture {
                    VariantPicture::Own => {}
                    VariantPicture::Blanked(fill, patches) => {
                        message.blank = Some(BlankMessage { fill, patches });
                    }
                    VariantPicture::Rgb(rgb) => {
                        self.check_pixels(trace, rgb.len())?;
                        message.picture = true;
                        pixels.extend_from_slice(&rgb);
                    }
                }
                messages.push(message);
            }
            let mut payload = serde_json::to_vec(&messages)
                .map_err(|error| self.does_not_fit(&error.to_string()))?;
            let variants_bytes = payload.len() as u64;
            payload.extend(pixels);
            let (first, payload) = (results.len(), Arc::<[u8]>::from(payload));
            self.with_trace(trace, cancel, &mut |own, number| {
                results.truncate(first);
                let message = ClientMessage::Rescore { trace: number, variants_bytes };
                let call = own.connection.call(&message, Arc::clone(&payload))?;
                own.scores(call, trace, messages.len(), cancel, &mut |scored| {
                    each(results.len(), &scored);
                    results.push(scored);
                })
            })?;
        }
        Ok(results)
    }

    fn all_finite(&self, numbers: &[f32]) -> Result<()> {
        let is_finite = numbers.iter().all(|number| number.is_finite());
        if is_finite { Ok(()) } else { Err(self.does_not_fit(NOT_FINITE)) }
    }

    fn check_pixels(&self, trace: &Trace, bytes: usize) -> Result<()> {
        let own = trace.canvas(0).map(|seen| seen.rgb.len());
        if own == Some(bytes) {
            return Ok(());
        }
        let expected = own
            .map_or("this trace has none".to_owned(), |own| format!("the model's size has {own}"));
        Err(ModelError::Request {
            what: "the changed picture".into(),
            reason: format!("has {bytes} bytes; {expected}."),
        })
    }

    fn scores(
        &mut self,
        call: Call,
        trace: &Trace,
        variants: usize,
        cancel: &CancelToken,
        take: &mut dyn FnMut(Rescored),
    ) -> Result<()> {
        let generated = trace.shape().generated;
        let vocab = self.manifest().text.vocab;
        let mut taken = 0;
        loop {
            let Incoming { message, payload, .. } = call.next(cancel)?;
            match message {
                ServerMessage::Scored { index } => {
                    if index != taken as u64 || taken == variants {
                        return Err(self.does_not_fit("its results are not those of the request"));
                    }
                    let half = payload.len() / 2;
                    let logprobs = numbers(&payload[..half], generated);
                    let top_ids = numbers(&payload[half..], generated);
                    let (logprobs, top_ids) = logprobs
                        .zip(top_ids)
                        .ok_or_else(|| self.does_not_fit("it has another number of tokens"))?;
                    self.all_finite(&logprobs)?;
                    if top_ids.iter().any(|&id: &u32| id as usize >= vocab) {
                        return Err(self.does_not_fit("it names a token that the model lacks"));
                    }
                    take(Rescored { logprobs, top_ids });
                    taken += 1;
                }
                ServerMessage::Result(result) => {
                    if taken != variants {
                        return Err(self.does_not_fit("it has another number of results"));
                    }
                    call.complete();
                    self.counters = result.counters.unwrap_or(self.counters);
                    return Ok(());
                }
                other => return Err(self.connection.unexpected(&other)),
            }
        }
    }

    /// As [`crate::model::patch()`].
    ///
    /// # Errors
    /// As there, and a lost connection.
    pub fn patch(
        &mut self,
        trace: &Trace,
        request: &PatchRequest,
        cancel: &CancelToken,
        each: &mut dyn FnMut(&PatchResult),
    ) -> Result<PatchResult> {
        self.ensure_connected(cancel, &mut |_| {})?;
        let mut payload = match &request.earlier {
            Some(earlier) => serde_json::to_vec(earlier)
                .map_err(|error| self.does_not_fit(&error.to_string()))?,
            None => Vec::new(),
        };
        let earlier_bytes = payload.len() as u64;
        payload.extend_from_slice(&request.other);
        let payload = Arc::<[u8]>::from(payload);
        self.with_trace(trace, cancel, &mut |own, number| {
            let message = ClientMessage::Patch {
                trace: number,
                answer: request.answer.0,
                site: request.site,
                groups: request.groups.clone(),
                name: request.name.clone(),
                estimates: request.estimates,
                exact: request.exact,
                earlier_bytes,
            };
            let call = own.connection.call(&message, Arc::clone(&payload))?;
            own.patched(call, (trace, request), cancel, each)
        })
    }

    /// Fills in the table of a request for activation patching.
    fn patched(
        &mut self,
        call: Call,
        (trace, request): (&Trace, &PatchRequest),
        cancel: &CancelToken,
        each: &mut dyn FnMut(&PatchResult),
    ) -> Result<PatchResult> {
        let mut table = None::<PatchResult>;
        loop {
            let Incoming { message, payload, .. } = match call.next(cancel) {
                Err(ModelError::Cancelled) => {
                    let table =
                        table.filter(|table| table.done() > 0 || !table.estimates.is_empty());
                    return table.ok_or(ModelError::Cancelled);
                }
                other => other?,
            };
            match (message, &mut table) {
                (ServerMessage::Patching, table @ None) => {
                    let found: PatchResult =
                        json(&payload).map_err(|reason| self.does_not_fit(&reason))?;
                    if let Some(fault) = fault_of_table(&found, trace, request) {
                        return Err(self.does_not_fit(fault));
                    }
                    each(table.insert(found));
                }
                (ServerMessage::Patched, Some(table)) => {
                    let count = payload.len() / 8;
                    let (cells, logprobs) = payload.split_at(payload.len() / 2);
                    let cells: Option<Vec<u32>> = numbers(cells, count);
                    let new = cells.zip(numbers::<f32>(logprobs, count));
                    let (cells, logprobs) =
                        new.ok_or_else(|| self.does_not_fit("its places are cut"))?;
                    self.all_finite(&logprobs)?;
                    for (cell, logprob) in cells.into_iter().zip(logprobs) {
                        match table.patched.get_mut(cell as usize) {
                            Some(place @ None) => *place = Some(logprob),
                            _ => return Err(self.does_not_fit("a place is not one to fill in")),
                        }
                    }
                    each(table);
                }
                (ServerMessage::Result(result), Some(found)) => {
                    if request.exact && !found.is_complete() {
                        return Err(self.does_not_fit("its table has gaps"));
                    }
                    call.complete();
                    self.counters = result.counters.unwrap_or(self.counters);
                    return table.ok_or_else(|| self.does_not_fit("it has no table"));
                }
                (other, _) => return Err(self.connection.unexpected(&other)),
            }
        }
    }
}

/// Longest time that a server can have worked, in seconds.
const MOST_SECONDS: f64 = 1e7;

fn is_duration(seconds: f64) -> bool {
    (0.0..=MOST_SECONDS).contains(&seconds)
}

/// Why a tensor cannot be a map of the request.
fn fault_of(
    (name, dtype, shape, bytes): &NamedTensor<'_>,
    request: &RelevancyRequest,
) -> Option<&'static str> {
    let is_of = |method: &Method| {
        let rest = name.strip_prefix(method.tensor);
        // Pages have tensors beside their own, for their rows and overview numbers.
        let has_more = matches!(method.layout, Layout::Pages { .. });
        rest.is_some_and(|rest| rest.is_empty() || (has_more && rest.starts_with('.')))
    };
    if !request.methods.iter().any(is_of) {
        return Some("it has a tensor that was not asked for");
    }
    let is_finite = match (dtype, shape.as_slice()) {
        // A row of a token that was not asked for holds only NaN.
        (Dtype::F32, [_, columns]) => {
            let numbers: Vec<f32> =
                bytes.chunks_exact(size_of::<f32>()).map(bytemuck::pod_read_unaligned).collect();
            let is_row =
                |row: &[f32]| row.iter().all(|n| n.is_finite()) || row.iter().all(|n| n.is_nan());
            numbers.chunks((*columns).max(1)).all(is_row)
        }
        (Dtype::F32, [_]) => {
            let mut numbers = bytes.chunks_exact(size_of::<f32>());
            numbers.all(|number| bytemuck::pod_read_unaligned::<f32>(number).is_finite())
        }
        (Dtype::F16, _) => {
            let mut numbers = bytes.chunks_exact(size_of::<f16>());
            numbers.all(|number| bytemuck::pod_read_unaligned::<f16>(number).is_finite())
        }
        _ => true,
    };
    (!is_finite).then_some(NOT_FINITE)
}

const NOT_FINITE: &str = "it holds numbers that are not finite";

/// Whether a trace has the maps of a request.
fn has_maps(trace: &Trace, request: &RelevancyRequest) -> Result<bool> {
    let answers = request.answers(trace)?;
    Ok(request.methods.iter().all(|method| match method.layout {
        Layout::Pages { .. } => trace.pages_as_attention(method.tensor).is_some(),
        Layout::Patches | Layout::Positions => {
            let is_there = |&answer: &usize| {
                let row = trace.map_row(method.tensor, AnswerIndex(answer as u32));
                row.is_some_and(|row| row.iter().all(|number| number.is_finite()))
            };
            answers.iter().all(is_there)
        }
    }))
}

/// Why a table without its new places cannot be the answer to a request.
fn fault_of_table(
    table: &PatchResult,
    trace: &Trace,
    request: &PatchRequest,
) -> Option<&'static str> {
    let fault = table.fault(request.answer, request.site, trace);
    if fault.is_some() {
        return fault;
    }
    if table.groups != request.groups || table.other != request.name {
        return Some("its table is about other groups or another picture");
    }
    if request.estimates && table.estimates.is_empty() && !table.groups.is_empty() {
        return Some("its table lacks the estimates");
    }
    let mut known = PatchResult { patched: vec![None; table.patched.len()], ..table.clone() };
    if let Some(earlier) = &request.earlier {
        known.continue_from(earlier);
    }
    let differs = |(a, b): (&Option<f32>, &Option<f32>)| a.is_some() != b.is_some();
    let has_other = table.patched.iter().zip(&known.patched).any(differs);
    has_other.then_some("its table has other places filled in than the earlier one")
}

fn relevancy_message(trace: u64, request: &RelevancyRequest) -> RelevancyMessage {
    RelevancyMessage {
        trace,
        methods: request.methods.iter().map(|method| method.name.to_owned()).collect(),
        tokens: request.tokens.iter().map(|token| token.0).collect(),
        memory_budget: request.memory_budget,
    }
}

/// The tensors of a payload; `None` if they do not fill it.
fn named_tensors<'a>(infos: &[TensorInfo], payload: &'a [u8]) -> Option<Vec<NamedTensor<'a>>> {
    let mut rest = payload;
    let mut tensors = Vec::new();
    for TensorInfo { name, dtype, shape } in infos {
        let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side))?;
        let bytes = count.checked_mul(dtype.bitsize())? / 8;
        let (own, after) = rest.split_at_checked(bytes)?;
        tensors.push((name.clone(), *dtype, shape.clone(), Cow::Borrowed(own)));
        rest = after;
    }
    rest.is_empty().then_some(tensors)
}

/// A payload as `count` numbers.
fn numbers<T: bytemuck::AnyBitPattern>(payload: &[u8], count: usize) -> Option<Vec<T>> {
    let fits = payload.len() == count * size_of::<T>();
    fits.then(|| payload.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}
