//! The samples table by columns, with those that others have added.

use super::super::file::TableReader;
use super::super::schema::TableKind;
use super::super::{Result, TableError};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::DataType;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The values of a column, one for each sample.
#[derive(Clone, Debug)]
pub enum Values {
    /// Texts.
    Text(Vec<Option<String>>),
    /// Numbers; NaN where one is missing.
    Number(Vec<f64>),
    /// True or false.
    Bool(Vec<Option<bool>>),
}

/// The samples table: columns by name. Columns of other types than texts, numbers and bools are left out.
#[derive(Clone, Debug)]
pub struct SampleColumns {
    path: PathBuf,
    names: Vec<String>,
    values: Vec<Values>,
    rows: usize,
}

impl SampleColumns {
    /// Reads a samples table.
    ///
    /// # Errors
    /// A damaged or foreign file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut columns =
            Self { path: path.to_owned(), names: Vec::new(), values: Vec::new(), rows: 0 };
        let reader = TableReader::open_kind(path, TableKind::Samples)?;
        for (name, of) in reader.fields() {
            if let Some(values) = empty(&of) {
                columns.names.push(name);
                columns.values.push(values);
            }
        }
        for batch in reader.batches()? {
            let batch = batch?;
            columns.rows += batch.num_rows();
            for (name, values) in columns.names.iter().zip(&mut columns.values) {
                if let Some(array) = batch.column_by_name(name) {
                    append(values, array);
                }
            }
        }
        Ok(columns)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of samples.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no samples.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The names of the columns in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A column.
    pub fn column(&self, name: &str) -> Option<&Values> {
        let place = self.names.iter().position(|own| own == name)?;
        self.values.get(place)
    }

    /// A text; `None` also where the column is no text.
    pub fn text(&self, name: &str, row: usize) -> Option<&str> {
        match self.column(name)? {
            Values::Text(texts) => texts.get(row)?.as_deref(),
            _ => None,
        }
    }

    /// A number; bools are 0 and 1. NaN where it is missing, or the column is a text.
    pub fn number(&self, name: &str, row: usize) -> f64 {
        match self.column(name) {
            Some(Values::Number(numbers)) => numbers.get(row).copied().unwrap_or(f64::NAN),
            Some(Values::Bool(bools)) => bools
                .get(row)
                .copied()
                .flatten()
                .map_or(f64::NAN, |value| f64::from(u8::from(value))),
            _ => f64::NAN,
        }
    }

    /// The numbers of a column; bools are 0 and 1. NaN where one is missing, or the column is a text.
    pub fn numbers(&self, name: &str) -> Vec<f64> {
        match self.column(name) {
            Some(Values::Number(numbers)) => numbers.clone(),
            Some(Values::Bool(bools)) => {
                let number =
                    |own: &Option<bool>| own.map_or(f64::NAN, |own| f64::from(u8::from(own)));
                bools.iter().map(number).collect()
            }
            _ => vec![f64::NAN; self.rows],
        }
    }

    /// True or false; `None` also where the column is no bool.
    pub fn bool(&self, name: &str, row: usize) -> Option<bool> {
        match self.column(name)? {
            Values::Bool(bools) => bools.get(row).copied().flatten(),
            _ => None,
        }
    }

    /// Whether the answer of a sample is an expected one.
    pub fn correct(&self, row: usize) -> Option<bool> {
        self.bool("correct", row)
    }

    /// The name of a sample.
    pub fn name(&self, row: usize) -> &str {
        self.text("sample", row).unwrap_or_default()
    }

    /// The columns of numbers that are not all missing.
    pub fn numeric(&self) -> impl Iterator<Item = &str> {
        let has_any = |values: &Values| match values {
            Values::Number(numbers) => numbers.iter().any(|number| number.is_finite()),
            _ => false,
        };
        self.names
            .iter()
            .zip(&self.values)
            .filter(move |(_, values)| has_any(values))
            .map(|(name, _)| name.as_str())
    }

    /// The rows of the samples by their name.
    ///
    /// # Errors
    /// A name that is there twice.
    pub fn by_name(&self) -> Result<HashMap<&str, usize>> {
        let mut found = HashMap::with_capacity(self.rows);
        for row in 0..self.rows {
            if let Some(before) = found.insert(self.name(row), row) {
                let name = self.name(row);
                let reason =
                    format!("names the sample `{name}` in the rows {} and {}", before + 1, row + 1);
                return Err(self.wrong("sample", reason));
            }
        }
        Ok(found)
    }

