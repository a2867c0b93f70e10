//! ONNX Runtime's shared library: found at run time, checked, loaded once per process.
//!
//! It is looked for where a user would put it, in an order in which the more deliberate choice
//! wins; a library that was *named* and does not work is an error, one that was merely *found* and
//! does not work is remembered and the search goes on. Loading a library runs its code: nothing is
//! loaded from the current folder, from a file that others could have put there, or before its
//! headers say that it is ONNX Runtime; and only the library that is used is loaded at all.

use super::elf;
use crate::model::error::{ModelError, Result};
use ort::environment::Environment;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const NAMED: &str = "--ort-lib";
const ENVIRONMENT_VARIABLE: &str = "ORT_DYLIB_PATH";
const FIX: &str = "Fetch it with `pip download --no-deps onnxruntime==1.32.0` and unpack the wheel (`unzip onnxruntime-*.whl`), or run `scripts/run`, which does so; then name the library inside (onnxruntime/capi/libonnxruntime.so.1.32.0) with --ort-lib or ORT_DYLIB_PATH.";
/// How the library's file name begins and which part it must have, on this system.
const NAME: (&str, &str) = if cfg!(windows) {
    ("onnxruntime", ".dll")
} else if cfg!(target_os = "macos") {
    ("libonnxruntime", ".dylib")
} else {
    ("libonnxruntime", ".so")
};

/// The smallest build of ONNX Runtime has several megabytes.
const LEAST_BYTES: u64 = 1 << 20;

/// Whether the user named a library or only its place made it a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Named,
    Found,
}

/// The loaded library.
#[derive(Debug)]
pub struct Runtime {
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub version: String,
    pub(super) environment: Environment,
}

/// Where the library was looked for and what was found there, told without loading it.
#[derive(Clone, Debug)]
pub struct RuntimeCandidate {
    /// Why this place was looked at.
    pub source: &'static str,
    /// The library, or the place where none was.
    pub path: PathBuf,
    /// Its version, or what is wrong with it.
    pub version: std::result::Result<String, String>,
}

/// What may lie free at the end of the heap before it is given back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_FREE_BYTES: i32 = 512 << 20;

/// ONNX Runtime allows one environment per process.
static LOADED: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

impl Runtime {
    /// Loads the library that `named` says, or the first that works among the usual places.
    ///
    /// # Errors
    /// Missing, not a library or too old; each says how to get a good one.
    pub fn load(named: Option<&Path>) -> Result<Arc<Self>> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return Ok(Arc::clone(runtime));
        }
        let (path, version) = find(named)?;
        reuse_freed_memory();
        let broken = |reason: String| ModelError::RuntimeNotALibrary {
            path: path.clone(),
            reason,
            fix: FIX.to_owned(),
        };
        let environment = ort::init_from(&path)
            .map_err(|error| broken(error.to_string()))?
            .with_name("vlmscope")
            .with_telemetry(false)
            .build()
            .map_err(|error| broken(error.to_string()))?;
        // Warnings (a missing GPU, an odd node) are ours to tell; ONNX Runtime writes to stderr.
        environment.set_log_level(ort::logging::LogLevel::Fatal);
        let runtime = Arc::new(Self { path, version, environment });
        *loaded = Some(Arc::clone(&runtime));
        Ok(runtime)
    }
}

/// Makes the C allocator take large tensors from its heap and keep what is freed of it for the next
/// layer or token. Left to itself, glibc maps each block of tens of megabytes anew: the pages that
/// the system then has to clear cost a sixth of the time of a question.
fn reuse_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt changes settings of the allocator and touches no memory of ours.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_FREE_BYTES);
    }
}

/// Every place that is looked at, with what is there; for `doctor`.
pub fn candidates(named: Option<&Path>) -> Vec<RuntimeCandidate> {
    places(named)
        .into_iter()
        .flat_map(|(source, place)| {
            let libraries = libraries_at(&place);
            if libraries.is_empty() {
                let version = Err("no ONNX Runtime library there".to_owned());
                return vec![RuntimeCandidate { source, path: place, version }];
            }
            let checked = libraries.into_iter().map(|path| RuntimeCandidate {
                source,
                version: inspect(&path, trust(source))
                    .map(|version| version.unwrap_or_else(|| "unknown version".to_owned()))
                    .map_err(|error| error.to_string()),
                path,
            });
            checked.collect()
        })
        .collect()
}

