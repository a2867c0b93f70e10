//! Data sets of questions: JSON Lines, CSV, Parquet, WebDataset shards and folders of Hugging Face `datasets`.
//!
//! Every format gives rows of named fields; [`Names`] says which field holds what. Rows are read one after another, so
//! that a data set need not fit into memory, and a row that cannot be read does not end the others.

mod arrow;
mod error;
mod fields;
mod masks;
mod text;
mod webdataset;

pub use error::InputError;
pub use fields::{InputPicture, InputRow, Names};
pub use masks::{InputMask, MaskSource};

use fields::Fields;
use std::path::{Path, PathBuf};

/// A row of a data set, or the reason why it cannot be used.
pub struct Read {
    /// Its number in the whole data set, from 1; of JSON Lines and CSV the number of the line.
    pub number: u64,
    /// The place for messages: "pope.jsonl line 3".
    pub place: String,
    /// The row.
    pub row: Result<InputRow, String>,
}

/// Receives rows; an error ends the reading.
pub type Each<'a, E> = &'a mut dyn FnMut(Read) -> Result<(), E>;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    JsonLines,
    Csv,
    Parquet,
    Tar,
    ArrowStream,
}

impl Format {
    const NAMES: &'static str = ".jsonl, .csv, .tsv, .parquet, .tar, .tar.zst or .arrow";

    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".jsonl", ".ndjson", ".json"]) {
            Some(Self::JsonLines)
        } else if ends(&[".csv", ".tsv"]) {
            Some(Self::Csv)
        } else if ends(&[".parquet"]) {
            Some(Self::Parquet)
        } else if ends(&[".tar", ".tar.zst"]) {
            Some(Self::Tar)
        } else if ends(&[".arrow"]) {
            Some(Self::ArrowStream)
        } else {
            None
        }
    }
}

/// Reads all rows of a data set: a file, a folder of shards, or a folder that `datasets` wrote. Relative pictures lie in
/// `pictures`, or else in the folder of their file. Fields that no name covers are returned, sorted.
///
/// # Errors
/// A data set that cannot be read or is damaged, and any error of `each`.
pub fn read_rows<E: From<InputError>>(
    path: &Path,
    names: &Names,
    pictures: Option<&Path>,
    each: Each<'_, E>,
) -> Result<Vec<String>, E> {
    let files = files_of(path)?;
    let mut reader = RowReader { names, number: 0, unread: Default::default(), pictures };
    for file in &files {
        reader.read(file, each)?;
    }
    Ok(reader.unread.into_iter().collect())
}

/// The files of a data set with their format, in order.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, InputError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    if path.join("dataset_dict.json").is_file() {
        let splits: Vec<String> = folders(path)?;
        let reason = format!(
            "holds several splits: name the folder of one, {}",
            splits
                .iter()
                .map(|split| format!("{}/{split}", path.display()))
                .collect::<Vec<_>>()
                .join(" or ")
        );
        return Err(InputError::unusable(path, reason));
    }
    if path.join("state.json").is_file() {
        return arrow::files_of_state(path);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(InputError::read(path))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.is_file() && Format::of(file).is_some())
        .collect();
    files.sort();
    let formats: Vec<Option<Format>> = files.iter().map(|file| Format::of(file)).collect();
    match formats.split_first() {
        None => Err(InputError::unusable(path, format!("holds no data set ({})", Format::NAMES))),
        Some((first, others)) if others.iter().any(|other| other != first) => {
            let reason = "holds files of several formats: name one of them, or a folder of shards";
            Err(InputError::unusable(path, reason))
        }
        Some(_) => Ok(files),
    }
}

fn folders(path: &Path) -> Result<Vec<String>, InputError> {
    let entries = std::fs::read_dir(path).map_err(InputError::read(path))?;
    let mut found: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    Ok(found)
}

/// Reads the files of a data set.
struct RowReader<'a> {
    names: &'a Names,
    /// Rows so far, over all files.
    number: u64,
    /// Fields that were seen and are not read.
    unread: std::collections::BTreeSet<String>,
    pictures: Option<&'a Path>,
}

impl RowReader<'_> {
    fn read<E: From<InputError>>(&mut self, file: &Path, each: Each<'_, E>) -> Result<(), E> {
        let Some(format) = Format::of(file) else {
            let reason = format!("is no data set: its name must end in {}", Format::NAMES);
            return Err(InputError::unusable(file, reason).into());
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let before = self.number;
        let unit = match format {
            Format::JsonLines | Format::Csv => "line",
            Format::Parquet | Format::ArrowStream | Format::Tar => "row",
        };
        let folder = self.pictures.or(file.parent()).unwrap_or(Path::new("")).to_owned();
        let mut give = |own: u64, fields: Result<Fields, String>| -> Result<(), E> {
            self.number = before + own;
            let row = fields.and_then(|fields| {
                self.unread.extend(self.names.unread(&fields));
                self.names.row(fields, &folder)
            });
            each(Read { number: self.number, place: format!("{name} {unit} {own}"), row })
        };
        match format {
            Format::JsonLines => text::json_lines(file, &mut give),
            Format::Csv => text::csv(file, self.names, &mut give),
            Format::Parquet => arrow::parquet(file, &mut give),
            Format::ArrowStream => arrow::stream(file, &mut give),
            Format::Tar => webdataset::tar(file, &mut give),
        }
    }
}
