//! Locks that allow one writer at a time; the system releases a lock when its owner ends.
//!
//! The lock on NAME is an advisory lock on `.vlmscope-NAME.lock` in the same folder. The file has a line for each
//! holder and is removed when the lock is released. After a kill the file remains but the lock does not: from the file,
//! the next holder learns which part the killed process was writing.

use super::place::{folder_of, follow_links};
use super::replace::{copy_permissions, replaceable};
use super::temporary::{Registered, host_name, unless_ending};
use serde::{Deserialize, Serialize};
#[cfg(unix)]
use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Error, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::{Mutex, PoisonError};

/// Longer names of lock files are shortened: file systems allow 255 bytes.
const LONGEST_NAME_BYTES: usize = 200;
const PREFIX: &str = ".vlmscope-";
const SUFFIX: &str = ".lock";
/// Folders that this process has already searched for lock files of killed processes.
#[cfg(unix)]
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// Only this much of a lock file is read.
const MOST_HOLDER_BYTES: u64 = 4096;

/// The lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error(
        "{path} is being written by another vlmscope (process {pid} on {host}). Wait until it is done, end it, or choose another name.",
        path = path.display()
    )]
    Held {
        /// The locked file or folder.
        path: PathBuf,
        /// The number of the process.
        pid: u32,
        /// The machine that it runs on.
        host: String,
    },
    /// The lock file cannot be written.
    #[error("{0}")]
    Io(#[from] Error),
}

impl LockError {
    /// Whether the process that holds the lock has been killed and is still ending: a GPU's driver may take seconds to
    /// release its memory. Only known on Linux.
    pub fn is_of_ending_process(&self) -> bool {
        /// `PF_EXITING` of the kernel.
        const EXITING: u32 = 4;
        let Self::Held { pid, .. } = self else { return false };
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        // The name of the program, in parentheses, may hold any character.
        let mut fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
        let is_zombie = fields.next() == Some("Z");
        let flags: u32 = fields.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0);
        is_zombie || flags & EXITING != 0
    }
}

/// A line of a lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    /// The name of the part that is being written, in the same folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
}

impl Holder {
    fn this() -> Self {
        Self { pid: std::process::id(), host: host_name(), part: None }
    }
}

/// A lock on a file or folder, whether it exists or not. Dropping it releases it.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    file: File,
    /// Lines of killed holders that did not release the lock.
    left: Vec<Holder>,
    _registered: Registered,
}

impl FileLock {
    /// Takes the lock; if another process holds it, the error names the holder.
    ///
    /// # Errors
    /// If the lock is held, or the folder of `target` cannot be written to.
    pub fn acquire(target: &Path) -> Result<Self, LockError> {
        Self::take(target, |file| match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => unless_unknown(error),
        })
    }

    /// Takes the lock, after waiting for other holders.
    ///
    /// # Errors
    /// If the folder of `target` cannot be written to.
    pub fn wait(target: &Path) -> io::Result<Self> {
        let taken = Self::take(target, |file| file.lock().map(|()| true).or_else(unless_unknown));
        taken.map_err(|error| match error {
            LockError::Io(error) => error,
            held @ LockError::Held { .. } => Error::new(ErrorKind::WouldBlock, held),
        })
    }

    fn take(target: &Path, lock: impl Fn(&File) -> io::Result<bool>) -> Result<Self, LockError> {
        let target = follow_links(target)?;
        let path = lock_path(&target);
        loop {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            if !lock(&file)? {
                let holder = read_holders(&mut file).pop().unwrap_or_default();
                let Holder { pid, host, .. } = holder;
                return Err(LockError::Held { path: target, pid, host });
            }
            // The holder may have removed the file after it was opened here.
            if !is_at(&file, &path)? {
                continue;
            }
            let left = read_holders(&mut file);
            let registered = Registered::new(&path);
            let mut taken = Self { path, file, left, _registered: registered };
            // The earlier lines stay until the parts that they name are removed.
            taken.append(&Holder::this())?;
            sweep(folder_of(&target));
            return Ok(taken);
        }
    }

    fn append(&mut self, holder: &Holder) -> io::Result<()> {
        self.file.seek(SeekFrom::End(0))?;
        // The line before may be incomplete after a kill.
        self.file.write_all(format!("\n{}\n", serde_json::to_string(holder)?).as_bytes())
    }

    fn rewrite(&mut self, holder: &Holder) -> io::Result<()> {
        self.file.set_len(0)?;
        self.append(holder)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // On other systems a file that another process has open cannot be removed; it is emptied instead.
        if cfg!(unix) {
            let _ = std::fs::remove_file(&self.path);
        } else {
            let _ = self.file.set_len(0);
        }
    }
}

