//! Layers and heads of each model of a samples table, which are the same for all of its answers.

use super::{Result, TableError};
use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt32Type;
use arrow_array::{Array as _, RecordBatch};
use std::collections::HashMap;
use std::path::Path;

/// The columns that are compared; the last one is not in tables of earlier programs.
const COLUMNS: [&str; 3] = ["layers", "heads", "model_layers"];

/// The numbers of [`COLUMNS`] of one answer.
pub(super) type Sizes = [Option<u32>; COLUMNS.len()];

/// The first answer of each model, at its place: a row, or the number of a table.
#[derive(Default)]
pub struct ModelSizes(HashMap<String, (Sizes, u64)>);

/// An answer with other sizes than an earlier one of the same model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherSize {
    pub column: &'static str,
    pub number: u32,
    pub before: u32,
    /// The place of the earlier answer.
    pub place: u64,
}

impl ModelSizes {
    /// Adds an answer.
    pub(super) fn add(
        &mut self,
        model: &str,
        sizes: Sizes,
        place: u64,
    ) -> std::result::Result<(), OtherSize> {
        let Some((known, first)) = self.0.get_mut(model) else {
            self.0.insert(model.to_owned(), (sizes, place));
            return Ok(());
        };
        for (column, (known, own)) in COLUMNS.into_iter().zip(known.iter_mut().zip(sizes)) {
            match (*known, own) {
                (Some(before), Some(number)) if before != number => {
                    return Err(OtherSize { column, number, before, place: *first });
                }
                (None, Some(_)) => *known = own,
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds the rows of a batch of the file at `path`; `before` is the number of rows before it.
    ///
    /// # Errors
    /// The first row whose model has more attention layers than layers, or other sizes than in an earlier row.
    pub(super) fn add_rows(&mut self, path: &Path, batch: &RecordBatch, before: u64) -> Result<()> {
        let numbers = COLUMNS.map(|name| {
            batch.column_by_name(name).map(|column| column.as_primitive::<UInt32Type>())
        });
        let Some(models) = batch.column_by_name("model").map(|column| column.as_string::<i32>())
        else {
            return Ok(());
        };
        let mut last = None;
        for (row, model) in models.iter().enumerate() {
            let model = model.unwrap_or_default();
            let sizes = numbers.map(|column| {
                column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
            });
            // Rows of one model follow each other.
            if last == Some((model, sizes)) {
                continue;
            }
            last = Some((model, sizes));
            let place = before + row as u64 + 1;
            if let [Some(layers), _, Some(all)] = sizes
                && layers > all
            {
                let reason = format!(
                    "holds {layers} in row {place}, more than the {all} layers of its model `{model}` in the column `model_layers`"
                );
                return Err(TableError::column(path, "layers", reason));
            }
            self.add(model, sizes, place).map_err(|other| {
                let OtherSize { column, number, before, place: first } = other;
                let reason = format!(
                    "holds {number} in row {place} and {before} in row {first} for the same model `{model}`"
                );
                TableError::column(path, column, reason)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_the_sizes_of_its_first_answer() {
        let mut sizes = ModelSizes::default();
        assert_eq!(sizes.add("a", [Some(6), Some(8), None], 1), Ok(()));
        assert_eq!(sizes.add("b", [Some(12), Some(8), Some(12)], 2), Ok(()));
        // A table of an earlier program lacks the number of all layers.
        assert_eq!(sizes.add("a", [Some(6), Some(8), Some(24)], 3), Ok(()));
        assert_eq!(sizes.add("a", [Some(6), Some(8), None], 4), Ok(()));
        let other = |column, number, before, place| OtherSize { column, number, before, place };
        assert_eq!(
            sizes.add("a", [Some(6), Some(8), Some(25)], 5),
            Err(other("model_layers", 25, 24, 1))
        );
        assert_eq!(sizes.add("b", [Some(12), Some(4), Some(12)], 6), Err(other("heads", 4, 8, 2)));
    }
}
