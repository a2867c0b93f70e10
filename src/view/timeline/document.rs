//! The walkthrough's file: TOML, written by hand, by `walkthrough new` or by the window.
//!
//! It is read twice: into typed fields with the position of every step, so that an error names its line; and as plain
//! tables, to merge the view of each step with the shared look.

use super::WalkthroughError;
use super::caption::caption_text;
use super::cost;
use crate::files::{self, Replacement};
use crate::view::{Easing, ViewState};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use toml::{Spanned, Table, Value};

/// Version of the file; a reader refuses a newer one.
pub const WALKTHROUGH_VERSION: u32 = 1;

/// Reading speed that determines the duration of a caption: subtitling guidelines allow 17 (Netflix) to 20 characters a
/// second for text alone; here the viewer also looks at a picture.
const CHARACTERS_PER_SECOND: f64 = 14.0;
/// Time to find the caption and to look at the picture again.
const LOOK_SECONDS: f64 = 1.2;
const SHORTEST_SECONDS: f64 = 2.0;
/// Duration of a view without a caption.
const SILENT_SECONDS: f64 = 2.5;
const CARD_SECONDS: f64 = 2.5;
/// Duration of a transition, unless a step sets it.
const TRANSITION_SECONDS: f64 = 0.8;
/// Longer than any talk; prevents a mistyped number from filling the disk.
pub const LONGEST_SECONDS: f64 = 3600.0;

/// An hour of steps of half a second; a longer file is not a talk and would take minutes to lay out.
pub const MOST_STEPS: usize = 10_000;
/// Limit on the characters of a caption, of a card and of its subtitle: more than fit in a frame.
pub const LONGEST_CAPTION: usize = 10_000;
/// Limit on the bytes of a walkthrough's text.
const LONGEST_TEXT_BYTES: usize = 16 << 20;

/// Text on an otherwise empty frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// The large line.
    pub text: String,
    /// The small line below it.
    pub subtitle: String,
    /// Duration in seconds.
    pub seconds: f64,
}

/// One step of a walkthrough.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The view; its `trace` is always set.
    pub state: ViewState,
    /// The caption; `**…**` marks words.
    pub caption: String,
    /// Notes that only the presenter sees.
    pub notes: String,
    /// Duration after the transition to it, in seconds; `None` derives it from the caption's length.
    pub seconds: Option<f64>,
    /// Duration of the transition to it, in seconds.
    pub transition_secs: f64,
    /// The easing of that transition.
    pub easing: Easing,
    /// Its line in its file, from 1.
    pub line: Option<usize>,
}

impl Step {
    /// A step with the usual timing.
    pub fn new(state: ViewState, caption: impl Into<String>) -> Self {
        Self {
            state,
            caption: caption.into(),
            notes: String::new(),
            seconds: None,
            transition_secs: TRANSITION_SECONDS,
            easing: Easing::default(),
            line: None,
        }
    }

    /// Duration of the step after the transition to it, in seconds.
    pub fn hold_secs(&self) -> f64 {
        self.seconds.unwrap_or_else(|| {
            let characters = caption_text(&self.caption).chars().count();
            if characters == 0 {
                SILENT_SECONDS
            } else {
                let read = LOOK_SECONDS + characters as f64 / CHARACTERS_PER_SECOND;
                // The caption is already visible during the transition.
                (read - self.transition_secs).max(SHORTEST_SECONDS - self.transition_secs).max(0.4)
            }
        })
    }
}

