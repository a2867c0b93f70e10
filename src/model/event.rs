//! Events that the engine sends while it works.

use super::error::ModelError;
use crate::trace::{AnswerToken, Query, Trace, TraceBuilder};
use half::f16;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A step that takes long enough for its progress to be displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AskStage {
    /// Waiting for the first answer of another machine. Only its client reports it.
    Connect,
    /// Hashing weights that were not hashed on this machine before.
    Verify,
    /// Opening the graphs of the bundle.
    Load,
    /// Decoding and resizing the picture.
    Preprocess,
    /// The vision tower.
    Vision,
    /// The prompt, or the prompt and the answer if an answer is scored.
    Prefill,
    /// Decoding, one token after the other.
    Decode,
    /// Backward passes for relevancy.
    Relevancy,
}

impl AskStage {
    /// Whether the model is not ready yet.
    pub const fn is_loading(self) -> bool {
        matches!(self, Self::Connect | Self::Verify | Self::Load)
    }
}

impl std::fmt::Display for AskStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Verify => "checking the weights",
            Self::Load => "loading the model",
            Self::Preprocess => "preparing the picture",
            Self::Vision => "encoding the picture",
            Self::Prefill => "reading the question",
            Self::Decode => "answering",
            Self::Relevancy => "computing relevancy",
        })
    }
}

/// Progress of a stage. A stage reports 0 of `total` when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage.
    pub stage: AskStage,
    /// Steps done.
    pub done: u32,
    /// Total number of steps (for [`AskStage::Decode`] the maximum).
    pub total: u32,
}

impl Progress {
    /// The stage for a reader; `host` is the machine that has the model, if it is another one.
    pub fn line(&self, host: Option<&str>) -> String {
        match (self.stage, host) {
            (AskStage::Connect, Some(host)) => format!("connecting to {host}"),
            (stage, _) => stage.to_string(),
        }
    }
}

/// The attention of one query position, which becomes a row of `attention.weights`.
#[derive(Clone, Debug)]
pub struct Page {
    /// The query position.
    pub query: Query,
    /// Number of keys (the innermost axis).
    pub keys: usize,
    /// [L, H, `keys`] weights times the attention scale; 0 where they have not arrived.
    pub weights: Arc<[f16]>,
    /// [L, H, 5] overview numbers, see [`crate::trace::Stat`].
    pub stats: Arc<[f32]>,
    /// Whether the weights of each layer and head have arrived from another machine, [L, H]; `None`: all are there.
    pub there: Option<Arc<[bool]>>,
}

/// An answer token with the attention row that predicted it.
#[derive(Clone, Debug)]
pub struct TokenEvent {
    /// Index of the answer token, from 0.
    pub index: u32,
    /// The token.
    pub token: AnswerToken,
    /// The answer so far, in whole characters.
    pub text: String,
    /// The page of the query that predicted the token; `None` if the model is on another machine and no stage shows the
    /// answer.
    pub page: Option<Page>,
}

/// Something that was changed or left out and that the user should know.
#[derive(Clone, Debug, PartialEq)]
pub enum AskNotice {
    /// A sentence.
    Text(String),
    /// Most of the picture is cropped away; the share of its area that the model sees, 0–1.
    Cropped(f64),
}

impl AskNotice {
    /// The notice as a sentence; `whole_picture` says how the user shows the model the whole picture,
    /// which differs between the command line and the window.
    pub fn text(&self, whole_picture: &str) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Cropped(share) => {
                let percent = share * 100.0;
                let digits = usize::from(percent < 10.0);
                format!(
                    "the model sees only the middle {percent:.digits$} % of this picture; to show it \
                    the whole picture, {whole_picture}"
                )
            }
        }
    }
}

/// Events while a question is answered, in this order.
#[derive(Clone, Debug)]
pub enum AskEvent {
    /// A stage began or made progress.
    Progress(Progress),
    /// Something that the user should know.
    Notice(AskNotice),
    /// The prompt is known: its tokens, pictures and patch positions. The tokens and pages that follow can be added to
    /// it, for a trace that grows.
    Prompt(Box<TraceBuilder>),
    /// The next answer token.
    Token(Box<TokenEvent>),
    /// More weights of the page of an earlier token have arrived from another machine.
    Page(Box<Page>),
}

/// Events that [`super::ModelWorker`] sends.
#[derive(Debug)]
pub enum ModelEvent {
    /// Progress of loading the model or of answering a question.
    Ask {
        /// The request that the event belongs to.
        request: u64,
        /// The event.
        event: AskEvent,
    },
    /// The model was loaded.
    Loaded {
        /// The description of the model and its device.
        info: Box<super::EngineInfo>,
        /// Its bundle, to name tokens; `None` if its tokenizer could not be fetched.
        bundle: Option<Arc<super::Bundle>>,
    },
    /// A question was answered.
    Done {
        /// The request.
        request: u64,
        /// The finished trace.
        trace: Arc<Trace>,
    },
    /// A request failed or was cancelled, or the model could not be loaded.
    Failed {
        /// The request.
        request: u64,
        /// The reason.
        error: ModelError,
    },
}
