//! A walkthrough as commands are given one.

use super::usage::usage;
use crate::record::{OpenTraces, Unpacked, unpack};
use crate::trace::Trace;
use crate::view::timeline::{Walkthrough, tour};
use std::path::Path;

/// A walkthrough with its traces open.
pub(crate) struct Show {
    /// The walkthrough.
    pub walkthrough: Walkthrough,
    /// Its traces.
    pub traces: OpenTraces,
    /// Where a pack was unpacked; removed when the show is over.
    _unpacked: Option<Unpacked>,
}

impl Show {
    /// Opens a walkthrough or a pack, or makes the tour of a trace.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let extension = path.extension().map(|ext| ext.to_string_lossy().to_lowercase());
        let mut unpacked = None;
        let walkthrough = match extension.as_deref() {
            Some("vlmtrace") => tour(&Trace::open(path)?, path),
            Some("toml") => Walkthrough::open(path)?,
            Some("zip") => Walkthrough::open(&unpacked.insert(unpack(path)?).walkthrough)?,
            _ => {
                return Err(usage(format!(
                    "{name} is none of a trace (.vlmtrace), a walkthrough (.toml) and a pack (.zip)"
                )));
            }
        };
        let traces = OpenTraces::open(&walkthrough, &name)?;
        Ok(Self { walkthrough, traces, _unpacked: unpacked })
    }
}
