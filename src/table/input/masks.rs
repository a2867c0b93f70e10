//! Masks of objects in a row of a data set: run-length codes and polygons as COCO has them, and pictures.

use crate::analysis::mask::{MaskShape, PixelMask, RunLengths};
use base64::Engine as _;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Limit on the points of the polygons of one mask.
const MOST_POINTS: usize = 100_000;
/// Fields of a mask in a list.
const NOUNS: [&str; 3] = ["noun", "label", "name"];
const AREAS: [&str; 2] = ["mask", "segmentation"];
/// The start of a picture that is written as text.
const DATA: &str = "data:";

/// A mask of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct InputMask {
    /// The noun that names the object; without one it is the object of the question.
    pub noun: Option<String>,
    /// The area.
    pub source: MaskSource,
}

/// The area of a mask.
#[derive(Clone, Debug, PartialEq)]
pub enum MaskSource {
    /// The shape itself.
    Shape(MaskShape),
    /// The file of a picture, in which the object's pixels are not black.
    File(PathBuf),
    /// The bytes of such a file.
    Bytes(Arc<[u8]>),
}

/// The masks of a field: one for the object of the question, or a list of `{"noun": …, "mask": …}`; as text in CSV. Relative
/// files lie in `folder`.
///
/// # Errors
/// A description of the fault.
pub(super) fn masks(value: Value, folder: &Path) -> Result<Vec<InputMask>, String> {
    let value = match value {
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
            serde_json::from_str(&text)
                .map_err(|error| format!("has a mask that is no JSON: {error}"))?
        }
        value => value,
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::Array(all) if !all.is_empty() && all.iter().all(Value::is_object) => {
            let named = |one: Value| match one {
                Value::Object(fields) => named(fields, folder),
                other => Err(unusable(&other)),
            };
            all.into_iter().map(named).collect()
        }
        Value::Object(fields) if AREAS.iter().any(|area| fields.contains_key(*area)) => {
            Ok(vec![named(fields, folder)?])
        }
        one => Ok(vec![InputMask { noun: None, source: source(one, folder)? }]),
    }
}

/// A mask of a list.
fn named(mut fields: Map<String, Value>, folder: &Path) -> Result<InputMask, String> {
    let noun = NOUNS.iter().find_map(|name| match fields.remove(*name) {
        Some(Value::String(noun)) if !noun.is_empty() => Some(noun),
        _ => None,
    });
    let area = AREAS.iter().find_map(|name| fields.remove(*name));
    let area = area.ok_or("has a mask of a list without `mask`")?;
    Ok(InputMask {
        noun: Some(noun.ok_or("has a mask of a list without `noun`")?),
        source: source(area, folder)?,
    })
}

fn source(value: Value, folder: &Path) -> Result<MaskSource, String> {
    match value {
        Value::String(text) => match text.strip_prefix(DATA) {
            Some(data) => bytes(data),
            None => Ok(MaskSource::File(folder.join(text))),
        },
        Value::Object(mut fields)
            if fields.contains_key("bytes") || fields.contains_key("path") =>
        {
            let given = ["bytes", "path"].into_iter().find_map(|name| match fields.remove(name) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            });
            source(given.ok_or("has a mask without bytes and path")?.into(), folder)
        }
        Value::Object(_) => {
            let code: RunLengths = serde_json::from_value(value).map_err(|error| {
                format!(
                    "has a mask that is not {{\"size\": [height, width], \"counts\": …}}: {error}"
                )
            })?;
            let mask = PixelMask::from_run_lengths(&code)
                .map_err(|reason| format!("has a mask that {reason}"))?;
            Ok(MaskSource::Shape(MaskShape::Pixels(mask)))
        }
        Value::Array(_) => {
            let is_one = value.get(0).is_some_and(Value::is_number);
            let value = if is_one { Value::Array(vec![value]) } else { value };
            let polygons: Vec<Vec<f64>> =
                serde_json::from_value(value.clone()).map_err(|_| unusable(&value))?;
            if polygons.iter().map(Vec::len).sum::<usize>() > 2 * MOST_POINTS {
                return Err(format!("has a mask with more than {MOST_POINTS} points"));
            }
            let shape = MaskShape::from_polygons(&polygons)
                .map_err(|reason| format!("has a mask that {reason}"))?;
            Ok(MaskSource::Shape(shape))
        }
        other => Err(unusable(&other)),
    }
}

