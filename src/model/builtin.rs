//! The built-in model, its sample pictures, and sample traces that were captured from another model, embedded in the program.
//!
//! ONNX Runtime memory-maps weights from files, so the bundle is unpacked once into the user's cache folder, under a
//! name that contains its hash: two versions of the program never share a folder.

use super::hex::hex;
use crate::analysis::boxes::NamedBox;
use crate::files;
use crate::logging::bug;
use crate::trace::Trace;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/builtin_files.rs"));

const SAMPLES: &str = "samples/";
const CAPTURED: &str = "captured/";
const COMPARED_BLOCK_BYTES: usize = 1 << 18;

/// Prefix of the name of its folder, before eight bytes of the hash of its manifest.
const FOLDER_PREFIX: &str = "builtin-";

/// The reason why the built-in model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuiltinError {
    /// The program was built without `onnx/tiny`.
    #[error(
        "this program was built without the built-in model (onnx/tiny was missing); name a bundle with --model"
    )]
    Absent,
    /// It could not be unpacked.
    #[error(
        "cannot unpack files of this program to {path}: {source}. Make room there, or set XDG_CACHE_HOME to a folder that can be written.",
        path = path.display()
    )]
    Unpack {
        /// The folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The program was built without `onnx/tiny-qwen3-vl/samples`.
    #[error(
        "this program was built without the captured samples (onnx/tiny-qwen3-vl/samples was missing)"
    )]
    NoCaptured,
    /// A list of samples is invalid.
    #[error("the list of samples in this program cannot be read: {reason}. Build it again.")]
    Samples {
        /// The parser's message.
        reason: String,
    },
}

/// A sample picture with questions that the built-in model answers correctly.
#[derive(Clone, Debug, Deserialize)]
pub struct Sample {
    /// File name.
    pub file: String,
    /// A short title.
    pub title: String,
    /// Suggested questions.
    pub questions: Vec<SampleQuestion>,
    /// The objects in the picture, with boxes in pixels of the picture.
    #[serde(default)]
    pub boxes: Vec<SampleBox>,
}

/// A suggested question.
#[derive(Clone, Debug, Deserialize)]
pub struct SampleQuestion {
    /// The question.
    pub text: String,
    /// The model's answer.
    #[serde(alias = "expected", alias = "expected_answer")]
    pub answer: String,
}

/// A named object with its box.
#[derive(Clone, Debug, Deserialize)]
pub struct SampleBox {
    /// The noun that names the object.
    pub noun: String,
    /// Left, top, right, bottom in pixels of the picture.
    #[serde(rename = "box")]
    pub rect: [f64; 4],
}

/// The sample pictures.
///
/// # Errors
/// If the program was built without them.
pub fn samples() -> Result<Vec<Sample>, BuiltinError> {
    let list = file("samples/samples.json").ok_or(BuiltinError::Absent)?;
    serde_json::from_slice(list)
        .map_err(|error| BuiltinError::Samples { reason: error.to_string() })
}

/// A trace that was captured from a model of another class, which this program does not run.
#[derive(Clone, Debug, Deserialize)]
pub struct Captured {
    /// File name.
    pub file: String,
    /// A short title.
    pub title: String,
}

/// The captured sample traces.
///
/// # Errors
/// If the program was built without them.
pub fn captured() -> Result<Vec<Captured>, BuiltinError> {
    let list = file(&format!("{CAPTURED}samples.json")).ok_or(BuiltinError::NoCaptured)?;
    serde_json::from_slice(list)
        .map_err(|error| BuiltinError::Samples { reason: error.to_string() })
}

/// A captured sample trace as a file in the user's cache folder, unpacked if it is not there yet.
///
/// # Errors
/// If the program was built without it, or if the disk is full.
pub fn captured_file(name: &str) -> Result<PathBuf, BuiltinError> {
    let (folder, bytes) = captured_folder(name).ok_or(BuiltinError::NoCaptured)?;
    std::fs::create_dir_all(&folder)
        .and_then(|()| write_unless_same(&folder, name, bytes))
        .map_err(|source| BuiltinError::Unpack { path: folder.clone(), source })?;
    Ok(folder.join(name))
}

/// Whether a file is a captured sample trace in the user's cache folder, which no command may change.
pub fn is_captured_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(captured_folder).is_some_and(|(folder, _)| path.parent() == Some(&folder))
}

