//! `--remote` with servers that do not behave, as a user meets them.

use crate::support::{Folder, stderr};
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use vlmscope::model::write_frame;

/// Longest wait for something that happens at once on a machine that is not overloaded.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program of the folder as an address.
fn script(folder: &Folder, text: &str) -> String {
    let path = folder.path("server");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("exec:'{}'", path.display())
}

/// The lines of a child's stderr as they come.
fn errors(child: &mut Child) -> Receiver<String> {
    let errors = BufReader::new(child.stderr.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in errors.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits until `is_so`, for a bounded time.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs; one that has ended and that nobody waited for does not.
fn runs(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The state follows the name in brackets.
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

#[test]
fn the_first_interrupt_ends_a_connection_that_hangs_and_its_processes() {
    let folder = Folder::new();
    // It does not greet, does not listen to SIGTERM, and has a child that does not either.
    let address = script(
        &folder,
        "trap '' TERM\nsleep 1000 &\necho $$ $! > pids.part\nmv pids.part pids\nwait\nsleep 1000",
    );
    let mut child = folder
        .command(&["ask", "sample:1", "Where is the balloon?", "--remote", &address])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = errors(&mut child);
    until("the server does not start", || folder.path("pids").exists());
    let host = folder.path("server").display().to_string();
    let line = lines.recv_timeout(PATIENCE).unwrap();
    assert!(line.contains("connecting to") && line.contains(&host), "{line}");
    let pids = std::fs::read_to_string(folder.path("pids")).unwrap();
    let pids: Vec<&str> = pids.split_whitespace().collect();
    assert_eq!(pids.iter().filter(|pid| runs(pid)).count(), 2);
    let number = i32::try_from(child.id()).unwrap();
    // SAFETY: `kill` takes any numbers; this child has not been waited for.
    unsafe { libc::kill(number, libc::SIGINT) };
    let mut code = None;
    until("the first interrupt does nothing", || {
        code = child.try_wait().unwrap().and_then(|status| status.code());
        code.is_some()
    });
    let rest: Vec<String> = lines.iter().collect();
    assert_eq!(code, Some(130), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("cancelled")), "{rest:?}");
    until("a process is left", || !pids.iter().any(|pid| runs(pid)));
}

#[test]
fn a_shell_that_does_not_find_the_program_is_explained() {
    let folder = Folder::new();
    // In place of ssh: the command for the other shell is its last argument.
    script(&folder, "for command; do :; done\nexec sh -c \"$command\"");
    let output = folder
        .command(&["ask", "sample:1", "Why?", "--remote", "ssh://gpu-box/no/such/vlmscope"])
        .env("VLMSCOPE_SSH", folder.path("server"))
        .output()
        .unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("gpu-box") && text.contains("exit status: 127"), "{text}");
    assert!(text.contains("give the path: ssh://HOST/PATH/TO/vlmscope"), "{text}");
}

#[test]
fn an_answer_that_breaks_off_is_no_trace() {
    let folder = Folder::new();
    // The output of a real server before the first request.
    let mut server = folder
        .command(&["serve", "--stdio", "--threads", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = server.stdin.take().unwrap();
    let hello = json!({"type": "hello", "protocol": 1});
    write_frame(&mut input, (0, false), &hello, &[], false).unwrap();
    drop(input);
    folder.write("greeting", server.wait_with_output().unwrap().stdout);
    // It ends within the picture.
    let address = script(&folder, "cat greeting\nhead -c 3000 > /dev/null\nexit 3");
    let output = folder.run(&[
        "ask",
        "sample:1",
        "Where is the balloon?",
        "--remote",
        &address,
        "--out",
        "a.vlmtrace",
    ]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in ["no trace was written", "was lost", "exit status: 3"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!folder.path("a.vlmtrace").exists());
}
