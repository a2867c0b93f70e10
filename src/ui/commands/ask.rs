//! The chat: ask, stop, ask again, score, another model.

use super::dialogs;
use super::tasks::{is_for_python, start_on_model};
use crate::model::{AskOptions, Picture, Turn};
use crate::trace::{ModelInfo, Trace};
use crate::ui::app::App;
use crate::ui::chat::{turns_of, whole_picture_hint};
use crate::ui::data_set::SampleId;
use crate::ui::dialogs::{Dialog, Want};
use crate::ui::document::{Document, DocumentId};
use crate::ui::intent::Intent;
use crate::ui::layout::Overlay;
use crate::ui::model_feed::News;
use crate::ui::python_line::{follow_up_messages, quoted};
use crate::ui::task_result::{PathPurpose, TaskResult};
use crate::view::{Reads, ViewState};
use std::path::PathBuf;
use std::sync::Arc;

/// Moves the keyboard to the question.
pub fn focus_question(app: &mut App) {
    app.show_chat();
    app.chat.focus_question = true;
}

/// A conversation without the turns before.
pub fn new_conversation(app: &mut App) {
    app.chat.follow_up = false;
    app.chat.question.clear();
    app.chat.focus_question = true;
}

/// Asks for the folder of a model.
pub fn open_model(app: &mut App) {
    let title = "Open a model folder (with manifest.json)";
    let dialog = Dialog { title, want: Want::Folder, filters: &[] };
    dialogs::ask(app, dialog, PathPurpose::UseBundle);
}

/// Uses the built-in model.
pub fn use_built_in_model(app: &mut App) {
    match crate::model::builtin::bundle_folder() {
        Ok(bundle) => app.intents.send(Intent::UseBundle(bundle)),
        Err(error) => app.notify(error.to_string(), true),
    }
}

/// Shows the question before or after the one that is shown.
pub fn step(app: &mut App, by: isize) {
    let ids: Vec<DocumentId> = app.docs.iter().map(|doc| doc.id).collect();
    let at = ids.iter().position(|&id| Some(id) == app.current);
    let next = at.and_then(|at| at.checked_add_signed(by)).and_then(|at| ids.get(at));
    if let Some(&id) = next {
        app.show_document(id);
    }
}

fn options(app: &App) -> AskOptions {
    AskOptions {
        sampling: app.settings.sampling,
        preprocess: app.settings.preprocess,
        ..AskOptions::default()
    }
}

/// Earlier turns, and the model whose answers they hold.
#[derive(Default)]
struct Conversation {
    turns: Vec<Turn>,
    /// `None` where the turns are of a data set, or there are none.
    of: Option<ModelInfo>,
}

/// Asks about the picture; `seed` replaces the setting's.
pub fn ask(app: &mut App, question: String, seed: Option<u64>) {
    let Some(doc) = app.doc().filter(|_| app.chat.follow_up) else {
        return ask_after(app, question, Conversation::default(), seed);
    };
    let earlier = app.turns.get(&doc.id).map_or(&[][..], Vec::as_slice);
    let turns = turns_of(&doc.trace, earlier);
    let trace = Arc::clone(&doc.trace);
    let meta = trace.meta();
    let messages = ("messages", follow_up_messages(meta, question.trim()));
    if !question.trim().is_empty()
        && is_for_python(app, "A follow-up question to this answer", meta, Some(&[messages]))
    {
        return;
    }
    ask_after(app, question, Conversation { turns, of: Some(meta.model.clone()) }, seed);
}

/// The turns before an answer, which are those of its model.
fn before(app: &App, doc: &Document) -> Conversation {
    let turns = app.turns.get(&doc.id).cloned().unwrap_or_default();
    let of = (!turns.is_empty()).then(|| doc.meta().model.clone());
    Conversation { turns, of }
}

/// Why the model `open` cannot go on with a conversation of the model `of`; `None` if it can.
fn refusal(of: &ModelInfo, open: &ModelInfo) -> Option<String> {
    (of.bundle_sha != open.bundle_sha).then(|| {
        let name = if of.name == open.name {
            format!("another export of {}", of.name)
        } else {
            of.name.clone()
        };
        format!(
            "The conversation is one with {name}, but {} is open, which would take the answers in it for its own. \
             Open the model of the conversation (Ctrl+M), or ask without follow-up.",
            open.name
        )
    })
}

/// Asks the question of a sample of a table again, after its own turns.
pub fn ask_sample(app: &mut App, question: String, turns: Vec<Turn>, sample: SampleId) {
    ask_after(app, question, Conversation { turns, of: None }, None);
    if let Some(asking) = &mut app.chat.asking {
        asking.sample = Some(sample);
    }
}

