//! The meaning of the fields of a data set.

use super::masks::{InputMask, MaskSource, masks};
use crate::table::{Expected, Rule};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A row of a data set as named fields.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub values: Map<String, Value>,
    /// Fields of encoded pictures: the name of the picture, and its bytes.
    pub pictures: BTreeMap<String, (String, Arc<[u8]>)>,
    /// The name that the data set gives the row, if that is no field.
    pub key: Option<String>,
}

/// The fields of a JSON object, none of which may be there twice.
#[derive(Debug)]
pub(super) struct Object(pub Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut given: A) -> Result<Self::Value, A::Error> {
                let mut fields = Map::new();
                while let Some((name, value)) = given.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format_args!(
                            "the field `{name}` is there twice"
                        )));
                    }
                    fields.insert(name, value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields).map(Self)
    }
}

/// The first name that is there twice.
pub(super) fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// Receives the fields of a row with its number in the file, from 1.
pub(super) type Give<'a, E> = &'a mut dyn FnMut(u64, Result<Fields, String>) -> Result<(), E>;

/// The picture of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputPicture {
    /// A file.
    File(PathBuf),
    /// An encoded picture.
    Bytes {
        /// Its name.
        name: String,
        /// The bytes of the file.
        bytes: Arc<[u8]>,
    },
}

impl InputPicture {
    /// Its name, without the ending.
    pub fn stem(&self) -> String {
        let path = match self {
            Self::File(path) => path.as_path(),
            Self::Bytes { name, .. } => Path::new(name),
        };
        path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A question about a picture.
#[derive(Clone, Debug)]
pub struct InputRow {
    /// Name of the sample.
    pub id: Option<String>,
    /// The picture.
    pub picture: InputPicture,
    /// The picture as the data set names it.
    pub picture_name: String,
    /// The question.
    pub question: String,
    /// Turns before the question: question and answer each.
    pub turns: Vec<(String, String)>,
    /// An answer that is scored instead of generating one.
    pub answer: Option<String>,
    /// The expected answer.
    pub expected: Option<Expected>,
    /// The kind of question.
    pub category: Option<String>,
    /// The object that the question is about.
    pub object: Option<String>,
    /// Boxes of objects in the picture, as JSON in the form of a boxes file.
    pub boxes: Option<String>,
    /// Masks of objects in the picture.
    pub masks: Vec<InputMask>,
}

impl InputRow {
    /// The name of the sample, the same in every run: the row's id, or else its number in the data set and its picture.
    pub fn sample(&self, number: u64) -> String {
        match &self.id {
            Some(id) => id.clone(),
            None => format!("{number:04}-{}", self.picture.stem().replace(':', "-")),
        }
    }
}

/// The start of the name of a built-in sample, which is no file.
const SAMPLE: &str = "sample:";

/// Meanings of fields, with the names that they have in data sets.
const KNOWN: [(&str, &[&str]); 11] = [
    ("id", &["id", "question_id"]),
    ("picture", &["picture", "image", "image_path", "img_path", "image_file", "file_name"]),
    ("question", &["question", "text", "query"]),
    ("turns", &["turns"]),
    ("answer", &["answer"]),
    ("expected", &["expected", "label", "ground_truth"]),
    ("rule", &["rule"]),
    ("category", &["category", "question_type"]),
    ("object", &["object"]),
    ("boxes", &["boxes", "objects"]),
    ("masks", &["masks", "mask", "segmentation"]),
];

/// The fields that are read, and under which names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// From what a field means to its name in the data set, where that was said.
    said: BTreeMap<&'static str, String>,
    /// The rule of comparison where a row has none.
    rule: Option<Rule>,
}

impl Names {
    /// With names that were said as "expected=answer", and a rule for rows that have none.
    ///
    /// # Errors
    /// The error for a text that is no such pair; it lists the meanings.
    pub fn new(said: &[String], rule: Option<Rule>) -> Result<Self, String> {
        let mut names = Self { said: BTreeMap::new(), rule };
        for pair in said {
            let known = || KNOWN.map(|(name, _)| name).join(", ");
            let (ours, theirs) = pair
                .split_once('=')
                .ok_or_else(|| format!("`{pair}` is not OURS=THEIRS, such as expected=answer"))?;
            let found = KNOWN.iter().find(|(name, _)| *name == ours);
            let (ours, _) =
                found.ok_or_else(|| format!("`{ours}` is no field; there are {}", known()))?;
            names.said.insert(ours, theirs.to_owned());
        }
        Ok(names)
    }

