//! A model on another machine, with the operations of one in this process.
//!
//! Only what needs the model goes over the connection: questions, backward passes, answers scored again. The other
//! experiments are made of these, and run here. A trace is known to the server by a number; a trace that another
//! process made is sent without its attention.

use super::address::{Address, ServeFlags};
use super::connection::{Call, Connection, Incoming};
use super::message::{
    AskMessage, BlankMessage, ClientMessage, PagesSent, PictureRef, RelevancyMessage,
    ResultMessage, ServerMessage, TensorInfo, VariantMessage,
};
use super::read::does_not_fit;
use super::stage::Stage;
use super::transfer::{Received, builder_of, growing};
use crate::analysis::methods::Method;
use crate::analysis::patching::PatchResult;
use crate::job::CancelToken;
use crate::model::bundle::Bundle;
use crate::model::engine_info::EngineInfo;
use crate::model::error::{ModelError, Result};
use crate::model::event::{AskEvent, AskNotice, Progress};
use crate::model::hex::hex;
use crate::model::local_engine::{Counters, Sink};
use crate::model::manifest::Manifest;
use crate::model::patch::PatchRequest;
use crate::model::relevancy::{MemoryEstimate, RelevancyRequest, RelevancyTimings};
use crate::model::request::{AskRequest, Picture};
use crate::model::rerun::Rerun;
use crate::model::rescore::{Rescored, Variant, VariantPicture};
use crate::trace::{NamedTensor, Trace, TraceInFile};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

/// Variants of one request: a multiple of the batches that the model runs.
const VARIANTS_AT_ONCE: usize = 96;
/// Pixels of one request.
const PIXEL_BYTES_AT_ONCE: usize = 32 << 20;
/// Traces whose number is remembered; a server keeps as many.
const KNOWN_TRACES: usize = 64;

/// Where a model on another machine is, and which one.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The machine.
    pub address: Address,
    /// What is on the stage of a window; `None` for commands, which need whole traces.
    pub stage: Option<Arc<Stage>>,
}

/// A model on another machine.
pub struct RemoteEngine {
    options: RemoteOptions,
    flags: ServeFlags,
    connection: Arc<Connection>,
    info: EngineInfo,
    manifest_bytes: Vec<u8>,
    manifest: Manifest,
    bundle: Option<Arc<Bundle>>,
    counters: Counters,
    /// SHA-256 of the pictures that the server was sent.
    pictures: HashSet<String>,
    /// SHA-256 of the inputs of traces that the server has, and their numbers, newest last.
    traces: VecDeque<([u8; 32], u64)>,
    /// The number of the last answer of a command: the server need not keep it longer.
    last_answer: Option<u64>,
}

impl RemoteEngine {
    /// Connects, and waits until the model is loaded there.
    ///
    /// # Errors
    /// [`ModelError::Unreachable`], [`ModelError::Elsewhere`], or a manifest that cannot be read.
    pub fn connect(
        options: &RemoteOptions,
        flags: ServeFlags,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let never = CancelToken::new();
        let (connection, greeting) = Connection::open(&options.address, &flags, &never, progress)?;
        let path = greeting.info.bundle.join(crate::model::manifest::MANIFEST_FILE);
        let manifest = Manifest::parse(&path, &greeting.manifest)?;
        log::info!("model {} on {}", greeting.info.model.name, connection.host());
        if let Some(stage) = &options.stage {
            stage.attach(&connection);
        }
        Ok(Self {
            options: options.clone(),
            flags,
            connection,
            info: greeting.info,
            manifest_bytes: greeting.manifest,
            manifest,
            bundle: None,
            counters: Counters::default(),
            pictures: HashSet::new(),
            traces: VecDeque::new(),
            last_answer: None,
        })
    }