/// The right to write a file or folder over a long time, under a temporary name beside it: `NAME.part-RANDOM.EXT`. The
/// part of an earlier writer that was killed is removed when the next writer starts.
#[derive(Debug)]
pub struct Claim {
    target: PathBuf,
    part: PathBuf,
    _registered: Registered,
    _lock: FileLock,
}

impl Claim {
    /// Claims `out`. Nothing is created yet; a link is followed.
    ///
    /// # Errors
    /// If another process is writing it, or its folder cannot be written to.
    pub fn new(out: &Path) -> Result<Self, LockError> {
        let target = follow_links(out)?;
        let mut lock = FileLock::acquire(&target)?;
        let folder = folder_of(&target);
        for name in lock.left.drain(..).filter_map(|left| left.part) {
            remove_part(&target, &folder.join(name));
        }
        let name = part_name(&target);
        let part = folder.join(&name);
        // The name is recorded before the part is created, so that it can be found after a kill at any moment.
        let name = name.to_str().map(str::to_owned);
        lock.rewrite(&Holder { part: name, ..Holder::this() })?;
        let registered = Registered::new(&part);
        Ok(Self { target, part, _registered: registered, _lock: lock })
    }

    /// The claimed path, with links followed.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The name to write under.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Creates the file to write to.
    ///
    /// # Errors
    /// If it cannot be created, or if the file that it will replace is protected.
    pub fn create_file(&self) -> io::Result<File> {
        replaceable(&self.target)?;
        unless_ending(|| File::options().read(true).write(true).create_new(true).open(&self.part))
    }

    /// Creates the folder to write to.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create_folder(&self) -> io::Result<()> {
        unless_ending(|| std::fs::create_dir(&self.part))
    }

    /// Renames a file that was written under [`Self::part`] or another temporary name to the claimed name. It gets the
    /// permissions of the file that it replaces.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn keep_file(&self, written: &Path) -> io::Result<()> {
        if let Some(old) = replaceable(&self.target)? {
            copy_permissions(&File::open(written)?, &old)?;
        }
        std::fs::rename(written, &self.target)
    }
}

/// Removes lock files of killed processes in `folder`, once for each folder. A lock file that names a part stays until
/// the next writer of the same file has removed the part.
#[cfg(unix)]
fn sweep(folder: &Path) {
    let Ok(whole) = folder.canonicalize() else { return };
    if !SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(whole) {
        return;
    }
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_lock =
            name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        let path = entry.path();
        if !is_lock || !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            continue;
        }
        let Ok(mut file) = File::options().read(true).write(true).open(&path) else { continue };
        // A process that waits for the file finds it removed and creates another, as after a release.
        let is_free = file.try_lock().is_ok() && is_at(&file, &path).is_ok_and(|is_at| is_at);
        if is_free && read_holders(&mut file).iter().all(|holder| holder.part.is_none()) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(not(unix))]
fn sweep(_folder: &Path) {}

/// On a file system without locks every writer is admitted.
fn unless_unknown(error: Error) -> io::Result<bool> {
    if error.kind() == ErrorKind::Unsupported { Ok(true) } else { Err(error) }
}

fn lock_path(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    let mut file_name = OsString::from(PREFIX);
    if name.len() <= LONGEST_NAME_BYTES {
        file_name.push(name);
    } else {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        file_name.push(format!("{:016x}", hasher.finish()));
    }
    file_name.push(SUFFIX);
    target.with_file_name(file_name)
}

/// The holders in a lock file, oldest first.
fn read_holders(file: &mut File) -> Vec<Holder> {
    let mut bytes = Vec::new();
    // An unreadable lock file names no holder.
    if file.rewind().is_err()
        || io::Read::take(&*file, MOST_HOLDER_BYTES).read_to_end(&mut bytes).is_err()
    {
        return Vec::new();
    }
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

/// Whether the path refers to this file itself, not to a link to it.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !found.is_file() {
        let reason = format!("{} is not a file that vlmscope made; remove it", path.display());
        return Err(Error::new(ErrorKind::InvalidInput, reason));
    }
    let open = file.metadata()?;
    Ok((found.dev(), found.ino()) == (open.dev(), open.ino()))
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// The prefix `NAME.part-`.
fn part_prefix(target: &Path) -> OsString {
    let mut prefix = target.file_stem().unwrap_or_default().to_owned();
    prefix.push(".part-");
    prefix
}

fn part_name(target: &Path) -> OsString {
    let mut name = part_prefix(target);
    // Each `RandomState` has its own keys, from the system's random numbers.
    name.push(format!("{:016x}", RandomState::new().hash_one(())));
    if let Some(extension) = target.extension() {
        name.push(".");
        name.push(extension);
    }
    name
}