    /// The names under which a field is looked for. A name that was said for one field stands for no other.
    fn names<'a>(&'a self, ours: &str) -> Vec<&'a str> {
        if let Some(said) = self.said.get(ours) {
            return vec![said];
        }
        let known =
            KNOWN.iter().find(|(name, _)| *name == ours).map_or(&[][..], |(_, names)| names);
        known.iter().copied().filter(|name| !self.said.values().any(|said| said == name)).collect()
    }

    /// Whether a field of this name is read.
    pub(super) fn reads(&self, name: &str) -> bool {
        KNOWN.iter().any(|(ours, _)| self.names(ours).contains(&name))
    }

    /// The fields of a row that are not read.
    pub(super) fn unread(&self, fields: &Fields) -> Vec<String> {
        let all = fields.values.keys().chain(fields.pictures.keys());
        all.filter(|name| !self.reads(name)).cloned().collect()
    }

    /// The meaning of a row; relative pictures lie in `folder`.
    pub(super) fn row(&self, mut fields: Fields, folder: &Path) -> Result<InputRow, String> {
        let all: Vec<String> =
            fields.values.keys().chain(fields.pictures.keys()).cloned().collect();
        let lacks = |what: &str| {
            let all = if all.is_empty() { "nothing".into() } else { all.join(", ") };
            format!("has no {what}: it has {all}. Name the field with --columns {what}=NAME")
        };
        let bytes = self.names("picture").into_iter().find_map(|name| fields.pictures.remove(name));
        let (picture, picture_name) = match bytes {
            Some((name, bytes)) => (InputPicture::Bytes { name: name.clone(), bytes }, name),
            None => {
                let name = text(self.take(&mut fields, "picture"), "picture")?
                    .ok_or_else(|| lacks("picture"))?;
                let is_sample = name.starts_with(SAMPLE);
                let path = if is_sample { name.clone().into() } else { folder.join(&name) };
                (InputPicture::File(path), name)
            }
        };
        let question = text(self.take(&mut fields, "question"), "question")?
            .ok_or_else(|| lacks("question"))?;
        let rule = match text(self.take(&mut fields, "rule"), "rule")? {
            Some(rule) => Some(rule.parse()?),
            None => self.rule,
        };
        let expected = texts(self.take(&mut fields, "expected"))?;
        let turns = match self.take(&mut fields, "turns") {
            None | Some(Value::Null) => Vec::new(),
            Some(turns) => serde_json::from_value(turns)
                .map_err(|_| "has `turns` that are no [question, answer] pairs".to_owned())?,
        };
        let boxes = match self.take(&mut fields, "boxes") {
            None | Some(Value::Null) => None,
            // In a text column, as JSON.
            Some(Value::String(text)) => Some(text),
            Some(boxes) => Some(boxes.to_string()),
        };
        let masks = self.masks(&mut fields, folder)?;
        let object = text(self.take(&mut fields, "object"), "object")?;
        if object.is_none() && masks.iter().any(|mask| mask.noun.is_none()) {
            return Err("has a mask, but no `object` that it is of".into());
        }
        let id = text(self.take(&mut fields, "id"), "id")?.or_else(|| fields.key.take());
        Ok(InputRow {
            id,
            picture,
            picture_name,
            question,
            turns,
            answer: text(self.take(&mut fields, "answer"), "answer")?,
            expected: Expected::new(expected, rule),
            category: text(self.take(&mut fields, "category"), "category")?,
            object,
            boxes,
            masks,
        })
    }

    /// The masks of a row, the field being a picture or what [`masks`] reads.
    fn masks(&self, fields: &mut Fields, folder: &Path) -> Result<Vec<InputMask>, String> {
        let picture = self.names("masks").into_iter().find_map(|name| fields.pictures.remove(name));
        if let Some((_, bytes)) = picture {
            return Ok(vec![InputMask { noun: None, source: MaskSource::Bytes(bytes) }]);
        }
        self.take(fields, "masks").map_or(Ok(Vec::new()), |value| masks(value, folder))
    }

    fn take(&self, fields: &mut Fields, ours: &str) -> Option<Value> {
        self.names(ours).into_iter().find_map(|name| fields.values.remove(name))
    }
}

