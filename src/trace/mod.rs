//! What one answered question left behind: the immutable data model and its file format.
//!
//! The decision that shapes everything else: attention is stored **query first**. One row of
//! `attention.weights` holds all layers and heads of one query position, so it is exactly one
//! page of the GPU pool: scrubbing layers and heads moves nothing, scrubbing tokens moves one page.

mod axes;
mod build;
mod error;
mod file;
mod meta;
mod pages;
mod source;
mod span;
mod subset;
pub mod synthetic;
mod tensor;
mod update;
mod words;

pub use axes::{AnswerIndex, Head, Key, Layer, Query};
pub use build::{AnswerToken, TraceBuilder};
pub use error::TraceError;
pub use file::{FORMAT_MAJOR, FORMAT_MINOR};
pub use meta::{
    ModelInfo, PreprocessInfo, PreprocessMode, Provenance, RequestInfo, Sampling, Timings,
    TokenInfo, TokenKind, TraceMeta,
};
pub use pages::GRADIENT_ATTENTION;
pub use source::FileStamp;
pub use span::{Affine, ImageSpan, PatchRef, Rect};
pub use tensor::{
    Dtype, MapKeys, PictureView, STAT_COUNT, Shape, Stat, TensorView, Trace, TraceId,
};
pub use words::{Word, words};