/// The cache folder of a captured sample trace, and its bytes.
fn captured_folder(name: &str) -> Option<(PathBuf, &'static [u8])> {
    let bytes = file(&format!("{CAPTURED}{name}"))?;
    let digest = hex(&Sha256::digest(bytes)[..8]);
    Some((unpacked_folder(&format!("captured-{digest}")), bytes))
}

/// The boxes of the objects in a trace's picture, if it is one of the samples (identified by its file name and size).
pub fn boxes_of(trace: &Trace) -> Vec<NamedBox> {
    let Some(info) = trace.meta().preprocess.first() else { return Vec::new() };
    let samples = samples().unwrap_or_else(|error| {
        bug!("the built-in samples cannot be read: {error}");
        Vec::new()
    });
    let sample = samples.into_iter().find(|sample| sample.file == info.file_name);
    let size = sample.as_ref().and_then(|sample| {
        let bytes = std::io::Cursor::new(sample_picture(&sample.file)?);
        image::ImageReader::new(bytes).with_guessed_format().ok()?.into_dimensions().ok()
    });
    let [width, height] = info.original_size;
    if size != Some((width, height)) {
        return Vec::new();
    }
    let boxes = sample.map(|sample| sample.boxes).unwrap_or_default();
    boxes.into_iter().map(|found| NamedBox { noun: found.noun, rect: found.rect }).collect()
}

/// The encoded bytes of a sample picture.
pub fn sample_picture(name: &str) -> Option<&'static [u8]> {
    file(&format!("{SAMPLES}{name}"))
}

/// Whether a folder is that of a built-in bundle, of this version or of another.
pub fn is_builtin(folder: &Path) -> bool {
    let is_named = |name: &std::ffi::OsStr| {
        let digest = name.to_str().and_then(|name| name.strip_prefix(FOLDER_PREFIX));
        digest.is_some_and(|digest| {
            digest.len() == 16 && digest.chars().all(|c| c.is_ascii_hexdigit())
        })
    };
    folder.file_name().is_some_and(is_named)
}

/// The built-in bundle's folder, unpacked if it is not there yet.
///
/// # Errors
/// If the program was built without it, or if the disk is full.
pub fn bundle_folder() -> Result<PathBuf, BuiltinError> {
    let manifest = file("manifest.json").ok_or(BuiltinError::Absent)?;
    let digest = hex(&Sha256::digest(manifest)[..8]);
    let folder = unpacked_folder(&format!("{FOLDER_PREFIX}{digest}"));
    unpack_to(&folder)?;
    Ok(folder)
}

/// A folder for unpacked files, in the user's cache or, where the system has no such place, among its temporary files.
fn unpacked_folder(name: &str) -> PathBuf {
    cache_folder().unwrap_or_else(|| std::env::temp_dir().join("vlmscope")).join(name)
}

/// The user's cache folder of this program; `None` where the system has no such place.
pub(super) fn cache_folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("vlmscope"))
}

/// Unpacks the built-in bundle to a folder; only files that are missing there or differ are written.
///
/// # Errors
/// If the disk is full, or the folder cannot be written to.
pub fn unpack_to(folder: &Path) -> Result<(), BuiltinError> {
    let unpack = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let is_sample = |name: &str| name.starts_with(SAMPLES) || name.starts_with(CAPTURED);
        for (name, bytes) in FILES.iter().filter(|(name, _)| !is_sample(name)) {
            write_unless_same(folder, name, bytes)?;
        }
        Ok(())
    };
    unpack().map_err(|source| BuiltinError::Unpack { path: folder.to_owned(), source })
}

/// Every byte is compared, which takes a few milliseconds: a full disk or a wrong edit can leave files of the right
/// size and a model that gives wrong answers without an error.
fn write_unless_same(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let path = folder.join(name);
    if holds(&path, bytes).unwrap_or(false) {
        return Ok(());
    }
    files::replace_bytes(&path, bytes)
}

/// Whether a regular file holds exactly `expected`.
fn holds(path: &Path, expected: &[u8]) -> std::io::Result<bool> {
    let metadata = std::fs::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.len() != expected.len() as u64 {
        return Ok(false);
    }
    let mut file = std::fs::File::open(path)?;
    let mut block = vec![0; COMPARED_BLOCK_BYTES.min(expected.len())];
    for expected in expected.chunks(COMPARED_BLOCK_BYTES) {
        let block = &mut block[..expected.len()];
        file.read_exact(block)?;
        if block != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

fn file(name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(found, _)| *found == name).map(|(_, bytes)| *bytes)
}
