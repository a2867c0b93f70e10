//! Tables over many answers: `table`, and `ask --batch --table`.

use crate::support::{Folder, names, stderr, stdout};
use crate::table_damage::change_last_row;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, UInt32Type};
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use vlmscope::analysis::overview::{HeadNumber, layer_head};
use vlmscope::analysis::reduce::Fold;
use vlmscope::model::builtin;
use vlmscope::table::{SampleRow, TableKind, TableReader, read_samples, samples_path};
use vlmscope::trace::Trace;

/// Sample, token, layer and head of a row.
pub type Place = (String, u32, u32, u32);

const NUMBERS: [&str; 6] = ["image_share", "entropy", "focus", "peak", "sink_share", "inside"];

/// The numbers of a heads table by their place.
pub fn heads(path: &Path) -> BTreeMap<Place, Vec<Option<f32>>> {
    let mut found = BTreeMap::new();
    for batch in TableReader::open_kind(path, TableKind::Heads).unwrap().batches().unwrap() {
        let batch = batch.unwrap();
        let sample = batch.column_by_name("sample").unwrap().as_string::<i32>();
        let number = |name: &str, row: usize| {
            batch.column_by_name(name).unwrap().as_primitive::<UInt32Type>().value(row)
        };
        for row in 0..batch.num_rows() {
            let [token, layer, head] = ["token", "layer", "head"].map(|name| number(name, row));
            let values = NUMBERS.map(|name| {
                let column = batch.column_by_name(name).unwrap().as_primitive::<Float32Type>();
                column.iter().nth(row).unwrap()
            });
            let place = (sample.value(row).to_owned(), token, layer, head);
            assert_eq!(found.insert(place, values.to_vec()), None, "a row is there twice");
        }
    }
    found
}

/// The question and the boxes' noun of a sample, and its answer.
fn first_question(sample: usize) -> String {
    builtin::samples().unwrap()[sample].questions[0].text.clone()
}

