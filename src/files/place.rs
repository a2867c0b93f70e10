//! Where a file is: its folder, and what a link leads to.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Links that may follow each other: what Linux allows.
const MOST_LINKS: usize = 40;

/// The folder that holds `path`: the current one for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The file that a chain of links ends at, whether it exists or not.
pub(super) fn follow_links(path: &Path) -> Result<PathBuf, Error> {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match target.read_link() {
            // A relative link starts from the folder that it stands in.
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(Error::new(ErrorKind::InvalidInput, "it is a circular symbolic link"))
}
