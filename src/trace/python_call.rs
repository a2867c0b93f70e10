//! The call of the Python package that made a trace.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The arguments of `vlmscope.capture` beside question, pictures and sampling. They come from the file: names may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PythonCall {
    /// The keyword of the prompt: `question`, `prompt` or `messages`.
    pub asked_as: String,
    /// The conversation, if it was given as `messages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Value>,
    /// Options of the processor.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub processor_options: Map<String, Value>,
    /// Other options of `generate`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub generate_options: Map<String, Value>,
    /// Keywords whose values could not be written down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Whether other code called the model, so that prompt and seed are not known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_recorded: bool,
}