/// An ordered list of steps, with a card before and after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walkthrough {
    /// The card before the first step.
    pub title: Option<Card>,
    /// The steps in order; never empty in a file.
    pub steps: Vec<Step>,
    /// The card after the last step.
    pub end: Option<Card>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CardText {
    text: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    subtitle: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct StepText {
    trace: Option<PathBuf>,
    #[serde(default)]
    caption: String,
    #[serde(default)]
    notes: String,
    seconds: Option<Spanned<f64>>,
    transition: Option<Spanned<f64>>,
    easing: Option<Easing>,
    /// Only checked here: the view itself comes from the table merged with the shared look.
    #[serde(default)]
    #[expect(dead_code, reason = "its types are checked by reading it")]
    view: ViewState,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileText {
    #[expect(dead_code, reason = "looked at before anything else")]
    version: Option<u32>,
    trace: Option<PathBuf>,
    title: Option<CardText>,
    end: Option<CardText>,
    #[serde(default)]
    #[expect(dead_code, reason = "its types are checked by reading it")]
    view: ViewState,
    #[serde(default)]
    step: Vec<Spanned<StepText>>,
}

/// A text and its name in errors.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn line_of(&self, byte: usize) -> usize {
        self.line_ends(0..byte) + 1
    }

    /// Number of line ends in a part of the text.
    fn line_ends(&self, part: std::ops::Range<usize>) -> usize {
        let part = self.text.as_bytes().get(part).unwrap_or_default();
        part.iter().filter(|&&byte| byte == b'\n').count()
    }

    fn at(&self, byte: usize, reason: impl Into<String>) -> WalkthroughError {
        let line = self.line_of(byte);
        WalkthroughError::Line { file: self.name.to_owned(), line, reason: reason.into() }
    }

    fn toml(&self, error: &toml::de::Error) -> WalkthroughError {
        let byte = error.span().map_or(0, |span| span.start);
        self.at(byte, error.message().split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A valid number of seconds.
    fn seconds(&self, value: &Spanned<f64>, least: f64) -> Result<f64, WalkthroughError> {
        let seconds = *value.get_ref();
        if (least..=LONGEST_SECONDS).contains(&seconds) {
            Ok(seconds)
        } else {
            let reason = format!("{seconds} seconds are not between {least} and {LONGEST_SECONDS}");
            Err(self.at(value.span().start, reason))
        }
    }

    /// Checks that a text is short enough for a frame.
    fn readable(&self, text: &str, what: &str, byte: usize) -> Result<(), WalkthroughError> {
        let characters = text.chars().count();
        if characters <= LONGEST_CAPTION {
            return Ok(());
        }
        let reason = format!(
            "{what} has {characters} characters; at most {LONGEST_CAPTION} fit. Shorten it"
        );
        Err(self.at(byte, reason))
    }

    fn card(&self, card: Option<CardText>) -> Result<Option<Card>, WalkthroughError> {
        let Some(CardText { text, subtitle, seconds }) = card else { return Ok(None) };
        for text in [&text, &subtitle] {
            self.readable(text, "a card", 0)?;
        }
        let seconds = match seconds {
            Some(seconds) => self.seconds(&seconds, 0.1)?,
            None => CARD_SECONDS,
        };
        Ok(Some(Card { text, subtitle, seconds }))
    }
}

impl Walkthrough {
    /// Reads a walkthrough's text; `name` is its name in errors.
    ///
    /// # Errors
    /// The first fault, with its line.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, WalkthroughError> {
        #[derive(Deserialize)]
        struct Version {
            version: Option<u32>,
        }
        let source = Source { name, text };
        if text.len() > LONGEST_TEXT_BYTES {
            let bytes = text.len();
            let reason = format!("it has {bytes} bytes; at most {LONGEST_TEXT_BYTES} can be read");
            return Err(source.at(0, reason));
        }
        if let Ok(Version { version: Some(found) }) = toml::from_str(text)
            && found > WALKTHROUGH_VERSION
        {
            return Err(WalkthroughError::Newer {
                file: name.to_owned(),
                found,
                supported: WALKTHROUGH_VERSION,
            });
        }
        let tables: Table = toml::from_str(text).map_err(|error| source.toml(&error))?;
        let too_many = cost::first_step_too_many(&tables);
        if let Some(step) = too_many {
            let reason = format!(
                "with step {}, the views take more than {} MB of memory. Name fewer layers, heads \
                and tokens, or split the file",
                step + 1,
                cost::MOST_VIEW_BYTES >> 20
            );
            return Err(source.at(0, reason));
        }
        let file: FileText = toml::from_str(text).map_err(|error| source.toml(&error))?;
        if file.step.is_empty() {
            return Err(source.at(0, "it has no steps; begin one with [[step]]"));
        }
        if let Some(step) = file.step.get(MOST_STEPS) {
            let count = file.step.len();
            let reason =
                format!("it has {count} steps; at most {MOST_STEPS} can be shown. Split the file");
            return Err(source.at(step.span().start, reason));
        }
        let shared = view_table(&tables);
        let step_tables = tables.get("step").and_then(Value::as_array);
        let mut steps = Vec::with_capacity(file.step.len());
        let (mut line, mut counted) = (1, 0);
        for (index, spanned) in file.step.into_iter().enumerate() {
            let at = spanned.span().start;
            // Steps are in file order, so lines are counted from the previous step.
            line += source.line_ends(counted..at);
            counted = at;
            let own = step_tables.and_then(|list| list.get(index)).and_then(Value::as_table);
            let mut merged = shared.clone();
            if let Some(own) = own {
                lay_over(&mut merged, &view_table(own));
            }
            let mut state: ViewState = Value::Table(merged)
                .try_into()
                .map_err(|error: toml::de::Error| source.at(at, error.message()))?;
            let step = spanned.into_inner();
            source.readable(&step.caption, "a caption", at)?;
            let trace = step.trace.or(state.trace).or_else(|| file.trace.clone());
            state.trace = Some(trace.ok_or_else(|| {
                source.at(
                    at,
                    "no trace is named; give the step, or the whole file, a `trace = \
                    \"…\"`",
                )
            })?);
            let seconds = step.seconds.map(|value| source.seconds(&value, 0.0)).transpose()?;
            let transition =
                step.transition.map(|value| source.seconds(&value, 0.0)).transpose()?;
            steps.push(Step {
                notes: step.notes,
                seconds,
                transition_secs: transition.unwrap_or(TRANSITION_SECONDS),
                easing: step.easing.unwrap_or_default(),
                line: Some(line),
                ..Step::new(state, step.caption)
            });
        }
        Ok(Self { title: source.card(file.title)?, steps, end: source.card(file.end)? })
    }

    /// Reads a file; the traces in it are relative to its folder.
    ///
    /// # Errors
    /// As [`Self::from_toml`], or a file that cannot be read.
    pub fn open(path: &Path) -> Result<Self, WalkthroughError> {
        let text = files::read_text(path)
            .map_err(|source| WalkthroughError::Read { path: path.to_owned(), source })?;
        let mut walkthrough = Self::from_toml(&path.display().to_string(), &text)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for trace in walkthrough.trace_paths_mut() {
            *trace = folder.join(&*trace);
        }
        Ok(walkthrough)
    }

    /// The paths of all traces in the steps, including those of second maps.
    pub fn trace_paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.steps.iter_mut().flat_map(|step| {
            let second = step.state.second.as_mut().and_then(|second| second.trace.as_mut());
            step.state.trace.iter_mut().chain(second)
        })
    }

    /// Writes the file; traces in or below its folder are named relative to it.
    ///
    /// # Errors
    /// As [`Self::to_toml`], or if the file cannot be written; an older file is then still there.
    pub fn save(&self, path: &Path) -> Result<(), WalkthroughError> {
        let failed = |source| WalkthroughError::Save { path: path.to_owned(), source };
        let mut named = self.clone();
        for trace in named.trace_paths_mut() {
            *trace = files::name_from(path, trace).map_err(failed)?;
        }
        let text = named.to_toml()?;
        let write = || {
            let new = Replacement::begin(path)?;
            new.file().write_all(text.as_bytes())?;
            new.sync()?;
            new.keep()
        };
        write().map_err(failed)
    }

    /// The file's text: settings that all steps share are written once, at the beginning.
    ///
    /// # Errors
    /// If a path in it is not Unicode.
    pub fn to_toml(&self) -> Result<String, WalkthroughError> {
        let failed = |reason: String| WalkthroughError::Write { reason };
        let table =
            |state: &ViewState| Table::try_from(state).map_err(|error| failed(error.to_string()));
        let plain = table(&ViewState::default())?;
        let views: Vec<Table> =
            self.steps.iter().map(|step| table(&step.state)).collect::<Result<_, _>>()?;
        let first_trace = self.steps.first().and_then(|step| step.state.trace.clone());
        let mut shared = shared_by_all(&views);
        for own in ["trace", "second", "hovered", "selected", "map", "version"] {
            shared.remove(own);
        }
        let mut base = plain.clone();
        lay_over(&mut base, &shared);
        let shared = difference(&base, &plain);

        let mut out = format!("version = {WALKTHROUGH_VERSION}\n");
        let mut put = |text: &str| out.push_str(text);
        let text =
            |value: &Table| toml::to_string(value).map_err(|error| failed(error.to_string()));
        if let Some(trace) = &first_trace {
            put(&text(&Table::from_iter([("trace".into(), path_value(trace)?)]))?);
        }
        for (name, card) in [("title", &self.title), ("end", &self.end)] {
            if let Some(card) = card {
                let inner = text(&card_table(card))?;
                put(&format!("\n[{name}]\n{inner}"));
            }
        }
        if !shared.is_empty() {
            let wrapped = Table::from_iter([("view".to_owned(), Value::Table(shared))]);
            put(&format!("\n{}", text(&wrapped)?));
        }
        for (step, view) in self.steps.iter().zip(&views) {
            let mut own = difference(view, &base);
            own.remove("trace");
            let step = step_table(step, first_trace.as_deref(), own)?;
            let list = Value::Array(vec![Value::Table(step)]);
            let wrapped = Table::from_iter([("step".to_owned(), list)]);
            put(&format!("\n{}", text(&wrapped)?));
        }
        Ok(out)
    }
}

