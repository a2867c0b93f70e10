//! JSON Lines and CSV.

use super::error::InputError;
use super::fields::{Fields, Give, Names, Object, twice};
use crate::files::{MOST_TEXT_BYTES, open_regular};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// The largest CSV file: an opening quote without an end makes one field of all that follows.
const MOST_CSV_BYTES: u64 = 1 << 30;

const IS_UTF16: &str = "is UTF-16: save it as UTF-8";
/// Characters of the first line of a CSV file in an error.
const MOST_SHOWN: usize = 100;

/// The mark of UTF-8 that editors on Windows write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn json_lines<E: From<InputError>>(path: &Path, give: Give<'_, E>) -> Result<(), E> {
    let file = open_regular(path).map_err(InputError::read(path))?;
    let (mut lines, mut line, mut number) = (BufReader::new(file), Vec::new(), 0);
    let mut is_first = true;
    loop {
        line.clear();
        let mut limited = (&mut lines).take(MOST_TEXT_BYTES);
        if limited.read_until(b'\n', &mut line).map_err(InputError::read(path))? == 0 {
            return Ok(());
        }
        if line.len() as u64 == MOST_TEXT_BYTES && !line.ends_with(b"\n") {
            return Err(InputError::unusable(
                path,
                "has a line without an end: it is no JSON Lines file",
            )
            .into());
        }
        number += 1;
        let bytes =
            if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            continue;
        }
        if is_first {
            check_start(bytes).map_err(|reason| InputError::unusable(path, reason))?;
            is_first = false;
        }
        let fields = serde_json::from_slice::<Object>(bytes)
            .map(|Object(values)| Fields { values, ..Fields::default() })
            .map_err(|error| {
                format!(
                    "is not {{\"picture\": …, \"question\": …}} (or, as in POPE and LLaVA, {{\"image\": …, \"text\": …}}): {error}"
                )
            });
        give(number, fields)?;
    }
}

/// Checks the first line of a JSON Lines file: of another kind of file, every line would be a fault.
fn check_start(line: &[u8]) -> Result<(), &'static str> {
    match line {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(IS_UTF16),
        [b'[', ..] => {
            Err("begins with a list: write one object on each line, as `jq -c '.[]'` does")
        }
        b"{" => Err(
            "has its first object on several lines: write one object on each line, as `jq -c .` does",
        ),
        _ => Ok(()),
    }
}

pub(super) fn csv<E: From<InputError>>(
    path: &Path,
    names: &Names,
    give: Give<'_, E>,
) -> Result<(), E> {
    let is_tabs = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tsv"));
    let file = open_regular(path).map_err(InputError::read(path))?;
    if file.metadata().map_err(InputError::read(path))?.len() > MOST_CSV_BYTES {
        return Err(
            InputError::unusable(path, "is larger than 1 GiB: divide it, or use Parquet").into()
        );
    }
    let mut file = BufReader::new(file);
    if matches!(
        file.fill_buf().map_err(InputError::read(path))?,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..]
    ) {
        return Err(InputError::unusable(path, IS_UTF16).into());
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(if is_tabs { b'\t' } else { b',' })
        .flexible(true)
        .from_reader(file);
    let headers = reader.headers().map_err(|error| fault(path, error))?;
    let headers: Vec<String> =
        headers.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
    check_headers(&headers, is_tabs, names).map_err(|reason| InputError::unusable(path, reason))?;
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let line = record.position().map_or(line, csv::Position::line);
                let fields = if record.len() == headers.len() {
                    let pairs = headers.iter().zip(&record);
                    let pairs = pairs.map(|(name, value)| (name.clone(), value.into()));
                    Ok(Fields { values: pairs.collect(), ..Fields::default() })
                } else {
                    let is_joined = record.iter().any(|field| field.contains('\n'));
                    let hint =
                        ", and one of them goes over several lines: a quote may lack its end";
                    Err(format!(
                        "has {} fields{}; the first line names {}",
                        record.len(),
                        if is_joined { hint } else { "" },
                        headers.len()
                    ))
                };
                give(line, fields)?;
            }
            Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                give(line, Err("is not UTF-8".into()))?;
            }
            Err(error) => return Err(fault(path, error).into()),
        }
    }
}

/// Checks the first line of a CSV file: it must name the columns, each once.
fn check_headers(headers: &[String], is_tabs: bool, names: &Names) -> Result<(), String> {
    if headers.is_empty() {
        return Err("is empty".into());
    }
    // Columns without a name are not read.
    if let Some(name) = twice(headers.iter().map(String::as_str).filter(|name| !name.is_empty())) {
        let name = shown(name);
        return Err(format!("line 1 names the column `{name}` twice: rename one of them"));
    }
    if headers.iter().any(|name| names.reads(name)) {
        return Ok(());
    }
    let separated = |separator: char| {
        headers.len() == 1
            && headers[0].split(separator).any(|name| names.reads(name.trim_matches([' ', '"'])))
    };
    let own = if is_tabs { "a tab" } else { "a comma" };
    for (separator, other) in [(';', "semicolons"), ('\t', "tabs"), (',', "commas")] {
        if separated(separator) {
            let fix = match separator {
                '\t' => "call it .tsv",
                ',' => "call it .csv",
                _ => "write it again with commas",
            };
            return Err(format!(
                "line 1 has {other} between the names of the columns, where {own} is expected: {fix}"
            ));
        }
    }
    let found = shown(&headers.join(", "));
    Err(format!(
        "line 1 names no column that is read ({found}): it must name the columns, such as picture,question, or they are named with --columns"
    ))
}

/// A text of the file, shortened.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn fault(path: &Path, error: csv::Error) -> InputError {
    let reason = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => InputError::Read { path: path.to_owned(), source },
        _ => InputError::unusable(path, format!("cannot be read as CSV: {reason}")),
    }
}
