//! Ctrl-C at several moments of commands that take long: the exit code is 130, nothing is left half written, and the same command
//! works afterwards. The moments are lines of the log.

use crate::report::with_table;
use crate::support::{Arguments, Folder, names};
use crate::table::{heads, lines};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use vlmscope::table::{TableKind, TableWriter, read_samples, samples_path};

/// Runs the program and sends SIGINT when standard error has a line with `event`. Returns what it said.
fn interrupted(folder: &Folder, arguments: impl Arguments, event: &str) -> String {
    let named: String = format!("{arguments:?}").chars().take(200).collect();
    let mut command = folder.command(arguments);
    command.env("RUST_LOG", "vlmscope=info").stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: `signal` is safe to call between fork and exec. A test that runs in the background ignores the signal, and so
    // would the program.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut child = command.spawn().unwrap();
    let (mut said, mut is_sent) = (String::new(), false);
    // Ends when the program does.
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if !is_sent && line.contains(event) {
            // SAFETY: the child has not been waited for, so that the number is its own.
            assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
            is_sent = true;
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait().unwrap();
    assert!(is_sent, "{named}: no line has {event:?}: {said}");
    assert_eq!(status.code(), Some(130), "{named} at {event:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_report_ends_at_once_and_leaves_the_earlier_one() {
    let folder = with_table();
    folder.ok("report t.parquet --out r --samples 0");
    let (before, files) = (folder.read("r/report.json"), folder.names());
    let events = [
        "reading t.parquet",
        "ranking heads",
        "resampling logprob",
        "drawing heads_mean",
        "drawing difference",
    ];
    for event in events {
        interrupted(&folder, "report t.parquet --out r --heads 40 --samples 8", event);
        assert_eq!(folder.names(), files, "{event}");
        assert_eq!(folder.read("r/report.json"), before, "{event}");
    }
    folder.ok("report t.parquet --out r --samples 8");
    assert_ne!(folder.read("r/report.json"), before);
}

#[test]
fn a_batch_and_a_table_are_completed_by_the_same_command() {
    let folder = Folder::new();
    folder.write("q.jsonl", lines(8));
    let batch = "ask --batch q.jsonl --table t.parquet --out o --no-overlay";
    interrupted(&folder, batch, "loading");
    assert_eq!(folder.names(), ["q.jsonl"], "nothing was answered");
    for event in ["2 · s1", "4 · s3"] {
        let said = interrupted(&folder, batch, event);
        assert!(said.contains("run the same command again to resume"), "{said}");
        let left = [folder.names(), names(&folder.path("o"))].concat();
        assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
        assert!(!folder.path("t.parquet").exists() && folder.path("t.parquet.parts").exists());
    }
    folder.ok(batch);
    let rows = read_samples(&samples_path(&folder.path("t.parquet"))).unwrap();
    assert_eq!(rows.len(), 8);
    let files = folder.names();
    interrupted(&folder, "table o --out u.parquet", "opened o/s0.vlmtrace");
    assert_eq!(folder.names(), files);
    folder.ok("table o --out u.parquet");
    assert_eq!(heads(&folder.path("t.parquet")), heads(&folder.path("u.parquet")));
}

#[test]
fn tables_that_are_put_together_leave_the_earlier_table() {
    /// Bytes of a pipe and of the reader's buffer on Linux.
    const READ_AHEAD: usize = (64 + 8) << 10;
    let folder = Folder::new();
    folder.write("q.jsonl", lines(2));
    folder.ok("ask --batch q.jsonl --table t.parquet");
    folder.ok("table t.parquet --out u.parquet");
    // Tables without rows, so many that their lines fill the pipe of the log: the program waits for its reader, and cannot have
    // finished when the signal comes.
    let name = |number: usize| format!("{}{number:03}.parquet", "x".repeat(200));
    let count = READ_AHEAD / 200;
    for (kind, path) in [
        (TableKind::Heads, folder.path(name(0))),
        (TableKind::Samples, samples_path(&folder.path(name(0)))),
    ] {
        TableWriter::begin(&path, kind).unwrap().finish().unwrap();
        for number in 1..count {
            let other = folder.path(name(number));
            let other = if kind == TableKind::Heads { other } else { samples_path(&other) };
            std::fs::copy(&path, other).unwrap();
        }
    }
    let tables: Vec<String> = (0..count).map(name).collect();
    let mut arguments = vec!["table", "t.parquet"];
    arguments.extend(tables.iter().map(String::as_str));
    arguments.extend(["--out", "u.parquet"]);
    let files = folder.names();
    let before = ["u.parquet", "u.samples.parquet"].map(|name| folder.read(name));
    interrupted(&folder, &arguments, "adding the rows of t.parquet");
    assert_eq!(folder.names(), files);
    assert_eq!(["u.parquet", "u.samples.parquet"].map(|name| folder.read(name)), before);
    folder.ok(&arguments);
    assert_eq!(heads(&folder.path("t.parquet")), heads(&folder.path("u.parquet")));
}
