//! Asking for files: the desktop's own dialog where there is one, a line in the window elsewhere.
//!
//! A minimal desktop, a kiosk or a remote display often has neither a file portal nor `zenity`; the
//! dialog library then says that nothing was chosen, which a user takes for a dead button.

use crate::model::MANIFEST_FILE;
use std::path::{Path, PathBuf};

/// The kind of path that a dialog asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// One file or more that exist.
    Files,
    /// A folder that exists.
    Folder,
    /// A place for a file; first this one is offered.
    Place(PathBuf),
}

/// Kinds of files: a name and endings.
pub type Filters = &'static [(&'static str, &'static [&'static str])];

/// Files that traces are saved in.
pub const TRACES: Filters = &[("Trace", &[TRACE_ENDING])];
/// The ending of traces.
const TRACE_ENDING: &str = "vlmtrace";
/// The ending of tables.
const TABLE_ENDING: &str = "parquet";
/// Files that walkthroughs and edits are saved in.
pub const TOML: Filters = &[("TOML", &["toml"])];

/// A question for a path.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Title of the dialog.
    pub title: &'static str,
    /// Kind of path that is asked for.
    pub want: Want,
    /// Kinds of files that are offered. A place with none of these endings gets the first.
    pub filters: Filters,
}

impl Dialog {
    /// Asks for a place for a file of the first kind; `name` has no ending.
    pub fn to_save(title: &'static str, name: &str, filters: Filters) -> Self {
        let ending = filters.first().and_then(|(_, endings)| endings.first()).unwrap_or(&"");
        Self { title, want: Want::Place(format!("{name}.{ending}").into()), filters }
    }

    /// A place with another ending than those of its kind gets the first of them: a trace that is
    /// called .toml is soon overwritten by a walkthrough.
    pub fn completed(&self, path: PathBuf) -> PathBuf {
        let mut endings = self.filters.iter().flat_map(|(_, endings)| *endings);
        let Some(first) = self.filters.first().and_then(|(_, endings)| endings.first()) else {
            return path;
        };
        let fits = endings.any(|ending| path.extension().is_some_and(|own| own == *ending));
        if !matches!(self.want, Want::Place(_)) || fits || path.is_dir() {
            return path;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(first);
        path.with_file_name(name)
    }
}

/// The line in the window.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The question.
    pub dialog: Dialog,
    /// Text in the path field.
    pub text: String,
    /// Existing file that the path would replace, once the user was asked about it.
    pub replaces: Option<PathBuf>,
}

impl Prompt {
    /// Offers the place of the dialog, or the folder in which the program runs.
    pub fn new(dialog: Dialog) -> Self {
        let text = match &dialog.want {
            Want::Place(place) => home().join(place).display().to_string(),
            Want::Files | Want::Folder => {
                format!("{}{}", home().display(), std::path::MAIN_SEPARATOR)
            }
        };
        Self { dialog, text, replaces: None }
    }

    /// The path that is typed, see [`path_from_text`].
    pub fn path(&self) -> PathBuf {
        self.dialog.completed(path_from_text(&self.text))
    }

    /// Error text for the present path; `None` if the path is fine.
    pub fn problem(&self) -> Option<String> {
        let path = self.path();
        let shown = path.display();
        if self.text.trim().is_empty() {
            return Some("Type a path.".into());
        }
        match &self.dialog.want {
            Want::Files if path.is_dir() => {
                let is_model = path.join(MANIFEST_FILE).is_file();
                (!is_model && self.traces().is_none() && !self.has_tables()).then(|| {
                    format!("{shown} is a folder without traces and tables; name a file in it.")
                })
            }
            Want::Files if !path.is_file() => Some(format!("There is no file {shown}.")),
            Want::Folder if !path.is_dir() => Some(format!("There is no folder {shown}.")),
            Want::Place(_) if path.is_dir() => {
                Some(format!("{shown} is a folder; add a file name."))
            }
            Want::Place(_) => {
                let folder = path.parent().unwrap_or_else(|| Path::new("."));
                let exists = folder.as_os_str().is_empty() || folder.is_dir();
                (!exists).then(|| format!("There is no folder {}.", folder.display()))
            }
            Want::Files | Want::Folder => None,
        }
    }

