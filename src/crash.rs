//! Reports of faults in the program itself.
//!
//! A panic first of all writes a report into the data folder: the place of the panic, the version, the adapter and the
//! latest log lines. It holds no picture, question or answer: quoted parts of the panic's message are left out unless
//! the user sets `VLMSCOPE_CRASH_REPORT=full`.

use crate::job::{self, Panicked};
use crate::{gpu, logging, terminal};
use std::backtrace::Backtrace;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// If it is set to "full", reports include the quoted parts of the panic's message.
const CONSENT: &str = "VLMSCOPE_CRASH_REPORT";
/// Number of reports that are kept; the oldest are removed.
const KEPT: usize = 20;
/// Longest message in a report, in characters.
const MESSAGE_CHARS: usize = 400;
const PREFIX: &str = "crash-";

/// The folder of the reports; `None` if the system has no data folder.
pub fn folder() -> Option<PathBuf> {
    Some(dirs::data_dir()?.join("vlmscope").join("crashes"))
}

/// Writes a report of every panic from now on. On the main thread a panic ends the program, and the user gets one
/// paragraph on stderr. On other threads [`job::guard`] returns it as an error.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        if job::is_contained() {
            return;
        }
        let message = message(info, std::env::var_os(CONSENT).is_some_and(|how| how == "full"));
        let report = folder().and_then(|folder| write(&folder, &report(&message)).ok());
        let is_main = std::thread::current().name() == Some("main");
        if is_main {
            // If stderr is closed, nobody can read the message.
            let _ = writeln!(terminal::stderr(), "{}", farewell(&message, report.as_deref()));
        }
        log::error!("panic: {message}");
        job::note(Panicked { message, report });
    }));
}

/// The last words of a command that a fault of the program ends.
fn farewell(message: &str, report: Option<&Path>) -> String {
    let report = report.map_or_else(
        || "No report could be written; please send this line to the authors.".to_owned(),
        |path| {
            format!(
                "The report {} contains no pictures and no questions; please send it to the \
                authors.",
                path.display()
            )
        },
    );
    format!(
        "vlmscope: an internal error ended this command ({message}). Files that were already \
        written are complete. {report}"
    )
}

/// The message and the place of a panic in one line.
fn message(info: &PanicHookInfo<'_>, is_full: bool) -> String {
    let text = job::message_of(info.payload());
    let text = if is_full { text.replace('\n', " ") } else { without_quotes(&text) };
    let text: String = text.chars().take(MESSAGE_CHARS).collect();
    match info.location() {
        Some(place) => format!("{text}, at {}:{}", place.file(), place.line()),
        None => text,
    }
}

/// The first line of a panic's message without quoted parts, which may contain a question. Names of functions stay.
fn without_quotes(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut kept = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['"', '`']) {
        let quote = &rest[at..=at];
        kept.push_str(&rest[..at]);
        let inside = &rest[at + 1..];
        let end = inside.find(quote);
        let quoted = &inside[..end.unwrap_or(inside.len())];
        let is_code = quoted.contains("::") && !quoted.contains(' ');
        let _ = write!(kept, "{quote}{}{quote}", if is_code { quoted } else { "…" });
        rest = end.map_or("", |end| &inside[end + 1..]);
    }
    kept + rest
}

fn report(message: &str) -> String {
    let thread = std::thread::current();
    let lines = logging::recent_lines();
    let mut text = format!(
        "vlmscope {} for {} {}\nthread: {}\nadapter: {}\npanic: {message}\n\nlatest {} lines of the log:\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        thread.name().unwrap_or("without a name"),
        gpu::opened_adapter().unwrap_or_else(|| "none was opened".into()),
        lines.len(),
    );
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    let _ = write!(text, "\nbacktrace:\n{}", Backtrace::force_capture());
    text
}

/// Writes a report under a unique name.
fn write(folder: &Path, text: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    forget_old(folder);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let process = std::process::id();
    for number in 0.. {
        let path = folder.join(format!("{PREFIX}{seconds}-{process}-{number}.txt"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes the oldest reports, so that one more can be kept.
fn forget_old(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let is_report = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    };
    let mut reports: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_report).collect();
    reports.sort_by_key(|path| path.metadata().and_then(|metadata| metadata.modified()).ok());
    for old in reports.iter().rev().skip(KEPT - 1) {
        // A report that cannot be removed stays.
        let _ = std::fs::remove_file(old);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn what_a_panic_quotes_is_left_out() {
        for (message, kept) in [
            (
                "byte index 3 is out of bounds of `Where is the fox?`",
                "byte index 3 is out of bounds of `…`",
            ),
            (
                "called `Result::unwrap()` on an `Err` value: Bad(\"my question\")\nmore",
                "called `Result::unwrap()` on an `…` value: Bad(\"…\")",
            ),
            ("no end \"of it", "no end \"…\""),
            (
                "index out of bounds: the len is 3 but the index is 7",
                "index out of bounds: the len is 3 but the index is 7",
            ),
        ] {
            assert_eq!(without_quotes(message), kept);
        }
    }

    #[test]
    fn a_report_says_what_is_needed_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        log::info!("a line for the report");
        let text = report("it fell, at src/x.rs:1");
        for part in
            ["vlmscope 0.", "thread: ", "adapter: ", "panic: it fell, at src/x.rs:1", "backtrace:"]
        {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let mut last = PathBuf::new();
        for _ in 0..KEPT + 5 {
            last = write(folder.path(), &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&last).unwrap(), text);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT + 1);
        assert!(folder.path().join("notes.txt").exists());
        assert!(farewell("x", Some(&last)).contains(&*last.to_string_lossy()));
    }
}