fn path_value(path: &Path) -> Result<Value, WalkthroughError> {
    let text = path.to_str().ok_or_else(|| WalkthroughError::Write {
        reason: format!("{} is not Unicode text", path.display()),
    })?;
    Ok(Value::String(text.to_owned()))
}

/// Seconds rounded to milliseconds, the finest visible difference.
fn written(seconds: f64) -> Value {
    Value::Float((seconds * 1e3).round() / 1e3)
}

fn card_table(card: &Card) -> Table {
    let mut table = Table::new();
    table.insert("text".into(), Value::String(card.text.clone()));
    if !card.subtitle.is_empty() {
        table.insert("subtitle".into(), Value::String(card.subtitle.clone()));
    }
    if card.seconds != CARD_SECONDS {
        table.insert("seconds".into(), written(card.seconds));
    }
    table
}

fn step_table(
    step: &Step,
    first_trace: Option<&Path>,
    view: Table,
) -> Result<Table, WalkthroughError> {
    let mut table = Table::new();
    if let Some(trace) = step.state.trace.as_deref().filter(|trace| Some(*trace) != first_trace) {
        table.insert("trace".into(), path_value(trace)?);
    }
    for (name, text) in [("caption", &step.caption), ("notes", &step.notes)] {
        if !text.is_empty() {
            table.insert(name.into(), Value::String(text.clone()));
        }
    }
    if let Some(seconds) = step.seconds {
        table.insert("seconds".into(), written(seconds));
    }
    if step.transition_secs != TRANSITION_SECONDS {
        table.insert("transition".into(), written(step.transition_secs));
    }
    if step.easing != Easing::default() {
        let easing = Value::try_from(step.easing)
            .map_err(|error| WalkthroughError::Write { reason: error.to_string() })?;
        table.insert("easing".into(), easing);
    }
    if !view.is_empty() {
        table.insert("view".into(), Value::Table(view));
    }
    Ok(table)
}

