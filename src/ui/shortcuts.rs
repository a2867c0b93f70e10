//! Every action of the window in one table: its name, its keys, its place in the palette.
//!
//! Buttons, keys and palette all send an [`UiCommand`]; nothing else can be done. What a key means is
//! therefore written once, and the help screen cannot go stale.

use egui::{Event, Key, KeyboardShortcut, Modifiers};

/// Something a user can do without further arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UiCommand {
    ShowStage,
    ShowHeads,
    ShowWall,
    ShowMatrix,
    ShowTokenMatrix,
    ShowRelevancy,
    NextToken,
    PreviousToken,
    FirstToken,
    LastToken,
    AllTokens,
    NextLayer,
    PreviousLayer,
    NextHead,
    PreviousHead,
    Mean,
    Max,
    MeanLayers,
    MeanHeads,
    BestHead,
    NextBestHead,
    Play,
    Faster,
    Slower,
    ToggleLoop,
    PlayTokens,
    PlayLayers,
    PlayHeads,
    ResetSelection,
    ZoomIn,
    ZoomOut,
    ZoomFit,
    NextColormap,
    NextBlend,
    NextInterpolation,
    NextNormalisation,
    NextQuantity,
    NextHeadOrder,
    ToggleGrid,
    ToggleBos,
    PinMap,
    NextMix,
    TogglePicture,
    LvlmInterpretLook,
    DefaultLook,
    Undo,
    Redo,
    FocusQuestion,
    Stop,
    Regenerate,
    NewConversation,
    PreviousAnswer,
    NextAnswer,
    EditPicture,
    AskEdited,
    OcclusionMap,
    EachHeadOff,
    HeadOff,
    KnockOutPatches,
    KeepOnlyPatches,
    ComputeRelevancy,
    ComputeEveryRelevancy,
    TestMap,
    OpenFile,
    OpenModel,
    BuiltInModel,
    Paste,
    SaveTrace,
    SavePng,
    SaveSvg,
    CopyImage,
    SaveNumbers,
    CopyNumbers,
    CopyCommandLine,
    Bookmark,
    RecordTake,
    EditWalkthrough,
    WalkthroughOfBookmarks,
    PreviewWalkthrough,
    AddView,
    UseView,
    RemoveStep,
    DuplicateStep,
    EarlierStep,
    LaterStep,
    TrimBefore,
    TrimAfter,
    AddTitle,
    AddEnd,
    SaveWalkthrough,
    SaveWalkthroughAs,
    PackWalkthrough,
    CloseWalkthrough,
    Present,
    RecordFilm,
    Palette,
    Help,
    FullScreen,
    ToggleChat,
    ToggleInspector,
    ToggleTokens,
    ToggleTheme,
    LargerType,
    SmallerType,
    ResetLayout,
    ToggleAnimation,
    Quit,
}

/// Where an action stands in the help screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Views,
    Scrub,
    Play,
    Look,
    Ask,
    Files,
    Show,
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
            Self::Look => "Look",
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
    /// What is done.
    pub act: UiCommand,
    /// Its name in the palette, in sentence case.
    pub name: &'static str,
    /// Where it stands.
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
    ($($section:ident { $($act:ident $name:literal $([$mods:ident $key:ident])*),+ $(,)? })+) => {
        &[$($(Entry {
            act: UiCommand::$act,
            name: $name,
            section: Section::$section,
            keys: &[$(key($mods, Key::$key)),*],
        }),+),+]
    };
}

