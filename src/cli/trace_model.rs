//! The model of a trace, for commands that ask its question again.

use super::common::{RuntimeFlags, WHOLE_PICTURE, load_engine, progress_bar};
use crate::model::{AskEvent, Engine, Progress};
use crate::terminal;
use crate::trace::{TokenInfo, Trace, WORD_MARKS};
use crate::view::figure::token_names;
use indicatif::ProgressBar;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Flags that name the model of a trace.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelFlags {
    /// Bundle that made the trace [default: the built-in model].
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub runtime: RuntimeFlags,
}

/// The query rows that an intervention changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FromFlag {
    /// The rows that predict the answer tokens.
    Answer,
    /// Every position after the picture.
    Text,
}

/// Progress on stderr.
pub(crate) struct Meter {
    bar: ProgressBar,
}

impl Meter {
    pub fn new() -> Self {
        Self { bar: progress_bar() }
    }

    /// Loads the model that made `trace`.
    pub fn load(&self, flags: &ModelFlags) -> anyhow::Result<Engine> {
        load_engine(flags.model.as_deref(), &flags.runtime, &mut |progress| self.progress(progress))
    }

    pub fn event(&self, event: &AskEvent) {
        match event {
            AskEvent::Progress(progress) => self.progress(*progress),
            AskEvent::Notice(notice) => self.note(&notice.text(WHOLE_PICTURE)),
            AskEvent::Prompt(_) | AskEvent::Token(_) | AskEvent::Page(_) => {}
        }
    }

    fn progress(&self, progress: Progress) {
        self.step(&progress.stage.to_string(), progress.done.into(), progress.total.into());
    }

    /// Shows `done` of `total` steps of the present work.
    pub fn step(&self, doing: &str, done: u64, total: u64) {
        self.bar.set_message(doing.to_owned());
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Prints a sentence above the bar.
    pub fn note(&self, note: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(terminal::stderr(), "note: {note}");
        });
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Texts of the answer tokens for a reader.
pub(crate) fn answer_token_texts(trace: &Trace) -> Vec<String> {
    let tokens = trace.meta().answer_tokens();
    let text = |(token, name): (&TokenInfo, String)| match token.text.contains("<0x") {
        true => name,
        false => token.text.replace(WORD_MARKS, " "),
    };
    tokens.iter().zip(token_names(tokens)).map(text).collect()
}

/// A file name for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
