//! A figure as plain data: the rectangle of the stage, and every label, line and bar around it.
//!
//! The GPU's text pass and the SVG writer draw the same [`Figure`], so a saved vector figure and
//! the frame on screen are equal to the pixel. Sizes are defined for 1080 lines and scale with the target; no code here
//! depends on a GPU or a font file.

pub mod annotations;
mod axes;
mod caption;
mod causal;
mod color_limits;
mod content;
mod foot;
mod head_grid;
mod layout;
mod line_breaks;
mod patching;
mod pieces;
mod rect;
mod relevancy;
mod shapes;
mod sizes;
mod text;
mod theme;
mod ticks;
mod tiles;
mod tree_layout;
mod type_metrics;

pub use axes::{labelled, sides, step_for};
pub use caption::{caption, caption_of_heads, token_name, token_names, token_text, widest_caption};
pub use causal::causal_ink;
pub use color_limits::{CausalNumbers, ColorLimits, PatchNumbers, Readout};
pub use content::{AxisMarks, AxisToken, Bar, Content, HeadTile, PictureTile, content_aspect};
pub use head_grid::{HeadGrid, SortedHeads};
pub use rect::PixelRect;
pub use shapes::{Align, Crop, Figure, Fill, Label, Legend, Stroke};
pub use sizes::{DESIGN_LINES, scale_of};
pub use text::{
    TextRun, capital, decimal, head_name, is_right_to_left, number, percent, range_text,
    reads_right_to_left, signed, text_of, thousands,
};
pub use theme::{CONTOURS, Ink, ThemeColors, contour_color, contrast, luminance, mixed};
pub use ticks::Ticks;
pub use tree_layout::{TreeLayout, TreeShape};
pub use type_metrics::{CAP_HEIGHT, fitted, width as text_width};
