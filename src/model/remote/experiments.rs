//! Experiments on a trace by a model on another machine: relevancy, answers scored again, activation patching.

use super::client::RemoteEngine;
use super::connection::{Call, Incoming};
use super::message::{
    BlankMessage, ClientMessage, RelevancyMessage, ServerMessage, TensorInfo, VariantMessage,
};
use crate::analysis::methods::Method;
use crate::analysis::patching::PatchResult;
use crate::job::CancelToken;
use crate::model::error::{ModelError, Result};
use crate::model::event::Progress;
use crate::model::patch::PatchRequest;
use crate::model::relevancy::{MemoryEstimate, RelevancyRequest, RelevancyTimings};
use crate::model::rescore::{Rescored, Variant, VariantPicture};
use crate::trace::{NamedTensor, Trace};
use std::borrow::Cow;
use std::sync::Arc;

/// Variants of one request: a multiple of the batches that the model runs.
const VARIANTS_AT_ONCE: usize = 96;
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
        self.ensure_connected(progress)?;
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
        let mut found = trace.with_tensors(tensors)?;
        let timings = result.timings.unwrap_or_default();
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
    ) -> Result<MemoryEstimate> {
        self.ensure_connected(&mut |_| {})?;
        let cancel = CancelToken::new();
        self.with_trace(trace, &cancel, &mut |own, number| {
            let message = ClientMessage::RelevancyMemory(relevancy_message(number, request));
            let (result, _) = own.result(&message, &CancelToken::new())?;
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
        self.ensure_connected(&mut |_| {})?;
        self.with_trace(trace, cancel, &mut |own, number| {
            let message =
                ClientMessage::OtherQuestion { trace: number, method: method.name.to_owned() };
            let (_, payload) = own.result(&message, cancel)?;
            numbers(&payload, trace.meta().patches())
                .ok_or_else(|| own.does_not_fit("it has another number of patches"))
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
        self.ensure_connected(&mut |_| {})?;
        let mut results = Vec::new();
        let mut variants = variants.into_iter().peekable();
        while variants.peek().is_some() {
            let (mut messages, mut pixels) = (Vec::new(), Vec::new());
            while messages.len() < VARIANTS_AT_ONCE && pixels.len() < PIXEL_BYTES_AT_ONCE {
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
                own.scores(call, trace, cancel, &mut |scored| {
                    each(results.len(), &scored);
                    results.push(scored);
                })?;
                if results.len() == first + messages.len() {
                    return Ok(());
                }
                Err(own.does_not_fit("it has another number of results"))
            })?;
        }
        Ok(results)
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
        cancel: &CancelToken,
        take: &mut dyn FnMut(Rescored),
    ) -> Result<()> {
        let generated = trace.shape().generated;
        loop {
            let Incoming { message, payload, .. } = call.next(cancel)?;
            match message {
                ServerMessage::Scored { .. } => {
                    let half = payload.len() / 2;
                    let logprobs = numbers(&payload[..half], generated);
                    let top_ids = numbers(&payload[half..], generated);
                    let (logprobs, top_ids) = logprobs
                        .zip(top_ids)
                        .ok_or_else(|| self.does_not_fit("it has another number of tokens"))?;
                    take(Rescored { logprobs, top_ids });
                }
                ServerMessage::Result(result) => {
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
        self.ensure_connected(&mut |_| {})?;
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
            own.patched(call, cancel, each)
        })
    }

    /// Fills in the table of a request for activation patching.
    fn patched(
        &mut self,
        call: Call,
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
                (ServerMessage::Patching, table) => {
                    let found = serde_json::from_slice(&payload)
                        .map_err(|error| self.does_not_fit(&error.to_string()))?;
                    each(table.insert(found));
                }
                (ServerMessage::Patched, Some(table)) => {
                    let count = payload.len() / 8;
                    let (cells, logprobs) = payload.split_at(payload.len() / 2);
                    let cells: Option<Vec<u32>> = numbers(cells, count);
                    let new = cells.zip(numbers::<f32>(logprobs, count));
                    let (cells, logprobs) =
                        new.ok_or_else(|| self.does_not_fit("its places are cut"))?;
                    for (cell, logprob) in cells.into_iter().zip(logprobs) {
                        if let Some(place) = table.patched.get_mut(cell as usize) {
                            *place = Some(logprob);
                        }
                    }
                    each(table);
                }
                (ServerMessage::Result(result), Some(_)) => {
                    call.complete();
                    self.counters = result.counters.unwrap_or(self.counters);
                    return table.ok_or_else(|| self.does_not_fit("it has no table"));
                }
                (other, _) => return Err(self.connection.unexpected(&other)),
            }
        }
    }
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
