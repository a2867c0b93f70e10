//! The record of one answered question: the immutable data model and its file format.
//!
//! The decision with the most consequences: attention is stored **query first**. One row of `attention.weights` holds
//! all layers and heads of one query position, so it is exactly one page of the GPU pool: another layer or head needs
//! no upload, another token needs one page.

mod arriving;
mod axes;
mod build;
mod error;
mod experiments;
mod file;
mod format;
mod meta;
mod pages;
mod python_call;
mod row_stats;
mod source;
mod span;
mod subset;
pub mod synthetic;
mod tensor;
mod tensor_rules;
mod transfer;
mod update;
mod words;

pub use axes::{AnswerIndex, Head, Key, Layer, Query, Shape};
pub use build::{AnswerToken, TraceBuilder};
pub use error::TraceError;
pub use file::{FORMAT_MAJOR, FORMAT_MINOR, FORMAT_OF_ONE_CANVAS, MAX_MAPS};
pub use meta::{
    CanvasMode, ImageAttention, LayerKind, ModelInfo, PositionCheck, PreprocessInfo,
    PreprocessMode, Provenance, RequestInfo, Sampling, Timings, TokenInfo, TokenKind, TraceMeta,
    VisionInput,
};
pub use pages::GRADIENT_ATTENTION;
pub use python_call::PythonCall;
pub use row_stats::{ROW_SUM_TOLERANCE, RowStats, STAT_COUNT, Stat};
pub use source::{FileStamp, RemoteBytes};
pub use span::{Affine, FrameInfo, ImageSpan, PatchRef, Rect, ViewOf};
pub use tensor::{Dtype, MapKeys, PictureView, TensorView, Trace, TraceId};
pub use transfer::{NamedTensor, TraceInFile};
pub use words::{WORD_MARKS, Word, characters, spelled, words};