/// The bytes after "data:": "image/png;base64,…".
fn bytes(data: &str) -> Result<MaskSource, String> {
    let broken = || "has a mask that starts with `data:` but is no base64".to_owned();
    let (_, text) = data.split_once(";base64,").ok_or_else(broken)?;
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(text.trim()).map_err(|_| broken())?;
    Ok(MaskSource::Bytes(bytes.into()))
}

/// Bytes inside of a list or a structure as text: as they are, or in base64 as [`source`] reads them.
pub(super) fn bytes_as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            format!("{DATA}application/octet-stream;base64,{text}")
        }
    }
}

fn unusable(value: &Value) -> String {
    let kind = match value {
        Value::Array(_) => "a list that is no polygons",
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
        _ => "of another kind",
    };
    format!(
        "has a mask that is {kind}; a mask is a run-length code, a list of polygons [[x, y, x, y, …], …] or a picture's file"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Result<Vec<InputMask>, String> {
        masks(value, Path::new("pictures"))
    }

    #[test]
    fn masks_have_several_forms() {
        let file = of(json!("fox.png")).unwrap();
        assert_eq!(file[0].source, MaskSource::File("pictures/fox.png".into()));
        let polygon = json!([1, 1, 4, 1, 4, 4]);
        let one = of(polygon.clone()).unwrap();
        assert_eq!(one, of(json!([polygon])).unwrap());
        assert_eq!(one, of(json!(polygon.to_string())).unwrap(), "as text");
        assert!(
            matches!(&one[0].source, MaskSource::Shape(MaskShape::Polygons(parts)) if parts.len() == 1)
        );
        let code = json!({"size": [3, 4], "counts": [3, 4, 5]});
        let listed =
            of(json!([{"noun": "fox", "mask": code}, {"label": "cat", "segmentation": polygon}]))
                .unwrap();
        assert_eq!(
            [&listed[0].noun, &listed[1].noun].map(|noun| noun.as_deref().unwrap()),
            ["fox", "cat"]
        );
        assert_eq!(listed[0].source, of(code).unwrap()[0].source);
        let bytes = [0x89, b'P', 0xff];
        for value in
            [json!(bytes_as_text(&bytes)), json!({"bytes": bytes_as_text(&bytes), "path": "a.png"})]
        {
            assert_eq!(of(value).unwrap()[0].source, MaskSource::Bytes(bytes.to_vec().into()));
        }
        assert_eq!(of(json!({"bytes": null, "path": "fox.png"})).unwrap(), file);
        assert!(of(json!(null)).unwrap().is_empty() && of(json!("")).unwrap().is_empty());
    }

    #[test]
    fn faults_are_described() {
        let fault = |value| of(value).unwrap_err();
        assert!(fault(json!(3)).contains("a number"));
        assert!(fault(json!([["a"]])).contains("polygons"));
        assert!(fault(json!({"size": [3, 4]})).contains("counts"));
        assert!(fault(json!({"size": [3, 4], "counts": [1]})).contains("add up"));
        assert!(fault(json!([{"mask": "a.png"}])).contains("`noun`"));
        assert!(fault(json!([{"noun": "fox"}])).contains("`mask`"));
        assert!(fault(json!("[1, 2")).contains("JSON"));
        assert!(fault(json!("data:image/png;base64,!")).contains("base64"));
        assert!(fault(json!(vec![0.5; 2 * MOST_POINTS + 2])).contains("points"));
    }
}
