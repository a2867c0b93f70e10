//! The serving half: reads requests, runs them one after the other, and sends events and answers.
//!
//! A thread reads frames, so that a request can be cancelled, and pages can be read, while the model works. The thread
//! that called [`serve`] has the model.

use super::answering::Answering;
use super::assemble::{Assembler, Message};
use super::frame::{FrameError, read_frame};
use super::message::{
    AskMessage, ClientMessage, ErrorKind, PROTOCOL, PagesSent, RelevancyMessage, ResultMessage,
    ServerMessage, TensorInfo, VariantMessage, ZSTD,
};
use super::outbox::{Closed, Outbox};
use super::store::Store;
use crate::analysis::methods::{Computation, Method};
use crate::job::{CancelToken, guard};
use crate::model::error::{ModelError, Result};
use crate::model::event::{AskEvent, Progress};
use crate::model::hex::hex;
use crate::model::local_engine::{LocalEngine, WRITER};
use crate::model::patch::{PatchRequest, patch_here};
use crate::model::relevancy::RelevancyRequest;
use crate::model::request::{AskRequest, EngineOptions, MAX_PICTURE_BYTES, Picture};
use crate::model::rescore::{LocalRescorer, Variant, VariantPicture};
use crate::trace::{AnswerIndex, Dtype, Trace, TraceInFile};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Requests that may wait.
const WAITING_REQUESTS: usize = 64;
const KEPT_PICTURES: usize = 256;
const KEPT_PICTURE_BYTES: u64 = 1 << 30;
const KEPT_TRACES: usize = 64;
const KEPT_TRACE_BYTES: u64 = 4 << 30;
/// Longest range of one `read`.
const MAX_READ_BYTES: u64 = 64 << 20;

/// Time in which a client reads what was sent last.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a server ended before its input did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The client sent something that is not a frame, or not a message.
    #[error(
        "standard input is not what a client of `vlmscope serve` sends: {0}. docs/serve.md describes the protocol."
    )]
    Protocol(String),
    /// The client is of another version.
    #[error("{0}")]
    Version(String),
    /// Standard output was closed.
    #[error("the client went away: {0}")]
    Gone(String),
    /// The model could not be loaded, or its thread failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl From<Closed> for ServeError {
    fn from(Closed(reason): Closed) -> Self {
        Self::Gone(reason)
    }
}

impl From<FrameError> for ServeError {
    fn from(error: FrameError) -> Self {
        let shown = error
            .shown()
            .map_or_else(String::new, |shown| format!(" (it begins with \"{shown}\")"));
        Self::Protocol(format!("{error}{shown}"))
    }
}

/// A request for the thread with the model.
struct Job {
    id: u64,
    message: ClientMessage,
    payload: Vec<u8>,
    cancel: CancelToken,
}

