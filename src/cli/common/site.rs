//! The activations that `patch` copies and that a figure of its result shows.

use crate::analysis::patching::Site;

/// Copied activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SiteFlag {
    /// The residual stream at the input of a layer.
    Residual,
    /// The output of a head, before the output projection.
    Heads,
    /// The output of an MLP.
    Mlp,
}

impl From<SiteFlag> for Site {
    fn from(flag: SiteFlag) -> Self {
        match flag {
            SiteFlag::Residual => Self::Residual,
            SiteFlag::Heads => Self::Heads,
            SiteFlag::Mlp => Self::Mlp,
        }
    }
}
