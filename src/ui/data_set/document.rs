//! An open table: what is shown of it, and the samples that count.

use super::names::group_names;
use super::statistics::{Groups, News, Numbers, Request, Statistics};
use super::tiles::{MapsOf, Tiles};
use super::view::{Axis, Brush, Compared, DataSetView};
use crate::table::TableError;
use crate::table::statistics::{
    Condition, Cube, DataSet, HeadColumn, Mask, Ranking, SampleColumns, Values,
};
use crate::ui::model_feed::Wake;
use crate::view::{ColorMap, LayerHead};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// Identity of an open table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataSetId(pub(super) u64);

/// Numbers of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples.
    pub samples: usize,
    /// Those of them that have an expected answer.
    pub known: usize,
    /// Those of these whose answer is wrong.
    pub wrong: usize,
}

/// Samples that were selected in the plot. They stay selected when the plot shows other numbers.
struct Selection {
    rows: Mask,
    brush: Brush,
    /// The numbers of an axis of heads, while the rectangle was drawn.
    heads: (HeadColumn, Vec<LayerHead>),
}

/// An open table.
pub struct DataSetDoc {
    /// Its identity.
    pub id: DataSetId,
    data: Arc<DataSet>,
    /// The folder of the traces that the table was made of, and the table's own, which is temporary.
    made_of: Option<(PathBuf, TempDir)>,
    view: DataSetView,
    selection: Option<Selection>,
    /// Whether the matrix counts the selected samples only.
    brush_counts: bool,
    /// The samples that the filter chooses.
    filtered: Mask,
    /// Those of them that are selected in the plot.
    selected: Mask,
    /// Of the filter, and of the selection.
    counts: [Counts; 2],
    order: Arc<Vec<usize>>,
    /// Place in the order of the sample that the keys move.
    cursor: usize,
    numbers: Option<Arc<Numbers>>,
    /// The numbers of all samples that were read last; they stay where a comparison fails.
    cube: Option<(HeadColumn, Arc<Cube>)>,
    ranking: Option<Arc<Ranking>>,
    /// Share of the table that is read, while numbers are missing.
    progress: Option<f32>,
    failed: Option<String>,
    statistics: Statistics,
    request: u64,
    /// Changes with everything that the plot shows.
    revision: u64,
    /// Number of changes of the view.
    changes: u64,
    /// The small pictures of samples.
    pub tiles: Tiles,
}

impl DataSetDoc {
    /// A table under a view; `wake` asks for a frame when its numbers are there.
    ///
    /// # Errors
    /// If the view does not fit the table, or if no thread can be started.
    pub fn new(
        id: DataSetId,
        data: Arc<DataSet>,
        view: DataSetView,
        wake: &Wake,
    ) -> anyhow::Result<Self> {
        let samples = data.samples().len();
        let statistics = Statistics::start(Arc::clone(wake))?;
        let tiles = Tiles::start(Arc::clone(wake))?;
        let mut doc = Self {
            id,
            data,
            made_of: None,
            view: DataSetView::default(),
            selection: None,
            brush_counts: false,
            filtered: Mask::all(samples),
            selected: Mask::all(samples),
            counts: [Counts::default(); 2],
            order: Arc::new(Vec::new()),
            cursor: 0,
            numbers: None,
            cube: None,
            ranking: None,
            progress: None,
            failed: None,
            statistics,
            request: 0,
            revision: 0,
            changes: 0,
            tiles,
        };
        let mut view = view;
        for axis in [&mut view.sort, &mut view.axes[0]] {
            doc.replace_missing(axis);
        }
        doc.filtered = view.filter.mask(doc.samples())?;
        doc.view = view;
        doc.select();
        doc.ask();
        Ok(doc)
    }

