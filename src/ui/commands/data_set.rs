//! Tables over many answers: opening, and what is shown of them.

use super::dialogs;
use crate::table::samples_path;
use crate::table::statistics::{DataSet, HeadColumn};
use crate::ui::app::App;
use crate::ui::data_set::as_csv::samples_csv;
use crate::ui::data_set::figure::TableFigure;
use crate::ui::data_set::folder::{FolderTable, table_of, traces_of};
use crate::ui::data_set::{Compared, DataSetDoc, DataSetView, compared_name, condition_name};
use crate::ui::dialogs::{Dialog, Filters, Want};
use crate::ui::figures::FigureKind;
use crate::ui::intent::{DataSetCommand, Intent};
use crate::ui::session::TableRecord;
use crate::ui::shortcuts::UiCommand;
use crate::ui::task_result::{PathPurpose, TaskResult};
use crate::ui::view_changes::next_of;
use crate::ui::widgets::thousands;
use crate::view::{LayerHead, MarkedObject};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const TABLES: Filters = &[("Table", &["parquet"])];
/// The ending says which kind is saved.
const ANY_KIND: Filters =
    &[("PNG picture", &["png"]), ("SVG drawing", &["svg"]), ("Numbers as CSV", &["csv"])];
/// More traces of a folder are not opened one by one.
const MOST_OPENED: usize = 32;

/// Opens a table.
pub fn open(app: &mut App, path: &Path) {
    // Of two names of one file, the table is opened once.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    app.exports.run("open", move || Ok(TaskResult::OpenedTable(Arc::new(DataSet::open(&path)?))));
}

/// Shows a table that was opened.
pub fn show_table(app: &mut App, data: Arc<DataSet>, view: DataSetView) {
    app.settings.remember_file(&data.source().heads);
    if data.samples().is_empty() {
        let path = data.source().samples.display();
        return app.notify(format!("{path} has no samples: there is nothing to show."), true);
    }
    let id = app.data_sets.all().iter().find(|doc| doc.data().is_same(&data)).map(|doc| doc.id);
    if let Some(id) = id {
        // It is open with these contents: the filter, the heads and the selection stay.
        app.overlay = None;
        return app.data_sets.show(id);
    }
    let open = app.data_sets.all().iter().find(|doc| doc.data().source() == data.source());
    let kept = open.map(|doc| doc.view().clone()).filter(|_| view == DataSetView::default());
    match kept {
        // The file was written again.
        Some(kept) if kept.fits(data.samples()) => add(app, data, kept, None),
        _ => add(app, data, view, None),
    }
}

fn add(app: &mut App, data: Arc<DataSet>, view: DataSetView, of: Option<(PathBuf, TempDir)>) {
    let (id, wake) = (app.data_sets.next_id(), app.data_sets.wake());
    match DataSetDoc::new(id, data, view, &wake) {
        Ok(mut doc) => {
            if let Some((folder, temporary)) = of {
                doc.keep_folder(folder, temporary);
            }
            app.data_sets.add(doc);
            app.overlay = None;
        }
        Err(error) => app.notify(format!("{error:#}"), true),
    }
}

/// Opens the tables of a session.
pub fn open_again(app: &mut App, records: Vec<TableRecord>, shows: bool) {
    // A table of a folder is made again.
    let (folders, records): (Vec<TableRecord>, Vec<TableRecord>) =
        records.into_iter().partition(|record| record.path.is_dir());
    for TableRecord { path, view, .. } in folders {
        of_folder(app, &path, view);
    }
    app.exports.run("open", move || {
        let (mut tables, mut problems) = (Vec::new(), Vec::new());
        for TableRecord { path, view, .. } in records {
            match DataSet::open(&path) {
                Ok(data) => tables.push((Arc::new(data), view)),
                Err(error) => {
                    problems.push(format!("A table of the last session is left out: {error}"));
                }
            }
        }
        Ok(TaskResult::RestoredTables { tables, shows, problems })
    });
}

/// Shows the tables of a session.
pub fn show_again(app: &mut App, tables: Vec<(Arc<DataSet>, DataSetView)>, shows: bool) {
    for (data, view) in tables {
        show_table(app, data, view);
    }
    app.data_sets.is_shown &= shows;
}

/// Takes news of the threads behind the open tables.
pub fn read_news(app: &mut App, ctx: &egui::Context) {
    let is_shown = app.data_sets.is_shown;
    for doc in app.data_sets.all_mut() {
        if doc.read_news(ctx) && is_shown {
            ctx.request_repaint();
        }
    }
}

