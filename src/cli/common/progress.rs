//! Progress on stderr.

use crate::model::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on stderr.
pub(crate) fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:24} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}

/// Moves a bar.
pub(crate) fn show_progress(bar: &ProgressBar, progress: Progress) {
    bar.set_message(progress.stage.to_string());
    bar.set_length(u64::from(progress.total));
    bar.set_position(u64::from(progress.done));
}
