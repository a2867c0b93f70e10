//! The weights that were already hashed on this machine.
//!
//! Weights of a large model take many seconds to hash, too long for every start. So what was compared with its manifest is
//! noted in the user's cache folder with all that the file system says about the file, and hashed again when any of it differs.

use super::hex::hex;
use crate::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Bytes of the note on one bundle; it has a line for each file.
const MOST_NOTE_BYTES: u64 = 1 << 20;

/// The metadata of a file. A write changes one of the fields, and the time of the last change of the
/// entry cannot be set back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified_ns: u128,
    /// Device, inode, and nanoseconds of the last change of the entry; zeros where there is no such thing.
    identity: [i128; 3],
}

impl Stamp {
    fn of(metadata: &Metadata) -> Option<Self> {
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let (bytes, modified_ns) = (metadata.len(), modified.as_nanos());
        Some(Self { bytes, modified_ns, identity: identity(metadata) })
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> [i128; 3] {
    use std::os::unix::fs::MetadataExt as _;
    let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    [metadata.dev().into(), metadata.ino().into(), changed]
}

#[cfg(not(unix))]
fn identity(_metadata: &Metadata) -> [i128; 3] {
    [0; 3]
}

/// A file that had a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hashed {
    sha256: String,
    stamp: Stamp,
}

/// The files of one bundle that were hashed.
#[derive(Debug)]
pub(super) struct HashedFiles {
    /// `None` where there is no cache folder.
    note: Option<PathBuf>,
    files: BTreeMap<String, Hashed>,
}

impl HashedFiles {
    /// Those of the bundle in `folder` that a note in `cache` names. A note that is missing or damaged
    /// names none.
    pub fn read(folder: &Path, cache: Option<&Path>) -> Self {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let digest = Sha256::digest(whole.as_os_str().as_encoded_bytes());
        let note = cache.map(|cache| cache.join(format!("weights-{}.json", hex(&digest[..8]))));
        let bytes = note.as_ref().and_then(|note| files::read(note, MOST_NOTE_BYTES).ok());
        let files = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { note, files: files.unwrap_or_default() }
    }

    /// Whether `path`, called `name` in the manifest, is the file that had this hash.
    pub fn has(&self, name: &str, path: &Path, sha256: &str) -> bool {
        let known = self.files.get(name).filter(|known| known.sha256 == sha256);
        let stamp = std::fs::metadata(path).ok().as_ref().and_then(Stamp::of);
        known.zip(stamp).is_some_and(|(known, stamp)| known.stamp == stamp)
    }

    /// A file had this hash; `before` is its metadata from before it was read, so that a write in
    /// between is noticed.
    pub fn add(&mut self, name: &str, before: &Metadata, sha256: &str) {
        if let Some(stamp) = Stamp::of(before) {
            self.files.insert(name.to_owned(), Hashed { sha256: sha256.to_owned(), stamp });
        }
    }

    /// Writes the note. Where that fails, the files are hashed again next time.
    pub fn keep(&self) {
        let Some(note) = &self.note else { return };
        let write = || {
            note.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            files::replace_bytes(note, &serde_json::to_vec(&self.files)?)
        };
        if let Err(error) = write() {
            log::warn!("cannot write {}: {error}", note.display());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn what_was_hashed_is_known_until_the_file_changes() {
        let (bundle, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = bundle.path().join("a.data");
        std::fs::write(&path, "weights").unwrap();
        let read = || HashedFiles::read(bundle.path(), Some(cache.path()));
        assert!(!read().has("a.data", &path, "beef"));
        let mut known = read();
        known.add("a.data", &std::fs::metadata(&path).unwrap(), "beef");
        known.keep();
        assert!(read().has("a.data", &path, "beef"));
        assert!(!read().has("a.data", &path, "cafe"), "the manifest says another hash");
        assert!(!read().has("b.data", &path, "beef"));
        // The same size and time of change, as `cp -p` leaves them; a file system counts time in
        // steps of some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "WEIGHTS").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(read().has("a.data", &path, "beef"), !cfg!(unix));
        std::fs::write(&path, "longer weights").unwrap();
        assert!(!read().has("a.data", &path, "beef"));
        // A damaged note knows nothing.
        for entry in std::fs::read_dir(cache.path()).unwrap() {
            std::fs::write(entry.unwrap().path(), "{").unwrap();
        }
        assert!(read().files.is_empty());
    }
}
