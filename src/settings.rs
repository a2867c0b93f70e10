//! Settings that are saved between runs: looks, layout, recent files, bookmarks.
//!
//! A damaged or newer file never stops the program: it is kept under another name, and defaults are used.

use crate::analysis::verdict::Thresholds;
use crate::files;
use crate::trace::{PreprocessMode, Sampling};
use crate::view::{HeadSet, Theme, ViewState};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the settings file.
pub const SETTINGS_VERSION: u32 = 1;
const MAX_RECENT: usize = 12;
const DEFAULT_SESSION_LIMIT_MB: u64 = 2048;
/// Larger numbers would not fit into TOML's integers as bytes.
const MAX_SESSION_LIMIT_MB: u64 = 1 << 40;

/// A view with a note.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The user's text.
    pub note: String,
    /// The trace's file; `None` if the trace was never saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// The view.
    pub state: ViewState,
    /// The number of the answer that the bookmark refers to: an unsaved answer can only be found by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<u64>,
}

/// A set of heads with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedHeads {
    /// The user's name.
    pub name: String,
    /// The model: the hash of its bundle, or its name.
    pub model: String,
    /// The heads.
    pub heads: HeadSet,
}

/// The saved settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Version of this file.
    pub version: u32,
    /// Dark or light; `None` follows the system.
    #[serde(with = "theme_choice")]
    pub theme: Option<Theme>,
    /// Multiplies every type size of the window.
    pub font_scale: f32,
    /// Whether jumps cross-fade.
    pub animate: bool,
    /// Window size in points.
    pub window_size: Option<[f32; 2]>,
    /// The docked panels, as written by the docking library.
    pub layout: Option<String>,
    /// Whether the chat is shown.
    pub show_chat: bool,
    /// Whether the inspector is shown.
    pub show_inspector: bool,
    /// Whether the token strip is shown.
    pub show_tokens: bool,
    /// Whether the token strip shows the whole prompt.
    pub prompt_open: bool,
    /// The sampling settings of questions.
    pub sampling: Sampling,
    /// The rule that fits a picture that is not square.
    pub preprocess: PreprocessMode,
    /// The model of the last run; `None` is the built-in one.
    pub bundle: Option<PathBuf>,
    /// Model folders, latest first.
    pub recent_bundles: Vec<PathBuf>,
    /// Traces and pictures, latest first.
    pub recent_files: Vec<PathBuf>,
    /// Saved views.
    pub bookmarks: Vec<Bookmark>,
    /// The limits of the verdict about each word.
    pub verdict: Thresholds,
    /// Named sets of heads.
    pub head_sets: Vec<NamedHeads>,
    /// Whether the advice of the first start was closed.
    pub advice_seen: bool,
    /// Most megabytes of unsaved answers that are kept for the next start.
    pub session_limit_mb: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: SETTINGS_VERSION,
            theme: Some(Theme::Dark),
            font_scale: 1.0,
            animate: true,
            window_size: None,
            layout: None,
            show_chat: true,
            show_inspector: true,
            show_tokens: true,
            prompt_open: false,
            sampling: Sampling::default(),
            preprocess: PreprocessMode::default(),
            bundle: None,
            recent_bundles: Vec::new(),
            recent_files: Vec::new(),
            bookmarks: Vec::new(),
            verdict: Thresholds::default(),
            head_sets: Vec::new(),
            advice_seen: false,
            session_limit_mb: DEFAULT_SESSION_LIMIT_MB,
        }
    }
}

