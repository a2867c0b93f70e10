//! The walkthrough of a command's argument.

use super::usage::usage;
use crate::record::{OpenTraces, Unpacked, unpack};
use crate::trace::Trace;
use crate::view::timeline::{Walkthrough, tour};
use std::path::{Path, PathBuf};

/// A walkthrough with its traces open.
pub(crate) struct Show {
    /// The walkthrough.
    pub walkthrough: Walkthrough,
    /// Its traces.
    pub traces: OpenTraces,
    /// The folder of the walkthrough's file.
    folder: PathBuf,
    /// Folder of an unpacked pack; removed when it is dropped.
    _unpacked: Option<Unpacked>,
}

impl Show {
    /// Opens a walkthrough or a pack, or makes the tour of a trace.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let extension = path.extension().map(|ext| ext.to_string_lossy().to_lowercase());
        let mut unpacked = None;
        let mut file = path.to_owned();
        let walkthrough = match extension.as_deref() {
            Some("vlmtrace") => tour(&Trace::open(path)?, path),
            Some("toml") => Walkthrough::open(path)?,
            Some("zip") => {
                file.clone_from(&unpacked.insert(unpack(path)?).walkthrough);
                Walkthrough::open(&file)?
            }
            _ => {
                return Err(usage(format!(
                    "{name} is not a trace (.vlmtrace), a walkthrough (.toml) or a pack (.zip)"
                )));
            }
        };
        let traces = OpenTraces::open(&walkthrough, &name)?;
        let folder = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
        Ok(Self { walkthrough, traces, folder, _unpacked: unpacked })
    }

    /// The traces that lie neither in the walkthrough's folder nor below it.
    pub fn traces_outside(&self) -> Vec<&Path> {
        self.traces.outside(&self.folder)
    }
}
