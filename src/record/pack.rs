//! A walkthrough with all its traces in one file.
//!
//! A pack is a ZIP of walkthrough.toml and traces/*.vlmtrace. Traces include pictures; rows of attention that no step
//! shows are left out. Opening a pack unpacks it to a temporary folder, because attention is read from the file on
//! demand.

use super::painter::OpenTraces;
use crate::files::{FileLock, LockError, Replacement, TemporaryFolder, folder_of, open_regular};
use crate::logging::bug;
use crate::trace::{Trace, TraceError};
use crate::view::timeline::{Walkthrough, WalkthroughError};
use crate::view::{Bounds, MapChoice, MapSource, ViewError, ViewState};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const WALKTHROUGH: &str = "walkthrough.toml";
const TRACES: &str = "traces";
/// More files than any walkthrough refers to.
const MOST_ENTRIES: usize = 10_000;
/// A pack may always unpack to this size …
const ALWAYS_BYTES: u64 = 100_000_000;
/// … or to this many times its own size. Attention is compressed by a factor of 2 to 20; a far larger factor is a sign
/// of a pack that is meant to fill the disk.
const MOST_RATIO: u64 = 200;

/// A pack cannot be written or opened.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It cannot be written.
    #[error("cannot write the pack {path}: {source}. Check that its folder exists, is writable \
        and has free space.", path = path.display())]
    Write {
        /// The pack.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// Another process writes the same pack.
    #[error(transparent)]
    Held(LockError),
    /// It would replace one of the files that it is made of.
    #[error("{path} is an input of this command and would be overwritten; choose another name", path = path.display())]
    Input {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot open the pack {path}: {reason}. A pack is a ZIP file that `vlmscope pack` wrote.", path = path.display())]
    Read {
        /// The pack.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// A trace in it cannot be cut.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A step does not fit its trace.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The walkthrough cannot be written.
    #[error(transparent)]
    Walkthrough(#[from] WalkthroughError),
}

/// Counts and sizes of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Number of traces.
    pub traces: usize,
    /// Rows of attention in all traces.
    pub rows: usize,
    /// Rows that some step shows.
    pub rows_kept: usize,
    /// Size of the original traces.
    pub trace_bytes: u64,
    /// Size of the pack.
    pub bytes: u64,
}

/// A pack that was unpacked; dropping it removes the files.
#[derive(Debug)]
pub struct Unpacked {
    /// The walkthrough's file.
    pub walkthrough: PathBuf,
    _folder: TemporaryFolder,
}

/// Refuses to write a file over one of its inputs.
///
/// # Errors
/// [`PackError::Input`] if `out` is one of `inputs`.
pub fn refuse_input<'a>(
    out: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), PackError> {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    let is_out = |input: &Path| whole(input).is_some_and(|input| whole(out) == Some(input));
    match inputs.into_iter().find(|input| is_out(input)) {
        Some(_) => Err(PackError::Input { path: out.to_owned() }),
        None => Ok(()),
    }
}

/// Writes a pack.
///
/// # Errors
/// If it cannot be written, or would replace what it is made of; then an older one is still there.
pub fn pack(
    walkthrough: &Walkthrough,
    traces: &OpenTraces,
    out: &Path,
) -> Result<Packed, PackError> {
    let failed = |source: io::Error| PackError::Write { path: out.to_owned(), source };
    refuse_input(out, traces.iter().map(|(path, _)| path))?;
    let mut walkthrough = walkthrough.clone();
    let shown = rows_shown(&walkthrough, traces)?;
    let names = names(shown.keys());
    for path in walkthrough.trace_paths_mut() {
        if let Some(name) = names.get(path.as_path()) {
            *path = Path::new(TRACES).join(name);
        }
    }
    let _lock = FileLock::acquire(out).map_err(|error| match error {
        LockError::Io(source) => failed(source),
        held @ LockError::Held { .. } => PackError::Held(held),
    })?;
    let part = Replacement::begin(out).map_err(failed)?;
    let scratch = TemporaryFolder::new_in(folder_of(out)).map_err(failed)?;
    // Dropping it after an error would write to the file again and print to the terminal.
    let mut zip = ManuallyDrop::new(ZipWriter::new(part.file()));
    let options = SimpleFileOptions::default().large_file(true);
    let zip_failed = |error: zip::result::ZipError| failed(io::Error::from(error));
    zip.start_file(WALKTHROUGH, options).map_err(zip_failed)?;
    zip.write_all(walkthrough.to_toml()?.as_bytes()).map_err(failed)?;
    let mut packed =
        Packed { traces: shown.len(), rows: 0, rows_kept: 0, trace_bytes: 0, bytes: 0 };
    for (path, queries) in &shown {
        let (Some(trace), Some(name)) = (traces.get(path), names.get(path.as_path())) else {
            bug!("{} is shown, but it is not open", path.display());
            continue;
        };
        let cut = trace.with_rows(&queries.iter().copied().collect::<Vec<_>>())?;
        packed.rows += trace.rows().len();
        packed.rows_kept += cut.rows().len();
        packed.trace_bytes += trace.data_bytes();
        let file = scratch.path().join(name);
        cut.write(&file)?;
        zip.start_file(format!("{TRACES}/{name}"), options).map_err(zip_failed)?;
        io::copy(&mut File::open(&file).map_err(failed)?, &mut *zip).map_err(failed)?;
        std::fs::remove_file(&file).map_err(failed)?;
    }
    ManuallyDrop::into_inner(zip).finish().map_err(zip_failed)?;
    packed.bytes = part.file().metadata().map_err(failed)?.len();
    part.keep().map_err(failed)?;
    Ok(packed)
}

/// Unpacks a pack into a temporary folder.
///
/// # Errors
/// If it is not a pack, or there is no room.
pub fn unpack(path: &Path) -> Result<Unpacked, PackError> {
    let failed = |reason: String| PackError::Read { path: path.to_owned(), reason };
    let file = open_regular(path).map_err(|error| failed(error.to_string()))?;
    let mut archive = ZipArchive::new(file).map_err(|error| failed(error.to_string()))?;
    check_sizes(&mut archive, path)?;
    let folder = TemporaryFolder::new()
        .map_err(|error| failed(format!("no temporary folder for it ({error})")))?;
    std::fs::create_dir(folder.path().join(TRACES)).map_err(|error| failed(error.to_string()))?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| failed(error.to_string()))?;
        // Only files that belong to a pack, and none outside of its folder.
        let Some(name) = entry.enclosed_name().filter(|name| belongs(name)) else { continue };
        let to = folder.path().join(&name);
        let size = entry.size();
        let copied = File::create_new(&to)
            .and_then(|mut out| io::copy(&mut io::Read::take(&mut entry, size + 1), &mut out))
            .and_then(|copied| {
                if copied == size {
                    Ok(())
                } else {
                    Err(io::Error::other("it has another size than the pack says"))
                }
            });
        copied.map_err(|error| failed(format!("{} in it: {error}", name.display())))?;
    }
    let walkthrough = folder.path().join(WALKTHROUGH);
    if !walkthrough.is_file() {
        return Err(failed(format!("it holds no {WALKTHROUGH}")));
    }
    if let Some(outside) = trace_outside(&walkthrough, folder.path())? {
        let reason = format!(
            "its walkthrough shows {}, which is not in the pack, but a pack shows its own traces \
            only; do not use it unless you trust its author",
            outside.display()
        );
        return Err(failed(reason));
    }
    Ok(Unpacked { walkthrough, _folder: folder })
}

