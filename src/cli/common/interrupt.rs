//! Signals that ask the program to end: Ctrl-C everywhere, SIGTERM and SIGHUP where they exist.
//!
//! The first signal cancels the token: work that polls it stops and leaves nothing half written. The second signal, or
//! the first if no work polls the token, removes temporary files and ends the program at once. The exit code is 130.

use crate::files;
use crate::job::{CancelToken, Panicked, guard};
use crate::terminal;
use anyhow::{Context as _, bail};
use crossbeam_channel::unbounded;
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status that a shell reports for a program that Ctrl-C ended.
const EXIT_CODE: i32 = 130;

static TOKEN: OnceLock<CancelToken> = OnceLock::new();
static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// Starts to listen. To be called once, before any command runs.
pub(crate) fn listen_for_signals() -> anyhow::Result<()> {
    let token = TOKEN.get_or_init(CancelToken::new);
    let ignored = Ignored::now();
    ctrlc::set_handler(move || {
        if IS_WATCHED.load(Ordering::SeqCst) && !token.is_cancelled() {
            token.cancel();
        } else {
            files::remove_temporary();
            exit();
        }
    })
    .context("cannot watch for Ctrl-C")?;
    ignored.restore();
    Ok(())
}

/// The token that the first signal cancels. A caller must poll it.
pub(crate) fn cancel_on_interrupt() -> CancelToken {
    IS_WATCHED.store(true, Ordering::SeqCst);
    TOKEN.get_or_init(CancelToken::new).clone()
}

/// Ends the program after an error of work that a signal cancelled.
pub(crate) fn end_if_interrupted() {
    if TOKEN.get().is_some_and(CancelToken::is_cancelled) {
        let _ = terminal::stdout().flush();
        files::remove_temporary();
        exit();
    }
}

/// News of work in another thread.
enum News<T, P> {
    Progress(P),
    Done(Result<T, Panicked>),
    Interrupted,
}

/// Runs work that polls no token in a thread of its own, and fails as soon as a signal cancels the token. The thread ends with the
/// program.
pub(crate) fn until_interrupted<T: Send + 'static, P: Send + 'static>(
    name: &str,
    work: impl FnOnce(&mut dyn FnMut(P)) -> T + Send + 'static,
    progress: &mut dyn FnMut(P),
) -> anyhow::Result<T> {
    let (sender, news) = unbounded();
    let interrupted = sender.clone();
    // Whether anyone listens for news does not matter to the senders.
    let guarded = TOKEN.get_or_init(CancelToken::new).on_cancel(move || {
        let _ = interrupted.send(News::Interrupted);
    });
    let run = move || {
        let done = guard(|| {
            work(&mut |of| {
                let _ = sender.send(News::Progress(of));
            })
        });
        let _ = sender.send(News::Done(done));
    };
    std::thread::Builder::new().name(name.into()).spawn(run).context("cannot start a thread")?;
    for news in news {
        match news {
            News::Progress(of) => progress(of),
            News::Done(done) => {
                drop(guarded);
                return Ok(done?);
            }
            News::Interrupted => break,
        }
    }
    bail!("cancelled")
}

/// Ends the program. Libraries that clean up after `main` may wait for work that still runs.
#[cfg(unix)]
fn exit() -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    unsafe { libc::_exit(EXIT_CODE) }
}

#[cfg(not(unix))]
fn exit() -> ! {
    std::process::exit(EXIT_CODE)
}

/// Signals that the parent process set to be ignored: by `nohup`, or by a shell that runs the program in the
/// background.
struct Ignored {
    #[cfg(unix)]
    signals: Vec<libc::c_int>,
}

#[cfg(unix)]
impl Ignored {
    fn now() -> Self {
        let is_ignored = |&signal: &libc::c_int| {
            let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: a null action changes nothing; the old one is written to `action`, which is
            // valid as zeros too.
            let (asked, action) = unsafe {
                (
                    libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()),
                    action.assume_init(),
                )
            };
            asked == 0 && action.sa_sigaction == libc::SIG_IGN
        };
        let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
        Self { signals: signals.into_iter().filter(is_ignored).collect() }
    }

    fn restore(self) {
        for signal in self.signals {
            // SAFETY: to ignore a signal is always allowed.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
}

#[cfg(not(unix))]
impl Ignored {
    fn now() -> Self {
        Self {}
    }

    fn restore(self) {}
}
