//! ONNX Runtime's shared library: found at run time, checked, and loaded once per process.
//!
//! It is searched for in the usual places, the more deliberate choice first. A library that was *named* and does not
//! work is an error; one that was only *found* and does not work is skipped, and the search continues. Loading a
//! library runs its code: no library is loaded from the current folder, from a file that other users could have
//! written, or before its headers state that it is ONNX Runtime; and only the library in use is loaded at all.

use super::elf;
use crate::model::error::{ModelError, Result};
use ort::environment::Environment;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const NAMED: &str = "--ort-lib";
const ENVIRONMENT_VARIABLE: &str = "ORT_DYLIB_PATH";
const FIX: &str = "Fetch it with `pip download --no-deps onnxruntime==1.32.0` and unpack the wheel (`unzip onnxruntime-*.whl`), or run `scripts/run`, which does so; then name the library inside (onnxruntime/capi/libonnxruntime.so.1.32.0) with --ort-lib or ORT_DYLIB_PATH.";
/// Prefix of the library's file name and a part that it must contain, on this system.
const NAME: (&str, &str) = if cfg!(windows) {
    ("onnxruntime", ".dll")
} else if cfg!(target_os = "macos") {
    ("libonnxruntime", ".dylib")
} else {
    ("libonnxruntime", ".so")
};

/// The smallest build of ONNX Runtime has several megabytes.
const LEAST_BYTES: u64 = 1 << 20;

/// Whether the user named a library or it was only found in a usual place.
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

/// A place that was searched for the library and the result, determined without loading the library.
#[derive(Clone, Debug)]
pub struct RuntimeCandidate {
    /// The reason why this place was searched.
    pub source: &'static str,
    /// The library, or the place without one.
    pub path: PathBuf,
    /// Its version, or the reason why it cannot be used.
    pub version: std::result::Result<String, String>,
}

/// ONNX Runtime allows one environment per process.
static LOADED: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

impl Runtime {
    /// Loads the library `named`, or the first library in the usual places that works.
    ///
    /// # Errors
    /// No library, not a library, or too old; each error says how to install a working one.
    pub fn load(named: Option<&Path>) -> Result<Arc<Self>> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return Ok(Arc::clone(runtime));
        }
        let (path, version) = find(named)?;
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
        // This program reports warnings (a missing GPU, an unusual node) itself; ONNX Runtime would write them to
        // stderr.
        environment.set_log_level(ort::logging::LogLevel::Fatal);
        let runtime = Arc::new(Self { path, version, environment });
        *loaded = Some(Arc::clone(&runtime));
        Ok(runtime)
    }
}

/// Every place that is searched, with the library found there; for `doctor`.
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

/// Named if the user gave the place, otherwise found.
fn trust(source: &str) -> Trust {
    if [NAMED, ENVIRONMENT_VARIABLE].contains(&source) { Trust::Named } else { Trust::Found }
}

fn find(named: Option<&Path>) -> Result<(PathBuf, String)> {
    let from_environment = std::env::var_os(ENVIRONMENT_VARIABLE).filter(|path| !path.is_empty());
    if let Some(deliberate) = named.map(Path::to_owned).or(from_environment.map(PathBuf::from)) {
        let path = libraries_at(&deliberate).into_iter().next().unwrap_or(deliberate);
        // For a bare name, the loader would search the system's folders instead of the current one.
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

/// Places in the order of the search.
fn places(named: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    let mut places = Vec::new();
    places.extend(named.map(|path| (NAMED, path.to_owned())));
    let from_environment = std::env::var_os(ENVIRONMENT_VARIABLE).filter(|path| !path.is_empty());
    places.extend(from_environment.map(|path| (ENVIRONMENT_VARIABLE, PathBuf::from(path))));
    if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.push(("beside the program", folder.to_owned()));
        places.push(("beside the program", folder.join("lib")));
    }
    let library_of = |packages: PathBuf| packages.join("onnxruntime").join("capi");
    for packages in own_site_packages() {
        places.push(("the program's Python environment", library_of(packages)));
    }
    if let Some(data) = dirs::data_dir() {
        places.push(("the user's data folder", data.join("vlmscope").join("onnxruntime")));
    }
    for place in site_packages().into_iter().map(library_of) {
        if places.iter().all(|(_, known)| *known != place) {
            places.push(("a Python package", place));
        }
    }
    places
}

/// Package folders of the Python environment that pip installed the program into: the program is PREFIX/bin/vlmscope,
/// and its wheel depends on ONNX Runtime's. The environment need not be active.
fn own_site_packages() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let prefix = program.as_deref().and_then(Path::parent).and_then(Path::parent);
    prefix.map(packages_of).unwrap_or_default()
}

/// Folders of Python packages, found without starting Python. Folders below the current folder are excluded: a user who
/// unpacks an archive there would run its libraries. This includes relative paths in environment variables.
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
    // The interpreters in PATH: links are followed for system Pythons, not for virtual environments.
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
    for folder in prefixes.iter().flat_map(|prefix| packages_of(prefix)) {
        if !found.contains(&folder) {
            found.push(folder);
        }
    }
    found
}

/// The package folders of a Python installation or virtual environment.
fn packages_of(prefix: &Path) -> Vec<PathBuf> {
    let windows = prefix.join("Lib").join("site-packages");
    let unix = children(&prefix.join("lib")).into_iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("python3")
    });
    unix.flat_map(|lib| [lib.join("site-packages"), lib.join("dist-packages")])
        .chain([windows])
        .filter(|folder| folder.is_dir())
        .collect()
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

/// The version of the library at `path`, if this program can use it; the library is loaded only after all checks that
/// are possible without loading.
fn load_and_check(path: &Path, trust: Trust) -> Result<String> {
    inspect(path, trust)?;
    let version = read_version(path).map_err(|reason| not_a_library(path, reason))?;
    check_version(path, &version)?;
    Ok(version)
}

/// The version in the headers of the library at `path`, without loading it; `None` if the headers do not state one.
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

/// The reason why another user could have written the library or its name, if so.
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

/// Asks the library for its version through the only function that every version exports.
fn read_version(path: &Path) -> std::result::Result<String, String> {
    // The loader would search the system's folders for a bare name.
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
    // It stays loaded: unloading it and loading it again costs more than all other steps.
    std::mem::forget(library);
    Ok(version)
}
