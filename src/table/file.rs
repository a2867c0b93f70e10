//! Reading and writing the Parquet files of tables.

use super::schema::{KIND_KEY, TABLE_VERSION, TableKind, VERSION_KEY};
use super::{ModelSizes, Result, TableError};
use crate::files::{self, Replacement};
use crate::job::contain;
use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt32Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows in a group: a group is read as a whole if its statistics fit a filter.
pub const GROUP_ROWS: usize = 1 << 20;
/// Rows in a page: pages that do not fit a filter are skipped inside of a group.
const PAGE_ROWS: usize = 16_384;

/// The samples table beside a heads table: `answers.parquet` has `answers.samples.parquet`.
pub fn samples_path(heads: &Path) -> PathBuf {
    heads.with_extension("samples.parquet")
}

/// Writes a table under a temporary name, which [`Self::finish`] replaces.
pub struct TableWriter {
    path: PathBuf,
    replacement: Replacement,
    writer: ArrowWriter<File>,
    rows: usize,
}

impl TableWriter {
    /// Begins a table.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn begin(path: &Path, kind: TableKind) -> Result<Self> {
        let failed = |source| TableError::Write { path: path.to_owned(), source };
        let replacement = Replacement::begin(path).map_err(failed)?;
        let entries = [
            (KIND_KEY, kind.name().to_owned()),
            (VERSION_KEY, TABLE_VERSION.to_string()),
            ("vlmscope.version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let entries = entries.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let level = ZstdLevel::try_new(1).map_err(|error| TableError::writing(path, error))?;
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(entries.to_vec()))
            .set_compression(Compression::ZSTD(level))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(PAGE_ROWS / 4)
            .build();
        let file = replacement.file().try_clone().map_err(failed)?;
        let writer = ArrowWriter::try_new(file, kind.schema(), Some(properties))
            .map_err(|error| TableError::writing(path, error))?;
        Ok(Self { path: path.to_owned(), replacement, writer, rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows();
        self.writer.write(rows).map_err(|error| TableError::writing(&self.path, error))
    }

    /// Ends the row group, so that the next rows begin another.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn end_group(&mut self) -> Result<()> {
        self.writer.flush().map_err(|error| TableError::writing(&self.path, error))
    }

    /// Completes the file and gives it its name; returns the number of its rows.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(self) -> Result<usize> {
        let [rows] = Self::finish_together([self])?;
        Ok(rows)
    }

    /// Completes several files, and only then gives them their names; returns the number of rows of each.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish_together<const COUNT: usize>(mut all: [Self; COUNT]) -> Result<[usize; COUNT]> {
        for one in &mut all {
            one.writer.finish().map_err(|error| TableError::writing(&one.path, error))?;
            let failed = |source| TableError::Write { path: one.path.clone(), source };
            one.replacement.sync().map_err(failed)?;
        }
        let rows = all.each_ref().map(|one| one.rows);
        let files = all.into_iter().map(|one| one.replacement).collect();
        Replacement::keep_together(files)
            .map_err(|(path, source)| TableError::Write { path, source })?;
        Ok(rows)
    }
}

/// A table, opened and checked.
pub struct TableReader {
    path: PathBuf,
    kind: TableKind,
    builder: ParquetRecordBatchReaderBuilder<File>,
    /// Rows of the file before those that are read.
    before: u64,
}

impl TableReader {
    /// Opens a table of either kind; only its metadata is read.
    ///
    /// # Errors
    /// A damaged or foreign file, with the column that is wrong.
    pub fn open(path: &Path) -> Result<Self> {
        let file = files::open_regular(path)
            .map_err(|source| TableError::Read { path: path.to_owned(), source })?;
        // The types of Parquet: programs differ in the types of Arrow for texts.
        let options = ArrowReaderOptions::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .with_skip_arrow_metadata(true);
        let builder = contained(path, || {
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
                .map_err(|error| TableError::reading(path, error))
        })?;
        let entries = builder.metadata().file_metadata().key_value_metadata();
        let find = |key: &str| {
            let entry = entries?.iter().find(|entry| entry.key == key)?;
            entry.value.clone()
        };
        let kind = TableKind::of_metadata(path, find)?;
        kind.check(path, builder.schema())?;
        Ok(Self { path: path.to_owned(), kind, builder, before: 0 })
    }

    /// Opens a table of one kind.
    ///
    /// # Errors
    /// As [`Self::open`], or a table of the other kind.
    pub fn open_kind(path: &Path, kind: TableKind) -> Result<Self> {
        let reader = Self::open(path)?;
        if reader.kind == kind {
            return Ok(reader);
        }
        let reason = format!("is a table of {}, not of {}", reader.kind.name(), kind.name());
        Err(TableError::Foreign { path: path.to_owned(), reason })
    }