/// A data set of first questions about samples, as JSON Lines.
pub fn lines(count: usize) -> String {
    let line = |at: usize| {
        json!({
            "picture": format!("sample:{}", at + 1), "question": first_question(at), "id": format!("s{at}"),
            "expected": if at == 0 { "no such answer" } else { "" }, "category": "first",
        })
        .to_string()
    };
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_table_has_the_numbers_of_the_matrix_and_of_inspect() {
    let folder = Folder::new();
    folder.ok(&["ask", "sample:1", &first_question(0), "--out", "a", "--no-overlay"]);
    folder.ok(&["table", "a.vlmtrace", "--out", "t.parquet"]);
    let trace = Trace::open(&folder.path("a.vlmtrace")).unwrap();
    let (shape, spoken) = (trace.shape(), trace.meta().spoken_answers());
    let found = heads(&folder.path("t.parquet"));
    assert_eq!(found.len(), spoken.len() * shape.layers * shape.heads);
    let mut inside = 0;
    for answer in &spoken {
        let row = trace.row_of_answer(*answer).unwrap() as u32;
        let of =
            |number: HeadNumber| layer_head(&trace, &number, &[row], Fold::Mean, false).unwrap();
        let numbers = [
            of(HeadNumber::ImageShare),
            of(HeadNumber::ImageEntropy),
            of(HeadNumber::Focus),
            of(HeadNumber::Peak),
            of(HeadNumber::First),
        ];
        for layer in 0..shape.layers {
            for head in 0..shape.heads {
                let place = ("a".to_owned(), answer.0, layer as u32, head as u32);
                let values = &found[&place];
                for (value, expected) in values.iter().zip(&numbers) {
                    assert_eq!(*value, Some(expected[layer * shape.heads + head]));
                }
                inside += usize::from(values[5].is_some());
                assert!(values[5].is_none_or(|inside| inside <= values[0].unwrap() + 1e-5));
            }
        }
    }
    assert!(inside > 0, "a word of the answer names an object");
    let rows = read_samples(&samples_path(&folder.path("t.parquet"))).unwrap();
    let inspected: Value =
        serde_json::from_str(&stdout(&folder.ok(&["inspect", "a.vlmtrace", "--json"]))).unwrap();
    let share = inspected["span_shares"][0].as_f64().unwrap() as f32;
    assert!((rows[0].image_share.unwrap() - share).abs() < 1e-6);
    assert_eq!(rows[0].answer, trace.meta().answer);
    assert_eq!((rows[0].correct, rows[0].verdict.as_deref()), (None, None), "nothing was measured");
    let spoken_logprob: f32 = spoken.iter().map(|one| trace.answer_logprobs()[one.index()]).sum();
    assert_eq!(rows[0].logprob, Some(spoken_logprob));
}

#[test]
fn a_batch_has_one_table_whether_whole_in_shards_or_from_its_traces() {
    let folder = Folder::new();
    folder.write("q.jsonl", lines(4));
    let base = ["ask", "--batch", "q.jsonl", "--no-overlay"];
    let run = |extra: &[&str]| stderr(&folder.ok(&[&base, extra].concat()));
    let said = run(&["--table", "t.parquet", "--out", "traces"]);
    assert!(said.contains("4 answered, 0 already there, 0 failed"), "{said}");
    let whole = heads(&folder.path("t.parquet"));
    folder.ok(&["table", "traces", "--out", "u.parquet"]);
    assert_eq!(whole, heads(&folder.path("u.parquet")));
    for shard in ["1/3", "2/3", "3/3"] {
        run(&["--table", "part.parquet", "--shard", shard]);
    }
    let shards = [
        "part-00001-of-00003.parquet",
        "part-00002-of-00003.parquet",
        "part-00003-of-00003.parquet",
    ];
    folder.ok(&[&["table"], &shards[..], &["--out", "merged.parquet"]].concat());
    assert_eq!(whole, heads(&folder.path("merged.parquet")));
    // A missing shard is named, and no other one.
    let two = stderr(&folder.ok(&["table", shards[0], shards[2], "--out", "two.parquet"]));
    assert!(two.contains(shards[1]) && !two.contains(shards[0]), "{two}");
    let all = stderr(&folder.ok(&[&["table"], &shards[..], &["--out", "merged.parquet"]].concat()));
    assert!(!all.contains("shards"), "{all}");
    let absurd = ["1/100000", "1/99999999999", "4/3", "0/3"];
    for shard in absurd {
        let arguments = format!("ask --batch q.jsonl --table part.parquet --shard {shard}");
        folder.refused(&arguments, 2, &[shard, "N up to 99999"]);
    }
    let rows = |name: &str| {
        let rows = read_samples(&samples_path(&folder.path(name))).unwrap();
        rows.into_iter()
            .map(|row| (row.index, row.sample, row.answer, row.correct))
            .collect::<Vec<_>>()
    };
    assert_eq!(rows("t.parquet"), rows("merged.parquet"));
    assert_eq!(rows("t.parquet")[0].3, Some(false));
    // From traces and the data set: all columns but the time and the request, which `ask` alone knows.
    folder.ok(&["table", "traces", "--data", "q.jsonl", "--out", "v.parquet"]);
    assert_eq!(whole, heads(&folder.path("v.parquet")));
    let all = |name: &str| {
        let rows = read_samples(&samples_path(&folder.path(name))).unwrap();
        let same = |row| SampleRow { request: String::new(), ..row };
        rows.into_iter().map(same).collect::<Vec<_>>()
    };
    assert_eq!(all("t.parquet"), all("v.parquet"));
    folder.write("other.jsonl", lines(4).replace("\"s0\"", "\"s9\""));
    let lacks = ["table", "traces", "--data", "other.jsonl", "--out", "w.parquet"];
    let said = folder.fails(&lacks);
    assert!(said.contains("s0.vlmtrace: the data set has no row with the id"), "{said}");
    // A second run answers nothing, also without the traces; a new expectation needs no answer.
    std::fs::remove_dir_all(folder.path("traces")).unwrap();
    folder.write("q.jsonl", lines(4).replace("no such answer", &rows("t.parquet")[0].2));
    let said = run(&["--table", "t.parquet"]);
    assert!(said.contains("0 answered, 4 already there"), "{said}");
    assert_eq!(rows("t.parquet")[0].3, Some(true));
    assert_eq!(whole, heads(&folder.path("t.parquet")));
    let twice = folder.fails(&["table", "t.parquet", "merged.parquet", "--out", "no.parquet"]);
    assert!(twice.contains("`s0`") && twice.contains("merged.samples.parquet"), "{twice}");
    let both = folder.fails(&["ask", "--batch", "q.jsonl"]);
    assert!(both.contains("--table") && both.contains("--out"), "{both}");
}

#[test]
fn the_verdict_is_measured_and_traces_are_kept_as_said() {
    let folder = Folder::new();
    folder.write("q.jsonl", lines(3));
    let run = |extra: &[&str]| {
        folder.ok(&[&["ask", "--batch", "q.jsonl", "--no-overlay"], extra].concat())
    };
    run(&["--table", "t.parquet", "--out", "wrong", "--keep", "wrong", "--verdict"]);
    assert_eq!(names(&folder.path("wrong")), ["s0.vlmtrace"]);
    let rows = read_samples(&samples_path(&folder.path("t.parquet"))).unwrap();
    for row in &rows {
        let share = row.relevancy_share.unwrap();
        assert!(share > 0.0 && share < 1.0, "{row:?}");
        assert!(row.blank_probability.unwrap() < 1.0 && row.verdict.is_some(), "{row:?}");
        assert_eq!(row.trace.is_some(), row.sample == "s0");
    }
    let trace = Trace::open(&folder.path("wrong/s0.vlmtrace")).unwrap();
    assert!(trace.has_blank_logprobs() && trace.map_names().contains(&"relevancy.llm"));
    // Measurements go into the files of all traces, also where a picture is cropped.
    run(&["--out", "all", "--verdict"]);
    let measured = Trace::open(&folder.path("all/s1.vlmtrace")).unwrap();
    assert!(measured.has_blank_logprobs() && measured.map_names().contains(&"relevancy.llm"));
    run(&["--out", "first", "--keep", "2"]);
    assert_eq!(names(&folder.path("first")), ["s0.vlmtrace", "s1.vlmtrace"]);
}

/// A column of pictures as `datasets` stores them: {bytes, path}.
fn picture_column(pictures: &[(&str, &[u8])]) -> (Field, ArrayRef) {
    let fields = Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BinaryArray::from_iter_values(pictures.iter().map(|(_, bytes)| bytes))),
        Arc::new(StringArray::from_iter_values(pictures.iter().map(|(path, _)| path))),
    ];
    let column = StructArray::new(fields.clone(), columns, None);
    (Field::new("image", DataType::Struct(fields), true), Arc::new(column))
}

