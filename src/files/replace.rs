//! Replacing a file by a new one.

use super::place::{folder_of, follow_links};
use super::temporary::{Temporary, unless_ending};
use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Error, ErrorKind, Write};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 1 << 20;

/// A new file that will replace another. Dropping it leaves the old file unchanged.
#[derive(Debug)]
pub struct Replacement {
    /// The target of the link if the path was a link.
    target: PathBuf,
    temporary: Temporary,
    old: Option<Metadata>,
}

impl Replacement {
    /// Opens a temporary file beside `path`. A link is followed: its target is replaced.
    ///
    /// # Errors
    /// If the folder does not exist or cannot be written to, or if `path` is a folder, a device or
    /// a file that may not be changed.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let target = follow_links(path)?;
        let old = replaceable(&target)?;
        // Until it has the old file's permissions, no other user can read it.
        let temporary = Temporary::new_in(folder_of(&target), old.is_some())?;
        Ok(Self { target, temporary, old })
    }

    /// The temporary file to write to.
    pub fn file(&self) -> &File {
        self.temporary.file.as_file()
    }

    /// The temporary path, for another program or library that opens the file itself.
    pub fn temporary_path(&self) -> &Path {
        self.temporary.file.path()
    }

    /// Waits until the content is on the disk, not only in the system's cache.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn sync(&self) -> io::Result<()> {
        self.file().sync_all()
    }

    /// Renames the temporary file to its final name, replacing an older file. It gets the older file's permissions; a
    /// new file gets the permissions that the umask allows.
    ///
    /// # Errors
    /// If it cannot be renamed; the old file is then still there.
    pub fn keep(self) -> io::Result<()> {
        if let Some(old) = &self.old {
            copy_permissions(self.file(), old)?;
        }
        let Temporary { file, registered: _registered } = self.temporary;
        file.persist(&self.target).map(|_| ()).map_err(|error| error.error)
    }

    /// As [`Self::keep`] for several files that belong together: no signal ends the program after the first of them.
    ///
    /// # Errors
    /// The file that cannot be renamed, with the cause; it and those after it are as they were.
    pub fn keep_together(all: Vec<Self>) -> Result<(), (PathBuf, Error)> {
        let (mut files, mut registered) = (Vec::new(), Vec::new());
        for Self { target, temporary, old } in all {
            let Temporary { file, registered: own } = temporary;
            if let Some(Err(error)) = old.map(|old| copy_permissions(file.as_file(), &old)) {
                return Err((target, error));
            }
            files.push((file, target));
            registered.push(own);
        }
        // The list of temporary files is locked meanwhile, so that none may leave it.
        unless_ending(|| {
            for (file, target) in files {
                file.persist(&target).map_err(|error| (target, error.error))?;
            }
            Ok(())
        })
    }

    /// As [`Self::keep`], but only if no file of that name exists, even if another program creates one at the same
    /// time.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the name is taken; otherwise as [`Self::keep`].
    pub fn keep_new(self) -> io::Result<()> {
        let Temporary { file, registered: _registered } = self.temporary;
        match file.persist_noclobber(&self.target) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(error.error),
            // Some file systems cannot rename without replacing.
            Err(error) if !self.target.exists() => {
                error.file.persist(&self.target).map(|_| ()).map_err(|error| error.error)
            }
            Err(error) => Err(error.error),
        }
    }
}

/// Gives a new file the owner and the permissions of the file that it replaces.
pub(super) fn copy_permissions(new: &File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let now = new.metadata()?;
        if (now.uid(), now.gid()) != (old.uid(), old.gid()) {
            // Only root may change the owner; for other users the new file belongs to the user.
            let _ = std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()));
        }
        let mode = old.permissions().mode() & 0o777;
        new.set_permissions(std::fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    new.set_permissions(old.permissions())
}