    /// The kind.
    pub const fn kind(&self) -> TableKind {
        self.kind
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.builder.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// Number of row groups.
    pub fn groups(&self) -> usize {
        self.builder.metadata().num_row_groups()
    }

    /// Number of rows before a row group.
    pub fn rows_before(&self, group: usize) -> u64 {
        let groups = self.builder.metadata().row_groups().iter().take(group);
        groups.map(|group| group.num_rows().unsigned_abs()).sum()
    }

    /// The names and types of the columns in the file.
    pub(super) fn fields(&self) -> Vec<(String, DataType)> {
        let fields = self.builder.schema().fields().iter();
        fields.map(|field| (field.name().clone(), field.data_type().clone())).collect()
    }

    /// Reads some columns of one row group in parts.
    ///
    /// # Errors
    /// A damaged file, or a column that is not there.
    pub fn columns_of_group(
        self,
        group: usize,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        let mut shown = Vec::new();
        for name in columns {
            shown.push(self.place(name)?);
        }
        let projection = ProjectionMask::leaves(self.builder.parquet_schema(), shown);
        let before = self.rows_before(group);
        let Self { path, kind, builder, .. } = self;
        let builder = builder.with_row_groups(vec![group]).with_projection(projection);
        Self { path, kind, builder: builder.with_batch_size(PAGE_ROWS), before }.batches()
    }

    /// The place of a column. Tables of this program have no nested columns, so that it is the place of its leaf, too.
    fn place(&self, name: &str) -> Result<usize> {
        let place = self.builder.schema().index_of(name);
        place.map_err(|_| TableError::column(&self.path, name, "is missing".into()))
    }

    /// Reads some columns of the rows whose numbers are these. Pages that cannot hold such a row are not read.
    ///
    /// # Errors
    /// A damaged file, or a column that is not there.
    pub fn rows_where(self, wanted: &[(&str, u32)], columns: &[&str]) -> Result<Vec<RecordBatch>> {
        let mut places = Vec::new();
        for &(name, value) in wanted {
            places.push((self.place(name)?, value));
        }
        let shown = columns.iter().map(|name| self.place(name)).collect::<Result<Vec<usize>>>()?;
        let path = self.path;
        let metadata = Arc::clone(self.builder.metadata());
        let mut selectors = Vec::new();
        for group in 0..metadata.num_row_groups() {
            selectors.extend(Vec::from(selection(&metadata, group, &places)));
        }
        let leaves = self.builder.parquet_schema();
        let mask = |places: &mut dyn Iterator<Item = usize>| ProjectionMask::leaves(leaves, places);
        let read = mask(&mut places.iter().map(|(place, _)| *place));
        let projection = mask(&mut shown.into_iter());
        let wanted: Vec<(String, u32)> =
            wanted.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let has_all = move |batch: RecordBatch| {
            let mut kept = vec![true; batch.num_rows()];
            for (name, value) in &wanted {
                let column =
                    batch.column_by_name(name).map(|column| column.as_primitive::<UInt32Type>());
                let values = column.into_iter().flatten();
                kept.iter_mut().zip(values).for_each(|(kept, own)| *kept &= own == Some(*value));
            }
            Ok(BooleanArray::from(kept))
        };
        let filter = RowFilter::new(vec![Box::new(ArrowPredicateFn::new(read, has_all))]);
        let builder = self
            .builder
            .with_row_selection(RowSelection::from(selectors))
            .with_row_filter(filter)
            .with_projection(projection)
            .with_batch_size(PAGE_ROWS);
        contained(&path, || {
            let reader = builder.build().map_err(|error| TableError::reading(&path, error))?;
            let batches = reader.collect::<std::result::Result<Vec<_>, _>>();
            batches.map_err(|error| TableError::Damaged {
                path: path.clone(),
                reason: error.to_string(),
            })
        })
    }

    /// Reads the rows in parts.
    ///
    /// # Errors
    /// A damaged file, a row without a value that every row must have or with a number outside of its range, or answers of
    /// one model with different sizes.
    pub fn batches(self) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        let Self { path, kind, mut before, .. } = self;
        let mut reader: Option<ParquetRecordBatchReader> = contained(&path, || {
            self.builder.build().map_err(|error| TableError::reading(&path, error))
        })
        .map(Some)?;
        let mut models = ModelSizes::default();
        Ok(std::iter::from_fn(move || {
            let damaged = |reason: String| TableError::Damaged { path: path.clone(), reason };
            let own = reader.as_mut()?;
            let next = contained(&path, || {
                let batch = own.next().transpose().map_err(|error| damaged(error.to_string()))?;
                if let Some(batch) = &batch {
                    kind.check_values(&path, batch, before)?;
                    if kind == TableKind::Samples {
                        models.add_rows(&path, batch, before)?;
                    }
                    before += batch.num_rows() as u64;
                }
                Ok(batch)
            });
            if next.is_err() {
                // A reader that failed is not used again.
                reader = None;
            }
            next.transpose()
        }))
    }
}