/// Removes the part of a killed writer of `target`.
fn remove_part(target: &Path, part: &Path) {
    let prefix = part_prefix(target);
    let name = part.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    let is_ours =
        part.parent() == Some(folder_of(target)) && name.starts_with(prefix.as_encoded_bytes());
    let Ok(found) = part.symlink_metadata() else { return };
    if !is_ours || found.is_symlink() {
        return;
    }
    // A part that cannot be removed stays; the new part has another name.
    let _ = if found.is_dir() { std::fs::remove_dir_all(part) } else { std::fs::remove_file(part) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn entries(folder: &Path) -> usize {
        folder.read_dir().unwrap().count()
    }

    #[test]
    fn the_second_is_told_who_holds_it_and_the_lock_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film.mp4");
        let first = FileLock::acquire(&target).unwrap();
        let error = FileLock::acquire(&target).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.contains("film.mp4"), "{error}");
        drop(first);
        assert_eq!(entries(folder.path()), 0);
        drop(FileLock::acquire(&target).unwrap());
        let waiting = FileLock::wait(&target).unwrap();
        drop(waiting);
        assert_eq!(entries(folder.path()), 0);
    }

    #[test]
    #[cfg(unix)]
    fn links_to_one_file_share_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("x"), folder.path().join("link"));
        std::os::unix::fs::symlink("x", &link).unwrap();
        let _held = FileLock::acquire(&link).unwrap();
        assert!(matches!(FileLock::acquire(&file), Err(LockError::Held { .. })));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_in_place_of_the_lock_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, target) = (folder.path().join("victim"), folder.path().join("x"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join(".vlmscope-x.lock")).unwrap();
        assert!(FileLock::acquire(&target).is_err());
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    #[cfg(unix)]
    fn lock_files_of_killed_processes_go_unless_they_name_a_part() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (abandoned, held) = (at(".vlmscope-a.lock"), at(".vlmscope-b.lock"));
        let with_part = at(".vlmscope-c.lock");
        std::fs::write(&abandoned, r#"{"pid":1,"host":"h"}"#).unwrap();
        std::fs::write(&with_part, r#"{"pid":1,"host":"h","part":"c.part-x"}"#).unwrap();
        let other = File::create(&held).unwrap();
        other.lock().unwrap();
        drop(FileLock::acquire(&at("d")).unwrap());
        assert!(!abandoned.exists() && held.exists() && with_part.exists());
    }

    #[test]
    fn many_waiters_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("count");
        std::fs::write(&target, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let _lock = FileLock::wait(&target).unwrap();
                        let count: u32 = std::fs::read_to_string(&target).unwrap().parse().unwrap();
                        std::fs::write(&target, (count + 1).to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "200");
        assert_eq!(entries(folder.path()), 1);
    }

    /// The first writer was killed while it wrote, the second before it removed the part of the first.
    fn claim_after_two_kills(target: &Path) -> Claim {
        let claim = Claim::new(target).unwrap();
        let (left, lock_file) = (claim.part().to_owned(), lock_path(target));
        std::fs::write(&left, "half").unwrap();
        let first = std::fs::read_to_string(&lock_file).unwrap();
        drop(claim);
        std::fs::write(&lock_file, first).unwrap();
        let second = FileLock::acquire(target).unwrap();
        let text = std::fs::read_to_string(&lock_file).unwrap();
        drop(second);
        std::fs::write(&lock_file, text + "{\"pid\":1,\"ho").unwrap();
        let claim = Claim::new(target).unwrap();
        assert!(!left.exists());
        claim
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_by_the_next_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let target = at("film.mp4");
        for foreign in ["film.part.mp4", "film.part-mine.mp4", "thesis.txt"] {
            std::fs::write(at(foreign), "precious").unwrap();
        }
        let claim = Claim::new(&target).unwrap();
        let left = claim.part().to_owned();
        std::fs::write(&left, "half").unwrap();
        let lock_file = at(".vlmscope-film.mp4.lock");
        let text = std::fs::read_to_string(&lock_file).unwrap();
        drop(claim);
        // As after a kill: the lock file exists, and no process holds the lock.
        std::fs::write(&lock_file, text).unwrap();
        let claim = Claim::new(&target).unwrap();
        assert!(!left.exists());
        assert_ne!(claim.part(), left);
        drop(claim);
        drop(claim_after_two_kills(&target));
        // A lock file that names anything other than a part of its target removes nothing.
        for name in ["thesis.txt", "../thesis.txt", "film.part.mp4"] {
            std::fs::write(&lock_file, format!(r#"{{"pid":1,"host":"h","part":"{name}"}}"#))
                .unwrap();
            drop(Claim::new(&target).unwrap());
        }
        assert_eq!(entries(folder.path()), 3);
    }
}
