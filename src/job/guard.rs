//! Turning a panic in a worker into an error that can be displayed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// A panic in the work: always a fault of the program, never of a file or a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an internal error stopped this task ({message}). Saved files are not affected: try \
    again.{}", sent(.report.as_ref()))]
pub struct Panicked {
    /// The message and the place of the panic.
    pub message: String,
    /// The crash report, where one could be written.
    pub report: Option<PathBuf>,
}

fn sent(report: Option<&PathBuf>) -> String {
    report.map_or_else(String::new, |path| {
        format!(
            " The report {} contains no pictures and no questions; please send it to the authors.",
            path.display()
        )
    })
}

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
    static NOTED: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// Stores the panic hook's description of a panic on this thread for [`guard`].
pub fn note(panicked: Panicked) {
    NOTED.set(Some(panicked));
}

/// The panic that this thread is unwinding from.
pub fn unwinding() -> Option<Panicked> {
    std::thread::panicking().then(|| NOTED.with_borrow(Clone::clone).unwrap_or_else(unknown))
}

/// Runs `work` and catches a panic. State that the work may have left half changed must not be used any more: create it
/// again.
///
/// # Errors
/// If it panicked.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    NOTED.set(None);
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let noted = NOTED.take();
        // Dropping a payload may panic again.
        let message = message_of(payload.as_ref());
        std::mem::forget(payload);
        noted.unwrap_or(Panicked { message, report: None })
    })
}

/// Runs code of another library on a file of any origin and catches a panic. A damaged file is not a fault of the
/// program, so no report is written. State that the work may have left half changed must not be used any more.
///
/// # Errors
/// The message of the panic, if it panicked.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    outcome.map_err(|payload| {
        let message = message_of(payload.as_ref());
        std::mem::forget(payload);
        message
    })
}

/// Whether this thread is inside [`contain`], which catches its panics.
pub fn is_contained() -> bool {
    IS_CONTAINED.get()
}

/// The text of a panic.
pub fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it gave no reason").to_owned()
}

fn unknown() -> Panicked {
    Panicked { message: "it gave no reason".into(), report: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_work_goes_on() {
        assert_eq!(guard(|| 3).unwrap(), 3);
        let failed = guard(|| -> u32 { panic!("no {}", "luck") }).unwrap_err();
        assert_eq!(failed.message, "no luck");
        assert!(failed.to_string().contains("(no luck)"), "{failed}");
        assert_eq!(guard(|| 4).unwrap(), 4);
    }

    #[test]
    fn a_contained_panic_says_that_it_is_one() {
        assert!(!is_contained());
        assert!(contain(is_contained).unwrap());
        assert_eq!(contain(|| -> u32 { panic!("no {}", "luck") }).unwrap_err(), "no luck");
        assert!(!is_contained());
    }

    #[test]
    fn what_the_hook_noted_comes_with_the_error() {
        let noted = Panicked { message: "noted".into(), report: Some("/data/crash.txt".into()) };
        let inner = noted.clone();
        let failed = guard(move || {
            note(inner);
            panic!("bare")
        });
        let failed = failed.unwrap_err();
        assert_eq!(failed, noted);
        assert!(failed.to_string().contains("/data/crash.txt"), "{failed}");
    }

    #[test]
    fn whoever_is_dropped_by_a_panic_can_say_so() {
        struct Dropped(std::sync::mpsc::Sender<Option<Panicked>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.send(unwinding()).unwrap();
            }
        }
        let (send, receive) = std::sync::mpsc::channel();
        drop(Dropped(send.clone()));
        assert_eq!(receive.recv().unwrap(), None);
        let _ = guard(move || {
            let _dropped = Dropped(send);
            panic!("it falls")
        });
        assert!(receive.recv().unwrap().is_some());
    }
}
