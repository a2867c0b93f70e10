//! The commands of the window as data: names, keys, sections of the help screen.
//!
//! Buttons, keys and palette all send a [`UiCommand`]. Its rows are in `command_table`, so that keys and
//! names are written once and the help screen cannot go stale.

use super::command_table::ui_commands;
use egui::{Event, Key, KeyboardShortcut, Modifiers};

/// Sections of the help screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Views and zoom.
    Views,
    /// Tokens, layers, heads; undo.
    Scrub,
    /// Playing through an axis.
    Play,
    /// Look of the map.
    Look,
    /// Questions and the model.
    Ask,
    /// Files and figures.
    Files,
    /// Walkthroughs, films, presentations.
    Show,
    /// The window.
    Window,
}

impl Section {
    /// In the order of the help screen.
    pub const ALL: [Self; 8] = [
        Self::Views,
        Self::Scrub,
        Self::Play,
        Self::Look,
        Self::Ask,
        Self::Files,
        Self::Show,
        Self::Window,
    ];

    /// The heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Views => "Views",
            Self::Scrub => "Tokens, layers, heads",
            Self::Play => "Play",
            Self::Look => "Display",
            Self::Ask => "Ask",
            Self::Files => "Files and figures",
            Self::Show => "Walkthroughs and films",
            Self::Window => "Window",
        }
    }
}

/// One action.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The command.
    pub act: UiCommand,
    /// Its name in the palette, in sentence case.
    pub name: &'static str,
    /// Section of the help screen.
    pub section: Section,
    /// Keys; the first is shown.
    pub keys: &'static [KeyboardShortcut],
}

const NONE: Modifiers = Modifiers::NONE;
const CTRL: Modifiers = Modifiers::COMMAND;
const SHIFT: Modifiers = Modifiers::SHIFT;
const CTRL_SHIFT: Modifiers = Modifiers { shift: true, ..Modifiers::COMMAND };

const fn key(modifiers: Modifiers, key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(modifiers, key)
}

macro_rules! entries {
    ($($section:ident {
        $($act:ident $name:literal $([$mods:ident $key:ident])* => $run:expr),+ $(,)?
    })+) => {
        /// A command without arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum UiCommand {
            $($(#[doc = concat!($name, ".")] $act),+),+
        }

        /// The table.
        pub const ENTRIES: &[Entry] = &[$($(Entry {
            act: UiCommand::$act,
            name: $name,
            section: Section::$section,
            keys: &[$(key($mods, Key::$key)),*],
        }),+),+];
    };
}

ui_commands!(entries);

impl UiCommand {
    /// Its row of the table.
    pub fn entry(self) -> Option<&'static Entry> {
        ENTRIES.iter().find(|entry| entry.act == self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.entry().map_or("", |entry| entry.name)
    }

    /// Whether it changes the view on the stage.
    pub fn changes_the_view(self) -> bool {
        let section = self.entry().map(|entry| entry.section);
        matches!(section, Some(Section::Views | Section::Scrub | Section::Play | Section::Look))
    }

    /// The keys as text; empty without keys.
    pub fn keys_text(self) -> String {
        self.entry().and_then(|entry| entry.keys.first()).map(keys_text).unwrap_or_default()
    }

    /// Name and keys, for tooltips.
    pub fn hint(self) -> String {
        let keys = self.keys_text();
        if keys.is_empty() { self.name().into() } else { format!("{} ({keys})", self.name()) }
    }
}

/// "Ctrl+Shift+Z".
pub fn keys_text(keys: &KeyboardShortcut) -> String {
    let mut text = String::new();
    if keys.modifiers.command {
        text.push_str(if cfg!(target_os = "macos") { "Cmd+" } else { "Ctrl+" });
    }
    if keys.modifiers.shift {
        text.push_str("Shift+");
    }
    text.push_str(match keys.logical_key {
        Key::ArrowLeft => "←",
        Key::ArrowRight => "→",
        Key::ArrowUp => "↑",
        Key::ArrowDown => "↓",
        Key::OpenBracket => "[",
        Key::CloseBracket => "]",
        Key::Slash => "/",
        Key::Questionmark => "?",
        Key::Period => ".",
        Key::Comma => ",",
        Key::Equals => "=",
        Key::Plus => "+",
        Key::Minus => "−",
        Key::Escape => "Esc",
        other => other.name(),
    });
    text
}

/// The element that has the keyboard focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// Nothing: every key is a command.
    None,
    /// A button or list, which keeps the keys that press it or move on from it.
    Widget,
    /// A text, which keeps everything that types or edits.
    Text,
}

