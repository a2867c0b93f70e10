//! Asking for files: the desktop's own dialog where there is one, a line in the window elsewhere.
//!
//! A minimal desktop, a kiosk or a remote display often has neither a file portal nor `zenity`; the
//! dialog library then says that nothing was chosen, which a user takes for a dead button.

use super::app::App;
use std::path::{Path, PathBuf};

/// What is done with what was chosen: one path or more.
pub type Then = Box<dyn FnOnce(&mut App, Vec<PathBuf>) + Send>;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// One file or more that exist.
    Files,
    /// A folder that exists.
    Folder,
    /// A place for a file; first this one is offered.
    Place(PathBuf),
}

/// A question for a path.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// What for.
    pub title: &'static str,
    /// What is asked for.
    pub want: Want,
    /// Kinds of files: a name and endings. A place with none of them gets the first.
    pub filters: &'static [(&'static str, &'static [&'static str])],
}

impl Dialog {
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
pub struct Prompt {
    /// The question.
    pub dialog: Dialog,
    /// What is typed.
    pub text: String,
    /// The file that would be replaced, once that was asked.
    pub replaces: Option<PathBuf>,
    /// What was looked up for a text: a folder is not read at every blink of the cursor.
    listed: Option<(String, Vec<String>, Option<String>)>,
    then: Then,
}

impl Prompt {
    fn new(dialog: Dialog, then: Then) -> Self {
        let text = match &dialog.want {
            Want::Place(place) => home().join(place).display().to_string(),
            Want::Files | Want::Folder => {
                format!("{}{}", home().display(), std::path::MAIN_SEPARATOR)
            }
        };
        Self { dialog, text, replaces: None, listed: None, then }
    }

    /// The path that is typed; `~` is the user's folder.
    pub fn path(&self) -> PathBuf {
        let text = self.text.trim().trim_start_matches("file://");
        let path = match (text.strip_prefix("~/"), dirs::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        self.dialog.completed(path)
    }

    /// What is wrong with the path, in a sentence.
    pub fn problem(&self) -> Option<String> {
        let path = self.path();
        let shown = path.display();
        if self.text.trim().is_empty() {
            return Some("Type a path.".into());
        }
        match &self.dialog.want {
            Want::Files if path.is_dir() => {
                Some(format!("{shown} is a folder; name a file in it."))
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

    /// Completions and the problem of what is typed; looked up when that changes.
    pub fn looked_up(&mut self, most: usize) -> (&[String], Option<&str>) {
        if self.listed.as_ref().is_none_or(|(text, ..)| *text != self.text) {
            self.listed = Some((self.text.clone(), self.completions(most), self.problem()));
        }
        match &self.listed {
            Some((_, completions, problem)) => (completions, problem.as_deref()),
            None => (&[], None),
        }
    }

    /// What could be typed next: entries of the folder that begin like the last part of the path.
    fn completions(&self, most: usize) -> Vec<String> {
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
        found.truncate(most);
        found
    }
}

fn home() -> PathBuf {
    std::env::current_dir().ok().or_else(dirs::home_dir).unwrap_or_default()
}

/// Asks; what is chosen comes back between two frames. A dialog that is closed ends without a word.
pub fn ask(
    app: &mut App,
    dialog: Dialog,
    then: impl FnOnce(&mut App, Vec<PathBuf>) + Send + 'static,
) {
    if app.asks_in_window {
        app.prompt = Some(Prompt::new(dialog, Box::new(then)));
        return;
    }
    let asked = ask_desktop(&dialog);
    app.exports.run_change("dialog", move || {
        if !has_desktop_dialogs() {
            return Ok(Some(Box::new(move |app: &mut App| {
                app.prompt = Some(Prompt::new(dialog, Box::new(then)));
            })));
        }
        let Some(paths) = asked().filter(|paths| !paths.is_empty()) else { return Ok(None) };
        let completed: Vec<PathBuf> =
            paths.iter().map(|path| dialog.completed(path.clone())).collect();
        // The desktop asked about another file.
        let other = completed.iter().zip(&paths).find(|(to, chosen)| to != chosen && to.exists());
        if let Some((to, _)) = other {
            let (text, replaces) = (to.display().to_string(), Some(to.clone()));
            return Ok(Some(Box::new(move |app: &mut App| {
                let prompt = Prompt::new(dialog, Box::new(then));
                app.prompt = Some(Prompt { text, replaces, ..prompt });
            })));
        }
        let paths = completed;
        Ok(Some(Box::new(move |app: &mut App| then(app, paths))))
    });
}

/// Asks for one place.
pub fn ask_place(
    app: &mut App,
    dialog: Dialog,
    then: impl FnOnce(&mut App, PathBuf) + Send + 'static,
) {
    ask(app, dialog, move |app, paths| {
        if let Some(path) = paths.into_iter().next() {
            then(app, path);
        }
    });
}

/// What was typed is taken, if it can be.
pub fn accept(app: &mut App) {
    let Some(prompt) = &mut app.prompt else { return };
    if prompt.problem().is_some() {
        return;
    }
    let path = prompt.path();
    let is_place = matches!(prompt.dialog.want, Want::Place(_));
    if is_place && path.exists() && prompt.replaces.as_ref() != Some(&path) {
        prompt.replaces = Some(path);
        return;
    }
    if let Some(prompt) = app.prompt.take() {
        (prompt.then)(app, vec![path]);
    }
}

/// The desktop's dialog: made on the thread of the window, as macOS wants it, and shown when what
/// comes back is called, which waits for the answer.
fn ask_desktop(dialog: &Dialog) -> Box<dyn FnOnce() -> Option<Vec<PathBuf>> + Send> {
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
fn has_desktop_dialogs() -> bool {
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

#[cfg(not(target_os = "linux"))]
const fn has_desktop_dialogs() -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn prompt(want: Want, text: &str) -> Prompt {
        let dialog = Dialog { title: "t", want, filters: &[("film", &["mp4", "gif"])] };
        let mut prompt = Prompt::new(dialog, Box::new(|_, _| ()));
        prompt.text = text.into();
        prompt
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
            let found = prompt(want, text).completions(9);
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
