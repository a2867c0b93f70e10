//! Standard output and standard error, for texts of any origin.
//!
//! Questions, answers and names of files may contain control characters, which a terminal would execute; they are
//! replaced by their code. If a reader closes the pipe (`vlmscope inspect … | head`), further output is discarded
//! without an error.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal as _, StderrLock, StdoutLock, Write};

/// The first byte of U+0080 to U+009F in UTF-8, which are all control characters.
const C1_LEAD: u8 = 0xC2;

/// Standard output.
pub fn stdout() -> Plain<StdoutLock<'static>> {
    Plain::new(io::stdout().lock())
}

/// Standard error.
pub fn stderr() -> Plain<StderrLock<'static>> {
    Plain::new(io::stderr().lock())
}

/// Whether standard output is a terminal.
pub fn is_interactive() -> bool {
    io::stdout().is_terminal()
}

/// The text with control characters, except line ends and tabs, replaced by their code: `<U+001B>`.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|character| {
        if is_obeyed(character) {
            Cow::Owned(number(character))
        } else {
            Cow::Owned(character.to_string())
        }
    });
    Cow::Owned(shown.collect())
}

/// As [`plain`], on one line and without tabs, for a field of a table.
pub fn field(text: &str) -> String {
    plain(text).replace(['\n', '\t'], " ")
}

/// A value as JSON without control characters except line ends.
///
/// # Errors
/// If the value cannot be written as JSON.
pub fn json(value: &impl serde::Serialize, is_pretty: bool) -> serde_json::Result<String> {
    let text =
        if is_pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }?;
    if !text.contains(is_obeyed) {
        return Ok(text);
    }
    // Characters below U+0020 are already escaped; the others occur only in strings.
    let escape = |character| format!("\\u{:04x}", u32::from(character));
    Ok(text
        .chars()
        .map(|c| if is_obeyed(c) { escape(c) } else { c.to_string() })
        .collect::<Vec<_>>()
        .concat())
}

fn is_obeyed(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t')
}

fn number(character: char) -> String {
    format!("<U+{:04X}>", u32::from(character))
}

/// A writer that passes text through [`plain`].
#[derive(Debug)]
pub struct Plain<W: Write> {
    inner: W,
    /// The last write ended with the first byte of a possible control character.
    has_lead: bool,
    /// The reader has closed the pipe.
    is_closed: bool,
}

impl<W: Write> Plain<W> {
    fn new(inner: W) -> Self {
        Self { inner, has_lead: false, is_closed: false }
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        self.unless_closed(|inner| inner.write_all(bytes))
    }

    fn unless_closed(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) -> io::Result<()> {
        match write(&mut self.inner) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            other => other,
        }
    }

    fn filter(&self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(bytes.len() + 8);
        let mut has_lead = self.has_lead;
        for &byte in bytes {
            match (has_lead, byte) {
                (true, 0x80..=0x9F) => out.extend(number(char::from(byte)).bytes()),
                (true, _) => out.extend([C1_LEAD, byte]),
                (false, C1_LEAD) => {}
                (false, b'\n' | b'\t') => out.push(byte),
                (false, 0..=0x1F | 0x7F) => out.extend(number(char::from(byte)).bytes()),
                (false, _) => out.push(byte),
            }
            has_lead = !has_lead && byte == C1_LEAD;
        }
        (out, has_lead)
    }
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needs_care = |&byte: &u8| {
            (byte < 0x20 && !matches!(byte, b'\n' | b'\t')) || matches!(byte, 0x7F | C1_LEAD)
        };
        if self.has_lead || bytes.iter().any(needs_care) {
            let (out, has_lead) = self.filter(bytes);
            self.has_lead = has_lead;
            self.pass(&out)?;
        } else {
            self.pass(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_closed { Ok(()) } else { self.unless_closed(Write::flush) }
    }
}

/// Standard output for bytes that another program reads. From now on, whatever else prints to it, a library for
/// example, prints to standard error.
///
/// # Errors
/// If the system has no more handles.
#[cfg(unix)]
pub fn take_stdout() -> io::Result<std::fs::File> {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    // SAFETY: both are open handles of this process.
    if unsafe { libc::dup2(io::stderr().as_raw_fd(), io::stdout().as_raw_fd()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(output.into())
}

/// Standard output for bytes that another program reads.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn take_stdout() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    const HOSTILE: &str = "a\x1b[31mred\u{9b}2J\x07\u{7f}\r é¡ 狐\u{a0}\n\tb";
    const SHOWN: &str = "a<U+001B>[31mred<U+009B>2J<U+0007><U+007F><U+000D> é¡ 狐\u{a0}\n\tb";

    #[test]
    fn control_characters_are_written_by_their_number() {
        assert_eq!(plain(HOSTILE), SHOWN);
        assert!(matches!(plain("a\n\té"), Cow::Borrowed(_)));
        assert_eq!(field("a\tb\nc\x1b"), "a b c<U+001B>");
    }

    #[test]
    fn the_writer_shows_the_same_wherever_the_text_is_cut() {
        for cut in 0..=HOSTILE.len() {
            let mut out = Plain::new(Vec::new());
            let (first, second) = HOSTILE.as_bytes().split_at(cut);
            out.write_all(first).unwrap();
            out.write_all(second).unwrap();
            assert_eq!(std::str::from_utf8(&out.inner).unwrap(), SHOWN, "cut at {cut}");
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        for is_pretty in [false, true] {
            let text = json(&[HOSTILE], is_pretty).unwrap();
            assert!(!text.contains(is_obeyed), "{text}");
            assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [HOSTILE]);
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(ErrorKind::BrokenPipe.into())
            }
        }
        let mut out = Plain::new(Closed);
        writeln!(out, "a").unwrap();
        writeln!(out, "b").unwrap();
        out.flush().unwrap();
    }
}