/// A place that the user wrote down, or one of the usual ones.
fn trust(source: &str) -> Trust {
    if [NAMED, ENVIRONMENT_VARIABLE].contains(&source) { Trust::Named } else { Trust::Found }
}

fn find(named: Option<&Path>) -> Result<(PathBuf, String)> {
    let from_environment = std::env::var_os(ENVIRONMENT_VARIABLE).filter(|path| !path.is_empty());
    if let Some(deliberate) = named.map(Path::to_owned).or(from_environment.map(PathBuf::from)) {
        let path = libraries_at(&deliberate).into_iter().next().unwrap_or(deliberate);
        // The loader looks for a bare name in the system's folders instead of this one.
        let path = std::path::absolute(&path).unwrap_or(path);
        let version = load_and_check(&path, Trust::Named)?;
        return Ok((path, version));
    }
    let mut looked = Vec::new();
    let mut first_problem = None;
    for (source, place) in places(None) {
        let libraries = libraries_at(&place);
        if libraries.is_empty() {
            looked.push(format!("{source} ({})", place.display()));
        }
        for path in libraries {
            match load_and_check(&path, trust(source)) {
                Ok(version) => return Ok((path, version)),
                Err(error) => {
                    looked.push(format!("{source} ({}: unusable)", path.display()));
                    first_problem.get_or_insert(error);
                }
            }
        }
    }
    let missing =
        ModelError::RuntimeMissing { fix: FIX.to_owned(), looked: looked.join(", ") + "." };
    Err(first_problem.unwrap_or(missing))
}

/// Places in the order in which they are tried.
fn places(named: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    let mut places = Vec::new();
    places.extend(named.map(|path| (NAMED, path.to_owned())));
    let from_environment = std::env::var_os(ENVIRONMENT_VARIABLE).filter(|path| !path.is_empty());
    places.extend(from_environment.map(|path| (ENVIRONMENT_VARIABLE, PathBuf::from(path))));
    if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.push(("beside the program", folder.to_owned()));
        places.push(("beside the program", folder.join("lib")));
    }
    if let Some(data) = dirs::data_dir() {
        places.push(("the user's data folder", data.join("vlmscope").join("onnxruntime")));
    }
    for packages in site_packages() {
        places.push(("a Python package", packages.join("onnxruntime").join("capi")));
    }
    places
}

/// Folders of Python packages, without starting Python. Never those of the current folder: whoever
/// unpacks an archive there would run its libraries. A relative path in a variable means it, too.
fn site_packages() -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = Vec::new();
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        let named = std::env::var_os(variable).map(PathBuf::from);
        prefixes.extend(named.filter(|path| path.is_absolute()));
    }
    // The virtual environment of the checkout that the program was built in.
    let program = std::env::current_exe().ok();
    let target = program
        .iter()
        .flat_map(|path| path.ancestors())
        .find(|folder| folder.file_name().is_some_and(|name| name == "target"));
    if let Some(checkout) = target.and_then(Path::parent) {
        prefixes.extend([".venv", "venv"].map(|name| checkout.join(name)));
    }
    // The interpreters on the path: links are followed for system Pythons, not for venvs.
    let path = std::env::var_os("PATH");
    for folder in path.iter().flat_map(std::env::split_paths).filter(|path| path.is_absolute()) {
        for name in ["python3", "python"] {
            let python = folder.join(name);
            if python.is_file() {
                let real = python.canonicalize().ok();
                let both = [Some(python), real].into_iter().flatten();
                prefixes.extend(both.filter_map(|path| Some(path.parent()?.parent()?.to_owned())));
            }
        }
    }
    if let Some(home) = dirs::home_dir() {
        prefixes.push(home.join(".local"));
        prefixes.extend(children(&home.join(".pyenv").join("versions")));
    }
    prefixes.extend(["/usr/local", "/usr"].map(PathBuf::from));
    let mut found = Vec::new();
    for prefix in prefixes {
        let windows = prefix.join("Lib").join("site-packages");
        let unix = children(&prefix.join("lib")).into_iter().filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("python3")
        });
        let packages = unix
            .flat_map(|lib| [lib.join("site-packages"), lib.join("dist-packages")])
            .chain([windows]);
        for folder in packages {
            if folder.is_dir() && !found.contains(&folder) {
                found.push(folder);
            }
        }
    }
    found
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The library itself, or the libraries in a folder, newest name first.
fn libraries_at(place: &Path) -> Vec<PathBuf> {
    if !place.is_dir() {
        return if place.is_file() { vec![place.to_owned()] } else { Vec::new() };
    }
    let (start, part) = NAME;
    let mut libraries: Vec<PathBuf> = children(place)
        .into_iter()
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(start) && name.contains(part) && !name.contains("providers")
        })
        .collect();
    libraries.reverse();
    libraries
}

