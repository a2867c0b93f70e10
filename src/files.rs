//! Files of the user: replacing, reading and locking them.
//!
//! A file is replaced, never changed: new content goes to a temporary file in the same folder,
//! which is then renamed. A reader sees the old file or the new one, and a full disk, a signal or a
//! crash leaves the old one. Every writer in this crate goes through [`replace()`] or [`Replacement`].
//!
//! The name of a temporary file contains the machine and the process that created it, and this process holds a lock on
//! it. The next writer in the folder removes the files of processes that no longer run.

mod lock;
mod place;
mod read;
mod replace;
mod temporary;

pub use lock::{Claim, FileLock, LockError};
pub use place::{folder_of, name_from};
pub use read::{MOST_TEXT_BYTES, open_regular, read, read_text, without_type_names};
pub use replace::{Replacement, check_writable, replace, replace_bytes};
pub use temporary::{TemporaryFolder, remove_temporary, unless_ending};

use std::io::{Error, ErrorKind};

/// Advice for a file that cannot be written: one sentence or two. `needed_bytes` is the size of the file, if it is
/// known.
pub fn write_hint(error: &Error, needed_bytes: Option<u64>) -> String {
    match error.kind() {
        ErrorKind::NotFound => "Create the folder first, or choose another path.".into(),
        ErrorKind::NotADirectory => "Part of the path is a file: choose another path.".into(),
        ErrorKind::IsADirectory => "A folder has this name: choose another name.".into(),
        ErrorKind::InvalidInput | ErrorKind::AlreadyExists => "Choose another name.".into(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "You have no permission to write there: choose another path.".into()
        }
        _ => {
            let needed = needed_bytes
                .map_or_else(String::new, |bytes| format!("{bytes} bytes are needed: "));
            let hint = format!("{needed}free some space, or choose another path.");
            hint[..1].to_uppercase() + &hint[1..]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_fits_the_cause() {
        for (kind, words) in [
            (ErrorKind::NotFound, "Create the folder"),
            (ErrorKind::PermissionDenied, "You have no permission"),
            (ErrorKind::StorageFull, "70 bytes are needed: free some space"),
        ] {
            let hint = write_hint(&kind.into(), Some(70));
            assert!(hint.contains(words), "{hint}");
        }
        assert!(write_hint(&ErrorKind::StorageFull.into(), None).starts_with("Free some space"));
    }
}
