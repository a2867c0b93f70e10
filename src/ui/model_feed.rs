//! From the model's events to traces that can be shown while they grow.
//!
//! A thread of its own puts pages and tokens together, so that the window only swaps one finished
//! `Arc<Trace>` for the next. The newest one wins: a window that draws slowly skips tokens, and the
//! model never waits for it.

use crate::job::CancelToken;
use crate::model::{
    Address, AskEvent, AskNotice, AskRequest, Bundle, Device, EngineInfo, EngineOptions,
    EngineTask, ModelError, ModelEvent, ModelWorker, Page, Progress, RemoteOptions, Stage,
    TokenEvent,
};
use crate::trace::{Trace, TraceBuilder};
use crossbeam_channel::{Receiver, Sender, select, unbounded};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Wakes the window.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// News from the model's thread.
#[derive(Debug)]
pub enum News {
    /// The model was loaded; with its vocabulary, to name tokens that stand in no trace.
    Loaded(Box<EngineInfo>, Option<Arc<Bundle>>),
    /// Progress of the request.
    Progress(Progress),
    /// Something the user should know.
    Notice(AskNotice),
    /// The answer has one more token.
    Growing(Arc<Trace>),
    /// The answer is complete.
    Done(Arc<Trace>),
    /// The request failed, or was cancelled.
    Failed(ModelError),
}

/// A model on its own thread, and a thread that reads its events.
pub struct Feed {
    /// `None` where a recorded answer is played.
    worker: Option<ModelWorker>,
    news: Arc<Mutex<Vec<(u64, News)>>>,
    stop: Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// The other machine that has the model.
    host: Option<String>,
    /// The maps on the stage, for a model on another machine.
    stage: Option<Arc<Stage>>,
    /// Attention that was waited for has arrived from another machine.
    has_arrived: Arc<AtomicBool>,
    /// The model's bundle; on another machine, its folder there.
    pub bundle: PathBuf,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

impl Feed {
    /// Starts both threads.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn start(bundle: PathBuf, remote: Option<Address>, wake: Wake) -> Result<Self, ModelError> {
        let options = EngineOptions {
            bundle: bundle.clone(),
            runtime: None,
            device: Device::Auto,
            threads: None,
        };
        let has_arrived = Arc::new(AtomicBool::new(false));
        let stage = remote.as_ref().map(|_| {
            let (wake, has_arrived) = (Arc::clone(&wake), Arc::clone(&has_arrived));
            Arc::new(Stage::new(Box::new(move || {
                has_arrived.store(true, Ordering::SeqCst);
                wake();
            })))
        });
        let host = remote.as_ref().map(|address| address.host().to_owned());
        let remote = remote.map(|address| RemoteOptions { address, stage: stage.clone() });
        let worker = ModelWorker::spawn(options, remote)?;
        let events = worker.events().clone();
        let mut feed = Self::reading(bundle, Some(worker), events, wake)?;
        (feed.host, feed.stage, feed.has_arrived) = (host, stage, has_arrived);
        Ok(feed)
    }

    /// Tells another machine what the stage reads of its attention: layer × H + head of each map, of H heads.
    pub fn show(&self, maps: &[usize], heads: usize) {
        if let Some(stage) = &self.stage {
            let place = |&map: &usize| [(map / heads.max(1)) as u32, (map % heads.max(1)) as u32];
            stage.show(Some(maps.iter().map(place).collect()));
        }
    }

    /// The other machine that has the model; `None`: this one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether the model is on another machine.
    pub const fn is_remote(&self) -> bool {
        self.stage.is_some()
    }

    /// Whether attention that was waited for has arrived since the last call.
    pub fn take_arrived(&self) -> bool {
        self.has_arrived.swap(false, Ordering::SeqCst)
    }

    /// A recorded answer, event by event, as if a model gave it.
    ///
    /// # Errors
    /// As [`Self::start`].
    #[cfg(feature = "testing")]
    pub fn recorded(
        bundle: PathBuf,
        events: Receiver<ModelEvent>,
        wake: Wake,
    ) -> Result<Self, ModelError> {
        Self::reading(bundle, None, events, wake)
    }

