//! Shared by the tests of the model: the committed fixtures, and engines on their bundles.
//!
//! scripts/make_fixtures.py derives the fixtures from transformers. ONNX Runtime is searched for as in the program;
//! without it these tests fail, because a test that is skipped proves nothing.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "tests fail by panicking")]

use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskEvent, AskRequest, Bundle, Device, Engine, EngineOptions, ModelError, Picture, Turn,
};
use vlmscope::trace::{PreprocessMode, Trace};

/// The models with fixtures: the built-in one, then small random ones.
pub const MODELS: [&str; 4] = ["tiny", "gqa", "gemma", "mistral-f16"];

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn parity() -> PathBuf {
    repository().join("tests/fixtures/parity")
}

/// The numbers of one model.
pub struct Fixture {
    pub content: Value,
    tensors: Vec<u8>,
}

impl Fixture {
    pub fn of(model: &str) -> Self {
        let read = |extension: &str| {
            let path = parity().join(format!("{model}.{extension}"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let content = serde_json::from_slice(&read("json")).unwrap();
        Self { content, tensors: read("safetensors") }
    }

    /// Shape and values of an f32 tensor.
    pub fn tensor(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let values =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (tensor.shape().to_vec(), values.collect())
    }

    pub fn list(&self, name: &str) -> Vec<Value> {
        self.content[name].as_array().unwrap_or_else(|| panic!("no {name}")).clone()
    }

    /// The bundle's folder.
    pub fn bundle(&self) -> PathBuf {
        repository().join(self.content["model"].as_str().unwrap())
    }

    /// Absolute and relative tolerance of attention.
    pub fn attention_tolerance(&self) -> [f32; 2] {
        let bounds: Vec<f32> = numbers(&self.content["tolerance"]["attention"]);
        [bounds[0], bounds[1]]
    }

    pub fn logit_tolerance(&self) -> f32 {
        self.content["tolerance"]["logits"].as_f64().unwrap() as f32
    }

    pub fn engine(&self) -> Engine {
        engine(&self.bundle())
    }
}

/// One thread: the same order of additions everywhere.
pub fn engine(bundle: &Path) -> Engine {
    let options = EngineOptions {
        bundle: bundle.to_owned(),
        runtime: None,
        device: Device::Cpu,
        threads: Some(1),
    };
    Engine::load(&options, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

pub fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

pub fn picture(name: &str) -> Picture {
    Picture::read(&parity().join(name)).unwrap()
}

pub fn mode(value: &Value) -> PreprocessMode {
    serde_json::from_value(value.clone()).unwrap()
}

/// question, answer, question, … as a request.
pub fn request(picture: Option<Picture>, turns: &[String]) -> AskRequest {
    let (question, before) = turns.split_last().unwrap();
    let turns = before
        .chunks_exact(2)
        .map(|pair| Turn { question: pair[0].clone(), answer: pair[1].clone() })
        .collect();
    AskRequest { picture, turns, question: question.clone(), ..AskRequest::default() }
}

pub fn ask(engine: &mut Engine, request: &AskRequest) -> Trace {
    engine
        .ask(request, &CancelToken::new(), &mut |_| {})
        .unwrap_or_else(|error| panic!("{}: {error}", request.question))
}

pub fn ask_with_events(engine: &mut Engine, request: &AskRequest) -> (Trace, Vec<AskEvent>) {
    let mut events = Vec::new();
    let trace = engine.ask(request, &CancelToken::new(), &mut |event| events.push(event)).unwrap();
    (trace, events)
}

/// The largest |found − expected| in units of the tolerance: absolute + relative · expected.
pub fn excess(found: &[f32], expected: &[f32], [absolute, relative]: [f32; 2]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs() / (absolute + relative * b.abs()))
        .fold(0.0, f32::max)
}

/// A copy of a small bundle that a test may spoil.
pub struct BundleCopy {
    folder: TempDir,
}

impl BundleCopy {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(Fixture::of("gqa").bundle()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the manifest.
    pub fn edit(self, change: impl FnOnce(&mut Value)) -> Self {
        let path = self.path("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        std::fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
        self
    }

    /// Replaces a file and makes the manifest agree with it.
    pub fn replace(self, name: &str, bytes: &[u8]) -> Self {
        use sha2::{Digest as _, Sha256};
        std::fs::write(self.path(name), bytes).unwrap();
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        self.edit(|manifest| {
            manifest["files"][name]["bytes"] = json!(bytes.len());
            manifest["files"][name]["sha256"] = json!(hash);
        })
    }

    pub fn open(&self) -> Result<Bundle, ModelError> {
        Bundle::open(self.folder.path())
    }

    pub fn load(&self) -> Result<Engine, ModelError> {
        let options = EngineOptions {
            bundle: self.folder.path().to_owned(),
            device: Device::Cpu,
            threads: Some(1),
            ..EngineOptions::default()
        };
        Engine::load(&options, &mut |_| {})
    }
}

/// The error's text: one paragraph that has all of `words`.
pub fn explains<T>(result: Result<T, ModelError>, words: &[&str]) -> ModelError {
    let Err(error) = result else { panic!("no error; expected {words:?}") };
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than a paragraph: {text}");
    assert!(text.len() < 1200, "too long: {text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
    error
}
