//! Objects that the user marks in a picture.

use crate::analysis::inside::Inside;
use crate::analysis::outline::RegionPart;
use crate::trace::Trace;
use serde::{Deserialize, Serialize};

/// An object: a region of one picture with a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MarkedObject {
    /// Its name.
    pub name: String,
    /// Index of the picture.
    #[serde(default)]
    pub picture: u32,
    /// Its parts, in pixels of the original picture; each is added to, or cut from, those before it.
    pub parts: Vec<RegionPart>,
}

impl MarkedObject {
    /// The part of each patch of a trace that lies inside the object.
    pub fn inside(&self, trace: &Trace) -> Inside {
        Inside::new(&trace.meta().spans, Some(self.picture), &self.parts)
    }
}
