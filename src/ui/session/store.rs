//! Writes a session into its folder.

use super::load::MissingAnswer;
use super::record::{
    AnswerRecord, ComparisonRecord, EditRecord, HeadEffectsRecord, InterventionRecord,
    PictureRecord, Record, SESSION_VERSION, ScoresRecord, TableRecord, WalkthroughRecord,
    WalkthroughTrace,
};
use super::steps::ViewSteps;
use super::versions::Versions;
use super::{Found, RECORD_FILE, SESSION, VERSIONS_FILE, WALKTHROUGH_FILE, is_own_name, remove};
use crate::files::{self, FileLock};
use crate::job;
use crate::model::{Picture, Turn};
use crate::trace::{Trace, TraceId};
use crate::ui::document::{Document, DocumentId};
use crate::ui::error_text::error_text;
use crate::ui::walkthrough::trace_set::TraceSet;
use crate::view::History;
use crate::view::timeline::Walkthrough;
use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// An answer to be kept.
#[derive(Clone, Debug)]
pub struct AnswerToKeep {
    /// The answer with its view.
    pub doc: Document,
    /// The conversation before it.
    pub turns: Vec<Turn>,
    /// The picture as it was given.
    pub picture: Option<Picture>,
}

/// The walkthrough to be kept.
#[derive(Clone, Debug)]
pub struct WalkthroughToKeep {
    /// Its steps.
    pub walkthrough: Walkthrough,
    /// Its undo steps.
    pub versions: Versions,
    /// Its traces.
    pub trace_set: TraceSet,
    /// Its file and its state; without traces.
    pub record: WalkthroughRecord,
}

/// The content of a window at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The answers, the oldest first.
    pub answers: Vec<AnswerToKeep>,
    /// Answers of an earlier session whose trace files are missing.
    pub missing: Vec<MissingAnswer>,
    /// The open tables over many answers, the one that was looked at last at the end.
    pub tables: Vec<TableRecord>,
    /// Whether the window shows the last table.
    pub shows_table: bool,
    /// The answer that is looked at.
    pub current: Option<DocumentId>,
    /// Text in the question box.
    pub question: String,
    /// Whether the next question goes on with the conversation.
    pub follow_up: bool,
    /// The picture that the next question is about.
    pub picture: Option<Picture>,
    /// The walkthrough.
    pub walkthrough: Option<WalkthroughToKeep>,
    /// The edits of a picture.
    pub edit: Option<EditRecord>,
    /// The compared answers, and the second question scored with the first answer.
    pub comparison: Option<(DocumentId, DocumentId, Arc<Trace>)>,
    /// The effects of heads.
    pub heads: Option<HeadEffectsRecord>,
    /// The last change of the model.
    pub intervention: Option<InterventionRecord>,
    /// The curves of the test of maps.
    pub scores: Option<ScoresRecord>,
    /// Most bytes of traces in the folder.
    pub limit_bytes: u64,
}

impl Snapshot {
    /// Whether there is nothing that a later start could show.
    pub fn is_empty(&self) -> bool {
        let has_question = !self.question.trim().is_empty();
        self.answers.is_empty()
            && self.missing.is_empty()
            && self.walkthrough.is_none()
            && self.tables.is_empty()
            && !has_question
    }
}

/// Result of a save.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Answers that are kept.
    pub answers: usize,
    /// Answers that did not fit into the limit.
    pub left_out: usize,
    /// Errors of those that could not be written.
    pub failed: Vec<String>,
}

/// The folder of a session that is locked by this window.
#[derive(Debug)]
struct Own {
    folder: PathBuf,
    /// Released when the window ends.
    _lock: FileLock,
}

/// The writer of one window's session.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    own: Option<Own>,
    /// The files of traces in the folder.
    traces: BTreeMap<TraceId, PathBuf>,
    /// The files of undo steps in the folder, by the revision of the history.
    steps: BTreeMap<u64, PathBuf>,
    /// The same of answers whose trace files are missing, by the number of the answer.
    missing_steps: BTreeMap<u64, PathBuf>,
    /// The largest number in the name of a file.
    last: u32,
    /// Sessions that are part of this one from the next save on.
    absorbed: Vec<Found>,
}

impl Store {
    /// A session in `root` whose folder is made when there is something to keep.
    pub const fn new(root: PathBuf) -> Self {
        Self {
            root,
            own: None,
            traces: BTreeMap::new(),
            steps: BTreeMap::new(),
            missing_steps: BTreeMap::new(),
            last: 0,
            absorbed: Vec::new(),
        }
    }