/// What both threads use.
pub(super) struct Shared {
    pub outbox: Outbox,
    pictures: Mutex<Store<String, Picture>>,
    traces: Mutex<Store<u64, TraceInFile>>,
    next_trace: AtomicU64,
    /// The cancel tokens of the requests that wait or run.
    requests: Mutex<HashMap<u64, CancelToken>>,
    pub answering: Mutex<Answering>,
    has_ended: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one client until its input ends or it says `bye`.
///
/// # Errors
/// Input that does not follow the protocol, a client that is gone, or a model that cannot be loaded. The client was
/// told, if it still reads.
pub fn serve(
    options: &EngineOptions,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
) -> Result<(), ServeError> {
    let outbox = Outbox::start(output).map_err(ServeError::Thread)?;
    let shared = Arc::new(Shared {
        outbox,
        pictures: Mutex::new(Store::new(KEPT_PICTURES, KEPT_PICTURE_BYTES)),
        traces: Mutex::new(Store::new(KEPT_TRACES, KEPT_TRACE_BYTES)),
        next_trace: AtomicU64::new(1),
        requests: Mutex::default(),
        answering: Mutex::default(),
        has_ended: AtomicBool::new(false),
    });
    let outcome = serve_client(options, BufReader::new(input), &shared);
    shared.outbox.flush(FAREWELL);
    outcome
}

fn serve_client(
    options: &EngineOptions,
    mut input: BufReader<impl Read + Send + 'static>,
    shared: &Arc<Shared>,
) -> Result<(), ServeError> {
    let Some(id) = greeting(&mut input, shared)? else { return Ok(()) };
    let (sender, jobs) = bounded(WAITING_REQUESTS);
    let of_reader = Arc::clone(shared);
    let (told, failed) = bounded(1);
    let read = move || {
        let outcome = read_requests(&mut input, &of_reader, &sender);
        of_reader.has_ended.store(true, Ordering::SeqCst);
        locked(&of_reader.requests).values().for_each(CancelToken::cancel);
        if let Err(error) = outcome {
            let _ = of_reader.fail(0, ErrorKind::Protocol, &error.to_string());
            let _ = told.send(error);
        }
    };
    std::thread::Builder::new().name("frames in".into()).spawn(read).map_err(ServeError::Thread)?;
    let mut load = |Progress { stage, done, total }| {
        let _ = shared.outbox.send(id, &ServerMessage::Progress { stage, done, total }, []);
    };
    let engine = LocalEngine::load(options, &mut load).inspect_err(|error| {
        let _ = shared.fail(id, kind(error), &error.to_string());
    })?;
    let manifest =
        crate::files::read(&engine.bundle().manifest_path(), crate::files::MOST_TEXT_BYTES)
            .map_err(|source| ModelError::BundleFile {
                path: engine.bundle().manifest_path(),
                source,
            })?;
    let hello = ServerMessage::Hello {
        protocol: PROTOCOL,
        version: WRITER.to_owned(),
        compression: vec![ZSTD.to_owned()],
        info: Box::new(engine.info()),
    };
    shared.outbox.send(id, &hello, manifest)?;
    Server { engine, shared: Arc::clone(shared), rescorer: None }.run(&jobs)?;
    match failed.try_recv() {
        Ok(error) => Err(error),
        Err(_) => Ok(()),
    }
}

/// Reads the client's greeting; `None` if the input ends before it.
fn greeting(input: &mut BufReader<impl Read>, shared: &Shared) -> Result<Option<u64>, ServeError> {
    let refuse = |error: ServeError| {
        let _ = shared.fail(0, ErrorKind::Protocol, &error.to_string());
        error
    };
    let frame = read_frame(input).map_err(|error| refuse(error.into()))?;
    let Some(frame) = frame else { return Ok(None) };
    let message = serde_json::from_slice(&frame.header);
    let Ok(ClientMessage::Hello { protocol, client, compression }) = message else {
        let what = format!("the first frame is `{}`, not a `hello`", frame.envelope.kind);
        return Err(refuse(ServeError::Protocol(what)));
    };
    if protocol != PROTOCOL {
        let older = if protocol < PROTOCOL { "the client" } else { "the server" };
        return Err(refuse(ServeError::Version(format!(
            "the client ({client}) speaks protocol {protocol}, the server ({WRITER}) protocol {PROTOCOL}: update {older}, which is older."
        ))));
    }
    if compression.iter().any(|name| name == ZSTD) {
        shared.outbox.compress();
    }
    Ok(Some(frame.envelope.id))
}

/// Reads requests until the input ends: carries out at once what does not need the model, and queues the rest.
fn read_requests(
    input: &mut BufReader<impl Read>,
    shared: &Shared,
    jobs: &Sender<Job>,
) -> Result<(), ServeError> {
    let mut assembler = Assembler::default();
    while let Some(frame) = read_frame(input)? {
        let id = frame.envelope.id;
        let Some(Message { header, payload, .. }) = assembler.add(frame)? else { continue };
        let message: ClientMessage = match serde_json::from_slice(&header) {
            Ok(message) => message,
            Err(error) => {
                shared.fail(
                    id,
                    ErrorKind::Request,
                    &format!("this request cannot be read: {error}."),
                )?;
                continue;
            }
        };
        if matches!(message, ClientMessage::Bye) {
            return Ok(());
        }
        let Some(message) = at_once(shared, id, message, &payload)? else { continue };
        let cancel = CancelToken::new();
        locked(&shared.requests).insert(id, cancel.clone());
        match jobs.try_send(Job { id, message, payload, cancel }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                locked(&shared.requests).remove(&id);
                let text =
                    format!("{WAITING_REQUESTS} requests wait already; wait for their answers.");
                shared.fail(id, ErrorKind::Request, &text)?;
            }
            Err(TrySendError::Disconnected(_)) => return Ok(()),
        }
    }
    Ok(())
}

