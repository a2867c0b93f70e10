//! The description of a view: one serialisable [`ViewState`], the commands that change it, their history, and
//! transitions between states. Plain data: nothing here draws.
//!
//! The main decision: **a frame is a function of a `ViewState` and its trace(s)**,
//! nothing else. The window, `render --state`, the recorder and a bookmark therefore show the same
//! picture from the same text, and undo is a list of states rather than of inverse commands.

#[macro_use]
mod named;

mod axis_set;
mod bounds;
mod causal;
pub mod chart;
mod chosen;
mod command;
mod error;
pub mod figure;
mod head_set;
mod history;
mod interpolate;
mod look;
mod objects;
mod patching;
mod quantity;
mod resolve;
mod salient_token;
mod shown_views;
mod spec;
mod state;
pub mod timeline;

pub use axis_set::{Aggregate, AxisSet, Queries, QueryKind};
pub use bounds::{Bounds, Grid};
pub use causal::{Backdrop, CausalTree, NodeFace, PatchCrop, TreeEdge, TreeNode};
pub use command::Command;
pub use error::ViewError;
pub use head_set::{HeadSet, LayerHead};
pub use history::{History, MergeKey, Undo};
pub use interpolate::{Easing, Interpolated, interpolate};
pub use look::{Blend, ColorMap, HeadOrder, ImageForm, Interpolation, PatchGrid, Scale, Theme};
pub use objects::MarkedObject;
pub use patching::{PatchRow, PatchTable, PatchTableError};
pub use quantity::{Quantity, Unit};
pub use resolve::{HeadNumbers, HeadNumbersKey, Numbers, NumbersKey, Reads};
pub use salient_token::salient_token;
pub use shown_views::{Shown, ShownGrid, patch_name, picture_name, pictures};
pub use spec::{
    Controls, Drawing, Every, Parts, PictureRule, SecondRule, SourceRule, ViewKind, ViewSpec,
};
pub use state::{
    Camera, Caption, MapChoice, MapSource, Mix, Normalise, PictureChoice, Range, STATE_VERSION,
    Second, SourceKind, ViewState,
};