/// Carries out a command for tables.
pub fn apply(app: &mut App, command: DataSetCommand) {
    let sets = &mut app.data_sets;
    match command {
        DataSetCommand::Show(id) => sets.show(id),
        DataSetCommand::Hide => sets.is_shown = false,
        DataSetCommand::Close(id) => sets.close(id),
        DataSetCommand::FilterFocused => sets.focus_filter = false,
        DataSetCommand::OfFolder(folder) => of_folder(app, &folder, DataSetView::default()),
        DataSetCommand::CompareTable => {
            let title = "Compare with the same samples in another table";
            let dialog = Dialog { title, want: Want::Files, filters: TABLES };
            dialogs::ask(app, dialog, PathPurpose::CompareTable);
        }
        DataSetCommand::View(view) => set_view(app, *view),
        DataSetCommand::Tiles(rows) => {
            let colormap = app.look.colormap;
            if let Some(doc) = app.data_sets.current_mut() {
                let (data, of) = (Arc::clone(doc.data()), doc.maps(colormap));
                doc.tiles.ask(&data, rows, of);
            }
        }
        of_shown => {
            let Some(doc) = sets.current_mut() else { return };
            match of_shown {
                DataSetCommand::Brush(brush) => doc.set_brush(brush),
                DataSetCommand::CountBrush(counts) => doc.count_brush(counts),
                DataSetCommand::Cursor(place) => doc.set_cursor(place),
                _ => {}
            }
        }
    }
}

fn set_view(app: &mut App, view: DataSetView) {
    let Some(doc) = app.data_sets.current_mut() else { return };
    if let Err(error) = doc.set_view(view) {
        app.notify(error.to_string(), true);
    }
}

/// Changes the view of the table that is shown.
fn change(app: &mut App, change: impl FnOnce(&mut DataSetView)) {
    let Some(doc) = app.data_sets.current() else { return };
    let mut view = doc.view().clone();
    change(&mut view);
    set_view(app, view);
}

/// Compares the table that is shown with another one.
pub fn compare_with(app: &mut App, path: PathBuf) {
    change(app, |view| {
        (view.compared, view.range) = (Compared::Table(path), None);
    });
}

/// Shows the table that was looked at last, or the answer again.
pub fn toggle(app: &mut App) {
    if app.data_sets.is_empty() {
        let text =
            "No table is open. Open one (a .parquet file) with Ctrl+O, or drop it on the window.";
        return app.notify(text, false);
    }
    app.data_sets.is_shown ^= true;
}

/// Closes the table that is shown.
pub fn close_shown(app: &mut App) {
    if let Some(id) = app.data_sets.shown().map(|doc| doc.id) {
        app.data_sets.close(id);
    }
}

/// Whether Escape goes back to the table from which the answer was opened.
pub fn goes_back(app: &App) -> bool {
    let sets = &app.data_sets;
    let has_patches = app.doc().is_some_and(|doc| !doc.state().selected.is_empty());
    sets.came_from && !sets.is_shown && !sets.is_empty() && !has_patches
}

/// Whether the table takes a command that otherwise changes the view of an answer, which is not seen.
pub fn takes(app: &mut App, command: UiCommand) -> bool {
    let Some(doc) = app.data_sets.shown() else { return false };
    let (cursor, last) = (doc.cursor(), doc.order().len().saturating_sub(1));
    let row = app.sheet_columns.max(1);
    let place = match command {
        UiCommand::NextToken => cursor + 1,
        UiCommand::PreviousToken => cursor.saturating_sub(1),
        UiCommand::NextLayer if cursor + row <= last => cursor + row,
        UiCommand::PreviousLayer if cursor >= row => cursor - row,
        UiCommand::NextAnswer => cursor + 3 * row,
        UiCommand::PreviousAnswer => cursor.saturating_sub(3 * row),
        UiCommand::FirstToken => 0,
        UiCommand::LastToken => last,
        _ => return takes_other(app, command),
    };
    app.intents.send(Intent::DataSet(DataSetCommand::Cursor(place.min(last))));
    true
}

