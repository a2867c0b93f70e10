//! Events that the engine sends while it works.

use super::error::ModelError;
use crate::trace::{AnswerToken, Query, Trace, TraceBuilder};
use half::f16;
use std::sync::Arc;

/// A step that takes long enough to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskStage {
    /// Opening the graphs of the bundle.
    Load,
    /// Decoding and resizing the picture.
    Preprocess,
    /// The vision tower.
    Vision,
    /// The prompt, or prompt and answer where one is scored.
    Prefill,
    /// One token after the other.
    Decode,
    /// Backward passes for relevancy.
    Relevancy,
}

impl std::fmt::Display for AskStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Load => "loading the model",
            Self::Preprocess => "preparing the picture",
            Self::Vision => "encoding the picture",
            Self::Prefill => "reading the question",
            Self::Decode => "answering",
            Self::Relevancy => "computing relevancy",
        })
    }
}

/// How far a stage is. A stage reports 0 of `total` when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: AskStage,
    /// Steps done.
    pub done: u32,
    /// Steps in all (for [`AskStage::Decode`] the most that it can take).
    pub total: u32,
}

/// The attention of one query position: what becomes a row of `attention.weights`.
#[derive(Clone, Debug)]
pub struct Page {
    /// Whose attention it is.
    pub query: Query,
    /// Keys that there were (the innermost axis).
    pub keys: usize,
    /// [L, H, `keys`] weights times the attention scale.
    pub weights: Arc<[f16]>,
    /// [L, H, 5] overview numbers, see [`crate::trace::Stat`].
    pub stats: Arc<[f32]>,
}

/// An answer token with the attention that led to it.
#[derive(Clone, Debug)]
pub struct TokenEvent {
    /// Which answer token, from 0.
    pub index: u32,
    /// The token.
    pub token: AnswerToken,
    /// The answer so far, in whole characters.
    pub text: String,
    /// The page of the query that predicted it.
    pub page: Page,
}

/// Events while a question is answered, in this order.
#[derive(Clone, Debug)]
pub enum AskEvent {
    /// A stage began or went on.
    Progress(Progress),
    /// Something was changed or left out that the user should know, as a sentence.
    Notice(String),
    /// The prompt is known: its tokens, pictures and where the patches are. Tokens and pages that
    /// follow can be put into it, for a trace that grows.
    Prompt(Box<TraceBuilder>),
    /// The next answer token.
    Token(Box<TokenEvent>),
}

/// Events that [`super::ModelWorker`] sends.
#[derive(Debug)]
pub enum ModelEvent {
    /// The model is being loaded, or a question answered.
    Ask {
        /// The request that it belongs to.
        request: u64,
        /// What happened.
        event: AskEvent,
    },
    /// The model was loaded.
    Loaded {
        /// What it is and where it runs.
        info: super::EngineInfo,
    },
    /// A question was answered.
    Done {
        /// The request.
        request: u64,
        /// What is left of it.
        trace: Arc<Trace>,
    },
    /// A request failed or was cancelled, or the model could not be loaded.
    Failed {
        /// The request.
        request: u64,
        /// Why.
        error: ModelError,
    },
}
