//! Files from strangers: a harmful request is refused with an error that names it, or costs little.

use crate::support::{BundleCopy, Fixture, ask, engine, explains, picture, request};
#[cfg(target_os = "linux")]
use crate::trap_library;
use prost::Message;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Once};
use vlmscope::analysis::diff::difference;
use vlmscope::analysis::methods::Method;
use vlmscope::job::CancelToken;
use vlmscope::model::{
    Bundle, Engine, ModelError, RelevancyRequest, build_prompt, builtin, set_template_program,
};
use vlmscope::trace::Trace;
use vlmscope::view::timeline::{Walkthrough, tour};

/// A trace file in parts that a test may spoil.
#[derive(Clone)]
struct Parts {
    meta: Value,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

/// A real trace of a small model.
static ASKED: LazyLock<Parts> = LazyLock::new(|| {
    let mut engine = Fixture::of("gqa").engine();
    let asked = request(Some(picture("pictures/small.png")), &["What is this?".to_owned()]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    ask(&mut engine, &asked).write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let meta = &metadata.metadata().as_ref().unwrap()["vlmtrace"];
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (&str, TensorView<'_>)| {
        (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    Parts {
        meta: serde_json::from_str(meta).unwrap(),
        tensors: tensors.iter().map(tensor).collect(),
    }
});

impl Parts {
    fn f32(&mut self, name: &str, shape: &[usize]) {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        self.tensors.insert(name.to_owned(), (Dtype::F32, shape.to_vec(), bytes));
    }

    /// No row of attention is kept; every tensor with that axis is as empty.
    fn drop_rows(&mut self) {
        self.tensors.retain(|name, _| !name.starts_with("attention."));
        for (part, dtype, width) in
            [("weights", Dtype::F16, self.positions()), ("stats", Dtype::F32, 5)]
        {
            let size = |name: &str| self.meta["model"][name].as_u64().unwrap() as usize;
            let shape = vec![0, size("layers"), size("heads"), width];
            self.tensors.insert(format!("attention.{part}"), (dtype, shape, Vec::new()));
        }
        self.tensors.insert("attention.rows".into(), (Dtype::I32, vec![0], Vec::new()));
    }

    fn positions(&self) -> usize {
        self.meta["tokens"].as_array().unwrap().len() - 1
    }

    fn generated(&self) -> usize {
        self.tensors["answer.ids"].1[0]
    }

    fn open(&self) -> Result<Trace, vlmscope::trace::TraceError> {
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let meta = HashMap::from([("vlmtrace".to_owned(), self.meta.to_string())]);
        let bytes = safetensors::serialize(views, Some(meta)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spoiled.vlmtrace");
        std::fs::write(&path, bytes).unwrap();
        Trace::open(&path)
    }

    fn is_refused(&self, words: &[&str]) {
        let error = self.open().expect_err(&format!("{words:?}")).to_string();
        for word in words.iter().chain(&["spoiled.vlmtrace"]) {
            assert!(error.contains(word), "{word:?} is missing in: {error}");
        }
    }
}

#[test]
fn pages_hold_no_pages_of_their_own() {
    // Each set of pages is a trace of its own; ten of them were ten factorial traces.
    let mut parts = ASKED.clone();
    for name in 0..10 {
        parts.f32(&format!("s{name}.scale"), &[1]);
        let bytes = 1.0_f32.to_le_bytes().to_vec();
        parts.tensors.get_mut(&format!("s{name}.scale")).unwrap().2 = bytes;
        for part in ["rows", "weights", "stats"] {
            let tensor = parts.tensors[&format!("attention.{part}")].clone();
            parts.tensors.insert(format!("s{name}.{part}"), tensor);
        }
    }
    let trace = parts.open().unwrap();
    assert_eq!(trace.page_names().len(), 10);
    for name in trace.page_names() {
        let pages = trace.pages_as_attention(name).unwrap();
        assert_eq!(pages.page_names(), [name], "only its own");
    }
    for name in 10..17 {
        parts.f32(&format!("s{name}.scale"), &[1]);
    }
    parts.is_refused(&["17 sets of pages", "at most 16"]);
}

#[test]
fn a_map_is_as_wide_as_the_positions_or_the_patches() {
    let generated = ASKED.generated();
    let patches: usize = 16;
    for width in [1, 5, patches + 1] {
        let mut parts = ASKED.clone();
        parts.f32("relevancy.x", &[generated, width]);
        parts.is_refused(&["relevancy.x", &format!("[{generated}, {width}]"), "positions"]);
        let trace = ASKED.open().unwrap();
        let values = vec![0.0; generated * width];
        assert!(trace.with_map("relevancy.x", &[generated, width], &values).is_err());
    }
    let mut parts = ASKED.clone();
    parts.f32("relevancy.x", &[generated, parts.positions()]);
    parts.open().unwrap();
}

#[test]
fn layers_and_heads_are_bounded_where_no_row_bounds_them() {
    for [layers, heads] in [[4_294_967_295_u32, 4_294_967_295], [4_294_967_295, 1], [1000, 1000]] {
        let mut parts = ASKED.clone();
        parts.meta["model"]["layers"] = json!(layers);
        parts.meta["model"]["heads"] = json!(heads);
        parts.drop_rows();
        parts.is_refused(&[&layers.to_string(), "layers", "heads"]);
        let mut parts = ASKED.clone();
        parts.meta["model"]["vision_layers"] = json!(layers);
        parts.meta["model"]["vision_heads"] = json!(heads);
        parts.is_refused(&["layers"]);
    }
    let mut parts = ASKED.clone();
    parts.drop_rows();
    let trace = parts.open().unwrap();
    assert!(difference(&trace, &trace, false).is_err(), "there are no rows to compare");
}

#[test]
fn image_spans_do_not_overlap_and_are_few() {
    let mut parts = ASKED.clone();
    let span = parts.meta["spans"][0].clone();
    parts.meta["spans"] = json!([span, span]);
    parts.is_refused(&["image spans", "overlap"]);
    parts.meta["spans"] = json!(vec![span; 100_000]);
    parts.is_refused(&["100000 image spans", "at most 4096"]);
}

#[test]
fn the_tour_of_a_trace_with_endless_texts_can_be_read_back() {
    let mut parts = ASKED.clone();
    parts.meta["question"] = json!("why ".repeat(40_000));
    parts.meta["answer"] = json!("so ".repeat(40_000));
    parts.meta["model"]["name"] = json!("m".repeat(100_000));
    for token in parts.meta["tokens"].as_array_mut().unwrap() {
        token["text"] = json!("w".repeat(20_000));
    }
    let trace = parts.open().unwrap();
    let written = tour(&trace, Path::new("a.vlmtrace")).to_toml().unwrap();
    Walkthrough::from_toml("tour.toml", &written).unwrap();
}

#[test]
fn a_trace_with_other_spans_than_its_model_is_not_given_to_it() {
    let mut engine = Fixture::of("gqa").engine();
    let mut without = ASKED.clone();
    without.meta["spans"] = json!([]);
    let mut half = ASKED.clone();
    let rows = half.meta["spans"][0]["rows"].as_u64().unwrap();
    half.meta["spans"][0]["rows"] = json!(rows / 2);
    for mut parts in [without, half] {
        parts
            .tensors
            .retain(|name, _| !name.starts_with("map.") && !name.starts_with("relevancy."));
        let trace = parts.open().unwrap();
        for methods in [vec![Method::VIT], vec![Method::LLM]] {
            let request = RelevancyRequest { methods, ..RelevancyRequest::default() };
            let computed = engine.relevancy(&trace, &request, &CancelToken::new(), &mut |_| {});
            explains(computed.map(|_| ()), &["the trace", "image spans", "with this model"]);
        }
    }
}

/// Messages that are appended to a graph: Protocol Buffers joins messages in sequence.
#[derive(Clone, PartialEq, Message)]
struct MoreModel {
    #[prost(message, optional, tag = "7")]
    graph: Option<MoreGraph>,
}

#[derive(Clone, PartialEq, Message)]
struct MoreGraph {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializers: Vec<External>,
    #[prost(message, repeated, tag = "12")]
    outputs: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    outputs: Vec<String>,
    #[prost(string, tag = "4")]
    op: String,
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    int: i64,
    /// 2: an integer.
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    /// 1: f32, 10: f16.
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    axes: Vec<Axis>,
}

#[derive(Clone, PartialEq, Message)]
struct Axis {
    #[prost(int64, optional, tag = "1")]
    length: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

/// A tensor whose values lie in another file.
#[derive(Clone, PartialEq, Message)]
struct External {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    element: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(message, repeated, tag = "13")]
    entries: Vec<Entry>,
    /// 1: external.
    #[prost(int32, tag = "14")]
    place: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// Damage to an output.
#[derive(Clone, Copy)]
enum Spoil {
    /// Twice as long along an axis.
    Doubled(i64),
    NotANumber,
}

/// A bundle whose graph returns another `output`: the original one is renamed, and new operators compute the
/// output from it.
fn spoiled(graph: &str, output: &str, spoil: Spoil) -> BundleCopy {
    let copy = BundleCopy::new();
    let path = copy.path(&format!("{graph}.onnx"));
    let hidden = format!("{}~", &output[..output.len() - 1]);
    let mut bytes = std::fs::read(&path).unwrap();
    let mut at = 0;
    while let Some(found) =
        bytes[at..].windows(output.len()).position(|part| part == output.as_bytes())
    {
        at += found;
        bytes[at..at + output.len()].copy_from_slice(hidden.as_bytes());
    }
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(copy.path("manifest.json")).unwrap()).unwrap();
    let ports = manifest["graphs"][graph]["outputs"].as_array().unwrap();
    let port = ports.iter().find(|port| port["name"] == output).unwrap().clone();
    let node = |op: &str, inputs: [&str; 2], output: &str, axis: Option<i64>| Node {
        inputs: inputs.map(str::to_owned).to_vec(),
        outputs: vec![output.to_owned()],
        op: op.to_owned(),
        attributes: axis
            .map(|int| Attribute { name: "axis".into(), int, kind: 2 })
            .into_iter()
            .collect(),
    };
    let nodes = match spoil {
        Spoil::Doubled(axis) => vec![node("Concat", [&hidden, &hidden], output, Some(axis))],
        Spoil::NotANumber => vec![
            node("Sub", [&hidden, &hidden], "spoiled_zeros", None),
            node("Div", ["spoiled_zeros", "spoiled_zeros"], output, None),
        ],
    };
    let axis =
        |axis: &Value| Axis { length: axis.as_i64(), name: axis.as_str().map(str::to_owned) };
    let shape = Shape { axes: port["shape"].as_array().unwrap().iter().map(axis).collect() };
    let element = if port["dtype"] == "f16" { 10 } else { 1 };
    let tensor = TensorType { element, shape: Some(shape) };
    let value = ValueInfo { name: output.into(), kind: Some(Type { tensor: Some(tensor) }) };
    let more = MoreModel {
        graph: Some(MoreGraph { nodes, outputs: vec![value], ..MoreGraph::default() }),
    };
    bytes.extend(more.encode_to_vec());
    copy.replace(&format!("{graph}.onnx"), &bytes).edit(|manifest| {
        let mut hidden_port = port.clone();
        hidden_port["name"] = json!(hidden);
        manifest["graphs"][graph]["outputs"].as_array_mut().unwrap().push(hidden_port);
    })
}

fn try_ask(engine: &mut Engine) -> Result<Trace, ModelError> {
    let asked = request(Some(picture("pictures/small.png")), &["What is this?".to_owned()]);
    engine.ask(&asked, &CancelToken::new(), &mut |_| {})
}

#[test]
fn every_output_of_a_graph_has_the_promised_shape_and_finite_numbers() {
    for (graph, output, spoil, words) in [
        ("decoder", "attn_0", Spoil::Doubled(3), "has the shape"),
        ("decoder", "attn_1", Spoil::Doubled(2), "has the shape"),
        ("decoder", "logits", Spoil::Doubled(1), "has the shape"),
        ("decoder", "head_mean_0", Spoil::Doubled(1), "has the shape"),
        ("decoder", "last_layer", Spoil::Doubled(2), "has the shape"),
        ("decoder", "present_k_0", Spoil::Doubled(2), "has the shape"),
        ("embed", "inputs_embeds", Spoil::Doubled(1), "has the shape"),
        ("vision", "image_features", Spoil::Doubled(0), "has the shape"),
        ("decoder", "logits", Spoil::NotANumber, "not finite"),
        ("decoder", "head_mean_1", Spoil::NotANumber, "not finite"),
        ("decoder", "last_layer", Spoil::NotANumber, "not finite"),
        ("decoder", "present_v_1", Spoil::NotANumber, "not finite"),
        ("vision", "image_features", Spoil::NotANumber, "not finite"),
    ] {
        let copy = spoiled(graph, output, spoil);
        let mut engine = copy.load().unwrap_or_else(|error| panic!("{graph} {output}: {error}"));
        let file = format!("{graph}.onnx");
        let asked = try_ask(&mut engine).map(|_| ());
        explains(asked, &[&file, graph, &format!("`{output}`"), words]);
    }
}

#[test]
fn outputs_of_the_backward_graphs_are_checked_as_well() {
    let mut sound = Fixture::of("gqa").engine();
    let trace = try_ask(&mut sound).unwrap();
    for (graph, output, spoil, methods) in [
        ("relevancy", "abar_0", Spoil::Doubled(1), vec![Method::LLM]),
        ("relevancy", "d_inputs", Spoil::Doubled(1), vec![Method::VIT]),
        ("relevancy_rows", "abar_1", Spoil::Doubled(0), vec![Method::LLM]),
        ("relevancy_rows", "abar_1", Spoil::NotANumber, vec![Method::LLM]),
        ("relevancy_vision", "vision_abar_0", Spoil::NotANumber, vec![Method::VIT]),
    ] {
        let copy = spoiled(graph, output, spoil);
        let mut engine = copy.load().unwrap();
        // The trace is one of this bundle, as far as it says.
        let mut parts = ASKED.clone();
        parts.meta["model"]["bundle_sha"] = json!(engine.info().model.bundle_sha);
        let trace = parts.open().unwrap();
        let request = RelevancyRequest { methods, ..RelevancyRequest::default() };
        let computed = engine.relevancy(&trace, &request, &CancelToken::new(), &mut |_| {});
        explains(computed.map(|_| ()), &[&format!("{graph}.onnx"), &format!("`{output}`")]);
    }
    let request = RelevancyRequest { methods: vec![Method::LLM], ..Default::default() };
    sound.relevancy(&trace, &request, &CancelToken::new(), &mut |_| {}).unwrap();
}

#[test]
fn an_output_of_a_layer_that_the_model_does_not_have_is_not_read() {
    let copy = BundleCopy::new();
    let mut bytes = std::fs::read(copy.path("decoder.onnx")).unwrap();
    let node = Node {
        inputs: vec!["attn_0".into()],
        outputs: vec!["attn_99".into()],
        op: "Identity".into(),
        attributes: Vec::new(),
    };
    let mut port = Value::Null;
    let copy = copy.edit(|manifest| {
        let outputs = manifest["graphs"]["decoder"]["outputs"].as_array_mut().unwrap();
        port = outputs.iter().find(|port| port["name"] == "attn_0").unwrap().clone();
        port["name"] = json!("attn_99");
        outputs.push(port.clone());
    });
    let axis =
        |axis: &Value| Axis { length: axis.as_i64(), name: axis.as_str().map(str::to_owned) };
    let shape = Shape { axes: port["shape"].as_array().unwrap().iter().map(axis).collect() };
    let tensor = TensorType { element: 10, shape: Some(shape) };
    let value = ValueInfo { name: "attn_99".into(), kind: Some(Type { tensor: Some(tensor) }) };
    let graph = MoreGraph { nodes: vec![node], outputs: vec![value], ..MoreGraph::default() };
    bytes.extend(MoreModel { graph: Some(graph) }.encode_to_vec());
    let copy = copy.replace("decoder.onnx", &bytes);
    let found = try_ask(&mut copy.load().unwrap()).unwrap();
    let expected = try_ask(&mut Fixture::of("gqa").engine()).unwrap();
    assert_eq!(found.answer_ids(), expected.answer_ids());
    assert_eq!(found.page(0), expected.page(0));
}

#[test]
fn a_graph_reads_no_file_that_the_manifest_does_not_list_for_it() {
    let naming = |location: &str| {
        let copy = BundleCopy::new();
        std::fs::copy(copy.path("embed.data"), copy.path("unlisted.data")).unwrap();
        let mut bytes = std::fs::read(copy.path("decoder.onnx")).unwrap();
        let tensor = External {
            dims: vec![4],
            element: 1,
            name: "spoiled".into(),
            entries: vec![Entry { key: "location".into(), value: location.into() }],
            place: 1,
        };
        let graph = MoreGraph { initializers: vec![tensor], ..MoreGraph::default() };
        bytes.extend(MoreModel { graph: Some(graph) }.encode_to_vec());
        copy.replace("decoder.onnx", &bytes)
    };
    // In the folder but unlisted; listed, but of another graph; out of the folder.
    for location in ["unlisted.data", "embed.data", "../../etc/passwd", "./decoder.data"] {
        let words = ["decoder.onnx", location, "graphs.decoder.data", "export.py"];
        explains(naming(location).open(), &words);
    }
    naming("decoder.data").open().unwrap();
    for fixture in crate::support::MODELS {
        Bundle::open(&Fixture::of(fixture).bundle()).unwrap();
    }
}

#[test]
fn what_a_file_is_decides_whether_it_is_hashed() {
    let role = |name: &'static str, role: &'static str| {
        BundleCopy::new().edit(move |manifest| manifest["files"][name]["role"] = json!(role))
    };
    explains(role("decoder.onnx", "weights").open(), &["graphs.decoder.file", "weights", "graph"]);
    explains(role("embed.data", "graph").open(), &["graphs.embed.data", "graph", "weights"]);
    let copy = BundleCopy::new();
    std::fs::rename(copy.path("embed.onnx"), copy.path("embed.ort")).unwrap();
    let copy = copy.edit(|manifest| {
        let entry = manifest["files"].as_object_mut().unwrap().remove("embed.onnx").unwrap();
        manifest["files"]["embed.ort"] = entry;
        manifest["graphs"]["embed"]["file"] = json!("embed.ort");
    });
    explains(copy.open(), &["graphs.embed.file", "embed.ort", ".onnx"]);
}

/// Templates are rendered by the program, in a process of its own.
fn use_the_program() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_template_program(PathBuf::from(env!("CARGO_BIN_EXE_vlmscope")), "render-templates");
    });
}

fn with_template(template: &str) -> Bundle {
    let copy =
        BundleCopy::new().edit(|manifest| manifest["prompt"]["chat_template"] = json!(template));
    copy.open().unwrap()
}

#[test]
fn a_template_that_takes_too_much_is_ended() {
    use_the_program();
    let end = "{{ messages[0]['content'] }}";
    let repeat = |text: &str| text.repeat(100_000);
    for (what, template, words) in [
        ("memory", "{{ '{:>4000000000}'.format(1) }}".to_owned(), &["memory", "steps"][..]),
        ("an impossible size", "{{ '{:>9000000000000000000}'.format(1) }}".to_owned(), &[]),
        ("indent", "{{ [[1]]|tojson(indent=2000000000) }}".to_owned(), &[]),
        ("doubling", "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s|length }}".to_owned(), &["memory", "steps"][..]),
        ("a shared list", "{% set ns=namespace(l=[1],m=[1]) %}{% for i in range(60) %}{% set ns.l=[ns.l,ns.l] %}{% set ns.m=[ns.m,ns.m] %}{% endfor %}{{ ns.l==ns.m }}".to_owned(), &["longer than 1 s", "steps"]),
        ("a deep list", "{% set ns=namespace(l=[]) %}{% for i in range(20000) %}{% set ns.l=[ns.l] %}{% endfor %}{{ ns.l == ns.l }}".to_owned(), &[]),
        ("a panic", "{% for m in messages %}{{ loop.cycle() }}{% endfor %}".to_owned(), &[]),
        ("minus signs", format!("{{{{ {}1 }}}}", repeat("-")), &[]),
        ("not", format!("{{{{ {}1 }}}}", repeat("not ")), &[]),
        ("filters", format!("{{{{ 1{} }}}}", repeat("|upper")), &[]),
        ("indices", format!("{{{{ 1{} }}}}", repeat("[0]")), &[]),
        ("joined", format!("{{{{ 'a'{} }}}}", repeat("~'b'")), &[]),
    ] {
        let bundle = with_template(&format!("<image>{template}{end}"));
        match build_prompt(&bundle, &[], "What is this?", 1) {
            // A long but harmless expression may be right.
            Ok(built) => assert!(built.text.contains("What is this?"), "{what}"),
            Err(error) => {
                let text = explains::<()>(Err(error), &["chat template"]).to_string();
                let is_named = words.is_empty() || words.iter().any(|word| text.contains(word));
                assert!(is_named, "{what}: {text}");
                assert!(text.len() < 1200, "{what}: {text}");
                continue;
            }
        }
        assert!(words.is_empty(), "{what} was rendered");
    }
    // The next question is answered by a new process.
    let bundle = with_template("{{ messages[0]['content'] }}");
    let built = build_prompt(&bundle, &[], "What is this?", 1).unwrap();
    assert!(built.text.ends_with("What is this?"), "{}", built.text);
}

#[test]
fn a_template_renders_the_same_in_its_process() {
    let bundle = Fixture::of("gqa").bundle();
    let bundle = Bundle::open(&bundle).unwrap();
    let before = build_prompt(&bundle, &[], "What is \"this\"\n–?", 1).unwrap();
    use_the_program();
    let after = build_prompt(&bundle, &[], "What is \"this\"\n–?", 1).unwrap();
    assert_eq!((before.text, before.ids), (after.text, after.ids));
}

fn with_tokenizer(fields: &Value) -> BundleCopy {
    let copy = BundleCopy::new();
    let bytes = std::fs::read(copy.path("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_slice(&bytes).unwrap();
    for (name, field) in fields.as_object().unwrap() {
        tokenizer[name] = field.clone();
    }
    copy.replace("tokenizer.json", tokenizer.to_string().as_bytes())
}

#[test]
fn a_tokenizer_that_would_take_too_much_or_is_damaged_is_refused() {
    let charsmap =
        |text: &str| json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": text}});
    let replace = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
    for fields in [
        charsmap("AAAA"),
        charsmap("BAAAAAAAAABhYmM="),
        charsmap("/////w=="),
        json!({"pre_tokenizer": {"type": "FixedLength", "length": 0}}),
        json!({"normalizer": {"type": "Sequence", "normalizers": vec![replace.clone(); 10]}}),
        json!({"decoder": {"type": "Sequence", "decoders": vec![replace; 10]}}),
        json!({"decoder": {"type": "Strip", "content": "a", "start": 0, "stop": 4_000_000_000_u32}}),
    ] {
        explains(with_tokenizer(&fields).open(), &["tokenizer.json", "its "]);
    }
    // Padding and truncation are for training; a prompt is neither filled up nor cut.
    let fields = json!({
        "padding": {"strategy": {"Fixed": 2_000_000_000}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"},
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
    });
    let copy = with_tokenizer(&fields);
    let plain = Bundle::open(&Fixture::of("gqa").bundle()).unwrap();
    let [found, expected] = [copy.open().unwrap(), plain]
        .map(|bundle| build_prompt(&bundle, &[], "What is this?", 1).unwrap().ids);
    assert_eq!(found, expected);
    // A panic of the library in the middle of a text is an error.
    let strip = json!({"decoder": {"type": "Strip", "content": "e", "start": 0, "stop": 60}});
    let bundle = with_tokenizer(&strip).open().unwrap();
    let ids: Vec<u32> = (0..200).collect();
    if let Err(error) = bundle.tokenizer().decode(&ids) {
        explains::<()>(Err(error), &["tokenizer.json", "decoding"]);
    }
}

#[test]
fn a_damaged_copy_of_the_built_in_model_is_unpacked_anew() {
    let folder = builtin::bundle_folder().unwrap();
    let private = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), private.path().join(entry.file_name())).unwrap();
    }
    for name in ["decoder.data", "decoder.onnx", "manifest.json"] {
        let path = private.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for spoil in [
            |bytes: &mut Vec<u8>| bytes.fill(0),
            |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1,
            |bytes: &mut Vec<u8>| bytes.truncate(10),
        ] {
            let mut bytes = whole.clone();
            spoil(&mut bytes);
            std::fs::write(&path, &bytes).unwrap();
            builtin::unpack_to(private.path()).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{name}");
        }
        // Whole files are left alone.
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        builtin::unpack_to(private.path()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
    }
    engine(private.path());
}

#[cfg(target_os = "linux")]
#[test]
fn looking_at_a_library_does_not_load_it() {
    let folder = tempfile::tempdir().unwrap();
    let new = trap_library::build(folder.path(), "1.99.0");
    let old = trap_library::build(folder.path(), "1.16.0");
    let candidate = |path: &PathBuf| vlmscope::model::runtime_candidates(Some(path)).remove(0);
    assert_eq!(candidate(&new).version.unwrap(), "1.99.0");
    let problem = candidate(&old).version.unwrap_err();
    for words in
        ["libonnxruntime.so.1.16.0", "is ONNX Runtime 1.16.0", "at least 1.", "pip download"]
    {
        assert!(problem.contains(words), "{words:?} is missing in: {problem}");
    }
    let marker = folder.path().join(trap_library::MARKER);
    assert!(!marker.exists(), "a library was loaded");
}