/// The actions that the keys of this frame mean, in the order of the presses.
pub fn pressed(events: &[Event], focus: Focus) -> Vec<UiCommand> {
    let act = |event: &Event| match event {
        Event::Key { key, pressed: true, modifiers, .. } => act_of(*key, *modifiers, focus),
        _ => None,
    };
    events.iter().filter_map(act).collect()
}

fn act_of(key: Key, modifiers: Modifiers, focus: Focus) -> Option<UiCommand> {
    // Whether a punctuation character is typed with Shift depends on the keyboard's layout.
    let is_sign = matches!(
        key,
        Key::Questionmark
            | Key::Plus
            | Key::Equals
            | Key::Minus
            | Key::Slash
            | Key::OpenBracket
            | Key::CloseBracket
            | Key::Period
            | Key::Comma
    );
    let fits = |keys: &KeyboardShortcut| {
        let wanted = keys.modifiers;
        keys.logical_key == key
            && wanted.command == modifiers.command
            && (is_sign || wanted.shift == modifiers.shift)
            && !modifiers.alt
    };
    let entry = ENTRIES.iter().find(|entry| entry.keys.iter().any(fits))?;
    let allowed = match focus {
        Focus::None => true,
        Focus::Widget => !matches!(
            key,
            Key::Space
                | Key::Enter
                | Key::ArrowUp
                | Key::ArrowDown
                | Key::ArrowLeft
                | Key::ArrowRight
        ),
        Focus::Text => {
            let edits = matches!(key, Key::V | Key::Z | Key::Y | Key::A | Key::C | Key::X);
            (modifiers.command && !edits) || matches!(key, Key::Escape | Key::F1 | Key::F11)
        }
    };
    allowed.then_some(entry.act)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_actions_share_keys_and_every_one_is_listed_once() {
        let mut seen = Vec::new();
        for entry in ENTRIES {
            for keys in entry.keys {
                let id = (keys.modifiers.command, keys.modifiers.shift, keys.logical_key);
                assert!(!seen.contains(&id), "{} shares {}", entry.name, keys_text(keys));
                seen.push(id);
            }
            let same = ENTRIES.iter().filter(|other| other.act == entry.act).count();
            assert_eq!(same, 1, "{} is listed {same} times", entry.name);
            assert!(entry.name.chars().next().is_some_and(char::is_uppercase));
        }
    }

    #[test]
    fn typing_keeps_plain_keys_for_the_text() {
        let plain = Modifiers::NONE;
        let (none, widget, text) = (Focus::None, Focus::Widget, Focus::Text);
        assert_eq!(act_of(Key::W, plain, none), Some(UiCommand::ShowWall));
        assert_eq!(act_of(Key::W, plain, widget), Some(UiCommand::ShowWall));
        assert_eq!(act_of(Key::W, plain, text), None);
        assert_eq!(act_of(Key::Space, plain, widget), None, "it presses the button");
        assert_eq!(act_of(Key::Z, Modifiers::COMMAND, text), None);
        assert_eq!(act_of(Key::P, Modifiers::COMMAND, text), Some(UiCommand::Palette));
        assert_eq!(act_of(Key::Escape, plain, text), Some(UiCommand::Stop));
        assert_eq!(act_of(Key::Questionmark, Modifiers::SHIFT, none), Some(UiCommand::Help));
        assert_eq!(act_of(Key::M, Modifiers::SHIFT, none), Some(UiCommand::Max));
    }
}
