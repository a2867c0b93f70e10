//! A model on its own thread, so that a window does not have to wait.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::event::{AskEvent, ModelEvent, Progress};
use super::remote::RemoteOptions;
use super::request::{AskRequest, EngineOptions};
use crate::job::{CancelToken, Panicked, ReuseFreedMemory, Worker};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Capacity of the event channel: enough for a short stall of the window, few enough to limit the pages in memory.
const WAITING_EVENTS: usize = 64;
const SEND_PATIENCE: Duration = Duration::from_millis(20);

/// Work with the loaded model other than a question: relevancy, interventions, scores. It receives the error if the
/// model could not be loaded; if a later request replaces it, it is dropped.
pub type EngineTask = Box<dyn FnOnce(Result<&mut Engine>, &CancelToken) + Send>;

enum Job {
    Ask { request: u64, ask: Box<AskRequest> },
    Task { request: u64, task: EngineTask },
}

impl Job {
    const fn request(&self) -> u64 {
        match self {
            Self::Ask { request, .. } | Self::Task { request, .. } => *request,
        }
    }
}

/// Answers the latest question. Dropping it cancels the running question.
pub struct ModelWorker {
    worker: Worker<Job>,
    events: Receiver<ModelEvent>,
    next_request: AtomicU64,
}

impl ModelWorker {
    /// Starts the thread; the model is loaded for the first request, on the machine of `remote` if there is one.
    /// [`Self::events`] returns the events.
    ///
    /// # Errors
    /// If the system cannot start another thread.
    pub fn spawn(options: EngineOptions, remote: Option<RemoteOptions>) -> Result<Self> {
        let (sender, events) = bounded(WAITING_EVENTS);
        let current = Arc::new(AtomicU64::new(0));
        let (running, failed_sender) = (Arc::clone(&current), sender.clone());
        let options = (options, remote);
        let start = move || {
            let (options, sender, current) =
                (options.clone(), sender.clone(), Arc::clone(&current));
            let mut loaded = Loaded { engine: None, announced: false };
            move |job: Job, cancel: &CancelToken| {
                current.store(job.request(), Ordering::Relaxed);
                handle(job, &mut loaded, &options, cancel, &sender);
            }
        };
        // The engine is loaded again for the next request, because the panic may have left it half changed.
        let failed = move |panicked: Panicked, _: &CancelToken| {
            let request = running.load(Ordering::Relaxed);
            tell_failure(&failed_sender, request, panicked.into());
        };
        let worker =
            Worker::spawn("model", start, failed).map_err(|error| ModelError::Request {
                what: "the model's thread".into(),
                reason: format!("could not be started: {error}."),
            })?;
        Ok(Self { worker, events, next_request: AtomicU64::new(0) })
    }

    /// Asks a question and cancels the running one. Returns the request number that its events have.
    pub fn ask(&self, ask: AskRequest) -> u64 {
        let request = self.next_request.fetch_add(1, Ordering::Relaxed);
        self.worker.submit(Job::Ask { request, ask: Box::new(ask) });
        request
    }

    /// Runs a task with the loaded model and cancels running work. Returns the token that cancels the task.
    pub fn run(&self, task: EngineTask) -> CancelToken {
        let request = self.next_request.fetch_add(1, Ordering::Relaxed);
        self.worker.submit(Job::Task { request, task })
    }

    /// Cancels the running question.
    pub fn cancel(&self) {
        self.worker.cancel();
    }

    /// Whether a question is running or waiting.
    pub fn is_busy(&self) -> bool {
        self.worker.is_busy()
    }

    /// The channel of events, in order. Read it often: a full channel makes the model wait.
    pub fn events(&self) -> &Receiver<ModelEvent> {
        &self.events
    }
}

fn handle(
    job: Job,
    loaded: &mut Loaded,
    options: &LoadOptions,
    cancel: &CancelToken,
    sender: &Sender<ModelEvent>,
) {
    let _reuse = ReuseFreedMemory::start();
    match job {
        Job::Task { request, task } => {
            task(load(loaded, options, request, cancel, sender), cancel);
        }
        Job::Ask { request, ask } => {
            if let Err(error) = answer(loaded, options, (request, &ask), cancel, sender) {
                tell_failure(sender, request, error);
            }
        }
    }
}

fn tell_failure(sender: &Sender<ModelEvent>, request: u64, error: ModelError) {
    // If the receiver is gone, nobody needs the error.
    let _ = sender.send_timeout(ModelEvent::Failed { request, error }, Duration::from_secs(1));
}

/// Options of the model, and the machine that has it.
type LoadOptions = (EngineOptions, Option<RemoteOptions>);

/// The model, and whether its [`ModelEvent::Loaded`] was delivered: the question that loaded the model may have been
/// cancelled meanwhile.
struct Loaded {
    engine: Option<Engine>,
    announced: bool,
}

/// The model; it is loaded if it was not yet.
fn load<'a>(
    loaded: &'a mut Loaded,
    options: &LoadOptions,
    request: u64,
    cancel: &CancelToken,
    sender: &Sender<ModelEvent>,
) -> Result<&'a mut Engine> {
    let engine = match loaded.engine.take() {
        Some(engine) => engine,
        None => {
            let mut tell = |progress: Progress| {
                let event = AskEvent::Progress(progress);
                send(sender, ModelEvent::Ask { request, event }, cancel);
            };
            match options {
                (options, None) => Engine::load(options, &mut tell)?,
                (options, Some(remote)) => Engine::connect(remote, options, cancel, &mut tell)?,
            }
        }
    };
    let engine = loaded.engine.insert(engine);
    if !loaded.announced {
        let (info, bundle) = (Box::new(engine.info()), engine.bundle(cancel).ok());
        loaded.announced = send(sender, ModelEvent::Loaded { info, bundle }, cancel);
    }
    Ok(engine)
}

fn answer(
    loaded: &mut Loaded,
    options: &LoadOptions,
    (request, ask): (u64, &AskRequest),
    cancel: &CancelToken,
    sender: &Sender<ModelEvent>,
) -> Result<()> {
    let engine = load(loaded, options, request, cancel, sender)?;
    let mut tell = |event: AskEvent| {
        send(sender, ModelEvent::Ask { request, event }, cancel);
    };
    let trace = engine.ask(ask, cancel, &mut tell)?;
    send(sender, ModelEvent::Done { request, trace: Arc::new(trace) }, cancel);
    Ok(())
}

/// Waits for space in the channel until the event is sent or the request is cancelled. Returns whether the event was
/// sent.
fn send(sender: &Sender<ModelEvent>, mut event: ModelEvent, cancel: &CancelToken) -> bool {
    while !cancel.is_cancelled() {
        match sender.send_timeout(event, SEND_PATIENCE) {
            Ok(()) => return true,
            Err(SendTimeoutError::Timeout(back)) => event = back,
            Err(SendTimeoutError::Disconnected(_)) => {
                cancel.cancel();
                return false;
            }
        }
    }
    false
}
