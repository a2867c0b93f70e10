//! Long work that is no question: a method over a trace, an intervention, a film.
//!
//! A task is a closure on a thread of its own ([`start`]) or on the model's ([`start_on_model`]).
//! What it has found comes back as a change of the [`App`], made between two frames: so a new kind
//! of work needs no new message, and whatever it is, it has a line with its progress and a cancel.

use super::app::App;
use super::model_feed::Wake;
use crate::job::CancelToken;
use crate::model::{Engine, ModelError};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a task does to the window when it is done.
pub type Outcome = Box<dyn FnOnce(&mut App) + Send>;

enum Message {
    Progress(Option<f32>, Option<String>),
    Show(Outcome),
    /// Done, failed with a sentence, or given up.
    Ended(Result<Outcome, Option<String>>),
}

/// A task that runs.
pub struct Task {
    /// Its identity.
    pub id: u64,
    /// What is done, as the user asked for it.
    pub title: String,
    /// What is done just now; empty where there is nothing to say.
    pub line: String,
    /// How far it is, 0–1.
    pub share: Option<f32>,
    cancel: CancelToken,
    on_model: bool,
    /// It is stopped by its own button alone.
    pub is_kept: bool,
}

/// The tasks that run.
pub struct Tasks {
    running: Vec<Task>,
    sender: Sender<(u64, Message)>,
    messages: Receiver<(u64, Message)>,
    wake: Wake,
    next: u64,
    threads: Vec<JoinHandle<()>>,
}

/// An error with its causes, less those that it has named already.
pub fn error_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{}: {cause}", text.trim_end_matches('.'));
        }
    }
    text
}

/// How a task tells what it is doing. Dropping it without an end means that it was given up.
pub struct Reporter {
    id: u64,
    sender: Sender<(u64, Message)>,
    wake: Wake,
    ended: bool,
}

impl Reporter {
    fn send(&self, message: Message) {
        // A window that is gone needs no news.
        let _ = self.sender.send((self.id, message));
        (self.wake)();
    }

    /// `done` of `total` steps.
    pub fn progress(&self, done: usize, total: usize) {
        let share = (total > 0).then(|| done as f32 / total as f32);
        self.send(Message::Progress(share, None));
    }

    /// What is being done just now.
    pub fn say(&self, line: impl Into<String>) {
        self.send(Message::Progress(None, Some(line.into())));
    }

    /// Shows what was found so far.
    pub fn show(&self, change: impl FnOnce(&mut App) + Send + 'static) {
        self.send(Message::Show(Box::new(change)));
    }

    fn end(mut self, result: anyhow::Result<Outcome>, cancel: &CancelToken) {
        self.ended = true;
        let result = result.map_err(|error| (!cancel.is_cancelled()).then(|| error_text(&error)));
        self.send(Message::Ended(result));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.ended {
            self.send(Message::Ended(Err(None)));
        }
    }
}

impl Tasks {
    /// None yet.
    pub fn new(wake: Wake) -> Self {
        let (sender, messages) = unbounded();
        Self { running: Vec::new(), sender, messages, wake, next: 0, threads: Vec::new() }
    }

    /// What runs, the oldest first.
    pub fn running(&self) -> &[Task] {
        &self.running
    }

    /// The model tells how far it is with being loaded.
    pub(super) fn model_progress(&mut self, line: &str, done: u32, total: u32) {
        if let Some(task) = self.running.iter_mut().find(|task| task.on_model) {
            task.line = line.to_owned();
            task.share = (total > 0).then(|| done as f32 / total as f32);
        }
    }

    /// Stops a task at once: nothing of it reaches the window any more.
    pub fn cancel(&mut self, id: u64) {
        if let Some(at) = self.running.iter().position(|task| task.id == id) {
            self.running.remove(at).cancel.cancel();
        }
    }

    /// Stops the newest task that a key may stop; false where none runs.
    pub fn cancel_newest(&mut self) -> bool {
        let newest = self.running.iter().rfind(|task| !task.is_kept).map(|task| task.id);
        newest.inspect(|&id| self.cancel(id)).is_some()
    }