    /// Some samples as CSV: all columns, and `more` ones with a text for each sample of the table.
    ///
    /// # Errors
    /// If the text cannot be put together.
    pub fn csv(&self, rows: &[usize], more: &[(&str, &[String])]) -> std::io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names = self.names.iter().map(String::as_str);
        writer.write_record(names.chain(more.iter().map(|(name, _)| *name)))?;
        for &row in rows {
            let own = self.names.iter().map(|name| self.cell(name, row));
            let more = more.iter().map(|(_, texts)| texts.get(row).cloned().unwrap_or_default());
            let record: Vec<String> = own.chain(more).collect();
            writer.write_record(&record)?;
        }
        writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }

    /// A value as text; empty where it is missing.
    fn cell(&self, name: &str, row: usize) -> String {
        let of_bool = |own: &Option<bool>| own.map(|own| own.to_string());
        let of_number = |own: &f64| own.is_finite().then(|| own.to_string());
        let text = match self.column(name) {
            Some(Values::Text(texts)) => texts.get(row).cloned().flatten(),
            Some(Values::Bool(bools)) => bools.get(row).and_then(of_bool),
            Some(Values::Number(numbers)) => numbers.get(row).and_then(of_number),
            None => None,
        };
        text.unwrap_or_default()
    }

    /// The fault of a column.
    pub(super) fn wrong(&self, column: &str, reason: String) -> TableError {
        TableError::column(&self.path, column, reason)
    }
}

/// The name in the window of a column of the samples table; columns of other programs keep theirs.
pub fn column_title(name: &str) -> &str {
    match name {
        "index" => "place in the data set",
        "correct" => "right or wrong",
        "logprob" => "log-probability",
        "image_share" => "attention to the picture",
        "relevancy_share" => "relevancy on the picture",
        "relevancy_inside" => "relevancy inside the object",
        "blank_probability" => "probability, blank picture",
        "kept" => "probability kept, blank picture",
        _ => name,
    }
}

/// The rows of the samples that two tables have in common: of the first and of the second table.
///
/// # Errors
/// A name that is in one table twice, or that stands for another picture there.
pub fn join(first: &SampleColumns, second: &SampleColumns) -> Result<Vec<[usize; 2]>> {
    let rows = second.by_name()?;
    first.by_name()?;
    let both = |row: usize| Some([row, *rows.get(first.name(row))?]);
    let pairs: Vec<[usize; 2]> = (0..first.len()).filter_map(both).collect();
    // The folders of pictures may differ between machines.
    let file = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    for &[row, other] in &pairs {
        let texts = [first.text("picture", row), second.text("picture", other)];
        if let [Some(one), Some(another)] = texts
            && file(one) != file(another)
        {
            return Err(TableError::Foreign {
                path: second.path().to_owned(),
                reason: format!(
                    "has the picture `{another}` for the sample `{}` and {} has `{one}`: only answers about the same pictures can be compared one by one",
                    first.name(row),
                    first.path().display()
                ),
            });
        }
    }
    Ok(pairs)
}

/// How many of some joined samples were asked another question in the second table.
pub fn asked_otherwise(
    first: &SampleColumns,
    second: &SampleColumns,
    pairs: &[[usize; 2]],
) -> usize {
    let differs = |&&[row, other]: &&[usize; 2]| {
        let texts = [first.text("question", row), second.text("question", other)];
        matches!(texts, [Some(one), Some(another)] if one != another)
    };
    pairs.iter().filter(differs).count()
}

/// No values of a type; `None` for types that are not read.
fn empty(of: &DataType) -> Option<Values> {
    match of {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Values::Text(Vec::new())),
        DataType::Boolean => Some(Values::Bool(Vec::new())),
        of if of.is_integer() || matches!(of, DataType::Float32 | DataType::Float64) => {
            Some(Values::Number(Vec::new()))
        }
        _ => None,
    }
}

fn append(values: &mut Values, array: &dyn Array) {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    match (values, array.data_type()) {
        (Values::Text(texts), DataType::Utf8) => {
            texts.extend(array.as_string::<i32>().iter().map(owned));
        }
        (Values::Text(texts), DataType::LargeUtf8) => {
            texts.extend(array.as_string::<i64>().iter().map(owned));
        }
        (Values::Text(texts), _) => texts.extend(array.as_string_view().iter().map(owned)),
        (Values::Bool(bools), _) => bools.extend(array.as_boolean().iter()),
        (Values::Number(numbers), of) => match of {
            DataType::Int8 => extend::<Int8Type>(numbers, array, f64::from),
            DataType::Int16 => extend::<Int16Type>(numbers, array, f64::from),
            DataType::Int32 => extend::<Int32Type>(numbers, array, f64::from),
            DataType::Int64 => extend::<Int64Type>(numbers, array, |value| value as f64),
            DataType::UInt8 => extend::<UInt8Type>(numbers, array, f64::from),
            DataType::UInt16 => extend::<UInt16Type>(numbers, array, f64::from),
            DataType::UInt32 => extend::<UInt32Type>(numbers, array, f64::from),
            DataType::UInt64 => extend::<UInt64Type>(numbers, array, |value| value as f64),
            DataType::Float32 => extend::<Float32Type>(numbers, array, f64::from),
            _ => extend::<Float64Type>(numbers, array, |value| value),
        },
    }
}

fn extend<T: ArrowPrimitiveType>(
    numbers: &mut Vec<f64>,
    array: &dyn Array,
    number: impl Fn(T::Native) -> f64,
) {
    let values = array.as_primitive::<T>().iter();
    numbers.extend(values.map(|value| value.map_or(f64::NAN, &number)));
}
