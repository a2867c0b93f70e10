//! Causal explanations of answer tokens from attention: CLEANN with ordered ICD (Rohekar et al.,
//! arXiv 2310.20307), as LVLM-Interpret's figures 3 and 4 show it.
//!
//! Two attention rows are taken to be as dependent as they are alike ([`Correlations`]). Tests of
//! conditional independence remove edges from the complete graph over the patches and words that an
//! answer token attends to ([`learn`]), marks at the ends of the others follow from what separated
//! what, and the token's explanation are the nodes around it ([`explain()`]). What the method cannot
//! say is whether the answer depends on them: the model has to be asked, see [`crate::model`].

#[cfg(test)]
mod check_values;
mod controls;
mod correlation;
mod error;
mod explain;
mod graph;
mod independence;
mod node_set;
mod nodes;
mod orient;
mod parameters;
mod pds_tree;
mod result;
mod search;
mod stability;

pub use controls::Candidates;
pub use correlation::Correlations;
pub use error::CausalError;
pub use explain::{CausalRequest, explain, explain_matrix, graph_of};
pub use graph::{Edge, Graph, Mark};
pub use independence::IndependenceTest;
pub use node_set::{MAX_NODES, NodeSet};
pub use nodes::{HeadNodes, head_count, nodes_of_head, target_row, text_before};
pub use orient::SeparatingSets;
pub use parameters::Parameters;
pub use pds_tree::MAX_SUBSETS;
pub use result::{
    CausalResult, EdgeResult, HeadGraph, HeadResult, MaskedSet, MaskingResult, NodeResult,
    Separated, SetKind, TreePlace,
};
pub use search::{Learned, learn, learn_visiting};
pub use stability::StabilityOptions;
