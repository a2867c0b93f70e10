//! Long work that is no question: a method over a trace, an intervention, a film.
//!
//! A task runs on a thread of its own ([`Tasks::start`]) or on the model's
//! ([`Tasks::start_on_model`]). What it has found comes back as a [`TaskResult`]; whatever it is, it
//! has a line with its progress and a cancel.

use super::error_text::error_text;
use super::model_feed::{Feed, Wake};
use super::task_result::TaskResult;
use crate::job::{self, CancelToken};
use crate::model::{Engine, ModelError};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

enum Message {
    Progress(Option<f32>, Option<String>),
    Show(TaskResult),
    /// Done, failed with a sentence, or given up.
    Ended(Result<TaskResult, Option<String>>),
}

/// News about a task.
#[derive(Debug)]
pub enum TaskNews {
    /// It has found something, at its end or before.
    Found(TaskResult),
    /// It failed, in a sentence.
    Failed(String),
    /// It was given up, in a sentence.
    Stopped(String),
}

/// A task that runs.
pub struct Task {
    /// Its identity.
    pub id: u64,
    /// Name of the task, as the user asked for it.
    pub title: String,
    /// Text for the present step; empty without one.
    pub line: String,
    /// Share of the work that is done, 0–1; `None` if it is not known.
    pub share: Option<f32>,
    cancel: CancelToken,
    on_model: bool,
    /// The gerund of a task that writes a file of the user ("recording"). No key stops such a task,
    /// and closing the window asks first.
    pub writes: Option<&'static str>,
    /// Whether it hands back what it has when it is stopped.
    keeps: bool,
}

/// The tasks that run.
pub struct Tasks {
    running: Vec<Task>,
    /// Stopped tasks that hand back what they have.
    stopping: Vec<u64>,
    sender: Sender<(u64, Message)>,
    messages: Receiver<(u64, Message)>,
    wake: Wake,
    next: u64,
    threads: Vec<JoinHandle<()>>,
}

/// The channel by which a task reports. Dropping it before it has reported an end means that the task was
/// given up, or that it panicked.
pub struct Reporter {
    id: u64,
    sender: Sender<(u64, Message)>,
    wake: Wake,
    ended: bool,
}

impl Reporter {
    fn send(&self, message: Message) {
        // If the window is closed, no receiver is left and the message is dropped.
        let _ = self.sender.send((self.id, message));
        (self.wake)();
    }

    /// `done` of `total` steps.
    pub fn progress(&self, done: usize, total: usize) {
        let share = (total > 0).then(|| done as f32 / total as f32);
        self.send(Message::Progress(share, None));
    }

    /// Sets the text for the present step.
    pub fn say(&self, line: impl Into<String>) {
        self.send(Message::Progress(None, Some(line.into())));
    }

    /// Shows an intermediate result.
    pub fn show(&self, found: TaskResult) {
        self.send(Message::Show(found));
    }

    fn end(mut self, result: anyhow::Result<TaskResult>, cancel: &CancelToken) {
        self.ended = true;
        let result = result.map_err(|error| (!cancel.is_cancelled()).then(|| error_text(&error)));
        self.send(Message::Ended(result));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.ended {
            let fault = job::unwinding().map(|panicked| panicked.to_string());
            self.send(Message::Ended(Err(fault)));
        }
    }
}

impl Tasks {
    /// None yet.
    pub fn new(wake: Wake) -> Self {
        let (sender, messages) = unbounded();
        Self {
            running: Vec::new(),
            stopping: Vec::new(),
            sender,
            messages,
            wake,
            next: 0,
            threads: Vec::new(),
        }
    }

    /// The running tasks, the oldest first.
    pub fn running(&self) -> &[Task] {
        &self.running
    }

    /// Progress of loading the model.
    pub(super) fn model_progress(&mut self, line: &str, done: u32, total: u32) {
        if let Some(task) = self.running.iter_mut().find(|task| task.on_model) {
            task.line = line.to_owned();
            task.share = (total > 0).then(|| done as f32 / total as f32);
        }
    }

    /// Stops a task: from now on none of its messages reaches the window, except the result of a task that keeps what it
    /// has.
    pub fn cancel(&mut self, id: u64) {
        if let Some(at) = self.running.iter().position(|task| task.id == id) {
            let task = self.running.remove(at);
            task.cancel.cancel();
            if task.keeps {
                self.stopping.push(id);
            }
        }
    }

