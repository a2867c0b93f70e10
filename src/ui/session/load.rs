//! Finds sessions of windows that have ended, and reads them.

use super::record::{
    AnswerRecord, ComparisonRecord, PictureRecord, Record, WalkthroughRecord, WalkthroughTrace,
};
use super::steps::ViewSteps;
use super::versions::Versions;
use super::{
    RECORD_FILE, VERSIONS_FILE, WALKTHROUGH_FILE, damaged_folder, is_opening, is_session_name,
    remove,
};
use crate::files::{self, FileLock, LockError};
use crate::model::{MAX_PICTURE_BYTES, Picture, Turn, upright};
use crate::record::OpenTraces;
use crate::trace::{Trace, TraceId};
use crate::ui::error_text::error_text;
use crate::view::picture_name;
use crate::view::timeline::Walkthrough;
use anyhow::Context as _;
use image::RgbImage;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Interval between two looks for the session of a window that is ending.
const POLL: Duration = Duration::from_millis(50);

/// A session of a window that has ended, locked by this one.
#[derive(Debug)]
pub struct Found {
    folder: PathBuf,
    /// Its content.
    pub record: Record,
    lock: FileLock,
    was_opening: bool,
}

/// As [`find`]. If there is none, but a window that was killed has not ended yet, its session is waited for: at most
/// `limit`.
pub fn find_or_wait(root: &Path, limit: Duration) -> (Vec<Found>, Vec<String>) {
    let begin = Instant::now();
    loop {
        let (found, problems, is_ending) = look(root);
        let is_over = !found.is_empty() || !problems.is_empty() || !is_ending;
        if is_over || begin.elapsed() >= limit {
            return (found, problems);
        }
        std::thread::sleep(POLL);
    }
}

/// The sessions in `root` of windows that have ended, the latest first; and messages about those that cannot be read,
/// which are renamed and never found again.
pub fn find(root: &Path) -> (Vec<Found>, Vec<String>) {
    let (found, problems, _) = look(root);
    (found, problems)
}