/// The reason why settings could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The text is not valid settings of this version.
    #[error(
        "the settings in {path} cannot be read ({reason}); defaults are used and the old file is kept as {kept}.",
        path = path.display(), kept = kept.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The path that the file was moved to.
        kept: PathBuf,
        /// The fault that was found.
        reason: String,
    },
    /// The file could not be written.
    #[error("the settings cannot be saved to {path}: {source}. Check that the folder can be written to.", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl Settings {
    /// The path of the settings file: `VLMSCOPE_SETTINGS`, or a file in the user's configuration folder.
    pub fn path() -> Option<PathBuf> {
        std::env::var_os("VLMSCOPE_SETTINGS")
            .map(PathBuf::from)
            .or_else(|| Some(dirs::config_dir()?.join("vlmscope").join("settings.toml")))
    }

    /// Reads settings; on an error, returns the defaults and the error. A missing file is not an error.
    pub fn load(path: &Path) -> (Self, Option<SettingsError>) {
        let text = match files::read_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return (Self::default(), None);
            }
            Err(error) => return Self::set_aside(path, error.to_string()),
        };
        match toml::from_str::<Self>(&text) {
            Ok(settings) if settings.version > SETTINGS_VERSION => Self::set_aside(
                path,
                format!(
                    "version {} is newer than this program's {SETTINGS_VERSION}",
                    settings.version
                ),
            ),
            Ok(settings) => (settings.checked(), None),
            Err(error) => {
                let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                Self::set_aside(path, reason)
            }
        }
    }

    fn set_aside(path: &Path, reason: String) -> (Self, Option<SettingsError>) {
        let kept = path.with_extension("toml.old");
        // If this fails as well, the file stays as it is until settings are saved again.
        if let Err(error) = std::fs::rename(path, &kept) {
            log::warn!("cannot rename {} to {}: {error}", path.display(), kept.display());
        }
        (Self::default(), Some(SettingsError::Unreadable { path: path.to_owned(), kept, reason }))
    }

    /// Limits numbers that a hand-edited file may have set out of bounds.
    fn checked(mut self) -> Self {
        self.version = SETTINGS_VERSION;
        self.font_scale =
            if self.font_scale.is_finite() { self.font_scale.clamp(0.5, 3.0) } else { 1.0 };
        self.window_size = self
            .window_size
            .filter(|size| size.iter().all(|side| (200.0..=20_000.0).contains(side)));
        self.sampling.temperature = clamp(self.sampling.temperature, 0.0, 2.0);
        self.sampling.top_p = clamp(self.sampling.top_p, 0.01, 1.0);
        self.session_limit_mb = self.session_limit_mb.min(MAX_SESSION_LIMIT_MB);
        self.verdict = self.verdict.checked();
        self.sampling.max_new_tokens = self.sampling.max_new_tokens.clamp(1, 4096);
        self
    }

    /// Writes the settings file, replacing the old one.
    ///
    /// # Errors
    /// If the folder cannot be created or written to.
    pub fn save(&self, path: &Path) -> Result<(), SettingsError> {
        let failed = |source| SettingsError::Write { path: path.to_owned(), source };
        let text = toml::to_string_pretty(self)
            .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        std::fs::create_dir_all(files::folder_of(path)).map_err(failed)?;
        files::replace_bytes(path, text.as_bytes()).map_err(failed)
    }

    /// As [`Self::save`], with the bookmarks that another window has added or removed since `before` was read or written.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_changes(&mut self, before: &Self, path: &Path) -> Result<(), SettingsError> {
        let failed = |source| SettingsError::Write { path: path.to_owned(), source };
        std::fs::create_dir_all(files::folder_of(path)).map_err(failed)?;
        let _lock = files::FileLock::wait(path).map_err(failed)?;
        let text = files::read_text(path).ok();
        if let Some(theirs) = text.and_then(|text| toml::from_str::<Self>(&text).ok()) {
            self.bookmarks = merged(&before.bookmarks, &self.bookmarks, theirs.bookmarks);
        }
        self.save(path)
    }

    /// Puts a trace or picture at the head of the recent files.
    pub fn remember_file(&mut self, path: &Path) {
        remember(&mut self.recent_files, path);
    }

    /// Puts a bundle at the head of the recent ones.
    pub fn remember_bundle(&mut self, path: &Path) {
        remember(&mut self.recent_bundles, path);
    }
}

/// The bookmarks of this window with the changes that another one has made to `before`.
fn merged(before: &[Bookmark], mine: &[Bookmark], theirs: Vec<Bookmark>) -> Vec<Bookmark> {
    if mine == before || theirs == before {
        return if mine == before { theirs } else { mine.to_vec() };
    }
    let is_kept = |one: &&Bookmark| theirs.contains(one) || !before.contains(one);
    let mut all: Vec<Bookmark> = mine.iter().filter(is_kept).cloned().collect();
    for added in theirs.iter().filter(|one| !before.contains(one)) {
        if !all.contains(added) {
            all.push(added.clone());
        }
    }
    all
}

