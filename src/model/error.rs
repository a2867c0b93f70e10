//! Errors between a bundle, a picture, a question and a trace. Each message is one paragraph that names the file, the
//! cause and the remedy.

use crate::job::Panicked;
use crate::trace::TraceError;
use std::path::PathBuf;

const EXPORT_AGAIN: &str = "Export the model again (`python onnx/export.py --model … --out …`), or fetch the bundle again.";

/// The reason why a question could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The folder holds no bundle.
    #[error("{folder} is not a vlmscope bundle: {reason}. Give the folder that `python onnx/export.py --out …` wrote.", folder = folder.display())]
    NotABundle {
        /// The folder that was given.
        folder: PathBuf,
        /// The missing part.
        reason: String,
    },
    /// A file of the bundle could not be read.
    #[error("cannot read {path} of the bundle: {source}. {EXPORT_AGAIN}", path = path.display())]
    BundleFile {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The manifest is not JSON, or one of its fields is invalid.
    #[error("{path}: the field `{field}` {reason}. {EXPORT_AGAIN}", path = path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The field, dotted.
        field: String,
        /// The fault in the field.
        reason: String,
    },
    /// The manifest has a newer major version than this program.
    #[error("{path}: the bundle has format version {found}, this vlmscope reads up to {supported}. Update vlmscope, or export with the exporter that came with it.", path = path.display())]
    NewerBundle {
        /// The manifest.
        path: PathBuf,
        /// The version in the manifest.
        found: String,
        /// The newest version that can be read.
        supported: String,
    },
    /// A file name in the manifest refers to a file outside the bundle.
    #[error("{path}: the field `{field}` names {name:?}, which {reason}; a bundle may only use files in its own folder. It was tampered with or badly repacked: do not use it, get it again from a source that you trust.", path = path.display())]
    OutsideBundle {
        /// The manifest.
        path: PathBuf,
        /// The field.
        field: String,
        /// The file name.
        name: String,
        /// The way in which the name leaves the folder.
        reason: String,
    },
    /// A file has another size than the manifest states: the copy is incomplete or of another version.
    #[error("{path} has {found} bytes, but the manifest says {expected}: the copy was cut or belongs to another export. Copy the bundle again. {EXPORT_AGAIN}", path = path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Size in the manifest.
        expected: u64,
        /// Size on the disk.
        found: u64,
    },
    /// A graph or tokenizer exceeds the size limit.
    #[error("{path} has {found} bytes, but a file of its kind has at most {most}; only weights are larger. {EXPORT_AGAIN}", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Size on the disk.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// A graph's file is not an ONNX graph.
    #[error("{path} is not an ONNX graph: {reason}. {EXPORT_AGAIN}", path = path.display())]
    NotAGraph {
        /// The file.
        path: PathBuf,
        /// The decoder's message.
        reason: String,
    },
    /// A graph reads a file that the manifest does not list.
    #[error("{path} reads weights from {location:?}, which the manifest does not list in \
        graphs.{graph}.data: so they cannot be verified. {EXPORT_AGAIN}", path = path.display())]
    Unlisted {
        /// The graph's file.
        path: PathBuf,
        /// The graph's name.
        graph: String,
        /// The file that the graph reads.
        location: String,
    },
    /// A file has another content than the manifest states.
    #[error("{path} has changed since it was exported: its SHA-256 is {found}, the manifest says {expected}. Copy the bundle again. {EXPORT_AGAIN}", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Hash in the manifest.
        expected: String,
        /// Hash of the file.
        found: String,
    },
    /// A graph has other inputs or outputs than the manifest states.
    #[error("{path}: {field} {reason}. The graph does not fit its manifest. {EXPORT_AGAIN}", path = path.display())]
    Graph {
        /// The graph's file.
        path: PathBuf,
        /// The name of the input or output.
        field: String,
        /// The difference from the manifest.
        reason: String,
    },
    /// A graph returned another output than its manifest states.
    #[error("{path}: the output `{output}` of the {graph} graph {problem}. The graph does not fit its manifest. {EXPORT_AGAIN}", path = path.display())]
    Output {
        /// The graph's file.
        path: PathBuf,
        /// The graph's name in the manifest.
        graph: String,
        /// The name of the output.
        output: String,
        /// The value that was found and the value that was expected.
        problem: String,
    },
    /// The tokenizer could not be read, or it does not fit the model.
    #[error("{path}: {reason}. {EXPORT_AGAIN}", path = path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// The fault that was found.
        reason: String,
    },
    /// ONNX Runtime was not found.
    #[error("ONNX Runtime was not found. {fix} Looked at: {looked}")]
    RuntimeMissing {
        /// The command that installs it.
        fix: String,
        /// The places that were searched.
        looked: String,
    },
    /// The file given as ONNX Runtime is not such a library.
    #[error("{path} is not the ONNX Runtime library: {reason}. {fix}", path = path.display())]
    RuntimeNotALibrary {
        /// The file.
        path: PathBuf,
        /// The loader's message.
        reason: String,
        /// The command that installs it.
        fix: String,
    },
    /// The library is older than the interface that this program was built for.
    #[error("{path} is ONNX Runtime {found}, but at least {needed} is needed. {fix}", path = path.display())]
    RuntimeTooOld {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The oldest version that works.
        needed: String,
        /// The command that installs a newer version.
        fix: String,
    },
    /// The requested device cannot be used.
    #[error(
        "the device `{device}` cannot be used: {reason}. Install onnxruntime-gpu with its CUDA and cuDNN libraries and point --ort-lib at its libonnxruntime, or use --device cpu."
    )]
    Device {
        /// "cuda".
        device: String,
        /// ONNX Runtime's message.
        reason: String,
    },
    /// ONNX Runtime reported an error.
    #[error("{path}: ONNX Runtime failed while {doing}: {reason}. If the memory ran out, close other programs, ask for fewer tokens or use --rows text; else run `vlmscope doctor --verify` on the bundle.", path = path.display())]
    Runtime {
        /// The graph's file.
        path: PathBuf,
        /// The operation that failed.
        doing: String,
        /// ONNX Runtime's message.
        reason: String,
    },
    /// The picture's file could not be read.
    #[error("cannot read the picture {path}: {source}. Check the path and that you may read it.", path = path.display())]
    PictureFile {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The picture could not be decoded.
    #[error(
        "{name} is not a picture that can be read: {reason}. Supported are PNG, JPEG, WebP, GIF, BMP and TIFF; convert it to one of these."
    )]
    Picture {
        /// The picture's name.
        name: String,
        /// The decoder's message.
        reason: String,
    },
    /// The picture has more pixels than the limit.
    #[error(
        "{name} has {width} × {height} pixels, more than the limit of {limit_megapixels} megapixels. The model sees a few hundred pixels a side: reduce the picture first."
    )]
    PictureTooLarge {
        /// The picture's name.
        name: String,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit, in million pixels.
        limit_megapixels: u32,
    },
    /// The chat template failed.
    #[error("{path}: the chat template of the model failed: {reason}. Repair `prompt.chat_template`, or set it to null to use LLaVA-1.5's prompt.", path = path.display())]
    Template {
        /// The manifest.
        path: PathBuf,
        /// The template engine's message.
        reason: String,
    },
    /// The number of image tokens in the prompt is not the number of pictures.
    #[error("{path}: the chat template left {found} places for {expected} pictures (it must write `{image_token}` once for each). Repair `prompt.chat_template`, or set it to null to use LLaVA-1.5's prompt.", path = path.display())]
    ImageSlots {
        /// The manifest.
        path: PathBuf,
        /// The image token's text.
        image_token: String,
        /// Number of image tokens that were found.
        found: usize,
        /// Number of pictures.
        expected: usize,
    },
    /// The question is empty.
    #[error(
        "the question is empty. Write what you want to know about the picture, for example \"What is on the left?\"."
    )]
    EmptyQuestion,
    /// The question is longer than any model takes.
    #[error(
        "the question has {characters} characters; at most {most} are read. Shorten the question."
    )]
    QuestionTooLong {
        /// Number of its characters.
        characters: usize,
        /// The largest number.
        most: usize,
    },
    /// The answer to score is empty.
    #[error(
        "the answer to score is empty. Write it after --answer, or leave --answer out to let the model answer."
    )]
    EmptyAnswer,
    /// The prompt is longer than the model's limit.
    #[error(
        "the prompt has {positions} positions ({what}), but the model takes at most {max_positions}. Shorten the question or start a new conversation."
    )]
    PromptTooLong {
        /// Number of positions of the expanded prompt, and of the answer to score if there is one.
        positions: usize,
        /// A description of the parts of the prompt.
        what: String,
        /// The model's limit.
        max_positions: usize,
    },
    /// The trace was made with another model, so its numbers could not be compared.
    #[error(
        "the trace was made with the model {name} ({made_with}), but the bundle that is open is {open}. Name the trace's own bundle with --model, or ask the question again with this one."
    )]
    OtherModel {
        /// The model's name in the trace.
        name: String,
        /// The beginning of the bundle's hash in the trace.
        made_with: String,
        /// Name and hash of the bundle that is open.
        open: String,
    },
    /// The trace was captured in Python from a model that is in no bundle.
    #[error(
        "the answer was captured in Python from {name}, which vlmscope cannot run. Relevancy: capture the answer again with relevancy=(\"llm\",), or choose methods that need no model (rollout, heads, no-bos). Occlusion, ablation and scores need an exported bundle and its own answer."
    )]
    Captured {
        /// The model's name in the trace.
        name: String,
    },
    /// The bundle was exported without backward graphs.
    #[error("the bundle {folder} has no graph `{graph}`, so relevancy cannot be computed with it. {EXPORT_AGAIN}", folder = folder.display())]
    NoRelevancy {
        /// The bundle's folder.
        folder: PathBuf,
        /// The graph's name.
        graph: &'static str,
    },
    /// The bundle was exported without the inputs that a feature needs.
    #[error("the bundle {folder} was exported without the inputs for {feature}. {EXPORT_AGAIN}", folder = folder.display())]
    NoCapability {
        /// The bundle's folder.
        folder: PathBuf,
        /// The feature, as "activation patching".
        feature: &'static str,
    },
    /// There is not enough memory for a backward pass.
    #[error(
        "relevancy over {positions} positions needs about {} of memory, but {} may be used. Close other programs, allow more with --memory, ask a shorter question, or compute fewer methods (`llm` needs the least).", gigabytes(*.needed_bytes), gigabytes(*.budget_bytes)
    )]
    Memory {
        /// T, the number of positions.
        positions: usize,
        /// Estimate of the memory that is needed.
        needed_bytes: u64,
        /// The free memory, or the memory that was allowed.
        budget_bytes: u64,
    },
    /// A request does not fit the model.
    #[error("{what} {reason}")]
    Request {
        /// The option.
        what: String,
        /// The fault, and the values that are allowed.
        reason: String,
    },
    /// The machine that `--remote` names could not be reached, or does not serve.
    #[error("cannot use the model on {host}: {reason}")]
    Unreachable {
        /// The machine or the program, as the user named it.
        host: String,
        /// The reason and the remedy, sentences.
        reason: String,
    },
    /// The connection to the machine with the model was lost.
    #[error("the connection to {host} was lost: {reason}. Ask again to connect again.")]
    ConnectionLost {
        /// The machine or the program, as the user named it.
        host: String,
        /// The reason, a clause without a full stop.
        reason: String,
    },
    /// The machine with the model no longer has a picture or a trace that it was sent.
    #[error("{host} no longer has {what}. Ask again.")]
    MissingThere {
        /// "the picture" or "the trace".
        what: &'static str,
        /// The machine or the program, as the user named it.
        host: String,
    },
    /// An error of the machine with the model, in its words.
    #[error("{host}: {message}")]
    Elsewhere {
        /// The machine or the program, as the user named it.
        host: String,
        /// The message.
        message: String,
    },
    /// The trace could not be built or written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The engine panicked; the next request loads the model again.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// The request was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl ModelError {
    /// An error of the machine `host`, in its words.
    pub(super) fn elsewhere(host: &str, message: String) -> Self {
        let mut message = message;
        if message.contains(EXPORT_AGAIN) {
            message.push_str(&format!(" The bundle is on {host}, not on this machine."));
        }
        Self::Elsewhere { host: host.to_owned(), message }
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// The result type of this module.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;
