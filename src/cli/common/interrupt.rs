//! Ctrl-C.

use crate::job::CancelToken;
use anyhow::Context as _;

/// The first Ctrl-C cancels and leaves nothing half-written; the second ends the program.
pub(crate) fn cancel_on_interrupt() -> anyhow::Result<CancelToken> {
    let cancel = CancelToken::new();
    let token = cancel.clone();
    ctrlc::set_handler(move || {
        if token.is_cancelled() {
            std::process::exit(130);
        }
        token.cancel();
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(cancel)
}