/// Carries out what needs no model; returns the other requests.
fn at_once(
    shared: &Shared,
    id: u64,
    message: ClientMessage,
    payload: &[u8],
) -> Result<Option<ClientMessage>, ServeError> {
    match message {
        ClientMessage::Picture { sha256, name } => {
            if payload.len() as u64 > MAX_PICTURE_BYTES || hex(&Sha256::digest(payload)) != sha256 {
                let text = format!(
                    "the picture {name} does not have the SHA-256 that was named, or is too large."
                );
                shared.fail(id, ErrorKind::Request, &text)?;
            } else {
                let picture = Picture { name, bytes: payload.into() };
                locked(&shared.pictures).insert(sha256, Arc::new(picture), payload.len() as u64);
            }
        }
        ClientMessage::Trace => {
            let name = Path::new("the trace that was sent");
            match Trace::from_file_bytes(name, payload.to_vec()).and_then(TraceInFile::new) {
                Ok(trace) => {
                    let trace = Some(shared.keep(Arc::new(trace)));
                    let result = ResultMessage { trace, ..ResultMessage::default() };
                    shared.outbox.send(id, &ServerMessage::Result(Box::new(result)), [])?;
                }
                Err(error) => shared.fail(id, ErrorKind::Request, &error.to_string())?,
            }
        }
        ClientMessage::Read { trace, start, length } => {
            let Some(file) = locked(&shared.traces).get(&trace) else {
                shared.fail(id, ErrorKind::MissingTrace, &missing_trace(trace))?;
                return Ok(None);
            };
            let end = start.saturating_add(length);
            if length > MAX_READ_BYTES || end > file.file_bytes() {
                let bytes = file.file_bytes();
                let text = format!(
                    "bytes {start} to {end} cannot be read: the trace has {bytes} bytes, and one request reads at most {MAX_READ_BYTES}."
                );
                shared.fail(id, ErrorKind::Request, &text)?;
            } else {
                shared.outbox.send_file(id, &ServerMessage::Data, file, start..end)?;
            }
        }
        ClientMessage::Show { maps } => {
            let pages = locked(&shared.answering).show(maps);
            for (of, message, weights) in pages {
                shared.outbox.send(of, &message, weights)?;
            }
        }
        ClientMessage::Release { trace } => locked(&shared.traces).remove(&trace),
        ClientMessage::Cancel { request } => {
            if let Some(cancel) = locked(&shared.requests).get(&request) {
                cancel.cancel();
            } else if shared.outbox.drop_bulk(request) {
                shared.fail(request, ErrorKind::Cancelled, "cancelled")?;
            }
        }
        ClientMessage::Hello { .. } => {
            shared.fail(id, ErrorKind::Request, "there was a `hello` already.")?;
        }
        ClientMessage::Bye => {}
        ClientMessage::Ask { .. }
        | ClientMessage::Again { .. }
        | ClientMessage::Relevancy(_)
        | ClientMessage::RelevancyMemory(_)
        | ClientMessage::OtherQuestion { .. }
        | ClientMessage::Rescore { .. }
        | ClientMessage::Patch { .. }
        | ClientMessage::Tokenizer
        | ClientMessage::Forget => return Ok(Some(message)),
    }
    Ok(None)
}

