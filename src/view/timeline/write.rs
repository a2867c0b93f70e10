//! Writing the walkthrough's file.

use super::WalkthroughError;
use super::document::WALKTHROUGH_VERSION;
use super::tables::{difference, merge_into, shared_by_all};
use super::walkthrough::{CARD_SECONDS, Card, Step, TRANSITION_SECONDS, Walkthrough};
use crate::files::{self, Replacement};
use crate::view::{Easing, ViewState};
use std::io::Write as _;
use std::path::Path;
use toml::{Table, Value};

impl Walkthrough {
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
        merge_into(&mut base, &shared);
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