/// Three questions of the built-in samples in every format: the names of the data sets. The pictures are in `pictures`.
fn data_sets(folder: &Folder) -> [&'static str; 5] {
    const IDS: [&str; 3] = ["x", "y", "z"];
    const FILES: [&str; 3] = ["x.png", "y.png", "z.png"];
    let questions = [0, 1, 2].map(first_question);
    let samples = builtin::samples().unwrap();
    let bytes = [0, 1, 2].map(|at| builtin::sample_picture(&samples[at].file).unwrap());
    std::fs::create_dir_all(folder.path("pictures")).unwrap();
    let mut csv = "id,image,question,answer\n".to_owned();
    for at in 0..3 {
        folder.write(&format!("pictures/{}", FILES[at]), bytes[at]);
        csv.push_str(&format!("{},{},\"{}\",yes\n", IDS[at], FILES[at], questions[at]));
    }
    folder.write("a.csv", csv);
    let pictures = [0, 1, 2].map(|at| (FILES[at], bytes[at]));
    let (field, column) = picture_column(&pictures);
    let text = |texts: [&str; 3]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let texts = ["id", "question", "answer"].map(|name| Field::new(name, DataType::Utf8, false));
    let schema = Arc::new(arrow_schema::Schema::new([vec![field], texts.to_vec()].concat()));
    let columns =
        vec![column, text(IDS), text([0, 1, 2].map(|at| questions[at].as_str())), text(["yes"; 3])];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let file = |name: &str| File::create(folder.path(name)).unwrap();
    let mut parquet =
        parquet::arrow::ArrowWriter::try_new(file("a.parquet"), schema.clone(), None).unwrap();
    parquet.write(&batch).unwrap();
    parquet.close().unwrap();
    std::fs::create_dir_all(folder.path("hub")).unwrap();
    folder
        .write("hub/state.json", r#"{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}"#);
    let mut stream =
        arrow_ipc::writer::StreamWriter::try_new(file("hub/data-00000-of-00001.arrow"), &schema)
            .unwrap();
    stream.write(&batch).unwrap();
    stream.finish().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for at in 0..3 {
        let json = json!({"question": questions[at], "answer": "yes"}).to_string();
        for (ending, content) in [("json", json.as_bytes()), ("png", bytes[at])] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, format!("{}.{ending}", IDS[at]), content).unwrap();
        }
    }
    let tar = tar.into_inner().unwrap();
    std::fs::create_dir_all(folder.path("shards")).unwrap();
    folder.write("shards/00000.tar", &tar);
    folder.write("b.tar.zst", zstd::encode_all(tar.as_slice(), 1).unwrap());
    ["a.csv", "a.parquet", "hub", "shards", "b.tar.zst"]
}

