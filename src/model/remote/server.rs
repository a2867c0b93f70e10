//! The serving half: reads requests, runs them one after the other, and sends events and answers.
//!
//! A thread reads frames, so that a request can be cancelled, and pages can be read, while the model works. The thread
//! that called [`serve`] has the model.

use super::answering::Shown;
use super::assemble::{Assembler, Message};
use super::frame::{FrameError, MAX_MESSAGE_BYTES, read_frame};
use super::message::{
    ClientMessage, ErrorKind, PROTOCOL, ResultMessage, ServerMessage, Spoken, ZSTD,
};
use super::outbox::{Closed, Outbox};
use super::shared::{Job, Shared, kind, locked, missing_trace};
use super::work::{Ended, Server};
use crate::files;
use crate::job::CancelToken;
use crate::model::error::ModelError;
use crate::model::event::Progress;
use crate::model::hex::hex;
use crate::model::local_engine::{LocalEngine, WRITER};
use crate::model::request::{EngineOptions, MAX_PICTURE_BYTES, Picture};
use crate::trace::{Trace, TraceInFile};
use crossbeam_channel::{Sender, TrySendError, bounded};
use sha2::{Digest as _, Sha256};
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Requests that may wait.
const WAITING_REQUESTS: usize = 64;
/// Payloads of the requests that may wait, in all; one request may have as much.
const WAITING_BYTES: u64 = MAX_MESSAGE_BYTES as u64;
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

impl From<Ended> for ServeError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Gone(closed) => closed.into(),
            Ended::Failed(error) => error.into(),
        }
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
    let shared = Arc::new(Shared::new(outbox));
    let outcome = serve_client(options, BufReader::new(input), &shared);
    shared.outbox.finish_within(FAREWELL);
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
        // A client that has gone may leave a stream behind that nobody reads.
        of_reader.outbox.expire_after(FAREWELL);
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
    let manifest = files::read(&engine.bundle().manifest_path(), files::MOST_TEXT_BYTES).map_err(
        |source| ModelError::BundleFile { path: engine.bundle().manifest_path(), source },
    )?;
    let hello = ServerMessage::Hello {
        protocol: PROTOCOL,
        version: WRITER.to_owned(),
        compression: vec![ZSTD.to_owned()],
        info: Box::new(engine.info()),
    };
    shared.outbox.send(id, &hello, manifest)?;
    Server::new(engine, Arc::clone(shared)).run(&jobs)?;
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
    let kind = &frame.envelope.kind;
    let spoken = Spoken::of(kind, &frame.header);
    if let Some(spoken) = spoken.filter(|spoken| !spoken.is_ours()) {
        let older = if spoken.is_older() { "the client" } else { "the server" };
        return Err(refuse(ServeError::Version(format!(
            "the client ({}) speaks protocol {}, the server ({WRITER}) protocol {PROTOCOL}: update {older}, which is older.",
            spoken.program(),
            spoken.protocol()
        ))));
    }
    let compression = match serde_json::from_slice(&frame.header) {
        Ok(ClientMessage::Hello { compression, .. }) => compression,
        Ok(_) => {
            let what = format!("the first frame is `{kind}`, not a `hello`");
            return Err(refuse(ServeError::Protocol(what)));
        }
        Err(error) if kind == "hello" => {
            let what = format!("its `hello` cannot be read ({error})");
            return Err(refuse(ServeError::Protocol(what)));
        }
        Err(_) => {
            let what = format!("the first frame is `{}`, not a `hello`", kind.escape_debug());
            return Err(refuse(ServeError::Protocol(what)));
        }
    };
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
        let bytes = payload.len() as u64;
        if shared.waiting_bytes.load(Ordering::SeqCst) + bytes > WAITING_BYTES {
            let text = format!(
                "the requests that wait would have more than {WAITING_BYTES} bytes; wait for their answers."
            );
            shared.fail(id, ErrorKind::Request, &text)?;
            continue;
        }
        shared.waiting_bytes.fetch_add(bytes, Ordering::SeqCst);
        let cancel = CancelToken::new();
        locked(&shared.requests).insert(id, cancel.clone());
        match jobs.try_send(Job { id, message, payload, cancel }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                shared.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
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
                    shared.outbox.reply(id, &ServerMessage::Result(Box::new(result)), [])?;
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
            if let Some(first) = pages.first() {
                shared.outbox.drop_maps(first.id);
            }
            for Shown { id, message, page, maps } in pages {
                shared.outbox.reply_maps(id, &message, page, maps)?;
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
