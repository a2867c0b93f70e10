//! The session: what is saved of the window, and how a saved one is opened.

use super::{close, data_set};
use crate::analysis::diff::{difference, of_answers, words};
use crate::model::{Effect, Turn};
use crate::ui::app::App;
use crate::ui::data_set::{DataSetDoc, RestoredSample};
use crate::ui::document::{Document, DocumentId};
use crate::ui::intent::Intent;
use crate::ui::score::Scores;
use crate::ui::session::{
    AnswerToKeep, EditRecord, Found, HeadEffectsRecord, InterventionRecord, Keeper, MissingAnswer,
    Restored, RestoredAnswer, RestoredWalkthrough, SampleRecord, Saved, ScoresRecord, Snapshot,
    TableRecord, Told, WalkthroughToKeep, content, mark_opening,
};
use crate::ui::task_result::TaskResult;
use crate::ui::walkthrough::editor::{Editor, NewWalkthrough};
use crate::ui::walkthrough::trace_set::TraceSet;
use crate::ui::what_if::session::Session;
use crate::ui::what_if::{Comparison, HeadEffects, Intervened};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

/// Saves the session when it is time.
pub fn keep(app: &mut App, ctx: &egui::Context) {
    let Some(mut keeper) = app.keeper.take() else { return };
    for told in keeper.news(app.now()) {
        match told {
            Told::Error(text) => app.notify(text, true),
            Told::Note(text) => {
                app.offer(text.clone(), vec![("Copy", Intent::Copy(text, "Message"))])
            }
        }
    }
    let wait = keeper.tick(app.now(), fingerprint(app), || snapshot(app));
    if let Some(seconds) = wait {
        ctx.request_repaint_after(Duration::from_secs_f64(seconds));
    }
    app.keeper = Some(keeper);
}

/// Saves it at once.
///
/// # Errors
/// A sentence, if it cannot be saved.
pub fn keep_now(app: &mut App) -> Result<Saved, String> {
    let Some(mut keeper) = app.keeper.take() else { return Ok(Saved::default()) };
    let saved = keeper.save_now(&snapshot(app));
    app.keeper = Some(keeper);
    saved
}

/// Whether the window holds more than the answer to the question that the program asked by itself.
fn is_worth_keeping(app: &App) -> bool {
    let is_plain = |doc: &Document| {
        app.automatic == Some(doc.id)
            && doc.trace.map_names().is_empty()
            && doc.trace.page_names().is_empty()
            && !doc.trace.has_head_effects()
            && doc.trace.blank_logprobs().is_none()
            && doc.state().objects.is_empty()
            && app.settings.bookmarks.iter().all(|bookmark| !doc.is_of(bookmark))
    };
    let what_if = &app.what_if;
    app.editor.is_some()
        || !app.missing.is_empty()
        || what_if.session.as_ref().is_some_and(|session| !session.edits.is_empty())
        || what_if.intervened.is_some()
        || what_if.heads.is_some()
        || complete_scores(app).is_some()
        || !app.data_sets.is_empty()
        || has_typed(app)
        || !app.docs.iter().all(is_plain)
}

/// Whether the question box holds a text of the user that was not asked yet.
fn has_typed(app: &App) -> bool {
    let typed = app.chat.question.trim();
    !typed.is_empty()
        && app.chat.suggestions.iter().all(|suggestion| suggestion != typed)
        && app.docs.iter().all(|doc| doc.meta().question != typed)
}

/// The curves of a test that has ended.
fn complete_scores(app: &App) -> Option<&Scores> {
    app.scores.as_ref().filter(|scores| scores.is_complete())
}

/// A number that differs whenever something else is to be saved.
fn fingerprint(app: &App) -> u64 {
    let mut hash = DefaultHasher::new();
    is_worth_keeping(app).hash(&mut hash);
    app.missing.iter().for_each(|missing| missing.record.id.hash(&mut hash));
    for doc in app.docs.iter() {
        (doc.id, doc.trace.id(), doc.history.revision(), doc.in_file, &doc.path).hash(&mut hash);
        app.turns.get(&doc.id).map(Vec::len).hash(&mut hash);
    }
    for table in app.data_sets.all() {
        (table.id, table.path(), table.changes()).hash(&mut hash);
    }
    (app.data_sets.is_shown, app.data_sets.current().map(|table| table.id)).hash(&mut hash);
    (app.current, &app.chat.question, app.chat.follow_up).hash(&mut hash);
    app.chat.picture.as_ref().map(|picture| picture.bytes.as_ptr()).hash(&mut hash);
    if let Some(editor) = &app.editor {
        (editor.id(), editor.revision(), editor.is_unsaved(), &editor.path).hash(&mut hash);
        editor.is_previewing.hash(&mut hash);
    }
    let what_if = &app.what_if;
    if let Some(session) = &what_if.session {
        let steps = session.edits.revision();
        (session.original, session.edited, steps, session.stale).hash(&mut hash);
    }
    if let Some(both) = &what_if.comparison {
        (both.first, both.second, both.scored.id()).hash(&mut hash);
    }
    if let Some(heads) = &what_if.heads {
        (heads.on, heads.totals.iter().flatten().count()).hash(&mut hash);
    }
    complete_scores(app)
        .map(|scores| (scores.on, &scores.text, scores.curves.total))
        .hash(&mut hash);
    what_if.intervened.as_ref().map(|done| (done.on, &done.what)).hash(&mut hash);
    app.settings.session_limit_mb.hash(&mut hash);
    hash.finish()
}