/// As [`find`], and whether a window that was killed holds one more.
fn look(root: &Path) -> (Vec<Found>, Vec<String>, bool) {
    let mut is_ending = false;
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let entries = root.read_dir().into_iter().flatten().flatten();
    let is_session = |entry: &DirEntry| {
        is_session_name(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    for folder in entries.filter(is_session).map(|entry| entry.path()) {
        let lock = match FileLock::acquire(&folder) {
            Ok(lock) => lock,
            // Another window shows it.
            Err(held @ LockError::Held { .. }) => {
                is_ending |= held.is_of_ending_process();
                continue;
            }
            Err(LockError::Io(error)) => {
                problems.push(format!("A session cannot be read: {}: {error}.", folder.display()));
                continue;
            }
        };
        let path = folder.join(RECORD_FILE);
        // The window ended before its first save was complete, or another window is removing the folder.
        if matches!(path.try_exists(), Ok(false)) {
            let _ = remove(&folder);
            continue;
        }
        let saved = path.metadata().and_then(|data| data.modified());
        let text = files::read_text(&path).map_err(|error| error.to_string());
        match text.and_then(|text| Record::parse(&text)) {
            Ok(record) => {
                let saved = saved.unwrap_or(SystemTime::UNIX_EPOCH);
                let was_opening = is_opening(&folder);
                found.push((saved, Found { folder, record, lock, was_opening }));
            }
            Err(reason) => problems.push(set_aside(&folder, &reason)),
        }
    }
    found.sort_by_key(|(saved, _)| std::cmp::Reverse(*saved));
    (found.into_iter().map(|(_, found)| found).collect(), problems, is_ending)
}

/// Renames a session that cannot be read; its traces can still be opened one by one.
fn set_aside(folder: &Path, reason: &str) -> String {
    let kept = damaged_folder(folder);
    let now = std::fs::rename(folder, &kept).map_or(folder, |()| &kept);
    format!(
        "The last session cannot be read ({reason}). Its answers are kept in {}: open the folder (Ctrl+O, or drop it on the window).",
        now.display()
    )
}

/// An answer that was read.
#[derive(Debug)]
pub struct RestoredAnswer {
    /// Its number, files and view.
    pub record: AnswerRecord,
    /// Its trace.
    pub trace: Arc<Trace>,
    /// Whether the trace was read from the file of the user.
    pub is_in_file: bool,
    /// The picture as it was given.
    pub picture: Option<Picture>,
    /// The conversation before it.
    pub turns: Vec<Turn>,
    /// The views before and after the present one.
    pub steps: ViewSteps,
}

/// An answer whose trace file of the user is missing. The session keeps it until the file is back or the user forgets it.
#[derive(Clone, Debug)]
pub struct MissingAnswer {
    /// Its number, files and view.
    pub record: AnswerRecord,
    /// The picture as it was given, where the trace does not hold it.
    pub picture: Option<Picture>,
    /// The views before and after the present one.
    pub steps: ViewSteps,
}

/// A walkthrough that was read.
#[derive(Debug)]
pub struct RestoredWalkthrough {
    /// Its steps.
    pub walkthrough: Walkthrough,
    /// Its undo steps.
    pub versions: Versions,
    /// Its traces under their names in steps.
    pub traces: OpenTraces,
    /// Names of traces that are files of the user.
    pub of_user: Vec<PathBuf>,
    /// Names of traces that a document shows, with its number.
    pub documents: Vec<(PathBuf, u64)>,
    /// Its file and its state.
    pub record: WalkthroughRecord,
}

/// A session that was read.
#[derive(Debug)]
pub struct Restored {
    /// The folder in which it was found.
    pub found: Found,
    /// The files of traces in its folder.
    pub traces: BTreeMap<TraceId, PathBuf>,
    /// The answers, the oldest first.
    pub answers: Vec<RestoredAnswer>,
    /// Answers whose trace files are missing.
    pub missing: Vec<MissingAnswer>,
    /// The picture that the next question is about.
    pub picture: Option<Picture>,
    /// The walkthrough.
    pub walkthrough: Option<RestoredWalkthrough>,
    /// The upright picture that is edited.
    pub edited_picture: Option<(RgbImage, String)>,
    /// The second question scored with the first answer.
    pub scored: Option<(ComparisonRecord, Arc<Trace>)>,
    /// Parts that could not be read, in sentences.
    pub problems: Vec<String>,
}

impl Found {
    /// The folder with its lock.
    pub fn into_folder(self) -> (PathBuf, FileLock) {
        (self.folder, self.lock)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the window that opened it last ended before it could show it.
    pub const fn ended_while_opening(&self) -> bool {
        self.was_opening
    }

    /// Content in words: "3 answers, a walkthrough".
    pub fn content(&self) -> String {
        let record = &self.record;
        let counts = [record.answers.len(), record.tables.len()];
        content(counts, record.walkthrough.is_some(), &record.question)
    }

    /// Removes the session.
    pub fn discard(self) {
        if let Err(error) = remove(&self.folder) {
            log::warn!("cannot remove {}: {error}", self.folder.display());
        }
    }

    /// Reads its traces and pictures. What cannot be read is left out and named, and its files are kept beside the
    /// session, which removes files that it does not name.
    pub fn load(self) -> Restored {
        let record = &self.record;
        let mut reader = Reader::new(&self.folder);
        let (mut answers, mut missing, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for answer in &record.answers {
            match reader.answer(answer) {
                Ok(restored) => answers.push(restored),
                Err(_) if is_missing(&answer.trace) => missing.push(reader.missing(answer)),
                Err(error) => problems.push(format!(
                    "An answer of the last session is left out: {}",
                    error_text(&error)
                )),
            }
        }
        let mut note = |what: &str, error: anyhow::Error| {
            problems
                .push(format!("{what} of the last session is left out: {}", error_text(&error)));
        };
        let picture = record.picture.as_ref().and_then(|picture| {
            reader.picture(picture).map_err(|error| note("The picture", error)).ok()
        });
        let is_there = |id: u64| answers.iter().any(|answer| answer.record.id == id);
        let both = record.comparison.clone();
        let scored = both.filter(|both| is_there(both.first) && is_there(both.second));
        let scored = scored.and_then(|both| {
            let trace = reader.trace(&both.scored);
            trace.map(|trace| (both, trace)).map_err(|error| note("The comparison", error)).ok()
        });
        let edit = record.edit.as_ref().filter(|edit| is_there(edit.original));
        let edited_picture = edit.and_then(|edit| {
            let checked = edit
                .edits
                .check("")
                .and_then(|()| edit.edits.clone().with_undone(edit.undone.clone()).map(|_| ()));
            checked.map_err(|error| note("The edited picture", error.into())).ok()?;
            let answer = answers.iter().find(|answer| answer.record.id == edit.original)?;
            let picture = answer.picture.clone()?;
            let flat = upright(&picture).map_err(|error| note("The edited picture", error.into()));
            Some((flat.ok()?, picture.name))
        });
        let walkthrough = record.walkthrough.as_ref().and_then(|walkthrough| {
            match reader.walkthrough(walkthrough) {
                Ok((restored, lost)) => {
                    if lost > 0 {
                        let steps =
                            if lost == 1 { "1 step".into() } else { format!("{lost} steps") };
                        let text = "of the restored walkthrough cannot be shown and were left out";
                        note("Part of the walkthrough", anyhow::anyhow!("{steps} {text}"));
                    }
                    Some(restored)
                }
                Err(error) => {
                    note("The walkthrough", error);
                    None
                }
            }
        });
        problems.append(&mut reader.problems);
        problems.extend(keep_unread(&self.folder, &reader.unread));
        let traces = reader.files;
        Restored {
            traces,
            answers,
            missing,
            picture,
            walkthrough,
            edited_picture,
            scored,
            problems,
            found: self,
        }
    }
}

/// "3 answers, 1 table, a walkthrough", from the numbers of answers and tables; a typed question is named if there is
/// nothing else.
pub fn content([answers, tables]: [usize; 2], has_walkthrough: bool, question: &str) -> String {
    let counted = |count: usize, name: &str| match count {
        0 => None,
        1 => Some(format!("1 {name}")),
        many => Some(format!("{many} {name}s")),
    };
    let walkthrough = has_walkthrough.then(|| "a walkthrough".to_owned());
    let counts = [counted(answers, "answer"), counted(tables, "table"), walkthrough];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    if counts.is_empty() && !question.trim().is_empty() {
        return "a question".to_owned();
    }
    counts.join(", ")
}

/// Whether a trace is a file of the user that is not there: moved, or on a disk that is not mounted.
fn is_missing(trace: &Path) -> bool {
    trace.is_absolute() && !matches!(trace.try_exists(), Ok(true))
}

/// Reads files of a session; each trace is opened once.
struct Reader<'a> {
    folder: &'a Path,
    traces: BTreeMap<PathBuf, Arc<Trace>>,
    /// The files of those traces that lie in the folder.
    files: BTreeMap<TraceId, PathBuf>,
    /// Files that could not be read.
    unread: BTreeSet<PathBuf>,
    /// Parts that are missing from answers that were read, in sentences.
    problems: Vec<String>,
}

/// Moves files of the session that could not be read to a folder beside it; returns a message about them.
fn keep_unread(folder: &Path, unread: &BTreeSet<PathBuf>) -> Option<String> {
    let is_own = |name: &&PathBuf| name.parent() == Some(Path::new(""));
    let names: Vec<&PathBuf> =
        unread.iter().filter(is_own).filter(|name| folder.join(name).is_file()).collect();
    if names.is_empty() {
        return None;
    }
    let kept = damaged_folder(folder);
    let move_to = |kept: &Path| -> std::io::Result<()> {
        std::fs::create_dir_all(kept)?;
        names.iter().try_for_each(|name| std::fs::rename(folder.join(name), kept.join(name)))
    };
    Some(match move_to(&kept) {
        Ok(()) => format!(
            "Files of the last session that cannot be read or shown are kept in {}.",
            kept.display()
        ),
        Err(error) => format!(
            "Files that cannot be read were not moved to {} ({error}). Copy them from {} now.",
            kept.display(),
            folder.display()
        ),
    })
}

impl<'a> Reader<'a> {
    const fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            traces: BTreeMap::new(),
            files: BTreeMap::new(),
            unread: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    fn trace(&mut self, name: &Path) -> anyhow::Result<Arc<Trace>> {
        if let Some(trace) = self.traces.get(name) {
            return Ok(Arc::clone(trace));
        }
        let trace = Trace::open(&self.folder.join(name)).inspect_err(|_| {
            self.unread.insert(name.to_owned());
        })?;
        let trace = Arc::new(trace);
        if name.is_relative() {
            self.files.insert(trace.id(), name.to_owned());
        }
        self.traces.insert(name.to_owned(), Arc::clone(&trace));
        Ok(trace)
    }

    fn picture(&mut self, picture: &PictureRecord) -> anyhow::Result<Picture> {
        let path = self.folder.join(&picture.file);
        let bytes = files::read(&path, MAX_PICTURE_BYTES)
            .inspect_err(|_| {
                self.unread.insert(picture.file.clone());
            })
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Picture { name: picture.name.clone(), bytes: bytes.into() })
    }

    fn answer(&mut self, record: &AnswerRecord) -> anyhow::Result<RestoredAnswer> {
        let trace = self.trace(&record.trace)?;
        let is_in_file = record.file.as_ref() == Some(&record.trace);
        let now = trace.stamp().map(|stamp| stamp.to_text());
        if is_in_file && record.stamp.is_some() && record.stamp != now {
            self.problems.push(format!(
                "{} was changed after the last session: the answer that it holds now is shown.",
                record.trace.display()
            ));
        }
        let picture = match &record.picture {
            // The answer can be looked at without it.
            Some(picture) => match self.picture(picture) {
                Ok(picture) => Some(picture),
                Err(error) => {
                    self.problems.push(format!(
                        "The picture of an answer is replaced by the one in its trace: {}",
                        error_text(&error)
                    ));
                    picture_of(&trace)
                }
            },
            None => picture_of(&trace),
        };
        let turn = |(question, answer): &(String, String)| Turn {
            question: question.clone(),
            answer: answer.clone(),
        };
        // The answer can be looked at without its undo steps.
        let steps = record.steps.as_ref().map(|name| {
            ViewSteps::open(&self.folder.join(name)).unwrap_or_else(|error| {
                self.unread.insert(name.clone());
                self.problems.push(format!(
                    "The undo steps of an answer are left out: {}",
                    error_text(&error)
                ));
                ViewSteps::default()
            })
        });
        Ok(RestoredAnswer {
            steps: steps.unwrap_or_default(),
            is_in_file,
            turns: record.turns.iter().map(turn).collect(),
            record: record.clone(),
            trace,
            picture,
        })
    }

    /// An answer without its trace. What cannot be read of it is left out.
    fn missing(&mut self, record: &AnswerRecord) -> MissingAnswer {
        let picture = record.picture.as_ref().and_then(|picture| self.picture(picture).ok());
        let steps = record.steps.as_ref().map(|name| ViewSteps::open(&self.folder.join(name)));
        let steps = steps.and_then(Result::ok).unwrap_or_default();
        MissingAnswer { record: record.clone(), picture, steps }
    }

    /// The walkthrough, and the number of steps that cannot be shown.
    fn walkthrough(
        &mut self,
        record: &WalkthroughRecord,
    ) -> anyhow::Result<(RestoredWalkthrough, usize)> {
        let mut walkthrough =
            Walkthrough::open(&self.folder.join(WALKTHROUGH_FILE)).inspect_err(|_| {
                self.unread.insert(WALKTHROUGH_FILE.into());
            })?;
        let mut traces = OpenTraces::default();
        let (mut of_user, mut documents) = (Vec::new(), Vec::new());
        let mut reason = None;
        for WalkthroughTrace { trace: name, is_of_user, document } in &record.traces {
            let path = self.folder.join(name);
            match self.trace(name) {
                Ok(trace) => traces.insert(path.clone(), (*trace).clone()),
                Err(error) => {
                    reason = Some(error);
                    continue;
                }
            }
            of_user.extend(is_of_user.then(|| path.clone()));
            documents.extend(document.map(|document| (path, document)));
        }
        let count = walkthrough.steps.len();
        walkthrough.steps.retain(|step| traces.check(&step.state).is_ok());
        walkthrough.steps.iter_mut().for_each(|step| step.line = None);
        if walkthrough.steps.len() < count {
            self.unread.insert(WALKTHROUGH_FILE.into());
        }
        if walkthrough.steps.is_empty() {
            return Err(reason.unwrap_or_else(|| anyhow::anyhow!("it has no steps")));
        }
        let lost = count - walkthrough.steps.len();
        let versions =
            if record.has_versions { self.versions(&traces) } else { Versions::default() };
        let record = record.clone();
        let restored =
            RestoredWalkthrough { walkthrough, versions, traces, of_user, documents, record };
        Ok((restored, lost))
    }

    /// The undo steps of the walkthrough, which can be edited without them.
    fn versions(&mut self, traces: &OpenTraces) -> Versions {
        let mut versions =
            Versions::open(&self.folder.join(VERSIONS_FILE)).unwrap_or_else(|error| {
                self.unread.insert(VERSIONS_FILE.into());
                let text = error_text(&error);
                self.problems
                    .push(format!("The undo steps of the walkthrough are left out: {text}"));
                Versions::default()
            });
        versions.rename(|version| {
            version.steps.iter_mut().for_each(|step| step.line = None);
            version.steps.iter().all(|step| traces.check(&step.state).is_ok())
        });
        versions
    }
}

/// The first picture that a trace holds.
pub fn picture_of(trace: &Trace) -> Option<Picture> {
    picture_at(trace, 0)
}

/// A picture that a trace holds, counted from 0.
pub fn picture_at(trace: &Trace, picture: u32) -> Option<Picture> {
    let info = trace.meta().preprocess.iter().find(|info| info.picture == picture);
    let name = info.map(|info| info.file_name.clone()).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| picture_name(trace.meta(), picture));
    let bytes = trace.picture_original(picture as usize)?.into();
    Some(Picture { name, bytes })
}