/// Writes to a temporary file in the same folder and renames it. The writer is buffered.
///
/// # Errors
/// The error of `write`, or as [`Replacement::begin`] and [`Replacement::keep`]; the old file, if any, is then
/// untouched.
pub fn replace<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let new = Replacement::begin(path)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, new.file());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    Ok(new.keep()?)
}

/// As [`replace`], for bytes in memory.
///
/// # Errors
/// As [`replace`].
pub fn replace_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |out| out.write_all(bytes))
}

/// Fails if [`replace`] would fail, to be called before long work.
///
/// # Errors
/// As [`Replacement::begin`].
pub fn check_writable(path: &Path) -> io::Result<()> {
    Replacement::begin(path).map(drop)
}

/// The metadata of the existing file. A file that its owner protected must not be replaced, even if its folder allows
/// it.
pub(super) fn replaceable(target: &Path) -> io::Result<Option<Metadata>> {
    let old = match target.symlink_metadata() {
        Ok(old) => old,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if old.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !old.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is a device or a pipe, not a file"));
    }
    if old.permissions().readonly() {
        return Err(Error::new(ErrorKind::PermissionDenied, "the file is read-only"));
    }
    File::options().write(true).open(target)?;
    Ok(Some(old))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn an_error_of_the_writer_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace_bytes(&path, b"old").unwrap();
        let failed = replace(&path, |out| {
            out.write_all(b"new")?;
            Err(Error::other("enough"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        replace_bytes(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_taken_name_is_not_replaced_by_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let (first, second) =
            (Replacement::begin(&path).unwrap(), Replacement::begin(&path).unwrap());
        first.keep_new().unwrap();
        assert_eq!(second.keep_new().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::os::unix::fs::{PermissionsExt, symlink};

        fn mode(path: &Path) -> u32 {
            path.metadata().unwrap().permissions().mode() & 0o777
        }

        #[test]
        fn permissions_are_those_of_the_old_file_or_of_any_new_one() {
            let folder = tempfile::tempdir().unwrap();
            let (path, plain) = (folder.path().join("x"), folder.path().join("plain"));
            // The permissions that the umask allows, applied by the system itself.
            std::fs::write(&plain, "x").unwrap();
            replace_bytes(&path, b"x").unwrap();
            assert_eq!(mode(&path), mode(&plain));
            for kept in [0o600, 0o640, 0o666] {
                std::fs::set_permissions(&path, PermissionsExt::from_mode(kept)).unwrap();
                replace_bytes(&path, b"y").unwrap();
                assert_eq!(mode(&path), kept);
            }
        }

        #[test]
        fn a_read_only_file_stays() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            std::fs::write(&path, "old").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
            let error = replace_bytes(&path, b"new").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
        }

        #[test]
        fn links_are_followed() {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            std::fs::create_dir(at("real")).unwrap();
            std::fs::write(at("real/file"), "old").unwrap();
            symlink("real/file", at("link")).unwrap();
            symlink("link", at("second")).unwrap();
            replace_bytes(&at("second"), b"new").unwrap();
            assert!(at("second").is_symlink() && at("link").is_symlink());
            assert_eq!(std::fs::read(at("real/file")).unwrap(), b"new");
            symlink("real/none", at("dangling")).unwrap();
            replace_bytes(&at("dangling"), b"new").unwrap();
            assert_eq!(std::fs::read(at("real/none")).unwrap(), b"new");
            symlink("circle", at("circle")).unwrap();
            assert!(replace_bytes(&at("circle"), b"new").is_err());
        }

        #[test]
        fn devices_and_folders_are_refused() {
            let folder = tempfile::tempdir().unwrap();
            let error = replace_bytes(folder.path(), b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IsADirectory);
            let error = replace_bytes(Path::new("/dev/null"), b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }

        #[test]
        fn an_error_does_not_name_the_temporary_file() {
            let folder = tempfile::tempdir().unwrap();
            let error = replace_bytes(&folder.path().join("none/file"), b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(!error.to_string().contains("vlmscope"), "{error}");
        }
    }
}