    /// Marks a task that hands back what it has when it is stopped.
    pub fn mark_keeping(&mut self, id: u64) {
        if let Some(task) = self.running.iter_mut().find(|task| task.id == id) {
            task.keeps = true;
        }
    }

    /// Stops the newest task that a key may stop; false where none runs.
    pub fn cancel_newest(&mut self) -> bool {
        let newest = self.running.iter().rfind(|task| task.writes.is_none()).map(|task| task.id);
        newest.inspect(|&id| self.cancel(id)).is_some()
    }

    /// Stops everything and waits, at most for `patience`, so that no file is left half written.
    pub fn end(&mut self, patience: Duration) {
        for task in std::mem::take(&mut self.running) {
            task.cancel.cancel();
        }
        let end = Instant::now() + patience;
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `work` on a thread of its own; returns its identity.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn start(
        &mut self,
        title: &str,
        work: impl FnOnce(&Reporter, &CancelToken) -> anyhow::Result<TaskResult> + Send + 'static,
    ) -> std::io::Result<u64> {
        let reporter = self.reporter();
        let (id, cancel) = (reporter.id, CancelToken::new());
        let token = cancel.clone();
        let run = move || {
            let result = job::guard(|| work(&reporter, &token)).map_err(anyhow::Error::from);
            reporter.end(result.flatten(), &token);
        };
        let thread = std::thread::Builder::new().name("task".into()).spawn(run)?;
        self.threads.retain(|thread| !thread.is_finished());
        self.threads.push(thread);
        self.add(title, id, cancel, false);
        Ok(id)
    }

    /// Runs `work` with the loaded model, on the model's thread; returns its identity. A question
    /// that is asked meanwhile ends it.
    pub fn start_on_model(
        &mut self,
        feed: &Feed,
        title: &str,
        work: impl FnOnce(&mut Engine, &Reporter, &CancelToken) -> anyhow::Result<TaskResult>
        + Send
        + 'static,
    ) -> u64 {
        let reporter = self.reporter();
        let id = reporter.id;
        let cancel = feed.run(Box::new(move |engine: Result<&mut Engine, ModelError>, cancel| {
            let result = engine
                .map_err(anyhow::Error::from)
                .and_then(|engine| work(engine, &reporter, cancel));
            reporter.end(result, cancel);
        }));
        self.add(title, id, cancel, true);
        id
    }

    /// Marks a task that writes a file of the user; `gerund` names it in questions ("recording").
    pub fn mark_writing(&mut self, id: u64, gerund: &'static str) {
        if let Some(task) = self.running.iter_mut().find(|task| task.id == id) {
            task.writes = Some(gerund);
        }
    }

    /// The next news of a task. One at a time, because acting on it may stop other tasks, whose messages are then
    /// dropped.
    pub fn next_news(&mut self) -> Option<TaskNews> {
        loop {
            let (id, message) = self.messages.try_recv().ok()?;
            if let Some(news) = self.read(id, message) {
                return Some(news);
            }
        }
    }

    fn read(&mut self, id: u64, message: Message) -> Option<TaskNews> {
        if let Some(at) = self.stopping.iter().position(|&stopping| stopping == id) {
            let Message::Ended(result) = message else { return None };
            self.stopping.swap_remove(at);
            return result.ok().map(TaskNews::Found);
        }
        // A cancelled task may still send messages.
        let at = self.running.iter().position(|task| task.id == id)?;
        match message {
            Message::Progress(share, line) => {
                let task = self.running.get_mut(at)?;
                task.share = share.or(task.share);
                task.line = line.unwrap_or_else(|| std::mem::take(&mut task.line));
                None
            }
            Message::Show(found) => Some(TaskNews::Found(found)),
            Message::Ended(result) => {
                let task = self.running.remove(at);
                Some(match result {
                    Ok(found) => TaskNews::Found(found),
                    Err(Some(text)) => TaskNews::Failed(format!("{}: {text}", task.title)),
                    Err(None) => TaskNews::Stopped(format!("{} was stopped.", task.title)),
                })
            }
        }
    }

    fn reporter(&mut self) -> Reporter {
        self.next += 1;
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        Reporter { id: self.next, sender, wake, ended: false }
    }

    fn add(&mut self, title: &str, id: u64, cancel: CancelToken, on_model: bool) {
        let (title, line) = (title.to_owned(), String::new());
        let (share, writes, keeps) = (None, None, false);
        self.running.push(Task { id, title, line, share, cancel, on_model, writes, keeps });
    }
}
