//! The chat: answered questions, the question that is being answered, the model.

use super::data_set::SampleId;
use super::document::DocumentId;
use super::model_feed::{Feed, Wake};
use super::samples::questions_about;
use super::wording::in_window;
use crate::model::{
    Address, AskOptions, AskRequest, AskStage, Bundle, ModelError, Picture, Progress, Turn,
};
use crate::trace::{ModelInfo, PreprocessMode, Trace};
use crate::view::figure::decimal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A question that is being answered.
#[derive(Debug)]
pub struct Asking {
    /// Number of the request.
    pub request: u64,
    /// The question.
    pub question: String,
    /// Progress of the answer; `None` before the model has reported any.
    pub progress: Option<Progress>,
    /// Document that receives the tokens; `None` before the first one.
    pub document: Option<DocumentId>,
    /// Earlier turns of the conversation.
    pub turns: Vec<Turn>,
    /// Whether a given answer is scored.
    pub scored: bool,
    /// Whether the program asked by itself, at its start.
    pub is_automatic: bool,
    /// The sample of a table whose question is asked again.
    pub sample: Option<SampleId>,
    /// The model whose answers the earlier turns hold; `None` where they are of a data set.
    pub conversation_of: Option<ModelInfo>,
}

/// The chat.
pub struct Chat {
    /// Text in the question box.
    pub question: String,
    /// Whether the next question goes on with the conversation.
    pub follow_up: bool,
    /// The picture that the next question is about.
    pub picture: Option<Picture>,
    /// Questions to try.
    pub suggestions: Vec<String>,
    /// The question that is being answered.
    pub asking: Option<Asking>,
    /// Notices of the model for the user.
    pub notices: Vec<String>,
    /// Why the last question failed.
    pub error: Option<String>,
    /// The model, once it is loaded.
    pub model: Option<ModelInfo>,
    /// ONNX Runtime's execution provider ("CPUExecutionProvider").
    pub provider: Option<String>,
    /// The loaded bundle, for the names of tokens.
    pub vocabulary: Option<Arc<Bundle>>,
    /// The model.
    pub feed: Option<Feed>,
    /// Moves the keyboard to the question.
    pub focus_question: bool,
    wake: Wake,
}

impl Chat {
    /// No model yet.
    pub fn new(wake: Wake) -> Self {
        Self {
            question: String::new(),
            follow_up: false,
            picture: None,
            suggestions: Vec::new(),
            asking: None,
            notices: Vec::new(),
            error: None,
            model: None,
            provider: None,
            vocabulary: None,
            feed: None,
            focus_question: false,
            wake,
        }
    }

    /// Makes the next question one about this picture. The questions to try follow it, and a question to try about the
    /// picture before leaves the question box.
    pub fn set_picture(&mut self, picture: Option<Picture>) {
        let suggestions = picture.as_ref().map_or_else(Vec::new, questions_about);
        if self.suggestions.contains(&self.question) && !suggestions.contains(&self.question) {
            self.question.clear();
        }
        (self.suggestions, self.picture) = (suggestions, picture);
    }

