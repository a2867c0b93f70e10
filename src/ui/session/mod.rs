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
mod store;

pub use keeper::{Keeper, Restoring, Told};
pub use load::{Found, Restored, RestoredAnswer, RestoredWalkthrough, content, find, picture_of};
pub use record::{
    AnswerRecord, ComparisonRecord, EditRecord, HeadEffectsRecord, InterventionRecord, Record,
    SESSION_VERSION, WalkthroughRecord,
};
pub use store::{AnswerToKeep, Saved, Snapshot, Store, WalkthroughToKeep};

use crate::files;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// File name of the record in a session's folder.
pub const RECORD_FILE: &str = "session.toml";
/// File name of the walkthrough in a session's folder.
const WALKTHROUGH_FILE: &str = "walkthrough.toml";
/// Prefixes of folders: of a session, and of one whose record could not be read.
const SESSION: &str = "session-";
const DAMAGED: &str = "damaged-";

/// Whether a session writes files of this name. Other files in its folder are left alone.
fn is_own_name(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let is_trace = name.starts_with("trace-") && name.ends_with(".vlmtrace");
    let is_temporary = name.starts_with(".vlmscope-");
    name == RECORD_FILE
        || name == WALKTHROUGH_FILE
        || is_trace
        || is_temporary
        || name.starts_with("picture-")
}

/// Removes a session. Files of others in its folder stay, and so does the folder then.
fn remove(folder: &Path) -> io::Result<()> {
    // The record goes first: without it, nothing refers to files that are gone.
    let _ = std::fs::remove_file(folder.join(RECORD_FILE));
    for entry in folder.read_dir()?.flatten() {
        if is_own_name(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}

/// The folder beside a session for files of it that cannot be read.
fn damaged_folder(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{DAMAGED}{}", name.trim_start_matches(SESSION)))
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
        let (theirs, empty) = (root.path().join("session-2026"), root.path().join("session-1-1-0"));
        for folder in [&theirs, &empty] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("trace-1.vlmtrace"), "cut").unwrap();
        }
        std::fs::write(theirs.join("thesis.txt"), "precious").unwrap();
        let (found, problems) = find(root.path());
        assert!(found.is_empty() && problems.is_empty(), "{problems:?}");
        assert_eq!(std::fs::read(theirs.join("thesis.txt")).unwrap(), b"precious");
        assert!(!empty.exists());
    }
}
