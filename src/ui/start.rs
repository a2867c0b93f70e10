//! The content of the window at the start: the built-in model with a question already asked, or the files
//! of the command line.
//!
//! The model starts before the graphics device is opened: each takes a few tenths of a second, and one after the
//! other they would delay the first overlay.

use super::chat::Chat;
use super::intent::Intent;
use super::model_feed::{Feed, Wake};
use super::samples;
use super::session::{Found, find, find_or_wait};
use crate::model::{Address, AskOptions, Picture, builtin};
use crate::settings::Settings;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for the session of a window that was killed and has not ended yet.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Content of the window at the start.
#[derive(Clone, Debug, Default)]
pub enum Start {
    /// The built-in model, its first sample and question.
    #[default]
    BuiltIn,
    /// Traces, pictures, folders of traces, tables, walkthroughs or a model folder.
    Files(Vec<PathBuf>),
    /// Nothing: for tests of the empty state.
    Empty,
}

/// Work that begins before the app exists.
pub struct Prepared {
    /// The chat, its model loading and perhaps answering.
    pub(super) chat: Chat,
    /// The first intents of the app.
    pub(super) intents: Vec<Intent>,
    /// The picture of the first question, shown until there is an answer.
    pub(super) preview: Option<Picture>,
    /// The session that this window continues.
    pub(super) continues: Option<Found>,
    /// Other sessions of windows that have ended.
    pub(super) waiting: Vec<Found>,
    /// Messages about sessions that cannot be read.
    pub(super) problems: Vec<String>,
}

/// Starts the model; continues the last session in `sessions`, or asks the first question.
pub fn prepare(
    start: &Start,
    settings: &Settings,
    sessions: Option<&Path>,
    remote: Option<&(Address, PathBuf)>,
    wake: Wake,
) -> Prepared {
    let look = |root: &Path| match start {
        Start::BuiltIn => find_or_wait(root, LONGEST_WAIT),
        Start::Files(_) | Start::Empty => find(root),
    };
    let (mut waiting, problems) = sessions.map(look).unwrap_or_default();
    // A session that ended a window while it was opened might do so again: it is only offered.
    let may_continue = matches!(start, Start::BuiltIn)
        && waiting.first().is_some_and(|last| !last.ended_while_opening());
    let continues = may_continue.then(|| waiting.remove(0));
    let (chat, intents) = (Chat::new(wake), Vec::new());
    let mut prepared = Prepared { chat, intents, preview: None, continues, waiting, problems };
    match start {
        Start::Empty => {}
        Start::Files(paths) => {
            open_model(&mut prepared.chat, settings, remote);
            prepared.intents.extend(paths.iter().cloned().map(Intent::Open));
        }
        Start::BuiltIn => {
            open_model(&mut prepared.chat, settings, remote);
            if prepared.continues.is_none() {
                match ask_first_question(&mut prepared.chat, settings) {
                    Ok(first) => {
                        (prepared.preview, prepared.intents) = (first.preview, first.intents);
                    }
                    Err(error) => prepared.chat.fail(&format!("{error:#}")),
                }
            }
        }
    }
    prepared
}

/// The model on another machine, that of the last session, or the built-in one.
fn open_model(chat: &mut Chat, settings: &Settings, remote: Option<&(Address, PathBuf)>) {
    if let Some((address, bundle)) = remote {
        if let Err(error) = chat.use_remote(address.clone(), bundle.clone()) {
            chat.fail(&error.to_string());
        }
        return;
    }
    let kept = settings.bundle.clone().filter(|bundle| bundle.is_dir());
    let bundle = match kept.map_or_else(builtin::bundle_folder, Ok) {
        Ok(bundle) => bundle,
        Err(error) => {
            chat.fail(&error.to_string());
            return;
        }
    };
    if let Err(error) = chat.use_bundle(bundle) {
        chat.fail(&error.to_string());
    }
}

/// The question that the program asks by itself.
#[derive(Default)]
pub struct FirstQuestion {
    /// Its picture, shown until there is an answer.
    pub preview: Option<Picture>,
    /// Intents for the app.
    pub intents: Vec<Intent>,
}

/// Asks the first question about the first sample. The user's model may be large and slow to load: the question then
/// waits for the user.
///
/// # Errors
/// If the samples cannot be read.
pub fn ask_first_question(chat: &mut Chat, settings: &Settings) -> anyhow::Result<FirstQuestion> {
    let mut first = FirstQuestion::default();
    let Some(sample) = samples::samples()?.into_iter().next() else { return Ok(first) };
    let picture = Picture { name: sample.file, bytes: sample.bytes.into() };
    chat.set_picture(Some(picture.clone()));
    first.preview = Some(picture);
    let question = sample.questions.first().cloned();
    let is_remote = chat.feed.as_ref().is_some_and(Feed::is_remote);
    let waits = settings.bundle.is_some() || is_remote;
    if waits {
        first.intents.push(Intent::LoadModel);
    }
    if let Some(question) = question.filter(|_| !waits && chat.feed.is_some()) {
        chat.question.clone_from(&question);
        let preprocess = settings.preprocess;
        let sampling = settings.sampling;
        chat.ask(
            question,
            Vec::new(),
            AskOptions { sampling, preprocess, ..AskOptions::default() },
        );
        if let Some(asking) = &mut chat.asking {
            asking.is_automatic = true;
        }
    }
    Ok(first)
}
