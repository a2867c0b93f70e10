//! A trace file that stays open and is read on demand.
//!
//! Other programs may overwrite or truncate the file in place (`cp`, `scp` and `rsync --inplace` do). So it is never
//! memory-mapped: parts are read on demand, and each read is checked against the size and modification time that the
//! file had when it was opened. Soon after opening, a window reads a file of moderate size into memory and then no
//! longer depends on the file.
//!
//! The file may also lie on another machine or in memory; the trace reads it in the same way.

use crate::files;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// Size and modification time of a file; if they differ, the file has other contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    length_bytes: u64,
    modified: Option<SystemTime>,
}

impl FileStamp {
    /// The stamp of the file at `path` now; `None` if there is no file.
    pub fn read(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }

    /// Size in bytes and modification time in nanoseconds since 1970, for a file that remembers the stamp.
    pub fn to_text(&self) -> String {
        let since = self.modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let modified_ns = since.map_or(0, |since| since.as_nanos());
        format!("{} {modified_ns}", self.length_bytes)
    }
}

impl From<&Metadata> for FileStamp {
    fn from(metadata: &Metadata) -> Self {
        Self { length_bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Bytes of a trace file on another machine.
pub trait RemoteBytes: std::fmt::Debug + Send + Sync {
    /// Fills `bytes` from `offset` on, without waiting.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if some of them have not arrived; they are then fetched next. Any other error if they
    /// will not arrive.
    fn read_into(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Whether all bytes have arrived.
    fn is_complete(&self) -> bool;

    /// The reason why the rest will not arrive.
    fn failure(&self) -> Option<String>;
}

/// The place of the bytes.
#[derive(Debug)]
enum Place {
    Disk(File),
    Memory,
    Remote(Arc<dyn RemoteBytes>),
}

/// An open trace file.
#[derive(Debug)]
pub(super) struct TraceFile {
    place: Place,
    path: PathBuf,
    stamp: FileStamp,
    has_changed: AtomicBool,
    /// The whole file, once it was read.
    memory: OnceLock<Vec<u8>>,
}

impl TraceFile {
    /// # Errors
    /// If there is no such file, it may not be read, or it is a pipe or device.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = files::open_regular(path)?;
        let stamp = FileStamp::from(&file.metadata()?);
        Ok(Self::new(Place::Disk(file), path, stamp))
    }

    /// The content of a file. `name` identifies it in errors.
    pub fn from_memory(name: &Path, bytes: Vec<u8>) -> Self {
        let stamp = FileStamp { length_bytes: bytes.len() as u64, modified: None };
        let file = Self::new(Place::Memory, name, stamp);
        // The cell of a new file is empty.
        let _ = file.memory.set(bytes);
        file
    }

    /// A file on another machine.
    pub fn remote(name: &Path, length_bytes: u64, bytes: Arc<dyn RemoteBytes>) -> Self {
        Self::new(Place::Remote(bytes), name, FileStamp { length_bytes, modified: None })
    }

    fn new(place: Place, path: &Path, stamp: FileStamp) -> Self {
        let (path, has_changed) = (path.to_owned(), AtomicBool::new(false));
        Self { place, path, stamp, has_changed, memory: OnceLock::new() }
    }

    /// Whether the file is on another machine.
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Remote(_))
    }

    /// Whether every byte can be read.
    pub fn is_here(&self) -> bool {
        match &self.place {
            Place::Remote(bytes) => bytes.is_complete(),
            Place::Disk(_) | Place::Memory => true,
        }
    }

    /// The reason why bytes that are on another machine will not arrive.
    pub fn failure(&self) -> Option<String> {
        match &self.place {
            Place::Remote(bytes) => bytes.failure(),
            Place::Disk(_) | Place::Memory => None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn length_bytes(&self) -> u64 {
        self.stamp.length_bytes
    }

    pub fn stamp(&self) -> FileStamp {
        self.stamp
    }

    /// Whether a read found that the file is not the one that was opened.
    pub fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    /// The bytes of a range, if the file is in memory.
    pub fn in_memory(&self, range: &Range<u64>) -> Option<&[u8]> {
        self.memory.get()?.get(range.start as usize..range.end as usize)
    }

    /// Reads the file into memory, unless it has more bytes than `limit`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_ahead(&self, limit: u64) -> io::Result<()> {
        let length = self.length_bytes();
        if matches!(self.place, Place::Disk(_)) && length <= limit && self.memory.get().is_none() {
            // Another thread that was first has stored the same bytes.
            let _ = self.memory.set(self.read(0..length)?);
        }
        Ok(())
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// If they cannot be read, there is no memory for them, or the file was changed since it was opened.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
        bytes.resize(length, 0);
        self.read_into(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_into(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let file = match &self.place {
            Place::Disk(file) => file,
            Place::Remote(remote) => return remote.read_into(offset, bytes),
            Place::Memory => {
                let found = self.in_memory(&(offset..offset + bytes.len() as u64));
                return found.map_or_else(
                    || Err(ErrorKind::UnexpectedEof.into()),
                    |found| {
                        bytes.copy_from_slice(found);
                        Ok(())
                    },
                );
            }
        };
        let read = read_at(file, bytes, offset);
        // Checked after the read: a change before the read has changed the stamp by now.
        let is_same = FileStamp::from(&file.metadata()?) == self.stamp;
        if !is_same || matches!(&read, Err(error) if error.kind() == ErrorKind::UnexpectedEof) {
            if !self.has_changed.swap(true, Ordering::Relaxed) {
                log::warn!("{} was changed while it was open", self.path.display());
            }
            return Err(io::Error::new(ErrorKind::InvalidData, "it was changed while it was open"));
        }
        read
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_changes_in_place_is_noticed_and_what_is_renamed_over_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let write = |text: &[u8]| std::fs::write(&path, text).unwrap();
        write(b"0123456789");
        let open = TraceFile::open(&path).unwrap();
        assert_eq!(open.read(2..5).unwrap(), b"234");
        // Another file of that name: the open file is unchanged.
        std::fs::write(folder.path().join("b"), b"another").unwrap();
        std::fs::rename(folder.path().join("b"), &path).unwrap();
        assert_eq!(open.read(7..10).unwrap(), b"789");
        assert!(!open.has_changed() && FileStamp::read(&path) != Some(open.stamp()));

        let open = TraceFile::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
        assert!(open.read(0..2).is_err() && open.has_changed());

        write(b"0123456789");
        let open = TraceFile::open(&path).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        File::options().write(true).open(&path).unwrap().write_all(b"x").unwrap();
        assert!(open.read(5..6).is_err() && open.has_changed());
    }
}
