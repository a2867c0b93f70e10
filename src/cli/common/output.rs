//! Results on stdout.

use crate::record::shell_quoted;
use crate::terminal;
use std::io::Write as _;

/// Prints a result as one JSON object.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = terminal::json(value, true)?;
    Ok(writeln!(terminal::stdout(), "{text}")?)
}

/// Prints a note for the user on stderr.
pub(crate) fn note(text: &str) {
    // A closed stderr is no error: nobody reads the note.
    let _ = writeln!(terminal::stderr(), "note: {text}");
}

/// A number of bytes in units for a reader.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// The command line of this process, quoted for a shell.
pub(crate) fn command_line() -> String {
    let arguments = std::env::args_os().skip(1).map(|arg| shell_quoted(&arg.to_string_lossy()));
    std::iter::once("vlmscope".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}