fn takes_other(app: &mut App, command: UiCommand) -> bool {
    match command {
        UiCommand::NextHead => step_head(app, 1),
        UiCommand::PreviousHead => step_head(app, -1),
        UiCommand::BestHead => best_head(app, false),
        UiCommand::NextBestHead => best_head(app, true),
        UiCommand::FocusQuestion => app.data_sets.focus_filter = true,
        UiCommand::NextQuantity => change(app, |view| {
            (view.column, view.range) = (next_of(&HeadColumn::ALL, view.column), None);
        }),
        UiCommand::NextColormap => return false,
        UiCommand::SavePng => save_matrix(app, FigureKind::Png.filters()),
        UiCommand::SaveSvg => save_matrix(app, FigureKind::Svg.filters()),
        UiCommand::SaveNumbers => save_matrix(app, FigureKind::Csv.filters()),
        UiCommand::CopyImage => copy(app, false),
        UiCommand::CopyNumbers => copy(app, true),
        UiCommand::SaveTrace | UiCommand::CopyCommandLine | UiCommand::Bookmark => {
            app.notify("This is for an answer: open a sample first.", false);
        }
        UiCommand::Stop => return escape(app),
        // Views show the answer again.
        UiCommand::ShowStage
        | UiCommand::ShowHeads
        | UiCommand::ShowWall
        | UiCommand::ShowMatrix
        | UiCommand::ShowTokenMatrix
        | UiCommand::ShowPictures
        | UiCommand::ShowRelevancy
        | UiCommand::ShowCauses => {
            // Without an answer there is nothing else to show.
            if app.doc().is_none() {
                return true;
            }
            app.data_sets.is_shown = false;
            return false;
        }
        UiCommand::ShowDataSet => return false,
        other => return other.changes_the_view(),
    }
    true
}

/// Escape first gives the selection in the plot up.
fn escape(app: &mut App) -> bool {
    let is_covered = app.palette_open || app.is_asked() || app.help_open;
    let Some(doc) = app.data_sets.current_mut().filter(|_| !is_covered) else { return false };
    if doc.has_selection() {
        doc.set_brush(None);
        return true;
    }
    if !app.notices.is_empty() || !app.tasks.running().is_empty() {
        return false;
    }
    if app.doc().is_some() {
        app.data_sets.is_shown = false;
    }
    true
}

/// Chooses the next head of the layer.
fn step_head(app: &mut App, by: i64) {
    let Some(doc) = app.data_sets.current() else { return };
    let (Some(numbers), Some([layer, head])) = (doc.numbers(), doc.view().heads.last().copied())
    else {
        return;
    };
    let heads = numbers.cube.heads() as i64;
    let next = (i64::from(head) + by).rem_euclid(heads.max(1)) as u32;
    change(app, |view| view.heads = vec![[layer, next]]);
}

/// Chooses the first head of the ranking, or the one after the chosen head.
fn best_head(app: &mut App, next: bool) {
    let Some(doc) = app.data_sets.current() else { return };
    let (Some(numbers), Some(ranking)) = (doc.numbers(), doc.ranking()) else { return };
    let heads: Vec<LayerHead> =
        ranking.heads.iter().filter_map(|head| numbers.cube.head_of(head.cell)).collect();
    let chosen = doc.view().heads.first();
    let at = heads.iter().position(|head| Some(head) == chosen).filter(|_| next);
    let place = at.map_or(0, |at| (at + 1) % heads.len().max(1));
    if let Some(&head) = heads.get(place) {
        change(app, |view| view.heads = vec![head]);
    }
}

/// Opens the sample that the keys chose.
pub fn open_chosen(app: &mut App) {
    let row = app.data_sets.shown().and_then(|doc| doc.order().get(doc.cursor()).copied());
    if let Some(row) = row {
        app.intents.send(Intent::DataSet(DataSetCommand::Open(row)));
    }
}

/// Saves the shown matrix: a figure, or its numbers.
pub fn save_matrix(app: &mut App, filters: Filters) {
    if let Some(figure) = figure(app, false) {
        save(app, "Save the matrix", "heads", figure, filters);
    }
}

/// Saves the ranking: a figure, or its numbers.
pub fn save_ranking(app: &mut App) {
    if let Some(figure) = figure(app, true) {
        save(app, "Save the ranking of heads", "ranking", figure, ANY_KIND);
    }
}

/// Saves the list of the shown samples.
pub fn save_samples(app: &mut App) {
    let Some(doc) = app.data_sets.current() else {
        return app.notify("No table is open.", false);
    };
    let stem = doc.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match samples_csv(doc) {
        Ok(bytes) => {
            let name = format!("{stem}_samples");
            let dialog =
                Dialog::to_save("Save the shown samples", &name, FigureKind::Csv.filters());
            dialogs::ask(app, dialog, PathPurpose::SaveBytes(bytes));
        }
        Err(error) => app.notify(format!("The samples cannot be saved: {error}."), true),
    }
}

