//! ONNX Runtime's shared library: found at run time, checked, loaded once per process.
//!
//! It is looked for where a user would put it, in an order in which the more deliberate choice
//! wins; a library that was *named* and does not work is an error, one that was merely *found* and
//! does not work is remembered and the search goes on.

use super::elf::check_complete;
use crate::model::error::{ModelError, Result};
use ort::environment::Environment;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

/// The loaded library.
#[derive(Debug)]
pub struct Runtime {
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub version: String,
    pub(super) environment: Environment,
}

/// Where the library was looked for and what was found there.
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
                version: check(&path).map_err(|error| error.to_string()),
                path,
            });
            checked.collect()
        })
        .collect()
}

fn find(named: Option<&Path>) -> Result<(PathBuf, String)> {
    let from_environment = std::env::var_os(ENVIRONMENT_VARIABLE).filter(|path| !path.is_empty());
    if let Some(deliberate) = named.map(Path::to_owned).or(from_environment.map(PathBuf::from)) {
        let path = libraries_at(&deliberate).into_iter().next().unwrap_or(deliberate);
        // The loader looks for a bare name in the system's folders instead of this one.
        let path = std::path::absolute(&path).unwrap_or(path);
        let version = check(&path)?;
        return Ok((path, version));
    }
    let mut looked = Vec::new();
    let mut too_old = None;
    for (source, place) in places(None) {
        let libraries = libraries_at(&place);
        if libraries.is_empty() {
            looked.push(format!("{source} ({})", place.display()));
        }
        for path in libraries {
            match check(&path) {
                Ok(version) => return Ok((path, version)),
                Err(error) => {
                    looked.push(format!("{source} ({}: unusable)", path.display()));
                    too_old.get_or_insert(error);
                }
            }
        }
    }
    let missing =
        ModelError::RuntimeMissing { fix: FIX.to_owned(), looked: looked.join(", ") + "." };
    Err(too_old.unwrap_or(missing))
}

/// Places in the order in which they are tried.
fn places(named: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    let mut places = Vec::new();
    places.extend(named.map(|path| ("--ort-lib", path.to_owned())));
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

/// Folders of Python packages, without starting Python.
fn site_packages() -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = Vec::new();
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        prefixes.extend(std::env::var_os(variable).map(PathBuf::from));
    }
    // A virtual environment of the checkout: in this folder, or above a binary in target/.
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let above_program = program.iter().flat_map(|path| path.ancestors().skip(1).take(4));
    for folder in here.iter().map(PathBuf::as_path).chain(above_program) {
        prefixes.extend([".venv", "venv"].map(|name| folder.join(name)));
    }
    // The interpreters on the path: links are followed for system Pythons, not for venvs.
    for folder in std::env::var_os("PATH").iter().flat_map(std::env::split_paths) {
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

/// The version of the library at `path`, if this program can use it.
fn check(path: &Path) -> Result<String> {
    let not_a_library = |reason: String| ModelError::RuntimeNotALibrary {
        path: path.to_owned(),
        reason,
        fix: FIX.to_owned(),
    };
    if !path.exists() {
        return Err(not_a_library("there is no such file".into()));
    }
    check_complete(path).map_err(not_a_library)?;
    let version = read_version(path).map_err(not_a_library)?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if major == 1 && minor < ort::MINOR_VERSION {
        return Err(ModelError::RuntimeTooOld {
            path: path.to_owned(),
            found: version,
            needed: format!("1.{}", ort::MINOR_VERSION),
            fix: FIX.to_owned(),
        });
    }
    Ok(version)
}

/// Asks the library for its version through the one function that every version exports.
fn read_version(path: &Path) -> std::result::Result<String, String> {
    // A bare name would be looked for in the system's folders.
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    // SAFETY: loading a library runs its initialisers; the user or the search named this file as
    // ONNX Runtime, and it is going to be loaded for its purpose anyway.
    let library = unsafe { libloading::Library::new(&path) }.map_err(|error| error.to_string())?;
    type GetApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: a library that exports this name has ONNX Runtime's C interface, in which the
    // function has this type.
    let version = unsafe {
        let get: libloading::Symbol<'_, GetApiBase> = library
            .get(b"OrtGetApiBase")
            .map_err(|_| "it does not export OrtGetApiBase".to_owned())?;
        let base = get();
        if base.is_null() {
            return Err("OrtGetApiBase returned nothing".to_owned());
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