    /// Connects again if the connection was lost.
    fn ensure_connected(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<()> {
        if self.connection.is_lost() {
            *self = Self::connect(&self.options, self.flags.clone(), progress)?;
        }
        Ok(())
    }

    /// The machine, for messages.
    pub fn host(&self) -> &str {
        self.connection.host()
    }

    /// The model, its device and its runtime there.
    pub fn info(&self) -> EngineInfo {
        self.info.clone()
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Amount of work of the server, after its last answer.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes sent and received over the connection.
    pub fn traffic_bytes(&self) -> [u64; 2] {
        self.connection.traffic_bytes()
    }

    /// The number of the process that connects.
    pub fn process_id(&self) -> u32 {
        self.connection.process_id()
    }

    /// The bundle without its graphs and weights; its tokenizer is fetched once.
    ///
    /// # Errors
    /// A lost connection, or a tokenizer that cannot be read.
    pub fn bundle(&mut self) -> Result<Arc<Bundle>> {
        if let Some(bundle) = &self.bundle {
            return Ok(Arc::clone(bundle));
        }
        self.ensure_connected(&mut |_| {})?;
        let (_, tokenizer) = self.result(&ClientMessage::Tokenizer, &CancelToken::new())?;
        let bundle = Bundle::elsewhere(&self.info.bundle, &self.manifest_bytes, &tokenizer)?;
        Ok(Arc::clone(self.bundle.insert(Arc::new(bundle))))
    }

    /// The server discards the results kept from earlier questions.
    pub fn forget(&mut self) {
        // A server that is gone has forgotten.
        let _ = self.result(&ClientMessage::Forget, &CancelToken::new());
    }

    /// Sends a request without events, and waits for its answer.
    fn result(
        &mut self,
        message: &ClientMessage,
        cancel: &CancelToken,
    ) -> Result<(ResultMessage, Vec<u8>)> {
        let call = self.connection.call(message, Vec::new())?;
        let Incoming { message, payload, .. } = call.next(cancel)?;
        let ServerMessage::Result(result) = message else {
            return Err(self.connection.unexpected(&message));
        };
        call.complete();
        self.counters = result.counters.unwrap_or(self.counters);
        Ok((*result, payload))
    }

    /// As [`crate::model::Engine::ask`].
    ///
    /// # Errors
    /// As there, and a lost connection.
    pub fn ask(
        &mut self,
        request: &AskRequest,
        cancel: &CancelToken,
        sink: &mut Sink<'_>,
    ) -> Result<Trace> {
        self.ensure_connected(&mut |progress| sink(AskEvent::Progress(progress)))?;
        let sha256 = request.picture.as_ref().map(|picture| hex(&Sha256::digest(&picture.bytes)));
        let mut may_repeat = true;
        loop {
            let picture = match request.picture.as_ref().zip(sha256.as_ref()) {
                Some((picture, sha256)) => Some(self.send_picture(picture, sha256)?),
                None => None,
            };
            let message = ClientMessage::Ask {
                request: AskMessage {
                    picture,
                    turns: request.turns.clone(),
                    question: request.question.clone(),
                    options: request.options.clone(),
                },
                pages: self.pages(),
            };
            let call = self.connection.call(&message, Vec::new())?;
            match self.answer(call, cancel, sink) {
                Err(ModelError::MissingThere { .. }) if may_repeat => {
                    self.pictures.clear();
                    may_repeat = false;
                }
                outcome => return outcome,
            }
        }
    }

    /// Sends a picture, unless the server has it.
    fn send_picture(&mut self, picture: &Picture, sha256: &str) -> Result<PictureRef> {
        let (sha256, name) = (sha256.to_owned(), picture.name.clone());
        if self.pictures.insert(sha256.clone()) {
            let message = ClientMessage::Picture { sha256: sha256.clone(), name: name.clone() };
            self.connection.tell(&message, Arc::clone(&picture.bytes))?;
        }
        Ok(PictureRef { sha256, name })
    }

    fn pages(&self) -> PagesSent {
        if self.options.stage.is_some() { PagesSent::Shown } else { PagesSent::None }
    }

    /// As [`crate::model::Engine::again`].
    ///
    /// # Errors
    /// As there, and a lost connection.
    pub fn again(
        &mut self,
        trace: &Trace,
        change: &Rerun,
        cancel: &CancelToken,
        sink: &mut Sink<'_>,
    ) -> Result<Trace> {
        self.ensure_connected(&mut |progress| sink(AskEvent::Progress(progress)))?;
        let pages = self.pages();
        self.with_trace(trace, cancel, &mut |own, number| {
            let message = ClientMessage::Again { trace: number, change: change.clone(), pages };
            let call = own.connection.call(&message, Vec::new())?;
            own.answer(call, cancel, sink)
        })
    }

    /// Reads the events of an answer, and fetches the trace.
    fn answer(&mut self, call: Call, cancel: &CancelToken, sink: &mut Sink<'_>) -> Result<Trace> {
        let stage = self.options.stage.clone();
        let mut growth = None;
        loop {
            let Incoming { message, payload, .. } = call.next(cancel)?;
            match message {
                ServerMessage::Progress { stage, done, total } => {
                    sink(AskEvent::Progress(Progress { stage, done, total }));
                }
                ServerMessage::Notice { text, cropped } => sink(AskEvent::Notice(
                    cropped.map_or(AskNotice::Text(text), AskNotice::Cropped),
                )),
                ServerMessage::Prompt { meta_bytes, tensors } => {
                    let builder = builder_of(meta_bytes, &tensors, &payload)
                        .map_err(|error| self.does_not_fit(&error))?;
                    growth = Some(growing(&builder, stage.clone()));
                    sink(AskEvent::Prompt(Box::new(builder)));
                }
                ServerMessage::Token(token) => {
                    let Some(growth) = &mut growth else { continue };
                    let event = growth.token(*token, &payload);
                    sink(AskEvent::Token(Box::new(
                        event.map_err(|error| self.does_not_fit(&error))?,
                    )));
                }
                ServerMessage::Page(page) => {
                    let Some(growth) = &mut growth else { continue };
                    let more = growth.page(page, &payload);
                    if let Some(page) = more.map_err(|error| self.does_not_fit(&error))? {
                        sink(AskEvent::Page(Box::new(page)));
                    }
                }
                ServerMessage::Done { trace, file_bytes, ranges, counters } => {
                    call.complete();
                    self.counters = counters;
                    let received = Received { number: trace, file_bytes, ranges, payload };
                    let connection = Arc::clone(&self.connection);
                    let found = match (&self.options.stage, growth) {
                        (Some(stage), Some(growth)) => {
                            received.on_demand(connection, stage, growth)?
                        }
                        _ => received.whole(&connection, cancel)?,
                    };
                    self.remember_answer(&found, trace)?;
                    return Ok(found);
                }
                other => return Err(self.connection.unexpected(&other)),
            }
        }
    }

    /// The server has the inputs of an answer under the answer's number.
    fn remember_answer(&mut self, trace: &Trace, number: u64) -> Result<()> {
        let (key, _) = inputs(trace)?;
        if self.options.stage.is_none()
            && let Some(last) = self.last_answer.replace(number)
        {
            self.traces.retain(|&(_, known)| known != last);
            self.connection.tell(&ClientMessage::Release { trace: last }, Vec::new())?;
        }
        self.remember(key, number);
        Ok(())
    }

    fn remember(&mut self, key: [u8; 32], number: u64) {
        self.traces.push_back((key, number));
        if self.traces.len() > KNOWN_TRACES {
            self.traces.pop_front();
        }
    }

    /// Calls `work` with the number of the trace there; once more if the server dropped it meanwhile.
    fn with_trace<T>(
        &mut self,
        trace: &Trace,
        cancel: &CancelToken,
        work: &mut dyn FnMut(&mut Self, u64) -> Result<T>,
    ) -> Result<T> {
        let number = self.number_of(trace, cancel)?;
        match work(self, number) {
            Err(ModelError::MissingThere { .. }) => {
                self.traces.clear();
                let number = self.number_of(trace, cancel)?;
                work(self, number)
            }
            outcome => outcome,
        }
    }

    /// The number of the trace there; its inputs are sent if the server does not have them.
    fn number_of(&mut self, trace: &Trace, cancel: &CancelToken) -> Result<u64> {
        let (key, file) = inputs(trace)?;
        if let Some(&(_, number)) = self.traces.iter().rev().find(|(known, _)| *known == key) {
            return Ok(number);
        }
        let call = self.connection.call(&ClientMessage::Trace, file)?;
        let Incoming { message, .. } = call.next(cancel)?;
        let number = match &message {
            ServerMessage::Result(result) => result.trace,
            _ => None,
        };
        let number = number.ok_or_else(|| self.connection.unexpected(&message))?;
        call.complete();
        self.remember(key, number);
        Ok(number)
    }

    fn does_not_fit(&self, reason: &str) -> ModelError {
        does_not_fit(&self.connection, reason)
    }

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

    /// As [`crate::model::patch`].
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

/// The SHA-256 and the bytes of what the model needs of a trace.
fn inputs(trace: &Trace) -> Result<([u8; 32], Vec<u8>)> {
    let file = TraceInFile::new(trace.inputs_only()?)?;
    let bytes = file.read(0..u64::MAX).map_err(|source| {
        let path = trace.path().map_or_else(|| PathBuf::from("(a trace)"), ToOwned::to_owned);
        ModelError::Trace(crate::trace::TraceError::Read { path, source })
    })?;
    Ok((Sha256::digest(&bytes).into(), bytes))
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