    /// A column that a table has no numbers in gives way to one that it has.
    fn replace_missing(&self, axis: &mut Axis) {
        if let Axis::Column(name) = axis {
            let has = self.samples().numeric().any(|own| own == name);
            if !has
                && self
                    .samples()
                    .column(name)
                    .is_none_or(|values| !matches!(values, Values::Text(_)))
            {
                *axis = Axis::column("index");
            }
        }
    }

    /// Keeps the temporary folder of a table that was made of the traces in `folder`.
    pub fn keep_folder(&mut self, folder: PathBuf, temporary: TempDir) {
        self.made_of = Some((folder, temporary));
    }

    /// The heads table, or the folder of the traces that it was made of.
    pub fn path(&self) -> &Path {
        match &self.made_of {
            Some((folder, _)) => folder,
            None => &self.data.source().heads,
        }
    }

    /// The name of the file.
    pub fn name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The table.
    pub const fn data(&self) -> &Arc<DataSet> {
        &self.data
    }

    /// The samples.
    pub fn samples(&self) -> &SampleColumns {
        self.data.samples()
    }

    /// The choices of the user: quantity, heads, filter, order.
    pub const fn view(&self) -> &DataSetView {
        &self.view
    }

    /// The samples that the filter chooses.
    pub const fn filtered(&self) -> &Mask {
        &self.filtered
    }

    /// Those of them that are selected in the plot; all without a selection.
    pub const fn selected(&self) -> &Mask {
        &self.selected
    }

    /// The selected samples in their order.
    pub const fn order(&self) -> &Arc<Vec<usize>> {
        &self.order
    }

    /// Place in the order of the sample that the keys move.
    pub const fn cursor(&self) -> usize {
        self.cursor
    }

    /// The maps that the samples show.
    pub fn maps(&self, colormap: ColorMap) -> MapsOf {
        let heads = &self.view.heads;
        // The first numbers choose the head.
        let are_known = !heads.is_empty() || self.numbers.is_some() || self.failed.is_some();
        MapsOf::new(are_known.then(|| heads.clone()), colormap)
    }

    /// Whether samples are selected in the plot.
    pub const fn has_selection(&self) -> bool {
        self.selection.is_some()
    }

    /// The rectangle that selected samples, while the plot shows the numbers for which it was drawn.
    pub fn outline(&self) -> Option<&Brush> {
        let Selection { brush, heads, .. } = self.selection.as_ref()?;
        let has_heads = brush.axes.contains(&Axis::Heads);
        let is_same = brush.axes == self.view.axes
            && (!has_heads || *heads == (self.heads_column(), self.view.heads.clone()));
        is_same.then_some(brush)
    }

    /// The quantity of the numbers of heads that are drawn: the one before, while those of the chosen one are read.
    pub fn heads_column(&self) -> HeadColumn {
        self.cube.as_ref().map_or(self.view.column, |(column, _)| *column)
    }

    /// Whether the matrix counts the selected samples only.
    pub const fn brush_counts(&self) -> bool {
        self.brush_counts
    }

    /// The statistics, those before the last change until new ones are there.
    pub fn numbers(&self) -> Option<&Arc<Numbers>> {
        self.numbers.as_ref()
    }

    /// The ranking of heads, once it is computed.
    pub fn ranking(&self) -> Option<&Arc<Ranking>> {
        self.ranking.as_ref()
    }

    /// Share of the table that is read, while numbers are missing.
    pub const fn progress(&self) -> Option<f32> {
        self.progress
    }

    /// Why there are no numbers.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Changes with everything that the plot shows.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Number of changes of the view.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Numbers of the samples that the filter chooses, or of those that are selected in the plot as well.
    pub const fn counts(&self, selected: bool) -> Counts {
        if selected { self.counts[1] } else { self.counts[0] }
    }

    fn count(&self, of: &Mask) -> Counts {
        let correct: &[Option<bool>] = match self.samples().column("correct") {
            Some(Values::Bool(bools)) => bools,
            _ => &[],
        };
        let mut counts = Counts { samples: of.count(), ..Counts::default() };
        for (row, correct) in correct.iter().enumerate() {
            if let Some(correct) = correct.filter(|_| of.has(row)) {
                counts.known += 1;
                counts.wrong += usize::from(!correct);
            }
        }
        counts
    }

