//! WebDataset shards: a tar archive in which the files of one sample follow each other and share a name up to its first
//! dot: `0001.jpg`, `0001.json`, `0001.txt`.

use super::error::InputError;
use super::fields::{Fields, Give, Object};
use crate::files::{MOST_TEXT_BYTES, open_regular};
use serde_json::Value;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// The most bytes of one sample that are read.
const MOST_BYTES: u64 = 1 << 28;

/// Endings of encoded pictures.
const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

pub(super) fn tar<E: From<InputError>>(path: &Path, give: Give<'_, E>) -> Result<(), E> {
    let file = BufReader::new(open_regular(path).map_err(InputError::read(path))?);
    let is_packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("zst"));
    let bytes: Box<dyn Read> = if is_packed {
        Box::new(zstd::stream::read::Decoder::new(file).map_err(InputError::read(path))?)
    } else {
        Box::new(file)
    };
    let mut archive = tar::Archive::new(bytes);
    let damaged = |error: io::Error| {
        InputError::unusable(path, format!("cannot be read as a tar archive: {error}"))
    };
    let (mut number, mut sample) = (0, None::<Sample>);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some((key, ending)) = split(&name) else { continue };
        if sample.as_ref().is_none_or(|sample| sample.key != key)
            && let Some(done) = sample.replace(Sample::new(key))
        {
            number += 1;
            give(number, done.fields())?;
        }
        if let Some(sample) = &mut sample {
            let size = entry.size();
            let kind = ending.rsplit('.').next().unwrap_or(ending).to_ascii_lowercase();
            let is_picture = PICTURES.contains(&kind.as_str());
            let most = if is_picture { MOST_BYTES } else { MOST_TEXT_BYTES };
            sample.bytes = sample.bytes.saturating_add(size);
            if size > most || sample.bytes > MOST_BYTES {
                sample.fault.get_or_insert(format!("is too large: `{name}` has {size} bytes"));
                continue;
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            sample.add(ending, &name, bytes);
        }
    }
    if let Some(done) = sample {
        give(number + 1, done.fields())?;
    }
    Ok(())
}

/// The name of the sample and the rest: "a/0001" and "seg.png" of "a/0001.seg.png".
fn split(name: &str) -> Option<(&str, &str)> {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = start + name[start..].find('.')?;
    (dot > start).then(|| (&name[..dot], &name[dot + 1..]))
}

/// The files of one sample.
struct Sample {
    key: String,
    fields: Fields,
    fault: Option<String>,
    /// Size of its files.
    bytes: u64,
}

impl Sample {
    fn new(key: &str) -> Self {
        // The key names files: folders become part of the name.
        let name = key.trim_start_matches("./").replace(['/', '\\'], "_");
        let fields = Fields { key: Some(name), ..Fields::default() };
        Self { key: key.to_owned(), fields, fault: None, bytes: 0 }
    }

    fn add(&mut self, ending: &str, name: &str, bytes: Vec<u8>) {
        let ending = ending.to_ascii_lowercase();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .map_err(|_| format!("has the file `{name}`, which is not UTF-8"))
        };
        // `0001.mask.png` is a picture in the field `mask`.
        let (field, kind) = ending.rsplit_once('.').unwrap_or(("", &ending));
        let added = if PICTURES.contains(&kind) {
            // The first picture without a field is the one that is asked about, unless another is named.
            let field = match field {
                "" if self.fields.pictures.contains_key("picture") => kind.to_owned(),
                "" => "picture".into(),
                field => field.to_owned(),
            };
            self.fields.pictures.insert(field, (name.to_owned(), bytes.into()));
            Ok(())
        } else if ending == "json" {
            let read = |text: String| {
                serde_json::from_str::<Object>(&text).map_err(|error| {
                    format!("has the file `{name}`, which is no JSON object: {error}")
                })
            };
            let values = text(bytes).and_then(read);
            values.and_then(|Object(values)| {
                values.into_iter().try_for_each(|(field, value)| self.insert(field, value))
            })
        } else {
            // `0001.question.txt` and `0001.txt` are the question, `0001.answer.txt` an answer.
            let field = ending.strip_suffix(".txt").unwrap_or(&ending).to_owned();
            let field = if field == "txt" { "question".to_owned() } else { field };
            // Files that are no text, such as arrays, are left out.
            match String::from_utf8(bytes) {
                Ok(text) => self.insert(field, text.trim_end().into()),
                Err(_) => Ok(()),
            }
        };
        if let Err(fault) = added {
            self.fault.get_or_insert(fault);
        }
    }

    fn insert(&mut self, field: String, value: Value) -> Result<(), String> {
        if self.fields.values.contains_key(&field) {
            return Err(format!("has the field `{field}` twice"));
        }
        self.fields.values.insert(field, value);
        Ok(())
    }

    fn fields(self) -> Result<Fields, String> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.fields),
        }
    }
}