fn ask_after(app: &mut App, question: String, after: Conversation, seed: Option<u64>) {
    let question = question.trim().to_owned();
    if question.is_empty() {
        return;
    }
    if app.chat.picture.is_none() {
        app.chat.error =
            Some("There is no picture to ask about. Open one (Ctrl+O), drop it on the window, or paste it.".into());
        return;
    }
    let mut options = options(app);
    if let Some(seed) = seed {
        options.sampling.seed = seed;
    }
    app.transport.stop();
    send(app, question, after, options);
}

/// Sends a question to the model, unless the conversation before it is one with another model.
fn send(app: &mut App, question: String, after: Conversation, options: AskOptions) {
    let Conversation { turns, of } = after;
    let refused = of.as_ref().zip(app.chat.model.as_ref());
    if let Some(reason) = refused.and_then(|(of, open)| refusal(of, open)) {
        return refuse(app, reason);
    }
    drop_unfinished(app);
    app.chat.ask(question, turns, options);
    if let Some(asking) = &mut app.chat.asking {
        asking.conversation_of = of;
    }
}

/// Says in the chat, or in a message where the chat is not seen, why a question is not asked.
fn refuse(app: &mut App, reason: String) {
    if !chat_is_seen(app) {
        app.notify(reason.clone(), true);
    }
    app.chat.error = Some(reason);
}

/// A sampled answer again with the next seed; a greedy one comes out the same.
pub fn regenerate(app: &mut App) {
    let Some(doc) = app.doc() else { return };
    let question = doc.meta().question.clone();
    let after = before(app, doc);
    let trace = Arc::clone(&doc.trace);
    let next = [("seed", trace.meta().sampling.seed.wrapping_add(1).to_string())];
    if is_for_python(app, "Another answer", trace.meta(), Some(&next)) {
        return;
    }
    let sampling = app.settings.sampling;
    app.settings.sampling.seed =
        if sampling.is_greedy() { sampling.seed } else { sampling.seed.wrapping_add(1) };
    let options = options(app);
    send(app, question, after, options);
}

/// Scores another answer to the question that is shown.
pub fn score(app: &mut App, answer: String) {
    let answer = answer.trim().to_owned();
    let Some(doc) = app.doc().filter(|_| !answer.is_empty()) else { return };
    let question = doc.meta().question.clone();
    let after = before(app, doc);
    let trace = Arc::clone(&doc.trace);
    let given = [("answer", quoted(&answer))];
    if is_for_python(app, "Scoring an answer", trace.meta(), Some(&given)) {
        return;
    }
    let options = AskOptions { answer: Some(answer), ..options(app) };
    send(app, question, after, options);
}

/// A new question replaces the one that runs; what it has so far stays in the history.
fn drop_unfinished(app: &mut App) {
    if app.chat.asking.is_some() {
        stop(app);
    }
}

/// Stops at once. The tokens that came stay as a document.
pub fn stop(app: &mut App) {
    let Some(asking) = app.chat.stop() else { return };
    if let Some(doc) = asking.document.and_then(|id| app.docs.get_mut(id)) {
        doc.live = false;
        doc.follow = false;
    }
}

/// Uses a model, and asks it the question that is shown.
pub fn use_bundle(app: &mut App, bundle: PathBuf) {
    stop(app);
    if let Err(error) = app.chat.use_bundle(bundle.clone()) {
        app.notify(error.to_string(), true);
        return;
    }
    let is_builtin = crate::model::builtin::bundle_folder().is_ok_and(|builtin| builtin == bundle);
    app.settings.bundle = (!is_builtin).then(|| bundle.clone());
    if !is_builtin {
        app.settings.remember_bundle(&bundle);
    }
    let shown = app.doc().map(|doc| doc.meta().question.clone());
    match shown.filter(|_| app.chat.picture.is_some()) {
        Some(question) => {
            app.chat.follow_up = false;
            ask(app, question, None);
        }
        None => load_model(app),
    }
}

/// Loads the model while there is nothing else to do.
pub fn load_model(app: &mut App) {
    let idle = app.chat.asking.is_none() && app.tasks.running().is_empty();
    if app.chat.model.is_some() || app.chat.feed.is_none() || !idle {
        return;
    }
    start_on_model(app, "Loading the model", |_, _, _| Ok(TaskResult::Nothing));
}

/// Makes the small pictures of the samples; once.
pub fn draw_samples(app: &mut App) {
    if !std::mem::replace(&mut app.drawing_samples, true) {
        app.exports.draw_samples();
    }
}

/// Opens a built-in picture. The built-in model is asked its first question at once; a large one of
/// the user's waits.
pub fn use_sample(app: &mut App, index: usize) {
    let Some((_, sample)) = app.samples.as_ref().and_then(|samples| samples.get(index)) else {
        return;
    };
    let picture = Picture { name: sample.file.clone(), bytes: sample.bytes.clone().into() };
    let questions = sample.questions.clone();
    stop(app);
    app.exports.preview(picture.clone());
    app.chat.set_picture(Some(picture));
    app.chat.follow_up = false;
    app.chat.question = questions.first().cloned().unwrap_or_default();
    match questions.into_iter().next().filter(|_| app.settings.bundle.is_none()) {
        Some(question) => ask(app, question, None),
        None => app.current = None,
    }
}

