//! The log: `RUST_LOG` selects the lines for stderr, and the latest lines are kept for crash reports.
//!
//! Log lines hold file names, sizes, numbers and causes of errors. They never hold a question, an answer or a
//! picture, because a crash report contains them.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Number of lines that [`recent_lines`] returns at most.
pub const RECENT_LINES: usize = 200;
/// Longest line that is kept, in bytes.
const LINE_BYTES: usize = 1000;
/// The filter for stderr if `RUST_LOG` is not set. The graphics and window crates warn about drivers that work.
const DEFAULT_FILTER: &str = "error,vlmscope=warn";

static RECENT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
static STARTED: OnceLock<Instant> = OnceLock::new();

/// Writes the lines that `RUST_LOG` selects to stderr, and keeps the latest lines.
struct Logger {
    stderr: env_logger::Logger,
}

impl Logger {
    /// Lines that are kept whatever the filter for stderr: our own from `info` up, and warnings of other crates.
    fn keeps(metadata: &Metadata<'_>) -> bool {
        let own = metadata.target().split("::").next() == Some("vlmscope");
        metadata.level() <= if own { Level::Info } else { Level::Warn }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.stderr.enabled(metadata) || Self::keeps(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let shown = self.stderr.matches(record);
        if shown || Self::keeps(record.metadata()) {
            // Formatted before the lock is taken: a `Display` that panics must not hold it.
            keep(line(record));
        }
        if shown {
            self.stderr.log(record);
        }
    }

    fn flush(&self) {
        self.stderr.flush();
    }
}

/// Reports a state that no input can cause: a debug build panics, a release build logs it and continues.
macro_rules! bug {
    ($($message:tt)+) => {{
        log::error!("bug in vlmscope: {}", format_args!($($message)+));
        debug_assert!(false, $($message)+);
    }};
}
pub(crate) use bug;

/// Installs the logger of the process. A second call changes nothing.
pub fn init() {
    STARTED.get_or_init(Instant::now);
    let stderr =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(DEFAULT_FILTER))
            .target(env_logger::Target::Stderr)
            .format(|out, record| writeln!(out, "{}", line(record)))
            .build();
    let level = stderr.filter().max(LevelFilter::Info);
    if log::set_boxed_logger(Box::new(Logger { stderr })).is_ok() {
        log::set_max_level(level);
    }
}

/// The latest log lines of this process, oldest first.
pub fn recent_lines() -> Vec<String> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

fn keep(line: String) {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    if recent.len() == RECENT_LINES {
        recent.pop_front();
    }
    recent.push_back(line);
}

/// Seconds since the start, level, target and message as one line without control characters.
fn line(record: &Record<'_>) -> String {
    let seconds = STARTED.get_or_init(Instant::now).elapsed().as_secs_f64();
    let message = record.args().to_string();
    let mut line = format!("[{seconds:9.3} s {:5} {}] ", record.level(), record.target());
    for char in message.chars() {
        if line.len() >= LINE_BYTES {
            line.push('…');
            break;
        }
        if char.is_control() {
            let _ = write!(line, "{}", char.escape_default());
        } else {
            line.push(char);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters_and_a_bounded_length() {
        let message = format!("bad\n\u{1b}[31mred{}", "é".repeat(LINE_BYTES));
        let line = line(
            &Record::builder()
                .level(Level::Warn)
                .target("vlmscope::trace")
                .args(format_args!("{message}"))
                .build(),
        );
        assert!(line.contains("WARN  vlmscope::trace] bad\\n\\u{1b}[31mred"), "{line}");
        assert!(!line.chars().any(char::is_control));
        assert!(line.len() < LINE_BYTES + 10 && line.ends_with('…'), "{}", line.len());
    }

    #[test]
    fn the_latest_lines_are_kept() {
        init();
        for number in 0..RECENT_LINES + 50 {
            log::info!("line {number} of the test");
        }
        let lines = recent_lines();
        assert_eq!(lines.len(), RECENT_LINES);
        let last = format!("line {} of the test", RECENT_LINES + 49);
        assert!(lines.iter().any(|line| line.ends_with(&last)), "{:?}", lines.last());
        assert!(!lines.iter().any(|line| line.ends_with("] line 0 of the test")));
    }

    #[test]
    fn other_crates_are_kept_from_warnings_up() {
        let kept = |target: &str, level| {
            Logger::keeps(&Metadata::builder().target(target).level(level).build())
        };
        assert!(kept("vlmscope::gpu", Level::Info) && !kept("vlmscope::gpu", Level::Debug));
        assert!(kept("wgpu_core::device", Level::Warn) && !kept("wgpu_core", Level::Info));
        assert!(!kept("vlmscope_other", Level::Info));
    }
}