    fn reading(
        bundle: PathBuf,
        worker: Option<ModelWorker>,
        events: Receiver<ModelEvent>,
        wake: Wake,
    ) -> Result<Self, ModelError> {
        let news = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = unbounded();
        let mut reader =
            Reader { news: Arc::clone(&news), wake, building: None, text: String::new() };
        let thread = std::thread::Builder::new()
            .name("answers".into())
            .spawn(move || reader.run(&events, &stopped))
            .map_err(|error| ModelError::Request {
                what: "the thread that reads answers".into(),
                reason: format!("could not be started: {error}."),
            })?;
        let (host, stage, has_arrived) = (None, None, Arc::default());
        Ok(Self { worker, news, stop, thread: Some(thread), host, stage, has_arrived, bundle })
    }

    /// Sends a question and cancels the one before. Returns the request's number.
    pub fn ask(&self, request: AskRequest) -> u64 {
        self.worker.as_ref().map_or(0, |worker| worker.ask(request))
    }

    /// Runs a task with the model and cancels the running one. Returns the token that cancels the task.
    pub fn run(&self, task: EngineTask) -> CancelToken {
        self.worker.as_ref().map_or_else(CancelToken::new, |worker| worker.run(task))
    }

    /// Cancels the running request.
    pub fn cancel(&self) {
        if let Some(worker) = &self.worker {
            worker.cancel();
        }
    }

    /// News since the last call, each with the number of its request.
    pub fn take(&self) -> Vec<(u64, News)> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.cancel();
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            // A panic of the reader was already printed by that thread.
            let _ = thread.join();
        }
    }
}

struct Reader {
    news: Arc<Mutex<Vec<(u64, News)>>>,
    wake: Wake,
    building: Option<(u64, TraceBuilder)>,
    /// The answer so far.
    text: String,
}

impl Reader {
    fn run(&mut self, events: &Receiver<ModelEvent>, stopped: &Receiver<()>) {
        loop {
            select! {
                recv(events) -> event => match event {
                    Ok(event) => self.read(event),
                    Err(_) => return,
                },
                recv(stopped) -> _ => return,
            }
        }
    }

    fn read(&mut self, event: ModelEvent) {
        match event {
            ModelEvent::Loaded { info, bundle } => self.tell(0, News::Loaded(info, bundle)),
            ModelEvent::Ask { request, event } => self.read_answer(request, event),
            ModelEvent::Done { request, trace } => {
                self.building = None;
                self.tell(request, News::Done(trace));
            }
            ModelEvent::Failed { request, error } => {
                self.building = None;
                self.tell(request, News::Failed(error));
            }
        }
    }

    fn read_answer(&mut self, request: u64, event: AskEvent) {
        match event {
            AskEvent::Progress(progress) => self.tell(request, News::Progress(progress)),
            AskEvent::Notice(notice) => self.tell(request, News::Notice(notice)),
            AskEvent::Prompt(builder) => self.building = Some((request, *builder)),
            AskEvent::Token(token) => {
                let TokenEvent { token, text, page, .. } = *token;
                let Some((of, builder)) = &mut self.building else { return };
                let Some(page) = page.filter(|_| *of == request) else { return };
                builder.push_token(token);
                self.text = text;
                self.grow(request, page);
            }
            AskEvent::Page(page) => {
                if self.building.as_ref().is_some_and(|(of, _)| *of == request) {
                    self.grow(request, *page);
                }
            }
        }
    }

    /// Adds a page to the answer and shows the answer so far.
    fn grow(&mut self, request: u64, page: Page) {
        let Some((_, builder)) = &mut self.building else { return };
        let Page { query, keys, weights, stats, there } = page;
        // The finished trace reports a page that does not fit; the preview skips it.
        let grown = builder
            .push_part_of_page(query, keys, weights, stats, there)
            .and_then(|()| builder.snapshot(&self.text));
        if let Ok(trace) = grown {
            self.tell(request, News::Growing(Arc::new(trace)));
        }
    }

    fn tell(&self, request: u64, news: News) {
        let mut waiting = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(news, News::Growing(_)) {
            waiting.retain(|(of, old)| *of != request || !matches!(old, News::Growing(_)));
        }
        if matches!(news, News::Progress(_)) {
            waiting.retain(|(of, old)| *of != request || !matches!(old, News::Progress(_)));
        }
        waiting.push((request, news));
        drop(waiting);
        (self.wake)();
    }
}