    /// Number of traces in the folder that is typed, which are opened together; `None` if there are none, or no folder
    /// is asked for.
    pub fn traces(&self) -> Option<usize> {
        let is_trace = |path: &Path| path.extension().is_some_and(|end| end == TRACE_ENDING);
        let takes_traces =
            self.dialog.filters.iter().any(|(_, endings)| endings.contains(&TRACE_ENDING));
        if self.dialog.want != Want::Files || !takes_traces {
            return None;
        }
        let entries = self.path().read_dir().ok()?.flatten();
        Some(entries.filter(|entry| is_trace(&entry.path())).count()).filter(|&count| count > 0)
    }

    /// Whether a folder is typed that has tables, which are opened together.
    fn has_tables(&self) -> bool {
        let is_table = |path: &Path| path.extension().is_some_and(|end| end == TABLE_ENDING);
        let takes_tables =
            self.dialog.filters.iter().any(|(_, endings)| endings.contains(&TABLE_ENDING));
        let mut entries = self.path().read_dir().into_iter().flatten().flatten();
        self.dialog.want == Want::Files
            && takes_tables
            && entries.any(|entry| is_table(&entry.path()))
    }

    /// Completions: entries of the folder whose names begin with the last part of the path, sorted.
    pub fn completions(&self) -> Vec<String> {
        let typed = self.text.trim();
        let (folder, begin) = match typed.rfind(std::path::MAIN_SEPARATOR) {
            Some(at) => typed.split_at(at + 1),
            None => ("", typed),
        };
        let shown = match (folder.strip_prefix("~/"), dirs::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(if folder.is_empty() { "." } else { folder }),
        };
        let fits = |path: &Path, name: &str| {
            let of_kind = || {
                let mut endings = self.dialog.filters.iter().flat_map(|(_, endings)| *endings);
                path.extension().is_some_and(|end| endings.any(|one| *one == "*" || end == *one))
            };
            name != begin
                && (begin.starts_with('.') || !name.starts_with('.'))
                && (path.is_dir() || (self.dialog.want != Want::Folder && of_kind()))
        };
        let mut found: Vec<String> = std::fs::read_dir(shown)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().to_str()?.to_owned();
                if !name.starts_with(begin) {
                    return None;
                }
                let path = entry.path();
                let end = if path.is_dir() { std::path::MAIN_SEPARATOR_STR } else { "" };
                fits(&path, &name).then(|| format!("{folder}{name}{end}"))
            })
            .collect();
        found.sort();
        found
    }
}