    /// Shows something else of the table.
    ///
    /// # Errors
    /// If a condition does not fit the table; the view is then as before.
    pub fn set_view(&mut self, view: DataSetView) -> Result<(), TableError> {
        if view == self.view {
            return Ok(());
        }
        let filtered = view.filter.mask(self.samples())?;
        if let Compared::Condition(condition) = &view.compared {
            condition.mask(self.samples())?;
        }
        let old = std::mem::replace(&mut self.view, view);
        self.changes += 1;
        let new = &self.view;
        let counts =
            old.filter != new.filter || old.column != new.column || old.compared != new.compared;
        if old.sort != new.sort || old.descending != new.descending {
            self.order = Arc::default();
        }
        self.filtered = filtered;
        self.select();
        if counts {
            self.ask();
        }
        Ok(())
    }

    /// Selects the samples inside a rectangle of the plot that the filter chooses, or all.
    pub fn set_brush(&mut self, brush: Option<Brush>) {
        self.selection = brush.map(|brush| {
            let mut rows = self.filtered.clone();
            for (axis, [low, high]) in brush.axes.iter().zip(brush.ranges) {
                let within = |value: &f64| (low..=high).contains(value);
                let within = self.values(axis).iter().map(within).collect();
                rows = rows.and(&Mask::new(within));
            }
            Selection { rows, brush, heads: (self.heads_column(), self.view.heads.clone()) }
        });
        self.select();
        if self.brush_counts {
            self.brush_counts = self.selection.is_some();
            self.ask();
        }
    }

    /// Counts the selected samples only, or all that the filter chooses.
    pub fn count_brush(&mut self, counts: bool) {
        self.brush_counts = counts && self.selection.is_some();
        self.ask();
    }

    /// Moves the cursor to a place in the order.
    pub fn set_cursor(&mut self, place: usize) {
        self.cursor = place.min(self.order.len().saturating_sub(1));
    }

    /// The numbers of an axis, one for each sample; NaN where there is none.
    pub fn values(&self, axis: &Axis) -> Vec<f64> {
        let samples = self.samples();
        match axis {
            Axis::Column(name) => samples.numbers(name),
            Axis::Heads => match &self.cube {
                Some((_, cube)) => {
                    let heads = self.view.heads.iter();
                    let cells: Vec<usize> = match self.view.heads.is_empty() {
                        true => (0..cube.cells()).collect(),
                        false => heads.filter_map(|&[l, h]| cube.cell(l, h)).collect(),
                    };
                    cube.mean_of(&cells)
                }
                None => vec![f64::NAN; samples.len()],
            },
        }
    }

    /// Chooses and orders the samples again.
    fn select(&mut self) {
        self.revision += 1;
        let before = self.order.get(self.cursor).copied();
        self.selected = match &self.selection {
            None => self.filtered.clone(),
            Some(selection) => self.filtered.and(&selection.rows),
        };
        self.counts = [self.count(&self.filtered), self.count(&self.selected)];
        let mut order = self.selected.rows();
        self.sort(&mut order);
        self.order = Arc::new(order);
        // The sample that was looked at stays, if it is still there.
        let place = before.and_then(|row| self.order.iter().position(|&own| own == row));
        self.cursor = place.unwrap_or(0);
    }