fn view_table(of: &Table) -> Table {
    of.get("view").and_then(Value::as_table).cloned().unwrap_or_default()
}

/// Merges one table over another. A table with a `kind` is one choice and is replaced as a whole.
fn lay_over(below: &mut Table, above: &Table) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if !above.contains_key("kind") => {
                lay_over(below, above);
            }
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The part of `table` that differs from `base`.
fn difference(table: &Table, base: &Table) -> Table {
    let mut out = Table::new();
    for (key, value) in table {
        match (value, base.get(key)) {
            (value, Some(same)) if value == same => {}
            (Value::Table(inner), Some(Value::Table(below))) if !inner.contains_key("kind") => {
                out.insert(key.clone(), Value::Table(difference(inner, below)));
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    out
}

/// The keys whose value is the same in every table.
fn shared_by_all(tables: &[Table]) -> Table {
    let Some((first, rest)) = tables.split_first() else { return Table::new() };
    let same = |key: &String, value: &Value| rest.iter().all(|table| table.get(key) == Some(value));
    first
        .iter()
        .filter(|(key, value)| same(key, value))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::view::{AxisSet, Mix, Range, Second, ViewKind};

    const TEXT: &str = r#"
trace = "a.vlmtrace"

[title]
text = "Two steps"

[view]
opacity = 0.5
normalise.range = { kind = "fixed", min = 0.0, max = 0.2 }

[[step]]
caption = "one"
view = { map.layers = "3", opacity = 0.25 }

[[step]]
trace = "b.vlmtrace"
seconds = 2
transition = 0
easing = "cut"
view = { view = "wall", normalise.range = { kind = "shared" } }
"#;

    fn error(text: &str) -> String {
        Walkthrough::from_toml("tour.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_step_lies_over_the_shared_look() {
        let walkthrough = Walkthrough::from_toml("tour.toml", TEXT).unwrap();
        let [one, two] = walkthrough.steps.as_slice() else { unreachable!() };
        assert_eq!((one.state.opacity, two.state.opacity), (0.25, 0.5));
        assert_eq!(one.state.map.layers, AxisSet::single(3));
        assert_eq!(one.state.normalise.range, Range::Fixed { min: 0.0, max: 0.2 });
        assert_eq!((two.state.view, two.state.normalise.range), (ViewKind::Wall, Range::Shared));
        assert_eq!(two.state.trace.as_deref(), Some(Path::new("b.vlmtrace")));
        assert_eq!((two.hold_secs(), two.transition_secs, two.easing), (2.0, 0.0, Easing::Cut));
        assert_eq!((one.line, two.line), (Some(11), Some(15)));
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let mut walkthrough = Walkthrough::from_toml("tour.toml", TEXT).unwrap();
        walkthrough.steps[0].state.second = Some(Second {
            trace: Some("c.vlmtrace".into()),
            mix: Mix::Swipe { position: 0.3 },
            ..Second::default()
        });
        walkthrough.steps[0].notes = "say **this**\nslowly".into();
        let text = walkthrough.to_toml().unwrap();
        let mut back = Walkthrough::from_toml("tour.toml", &text).unwrap();
        for (back, step) in back.steps.iter_mut().zip(&walkthrough.steps) {
            back.line = step.line;
        }
        assert_eq!(back, walkthrough, "{text}");
    }

    #[test]
    fn a_file_names_its_traces_relative_to_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("tour.toml");
        let step = |trace: PathBuf| {
            Step::new(ViewState { trace: Some(trace), ..ViewState::default() }, "")
        };
        let near = folder.path().join("deep/a.vlmtrace");
        let steps = vec![step(near.clone()), step("/elsewhere/b.vlmtrace".into())];
        let walkthrough = Walkthrough { title: None, steps, end: None };
        walkthrough.save(&out).unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(text.contains("\"deep/a.vlmtrace\""), "{text}");
        let mut back = Walkthrough::open(&out).unwrap();
        let paths: Vec<PathBuf> = back.trace_paths_mut().map(|path| path.clone()).collect();
        assert_eq!(paths, [near, PathBuf::from("/elsewhere/b.vlmtrace")]);
        let nowhere = folder.path().join("no/such/tour.toml");
        let error = walkthrough.save(&nowhere).unwrap_err().to_string();
        assert!(error.contains("tour.toml") && error.contains("folder"), "{error}");
    }

    #[test]
    fn too_many_steps_and_too_long_captions_are_refused() {
        let step = "[[step]]\ncaption = \"one\"\n";
        let of = |steps: usize| format!("trace = \"a\"\n{}", step.repeat(steps));
        let whole = Walkthrough::from_toml("tour.toml", &of(100)).unwrap();
        let lines: Vec<_> = whole.steps.iter().filter_map(|step| step.line).collect();
        assert_eq!(lines, (0..100).map(|step| 2 + 2 * step).collect::<Vec<_>>());
        let error = error(&of(MOST_STEPS + 1));
        assert!(error.starts_with("tour.toml, line 20002: "), "{error}");
        assert!(error.contains("10001 steps; at most 10000"), "{error}");
        let long = |characters: usize| {
            let caption = "é".repeat(characters);
            Walkthrough::from_toml(
                "tour.toml",
                &format!("trace = \"a\"\n[[step]]\ncaption = \"{caption}\"\n"),
            )
        };
        assert!(long(LONGEST_CAPTION).unwrap().steps[0].hold_secs() < LONGEST_SECONDS);
        let error = long(LONGEST_CAPTION + 1).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("at most 10000"), "{error}");
        let card = format!("trace = \"a\"\n[title]\ntext = \"{}\"\n[[step]]\n", "x".repeat(20_000));
        assert!(Walkthrough::from_toml("t", &card).unwrap_err().to_string().contains("a card"));
    }

    #[test]
    fn errors_name_the_line() {
        let at = |text: &str, line: usize, says: &str| {
            let error = error(text);
            assert!(error.starts_with(&format!("tour.toml, line {line}: ")), "{error}");
            assert!(error.contains(says) && !error.contains('\n'), "{error}");
        };
        at("trace = \"a\"\n[[step]]\nseconds = -1\n", 3, "-1 seconds");
        at("trace = \"a\"\n[[step]]\n[step.view]\nopacty = 1.0\n", 4, "opacty");
        at("trace = \"a\"\n[[step]]\n\n[[step]]\neasing = \"bounce\"\n", 5, "bounce");
        at("[[step]]\ncaption = \"x\"\n", 1, "no trace is named");
        at("trace = \"a\"\n", 1, "no steps");
        at("trace = \"a\"\n[[step]]\ncaption = 3", 3, "string");
        assert!(error("version = 2\n").contains("newer than this reader"));
    }

    #[test]
    fn a_caption_stays_as_long_as_it_takes_to_read() {
        let step = |caption: &str| Step::new(ViewState::default(), caption);
        let short = step("A fox.").hold_secs();
        let long = step("A fox that looks at a balloon over green hills, far away.").hold_secs();
        assert!(long > short + 2.0, "{short} {long}");
        assert!(short + TRANSITION_SECONDS >= SHORTEST_SECONDS);
        assert_eq!(Step { seconds: Some(0.5), ..step("A fox.") }.hold_secs(), 0.5);
    }
}
