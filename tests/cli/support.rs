//! The program as a user runs it, in a folder of its own.

use serde_json::Value;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_vlmscope");

/// Arguments of the program: a list, or one line that is split at white space.
pub trait Arguments: Debug {
    fn list(&self) -> Vec<&str>;
}

impl Arguments for &str {
    fn list(&self) -> Vec<&str> {
        self.split_whitespace().collect()
    }
}

impl Arguments for &String {
    fn list(&self) -> Vec<&str> {
        self.split_whitespace().collect()
    }
}

impl Arguments for &[&str] {
    fn list(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl<const COUNT: usize> Arguments for &[&str; COUNT] {
    fn list(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl Arguments for &Vec<&str> {
    fn list(&self) -> Vec<&str> {
        self.to_vec()
    }
}

/// A temporary folder that the program runs in.
pub struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With a small synthetic trace as a.vlmtrace.
    pub fn with_trace() -> Self {
        let folder = Self::new();
        write_trace(&folder.path("a.vlmtrace"));
        folder
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// The names of the files in it, sorted.
    pub fn names(&self) -> Vec<String> {
        names(self.root())
    }

    pub fn command(&self, arguments: impl Arguments) -> Command {
        command(self.root(), arguments)
    }

    pub fn run(&self, arguments: impl Arguments) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs and expects success.
    pub fn ok(&self, arguments: impl Arguments) -> Output {
        let said = format!("{arguments:?}");
        let output = self.run(arguments);
        assert!(output.status.success(), "{said}: {}", stderr(&output));
        output
    }

    /// The standard output of a run that succeeds.
    pub fn prints(&self, arguments: impl Arguments) -> String {
        stdout(&self.ok(arguments))
    }

    /// The same, read as JSON.
    pub fn json(&self, arguments: impl Arguments) -> Value {
        serde_json::from_str(&self.prints(arguments)).unwrap()
    }

    /// Runs and expects an error, whose text is returned.
    pub fn fails(&self, arguments: impl Arguments) -> String {
        let said = format!("{arguments:?}");
        let output = self.run(arguments);
        let text = stderr(&output);
        assert!(!output.status.success(), "{said} succeeded");
        assert!(!text.contains("panicked"), "{said}: {text}");
        text
    }

    /// Runs and expects an exit code and words of the error, whose text is returned.
    pub fn refused(&self, arguments: impl Arguments, code: i32, words: &[&str]) -> String {
        refused(self.root(), arguments, code, words)
    }
}

/// A small synthetic trace: the text rows of 4 layers, 6 heads and 8 × 8 patches.
pub fn write_trace(path: &Path) {
    let small = Geometry::named("small").unwrap();
    Synthetic::new(small, RowsKept::Text, 3).unwrap().write(path).unwrap();
}

/// The program in any folder.
pub fn command(folder: &Path, arguments: impl Arguments) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(arguments.list());
    command
}

/// As [`Folder::refused`], in any folder.
pub fn refused(folder: &Path, arguments: impl Arguments, code: i32, words: &[&str]) -> String {
    let said = format!("{arguments:?}");
    let output = command(folder, arguments).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{said}: {text}");
    for word in words {
        assert!(text.contains(word), "{said}: {word:?} is not in: {text}");
    }
    assert!(!text.contains("panicked") && output.stdout.is_empty(), "{said}: {text}");
    text
}

/// The names of the files in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