impl Shared {
    fn fail(&self, id: u64, kind: ErrorKind, message: &str) -> Result<(), Closed> {
        self.outbox.send(id, &ServerMessage::Error { kind, message: message.to_owned() }, [])
    }

    /// Keeps a trace; returns its number.
    fn keep(&self, trace: Arc<TraceInFile>) -> u64 {
        let number = self.next_trace.fetch_add(1, Ordering::Relaxed);
        let bytes = trace.file_bytes();
        locked(&self.traces).insert(number, trace, bytes);
        number
    }

    fn trace(&self, number: u64) -> Result<Arc<TraceInFile>, Failure> {
        let found = locked(&self.traces).get(&number);
        found.ok_or_else(|| Failure(ErrorKind::MissingTrace, missing_trace(number)))
    }
}

fn missing_trace(number: u64) -> String {
    format!("the server no longer has the trace {number}.")
}

/// An error for the client.
struct Failure(ErrorKind, String);

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self(kind(&error), error.to_string())
    }
}

impl From<crate::trace::TraceError> for Failure {
    fn from(error: crate::trace::TraceError) -> Self {
        Self(ErrorKind::Failed, error.to_string())
    }
}

impl From<Closed> for Failure {
    fn from(Closed(reason): Closed) -> Self {
        Self(ErrorKind::Failed, reason)
    }
}

fn kind(error: &ModelError) -> ErrorKind {
    match error {
        ModelError::Cancelled => ErrorKind::Cancelled,
        ModelError::Memory { .. } => ErrorKind::Memory,
        ModelError::Runtime { .. }
        | ModelError::Panicked(_)
        | ModelError::Trace(_)
        | ModelError::BundleFile { .. } => ErrorKind::Failed,
        _ => ErrorKind::Request,
    }
}

fn bad(what: impl Into<String>) -> Failure {
    Failure(ErrorKind::Request, what.into())
}

/// The thread with the model.
struct Server {
    engine: LocalEngine,
    shared: Arc<Shared>,
    /// The last one: the next variants of the same answer share its results.
    rescorer: Option<(u64, LocalRescorer)>,
}

impl Server {
    fn run(&mut self, jobs: &Receiver<Job>) -> Result<(), ServeError> {
        for job in jobs {
            if self.shared.has_ended.load(Ordering::SeqCst) {
                break;
            }
            let (id, cancel) = (job.id, job.cancel.clone());
            let outcome = guard(|| match cancel.is_cancelled() {
                true => Err(ModelError::Cancelled.into()),
                false => self.carry_out(job),
            });
            locked(&self.shared.requests).remove(&id);
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(Failure(kind, message))) => self.shared.fail(id, kind, &message)?,
                Err(panicked) => {
                    self.shared.fail(id, ErrorKind::Failed, &panicked.to_string())?;
                    return Err(ModelError::from(panicked).into());
                }
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, job: Job) -> Result<(), Failure> {
        let Job { id, message, payload, cancel } = job;
        if !matches!(message, ClientMessage::Rescore { .. }) {
            // What variants share takes as much memory as an answer.
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
                let (json, other) = json_and_rest(earlier_bytes, &payload)?;
                let earlier = match json {
                    [] => None,
                    json => Some(serde_json::from_slice(json).map_err(|error| {
                        bad(format!("the earlier table cannot be read: {error}."))
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
    let methods = message.methods.iter().map(|name| name.parse::<Method>().map_err(bad));
    Ok(RelevancyRequest {
        tokens: message.tokens.iter().map(|&token| AnswerIndex(token)).collect(),
        memory_budget: message.memory_budget,
        ..RelevancyRequest::new(methods.collect::<Result<Vec<_>, _>>()?)
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
    let messages: Vec<VariantMessage> = serde_json::from_slice(json)
        .map_err(|error| bad(format!("the variants cannot be read: {error}.")))?;
    let length = trace.canvas(0).map_or(0, |seen| seen.rgb.len());
    let mut found = Vec::with_capacity(messages.len().min(payload.len()));
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
