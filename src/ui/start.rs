//! What is on the screen first: the built-in model with a question already asked, or what the
//! command line names.
//!
//! The model starts before the graphics device is opened: both take a few tenths of a second, and
//! together they would be the wait before the first overlay.

use super::chat::Chat;
use super::intent::Intent;
use super::model_feed::Wake;
use super::samples;
use crate::model::{AskOptions, Picture, builtin};
use crate::settings::Settings;
use std::path::PathBuf;

/// How the window starts.
#[derive(Clone, Debug, Default)]
pub enum Start {
    /// The built-in model, its first sample and question.
    #[default]
    BuiltIn,
    /// A trace, a picture or a model folder.
    File(PathBuf),
    /// Nothing: for tests of the empty state.
    Empty,
}

/// What was begun before there was an app.
pub struct Prepared {
    /// The chat, its model loading and perhaps answering.
    pub(super) chat: Chat,
    /// What the app does first.
    pub(super) intents: Vec<Intent>,
    /// The picture that is asked about, to be shown until there is an answer.
    pub(super) preview: Option<Picture>,
}

/// Starts the model and asks the first question.
pub fn prepare(start: &Start, settings: &Settings, wake: Wake) -> Prepared {
    let mut prepared = Prepared { chat: Chat::new(wake), intents: Vec::new(), preview: None };
    match start {
        Start::Empty => {}
        Start::File(path) => {
            open_model(&mut prepared.chat, settings);
            prepared.intents.push(Intent::Open(path.clone()));
        }
        Start::BuiltIn => {
            open_model(&mut prepared.chat, settings);
            if let Err(error) = first_sample(&mut prepared, settings) {
                prepared.chat.error = Some(format!("{error:#}"));
            }
        }
    }
    prepared
}

/// The model of the last session, or the built-in one.
fn open_model(chat: &mut Chat, settings: &Settings) {
    let kept = settings.bundle.clone().filter(|bundle| bundle.is_dir());
    let bundle = match kept.map_or_else(builtin::bundle_folder, Ok) {
        Ok(bundle) => bundle,
        Err(error) => {
            chat.error = Some(error.to_string());
            return;
        }
    };
    if let Err(error) = chat.use_bundle(bundle) {
        chat.error = Some(error.to_string());
    }
}

fn first_sample(prepared: &mut Prepared, settings: &Settings) -> anyhow::Result<()> {
    let Some(sample) = samples::samples()?.into_iter().next() else { return Ok(()) };
    let picture = Picture { name: sample.file, bytes: sample.bytes.into() };
    let chat = &mut prepared.chat;
    chat.picture = Some(picture.clone());
    prepared.preview = Some(picture);
    let question = sample.questions.first().cloned();
    chat.suggestions = sample.questions;
    // A large model of the user's takes long: then the sample waits for a question.
    if settings.bundle.is_some() {
        prepared.intents.push(Intent::LoadModel);
    }
    if let Some(question) = question.filter(|_| settings.bundle.is_none() && chat.feed.is_some()) {
        chat.question.clone_from(&question);
        let preprocess = settings.preprocess;
        let sampling = settings.sampling;
        chat.ask(
            question,
            Vec::new(),
            AskOptions { sampling, preprocess, ..AskOptions::default() },
        );
    }
    Ok(())
}