/// From a data set of every format to its answers, their table and the report on it.
#[test]
fn data_sets_in_every_format_give_the_same_answers_and_the_same_report() {
    let folder = Folder::new();
    let (mut answers, mut reports) = (Vec::new(), Vec::new());
    for input in data_sets(&folder) {
        let name = input.replace('.', "-");
        let table = format!("{name}.t.parquet");
        let arguments = [
            "ask",
            "--batch",
            input,
            "--table",
            &table,
            "--columns",
            "expected=answer",
            "--pictures",
            "pictures",
        ];
        folder.ok(&arguments);
        let rows = read_samples(&samples_path(&folder.path(&table))).unwrap();
        let samples: Vec<&str> = rows.iter().map(|row| row.sample.as_str()).collect();
        assert_eq!(samples, ["x", "y", "z"], "{input}");
        for (at, row) in rows.iter().enumerate() {
            assert_eq!((&row.question, row.rule.as_deref()), (&first_question(at), Some("yes-no")));
        }
        answers.push(heads(&folder.path(&table)));
        let report = format!("{name}.report");
        let found = folder.json(&[
            "report",
            &table,
            "--out",
            &report,
            "--heads",
            "3",
            "--samples",
            "0",
            "--json",
        ]);
        let page = String::from_utf8(folder.read(&format!("{report}/report.md"))).unwrap();
        assert!(page.contains("fewer than 10 samples"), "{page}");
        let numbers = &found["numbers"];
        assert_eq!((&numbers["samples"], &numbers["expected"]), (&json!(3), &json!(3)), "{input}");
        let first = &numbers["ranking"][0];
        assert!(first["mean"].is_number() && first["stability"].is_null(), "{first}");
        reports.push((numbers["means"].clone(), numbers["ranking"].clone()));
    }
    assert!(reports.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    std::fs::create_dir_all(folder.path("dict/train")).unwrap();
    folder.write("dict/dataset_dict.json", "{}");
    let splits = folder.fails(&["ask", "--batch", "dict", "--table", "n.parquet"]);
    assert!(splits.contains("dict/train"), "{splits}");
}

#[test]
fn data_sets_named_on_standard_input_get_a_table_each_from_one_engine() {
    let folder = Folder::new();
    folder.write("a.jsonl", lines(2));
    // The place in the data set is the line.
    folder.write(
        "b.jsonl",
        format!("\n\n{}\n{{\"picture\": \"gone.png\", \"question\": \"?\"}}", lines(1)),
    );
    folder.ok(&["ask", "--batch", "a.jsonl", "--table", "whole.parquet"]);
    let mut child = folder
        .command(&["ask", "--batch", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut names = child.stdin.take().unwrap();
    names.write_all(b"a.jsonl\n\nb.jsonl\nnone.jsonl\n").unwrap();
    drop(names);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<&Value> = said.iter().filter(|line| !line["data"].is_null()).collect();
    assert_eq!(ends.len(), 3);
    assert_eq!((&ends[0]["table"], &ends[0]["error"]), (&json!("a.answers.parquet"), &Value::Null));
    assert!(ends[1]["error"].as_str().unwrap().contains("1 answered, 0 already there, 1 failed"));
    assert!(
        ends[2]["table"].is_null() && ends[2]["error"].as_str().unwrap().contains("none.jsonl")
    );
    assert_eq!(heads(&folder.path("whole.parquet")), heads(&folder.path("a.answers.parquet")));
    let rows = read_samples(&samples_path(&folder.path("b.answers.parquet"))).unwrap();
    assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), [2]);
    let failed = said.iter().find(|line| line["index"] == 3).unwrap();
    assert!(failed["error"].as_str().unwrap().contains("gone.png"), "{failed}");
    let mixed = folder.fails(&["ask", "--batch", "-", "--table", "t.parquet"]);
    assert!(mixed.contains("--table"), "{mixed}");
}

#[test]
fn bad_rows_are_reported_with_their_number_and_the_others_are_answered() {
    let folder = Folder::new();
    let good = |id: &str| {
        json!({"picture": "sample:1", "question": "What is this?", "id": id}).to_string()
    };
    let missing =
        json!({"picture": "gone.png", "question": "What is this?", "id": "gone"}).to_string();
    let broken = "{\"picture\": ";
    let unnamed = json!({"picture": "sample:1", "prompt": "What?"}).to_string();
    folder.write(
        "q.jsonl",
        [good("a"), broken.into(), missing, unnamed, good("a"), good("b")].join("\n"),
    );
    let said = folder.fails(&["ask", "--batch", "q.jsonl", "--table", "t.parquet"]);
    for part in [
        "q.jsonl line 2",
        "q.jsonl line 4 has no question: it has picture, prompt",
        "used twice",
        "missing pictures:\n",
        "gone.png",
        "2 answered, 0 already there, 4 failed",
        "not read: prompt",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let rows = read_samples(&samples_path(&folder.path("t.parquet"))).unwrap();
    assert_eq!(rows.iter().map(|row| row.sample.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    folder.write("q.csv", "picture,question\nsample:1,What is this?\nsample:1\n");
    let said = folder.fails(&["ask", "--batch", "q.csv", "--table", "u.parquet"]);
    assert!(said.contains("q.csv line 3 has 1 fields") && said.contains("1 answered"), "{said}");
    // No tables of ours.
    let (field, column) = picture_column(&[("photo.png", b"x")]);
    let schema = Arc::new(arrow_schema::Schema::new(vec![field]));
    let mut writer = parquet::arrow::ArrowWriter::try_new(
        File::create(folder.path("foreign.parquet")).unwrap(),
        schema.clone(),
        None,
    )
    .unwrap();
    writer.write(&RecordBatch::try_new(schema, vec![column]).unwrap()).unwrap();
    writer.close().unwrap();
    std::fs::copy(folder.path("foreign.parquet"), folder.path("foreign.samples.parquet")).unwrap();
    let said = folder.fails(&["table", "foreign.parquet", "--out", "no.parquet"]);
    assert!(
        said.contains("foreign.samples.parquet") && said.contains("no table of vlmscope"),
        "{said}"
    );
    folder.write("cut.parquet", &std::fs::read(folder.path("t.parquet")).unwrap()[..64]);
    std::fs::copy(samples_path(&folder.path("t.parquet")), folder.path("cut.samples.parquet"))
        .unwrap();
    let said = folder.fails(&["table", "cut.parquet", "--out", "no.parquet"]);
    assert!(said.contains("cut.parquet"), "{said}");
    // A heads table where one of samples should be: the kind is named.
    std::fs::copy(folder.path("t.parquet"), folder.path("w.parquet")).unwrap();
    std::fs::copy(folder.path("t.parquet"), folder.path("w.samples.parquet")).unwrap();
    let said = folder.fails(&["table", "w.parquet", "--out", "no.parquet"]);
    assert!(said.contains("is a table of heads, not of samples"), "{said}");
    // Not in place of a file that is none of ours.
    folder.write("note.parquet", "text");
    folder.write("note.samples.parquet", "text");
    let said = folder.fails(&["ask", "--batch", "q.csv", "--table", "note.parquet"]);
    assert!(said.contains("note.samples.parquet"), "{said}");
}

#[test]
fn a_data_set_that_is_written_otherwise_says_where_and_how_to_write_it() {
    let folder = Folder::new();
    let says = |name: &str, text: &str, words: &[&str]| {
        folder.write(name, text);
        let said = folder.fails(&["ask", "--batch", name, "--table", "t.parquet"]);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert_eq!(folder.names(), [name], "{said}");
        std::fs::remove_file(folder.path(name)).unwrap();
    };
    says("q.csv", "", &["q.csv is empty"]);
    says("q.csv", "picture,question\n", &["q.csv has no rows with questions"]);
    let first =
        ["q.csv line 1 names no column that is read (a.png, What?)", "such as picture,question"];
    says("q.csv", "a.png,What?\nb.png,What?\n", &first);
    let semicolons = ["q.csv line 1 has semicolons between", "a comma is expected: write it again"];
    says("q.csv", "picture;question\na.png;What?\n", &semicolons);
    says("q.csv", "\"picture\";\"question\"\n", &semicolons);
    says("q.csv", "picture\tquestion\na.png\tWhat?\n", &["has tabs between", "call it .tsv"]);
    says("q.tsv", "picture,question\na.png,What?\n", &["has commas between", "call it .csv"]);
    let twice = ["q.csv line 1 names the column `question` twice: rename"];
    says("q.csv", "picture,question,question\na.png,What?,Who?\n", &twice);
    says("q.json", "\n[{\"picture\": \"a.png\"}]", &["q.json begins with a list", "on each line"]);
    says(
        "q.json",
        "{\n\"picture\": \"a.png\"\n}",
        &["q.json has its first object on several lines"],
    );
    for name in ["q.csv", "q.jsonl"] {
        let text: Vec<u8> =
            "\u{feff}picture,question\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        folder.write(name, text);
        let said = folder.fails(&["ask", "--batch", name, "--table", "t.parquet"]);
        assert!(said.contains(&format!("{name} is UTF-16: save it as UTF-8")), "{said}");
        std::fs::remove_file(folder.path(name)).unwrap();
    }
    folder.write("q.csv", "picture,question\n\"sample:1,What?\nsample:1,Who?\n");
    let said = folder.fails("ask --batch q.csv --table quote.parquet");
    assert!(
        said.contains("q.csv line 2 has 1 fields, and one of them goes over several lines"),
        "{said}"
    );
    std::fs::remove_file(folder.path("q.csv")).unwrap();
    let json = r#"{"picture": "sample:1", "question": "What?", "question": "Who?"}"#;
    folder.write("q.jsonl", [json, r#"{"picture": "sample:1", "question": "What?"}"#].join("\n"));
    let said = folder.fails("ask --batch q.jsonl --table t.parquet");
    assert!(
        said.contains("q.jsonl line 1") && said.contains("`question` is there twice"),
        "{said}"
    );
    assert!(said.contains("1 answered, 0 already there, 1 failed"), "{said}");
}

#[test]
fn a_row_that_cannot_be_used_is_refused_before_its_question_is_asked() {
    let folder = Folder::new();
    let row = |id: &str, more: Value| {
        let mut row = json!({"picture": "sample:1", "question": first_question(0), "id": id});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row.to_string()
    };
    let long = "x".repeat(5000);
    let narrow = json!({"size": [3, 400], "counts": [0, 1200]});
    let rows = [
        row("flat", json!({"boxes": [{"noun": "fox", "box": [9, 9, 9, 20]}]})),
        row("text", json!({"boxes": "left"})),
        row("mask", json!({"object": "fox", "masks": narrow})),
        row(&long, json!({})),
        row("a\nb", json!({})),
        row("good", json!({"boxes": [{"noun": "fox", "box": [9, 9, 19, 20]}]})),
    ];
    folder.write("q.jsonl", rows.join("\n"));
    let said = folder.fails("ask --batch q.jsonl --table t.parquet --out o");
    for words in [
        "flat: the boxes cannot be used: the box of `fox` has no area",
        "text: the boxes cannot be used",
        "mask: the mask of `fox`",
        "xxx…\" has 5000 bytes",
        "must not have control characters",
        "1 answered, 0 already there, 5 failed",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.len() < 3000, "{}", said.len());
    assert_eq!(names(&folder.path("o")), ["good.overlay.png", "good.vlmtrace"]);
}

#[test]
fn a_table_is_not_replaced_by_an_empty_one() {
    let folder = Folder::with_trace();
    folder.ok(&["table", "a.vlmtrace", "--out", "t.parquet"]);
    let (before, samples) = (folder.read("t.parquet"), folder.read("t.samples.parquet"));
    std::fs::create_dir(folder.path("damaged")).unwrap();
    folder.write("damaged/y.vlmtrace", b"no trace");
    folder.refused(
        &["table", "damaged", "--out", "t.parquet"],
        1,
        &["none of the 1 traces could be read", "no table was written"],
    );
    assert_eq!((folder.read("t.parquet"), folder.read("t.samples.parquet")), (before, samples));
}

#[test]
fn numbers_that_the_model_cannot_have_are_refused_by_every_command_that_reads_a_table() {
    let folder = Folder::new();
    folder.write("q.jsonl", lines(2));
    folder.ok("ask --batch q.jsonl --table t.parquet");
    let damaged = |name: &str, change: &dyn Fn(&Path) -> String| {
        let path = folder.path(name);
        std::fs::copy(folder.path("t.parquet"), &path).unwrap();
        std::fs::copy(folder.path("t.samples.parquet"), samples_path(&path)).unwrap();
        let wanted = change(&path);
        let commands = [
            format!("report {name} --out r"),
            format!("report t.parquet --against {name} --out r"),
            format!("table {name} --out u.parquet"),
        ];
        for command in &commands {
            folder.refused(command, 1, &[&wanted, "write the table again"]);
        }
        assert!(!folder.path("r").exists() && !folder.path("u.parquet").exists());
    };
    for (column, number) in [("layer", 6), ("layer", u32::MAX), ("head", 8)] {
        damaged("heads.parquet", &|path| {
            let row = change_last_row(path, TableKind::Heads, column, number);
            format!(
                "heads.parquet: the column `{column}` names the {column} {number} in row {row},"
            )
        });
    }
    for (column, number) in [("layers", 3), ("layers", 12), ("heads", 4), ("model_layers", 7)] {
        damaged("sizes.parquet", &|path| {
            change_last_row(&samples_path(path), TableKind::Samples, column, number);
            format!("sizes.samples.parquet: the column `{column}` holds {number} in row 2")
        });
    }
}

#[test]
fn answers_of_several_models_are_a_table_but_no_report() {
    let folder = Folder::new();
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces2");
    let traces = ["stride", "tiles"].map(|name| traces.join(format!("{name}.vlmtrace")));
    let [first, second] = traces.each_ref().map(|path| path.to_str().unwrap());
    folder.ok(&["table", first, second, "--out", "t.parquet"]);
    let samples = read_samples(&samples_path(&folder.path("t.parquet"))).unwrap();
    let pictures: Vec<&str> = samples.iter().map(|row| row.picture.as_str()).collect();
    assert_ne!(pictures[0], pictures[1], "pictures without a name are not one picture");
    folder.refused(
        &["report", "t.parquet", "--out", "r"],
        2,
        &["has answers of 2 models", "model = ", &samples[0].model],
    );
    assert!(!folder.path("r").exists());
}