fn snapshot(app: &App) -> Snapshot {
    if !is_worth_keeping(app) {
        return Snapshot::default();
    }
    let answer = |doc: &Document| AnswerToKeep {
        doc: doc.clone(),
        turns: app.turns.get(&doc.id).cloned().unwrap_or_default(),
        picture: app.pictures.get(&doc.id).cloned(),
    };
    let what_if = &app.what_if;
    let walkthrough = |editor: &Editor| WalkthroughToKeep {
        walkthrough: editor.walkthrough().clone(),
        versions: editor.versions(),
        trace_set: editor.trace_set.clone(),
        record: editor.record(),
    };
    let of_steps = |editor: &&Editor| !editor.walkthrough().steps.is_empty();
    let edit = what_if.session.as_ref().map(|session| EditRecord {
        original: session.original.number(),
        edited: session.edited.map(DocumentId::number),
        is_stale: session.stale,
        asked_crop: session.asked_crop,
        edits: session.edits.clone(),
        undone: session.edits.undone().to_vec(),
    });
    let comparison = what_if.comparison.as_ref();
    Snapshot {
        answers: app.docs.iter().map(answer).collect(),
        missing: app.missing.clone(),
        tables: tables(app),
        shows_table: app.data_sets.is_shown,
        current: app.current,
        question: app.chat.question.clone(),
        follow_up: app.chat.follow_up,
        picture: app.chat.picture.clone().filter(|_| app.current.is_none()),
        walkthrough: app.editor.as_ref().filter(of_steps).map(walkthrough),
        edit,
        comparison: comparison.map(|both| (both.first, both.second, Arc::clone(&both.scored))),
        heads: what_if.heads.as_ref().map(effects),
        intervention: what_if.intervened.as_ref().map(|done| InterventionRecord {
            on: done.on.number(),
            what: done.what.clone(),
            delta_logprob: done.effect.delta_logprob.clone(),
            changes_answer: done.effect.changes_answer,
            words: done.words.clone(),
            is_steered: done.is_steered,
        }),
        scores: complete_scores(app).map(|scores| ScoresRecord {
            on: scores.on.number(),
            text: scores.text.clone(),
            lines: scores.lines.clone(),
            curves: scores.curves.clone(),
        }),
        limit_bytes: app.settings.session_limit_mb.saturating_mul(1_000_000),
    }
}

/// The open tables, the one that was looked at last at the end.
fn tables(app: &App) -> Vec<TableRecord> {
    let last = app.data_sets.current().map(|table| table.id);
    let mut tables: Vec<&DataSetDoc> = app.data_sets.all().iter().collect();
    tables.sort_by_key(|table| Some(table.id) == last);
    let sample = |(answer, name): (DocumentId, String)| {
        let answer = app.docs.get(answer)?.id.number();
        Some(SampleRecord { answer, name })
    };
    let record = |table: &DataSetDoc| TableRecord {
        path: table.path().to_owned(),
        view: table.view().clone(),
        samples: app.data_sets.answers_in(table).into_iter().filter_map(sample).collect(),
    };
    tables.into_iter().map(record).collect()
}

fn effects(heads: &HeadEffects) -> HeadEffectsRecord {
    let pairs = heads.totals.iter().zip(&heads.changed).enumerate();
    let measured = pairs.filter_map(|(index, (total, changed))| Some((index, (*total)?, *changed)));
    HeadEffectsRecord {
        on: heads.on.number(),
        count: heads.totals.len(),
        effects: measured.collect(),
    }
}

