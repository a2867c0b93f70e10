//! Temporary files and folders that are always removed: on drop, by the signal handler, or, after a kill, by the next
//! process that writes into the same folder.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use tempfile::{NamedTempFile, TempDir};

const PREFIX: &str = ".vlmscope-";
const SUFFIX: &str = ".part";
const RANDOM_CHARACTERS: usize = 12;

/// Temporary files and folders of this process.
static OWN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// Folders that this process has already searched for files of dead processes.
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Removes all temporary files and folders of this process. A signal handler that ends the program calls it, because no
/// destructor runs then.
pub fn remove_temporary() {
    let own = lock(&OWN);
    // Locks last: they name the other files, in case the program is killed before those are removed.
    let is_lock = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "lock");
    let (locks, rest): (Vec<_>, Vec<_>) = own.iter().partition(is_lock);
    for path in rest.into_iter().chain(locks) {
        // A file that cannot be removed stays.
        let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir_all(path));
    }
    // No other thread creates a temporary file before the program ends.
    std::mem::forget(own);
}

/// Creates or renames temporary files and folders, but not during or after [`remove_temporary`]: a signal ends the program before
/// or after all of it. `make` must not drop a temporary file or folder.
pub fn unless_ending<T>(make: impl FnOnce() -> T) -> T {
    let _own = lock(&OWN);
    make()
}

/// A private folder that is removed when this is dropped.
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    /// Holds the lock.
    _handle: Option<File>,
    _registered: Registered,
}

impl TemporaryFolder {
    /// Makes a folder in `parent`.
    ///
    /// # Errors
    /// If `parent` does not exist or cannot be written to.
    pub fn new_in(parent: &Path) -> io::Result<Self> {
        let mut own = lock(&OWN);
        let folder = builder(&prefix()).tempdir_in(parent).map_err(without_path)?;
        let registered = Registered::among(&mut own, folder.path());
        drop(own);
        let handle = locked(folder.path());
        if let Ok(metadata) = folder.path().symlink_metadata() {
            sweep(parent, &metadata);
        }
        Ok(Self { folder, _handle: handle, _registered: registered })
    }

    /// Creates a folder in the system's folder for temporary files.
    ///
    /// # Errors
    /// If that folder cannot be written to.
    pub fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A temporary file. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Temporary {
    pub file: NamedTempFile,
    pub registered: Registered,
}

impl Temporary {
    /// Makes a file in `folder`; only the user may read it if `is_private`, else the umask decides.
    pub fn new_in(folder: &Path, is_private: bool) -> io::Result<Self> {
        let prefix = prefix();
        let mut builder = builder(&prefix);
        #[cfg(unix)]
        if !is_private {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        #[cfg(not(unix))]
        let _ = is_private;
        let mut own = lock(&OWN);
        let file = builder.tempfile_in(folder).map_err(without_path)?;
        let registered = Registered::among(&mut own, file.path());
        drop(own);
        // On a file system without locks, the process number is the only criterion.
        #[cfg(unix)]
        let _ = file.as_file().try_lock();
        if let Ok(metadata) = file.as_file().metadata() {
            sweep(folder, &metadata);
        }
        Ok(Self { file, registered })
    }
}

/// A path that the signal handler removes; dropping this removes it from the list.
#[derive(Debug)]
pub(super) struct Registered(PathBuf);

impl Registered {
    pub fn new(path: &Path) -> Self {
        Self::among(&mut lock(&OWN), path)
    }

    fn among(own: &mut BTreeSet<PathBuf>, path: &Path) -> Self {
        own.insert(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&OWN).remove(&self.0);
    }
}

/// The system's error alone. tempfile appends the name of the temporary file, which means nothing to the user.
fn without_path(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((system, _)) => io::Error::new(error.kind(), system),
        None => error,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn builder(prefix: &str) -> tempfile::Builder<'_, '_> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(SUFFIX).rand_bytes(RANDOM_CHARACTERS);
    builder
}

/// `.vlmscope-HOST-PID-`; HOST is a hash.
fn prefix() -> String {
    format!("{PREFIX}{}-{}-", host_hash(), std::process::id())
}

fn host_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        host_name().hash(&mut hasher);
        format!("{:08x}", hasher.finish() as u32)
    })
}