/// A trace that a walkthrough names and that is not one of the pack in `folder`.
fn trace_outside(walkthrough: &Path, folder: &Path) -> Result<Option<PathBuf>, WalkthroughError> {
    let mut walkthrough = Walkthrough::open(walkthrough)?;
    let is_own = |path: &Path| path.strip_prefix(folder).is_ok_and(belongs);
    let outside = walkthrough.trace_paths_mut().find(|path| !is_own(path));
    Ok(outside.map(|path| path.clone()))
}

/// Refuses a small file that would fill the disk, before anything is unpacked.
fn check_sizes(archive: &mut ZipArchive<File>, path: &Path) -> Result<(), PackError> {
    let failed = |reason: String| PackError::Read { path: path.to_owned(), reason };
    if archive.len() > MOST_ENTRIES {
        return Err(failed(format!("it has {} entries, more than {MOST_ENTRIES}", archive.len())));
    }
    let packed_bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let limit = ALWAYS_BYTES.max(packed_bytes.saturating_mul(MOST_RATIO));
    let mut total = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| failed(error.to_string()))?;
        total = total.saturating_add(entry.size());
    }
    if total > limit {
        return Err(failed(format!(
            "its {} MB would unpack to {} MB, which is too much for a pack of traces (the limit \
            is {} MB)",
            packed_bytes / 1_000_000,
            total / 1_000_000,
            limit / 1_000_000
        )));
    }
    Ok(())
}

