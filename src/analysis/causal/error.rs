//! Why no causal graph can be learned.

use super::node_set::MAX_NODES;

/// Why no causal graph can be learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CausalError {
    /// A parameter outside of its range.
    #[error("the {name} must be {range}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// The values that it may have, as text.
        range: String,
    },
    /// Too few or too many nodes.
    #[error(
        "a causal graph has 2 to {MAX_NODES} nodes; here are {nodes}. Another attention threshold gives another number"
    )]
    NodeCount {
        /// Number of nodes.
        nodes: usize,
    },
    /// Numbers that do not fill the matrix.
    #[error("{values} values do not fill {nodes} rows of {keys}")]
    Rows {
        /// Values given.
        values: usize,
        /// Rows.
        nodes: usize,
        /// Values in a row.
        keys: usize,
    },
    /// A row whose direction is not defined.
    #[error(
        "the attention of row {row} is empty (its norm is below 1e-8), so that it has no correlation with others"
    )]
    EmptyRow {
        /// Row of the matrix, or position in the sequence.
        row: usize,
    },
    /// NaN, infinity, a value whose square is infinite, or one outside of its range.
    #[error(
        "row {row} has values that are not finite, too large to be squared, or no correlations"
    )]
    BadValue {
        /// Row of the matrix, or position in the sequence.
        row: usize,
    },
    /// A token that the answer does not have.
    #[error("answer token {token} does not exist: the answer has tokens 0 to {last}")]
    NoToken {
        /// Index of the token.
        token: u32,
        /// The last one.
        last: u32,
    },
    /// A head that the layer does not have.
    #[error("head {head} does not exist: the last layer with attention has heads 0 to {last}")]
    NoHead {
        /// Index of the head.
        head: u32,
        /// The last one.
        last: u32,
    },
    /// A row of attention that the trace lacks.
    #[error(
        "the trace lacks the attention row of position {position} in the last layer; ask the question again with `--rows all`, or capture it again with rows=\"all\" in Python"
    )]
    MissingRow {
        /// Position in the sequence.
        position: u32,
    },
    /// No head of the result has a graph.
    #[error("no head has a causal graph")]
    NoGraph,
    /// A head that the stored result lacks.
    #[error(
        "the trace holds no causal graph of head {head}; compute it with `vlmscope causal TRACE --token {token}`."
    )]
    HeadNotLearned {
        /// Index of the head.
        head: u32,
        /// The answer token.
        token: u32,
    },
    /// A head for which no graph could be learned.
    #[error("head {head} has no causal graph: {reason}")]
    NoGraphOfHead {
        /// Index of the head.
        head: u32,
        /// The reason.
        reason: String,
    },
    /// A distance that the graph was not learned for.
    #[error(
        "the causal graph in the trace reaches distance {range}, not {radius}; choose a smaller one, or compute it again with `vlmscope causal TRACE --token I --range {radius}`."
    )]
    Radius {
        /// The requested distance.
        radius: usize,
        /// The distance of the explanation.
        range: usize,
    },
    /// No result for an answer token in the trace.
    #[error(
        "the trace holds no causal graph of answer token {token}; compute it with `vlmscope causal TRACE --token {token}`."
    )]
    NotLearned {
        /// The answer token.
        token: u32,
    },
    /// The result in the trace cannot be read.
    #[error(
        "the causal graph in the trace cannot be read ({0}); compute it again with `vlmscope causal TRACE --token I`"
    )]
    Stored(String),
    /// Stopped from outside.
    #[error("cancelled")]
    Stopped,
}

impl CausalError {
    /// The reason in a few words, without advice, for a figure.
    pub fn in_short(&self) -> String {
        match self {
            Self::NotLearned { .. } => "No causal graph of this token yet".into(),
            Self::HeadNotLearned { head, .. } => format!("No causal graph of head {head} yet"),
            Self::NoGraphOfHead { head, .. } => format!("Head {head} has no causal graph"),
            Self::Radius { range, .. } => format!("This graph reaches distance {range}"),
            Self::Stored(_) => "The causal graph in the trace cannot be read".into(),
            other => other.to_string(),
        }
    }
}
