//! The log: on stderr only, silent unless it is asked for.

use crate::support::{PROGRAM, stderr, write_trace};
use std::path::Path;
use std::process::{Command, Output};

fn inspect(trace: &Path, filter: Option<&str>) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["inspect", "--json"]).arg(trace).env_remove("RUST_LOG");
    if let Some(filter) = filter {
        command.env("RUST_LOG", filter);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

#[test]
fn the_log_goes_to_stderr_when_rust_log_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a\tb.vlmtrace");
    write_trace(&path);

    let silent = inspect(&path, None);
    assert_eq!(stderr(&silent), "");

    let logged = inspect(&path, Some("vlmscope=info"));
    let log = String::from_utf8(logged.stderr).unwrap();
    assert_eq!(logged.stdout, silent.stdout, "results are not mixed with the log");
    let opened = log.lines().find(|line| line.contains("INFO  vlmscope::trace::file] opened"));
    let opened = opened.unwrap_or_else(|| panic!("no line says what was opened: {log}"));
    assert!(opened.contains("a\\tb.vlmtrace"), "control characters are escaped: {opened:?}");

    let other = inspect(&path, Some("vlmscope::gpu=debug"));
    assert_eq!(stderr(&other), "");
}
