//! The files that a graph reads its weights from.
//!
//! ONNX Runtime opens every file that a tensor of the graph names as its external data. This module reads the names
//! before the graph is loaded, so that no file is read that the manifest does not list. Only the protobuf fields on the
//! path to those names are declared; all others are skipped.

use prost::Message;
use std::collections::BTreeSet;

/// The key of the entry in which a tensor names its file.
const LOCATION: &str = "location";

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "20")]
    training: Vec<Training>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
struct Training {
    #[prost(message, optional, tag = "1")]
    initialization: Option<Graph>,
    #[prost(message, optional, tag = "2")]
    algorithm: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    nodes: Vec<Node>,
    #[prost(message, repeated, tag = "11")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializers: Vec<Tensor>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializers: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "5")]
    tensor: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<SparseTensor>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensor {
    #[prost(message, optional, tag = "1")]
    values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    indices: Option<Tensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The names of the other files that the graph in `bytes` reads.
///
/// # Errors
/// If the bytes are not an ONNX graph.
pub(super) fn locations(bytes: &[u8]) -> Result<BTreeSet<String>, String> {
    let model = Model::decode(bytes).map_err(|error| error.to_string())?;
    let Some(graph) = &model.graph else { return Err("it holds no graph".to_owned()) };
    let mut found = BTreeSet::new();
    graph.collect(&mut found);
    for training in &model.training {
        let graphs = training.initialization.iter().chain(&training.algorithm);
        graphs.for_each(|graph| graph.collect(&mut found));
    }
    for function in &model.functions {
        let nodes = function.nodes.iter().flat_map(|node| &node.attributes);
        nodes.chain(&function.attributes).for_each(|attribute| attribute.collect(&mut found));
    }
    Ok(found)
}

impl Graph {
    fn collect(&self, found: &mut BTreeSet<String>) {
        self.initializers.iter().for_each(|tensor| tensor.collect(found));
        self.sparse_initializers.iter().for_each(|tensor| tensor.collect(found));
        let attributes = self.nodes.iter().flat_map(|node| &node.attributes);
        attributes.for_each(|attribute| attribute.collect(found));
    }
}

impl Attribute {
    fn collect(&self, found: &mut BTreeSet<String>) {
        self.tensor.iter().chain(&self.tensors).for_each(|tensor| tensor.collect(found));
        self.graph.iter().chain(&self.graphs).for_each(|graph| graph.collect(found));
        let sparse = self.sparse_tensor.iter().chain(&self.sparse_tensors);
        sparse.for_each(|tensor| tensor.collect(found));
    }
}

impl SparseTensor {
    fn collect(&self, found: &mut BTreeSet<String>) {
        self.values.iter().chain(&self.indices).for_each(|tensor| tensor.collect(found));
    }
}

impl Tensor {
    fn collect(&self, found: &mut BTreeSet<String>) {
        let locations = self.external_data.iter().filter(|entry| entry.key == LOCATION);
        found.extend(locations.map(|entry| entry.value.clone()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn tensor(location: &str) -> Tensor {
        let entry = |key: &str, value: &str| Entry { key: key.into(), value: value.into() };
        Tensor { external_data: vec![entry("offset", "0"), entry(LOCATION, location)] }
    }

    #[test]
    fn every_place_that_can_name_a_file_is_looked_at() {
        let sparse = |name: &str| SparseTensor { values: None, indices: Some(tensor(name)) };
        let inner = Graph { initializers: vec![tensor("inner")], ..Graph::default() };
        let attribute = Attribute {
            tensor: Some(tensor("constant")),
            graph: Some(inner),
            tensors: vec![tensor("list")],
            sparse_tensors: vec![sparse("sparse-constant")],
            ..Attribute::default()
        };
        let graph = Graph {
            nodes: vec![Node { attributes: vec![attribute] }],
            initializers: vec![tensor("weights"), Tensor::default()],
            sparse_initializers: vec![sparse("sparse")],
        };
        let function = Function {
            nodes: Vec::new(),
            attributes: vec![Attribute {
                tensor: Some(tensor("function")),
                ..Attribute::default()
            }],
        };
        let training = Training {
            initialization: None,
            algorithm: Some(Graph { initializers: vec![tensor("training")], ..Graph::default() }),
        };
        let model =
            Model { graph: Some(graph), training: vec![training], functions: vec![function] };
        let found: Vec<String> = locations(&model.encode_to_vec()).unwrap().into_iter().collect();
        let expected = [
            "constant",
            "function",
            "inner",
            "list",
            "sparse",
            "sparse-constant",
            "training",
            "weights",
        ];
        assert_eq!(found, expected);
        assert!(locations(b"no graph").is_err() && locations(b"").is_err());
    }
}
