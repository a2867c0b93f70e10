//! Paths of files: the folder of a file, and the target of a link.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Limit on the length of a chain of links, as in Linux.
const MOST_LINKS: usize = 40;

/// The folder that holds `path`: the current one for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The path by which a file names another: relative if the other lies in or below its folder, else absolute.
///
/// # Errors
/// If the current folder is needed and cannot be found.
pub fn name_from(file: &Path, other: &Path) -> Result<PathBuf, Error> {
    let (whole, other) = (std::path::absolute(file)?, std::path::absolute(other)?);
    let folder = whole.parent().unwrap_or_else(|| Path::new("/"));
    Ok(other.strip_prefix(folder).map_or_else(|_| other.clone(), Path::to_owned))
}

/// The path at the end of a chain of links, whether a file exists there or not.
pub(super) fn follow_links(path: &Path) -> Result<PathBuf, Error> {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match target.read_link() {
            // A relative link is relative to its own folder.
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(Error::new(ErrorKind::InvalidInput, "it is a circular symbolic link"))
}