/// The figure of the matrix or of the ranking, or a message why there is none.
fn figure(app: &mut App, ranked: bool) -> Option<TableFigure> {
    let Some(doc) = app.data_sets.current() else {
        app.notify("No table is open.", false);
        return None;
    };
    if let Some(error) = doc.failed() {
        let text = format!("There is nothing to save: {error}");
        app.notify(text, true);
        return None;
    }
    let (numbers, ranking) = (doc.numbers().cloned(), doc.ranking().cloned());
    // Numbers of the view before must not be saved under the names of this one.
    let is_ready = doc.progress().is_none() && (!ranked || ranking.is_some());
    let Some(numbers) = numbers.filter(|_| is_ready) else {
        app.notify("The numbers of the table are still being computed.", false);
        return None;
    };
    let samples = thousands(doc.counts(doc.brush_counts()).samples);
    let mut subtitle = vec![doc.name(), format!("{samples} samples")];
    subtitle.extend(doc.view().filter.conditions.iter().map(condition_name));
    subtitle.push(compared_name(&doc.view().compared));
    subtitle.extend(numbers.direction.clone());
    Some(TableFigure {
        gpu: app.stage.gpu(),
        numbers,
        ranking: ranking.filter(|_| ranked),
        subtitle: subtitle.join(" · "),
        theme: app.settings.theme.unwrap_or_default(),
    })
}

fn save(app: &mut App, title: &'static str, what: &str, figure: TableFigure, filters: Filters) {
    let Some(doc) = app.data_sets.current() else { return };
    let stem = doc.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let dialog = Dialog::to_save(title, &format!("{stem}_{what}"), filters);
    dialogs::ask(app, dialog, PathPurpose::SaveTableFigure(Box::new(figure)));
}

/// Copies the shown matrix.
fn copy(app: &mut App, as_text: bool) {
    let Some(figure) = figure(app, false) else { return };
    match as_text {
        true => app.intents.send(Intent::Copy(figure.csv(), "Numbers")),
        false => app.exports.copy_table_figure(figure),
    }
}

/// Opens the tables in a folder, or else its traces; of many traces, a table is made.
pub fn open_folder(app: &mut App, folder: &Path) {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_heads = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".parquet")
            && !name.ends_with(".samples.parquet")
            && samples_path(path).is_file()
    };
    let mut tables: Vec<PathBuf> = names.filter(is_heads).collect();
    tables.sort();
    if !tables.is_empty() {
        return tables.iter().for_each(|path| open(app, path));
    }
    // The folder that cannot be read is reported by the task.
    let traces = traces_of(folder).map_or(0, |traces| traces.len());
    match traces > MOST_OPENED {
        true => of_folder(app, folder, DataSetView::default()),
        false => app.exports.open_folder(folder),
    }
}

/// Makes a table of the traces in the folder of the answer that is shown.
pub fn of_shown_folder(app: &mut App) {
    let folder = app.doc().and_then(|doc| Some(doc.path.as_deref()?.parent()?.to_owned()));
    match folder {
        Some(folder) => of_folder(app, &folder, DataSetView::default()),
        None => app.notify("This answer has no file: save its trace (Ctrl+S) first.", false),
    }
}

/// Makes a table of the traces in a folder, with the attention inside the objects that are marked in those that are open.
fn of_folder(app: &mut App, folder: &Path, view: DataSetView) {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let marked = app.docs.iter().filter_map(|doc| {
        let path = std::path::absolute(doc.path.as_deref()?).ok()?;
        let state = doc.state();
        Some((path, state.chosen_object().or_else(|| state.objects.first())?.clone()))
    });
    let objects: HashMap<PathBuf, MarkedObject> = marked.collect();
    let started = app.tasks.start("Table of the traces", move |reporter, cancel| {
        let progress = |done: usize, all: usize| reporter.progress(done, all);
        let made = table_of(&folder, &objects, &progress, cancel)?;
        Ok(TaskResult::TableOfFolder(Box::new(made), Box::new(view)))
    });
    if let Err(error) = started {
        app.notify(format!("no thread could be started: {error}"), true);
    }
}

/// Shows a table that was made of the traces in a folder; returns the errors of those that were left out.
pub fn show_folder(app: &mut App, made: FolderTable, view: DataSetView) -> Vec<String> {
    let FolderTable { folder, data, temporary, problems } = made;
    app.settings.remember_file(&folder);
    add(app, Arc::new(data), view, Some((folder, temporary)));
    problems
}
