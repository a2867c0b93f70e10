//! Reading files of any origin: their type is checked before they are opened, and their size before memory is
//! allocated.

use std::fs::{File, Metadata};
use std::io::{self, Error, ErrorKind, Read as _};
use std::path::Path;

/// Limit on the bytes of a file that users write: settings, views, edits, walkthroughs.
pub const MOST_TEXT_BYTES: u64 = 64 << 20;
/// Paths under which the system shows files that this process already has open.
const OPEN_ALREADY: [&str; 3] = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"];

/// Opens a file for reading. A pipe or a device could block or never end, so it is refused without being opened.
///
/// # Errors
/// If it does not exist, may not be read, or is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    check_regular(&std::fs::metadata(path)?)?;
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // The file may have become a pipe since the check.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    check_regular(&file.metadata()?)?;
    Ok(file)
}

/// The bytes of a file that has at most `most_bytes`. A file that is already open, such as `/dev/stdin`, may be a pipe.
///
/// # Errors
/// As [`open_regular`], or [`ErrorKind::FileTooLarge`].
pub fn read(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let is_open_already =
        path.to_str().is_some_and(|path| OPEN_ALREADY.iter().any(|open| path.starts_with(open)));
    let file = if is_open_already { File::open(path)? } else { open_regular(path)? };
    let size = file.metadata()?.len();
    if size > most_bytes {
        return Err(too_large(most_bytes));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // The file may have grown since the check.
    file.take(most_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most_bytes { Err(too_large(most_bytes)) } else { Ok(bytes) }
}

/// The text of a file that users write, of at most [`MOST_TEXT_BYTES`], without a byte-order mark.
///
/// # Errors
/// As [`read`], or if it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read(path, MOST_TEXT_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 text (byte {at})"))
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn check_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(if metadata.is_dir() {
        Error::new(ErrorKind::IsADirectory, "it is a folder, not a file")
    } else {
        Error::new(ErrorKind::InvalidInput, "it is a device or pipe, not a file")
    })
}

fn too_large(most_bytes: u64) -> Error {
    let reason = format!("it is larger than the limit of {} MB", most_bytes >> 20);
    Error::new(ErrorKind::FileTooLarge, reason)
}

/// A parser's message without the names of Rust types: "expected struct CardText" becomes "expected a table".
pub fn without_type_names(message: &str) -> String {
    const KINDS: [(&str, &str); 6] = [
        ("expected struct variant ", "expected a table"),
        ("expected tuple variant ", "expected an array"),
        ("expected tuple struct ", "expected an array"),
        ("expected newtype struct ", "expected a value"),
        ("expected struct ", "expected a table"),
        ("expected enum ", "expected a name or a table"),
    ];
    let mut plain = message.to_owned();
    for (start, meant) in KINDS {
        while let Some(at) = plain.find(start) {
            let rest = plain.get(at + start.len()..).unwrap_or_default();
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            plain.replace_range(at..at + start.len() + end, meant);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_limit_is_checked_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, b"\xef\xbb\xbfa\r\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), "a\r\n");
        std::fs::write(&path, b"a\xff").unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    #[cfg(unix)]
    fn devices_and_folders_are_not_opened() {
        let refused = |path: &str| open_regular(Path::new(path)).unwrap_err().kind();
        assert_eq!(refused("/dev/zero"), ErrorKind::InvalidInput);
        assert_eq!(refused("/"), ErrorKind::IsADirectory);
    }

    #[test]
    fn messages_name_no_rust_types() {
        let said = "line 2: invalid type: integer `3`, expected struct CardText\n  |";
        let plain = "line 2: invalid type: integer `3`, expected a table\n  |";
        assert_eq!(without_type_names(said), plain);
        let said = "expected struct variant Step::Fill, expected enum Easing with 1 element";
        let plain = "expected a table, expected a name or a table with 1 element";
        assert_eq!(without_type_names(said), plain);
        assert_eq!(without_type_names("expected a string"), "expected a string");
    }
}