    /// Stops everything and waits for it, so that no half of a file is left; not for ever.
    pub fn end(&mut self, patience: Duration) {
        for task in std::mem::take(&mut self.running) {
            task.cancel.cancel();
        }
        let end = Instant::now() + patience;
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn reporter(&mut self) -> Reporter {
        self.next += 1;
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        Reporter { id: self.next, sender, wake, ended: false }
    }

    fn add(&mut self, title: &str, id: u64, cancel: CancelToken, on_model: bool) {
        let (title, line) = (title.to_owned(), String::new());
        self.running.push(Task { id, title, line, share: None, cancel, on_model, is_kept: false });
    }
}

/// Runs `work` on a thread of its own.
pub fn start(
    app: &mut App,
    title: &str,
    work: impl FnOnce(&Reporter, &CancelToken) -> anyhow::Result<Outcome> + Send + 'static,
) {
    let reporter = app.tasks.reporter();
    let (id, cancel) = (reporter.id, CancelToken::new());
    let token = cancel.clone();
    let run = move || {
        let result = work(&reporter, &token);
        reporter.end(result, &token);
    };
    match std::thread::Builder::new().name("task".into()).spawn(run) {
        Ok(thread) => {
            app.tasks.threads.retain(|thread| !thread.is_finished());
            app.tasks.threads.push(thread);
            app.tasks.add(title, id, cancel, false);
        }
        Err(error) => app.notify(format!("{title}: no thread could be started: {error}."), true),
    }
}

/// The same for what took long and would be missed: no key stops it by the way.
pub fn start_kept(
    app: &mut App,
    title: &str,
    work: impl FnOnce(&Reporter, &CancelToken) -> anyhow::Result<Outcome> + Send + 'static,
) {
    start(app, title, work);
    if let Some(task) = app.tasks.running.last_mut() {
        task.is_kept = true;
    }
}

/// Runs `work` with the loaded model, on the model's thread. A question that is asked meanwhile
/// ends it; while a question is being answered it is refused.
pub fn start_on_model(
    app: &mut App,
    title: &str,
    work: impl FnOnce(&mut Engine, &Reporter, &CancelToken) -> anyhow::Result<Outcome> + Send + 'static,
) {
    if app.chat.asking.is_some() {
        app.notify(format!("{title}: wait for the answer, or stop it (Esc)."), false);
        return;
    }
    let Some(feed) = &app.chat.feed else {
        app.notify(format!("{title} needs a model: open its folder (Ctrl+M)."), true);
        return;
    };
    let reporter = app.tasks.reporter();
    let id = reporter.id;
    let cancel = feed.run(Box::new(move |engine: Result<&mut Engine, ModelError>, cancel| {
        let result =
            engine.map_err(anyhow::Error::from).and_then(|engine| work(engine, &reporter, cancel));
        reporter.end(result, cancel);
    }));
    app.tasks.add(title, id, cancel, true);
}

/// Reads what tasks told since the last frame.
pub fn read_news(app: &mut App) {
    let messages: Vec<(u64, Message)> = app.tasks.messages.try_iter().collect();
    for (id, message) in messages {
        // What was cancelled may still speak.
        let Some(at) = app.tasks.running.iter().position(|task| task.id == id) else { continue };
        match message {
            Message::Progress(share, line) => {
                let task = &mut app.tasks.running[at];
                task.share = share.or(task.share);
                task.line = line.unwrap_or_else(|| std::mem::take(&mut task.line));
            }
            Message::Show(change) => change(app),
            Message::Ended(result) => {
                let task = app.tasks.running.remove(at);
                match result {
                    Ok(change) => change(app),
                    Err(Some(text)) => app.notify(format!("{}: {text}", task.title), true),
                    Err(None) => app.notify(format!("{} was stopped.", task.title), false),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_named_once() {
        let inner = std::io::Error::other("no room");
        let named = anyhow::Error::from(inner).context("cannot write a: no room. Make room.");
        assert_eq!(error_text(&named), "cannot write a: no room. Make room.");
        let other = anyhow::anyhow!("no room").context("cannot write a");
        assert_eq!(error_text(&other), "cannot write a: no room");
    }
}
