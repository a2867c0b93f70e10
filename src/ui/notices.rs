//! Messages that wait for the user.

/// A message that waits for the user.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its identity.
    pub id: u64,
    /// What it says.
    pub text: String,
    /// Something went wrong; other messages go away by themselves.
    pub is_error: bool,
    /// When it came, in seconds of the program's clock.
    pub since: f64,
}
