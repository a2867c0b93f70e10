//! Reading the walkthrough's file: TOML, written by hand, by `walkthrough new` or by the window.
//!
//! It is read twice: into typed fields with the position of every step, so that an error names its line; and as plain
//! tables, to merge the view of each step with the shared look.

use super::WalkthroughError;
use super::cost;
use super::tables::{merge_into, view_table};
use super::walkthrough::{
    CARD_SECONDS, Card, LONGEST_CAPTION, LONGEST_SECONDS, MOST_STEPS, Step, TRANSITION_SECONDS,
    Walkthrough,
};
use crate::files;
use crate::view::{Easing, ViewState};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::{Spanned, Table, Value};

/// Version of the file; a reader refuses a newer one.
pub const WALKTHROUGH_VERSION: u32 = 1;
/// Limit on the bytes of a walkthrough's text.
const LONGEST_TEXT_BYTES: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CardText {
    text: String,
    #[serde(default)]
    subtitle: String,
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
        let message = files::without_type_names(error.message());
        self.at(byte, message.split_whitespace().collect::<Vec<_>>().join(" "))
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
                merge_into(&mut merged, &view_table(own));
            }
            let mut state: ViewState =
                Value::Table(merged).try_into().map_err(|error: toml::de::Error| {
                    source.at(at, files::without_type_names(error.message()))
                })?;
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
}
