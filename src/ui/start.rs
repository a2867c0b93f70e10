//! The content of the window at the start: the built-in model with a question already asked, or the files
//! of the command line.
//!
//! The model starts before the graphics device is opened: each takes a few tenths of a second, and one after the
//! other they would delay the first overlay.

use super::chat::Chat;
use super::intent::Intent;
use super::model_feed::Wake;
use super::samples;
use crate::model::{AskOptions, Picture, builtin};
use crate::settings::Settings;
use std::path::PathBuf;

/// Content of the window at the start.
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

/// Work that begins before the app exists.
pub struct Prepared {
    /// The chat, its model loading and perhaps answering.
    pub(super) chat: Chat,
    /// The first intents of the app.
    pub(super) intents: Vec<Intent>,
    /// The picture of the first question, shown until there is an answer.
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
    // The user's model may be large and slow to load: the sample's question then waits for the user.
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
