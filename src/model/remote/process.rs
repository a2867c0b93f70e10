//! The child process that connects to the server: ssh, or any program that serves.

use super::address::{Address, SSH_VARIABLE, ServeFlags};
use super::said::shown;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of its stderr that an error shows.
const SHOWN_LINES: usize = 5;
const MAX_LINE_BYTES: u64 = 2000;
/// Time that a server has to end by itself.
pub const FAREWELL: Duration = Duration::from_secs(2);
/// Time that it has after a signal to end.
const AFTER_SIGNAL: Duration = Duration::from_millis(500);

/// A running child process.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts the server of an address.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(
        address: &Address,
        flags: &ServeFlags,
    ) -> std::io::Result<(Self, ChildStdin, ChildStdout)> {
        let ssh = std::env::var(SSH_VARIABLE).ok().filter(|name| !name.is_empty());
        let words = address.command(ssh.as_deref().unwrap_or("ssh"), flags);
        let (program, arguments) = words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C cancels the request; the server must live on to hear of it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(std::io::Error::other("it has no pipes"));
        };
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        // The thread ends with the process.
        std::thread::Builder::new().name("remote log".into()).spawn(move || {
            let mut errors = BufReader::new(errors);
            loop {
                let mut line = Vec::new();
                match errors.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {
                        let line = shown(&String::from_utf8_lossy(&line));
                        log::info!("the other side: {line}");
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        if kept.len() == SHOWN_LINES {
                            kept.pop_front();
                        }
                        kept.push_back(line);
                    }
                }
            }
        })?;
        Ok((Self { child, lines }, input, output))
    }

    /// Why it ended, after its output did: the exit status and the last lines of its stderr.
    pub fn why_it_ended(&mut self) -> String {
        let status = self.wait(FAREWELL);
        // The thread that reads stderr may be a moment behind.
        std::thread::sleep(Duration::from_millis(20));
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> =
            lines.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
        let ended = status.unwrap_or_else(|| "it closed its output".to_owned());
        if lines.is_empty() { ended } else { format!("{ended}; it said: {}", lines.join(" / ")) }
    }

    fn wait(&mut self, most: Duration) -> Option<String> {
        let end = Instant::now() + most;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(format!("the process ended with {status}")),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Process {
    /// Waits for its end, and ends it and the processes that it started if it takes longer than `patience`.
    pub fn end(&mut self, patience: Duration) {
        if self.wait(patience).is_some() {
            return;
        }
        self.signal(Signal::End);
        if self.wait(AFTER_SIGNAL).is_none() {
            self.signal(Signal::Kill);
            // A process without `wait` stays as a zombie.
            let _ = self.child.wait();
        }
    }

    /// Sends a signal to the group of a process that has not been waited for: its number is in use.
    #[cfg(unix)]
    fn signal(&mut self, signal: Signal) {
        let Ok(group) = libc::pid_t::try_from(self.child.id()) else { return };
        let number = match signal {
            Signal::End => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
        };
        // SAFETY: `kill` takes any numbers; the group is that of the child, which leads it.
        unsafe { libc::kill(-group, number) };
    }

    #[cfg(not(unix))]
    fn signal(&mut self, _: Signal) {
        let _ = self.child.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(FAREWELL);
    }
}

/// The ways to end a process.
#[derive(Clone, Copy)]
enum Signal {
    /// It may put away what it holds.
    End,
    /// At once.
    Kill,
}