/// The rows of a group that may have the wanted numbers, by the statistics of its pages.
fn selection(metadata: &ParquetMetaData, group: usize, wanted: &[(usize, u32)]) -> RowSelection {
    let rows = metadata.row_group(group).num_rows().unsigned_abs() as usize;
    let index = metadata.page_index_for_row_group(group);
    let all = || RowSelection::from_consecutive_ranges(std::iter::once(0..rows), rows);
    wanted.iter().fold(all(), |selection, &(column, value)| {
        let (Some(ColumnIndexMetaData::INT32(pages)), Some(places)) =
            (index.column_index(column), index.offset_index(column))
        else {
            return selection;
        };
        let starts: Vec<usize> =
            places.page_locations().iter().map(|page| page.first_row_index as usize).collect();
        let may_have = |page: &usize| {
            // Numbers are stored as the same bits with a sign.
            let [low, high] = [pages.min_value(*page), pages.max_value(*page)]
                .map(|end| end.map(|end| *end as u32));
            low.is_none_or(|low| low <= value) && high.is_none_or(|high| high >= value)
        };
        let end = |page: usize| starts.get(page + 1).copied().unwrap_or(rows);
        let ranges = (0..starts.len()).filter(may_have).map(|page| starts[page]..end(page));
        selection.intersection(&RowSelection::from_consecutive_ranges(ranges, rows))
    })
}

/// Reads by the library, which panics on some damaged files.
fn contained<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    contain(read)
        .unwrap_or_else(|reason| Err(TableError::Damaged { path: path.to_owned(), reason }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::HeadsBuilder;
    use super::super::{Duplicates, Given, SampleRow, Source, merge, samples_batch};
    use super::*;
    use crate::job::CancelToken;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    #[test]
    fn one_head_is_found_by_the_statistics_of_pages() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::of(&folder.path().join("a.parquet"));
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let (mut heads, mut samples) = (HeadsBuilder::default(), Vec::new());
        // Enough rows for several pages.
        let mut index = 0;
        while heads.rows() < 12 * PAGE_ROWS {
            let sample = format!("s{index}");
            heads.append((&sample, index), &trace, &|_| None).unwrap();
            samples.push(SampleRow::new(&trace, &Given { sample, index, ..Given::default() }));
            index += 1;
        }
        let rows = heads.rows();
        let mut writer = TableWriter::begin(&source.heads, TableKind::Heads).unwrap();
        writer.write(&heads.take().unwrap()).unwrap();
        writer.finish().unwrap();
        let mut writer = TableWriter::begin(&source.samples, TableKind::Samples).unwrap();
        writer.write(&samples_batch(&samples).unwrap()).unwrap();
        writer.finish().unwrap();
        let merged = Source::of(&folder.path().join("b.parquet"));
        merge(
            std::slice::from_ref(&source),
            &merged,
            Duplicates::Refuse,
            &|row| row,
            &CancelToken::new(),
        )
        .unwrap();
        let of_head = |table: &Source| {
            let reader = TableReader::open(&table.heads).unwrap();
            let wanted = [("layer", 2), ("head", 1)];
            let batches = reader.rows_where(&wanted, &["index", "token", "focus"]).unwrap();
            batches.iter().map(RecordBatch::num_rows).sum::<usize>()
        };
        let shape = trace.shape();
        assert_eq!(of_head(&source), rows / (shape.layers * shape.heads));
        assert_eq!(
            of_head(&merged),
            of_head(&source),
            "sorted and unsorted tables have the same rows"
        );
        // In the sorted table most pages are ruled out.
        let reader = TableReader::open(&merged.heads).unwrap();
        let metadata = reader.builder.metadata();
        let places = [(4, 2), (5, 1)];
        let read = selection(metadata, 0, &places).row_count();
        assert!(3 * read < rows, "{read} of {rows} rows are in pages that may hold the head");
        let reader = TableReader::open(&merged.heads).unwrap();
        assert!(reader.rows_where(&[("nothing", 1)], &[]).is_err());
    }
}
