//! `--remote ssh://` through a real sshd on a loopback port, with keys of its own. Ignored by `cargo test`, because not
//! every machine has sshd: `scripts/test` runs it.

use crate::support::{Folder, PROGRAM, stderr};
use serde_json::Value;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vlmscope::trace::Trace;

fn sshd() -> PathBuf {
    std::env::var_os("VLMSCOPE_SSHD").map_or_else(|| "/usr/sbin/sshd".into(), PathBuf::from)
}

/// An sshd, and an ssh that knows its host key and has a key that it accepts.
struct Machine {
    folder: tempfile::TempDir,
    port: u16,
    sshd: Child,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

impl Machine {
    /// `more` are lines of sshd's configuration.
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "user", "stranger"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key)));
        }
        std::fs::copy(at("user.pub"), at("accepted")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = std::fs::read_to_string(at("host.pub")).unwrap();
        std::fs::write(at("known"), format!("[127.0.0.1]:{port} {host}")).unwrap();
        let path = |name: &str| at(name).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n{more}\n",
            path("host"),
            path("accepted")
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        // sshd of root wants this folder, which its service makes at the start of a machine.
        let _ = std::fs::create_dir_all("/run/sshd");
        let mut sshd = Command::new(sshd())
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stderr(Stdio::from(std::fs::File::create(at("log")).unwrap()))
            .spawn()
            .unwrap_or_else(|error| {
                panic!("sshd is needed (Debian: apt install openssh-server): {error}")
            });
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(at("log")).unwrap_or_default();
            assert!(sshd.try_wait().unwrap().is_none(), "sshd ended: {}", log());
            assert!(start.elapsed() < Duration::from_secs(20), "sshd does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let new = Self { folder, port, sshd };
        new.ssh("ssh", "user", "known");
        new.ssh("stranger-ssh", "stranger", "known");
        new.ssh("cautious-ssh", "user", "nothing");
        new
    }

    /// A program that is ssh with a key and a list of known hosts.
    fn ssh(&self, name: &str, key: &str, known: &str) {
        let folder = self.folder.path().display();
        let text = format!(
            "#!/bin/sh\nexec ssh -F /dev/null -o IdentitiesOnly=yes -o IdentityFile='{folder}/{key}' \
             -o UserKnownHostsFile='{folder}/{known}' -o GlobalKnownHostsFile=/dev/null \"$@\"\n"
        );
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `vlmscope ask` in a folder, with the model behind this sshd.
    fn ask(&self, folder: &Folder, ssh: &str, more: &[&str]) -> Command {
        let user = run(Command::new("id").arg("-un"));
        let address = format!("ssh://{}@127.0.0.1:{}{PROGRAM}", user.trim(), self.port);
        let mut arguments = vec!["ask", "sample:1", "Where is the balloon?", "--remote", &address];
        arguments.extend(more);
        // The server has the environment of a new login.
        let library = std::env::var("ORT_DYLIB_PATH").ok();
        if let Some(library) = &library {
            arguments.extend(["--ort-lib", library]);
        }
        let mut command = folder.command(&arguments);
        command.env("VLMSCOPE_SSH", self.folder.path().join(ssh));
        command
    }
}

fn assert_same(found: &Path, expected: &Path) {
    let [found, expected] = [found, expected].map(|path| Trace::open(path).unwrap());
    assert_eq!(found.meta().tokens, expected.meta().tokens);
    assert_eq!(found.answer_logprobs(), expected.answer_logprobs());
    for row in 0..expected.rows().len() {
        assert!(found.page(row) == expected.page(row), "row {row}");
    }
}

#[test]
#[ignore = "needs sshd: scripts/test runs it"]
fn a_model_behind_sshd_gives_the_same_answer() {
    let (sshd, folder) = (Machine::start(""), Folder::new());
    folder.ok(&[
        "ask",
        "sample:1",
        "Where is the balloon?",
        "--threads",
        "1",
        "--out",
        "here.vlmtrace",
    ]);
    let output = sshd
        .ask(&folder, "ssh", &["--threads", "1", "--json", "--out", "there.vlmtrace"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!answer["answer"].as_str().unwrap().is_empty());
    assert_same(&folder.path("there.vlmtrace"), &folder.path("here.vlmtrace"));
}

#[test]
#[ignore = "needs sshd: scripts/test runs it"]
fn what_ssh_and_the_other_shell_say_is_shown() {
    let (sshd, folder) = (Machine::start(""), Folder::new());
    let fails = |sshd: &Machine, ssh: &str, more: &[&str], words: &[&str]| {
        let output = sshd.ask(&folder, ssh, more).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    };
    fails(&sshd, "stranger-ssh", &[], &["Permission denied"]);
    fails(&sshd, "cautious-ssh", &[], &["Host key verification failed"]);
    fails(
        &sshd,
        "ssh",
        &["--model", "/no/such bundle"],
        &["/no/such bundle", "there is no such folder"],
    );
    fails(&sshd, "no-ssh", &[], &["cannot be started"]);
    drop(sshd);
    let chatty = Machine::start(
        "ForceCommand echo 'Welcome to the box!'; exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
    );
    fails(&chatty, "ssh", &[], &["Welcome to the box!", "shell profile"]);
}

#[test]
#[ignore = "needs sshd: scripts/test runs it"]
fn a_connection_that_breaks_is_reported() {
    let (mut sshd, folder) = (Machine::start(""), Folder::new());
    // Long enough to be interrupted: a hundred questions.
    let lines: String = (0..100)
        .map(|at| format!("{{\"picture\": \"sample:1\", \"question\": \"What is it, {at}?\"}}\n"))
        .collect();
    folder.write("all.jsonl", lines);
    let user = run(Command::new("id").arg("-un"));
    let address = format!("ssh://{}@127.0.0.1:{}{PROGRAM}", user.trim(), sshd.port);
    let mut command = folder.command(&[
        "ask",
        "--batch",
        "all.jsonl",
        "--out",
        "traces",
        "--no-overlay",
        "--remote",
        &address,
    ]);
    command
        .env("VLMSCOPE_SSH", sshd.folder.path().join("ssh"))
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    let child = command.spawn().unwrap();
    let start = Instant::now();
    let traces = folder.path("traces");
    while std::fs::read_dir(&traces).map_or(0, Iterator::count) < 3 {
        assert!(start.elapsed() < Duration::from_secs(120), "no answer came");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The listener and the process of the connection.
    let session = run(Command::new("pgrep").args(["-P", &sshd.sshd.id().to_string()]));
    sshd.sshd.kill().unwrap();
    for process in session.split_whitespace() {
        run(Command::new("kill").args(["-9", process]));
    }
    let output = child.wait_with_output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("127.0.0.1") && text.contains("lost"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    for name in folder.names().iter().filter(|name| name.ends_with(".vlmtrace")) {
        Trace::open(&folder.path(name)).unwrap();
    }
}