/// The path in a text that was typed or pasted: a path, a path from the user's folder (`~/`), or a `file://` address as
/// file managers copy it, in which special characters are percent-encoded.
pub fn path_from_text(text: &str) -> PathBuf {
    let text = text.trim();
    if let Some(address) = text.strip_prefix("file://") {
        let path = address.strip_prefix("localhost").unwrap_or(address);
        return PathBuf::from(&*percent_encoding::percent_decode_str(path).decode_utf8_lossy());
    }
    match (text.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

fn home() -> PathBuf {
    std::env::current_dir().ok().or_else(dirs::home_dir).unwrap_or_default()
}

/// The desktop's dialog. It is created on the window's thread, as macOS requires; calling the returned function
/// shows it and waits for the answer.
pub fn ask_desktop(dialog: &Dialog) -> Box<dyn FnOnce() -> Option<Vec<PathBuf>> + Send> {
    let mut asked = rfd::AsyncFileDialog::new().set_title(dialog.title);
    for (name, endings) in dialog.filters {
        asked = asked.add_filter(*name, endings);
    }
    let one = |file: rfd::FileHandle| vec![file.path().to_owned()];
    match &dialog.want {
        Want::Files => {
            let files = asked.pick_files();
            Box::new(move || Some(pollster::block_on(files)?.into_iter().flat_map(one).collect()))
        }
        Want::Folder => {
            let folder = asked.pick_folder();
            Box::new(move || pollster::block_on(folder).map(one))
        }
        Want::Place(place) => {
            if let Some(folder) = place.parent().filter(|folder| folder.is_dir()) {
                asked = asked.set_directory(folder);
            }
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            let place = asked.set_file_name(name).save_file();
            Box::new(move || pollster::block_on(place).map(one))
        }
    }
}

/// Whether the desktop can show a dialog: through its file portal or through `zenity`.
#[cfg(target_os = "linux")]
pub fn has_desktop_dialogs() -> bool {
    const PORTAL: &str = "org.freedesktop.portal.Desktop";
    let ask = async || -> zbus::Result<bool> {
        let bus = zbus::Connection::session().await?;
        let proxy = zbus::fdo::DBusProxy::new(&bus).await?;
        let names = [proxy.list_names().await?, proxy.list_activatable_names().await?];
        Ok(names.iter().flatten().any(|name| name.as_str() == PORTAL))
    };
    let on_path = |folder: PathBuf| folder.join("zenity").is_file();
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(on_path))
        || pollster::block_on(ask()).unwrap_or(false)
}

/// Whether the desktop can show a dialog: on this system, always.
#[cfg(not(target_os = "linux"))]
pub const fn has_desktop_dialogs() -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn prompt(want: Want, text: &str) -> Prompt {
        let dialog = Dialog { title: "t", want, filters: &[("film", &["mp4", "gif"])] };
        let mut prompt = Prompt::new(dialog);
        prompt.text = text.into();
        prompt
    }

    #[test]
    fn an_address_of_a_file_is_decoded() {
        let path = |text| path_from_text(text).display().to_string();
        assert_eq!(path(" file:///home/ann/two%20cats%C3%A9.png\n"), "/home/ann/two catsé.png");
        assert_eq!(path("file://localhost/a.png"), "/a.png");
        assert_eq!(path("/home/ann/50%20.png"), "/home/ann/50%20.png");
    }

    #[test]
    fn a_typed_path_is_checked_and_gets_its_ending() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(folder.path().join("a.mp4"), "x").unwrap();
        let place = || Want::Place("tour.mp4".into());
        let new = prompt(place(), &path("new"));
        assert_eq!((new.problem(), new.path()), (None, folder.path().join("new.mp4")));
        let other = prompt(place(), &path("tour.toml"));
        assert_eq!(other.path(), folder.path().join("tour.toml.mp4"));
        assert!(prompt(place(), &path("no/such/x.mp4")).problem().unwrap().contains("no folder"));
        assert!(prompt(place(), &path("")).problem().unwrap().contains("is a folder"));
        assert!(prompt(Want::Files, &path("b.mp4")).problem().unwrap().contains("no file"));
        assert_eq!(prompt(Want::Files, &path("a.mp4")).problem(), None);
        assert_eq!(prompt(Want::Folder, &path("")).problem(), None);
        assert!(prompt(Want::Files, "  ").problem().is_some());
        // A folder of traces is opened as a whole, where traces are asked for.
        let traces = |text: &str| {
            let dialog = Dialog { title: "t", want: Want::Files, filters: TRACES };
            Prompt { text: text.into(), ..Prompt::new(dialog) }
        };
        let own = path("");
        assert!(traces(&own).problem().unwrap().contains("without traces"));
        std::fs::write(folder.path().join("a.parquet"), "x").unwrap();
        let both = Dialog {
            title: "t",
            want: Want::Files,
            filters: &[("t", &[TRACE_ENDING, TABLE_ENDING])],
        };
        assert_eq!(Prompt { text: own.clone(), ..Prompt::new(both) }.problem(), None);
        assert!(traces(&own).problem().is_some(), "only traces are asked for");
        for name in ["a.vlmtrace", "b.vlmtrace", "notes.txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!((traces(&own).problem(), traces(&own).traces()), (None, Some(2)));
        assert_eq!(traces(&path("a.vlmtrace")).traces(), None);
        assert!(prompt(Want::Files, &own).problem().is_some(), "films are asked for");
    }

    #[test]
    fn completions_are_entries_of_the_right_kind() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tour.mp4", "tour.txt", ".hidden.mp4", "other.gif"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.path().join("tours")).unwrap();
        let begin = folder.path().join("to").display().to_string();
        let names = |want: Want, text: &str| -> Vec<String> {
            let found = prompt(want, text).completions();
            let name =
                |path: &String| path.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
            found.iter().map(name).collect()
        };
        assert_eq!(names(Want::Files, &begin), ["tour.mp4", "tours"]);
        assert_eq!(names(Want::Folder, &begin), ["tours"]);
        let all = format!("{}/", folder.path().display());
        assert_eq!(names(Want::Files, &all), ["other.gif", "tour.mp4", "tours"]);
        assert!(names(Want::Files, "/no/such/folder/x").is_empty());
    }
}
