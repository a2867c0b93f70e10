//! The messages of both sides, see docs/serve.md.

use super::said::cut;
use crate::analysis::patching::{PositionGroup, Site};
use crate::model::engine_info::EngineInfo;
use crate::model::event::{AskNotice, AskStage};
use crate::model::local_engine::Counters;
use crate::model::occluder::BlankFill;
use crate::model::request::{AskOptions, Interventions, Turn};
use crate::model::rerun::Rerun;
use crate::trace::{Dtype, TokenInfo};
use serde::{Deserialize, Serialize};

/// The version of the protocol.
pub const PROTOCOL: u32 = 1;
/// The name of zstd in a greeting.
pub const ZSTD: &str = "zstd";

/// The version of the protocol in the header of a greeting. It is read before the other fields, which another version
/// may have changed.
#[derive(Clone, Debug, Deserialize)]
pub struct Spoken {
    /// A number; of any kind, so that it can be shown.
    protocol: serde_json::Value,
    #[serde(default)]
    client: serde_json::Value,
    #[serde(default)]
    version: serde_json::Value,
}

impl Spoken {
    /// Of a header; `None` if it is not a greeting.
    pub fn of(kind: &str, header: &[u8]) -> Option<Self> {
        (kind == "hello").then(|| serde_json::from_slice(header).ok()).flatten()
    }

    /// Whether it is this version.
    pub fn is_ours(&self) -> bool {
        self.protocol == PROTOCOL
    }

    /// Whether it is an older one.
    pub fn is_older(&self) -> bool {
        self.protocol.as_f64().is_some_and(|protocol| protocol < f64::from(PROTOCOL))
    }

    /// The version, for a reader.
    pub fn protocol(&self) -> String {
        shortened(&self.protocol.to_string())
    }

    /// The name and version of the program, for a reader.
    pub fn program(&self) -> String {
        let name = self.client.as_str().or_else(|| self.version.as_str());
        shortened(name.unwrap_or("of an unknown version"))
    }
}

/// Characters of a word of the other side that a message shows.
const SHOWN_CHARACTERS: usize = 60;

fn shortened(text: &str) -> String {
    cut(text, SHOWN_CHARACTERS)
}

/// A message from the client to the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The greeting.
    Hello {
        protocol: u32,
        #[serde(default)]
        client: String,
        #[serde(default)]
        compression: Vec<String>,
    },
    Picture {
        sha256: String,
        #[serde(default)]
        name: String,
    },
    Ask {
        request: AskMessage,
        #[serde(default)]
        pages: PagesSent,
    },
    Again {
        trace: u64,
        #[serde(default)]
        change: Rerun,
        #[serde(default)]
        pages: PagesSent,
    },
    Relevancy(RelevancyMessage),
    RelevancyMemory(RelevancyMessage),
    OtherQuestion {
        trace: u64,
        method: String,
    },
    Rescore {
        trace: u64,
        /// Length of the variants at the start of the payload.
        variants_bytes: u64,
    },
    Patch {
        trace: u64,
        answer: u32,
        site: Site,
        groups: Vec<PositionGroup>,
        #[serde(default)]
        name: String,
        #[serde(default)]
        estimates: bool,
        #[serde(default = "yes")]
        exact: bool,
        /// Length of the table of an earlier run at the start of the payload.
        #[serde(default)]
        earlier_bytes: u64,
    },
    Tokenizer,
    Trace,
    Read {
        trace: u64,
        start: u64,
        length: u64,
    },
    Show {
        maps: Maps,
    },
    Release {
        trace: u64,
    },
    Cancel {
        request: u64,
    },
    Forget,
    Bye,
}

const fn yes() -> bool {
    true
}

/// A question without the bytes of its picture.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskMessage {
    #[serde(default)]
    pub picture: Option<PictureRef>,
    #[serde(default)]
    pub turns: Vec<Turn>,
    pub question: String,
    #[serde(default)]
    pub options: AskOptions,
}

/// A picture that was sent before.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureRef {
    pub sha256: String,
    #[serde(default)]
    pub name: String,
}

/// A request for relevancy, by the names of its methods.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelevancyMessage {
    pub trace: u64,
    pub methods: Vec<String>,
    #[serde(default)]
    pub tokens: Vec<u32>,
    #[serde(default)]
    pub memory_budget: Option<u64>,
}

/// One variant of a request to score an answer again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VariantMessage {
    /// Whether the next bytes of the payload are its pixels.
    pub picture: bool,
    pub blank: Option<BlankMessage>,
    pub interventions: Interventions,
}

