//! Messages that wait for the user.

use super::intent::Intent;

/// A message that waits for the user.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its identity.
    pub id: u64,
    /// Text of the message.
    pub text: String,
    /// Whether the message reports an error.
    pub is_error: bool,
    /// Offered intents, each with the text of its button.
    pub offers: Vec<(&'static str, Intent)>,
    /// Time of its creation, in seconds of the program's clock.
    pub since: f64,
    /// Seconds after which it goes; `None` if it stays until the user closes it.
    pub seconds: Option<f64>,
}

impl Notice {
    /// Whether it has buttons or must be read.
    pub fn has_buttons(&self) -> bool {
        self.is_error || !self.offers.is_empty()
    }

    /// Whether its time is over.
    pub fn is_over(&self, clock: f64) -> bool {
        self.seconds.is_some_and(|seconds| clock - self.since >= seconds)
    }
}