fn belongs(name: &Path) -> bool {
    let is_trace = name.parent() == Some(Path::new(TRACES))
        && name.extension().is_some_and(|extension| extension == "vlmtrace");
    is_trace || name == Path::new(WALKTHROUGH)
}

/// A unique file name for each trace.
fn names<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> BTreeMap<&'a Path, String> {
    let mut used = BTreeSet::new();
    paths
        .map(|path| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let stem = stem.unwrap_or_else(|| "trace".into());
            let candidates = std::iter::once(stem.clone());
            let mut candidates = candidates.chain((2..).map(|n| format!("{stem}-{n}")));
            let name = candidates.find(|name| used.insert(name.to_lowercase())).unwrap_or(stem);
            (path.as_path(), format!("{name}.vlmtrace"))
        })
        .collect()
}

/// The query positions that steps show, for each trace.
fn rows_shown(
    walkthrough: &Walkthrough,
    traces: &OpenTraces,
) -> Result<BTreeMap<PathBuf, BTreeSet<u32>>, PackError> {
    let mut shown: BTreeMap<PathBuf, BTreeSet<u32>> = BTreeMap::new();
    for step in &walkthrough.steps {
        let state = &step.state;
        let Some(first) = &state.trace else { continue };
        let mut maps = vec![(first, &state.map)];
        if let Some(second) = &state.second {
            maps.push((second.trace.as_ref().unwrap_or(first), &second.map));
        }
        for (path, map) in maps {
            let Some(trace) = traces.get(path) else {
                bug!("{} is shown, but it is not open", path.display());
                continue;
            };
            let rows = shown.entry(path.clone()).or_default();
            rows.extend(rows_of(state, map, trace)?);
            if rows.is_empty() {
                // A trace has at least one row: the one that predicts the answer's first token.
                let answer = trace.meta().prompt_len.saturating_sub(1);
                let kept = trace.rows();
                let one = kept.iter().find(|&&row| row == answer).or_else(|| kept.first());
                rows.extend(one);
            }
        }
    }
    Ok(shown)
}

fn rows_of(state: &ViewState, map: &MapChoice, trace: &Trace) -> Result<Vec<u32>, PackError> {
    let spec = state.view.spec();
    if spec.every.tokens {
        return Ok(trace.rows().to_vec());
    }
    match &map.source {
        // These maps are stored with rows of their own.
        MapSource::Named(_) if !spec.needs_pages() => Ok(Vec::new()),
        MapSource::Named(_) | MapSource::Attention => {
            let queries = Bounds::from_trace(trace).query_rows(&map.queries)?;
            Ok(queries.into_iter().map(|query| query.0).collect())
        }
    }
}