/// Reads what the model said since the last frame.
pub fn read_news(app: &mut App) {
    let Some(feed) = &app.chat.feed else { return };
    let (all, has_arrived) = (feed.take(), feed.take_arrived());
    for (request, news) in all {
        read(app, request, news);
    }
    if has_arrived {
        take_arrived(app);
    }
}

/// Attention of finished answers has arrived from another machine: their numbers are computed anew.
fn take_arrived(app: &mut App) {
    let ids: Vec<DocumentId> = app.docs.iter().map(|doc| doc.id).collect();
    let mut lost = Vec::new();
    for id in ids {
        if let Some(doc) = app.docs.get_mut(id).filter(|doc| doc.is_incomplete && !doc.live) {
            doc.replace(Arc::new(doc.trace.refreshed()), false);
            if let Err(error) = doc.trace.check()
                && !std::mem::replace(&mut doc.is_told_lost, true)
            {
                lost.push(error.to_string());
            }
        }
    }
    for text in lost {
        app.notify(format!("{text} The rows that have arrived can be saved."), true);
    }
}

/// Tells a model on another machine what the stage reads.
pub fn tell_shown(app: &App, state: &ViewState, trace: &Trace) {
    let Some(feed) = app.chat.feed.as_ref().filter(|feed| feed.is_remote()) else { return };
    let maps = match state.resolve(trace) {
        Ok(numbers) => match &numbers.key().reads {
            Reads::Pages(reduction) => reduction.maps(trace.shape().heads),
            Reads::Map { .. } => Vec::new(),
        },
        Err(_) => Vec::new(),
    };
    feed.show(&maps, trace.shape().heads);
}

fn read(app: &mut App, request: u64, news: News) {
    if let News::Loaded(info, bundle) = news {
        app.chat.vocabulary = bundle;
        let asking = app.chat.asking.as_ref();
        let conversation = asking.and_then(|asking| asking.conversation_of.as_ref());
        if let Some(reason) = conversation.and_then(|of| refusal(of, &info.model)) {
            stop(app);
            refuse(app, reason);
        }
        app.chat.model = Some(info.model.clone());
        app.chat.provider = Some(info.provider.clone());
        for note in info.notes {
            app.notify(note, false);
        }
        return;
    }
    if let News::Progress(progress) = &news
        && progress.stage.is_loading()
    {
        let line = progress.line(app.chat.host());
        app.tasks.model_progress(&line, progress.done, progress.total);
    }
    // A cancelled request may still send news.
    let Some(asking) = app.chat.asking.as_mut().filter(|asking| asking.request == request) else {
        return;
    };
    match news {
        News::Loaded(..) => {}
        News::Progress(progress) => {
            asking.progress = Some(progress);
            if !progress.stage.is_loading() {
                app.chat.error = None;
            }
        }
        News::Notice(notice) => app.chat.notices.push(notice.text(&whole_picture_hint())),
        News::Growing(trace) => grow(app, trace, true),
        News::Done(trace) => {
            grow(app, trace, false);
            app.chat.asking = None;
        }
        News::Failed(error) => {
            let asking = app.chat.asking.take();
            let known = asking.and_then(|asking| asking.document);
            if let Some(doc) = known.and_then(|id| app.docs.get_mut(id)) {
                doc.live = false;
            }
            let text = error.to_string();
            if !chat_is_seen(app) {
                app.notify(text.clone(), true);
            }
            app.chat.fail(&text);
        }
    }
}

/// Whether the chat panel, which shows errors of the chat, is on screen.
fn chat_is_seen(app: &App) -> bool {
    if app.is_narrow { app.overlay == Some(Overlay::Chat) } else { app.settings.show_chat }
}

/// Puts the trace so far on the stage.
fn grow(app: &mut App, trace: Arc<Trace>, live: bool) {
    let Some(asking) = &app.chat.asking else { return };
    let known = asking.document;
    if let Some(doc) = known.and_then(|id| app.docs.get_mut(id)) {
        doc.replace(trace, live);
        return;
    }
    let (turns, is_automatic, sample) = (asking.turns.clone(), asking.is_automatic, asking.sample);
    let doc = if live { Document::live(trace, &app.look) } else { Document::new(trace, &app.look) };
    let picture = app.chat.picture.clone();
    let id = app.add_document(doc);
    if is_automatic {
        app.automatic = Some(id);
    }
    if let Some(picture) = picture {
        app.pictures.insert(id, picture);
    }
    if !turns.is_empty() {
        app.turns.insert(id, turns);
    }
    if let Some(asking) = &mut app.chat.asking {
        asking.document = Some(id);
    }
    if let Some(sample) = sample {
        app.show_answer_of(id, sample);
    }
}
