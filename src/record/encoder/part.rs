//! An unfinished film, and errors of encoding and writing.

use super::progressive::{self, RewriteError};
use crate::files::{Claim, LockError, Replacement};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A film cannot be encoded or written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The file cannot be written.
    #[error("cannot write {path}: {source}. {advice}", path = path.display(), advice = advice(source))]
    Write {
        /// The film.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// Another process writes the same film.
    #[error(transparent)]
    Held(LockError),
    /// The codec refused.
    #[error("{name} failed: {reason}")]
    Codec {
        /// Name of the codec.
        name: &'static str,
        /// Its error text.
        reason: String,
    },
    /// The film is complete, but could not be brought into its final form.
    #[error("cannot write {path}: {reason}. The whole film is in {part}, in fragments, which not \
        every program plays: free some space, then run `ffmpeg -i {part} -c copy -movflags \
        +faststart {path}`", path = path.display(), part = part.display())]
    Unfinished {
        /// The film.
        path: PathBuf,
        /// File with its fragments.
        part: PathBuf,
        /// Error text.
        reason: String,
    },
    /// The container cannot hold such a film.
    #[error("{reason}")]
    Unsuitable {
        /// Reason, and what to choose instead.
        reason: String,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "The disk is full, or a limit on the size of files is reached: free some space, or \
            choose a smaller size, draft quality or another path."
        }
        io::ErrorKind::NotFound => "Its folder does not exist: create it, or choose another path.",
        io::ErrorKind::PermissionDenied => "Choose a path that you may write to.",
        _ => "Check that the folder exists, is writable and has free space.",
    }
}

/// Claims the right to write a film.
pub(super) fn claim(out: &Path) -> Result<Claim, EncodeError> {
    Claim::new(out).map_err(|error| match error {
        LockError::Io(source) => EncodeError::Write { path: out.to_owned(), source },
        held @ LockError::Held { .. } => EncodeError::Held(held),
    })
}

/// The file under its unfinished name.
#[derive(Debug)]
pub(super) struct Part {
    out: PathBuf,
    claim: Claim,
    file: File,
    is_done: bool,
}

impl Part {
    pub fn create(out: &Path) -> Result<Self, EncodeError> {
        let claim = claim(out)?;
        let file = claim
            .create_file()
            .map_err(|source| EncodeError::Write { path: out.to_owned(), source })?;
        Ok(Self { out: out.to_owned(), claim, file, is_done: false })
    }

    pub fn path(&self) -> &Path {
        self.claim.part()
    }

    pub fn failed(&self, source: io::Error) -> EncodeError {
        EncodeError::Write { path: self.out.clone(), source }
    }

    #[cfg(feature = "h264")]
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.file.write_all(bytes).map_err(|source| self.failed(source))
    }

    /// Renames the file to the film's name.
    pub fn finish(&mut self) -> Result<(), EncodeError> {
        self.file.sync_all().map_err(|source| self.failed(source))?;
        self.claim.keep_file(self.claim.part()).map_err(|source| self.failed(source))?;
        self.is_done = true;
        Ok(())
    }
}

impl Part {
    /// Rewrites fragments of an MP4 at `fps` frames a second as a progressive film under its final name. If that fails,
    /// the fragments are kept: recording them may have taken an hour.
    pub fn finish_progressive(&mut self, fps: u32) -> Result<(), EncodeError> {
        let rewritten = self.rewrite(fps);
        self.is_done = true;
        match rewritten {
            // A file of fragments that cannot be removed does no harm to the film.
            Ok(()) => drop(std::fs::remove_file(self.path())),
            Err(error) => {
                let (path, reason) = (self.out.clone(), error.to_string());
                let part = self.path().to_owned();
                return Err(EncodeError::Unfinished { path, part, reason });
            }
        }
        Ok(())
    }

    fn rewrite(&self, fps: u32) -> Result<(), RewriteError> {
        let whole = Replacement::begin(self.claim.target())?;
        // Opened by its name, because another program may have written it.
        let mut fragments = File::open(self.path())?;
        progressive::rewrite(&mut fragments, whole.file(), fps)?;
        whole.sync()?;
        Ok(whole.keep()?)
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_done {
            // Nothing more can be done about a part that cannot be removed.
            let _ = std::fs::remove_file(self.claim.part());
        }
    }
}
