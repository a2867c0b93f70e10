//! Messages that wait for the user.

use super::intent::Intent;

/// A message that waits for the user.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its identity.
    pub id: u64,
    /// What it says.
    pub text: String,
    /// Something went wrong.
    pub is_error: bool,
    /// What can be done about it, each with the words on its button.
    pub offers: Vec<(&'static str, Intent)>,
    /// When it came, in seconds of the program's clock.
    pub since: f64,
}

impl Notice {
    /// Whether it waits until it is closed.
    pub fn stays(&self) -> bool {
        self.is_error || !self.offers.is_empty()
    }
}