/// Patches of the trace's own picture that are blanked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlankMessage {
    pub fill: BlankFill,
    /// Row and column; `None`: the whole picture.
    pub patches: Option<Vec<[u32; 2]>>,
}

/// The attention that the events of an answer carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PagesSent {
    #[default]
    None,
    /// The maps that are on the stage.
    Shown,
    All,
}

/// Attention maps of a row, by index of their layer and head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "MapsForm", into = "MapsForm")]
pub enum Maps {
    #[default]
    None,
    All,
    These(Vec<[u32; 2]>),
}

/// "all" or a list.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum MapsForm {
    Word(AllMaps),
    List(Vec<[u32; 2]>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AllMaps {
    All,
}

impl From<MapsForm> for Maps {
    fn from(form: MapsForm) -> Self {
        match form {
            MapsForm::Word(AllMaps::All) => Self::All,
            MapsForm::List(list) if list.is_empty() => Self::None,
            MapsForm::List(list) => Self::These(list),
        }
    }
}

impl From<Maps> for MapsForm {
    fn from(maps: Maps) -> Self {
        match maps {
            Maps::All => Self::Word(AllMaps::All),
            Maps::None => Self::List(Vec::new()),
            Maps::These(list) => Self::List(list),
        }
    }
}

/// A message from the server to the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    Hello {
        protocol: u32,
        version: String,
        #[serde(default)]
        compression: Vec<String>,
        info: Box<EngineInfo>,
    },
    Progress {
        stage: AskStage,
        done: u32,
        total: u32,
    },
    Notice {
        #[serde(default)]
        text: String,
        #[serde(default)]
        cropped: Option<f64>,
    },
    Prompt {
        meta_bytes: u64,
        tensors: Vec<TensorInfo>,
    },
    Token(Box<TokenMessage>),
    /// Weights of a row that was sent before, after other maps came on the stage.
    Page(PageMessage),
    Done {
        trace: u64,
        file_bytes: u64,
        /// Start and length.
        ranges: Vec<[u64; 2]>,
        #[serde(default)]
        counters: Counters,
    },
    Scored {
        index: u64,
    },
    /// The table is the payload.
    Patching,
    Patched,
    Data,
    Result(Box<ResultMessage>),
    Error {
        kind: ErrorKind,
        message: String,
    },
}

/// An answer token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenMessage {
    pub index: u32,
    pub token: TokenInfo,
    /// `None`: not a finite number.
    pub logprob: Option<f32>,
    pub topk: Vec<(u32, Option<f32>)>,
    /// The answer so far.
    pub text: String,
    #[serde(flatten)]
    pub page: PageMessage,
}

/// The place of the weights of a payload: maps of one row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageMessage {
    pub query: u32,
    pub keys: u64,
    #[serde(default)]
    pub maps: Maps,
}

/// The answer to a request without events of its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<crate::model::relevancy::RelevancyTimings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<crate::model::relevancy::MemoryEstimate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
}

/// A tensor in a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

/// The kinds of errors that a client tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    Cancelled,
    MissingPicture,
    MissingTrace,
    Protocol,
    Request,
    Memory,
    #[serde(other)]
    Failed,
}

impl ServerMessage {
    /// A notice of the engine.
    pub fn notice(notice: AskNotice) -> Self {
        match notice {
            AskNotice::Text(text) => Self::Notice { text, cropped: None },
            AskNotice::Cropped(share) => Self::Notice { text: String::new(), cropped: Some(share) },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_documentation_are_read() {
        let ask = json!({"type": "ask", "id": 3, "request": {"question": "Why?"}});
        let ClientMessage::Ask { request, pages } = serde_json::from_value(ask).unwrap() else {
            unreachable!()
        };
        assert_eq!((request.question.as_str(), pages), ("Why?", PagesSent::None));
        assert_eq!(request.options.topk, AskOptions::default().topk);
        for (maps, text) in [
            (Maps::All, json!("all")),
            (Maps::None, json!([])),
            (Maps::These(vec![[1, 2]]), json!([[1, 2]])),
        ] {
            assert_eq!(serde_json::to_value(&maps).unwrap(), text);
            assert_eq!(serde_json::from_value::<Maps>(text).unwrap(), maps);
        }
        let typo = json!({"type": "ask", "request": {"question": "a", "options": {"top_k": 3}}});
        assert!(serde_json::from_value::<ClientMessage>(typo).is_err());
    }
}
