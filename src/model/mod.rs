//! From a bundle, a picture and a question to a trace.
//!
//! A [`Bundle`] is checked once when it is opened, an [`Engine`] holds the loaded graphs, and [`Engine::ask`] turns one
//! [`AskRequest`] into one [`crate::trace::Trace`] while it streams [`AskEvent`]s. The main decision: no code here
//! contains a model's dimensions. They come from the manifest, which is checked against the graphs when they are
//! loaded.

mod ablate;
mod attention_collector;
mod blank;
pub mod builtin;
mod bundle;
mod engine;
mod engine_info;
mod error;
mod event;
mod external_data;
mod feed;
mod generate;
mod hex;
mod intervene;
mod local_engine;
mod manifest;
mod mask_test;
mod method_maps;
mod occluder;
mod occlusion;
mod other_question;
mod patch;
mod preprocess;
mod prompt;
mod relevancy;
mod remote;
mod request;
mod rerun;
mod rescore;
mod rescorer;
mod sampling;
mod score;
mod session;
mod template;
mod tokenizer;
mod tokenizer_limits;
mod trace_inputs;
mod weights;
mod worker;

pub use ablate::{Effect, ablation_of_each_head, effects, effects_of_tokens};
pub use blank::blank_logprobs;
pub use bundle::Bundle;
pub use engine::{Engine, patch};
pub use engine_info::EngineInfo;
pub use error::{ModelError, Result};
pub use event::{AskEvent, AskNotice, AskStage, ModelEvent, Page, Progress, TokenEvent};
pub use hex::hex;
pub use intervene::{Intervention, KnockFrom, Steer};
pub use local_engine::{Counters, LocalEngine, Sink, WRITER};
pub use manifest::{
    AxisLength, ElementType, FileEntry, Graph, Graphs, MANIFEST_FILE, Manifest, MessageContent,
    Port, Resample, Resize, Role,
};
pub use mask_test::{Mask, MaskRequest, mask_test};
pub use method_maps::with_trace_method;
pub use occluder::{BlankFill, Occluder};
pub use occlusion::{
    COARSE_WINDOWS, FINE_WINDOWS, OCCLUSION_MAP, OcclusionOptions, OcclusionProgress, occlusion,
    only_view, window_count,
};
pub use patch::{PatchRequest, Patcher};
pub use preprocess::{MAX_MEGAPIXELS, Preprocessed, preprocess, upright};
pub use prompt::{BuiltPrompt, MAX_QUESTION_CHARACTERS, build as build_prompt};
pub use relevancy::{GRADIENT_ATTENTION, MemoryEstimate, RelevancyRequest, RelevancyTimings};
pub use remote::{
    Address, Encoding, Envelope, Frame, FrameError, RemoteEngine, RemoteOptions, ServeError,
    ServeFlags, Stage, read_frame, serve, write_frame,
};
pub use request::{
    AskOptions, AskRequest, Device, EngineOptions, Interventions, MAX_PICTURE_BYTES, MAX_STRENGTH,
    Picture, Rows, Steering, Turn,
};
pub use rerun::Rerun;
pub use rescore::{LocalRescorer, Rescored, Variant, VariantPicture};
pub use rescorer::Rescorer;
pub use sampling::{Sampler, argmax, log_probability, nucleus, top};
pub use score::{Curve, Curves, MapCurves, ScoreRequest};
pub use session::{Runtime, RuntimeCandidate, candidates as runtime_candidates};
pub use template::{
    Answer as TemplateAnswer, MEMORY_LIMIT_BYTES as TEMPLATE_MEMORY_BYTES,
    answer as answer_template_job, set_program as set_template_program,
    watch_time as watch_template_time,
};
pub use tokenizer::{Encoded, StreamDecoder, Tokenizer};
pub use trace_inputs::TraceInputs;
pub use worker::{EngineTask, ModelWorker};