/// Opens a session that was found.
pub fn open(app: &mut App, found: Found) {
    let restoring = app.keeper.as_ref().map(Keeper::restoring);
    mark_opening(found.folder());
    app.exports.run("open", move || Ok(TaskResult::Session(Box::new(found.load()), restoring)));
}

/// Opens the sessions that wait.
pub fn open_waiting(app: &mut App) {
    for found in std::mem::take(&mut app.waiting) {
        open(app, found);
    }
}

/// Deletes the sessions that wait.
pub fn discard_waiting(app: &mut App) {
    app.waiting.drain(..).for_each(Found::discard);
}

/// Shows a session that was read.
pub fn show(app: &mut App, restored: Restored) {
    let Restored {
        found,
        traces,
        answers,
        missing,
        picture,
        walkthrough,
        edited_picture,
        scored,
        mut problems,
    } = restored;
    let record = found.record.clone();
    let held_none = app.docs.is_empty();
    let count = answers.len();
    // A session may be opened beside answers with the same numbers only after a copy of its folder.
    let mut ids = BTreeMap::new();
    for answer in answers {
        let number = answer.record.id;
        ids.insert(number, add(app, answer));
    }
    let id = |number: u64| ids.get(&number).copied();
    let current = record.current.and_then(id).or_else(|| ids.values().next_back().copied());
    if let Some(current) = current {
        app.show_document(current);
    }
    if held_none {
        app.chat.question.clone_from(&record.question);
        app.chat.follow_up = record.follow_up;
        app.intents.send(Intent::LoadModel);
        if let Some(picture) = picture {
            app.exports.preview(picture.clone());
            app.chat.set_picture(Some(picture));
            app.current = None;
        }
    }
    if let Some((both, scored)) = scored {
        compare(app, id(both.first), id(both.second), scored);
    }
    if app.what_if.session.is_none()
        && let (Some(edit), Some((pixels, name))) = (&record.edit, edited_picture)
        && let Some(original) = id(edit.original)
    {
        let mut session = Session::new(original, edit.edits.size(), pixels, name);
        // The undone steps were checked when the session was read.
        let edits = edit.edits.clone();
        session.edits = edits.clone().with_undone(edit.undone.clone()).unwrap_or(edits);
        session.edited = edit.edited.and_then(id);
        session.stale = edit.is_stale;
        session.asked_crop = edit.asked_crop;
        app.what_if.session = Some(session);
    }
    if let Some(heads) = &record.heads
        && let Some(on) = id(heads.on)
    {
        // The count is that of a file; the trace says how many heads there can be.
        let most =
            app.docs.get(on).map_or(0, |doc| doc.trace.shape().layers * doc.trace.shape().heads);
        let count = heads.count.min(most);
        let mut all = HeadEffects { on, totals: vec![None; count], changed: vec![false; count] };
        for &(index, total, changed) in &heads.effects {
            if let (Some(own), Some(flag)) = (all.totals.get_mut(index), all.changed.get_mut(index))
            {
                (*own, *flag) = (Some(total), changed);
            }
        }
        app.what_if.heads = Some(all);
    }
    if let Some(done) = record.intervention
        && let Some(on) = id(done.on)
    {
        let InterventionRecord { what, delta_logprob, changes_answer, words, is_steered, .. } =
            done;
        let effect = Effect { delta_logprob, changes_answer };
        app.what_if.intervened = Some(Intervened { on, what, effect, words, is_steered });
    }
    if app.scores.is_none()
        && let Some(ScoresRecord { on, text, lines, curves }) = record.scores
        && let Some(doc) = id(on).and_then(|on| app.docs.get(on))
    {
        let scores = Scores { on: doc.id, text, lines, curves };
        match scores.check(doc.meta().patches()) {
            Ok(()) => app.scores = Some(scores),
            Err(reason) => problems.push(format!(
                "The Faithfulness curves of the last session are left out: {reason}."
            )),
        }
    }
    let has_walkthrough = walkthrough.is_some();
    if let Some(walkthrough) = walkthrough {
        edit_again(app, walkthrough, &ids);
    }
    if let Some(keeper) = &mut app.keeper {
        keeper.take_over(found, traces);
    }
    problems.into_iter().for_each(|problem| app.notify(problem, true));
    keep_missing(app, missing);
    let tables = record.tables.len();
    for table in &record.tables {
        let restored = |sample: &SampleRecord| {
            let (table, name, answer) =
                (table.path.clone(), sample.name.clone(), id(sample.answer)?);
            let is_current = current == Some(answer) && !record.shows_table;
            Some(RestoredSample { table, name, answer, is_current })
        };
        let samples = table.samples.iter().filter_map(restored);
        samples.for_each(|sample| app.data_sets.link_when_open(sample));
    }
    if !record.tables.is_empty() {
        data_set::open_again(app, record.tables, record.shows_table);
    }
    match content([count, tables], has_walkthrough, &record.question) {
        // Answers whose files are missing stay part of the session.
        nothing if nothing.is_empty() && held_none => close::everything(app),
        nothing if nothing.is_empty() => {}
        what => app.offer_briefly(
            format!("The last session is open again: {what}."),
            vec![("Start fresh", Intent::StartFresh)],
        ),
    }
}

