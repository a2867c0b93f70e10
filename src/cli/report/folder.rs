//! The folder of a report: written under another name, then renamed, so that it is never half there.

use super::super::common::usage;
use crate::files::{TemporaryFolder, folder_of, unless_ending};
use anyhow::Context as _;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Endings of the files of a report.
const ENDINGS: [&str; 4] = ["md", "json", "png", "svg"];
/// The files by which a report is recognised.
const MARKS: [&str; 2] = ["report.md", "report.json"];

/// A report that is being written.
pub(super) struct Folder {
    out: PathBuf,
    /// Beside `out`; removed when it is dropped, and by a signal.
    temporary: TemporaryFolder,
}

impl Folder {
    /// Begins a report in place of an earlier one.
    pub fn begin(out: &Path) -> anyhow::Result<Self> {
        check(out)?;
        let parent = folder_of(out);
        let made = fs::create_dir_all(parent).and_then(|()| TemporaryFolder::new_in(parent));
        let temporary =
            made.with_context(|| format!("cannot make a folder in {}", parent.display()))?;
        Ok(Self { out: out.to_owned(), temporary })
    }

    /// Writes one file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.temporary.path().join(name);
        fs::write(path, bytes)
            .with_context(|| format!("cannot write {}", self.out.join(name).display()))
    }

    /// Puts the report in its place.
    pub fn keep(self) -> anyhow::Result<()> {
        // The folder may have changed while the report was written.
        check(&self.out)?;
        unless_ending(|| replace(self.temporary.path(), &self.out))
    }
}

/// Puts the folder `new` in the place of `out`.
fn replace(new: &Path, out: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot replace the folder {}", out.display());
    open_to_others(new).with_context(cannot)?;
    let old = new.with_extension("old");
    if out.exists() {
        fs::rename(out, &old).with_context(cannot)?;
    }
    if let Err(error) = fs::rename(new, out) {
        if old.exists() {
            fs::rename(&old, out).with_context(cannot)?;
        }
        return Err(error).with_context(cannot);
    }
    if old.exists() {
        fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    Ok(())
}

/// A temporary folder is closed to others; a report has the permissions of any new folder.
fn open_to_others(folder: &Path) -> std::io::Result<()> {
    let plain = folder.with_extension("plain");
    fs::create_dir(&plain)?;
    let permissions = fs::metadata(&plain)?.permissions();
    fs::remove_dir(&plain)?;
    fs::set_permissions(folder, permissions)
}

/// Checks that a folder can become a report: it does not exist, is empty, or holds an earlier report and nothing else.
fn check(out: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(out).is_err() {
        return Ok(());
    }
    if !out.is_dir() || out.is_symlink() {
        return Err(usage(format!(
            "--out {} is no folder; name a folder for the report",
            out.display()
        )));
    }
    let mut names = Vec::new();
    for entry in
        fs::read_dir(out).with_context(|| format!("cannot read the folder {}", out.display()))?
    {
        names.push(
            entry.with_context(|| format!("cannot read the folder {}", out.display()))?.file_name(),
        );
    }
    let is_report = MARKS.iter().all(|mark| names.iter().any(|name| name == OsStr::new(mark)));
    let foreign = names.iter().find(|name| {
        let path = out.join(name);
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        !path.is_file() || !ENDINGS.contains(&ending)
    });
    match foreign.or(names.first().filter(|_| !is_report)) {
        Some(name) => Err(usage(format!(
            "--out {} holds {}, which is not of a report: name another folder",
            out.display(),
            name.display()
        ))),
        None => Ok(()),
    }
}