    /// Samples without a value come last.
    fn sort(&self, order: &mut [usize]) {
        let descending = self.view.descending;
        let texts = match &self.view.sort {
            Axis::Column(name) => match self.samples().column(name) {
                Some(Values::Text(texts)) => Some(texts),
                _ => None,
            },
            Axis::Heads => None,
        };
        if let Some(texts) = texts {
            order.sort_by(|&a, &b| match (&texts[a], &texts[b]) {
                (Some(a), Some(b)) if descending => b.cmp(a),
                (Some(a), Some(b)) => a.cmp(b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            });
            return;
        }
        let values = self.values(&self.view.sort);
        order.sort_by(|&a, &b| {
            let (a, b) = (values[a], values[b]);
            match (a.is_nan(), b.is_nan()) {
                (false, false) if descending => b.total_cmp(&a),
                (false, false) => a.total_cmp(&b),
                (a, b) => a.cmp(&b),
            }
        });
    }

    /// Asks for the statistics of the samples that count.
    fn ask(&mut self) {
        let mask = if self.brush_counts { self.selected.clone() } else { self.filtered.clone() };
        // Results of the request before are dropped, also where there is no new one.
        self.request += 1;
        let groups = match &self.view.compared {
            Compared::Nothing => Groups::One { spread: false },
            Compared::Spread => Groups::One { spread: true },
            Compared::Condition(condition) => match self.groups(condition, &mask) {
                Ok(masks) => Groups::Two(masks, group_names(condition)),
                Err(error) => return self.fail(error.to_string()),
            },
            Compared::Table(path) => Groups::Table(path.clone()),
        };
        self.progress = Some(0.0);
        self.failed = None;
        self.statistics.ask(Request {
            number: self.request,
            data: Arc::clone(&self.data),
            column: self.view.column,
            mask,
            groups,
        });
    }

    /// The samples for which a condition holds, and those that have a value for which it does not.
    fn groups(&self, condition: &Condition, of: &Mask) -> Result<[Mask; 2], TableError> {
        let holds = condition.mask(self.samples())?;
        let has_value: Vec<bool> = match self.samples().column(&condition.column) {
            Some(Values::Text(texts)) => texts.iter().map(Option::is_some).collect(),
            Some(Values::Bool(bools)) => bools.iter().map(Option::is_some).collect(),
            Some(Values::Number(numbers)) => {
                numbers.iter().map(|number| !number.is_nan()).collect()
            }
            None => Vec::new(),
        };
        let others = holds.inverse().and(&Mask::new(has_value));
        Ok([of.and(&holds), of.and(&others)])
    }

    /// Takes the news of the threads; `true` if something changed.
    pub fn read_news(&mut self, ctx: &egui::Context) -> bool {
        let news = self.statistics.news();
        let mut changed = self.tiles.read(ctx);
        for news in news {
            match news {
                News::Progress(of, share) if of == self.request => self.progress = Some(share),
                News::Numbers(of, numbers) if of == self.request => {
                    self.progress = None;
                    self.keep(*numbers);
                }
                News::Ranking(of, ranking) if of == self.request => {
                    self.ranking = Some(Arc::new(ranking));
                }
                News::Failed(of, text) if of == self.request || of == u64::MAX => {
                    self.fail(text);
                }
                _ => continue,
            }
            changed = true;
        }
        changed
    }

    /// Drops what was computed before: it does not belong to the view any more.
    fn fail(&mut self, text: String) {
        (self.numbers, self.ranking, self.progress) = (None, None, None);
        self.failed = Some(text);
        self.cube.take_if(|(column, _)| *column != self.view.column);
        self.select();
    }

    fn keep(&mut self, numbers: Numbers) {
        self.ranking = None;
        if self.view.heads.is_empty() {
            // The best head, so that samples have maps to show.
            let means = numbers.moments.cells.iter().map(|cell| cell.mean);
            let cells = means.enumerate().filter(|(_, mean)| mean.is_finite());
            let sign = if numbers.column.is_low_first() { -1.0 } else { 1.0 };
            let best = cells.max_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)));
            self.changes += 1;
            self.view.heads.extend(best.and_then(|(cell, _)| numbers.cube.head_of(cell)));
        }
        self.cube = Some((numbers.column, Arc::clone(&numbers.cube)));
        self.numbers = Some(Arc::new(numbers));
        self.select();
    }
}