    /// Another model; what the old one was doing is cancelled.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn use_bundle(&mut self, bundle: PathBuf) -> Result<(), ModelError> {
        self.use_model(bundle, None)
    }

    /// A model on another machine; `bundle` is its folder there, empty for the built-in model.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn use_remote(&mut self, remote: Address, bundle: PathBuf) -> Result<(), ModelError> {
        self.use_model(bundle, Some(remote))
    }

    fn use_model(&mut self, bundle: PathBuf, remote: Option<Address>) -> Result<(), ModelError> {
        self.asking = None;
        self.error = None;
        self.model = None;
        self.provider = None;
        self.vocabulary = None;
        self.close();
        self.feed = Some(Feed::start(bundle, remote, Arc::clone(&self.wake))?);
        Ok(())
    }

    /// Releases the model. Its threads may still be busy: they end after the window.
    pub fn close(&mut self) -> Option<crossbeam_channel::Receiver<()>> {
        let feed = self.feed.take()?;
        let (ended, has_ended) = crossbeam_channel::bounded(1);
        let drop_it = move || {
            drop(feed);
            let _ = ended.send(());
        };
        std::thread::Builder::new().name("farewell".into()).spawn(drop_it).ok().map(|_| has_ended)
    }

    /// The folder of the model.
    pub fn bundle(&self) -> Option<&Path> {
        self.feed.as_ref().map(|feed| feed.bundle.as_path())
    }

    /// Asks about the picture; `turns` is the conversation before.
    pub fn ask(&mut self, question: String, turns: Vec<Turn>, options: AskOptions) {
        let Some(feed) = &self.feed else {
            self.error = Some(
                "No model is open. Open a model folder (Ctrl+M), or use the built-in one.".into(),
            );
            return;
        };
        self.error = None;
        self.notices.clear();
        let scored = options.answer.is_some();
        let request = feed.ask(AskRequest {
            picture: self.picture.clone(),
            turns: turns.clone(),
            question: question.clone(),
            options,
        });
        self.asking = Some(Asking {
            request,
            question,
            progress: None,
            document: None,
            turns,
            scored,
            is_automatic: false,
            sample: None,
            conversation_of: None,
        });
    }

    /// Says why a question failed, in the words of the window.
    pub fn fail(&mut self, error: &str) {
        self.error = Some(in_window(error).0);
    }

    /// The model's name, once it is loaded.
    pub fn model_name(&self) -> Option<&str> {
        self.model.as_ref().map(|model| model.name.as_str())
    }

    /// The other machine that has the model; `None`: this one, or none yet.
    pub fn host(&self) -> Option<&str> {
        self.feed.as_ref().and_then(Feed::host)
    }

    /// Stops; tokens that arrive later are dropped.
    pub fn stop(&mut self) -> Option<Asking> {
        let asking = self.asking.take()?;
        if let Some(feed) = &self.feed {
            feed.cancel();
        }
        Some(asking)
    }
}

impl Asking {
    /// Text for the current stage of the answer; `host` is the machine that has the model, if it is another one.
    pub fn line(&self, host: Option<&str>) -> String {
        match self.progress {
            None => "waiting for the model".into(),
            Some(Progress { stage: AskStage::Decode, done, .. }) if done > 0 => {
                format!("answering, {done} tokens")
            }
            Some(progress) => progress.line(host),
        }
    }

    /// Progress of the current stage, 0–1; `None` if it cannot be known.
    pub fn share(&self) -> Option<f32> {
        let Progress { done, total, stage } = self.progress?;
        // The length of an answer is not known in advance, and the longest possible answer is no measure of it.
        (total > 1 && stage != AskStage::Decode).then(|| done as f32 / total as f32)
    }
}

/// The name in the window of a way to fit a picture.
pub const fn preprocess_name(mode: PreprocessMode) -> &'static str {
    match mode {
        PreprocessMode::Default => "crop the centre",
        PreprocessMode::Resize => "stretch",
        PreprocessMode::Pad => "pad to a square",
    }
}

/// Advice in the window for showing the model the whole picture, see [`crate::model::AskNotice::text`].
pub fn whole_picture_hint() -> String {
    format!(
        "choose \"{}\" under Sampling, Preprocess, and ask again (\"{}\" distorts it)",
        preprocess_name(PreprocessMode::Pad),
        preprocess_name(PreprocessMode::Resize)
    )
}

/// The conversation that a trace ends: each question with its answer.
pub fn turns_of(trace: &Trace, earlier: &[Turn]) -> Vec<Turn> {
    let meta = trace.meta();
    let mut turns = earlier.to_vec();
    turns.push(Turn { question: meta.question.clone(), answer: meta.answer.clone() });
    turns
}

/// A log-probability as text.
pub fn logprob_text(logprob: f32) -> String {
    decimal(f64::from(logprob), 2)
}

/// Log-probability of a whole answer, natural logarithm.
pub fn answer_logprob(trace: &Trace) -> f32 {
    trace.answer_logprobs().iter().sum()
}
