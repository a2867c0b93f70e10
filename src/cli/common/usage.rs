//! Wrong usage of a command, as opposed to a command that failed.

/// A request that cannot be carried out as given (exit code 2), as opposed to one that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub String);

/// Shorthand for a [`UsageError`] as an `anyhow` error.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}
