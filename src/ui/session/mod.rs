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

pub use keeper::{Keeper, Told};
pub use load::{Found, Restored, RestoredAnswer, RestoredWalkthrough, content, find, picture_of};
pub use record::{
    AnswerRecord, ComparisonRecord, EditRecord, HeadEffectsRecord, InterventionRecord, Record,
    SESSION_VERSION, WalkthroughRecord,
};
pub use store::{AnswerToKeep, Saved, Snapshot, Store, WalkthroughToKeep};

use crate::files;
use std::path::PathBuf;

/// File name of the record in a session's folder.
pub const RECORD_FILE: &str = "session.toml";
/// File name of the walkthrough in a session's folder.
const WALKTHROUGH_FILE: &str = "walkthrough.toml";
/// Prefixes of folders: of a session, and of one whose record could not be read.
const SESSION: &str = "session-";
const DAMAGED: &str = "damaged-";

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