/// The version of the library at `path`, if this program can use it; it is loaded after what can be
/// told without loading it is right.
fn load_and_check(path: &Path, trust: Trust) -> Result<String> {
    inspect(path, trust)?;
    let version = read_version(path).map_err(|reason| not_a_library(path, reason))?;
    check_version(path, &version)?;
    Ok(version)
}

/// The version that the library at `path` carries in its headers, without loading it; `None` where
/// that cannot be told.
fn inspect(path: &Path, trust: Trust) -> Result<Option<String>> {
    let refused = |reason: String| not_a_library(path, reason);
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(refused("there is no such file".into()));
        }
        Err(error) => return Err(refused(format!("it cannot be read ({error})"))),
    };
    if !metadata.is_file() {
        return Err(refused("it is not a file".into()));
    }
    let version = if cfg!(any(target_os = "macos", windows)) {
        None
    } else {
        elf::runtime_version(path).map_err(refused)?
    };
    if trust == Trust::Found {
        if let Some(reason) = put_there_by_others(path, &metadata) {
            return Err(refused(format!("{reason}; if you trust it, name it with {NAMED}")));
        }
        if metadata.len() < LEAST_BYTES {
            return Err(refused(format!("it has only {} bytes", metadata.len())));
        }
        if version.is_none() && cfg!(target_os = "linux") {
            return Err(refused(format!("its {} has no version", elf::ENTRY_POINT)));
        }
    }
    if let Some(version) = &version {
        check_version(path, version)?;
    }
    Ok(version)
}

/// Why another user could have written the library or its name, if that is so.
#[cfg(unix)]
fn put_there_by_others(path: &Path, file: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    const WRITABLE_BY_ALL: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    // SAFETY: it reads a number of the process and cannot fail.
    let own = unsafe { libc::geteuid() };
    let foreign = |uid: u32| uid != 0 && uid != own;
    if foreign(file.uid()) {
        return Some(format!("it belongs to another user (uid {})", file.uid()));
    }
    if file.mode() & WRITABLE_BY_ALL != 0 {
        return Some("every user may write it".into());
    }
    let real = path.canonicalize().ok()?;
    let folder = real.parent()?.metadata().ok()?;
    let open = folder.mode() & WRITABLE_BY_ALL != 0 && folder.mode() & STICKY == 0;
    (open || foreign(folder.uid())).then(|| "another user may write its folder".into())
}

#[cfg(not(unix))]
fn put_there_by_others(_: &Path, _: &std::fs::Metadata) -> Option<String> {
    None
}

fn not_a_library(path: &Path, reason: String) -> ModelError {
    ModelError::RuntimeNotALibrary { path: path.to_owned(), reason, fix: FIX.to_owned() }
}

fn check_version(path: &Path, version: &str) -> Result<()> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) >= (1, ort::MINOR_VERSION) {
        return Ok(());
    }
    Err(ModelError::RuntimeTooOld {
        path: path.to_owned(),
        found: version.to_owned(),
        needed: format!("1.{}", ort::MINOR_VERSION),
        fix: FIX.to_owned(),
    })
}

/// Asks the library for its version through the one function that every version exports.
fn read_version(path: &Path) -> std::result::Result<String, String> {
    // A bare name would be looked for in the system's folders.
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    // SAFETY: loading a library runs its initialisers; the user named this file as ONNX Runtime, or
    // it lies where only the user and the system write and its headers say that it is.
    let library = unsafe { libloading::Library::new(&path) }.map_err(|error| error.to_string())?;
    type GetApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: a library that exports this name has ONNX Runtime's C interface, in which the
    // function has this type.
    let version = unsafe {
        let get: libloading::Symbol<'_, GetApiBase> = library
            .get(elf::ENTRY_POINT.as_bytes())
            .map_err(|_| format!("it does not export {}", elf::ENTRY_POINT))?;
        let base = get();
        if base.is_null() {
            return Err(format!("{} returned nothing", elf::ENTRY_POINT));
        }
        let text = ((*base).GetVersionString)();
        if text.is_null() {
            return Err("it has no version".to_owned());
        }
        CStr::from_ptr(text).to_string_lossy().into_owned()
    };
    // It stays loaded: unloading it only to load it again costs more than all the rest.
    std::mem::forget(library);
    Ok(version)
}
