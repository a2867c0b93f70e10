//! Renders templates in a separate process: this program, started with a hidden command.
//!
//! Only a process limits memory, depth and time at once on every system: the program's allocator refuses to exceed a
//! limit, a watch thread ends the process when it has used its CPU time, and a stack overflow also ends the process.
//! The calling process only observes that there is no answer. One process serves all jobs, one JSON object per line,
//! and ends when its input ends.

use super::render::{Job, render as render_here};
use cpu_time::ProcessTime;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Limit of CPU time for one answer; a template takes a few milliseconds.
const CPU_LIMIT: Duration = Duration::from_secs(1);
/// Interval between two checks of the CPU time.
const WATCH_INTERVAL: Duration = Duration::from_millis(25);
/// Limit of wall-clock time, for a machine that is too busy to give the process CPU time.
const WALL_LIMIT: Duration = Duration::from_secs(30);
/// Exit code of a process that used up its CPU time.
const OUT_OF_TIME: i32 = 97;
/// Two renderings of a megabyte; JSON may escape each byte.
const MAX_ANSWER_BYTES: u64 = 16 << 20;
/// Memory limit of the process that renders.
pub const MEMORY_LIMIT_BYTES: usize = 256 << 20;

static PROGRAM: OnceLock<Program> = OnceLock::new();
static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

#[derive(Debug)]
struct Program {
    path: PathBuf,
    command: &'static str,
}

/// Sets the program and the command that calls [`answer`] for each line of its standard input. From now on templates
/// are rendered there.
pub fn set_program(path: PathBuf, command: &'static str) {
    // A second call has no effect: there is one program.
    let _ = PROGRAM.set(Program { path, command });
}

/// A process that renders.
struct Running {
    child: Child,
    jobs: ChildStdin,
    answers: Receiver<String>,
}

/// The result of a job.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// One text for each context.
    Rendered(Vec<String>),
    /// The reason for the failure.
    Failed(String),
}

/// Renders a template with each of the job's contexts.
///
/// # Errors
/// The template engine's message, or the limit that was exceeded.
pub fn render(job: &Job) -> Result<Vec<String>, String> {
    let Some(program) = PROGRAM.get() else { return render_here(job) };
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    // A process that ended between two jobs is not a fault of this template.
    for _ in 0..2 {
        let mut process = match running.take().map_or_else(|| Running::start(program), Ok) {
            Ok(process) => process,
            Err(error) => {
                return Err(format!("the process that renders it did not start ({error})"));
            }
        };
        let was_gone = matches!(process.child.try_wait(), Ok(Some(_)));
        if was_gone {
            continue;
        }
        return match process.ask(job) {
            Some(answer) => {
                *running = Some(process);
                match answer {
                    Answer::Rendered(texts) => Ok(texts),
                    Answer::Failed(reason) => Err(reason),
                }
            }
            None => Err(process.end()),
        };
    }
    Err("the process that renders it ends at once".to_owned())
}

impl Running {
    fn start(program: &Program) -> std::io::Result<Self> {
        let mut child = Command::new(&program.path)
            .arg(program.command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (jobs, output) = match (child.stdin.take(), child.stdout.take()) {
            (Some(jobs), Some(output)) => (jobs, output),
            _ => return Err(std::io::Error::other("it has no pipes")),
        };
        let (sender, answers) = bounded(1);
        // The thread ends with the process, whose output it reads.
        std::thread::Builder::new().name("templates".into()).spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let mut line = String::new();
                let read = output.by_ref().take(MAX_ANSWER_BYTES).read_line(&mut line);
                if !read.is_ok_and(|bytes| bytes > 0) || sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { child, jobs, answers })
    }

    /// `None`: the process ended or did not answer in time.
    fn ask(&mut self, job: &Job) -> Option<Answer> {
        let mut line = serde_json::to_vec(job).ok()?;
        line.push(b'\n');
        self.jobs.write_all(&line).and_then(|()| self.jobs.flush()).ok()?;
        match self.answers.recv_timeout(WALL_LIMIT) {
            Ok(line) => serde_json::from_str(&line).ok(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Ends the process and returns the reason why it gave no answer.
    fn end(&mut self) -> String {
        let out_of_time = format!("it took longer than {} s", CPU_LIMIT.as_secs());
        // Its output has ended, so the process is ending, unless the wall-clock limit was exceeded.
        for _ in 0..40 {
            match self.child.try_wait() {
                Ok(Some(status)) if status.code() == Some(OUT_OF_TIME) => return out_of_time,
                Ok(Some(status)) => return out_of_memory(status),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        out_of_time
    }
}

fn out_of_memory(status: ExitStatus) -> String {
    format!(
        "it needs more than {} MB of memory or nests too deep (its process ended with {status})",
        MEMORY_LIMIT_BYTES >> 20
    )
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; a process without `wait` stays as a zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Renders one job, a line of JSON. The process that calls this must first limit its memory and call [`watch_time`].
pub fn answer(line: &str) -> Answer {
    DEADLINE_NANOS.store(used_nanos() + CPU_LIMIT.as_nanos() as u64, Ordering::SeqCst);
    let job: Result<Job, _> = serde_json::from_str(line);
    let rendered = job.map_err(|error| error.to_string()).and_then(|job| render_here(&job));
    DEADLINE_NANOS.store(u64::MAX, Ordering::SeqCst);
    rendered.map_or_else(Answer::Failed, Answer::Rendered)
}

/// CPU time of the process at which the current job exceeds its limit.
static DEADLINE_NANOS: AtomicU64 = AtomicU64::new(u64::MAX);

fn used_nanos() -> u64 {
    ProcessTime::now().as_duration().as_nanos() as u64
}

/// Starts a thread that ends the process when a job exceeds its CPU time.
///
/// # Errors
/// If the system cannot start another thread.
pub fn watch_time() -> std::io::Result<()> {
    std::thread::Builder::new().name("watch".into()).spawn(|| {
        loop {
            std::thread::sleep(WATCH_INTERVAL);
            if used_nanos() > DEADLINE_NANOS.load(Ordering::SeqCst) {
                std::process::exit(OUT_OF_TIME);
            }
        }
    })?;
    Ok(())
}