    /// The folder of all sessions.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of this session; `None` before the first save.
    pub fn folder(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.folder.as_path())
    }

    /// Continues a restored session in its folder; if this one has a folder already, the restored one is removed after
    /// the next save. `traces` are the files of the traces that were read.
    pub fn take_over(&mut self, found: Found, traces: BTreeMap<TraceId, PathBuf>) {
        if self.own.is_some() || !self.absorbed.is_empty() {
            self.absorbed.push(found);
            return;
        }
        let number = |path: &PathBuf| -> Option<u32> {
            let (_, number) = path.file_stem()?.to_str()?.split_once('-')?;
            number.parse().ok()
        };
        let steps = found.record.answers.iter().filter_map(|answer| answer.steps.as_ref());
        self.last = traces.values().chain(steps).filter_map(number).max().unwrap_or(0);
        self.traces = traces;
        let (folder, lock) = found.into_folder();
        self.own = Some(Own { folder, _lock: lock });
    }

    /// Writes a session in place of the one before; an empty one removes the folder. Answers beyond the limit are left
    /// out: those that were asked first, but never the one that is looked at.
    ///
    /// # Errors
    /// If the folder or the record cannot be written. Errors of single answers are part of the result.
    pub fn save(&mut self, snapshot: &Snapshot) -> anyhow::Result<Saved> {
        if snapshot.is_empty() {
            self.clear();
            return Ok(Saved::default());
        }
        let folder = self.claim()?;
        let mut saved = Saved::default();
        let mut room = Room { left_bytes: snapshot.limit_bytes, counted: BTreeSet::new() };
        let mut fitting = BTreeSet::new();
        let is_current = |answer: &&AnswerToKeep| Some(answer.doc.id) == snapshot.current;
        let current = snapshot.answers.iter().filter(is_current);
        for answer in current.chain(snapshot.answers.iter().rev().filter(|own| !is_current(own))) {
            let is_kept = is_in_file(&answer.doc) || room.takes(&answer.doc.trace);
            if is_kept {
                fitting.insert(answer.doc.id.number());
            }
        }
        let mut record = Record {
            version: SESSION_VERSION,
            question: snapshot.question.clone(),
            follow_up: snapshot.follow_up,
            edit: snapshot.edit.clone(),
            heads: snapshot.heads.clone(),
            intervention: snapshot.intervention.clone(),
            scores: snapshot.scores.clone(),
            tables: snapshot.tables.clone(),
            shows_table: snapshot.shows_table,
            ..Record::default()
        };
        for missing in &snapshot.missing {
            match self.keep_missing(&folder, missing) {
                Ok(kept) => record.answers.push(kept),
                Err(error) => saved.failed.push(error_text(&error)),
            }
        }
        let missing = record.answers.len();
        for answer in &snapshot.answers {
            if !fitting.contains(&answer.doc.id.number()) {
                saved.left_out += 1;
                continue;
            }
            match self.keep_answer(&folder, answer) {
                Ok(mut kept) => {
                    match self.keep_steps(&folder, &answer.doc.history) {
                        Ok(steps) => kept.steps = steps,
                        Err(error) => saved.failed.push(error_text(&error)),
                    }
                    record.answers.push(kept);
                }
                Err(error) => saved.failed.push(error_text(&error)),
            }
        }
        saved.answers = record.answers.len() - missing;
        let is_kept = |id: u64| record.answers.iter().any(|answer| answer.id == id);
        record.current = snapshot.current.map(DocumentId::number).filter(|&id| is_kept(id));
        if let Some((first, second, scored)) = &snapshot.comparison
            && is_kept(first.number())
            && is_kept(second.number())
            && (self.traces.contains_key(&scored.id()) || room.takes(scored))
        {
            match self.keep_trace(&folder, scored) {
                Ok(scored) => {
                    let (first, second) = (first.number(), second.number());
                    record.comparison = Some(ComparisonRecord { first, second, scored });
                }
                Err(error) => saved.failed.push(error_text(&error)),
            }
        }
        if let Some(picture) = &snapshot.picture {
            match keep_picture(&folder, picture) {
                Ok(kept) => record.picture = Some(kept),
                Err(error) => saved.failed.push(error_text(&error)),
            }
        }
        if let Some(walkthrough) = &snapshot.walkthrough {
            match self.keep_walkthrough(&folder, walkthrough, &mut room) {
                Ok(kept) => record.walkthrough = Some(kept),
                Err(error) => saved.failed.push(error_text(&error)),
            }
        }
        let text = toml::to_string(&record).context("the session cannot be written as text")?;
        let path = folder.join(RECORD_FILE);
        files::replace_bytes(&path, text.as_bytes())
            .with_context(|| format!("the session cannot be saved to {}", path.display()))?;
        self.tidy(&folder, &record);
        for found in self.absorbed.drain(..) {
            found.discard();
        }
        Ok(saved)
    }

    /// Removes the session.
    pub fn clear(&mut self) {
        self.traces.clear();
        self.steps.clear();
        self.missing_steps.clear();
        for found in self.absorbed.drain(..) {
            found.discard();
        }
        if let Some(own) = self.own.take() {
            // A folder that cannot be removed is offered by the next start.
            if let Err(error) = remove(&own.folder) {
                log::warn!("cannot remove {}: {error}", own.folder.display());
            }
        }
    }

    /// The folder of this session, made and locked by the first call.
    fn claim(&mut self) -> anyhow::Result<PathBuf> {
        if let Some(own) = self.own.as_ref().filter(|own| own.folder.is_dir()) {
            return Ok(own.folder.clone());
        }
        // Someone has removed the folder: every file must be written again.
        self.traces.clear();
        self.steps.clear();
        self.missing_steps.clear();
        let failed = || format!("the session cannot be saved to {}", self.root.display());
        std::fs::create_dir_all(&self.root).with_context(failed)?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let stem = format!("{SESSION}{seconds}-{}", std::process::id());
        let mut numbers = 0_u32..1_000;
        let folder = loop {
            let number = numbers.next().context("too many sessions")?;
            let folder = self.root.join(format!("{stem}-{number}"));
            if !folder.exists() {
                break folder;
            }
        };
        let lock = FileLock::acquire(&folder)?;
        std::fs::create_dir(&folder).with_context(failed)?;
        self.own = Some(Own { folder: folder.clone(), _lock: lock });
        Ok(folder)
    }

    fn keep_answer(
        &mut self,
        folder: &Path,
        answer: &AnswerToKeep,
    ) -> anyhow::Result<AnswerRecord> {
        let doc = &answer.doc;
        let trace = match doc.path.as_ref().filter(|_| is_in_file(doc)) {
            Some(path) => std::path::absolute(path)?,
            None => self.keep_trace(folder, &doc.trace)?,
        };
        // Every picture that the trace itself holds is read from there.
        let own = doc.trace.picture_original(0);
        let is_other = |picture: &&Picture| own != Some(&*picture.bytes);
        let picture = answer.picture.as_ref().filter(is_other);
        let picture = picture.map(|picture| keep_picture(folder, picture)).transpose()?;
        let mut view = doc.state().clone();
        view.hovered = None;
        let turn = |turn: &Turn| (turn.question.clone(), turn.answer.clone());
        Ok(AnswerRecord {
            id: doc.id.number(),
            trace,
            file: doc.path.as_ref().map(std::path::absolute).transpose()?,
            stamp: doc.stamp.filter(|_| is_in_file(doc)).map(|stamp| stamp.to_text()),
            is_edited: doc.is_edited,
            turns: answer.turns.iter().map(turn).collect(),
            picture,
            steps: None,
            view,
        })
    }

    /// The file of a trace in the folder, written if there is none yet.
    fn keep_trace(&mut self, folder: &Path, trace: &Trace) -> anyhow::Result<PathBuf> {
        if let Some(name) = self.traces.get(&trace.id()) {
            return Ok(name.clone());
        }
        let name = PathBuf::from(format!("trace-{}.vlmtrace", self.last + 1));
        // A damaged answer must not keep the others from being saved.
        job::guard(|| trace.write(&folder.join(&name)))??;
        self.last += 1;
        self.traces.insert(trace.id(), name.clone());
        Ok(name)
    }

    /// The file of the undo steps of a view, written if there is none yet; `None` without steps.
    fn keep_steps(&mut self, folder: &Path, history: &History) -> anyhow::Result<Option<PathBuf>> {
        if let Some(name) = self.steps.get(&history.revision()) {
            return Ok(Some(name.clone()));
        }
        let name = self.write_steps(folder, &ViewSteps::of(history))?;
        self.steps.extend(name.clone().map(|name| (history.revision(), name)));
        Ok(name)
    }

    /// Keeps an answer without its trace, as it was read.
    fn keep_missing(
        &mut self,
        folder: &Path,
        missing: &MissingAnswer,
    ) -> anyhow::Result<AnswerRecord> {
        let picture = missing.picture.as_ref();
        let picture = picture.map(|picture| keep_picture(folder, picture)).transpose()?;
        let id = missing.record.id;
        if !self.missing_steps.contains_key(&id) {
            let name = self.write_steps(folder, &missing.steps)?;
            self.missing_steps.extend(name.map(|name| (id, name)));
        }
        let steps = self.missing_steps.get(&id).cloned();
        Ok(AnswerRecord { picture, steps, ..missing.record.clone() })
    }

    /// Writes undo steps into a new file; `None` without steps.
    fn write_steps(&mut self, folder: &Path, steps: &ViewSteps) -> anyhow::Result<Option<PathBuf>> {
        if steps.is_empty() {
            return Ok(None);
        }
        let text = steps.to_text().context("the undo steps of a view cannot be written as text")?;
        let name = PathBuf::from(format!("views-{}.toml", self.last + 1));
        let path = folder.join(&name);
        files::replace_bytes(&path, text.as_bytes()).with_context(|| {
            format!("the undo steps of a view cannot be saved to {}", path.display())
        })?;
        self.last += 1;
        Ok(Some(name))
    }

    fn keep_walkthrough(
        &mut self,
        folder: &Path,
        kept: &WalkthroughToKeep,
        room: &mut Room,
    ) -> anyhow::Result<WalkthroughRecord> {
        let mut walkthrough = kept.walkthrough.clone();
        let mut traces = BTreeMap::new();
        let mut keep_traces = |of: &mut Walkthrough| -> anyhow::Result<()> {
            for name in of.trace_paths_mut() {
                let (trace, file, document) = kept.trace_set.entry(name);
                let trace = trace.with_context(|| format!("{} is not open", name.display()))?;
                let is_of_user = file.is_some();
                let file = match file {
                    Some(file) => std::path::absolute(file)?,
                    None => {
                        let fits = self.traces.contains_key(&trace.id()) || room.takes(trace);
                        anyhow::ensure!(
                            fits,
                            "the walkthrough's traces are larger than the session may be"
                        );
                        self.keep_trace(folder, trace)?
                    }
                };
                *name = folder.join(&file);
                let document = document.map(DocumentId::number);
                traces.insert(name.clone(), WalkthroughTrace { trace: file, is_of_user, document });
            }
            Ok(())
        };
        keep_traces(&mut walkthrough)?;
        let mut versions = kept.versions.clone();
        versions.rename(|version| keep_traces(version).is_ok());
        walkthrough.save(&folder.join(WALKTHROUGH_FILE))?;
        let has_versions = !versions.is_empty();
        if has_versions {
            versions.save(&folder.join(VERSIONS_FILE))?;
        }
        let traces = traces.into_values().collect();
        Ok(WalkthroughRecord { traces, has_versions, ..kept.record.clone() })
    }

    /// Removes files of the session that the record does not name. A file that another program has open stays until
    /// the next save.
    fn tidy(&mut self, folder: &Path, record: &Record) {
        let mut named: BTreeSet<PathBuf> = BTreeSet::new();
        named.insert(RECORD_FILE.into());
        named.extend(record.walkthrough.as_ref().map(|_| PathBuf::from(WALKTHROUGH_FILE)));
        let has_versions = record.walkthrough.as_ref().is_some_and(|own| own.has_versions);
        named.extend(has_versions.then(|| PathBuf::from(VERSIONS_FILE)));
        let walkthrough = record.walkthrough.iter().flat_map(|walkthrough| &walkthrough.traces);
        named.extend(walkthrough.map(|trace| trace.trace.clone()));
        named.extend(record.comparison.iter().map(|both| both.scored.clone()));
        named.extend(record.picture.iter().map(|picture| picture.file.clone()));
        for answer in &record.answers {
            named.insert(answer.trace.clone());
            named.extend(answer.picture.iter().map(|picture| picture.file.clone()));
            named.extend(answer.steps.clone());
        }
        self.traces.retain(|_, name| named.contains(name));
        self.steps.retain(|_, name| named.contains(name));
        self.missing_steps.retain(|_, name| named.contains(name));
        let Ok(entries) = folder.read_dir() else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if is_own_name(&name) && !named.contains(Path::new(&name)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether the file of the user holds the answer as it is.
fn is_in_file(doc: &Document) -> bool {
    doc.in_file == Some(doc.trace.id()) && doc.path.as_ref().is_some_and(|path| path.is_file())
}

/// The bytes that are left for traces.
struct Room {
    left_bytes: u64,
    counted: BTreeSet<TraceId>,
}

impl Room {
    /// Whether a trace fits; it is counted once.
    fn takes(&mut self, trace: &Trace) -> bool {
        if self.counted.contains(&trace.id()) {
            return true;
        }
        let bytes = trace.data_bytes();
        let fits = bytes <= self.left_bytes;
        if fits {
            self.left_bytes -= bytes;
            self.counted.insert(trace.id());
        }
        fits
    }
}

/// Writes a picture, unless its file is there already: the name is the hash of the contents.
fn keep_picture(folder: &Path, picture: &Picture) -> anyhow::Result<PictureRecord> {
    let mut file = String::from("picture-");
    for byte in Sha256::digest(&picture.bytes).iter().take(16) {
        write!(file, "{byte:02x}")?;
    }
    let path = folder.join(&file);
    if !path.is_file() {
        files::replace_bytes(&path, &picture.bytes)
            .with_context(|| format!("{} cannot be kept", picture.name))?;
    }
    Ok(PictureRecord { name: picture.name.clone(), file: file.into() })
}
