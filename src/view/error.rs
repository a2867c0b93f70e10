//! Errors of view states and selections.

use std::path::PathBuf;

/// The reason why a view state cannot be read or shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The file could not be read.
    #[error("cannot read the view state {path}: {source}. Check the path given to --state.", path = path.display())]
    Read {
        /// The state file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The text is not a view state.
    #[error("the view state is not valid TOML for this version: {reason}")]
    Parse {
        /// The parser's message, with the line.
        reason: String,
    },
    /// The state in a file is invalid.
    #[error("{path}: {source}", path = path.display())]
    InFile {
        /// The state file.
        path: PathBuf,
        /// The fault in the state.
        source: Box<ViewError>,
    },
    /// The second map cannot be shown.
    #[error("the second map: {source}")]
    SecondMap {
        /// The fault of its selection.
        source: Box<ViewError>,
    },
    /// The state was written by a newer version.
    #[error(
        "the view state has version {found}, which is newer than this reader (it reads up to {supported}). Update vlmscope."
    )]
    Newer {
        /// The version in the text.
        found: u32,
        /// The newest version that this reader supports.
        supported: u32,
    },
    /// The text is not a valid set of layers, heads or tokens.
    #[error(
        "`{text}` is not a set of {what}: {reason}. Write one number (4), or mean, max, mean:0-7,12 or max:0-7."
    )]
    Set {
        /// "layers", "heads", …
        what: &'static str,
        /// The text.
        text: String,
        /// The fault in the text.
        reason: String,
    },
    /// The text is not a valid set of single heads.
    #[error(
        "`{text}` is not a set of heads: {reason}. Write LAYER.HEAD, separated by commas, such as 4.1,7.0."
    )]
    HeadSet {
        /// The text.
        text: String,
        /// The fault in the text.
        reason: String,
    },
    /// A view that is not of the chosen picture.
    #[error(
        "view {view} does not belong to picture {picture}, which has the views {views}. `vlmscope inspect` lists the views of a trace."
    )]
    NoSuchView {
        /// Index of the requested view.
        view: u32,
        /// Index of the picture.
        picture: u32,
        /// The views of the picture.
        views: String,
    },
    /// A frame of a video that the trace does not have.
    #[error("frame {index} does not exist: the trace has {frames}.")]
    NoFrame {
        /// The requested frame.
        index: u32,
        /// The frames of the trace.
        frames: String,
    },
    /// A layer of the model that has no pages.
    #[error("layer {layer} of this model has no attention{kind}. Layers with attention: {layers}.")]
    NoAttention {
        /// The layer's number in the model.
        layer: u32,
        /// " (linear)", or nothing.
        kind: String,
        /// The layers that have attention.
        layers: String,
    },
    /// An index is outside an axis of the trace.
    #[error("{what} {index} does not exist: {holder} has {count}, numbered 0 to {last}.", last = count.saturating_sub(1))]
    OutOfRange {
        /// "layer", "head", "answer token", "picture".
        what: &'static str,
        /// The index that was requested.
        index: u32,
        /// "the model", "the answer", …
        holder: &'static str,
        /// The length of the axis.
        count: u32,
    },
    /// The attention of a position was not kept in the trace.
    #[error(
        "the attention of position {query} was not kept: the trace keeps {kept}. Ask again with `--rows all` to keep every position."
    )]
    RowNotKept {
        /// The requested position.
        query: u32,
        /// The positions that were kept, as ranges.
        kept: String,
    },
    /// A patch is outside its grid.
    #[error("patch (span {span}, row {row}, column {column}) does not exist: {grids}")]
    NoPatch {
        /// Index of the span.
        span: u32,
        /// Row of the patch.
        row: u32,
        /// Column of the patch.
        column: u32,
        /// The grids of the trace.
        grids: String,
    },
    /// The named map is not in the trace.
    #[error("the trace has no map `{name}`; it has {available}. {advice}")]
    NoMap {
        /// The requested map.
        name: String,
        /// The maps in the trace.
        available: String,
        /// Advice for obtaining the map.
        advice: &'static str,
    },
    /// No query row can be read.
    #[error("the trace kept no query row with attention.")]
    NoRows,
    /// The named map is neither over patches nor over positions.
    #[error(
        "the map `{name}` has the shape {shape:?}; a map is F32 with one row for each of the {answers} answer tokens, and a value for each of {patches} patches or {positions} positions. Write it again, or choose another with --map."
    )]
    MapShape {
        /// The requested map.
        name: String,
        /// Its axes.
        shape: Vec<usize>,
        /// G, the number of answer tokens.
        answers: usize,
        /// N, the number of patches.
        patches: usize,
        /// T, the number of positions.
        positions: usize,
    },
    /// The named map has no row for any of the answer tokens.
    #[error(
        "the map `{name}` was not computed for answer token {answers}. Choose another token, or compute it with `vlmscope relevancy TRACE --methods METHOD --token {answers}`."
    )]
    NotComputed {
        /// The requested map.
        name: String,
        /// The answer tokens, separated by commas.
        answers: String,
    },
    /// A map without layers and heads in a view of layers and heads.
    #[error(
        "the {view} view shows layers and heads one by one, and the map `{name}` has none: it is one map for each answer token. Show it with the overlay or relevancy view, or take the attention (--map attention)."
    )]
    NoPages {
        /// The view's name.
        view: &'static str,
        /// The requested map.
        name: String,
    },
    /// The view needs a picture, and the trace has none.
    #[error(
        "the {view} view needs patches with a place in a picture, and this trace has none{reason}; use --view token-matrix."
    )]
    NoPicture {
        /// The view's name.
        view: &'static str,
        /// ": " and the reason why image tokens have no place, or nothing.
        reason: String,
    },
    /// A number is out of bounds.
    #[error("{field} is {value}; it must be {bounds}.")]
    Value {
        /// The field's name in the TOML.
        field: &'static str,
        /// The value that was given.
        value: f64,
        /// The permitted values, in words.
        bounds: &'static str,
    },
    /// Two fields cannot be combined.
    #[error("{reason}")]
    Combination {
        /// The fault, and the text to write instead.
        reason: String,
    },
}