/// A value as text; numbers and truth values are written as such. Empty texts count as missing.
fn text(value: Option<Value>, what: &str) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
        Some(_) => {
            let article = if what.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            Err(format!("has {article} {what} that is no text"))
        }
    }
}

/// A text or a list of texts.
fn texts(value: Option<Value>) -> Result<Vec<String>, String> {
    match value {
        Some(Value::Array(all)) => {
            let each = all.into_iter().map(|one| text(Some(one), "expected answer"));
            Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        }
        one => Ok(text(one, "expected answer")?.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn row(names: &Names, json: &str) -> Result<InputRow, String> {
        let values = serde_json::from_str(json).unwrap();
        names.row(Fields { values, ..Fields::default() }, Path::new("pictures"))
    }

    #[test]
    fn fields_have_our_names_those_of_pope_and_llava_and_any_that_are_said() {
        let names = Names::default();
        let pope = row(
            &names,
            r#"{"question_id": 7, "image": "a.jpg", "text": "Is it?", "label": "yes"}"#,
        )
        .unwrap();
        assert_eq!((pope.id.as_deref(), pope.question.as_str()), (Some("7"), "Is it?"));
        assert_eq!(pope.picture, InputPicture::File("pictures/a.jpg".into()));
        assert_eq!(pope.expected.unwrap().rule(), Rule::YesNo);
        let said = Names::new(&["expected=answer".into()], Some(Rule::Exact)).unwrap();
        let json = r#"{"picture": "a", "question": "?", "answer": ["x", 2], "extra": 1}"#;
        let found = row(&said, json).unwrap();
        assert_eq!((found.answer, found.expected.unwrap().text().as_str()), (None, "x | 2"));
        let values = serde_json::from_str(json).unwrap();
        assert_eq!(said.unread(&Fields { values, ..Fields::default() }), ["extra"]);
    }

    #[test]
    fn a_field_is_there_once() {
        let read = |json: &str| serde_json::from_str::<Object>(json).map(|object| object.0.len());
        assert_eq!(read(r#"{"a": {"b": 1, "c": 2}, "b": []}"#).unwrap(), 2);
        let error = read(r#"{"a": 1, "b": 2, "a": 1}"#).unwrap_err().to_string();
        assert!(error.contains("the field `a` is there twice"), "{error}");
        assert!(read("[1]").unwrap_err().to_string().contains("expected an object"));
        assert_eq!(twice(["a", "b", "a"].into_iter()), Some("a"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let names = Names::default();
        let lacks = row(&names, r#"{"picture": "a", "prompt": "?"}"#).unwrap_err();
        assert!(
            lacks.contains("no question: it has picture, prompt")
                && lacks.contains("--columns question=NAME")
        );
        let wrong = row(&names, r#"{"picture": "a", "question": "?", "turns": [1]}"#).unwrap_err();
        assert!(wrong.contains("turns"));
        let expected = row(&names, r#"{"picture": "a", "question": "?", "expected": {}}"#);
        assert_eq!(expected.unwrap_err(), "has an expected answer that is no text");
        let rule = r#"{"picture": "a", "question": "?", "expected": "x", "rule": "best"}"#;
        assert!(row(&names, rule).unwrap_err().contains("exact, yes-no or contains"));
        assert!(Names::new(&["colour=x".into()], None).unwrap_err().contains("picture, question"));
        assert!(Names::new(&["x".into()], None).is_err());
    }
}