/// TOML has no null, so "system" represents `None`.
mod theme_choice {
    use crate::view::Theme;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    const SYSTEM: &str = "system";

    pub fn serialize<S: Serializer>(theme: &Option<Theme>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(theme.map_or(SYSTEM, Theme::name))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Theme>, D::Error> {
        let name = String::deserialize(from)?;
        let known = Theme::ALL.iter().find(|theme| theme.name() == name).copied();
        match known {
            None if name != SYSTEM => Err(D::Error::custom(format!(
                "`{name}` is not a theme; write system, dark or light"
            ))),
            theme => Ok(theme),
        }
    }
}

fn remember(list: &mut Vec<PathBuf>, path: &Path) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    list.retain(|other| *other != path);
    list.insert(0, path);
    list.truncate(MAX_RECENT);
}

fn clamp(value: f32, low: f32, high: f32) -> f32 {
    if value.is_finite() { value.clamp(low, high) } else { low }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn settings_survive_the_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/settings.toml");
        let mut settings = Settings { font_scale: 1.25, theme: None, ..Settings::default() };
        settings.remember_file(Path::new("/tmp/a.vlmtrace"));
        settings.remember_file(Path::new("/tmp/b.png"));
        settings.remember_file(Path::new("/tmp/a.vlmtrace"));
        settings.bookmarks.push(Bookmark {
            note: "the head that finds the fox".into(),
            trace: None,
            state: ViewState::default(),
            document: None,
        });
        settings.save(&path).unwrap();
        let (read, problem) = Settings::load(&path);
        assert!(problem.is_none());
        assert_eq!(read, settings);
        assert_eq!(read.recent_files[0], Path::new("/tmp/a.vlmtrace"));
        assert_eq!(read.recent_files.len(), 2);
    }

    #[test]
    fn two_windows_keep_the_bookmarks_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let bookmark = |note: &str| Bookmark {
            note: note.into(),
            trace: None,
            state: ViewState::default(),
            document: None,
        };
        let notes = |settings: &Settings| {
            settings.bookmarks.iter().map(|one| one.note.clone()).collect::<Vec<_>>()
        };
        let bookmarks = vec![bookmark("old"), bookmark("gone")];
        let mut first = Settings { bookmarks, ..Settings::default() };
        first.save(&path).unwrap();
        let (mut second, _) = Settings::load(&path);
        let before = first.clone();
        first.bookmarks.push(bookmark("of the first"));
        first.bookmarks.remove(1);
        first.save_changes(&before, &path).unwrap();
        let read = second.clone();
        second.bookmarks.push(bookmark("of the second"));
        second.save_changes(&read, &path).unwrap();
        assert_eq!(notes(&second), ["old", "of the second", "of the first"]);
        assert_eq!(notes(&Settings::load(&path).0), notes(&second));
        // A change of another setting brings the second window's bookmark to the first one.
        let before = first.clone();
        first.font_scale = 1.5;
        first.save_changes(&before, &path).unwrap();
        assert_eq!(notes(&first), notes(&second));
    }

    #[test]
    fn a_damaged_file_is_kept_and_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        for text in ["theme = \"mauve\"", "version = 99", "\u{0}\u{1}"] {
            std::fs::write(&path, text).unwrap();
            let (read, problem) = Settings::load(&path);
            assert_eq!(read, Settings::default());
            assert!(problem.unwrap().to_string().contains("settings.toml.old"));
            let kept = std::fs::read_to_string(folder.path().join("settings.toml.old")).unwrap();
            assert_eq!(kept, text);
        }
        assert!(Settings::load(&path).1.is_none(), "a missing file is the first start");
    }

    #[test]
    fn numbers_out_of_bounds_are_brought_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "font_scale = 900.0\nwindow_size = [1.0, 5.0]").unwrap();
        let (read, problem) = Settings::load(&path);
        assert!(problem.is_none());
        assert_eq!((read.font_scale, read.window_size), (3.0, None));
    }
}
