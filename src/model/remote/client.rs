//! A model on another machine, with the operations of one in this process.
//!
//! Only what needs the model goes over the connection: questions, backward passes, answers scored again. The other
//! experiments are made of these, and run here. A trace is known to the server by a number; a trace that another
//! process made is sent without its attention.

use super::address::{Address, ServeFlags};
use super::connection::{Call, Connection};
use super::expected::{Expected, Limits};
use super::message::{
    AskMessage, ClientMessage, PagesSent, PictureRef, ResultMessage, ServerMessage,
};
use super::read::does_not_fit;
use super::receive::Incoming;
use super::said::shown;
use super::stage::Stage;
use super::transfer::{Growth, Received, builder_of, growing};
use crate::job::CancelToken;
use crate::model::bundle::Bundle;
use crate::model::engine_info::EngineInfo;
use crate::model::error::{ModelError, Result};
use crate::model::event::{AskEvent, AskNotice, Progress};
use crate::model::hex::hex;
use crate::model::local_engine::{Counters, Sink};
use crate::model::manifest::Manifest;
use crate::model::request::{AskOptions, AskRequest, Picture};
use crate::model::rerun::Rerun;
use crate::trace::{Trace, TraceInFile};
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

/// Traces whose number is remembered; a server keeps as many.
const KNOWN_TRACES: usize = 64;

/// Most tokens of a byte of a given answer: a character may be replaced by its parts before it is split.
const MOST_TOKENS_PER_BYTE: usize = 16;

const NO_PROMPT: &str = "an answer without its prompt";

/// The address of another machine and the options of its model.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The machine.
    pub address: Address,
    /// The maps on the stage of a window; `None` for commands, which need whole traces.
    pub stage: Option<Arc<Stage>>,
}

