//! Masks of objects in data sets: every form gives the attention inside of the same pixels.

use crate::support::{Folder, stderr};
use crate::table::heads;
use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use image::{GrayImage, ImageFormat, Luma, RgbImage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::sync::Arc;

/// Side of the picture: 12 × 12 patches of 14 pixels.
const SIDE: u32 = 168;
/// The two rectangles of an L, in whole and half patches.
const PARTS: [[u32; 4]; 2] = [[14, 14, 70, 42], [14, 42, 42, 98]];
/// The L as pycocotools 2.0.11 encodes it.
const CODE: &str = "nY2d2d2000000000000000000000000000000000000000000000000000000XNh100000000000000000000000000000000000000000000000000000RR`0";

fn in_l(x: u32, y: u32) -> bool {
    PARTS
        .iter()
        .any(|&[left, top, right, bottom]| (left..right).contains(&x) && (top..bottom).contains(&y))
}

/// The L as a PNG whose sides are `1 / divisor` of the picture's.
fn png(divisor: u32) -> Vec<u8> {
    let side = SIDE / divisor;
    let picture =
        GrayImage::from_fn(side, side, |x, y| Luma([u8::from(in_l(x * divisor, y * divisor))]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The run lengths of the L as numbers.
fn counts() -> Vec<u32> {
    let (mut counts, mut inside) = (vec![0], false);
    for (x, y) in (0..SIDE).flat_map(|x| (0..SIDE).map(move |y| (x, y))) {
        if in_l(x, y) != inside {
            inside = !inside;
            counts.push(0);
        }
        *counts.last_mut().unwrap() += 1;
    }
    counts
}

fn row(id: &str, more: Value) -> Value {
    let mut row =
        json!({"picture": "a.png", "question": "What is this?", "object": "thing", "id": id});
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

/// For each sample, the attention inside of the object, of all tokens and heads.
fn inside(folder: &Folder, table: &str) -> BTreeMap<String, Vec<f32>> {
    let mut found: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for ((sample, ..), numbers) in heads(&folder.path(table)) {
        found.entry(sample).or_default().push(numbers[5].unwrap());
    }
    found
}

fn with_picture() -> Folder {
    let folder = Folder::new();
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| [(x * 3) as u8, (y * 5) as u8, 90].into());
    picture.save(folder.path("a.png")).unwrap();
    folder
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-6, "{what}: {found} for {expected}");
    }
}

#[test]
fn masks_in_every_form_have_the_attention_of_their_parts() {
    let folder = with_picture();
    folder.write("l.png", png(1));
    folder.write("small.png", png(2));
    let polygon = json!([14, 14, 70, 14, 70, 42, 42, 42, 42, 98, 14, 98]);
    let part = |[left, top, right, bottom]: [u32; 4]| {
        json!([[left, top, right, top, right, bottom, left, bottom]])
    };
    let named = |mask: Value| json!({"noun": "thing", "mask": mask});
    let code = json!({"size": [SIDE, SIDE], "counts": counts()});
    let forms = [
        ("polygon", json!({"mask": polygon})),
        ("polygons", json!({"segmentation": PARTS.map(|at| part(at)[0].clone())})),
        ("file", json!({"mask": "l.png"})),
        ("smaller", json!({"mask": "small.png"})),
        ("numbers", json!({"masks": code})),
        ("code", json!({"masks": [named(json!({"size": [SIDE, SIDE], "counts": CODE}))]})),
        ("text", json!({"masks": json!([named(code)]).to_string()})),
        ("two", json!({"masks": [named(part(PARTS[0])), named(part(PARTS[1]))]})),
        ("twice", json!({"masks": [named(json!([polygon])), named(part(PARTS[1]))]})),
        (
            "before boxes",
            json!({"mask": polygon, "boxes": [{"noun": "thing", "box": [0, 0, 9, 9]}]}),
        ),
    ];
    let boxes = |at: usize| json!({"boxes": [{"noun": "thing", "box": PARTS[at]}]});
    let mut rows = vec![row("first", boxes(0)), row("second", boxes(1))];
    rows.extend(forms.iter().map(|(id, more)| row(id, more.clone())));
    rows.push(row("empty", json!({"mask": {"size": [SIDE, SIDE], "counts": [SIDE * SIDE]}})));
    let text: Vec<String> = rows.iter().map(Value::to_string).collect();
    folder.write("q.jsonl", text.join("\n"));
    let said = stderr(&folder.ok(&[
        "ask",
        "--batch",
        "q.jsonl",
        "--table",
        "t.parquet",
        "--out",
        "o",
        "--keep",
        "none",
    ]));
    assert!(said.contains("13 answered"), "{said}");
    let all = heads(&folder.path("t.parquet"));
    assert!(all.iter().filter(|(place, _)| place.0 == "empty").all(|(_, of)| of[5].is_none()));
    let found: BTreeMap<String, Vec<f32>> = forms
        .iter()
        .map(|(id, _)| *id)
        .chain(["first", "second"])
        .map(|id| {
            let of = all.iter().filter(|((sample, ..), _)| sample == id);
            (id.to_owned(), of.map(|(_, numbers)| numbers[5].unwrap()).collect())
        })
        .collect();
    let parts = found["first"].iter().zip(&found["second"]);
    let expected: Vec<f32> = parts.map(|(first, second)| first + second).collect();
    assert!(expected.iter().any(|inside| *inside > 0.01));
    for (id, _) in &forms {
        assert_near(&found[*id], &expected, id);
    }
}

#[test]
fn masks_are_columns_of_bytes_and_files_of_a_shard() {
    let folder = with_picture();
    let (picture, mask) = (folder.read("a.png"), png(1));
    let json = row("x", json!({"mask": {"size": [SIDE, SIDE], "counts": CODE}}));
    folder.write("q.jsonl", json.to_string());
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    // One mask as a binary column, and a list of {noun, mask: {bytes, path}}, as `datasets` stores pictures.
    let bytes_and_path = Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    let of_object = Fields::from(vec![
        Field::new("noun", DataType::Utf8, true),
        Field::new("mask", DataType::Struct(bytes_and_path.clone()), true),
    ]);
    let mut list = ListBuilder::new(StructBuilder::from_fields(of_object, 1));
    let objects = list.values();
    objects.field_builder::<StringBuilder>(0).unwrap().append_value("thing");
    let nested = objects.field_builder::<StructBuilder>(1).unwrap();
    nested.field_builder::<BinaryBuilder>(0).unwrap().append_value(&mask);
    nested.field_builder::<StringBuilder>(1).unwrap().append_null();
    nested.append(true);
    objects.append(true);
    list.append(true);
    let columns: [(&str, ArrayRef); 2] = [
        ("bytes", Arc::new(BinaryArray::from_vec(vec![mask.as_slice()]))),
        ("list", Arc::new(list.finish())),
    ];
    for (name, column) in columns {
        let schema = Arc::new(Schema::new(vec![
            Field::new("picture", DataType::Utf8, false),
            Field::new("question", DataType::Utf8, false),
            Field::new("object", DataType::Utf8, false),
            Field::new("id", DataType::Utf8, false),
            Field::new("masks", column.data_type().clone(), true),
        ]));
        let values = vec![text("a.png"), text("What is this?"), text("thing"), text("x"), column];
        let batch = RecordBatch::try_new(schema.clone(), values).unwrap();
        let file = File::create(folder.path(format!("{name}.parquet"))).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, schema, None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let mut tar = tar::Builder::new(Vec::new());
    let fields = json!({"question": "What is this?", "object": "thing"}).to_string();
    // The mask comes first and is not taken for the picture.
    for (name, content) in
        [("x.mask.png", &mask), ("x.json", &fields.into_bytes()), ("x.png", &picture)]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    folder.write("shard.tar", tar.into_inner().unwrap());
    let found = |input: &str| {
        let table = format!("{}.t.parquet", input.replace('.', "-"));
        folder.ok(&["ask", "--batch", input, "--table", &table]);
        inside(&folder, &table).remove("x").unwrap()
    };
    let expected = found("q.jsonl");
    assert!(expected.iter().any(|inside| *inside > 0.01));
    for input in ["bytes.parquet", "list.parquet", "shard.tar"] {
        assert_near(&found(input), &expected, input);
    }
}

#[test]
fn masks_that_cannot_be_used_are_reported_with_their_row() {
    let folder = with_picture();
    folder.write("broken.png", b"no picture");
    let wide = json!({"size": [SIDE, 2 * SIDE], "counts": [2 * SIDE * SIDE - 1, 1]});
    let rows = [
        row("shape", json!({"mask": wide})),
        row("gone", json!({"mask": "gone.png"})),
        row("broken", json!({"mask": "broken.png"})),
        row("sum", json!({"mask": {"size": [3, 4], "counts": [3]}})),
        json!({"picture": "a.png", "question": "What?", "id": "whose", "mask": [1, 1, 9, 1, 9, 9]}),
        row("good", json!({"mask": [1, 1, 9, 1, 9, 9]})),
    ];
    folder.write("q.jsonl", rows.map(|row| row.to_string()).join("\n"));
    let said = folder.fails(&["ask", "--batch", "q.jsonl", "--table", "t.parquet"]);
    for part in [
        "the mask of `thing` has 336 × 168 pixels, which is another shape than the picture's 168 × 168",
        "the mask of `thing` cannot be used",
        "gone.png",
        "broken.png",
        "line 4 has a mask that has `counts` that do not add up to 4 × 3 pixels",
        "line 5 has a mask, but no `object` that it is of",
        "1 answered, 0 already there, 5 failed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // A mask that changed is another request.
    folder.write("q.jsonl", row("good", json!({"mask": [1, 1, 9, 1, 9, 8]})).to_string());
    let said = stderr(&folder.ok(&["ask", "--batch", "q.jsonl", "--table", "t.parquet"]));
    assert!(said.contains("1 answered, 0 already there"), "{said}");
}