/// The name of this machine.
pub(super) fn host_name() -> String {
    sysinfo::System::host_name().unwrap_or_default()
}

/// Removes the temporary files of dead processes of this machine in `folder`. `own` is the metadata of a file that this
/// process has just created there; only files of the same owner are removed.
fn sweep(folder: &Path, own: &Metadata) {
    let Ok(whole) = folder.canonicalize() else { return };
    if !lock(&SWEPT).insert(whole) {
        return;
    }
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(maker) else { continue };
        let path = entry.path();
        if is_abandoned(&path, pid, own) {
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
    }
}

/// The number of the process on this machine that created a temporary file of this name.
fn maker(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.strip_prefix(host_hash())?;
    let (pid, random) = rest.strip_prefix('-')?.split_once('-')?;
    let is_random = random.len() == RANDOM_CHARACTERS
        && random.chars().all(|character| character.is_ascii_alphanumeric());
    pid.parse().ok().filter(|_| is_random)
}

fn is_abandoned(path: &Path, pid: u32, own: &Metadata) -> bool {
    if pid == std::process::id() {
        // Compared by name, because one folder has many paths.
        return !lock(&OWN).iter().any(|own| own.file_name() == path.file_name());
    }
    let Ok(found) = path.symlink_metadata() else { return false };
    if found.is_symlink() || !same_owner(&found, own) || is_running(pid) {
        return false;
    }
    // A process in another container is not visible by its number, but its lock is.
    #[cfg(unix)]
    return File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    #[cfg(not(unix))]
    true
}

/// Whether a process with this number exists.
pub(super) fn is_running(pid: u32) -> bool {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
    let pid = Pid::from_u32(pid);
    // If this cannot be determined, the process counts as running, so that nothing is removed.
    let Ok(mut system) = System::new() else { return true };
    let refresh = ProcessRefreshKind::nothing();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, refresh) > 0
}

#[cfg(unix)]
fn same_owner(found: &Metadata, own: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    found.uid() == own.uid()
}

#[cfg(not(unix))]
fn same_owner(_found: &Metadata, _own: &Metadata) -> bool {
    true
}

/// An open folder with a lock on it.
#[cfg(unix)]
fn locked(folder: &Path) -> Option<File> {
    File::open(folder).ok().inspect(|handle| {
        let _ = handle.try_lock();
    })
}

#[cfg(not(unix))]
fn locked(_folder: &Path) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn left_by(pid: u32) -> String {
        format!("{PREFIX}{}-{pid}-abcdefABCDEF{SUFFIX}", host_hash())
    }

    #[test]
    fn what_a_dead_process_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        // The largest number of a process on Linux is 4194304.
        let dead = folder.path().join(left_by(4_194_999));
        let dead_folder = folder.path().join(left_by(4_194_998));
        let living = folder.path().join(left_by(1));
        let foreign = folder.path().join(format!("{PREFIX}another-4194999-abcdefABCDEF{SUFFIX}"));
        let older = folder.path().join(".vlmscope-abcdef.part");
        std::fs::create_dir(&dead_folder).unwrap();
        for path in [&dead, &dead_folder.join("x"), &living, &foreign, &older] {
            std::fs::write(path, "x").unwrap();
        }
        drop(Temporary::new_in(folder.path(), false).unwrap());
        assert!(!dead.exists() && !dead_folder.exists());
        assert!(living.exists() && foreign.exists() && older.exists());
    }

    #[test]
    #[cfg(unix)]
    fn a_locked_file_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(left_by(4_194_999));
        let held = File::create(&path).unwrap();
        held.lock().unwrap();
        drop(Temporary::new_in(folder.path(), false).unwrap());
        assert!(path.exists());
    }

    #[test]
    fn a_folder_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let folder = TemporaryFolder::new_in(parent.path()).unwrap();
        std::fs::write(folder.path().join("x"), "x").unwrap();
        let path = folder.path().to_owned();
        assert!(lock(&OWN).contains(&path));
        drop(folder);
        assert!(!path.exists() && !lock(&OWN).contains(&path));
    }
}