/// The table.
pub const ENTRIES: &[Entry] = entries! {
    Views {
        ShowStage "Stage: one map over the picture" [NONE S],
        ShowHeads "Heads: every head of the layer" [NONE H],
        ShowWall "Wall: every head of every layer" [NONE W],
        ShowMatrix "Layer × head matrix" [NONE L],
        ShowTokenMatrix "Token matrix of the head" [NONE T],
        ShowRelevancy "Relevancy" [SHIFT R],
        ZoomIn "Zoom in" [NONE Equals] [NONE Plus],
        ZoomOut "Zoom out" [NONE Minus],
        ZoomFit "Fit into the window" [NONE Num0],
    }
    Scrub {
        NextToken "Next answer token" [NONE ArrowRight],
        PreviousToken "Previous answer token" [NONE ArrowLeft],
        FirstToken "First answer token" [NONE Home],
        LastToken "Last answer token" [NONE End],
        AllTokens "All answer tokens" [NONE A],
        NextLayer "Next layer" [NONE ArrowDown],
        PreviousLayer "Previous layer" [NONE ArrowUp],
        NextHead "Next head" [NONE CloseBracket],
        PreviousHead "Previous head" [NONE OpenBracket],
        Mean "Mean of all layers and heads" [NONE M],
        Max "Maximum of all layers and heads" [SHIFT M],
        MeanLayers "Mean of the layers",
        MeanHeads "Mean of the heads",
        BestHead "Best head: focused on the picture" [NONE B],
        NextBestHead "Next best head" [NONE N],
        ResetSelection "Clear the selected patches" [NONE R],
        Undo "Undo" [CTRL Z],
        Redo "Redo" [CTRL_SHIFT Z] [CTRL Y],
    }
    Play {
        Play "Play or pause" [NONE Space],
        PlayTokens "Play through the answer tokens" [NONE Num1],
        PlayLayers "Play through the layers" [NONE Num2],
        PlayHeads "Play through the heads" [NONE Num3],
        Faster "Play faster" [NONE Period],
        Slower "Play slower" [NONE Comma],
        ToggleLoop "Loop, or stop at the end" [SHIFT L],
    }
    Look {
        NextColormap "Next colour map" [NONE C],
        NextBlend "Next blend mode" [NONE V],
        NextInterpolation "Next interpolation" [NONE I],
        NextNormalisation "Next normalisation" [NONE K],
        NextQuantity "Next quantity of the matrix" [NONE Q],
        NextHeadOrder "Next order of the heads" [NONE E],
        ToggleGrid "Patch grid" [NONE G],
        ToggleBos "Leave out the BOS column" [NONE O],
        PinMap "Pin this map and compare others with it" [NONE X],
        NextMix "Next way to compare with the pinned map" [SHIFT X],
        TogglePicture "Original or preprocessed picture" [NONE P],
        LvlmInterpretLook "LVLM-Interpret look",
        DefaultLook "Default look",
    }
    Ask {
        FocusQuestion "Ask a question" [NONE Slash] [CTRL L],
        Stop "Stop" [NONE Escape],
        Regenerate "Answer again" [CTRL R],
        NewConversation "New conversation on this picture" [CTRL N],
        PreviousAnswer "Previous question" [NONE PageUp],
        NextAnswer "Next question" [NONE PageDown],
        EditPicture "Edit the picture, or look again" [NONE D],
        AskEdited "Ask about the edited picture" [SHIFT D],
        OcclusionMap "Occlusion map: cover the picture part by part",
        EachHeadOff "Switch each head off in turn",
        HeadOff "Switch off the head that is shown",
        KnockOutPatches "Knock out the selected patches",
        KeepOnlyPatches "Keep only the selected patches",
        ComputeRelevancy "Compute relevancy of every word",
        ComputeEveryRelevancy "Compute relevancy of every word: language model, vision tower and both",
        TestMap "Test this map by blanking patches",
        OpenModel "Open a model folder…" [CTRL M],
        BuiltInModel "Use the built-in model",
    }
    Files {
        OpenFile "Open a picture or trace…" [CTRL O],
        Paste "Paste a picture" [CTRL V],
        SaveTrace "Save the trace…" [CTRL S],
        SavePng "Save this view as PNG…" [CTRL E],
        SaveSvg "Save this view as SVG…" [CTRL_SHIFT E],
        CopyImage "Copy this view as an image" [CTRL_SHIFT C],
        SaveNumbers "Save the numbers of this view…",
        CopyNumbers "Copy the numbers of this view as CSV",
        CopyCommandLine "Copy the command line that draws this view",
        Bookmark "Bookmark this view" [CTRL D],
    }
    Show {
        Present "Present on a large screen" [NONE F5],
        RecordFilm "Record a film…" [CTRL_SHIFT R],
        RecordTake "Note what I do as a walkthrough, or stop" [SHIFT N],
        EditWalkthrough "Make a walkthrough of this answer" [CTRL W],
        WalkthroughOfBookmarks "Make a walkthrough of the bookmarks",
        PreviewWalkthrough "Preview the walkthrough, or not" [NONE J],
        AddView "Add this view to the walkthrough" [NONE Insert],
        UseView "Put this view into the selected step" [NONE U],
        RemoveStep "Remove the selected step" [NONE Delete],
        DuplicateStep "Duplicate the selected step",
        EarlierStep "Move the selected step earlier",
        LaterStep "Move the selected step later",
        TrimBefore "Trim: drop what comes before the play head",
        TrimAfter "Trim: drop what comes after the play head",
        AddTitle "Begin with a title card",
        AddEnd "End with a card",
        SaveWalkthrough "Save the walkthrough…" [CTRL_SHIFT S],
        SaveWalkthroughAs "Save the walkthrough under another name…",
        PackWalkthrough "Pack the walkthrough with its traces…",
        CloseWalkthrough "Close the walkthrough",
    }
    Window {
        Palette "All commands…" [CTRL P],
        Help "Keyboard shortcuts" [NONE Questionmark] [NONE F1],
        FullScreen "Full screen" [NONE F] [NONE F11],
        ToggleChat "Chat panel" [CTRL B],
        ToggleInspector "Inspector panel" [CTRL I],
        ToggleTokens "Token strip" [CTRL T],
        ToggleTheme "Dark or light",
        LargerType "Larger type" [CTRL Plus] [CTRL Equals],
        SmallerType "Smaller type" [CTRL Minus],
        ToggleAnimation "Cross-fade on jumps",
        ResetLayout "Reset the layout",
        Quit "Quit" [CTRL Q],
    }
};

impl UiCommand {
    /// Its row of the table.
    pub fn entry(self) -> Option<&'static Entry> {
        ENTRIES.iter().find(|entry| entry.act == self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.entry().map_or("", |entry| entry.name)
    }

    /// Whether it is about the walkthrough that is being made, whatever is seen.
    pub const fn is_of_the_editor(self) -> bool {
        matches!(
            self,
            Self::PreviewWalkthrough
                | Self::AddView
                | Self::UseView
                | Self::RemoveStep
                | Self::DuplicateStep
                | Self::EarlierStep
                | Self::LaterStep
                | Self::TrimBefore
                | Self::TrimAfter
                | Self::AddTitle
                | Self::AddEnd
                | Self::SaveWalkthrough
                | Self::SaveWalkthroughAs
                | Self::PackWalkthrough
                | Self::CloseWalkthrough
        )
    }

    /// Whether it changes the view on the stage.
    pub fn changes_the_view(self) -> bool {
        let section = self.entry().map(|entry| entry.section);
        matches!(section, Some(Section::Views | Section::Scrub | Section::Play | Section::Look))
    }

    /// The keys that are shown beside it; empty where it has none.
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

/// What has the keyboard.
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
    // How a sign is typed (with shift or without) depends on the keyboard's layout.
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
