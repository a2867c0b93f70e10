//! Tables over many answers in the window: what is open, what of it is shown, and the work behind it.

pub mod as_csv;
mod document;
pub mod figure;
pub mod folder;
mod names;
pub mod statistics;
pub mod tiles;
mod view;

pub use document::{Counts, DataSetDoc, DataSetId};
pub use names::{compared_name, condition_name, group_names};
pub use view::{Axis, Brush, Compared, DataSetView};

use crate::ui::document::DocumentId;
use crate::ui::model_feed::Wake;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A sample of an open table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SampleId {
    /// The table.
    pub table: DataSetId,
    /// Its row in the samples table.
    pub row: usize,
}

/// The open tables.
pub struct DataSets {
    wake: Wake,
    open: Vec<DataSetDoc>,
    last: u64,
    /// The table that was looked at last.
    current: Option<DataSetId>,
    /// Whether the window shows it, in place of an answer.
    pub is_shown: bool,
    /// Whether the answer on the stage was opened from a table, to which Escape returns.
    pub came_from: bool,
    /// Whether the field of conditions is to get the focus.
    pub focus_filter: bool,
    /// The sample whose trace is being opened.
    pub awaited: Option<SampleId>,
    /// The samples of answers that were opened from a table, or asked again.
    samples: HashMap<DocumentId, SampleId>,
    /// Answers of a session whose tables are being opened.
    restored: Vec<RestoredSample>,
}

/// An answer of a session whose table is being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredSample {
    /// [`DataSetDoc::path`] of the table.
    pub table: PathBuf,
    /// Name of the sample.
    pub name: String,
    /// The answer.
    pub answer: DocumentId,
    /// Whether it is the answer on the stage.
    pub is_current: bool,
}

impl DataSets {
    /// None; `wake` asks for a frame from another thread.
    pub fn new(wake: Wake) -> Self {
        Self {
            wake,
            open: Vec::new(),
            last: 0,
            current: None,
            is_shown: false,
            came_from: false,
            focus_filter: false,
            awaited: None,
            samples: HashMap::new(),
            restored: Vec::new(),
        }
    }

    /// A function that requests a frame from another thread.
    pub fn wake(&self) -> Wake {
        Arc::clone(&self.wake)
    }

    /// The identity of the next table.
    pub fn next_id(&mut self) -> DataSetId {
        self.last += 1;
        DataSetId(self.last)
    }

    /// The open tables, the oldest first.
    pub fn all(&self) -> &[DataSetDoc] {
        &self.open
    }

    /// The same, mutable.
    pub fn all_mut(&mut self) -> &mut [DataSetDoc] {
        &mut self.open
    }

    /// Whether no table is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Adds a table and shows it; one of the same file is replaced.
    pub fn add(&mut self, doc: DataSetDoc) {
        self.open.retain(|own| own.path() != doc.path());
        self.current = Some(doc.id);
        self.is_shown = true;
        self.open.push(doc);
        self.link_restored();
    }

    /// Remembers that an answer is that of a sample, as soon as its table is open.
    pub fn link_when_open(&mut self, sample: RestoredSample) {
        self.came_from |= sample.is_current;
        self.restored.push(sample);
        self.link_restored();
    }

    /// Links answers of a session with the samples of the tables that are open by now. A sample that its table has no more
    /// is left out.
    fn link_restored(&mut self) {
        for waiting in std::mem::take(&mut self.restored) {
            let Some(doc) = self.open.iter_mut().find(|doc| doc.path() == waiting.table) else {
                self.restored.push(waiting);
                continue;
            };
            let samples = doc.samples();
            let found = (0..samples.len()).find(|&row| samples.name(row) == waiting.name);
            let Some(row) = found else { continue };
            if waiting.is_current
                && let Some(place) = doc.order().iter().position(|&own| own == row)
            {
                doc.set_cursor(place);
            }
            self.samples.insert(waiting.answer, SampleId { table: doc.id, row });
        }
    }

    /// Closes all tables and returns them.
    pub fn take(&mut self) -> Vec<DataSetDoc> {
        (self.is_shown, self.came_from, self.current) = (false, false, None);
        self.restored.clear();
        std::mem::take(&mut self.open)
    }

    /// Shows a table.
    pub fn show(&mut self, id: DataSetId) {
        if self.open.iter().any(|doc| doc.id == id) {
            self.current = Some(id);
            self.is_shown = true;
        }
    }

    /// Closes a table.
    pub fn close(&mut self, id: DataSetId) {
        self.open.retain(|doc| doc.id != id);
        if self.current == Some(id) {
            self.current = self.open.last().map(|doc| doc.id);
        }
        if self.open.is_empty() {
            (self.is_shown, self.came_from) = (false, false);
        }
    }

    /// Remembers that an answer is that of a sample.
    pub fn link(&mut self, answer: DocumentId, sample: SampleId) {
        self.samples.insert(answer, sample);
    }

    /// The answers of a sample that were opened, or asked again. Some may be closed.
    pub fn answers_of(&self, sample: SampleId) -> impl Iterator<Item = DocumentId> {
        let own = self.samples.iter().filter(move |(_, own)| **own == sample);
        own.map(|(answer, _)| *answer)
    }

    /// The answers of a table, with the names of their samples.
    pub fn answers_in(&self, table: &DataSetDoc) -> Vec<(DocumentId, String)> {
        let own = self.samples.iter().filter(|(_, sample)| sample.table == table.id);
        let name = |(answer, sample): (&DocumentId, &SampleId)| {
            (*answer, table.samples().name(sample.row).to_owned())
        };
        let mut answers: Vec<_> = own.map(name).collect();
        answers.sort_unstable();
        answers
    }

    /// The table and the row of an answer's sample.
    pub fn sample_of(&self, answer: DocumentId) -> Option<(&DataSetDoc, usize)> {
        let SampleId { table, row } = *self.samples.get(&answer)?;
        Some((self.open.iter().find(|doc| doc.id == table)?, row))
    }

    /// The table that was looked at last.
    pub fn current(&self) -> Option<&DataSetDoc> {
        let id = self.current?;
        self.open.iter().find(|doc| doc.id == id)
    }

    /// The table that was looked at last, mutable.
    pub fn current_mut(&mut self) -> Option<&mut DataSetDoc> {
        let id = self.current?;
        self.open.iter_mut().find(|doc| doc.id == id)
    }

    /// The table that the window shows.
    pub fn shown(&self) -> Option<&DataSetDoc> {
        self.current().filter(|_| self.is_shown)
    }

    /// Drops textures of a device that was lost.
    pub fn forget_textures(&mut self) {
        self.open.iter_mut().for_each(|doc| doc.tiles.clear());
    }
}