/// Keeps answers whose trace files are missing, and says so.
fn keep_missing(app: &mut App, missing: Vec<MissingAnswer>) {
    let Some(first) = missing.first() else { return };
    let path = first.record.trace.display();
    let (text, forget) = match missing.len() - 1 {
        0 => (
            format!(
                "An answer of the last session cannot be shown: {path} is missing. The session keeps it, and the next start opens it once the file is back."
            ),
            "Forget it",
        ),
        others => (
            format!(
                "{} answers of the last session cannot be shown: {path} and the files of {others} more are missing. The session keeps them, and the next start opens them once the files are back.",
                others + 1
            ),
            "Forget them",
        ),
    };
    let numbers = missing.iter().map(|one| one.record.id).collect();
    app.missing.extend(missing);
    app.offer(text, vec![(forget, Intent::ForgetMissing(numbers))]);
}

/// Closes everything and asks the first question again; answers whose trace files are missing are forgotten.
pub fn close_everything(app: &mut App) {
    app.missing.clear();
    app.notices.retain(|notice| {
        !notice.offers.iter().any(|(_, intent)| matches!(intent, Intent::ForgetMissing(_)))
    });
    close::everything(app);
}

/// Adds an answer that was read.
fn add(app: &mut App, answer: RestoredAnswer) -> DocumentId {
    let RestoredAnswer { record, trace, is_in_file, picture, turns, steps } = answer;
    let mut doc = Document::new(trace, &record.view);
    let number = DocumentId::from_number(record.id);
    if app.docs.get(number).is_none() {
        doc.id = number;
    }
    if !is_in_file {
        // The trace was read from the session's own file, which is none of the user.
        (doc.path, doc.in_file, doc.stamp) = (record.file, None, None);
    }
    doc.is_edited = record.is_edited;
    doc.restore(record.view, steps.past, steps.future);
    let id = app.docs.add(doc);
    app.pictures.extend(picture.map(|picture| (id, picture)));
    if !turns.is_empty() {
        let turns: Vec<Turn> = turns;
        app.turns.insert(id, turns);
    }
    id
}

/// Compares two answers again, with the scored trace that was kept.
fn compare(
    app: &mut App,
    first: Option<DocumentId>,
    second: Option<DocumentId>,
    scored: Arc<crate::trace::Trace>,
) {
    let pair = first.zip(second);
    let docs = pair.and_then(|(first, second)| Some((app.docs.get(first)?, app.docs.get(second)?)));
    let Some((first, second)) = docs else { return };
    let differ = first.trace.answer_ids() != second.trace.answer_ids();
    let found = match first.asks_the_same(second) && differ {
        true => of_answers(&first.trace, &scored),
        false => difference(&first.trace, &scored, differ),
    };
    match found {
        Ok(difference) => {
            let words = words(&first.meta().answer, &second.meta().answer);
            let (first, second) = (first.id, second.id);
            app.what_if.comparison = Some(Comparison { first, second, scored, words, difference });
        }
        Err(error) => app.notify(error.to_string(), true),
    }
}

/// Opens a walkthrough that was read.
fn edit_again(app: &mut App, restored: RestoredWalkthrough, ids: &BTreeMap<u64, DocumentId>) {
    if app.editor.is_some() {
        return app.notify(
            "The walkthrough of the other session is left out: one is open already.",
            false,
        );
    }
    let RestoredWalkthrough { walkthrough, versions, traces, of_user, documents, record } =
        restored;
    let documents = documents.into_iter();
    let documents = documents.filter_map(|(name, number)| Some((*ids.get(&number)?, name)));
    let trace_set = TraceSet::restored(traces, &of_user, documents.collect());
    let new = NewWalkthrough {
        walkthrough,
        trace_set,
        is_of_file: record.is_saved,
        path: record.path,
        outside: record.outside.into_iter().collect(),
        unpacked: None,
    };
    let mut editor = Editor::new(new, app.stage.gpu(), app.stage.painter());
    editor.is_previewing = record.is_previewing;
    editor.restore_versions(versions);
    app.editor = Some(editor);
}
