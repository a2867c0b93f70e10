//! The session: what a window holds and no other file does. It is saved while the window runs, so that quitting, a panic
//! and a kill lose at most the last seconds.
//!
//! Every window has a folder of its own and a lock on it. The folder holds `session.toml` and the traces and pictures
//! that it names; a trace that is unchanged in a file of the user is named by that file. The record is written last and
//! replaced as a whole, so that it never names a file that is not there yet. A folder without a lock belongs to a window
//! that has ended: the next start restores it.

mod keeper;
mod load;
mod record;
mod steps;
mod store;
mod versions;

pub use keeper::{Keeper, Restoring, Told};
pub use load::{
    Found, MissingAnswer, Restored, RestoredAnswer, RestoredWalkthrough, content, find,
    find_or_wait, picture_at, picture_of,
};
pub use record::{
    AnswerRecord, ComparisonRecord, EditRecord, HeadEffectsRecord, InterventionRecord, Record,
    SESSION_VERSION, SampleRecord, ScoresRecord, TableRecord, WalkthroughRecord,
};
pub use steps::ViewSteps;
pub use store::{AnswerToKeep, Saved, Snapshot, Store, WalkthroughToKeep};
pub use versions::Versions;

use crate::files;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// File name of the record in a session's folder.
pub const RECORD_FILE: &str = "session.toml";
/// File name of the walkthrough in a session's folder.
const WALKTHROUGH_FILE: &str = "walkthrough.toml";
/// File name of its undo steps.
const VERSIONS_FILE: &str = "walkthrough-undo.toml";
/// An empty file in a session's folder from the moment it is opened to its first save. Where it is found at a start, the
/// window ended before it could show the session.
const OPENING_FILE: &str = "opening";
/// Prefixes of folders: of a session, and of one whose record could not be read.
const SESSION: &str = "session-";
const DAMAGED: &str = "damaged-";

/// Whether a folder has the name of a session: `session-SECONDS-PROCESS-NUMBER`.
fn is_session_name(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.strip_prefix(SESSION));
    parts.is_some_and(|parts| parts.split('-').count() == 3 && parts.split('-').all(is_number))
}

/// Whether a session writes files of this name. Other files in its folder are left alone.
fn is_own_name(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let between =
        |start: &str, end: &str| name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    let is_hash =
        |hash: &str| hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    name == RECORD_FILE
        || name == WALKTHROUGH_FILE
        || name == VERSIONS_FILE
        || name == OPENING_FILE
        || between("trace-", ".vlmtrace").is_some_and(is_number)
        || between("views-", ".toml").is_some_and(is_number)
        || between("picture-", "").is_some_and(is_hash)
        || name.starts_with(".vlmscope-")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Removes a session. Files of others in its folder stay, and so does the folder then.
fn remove(folder: &Path) -> io::Result<()> {
    if folder.is_symlink() {
        return std::fs::remove_file(folder);
    }
    // The record goes first: without it, nothing refers to files that are gone.
    let _ = std::fs::remove_file(folder.join(RECORD_FILE));
    for entry in folder.read_dir()?.flatten() {
        if is_own_name(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}

/// Whether a session has been opened, and not been saved since.
pub fn is_opening(folder: &Path) -> bool {
    folder.join(OPENING_FILE).exists()
}

/// Notes that a session is being opened: should the window end before the next save, the next start only offers it.
pub fn mark_opening(folder: &Path) {
    if let Err(error) = std::fs::write(folder.join(OPENING_FILE), []) {
        log::warn!("cannot write into {}: {error}", folder.display());
    }
}

/// A new folder beside a session for files of it that cannot be read.
fn damaged_folder(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let stem = format!("{DAMAGED}{}", name.trim_start_matches(SESSION));
    let numbered = (1..1_000).map(|number| format!("{stem}-{number}"));
    let mut paths =
        std::iter::once(stem.clone()).chain(numbered).map(|name| folder.with_file_name(name));
    let free = paths.find(|path| !path.exists());
    free.unwrap_or_else(|| folder.with_file_name(&stem))
}

/// The folder of all sessions: beside the settings, where `VLMSCOPE_SETTINGS` names their file, else in the user's data
/// folder. `None` if the system has no such folder.
pub fn folder() -> Option<PathBuf> {
    let settings = std::env::var_os("VLMSCOPE_SETTINGS").map(PathBuf::from);
    let folder = match &settings {
        Some(settings) => files::folder_of(settings).to_owned(),
        None => dirs::data_dir()?.join("vlmscope"),
    };
    Some(folder.join("sessions"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn files_of_others_in_a_folder_of_sessions_stay() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let names = ["session-2026", "session-1-2-0", "session-1-1-0"];
        let [theirs, mixed, own] = names.map(at);
        for folder in [&theirs, &mixed, &own] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("trace-1.vlmtrace"), "cut").unwrap();
        }
        std::fs::write(mixed.join("picture-of-mine.png"), "precious").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&theirs, at("session-1-3-0")).unwrap();
        let (found, problems) = find(root.path());
        assert!(found.is_empty() && problems.is_empty(), "{problems:?}");
        assert!(theirs.join("trace-1.vlmtrace").exists());
        assert_eq!(std::fs::read(mixed.join("picture-of-mine.png")).unwrap(), b"precious");
        assert!(!own.exists() && !mixed.join("trace-1.vlmtrace").exists());
    }

    #[test]
    fn a_session_knows_the_names_of_its_files() {
        let hash = "f828d6b708616d62e9bb0e0c82de4be2";
        for own in [
            RECORD_FILE,
            WALKTHROUGH_FILE,
            OPENING_FILE,
            "trace-12.vlmtrace",
            "views-3.toml",
            &format!("picture-{hash}"),
        ] {
            assert!(is_own_name(own.as_ref()), "{own}");
        }
        for other in
            ["trace-.vlmtrace", "trace-a.vlmtrace", "picture-1.png", "picture-", "notes.txt"]
        {
            assert!(!is_own_name(other.as_ref()), "{other}");
        }
    }
}