/// A model on another machine.
pub struct RemoteEngine {
    options: RemoteOptions,
    flags: ServeFlags,
    pub(super) connection: Arc<Connection>,
    info: EngineInfo,
    manifest_bytes: Vec<u8>,
    manifest: Manifest,
    bundle: Option<Arc<Bundle>>,
    pub(super) counters: Counters,
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
    /// [`ModelError::Unreachable`], [`ModelError::Elsewhere`], [`ModelError::Cancelled`], or a manifest that cannot be
    /// read.
    pub fn connect(
        options: &RemoteOptions,
        flags: ServeFlags,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let (connection, greeting) = Connection::open(&options.address, &flags, cancel, progress)?;
        let path = greeting.info.bundle.join(crate::model::manifest::MANIFEST_FILE);
        let manifest = Manifest::parse(&path, &greeting.manifest)
            .map_err(|error| ModelError::elsewhere(connection.host(), error.to_string()))?;
        let (model, text) = (&greeting.info.model, &manifest.text);
        if [model.layers as usize, model.heads as usize] != [text.layers, text.heads] {
            return Err(does_not_fit(&connection, "its model is not that of its manifest"));
        }
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
    pub(super) fn ensure_connected(
        &mut self,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        if self.connection.is_lost() {
            *self = Self::connect(&self.options, self.flags.clone(), cancel, progress)?;
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
    pub fn bundle(&mut self, cancel: &CancelToken) -> Result<Arc<Bundle>> {
        if let Some(bundle) = &self.bundle {
            return Ok(Arc::clone(bundle));
        }
        self.ensure_connected(cancel, &mut |_| {})?;
        let (_, tokenizer) = self.result(&ClientMessage::Tokenizer, cancel)?;
        let bundle = Bundle::elsewhere(&self.info.bundle, &self.manifest_bytes, &tokenizer)
            .map_err(|error| ModelError::elsewhere(self.host(), error.to_string()))?;
        Ok(Arc::clone(self.bundle.insert(Arc::new(bundle))))
    }

    /// The server discards the results kept from earlier questions.
    ///
    /// # Errors
    /// [`ModelError::Cancelled`], or an answer that does not fit.
    pub fn forget(&mut self, cancel: &CancelToken) -> Result<()> {
        match self.result(&ClientMessage::Forget, cancel) {
            // A server that is gone has forgotten.
            Ok(_) | Err(ModelError::ConnectionLost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a request without events, and waits for its answer.
    pub(super) fn result(
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
        self.ensure_connected(cancel, &mut |progress| sink(AskEvent::Progress(progress)))?;
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
            match self.answer(call, (self.limits_of(&request.options), None), cancel, sink) {
                Err(ModelError::MissingThere { .. }) if may_repeat => {
                    self.pictures.clear();
                    may_repeat = false;
                }
                outcome => return outcome,
            }
        }
    }

    /// The limits of the answer to a question.
    fn limits_of(&self, options: &AskOptions) -> Limits {
        let most_tokens =
            options.answer.as_ref().map_or(options.sampling.max_new_tokens as usize, |text| {
                MOST_TOKENS_PER_BYTE * text.len() + 1
            });
        let text = &self.manifest.text;
        Limits {
            most_tokens: most_tokens.min(text.max_positions + 1),
            rows: options.rows,
            vision_attention: options.vision_attention,
            topk: options.topk,
            vocab: text.vocab,
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
        self.ensure_connected(cancel, &mut |progress| sink(AskEvent::Progress(progress)))?;
        let pages = self.pages();
        let sampling = trace.meta().sampling;
        let most_tokens = match &change.answer {
            Some(ids) => ids.len() + 1,
            None if sampling.forced => trace.shape().generated + 1,
            None => sampling.max_new_tokens as usize,
        };
        let limits = self.limits_of(&AskOptions { rows: change.rows, ..AskOptions::default() });
        let limits =
            Limits { most_tokens: most_tokens.min(self.manifest.text.max_positions + 1), ..limits };
        self.with_trace(trace, cancel, &mut |own, number| {
            let message = ClientMessage::Again { trace: number, change: change.clone(), pages };
            let call = own.connection.call(&message, Vec::new())?;
            let known = Expected::again(trace, limits);
            own.answer(call, (limits, Some(known)), cancel, sink)
        })
    }

    /// Reads the events of an answer, and fetches the trace. It is `known` where no `prompt` comes: then it is not
    /// shown while it grows.
    fn answer(
        &mut self,
        call: Call,
        (limits, known): (Limits, Option<Expected>),
        cancel: &CancelToken,
        sink: &mut Sink<'_>,
    ) -> Result<Trace> {
        let stage = self.options.stage.clone();
        let text = &self.manifest.text;
        let size = [text.layers, text.heads];
        let mut growth = None;
        loop {
            let Incoming { message, payload, .. } = call.next(cancel)?;
            match message {
                ServerMessage::Progress { stage, done, total } => {
                    sink(AskEvent::Progress(Progress { stage, done, total }));
                }
                ServerMessage::Notice { text, cropped } => {
                    if cropped.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                        return Err(self.does_not_fit("a share of its picture is not from 0 to 1"));
                    }
                    let text = AskNotice::Text(shown(&text));
                    sink(AskEvent::Notice(cropped.map_or(text, AskNotice::Cropped)));
                }
                ServerMessage::Prompt { meta_bytes, tensors } => {
                    let builder = builder_of(meta_bytes, &tensors, &payload)
                        .map_err(|error| self.does_not_fit(&error))?;
                    let model = &builder.meta().model;
                    if [model.layers as usize, model.heads as usize] != size {
                        return Err(self.does_not_fit("it is of another model"));
                    }
                    growth = Some(growing(&builder, limits, stage.clone()));
                    sink(AskEvent::Prompt(Box::new(builder)));
                }
                ServerMessage::Token(token) => {
                    let Some(growth) = &mut growth else {
                        match known {
                            Some(_) => continue,
                            None => return Err(self.does_not_fit(NO_PROMPT)),
                        }
                    };
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
                        (_, growth) => {
                            let expected = growth.map(Growth::into_expected).or(known);
                            let expected = expected.ok_or_else(|| self.does_not_fit(NO_PROMPT))?;
                            received.whole(&connection, &expected, cancel)?
                        }
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
    pub(super) fn with_trace<T>(
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

    pub(super) fn does_not_fit(&self, reason: &str) -> ModelError {
        does_not_fit(&self.connection, reason)
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
