//! What if: edit the picture, ask again, compare; cover it, cut attention, switch heads off.
//!
//! The decision here: the answer that everything is held against stays where it is. An edit opens a
//! second document beside the first, a comparison draws both with one view state, and what was
//! measured (an effect, a matrix of heads) belongs to the document that it was measured on.

mod edit;
mod runs;

pub use edit::Session;

use super::app::App;
use super::document::DocumentId;
use super::shortcuts::UiCommand;
use super::stage::Stage;
use crate::analysis::diff::{Alignment, TraceDifference, Words};
use crate::edit::{Adjust, Brush, Fill, Step};
use crate::model::{Effect, Intervention, KnockFrom};
use crate::trace::{Head, Layer, Trace};
use crate::view::{Mix, Second, ViewState};
use std::sync::Arc;

/// A tool on the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Paints.
    Brush,
    /// Brings the original back.
    Eraser,
    /// Fills a rectangle.
    Fill,
    /// Changes the colours in a rectangle.
    Colours,
    /// Blanks whole patches of what the model sees.
    Patches,
    /// Cuts a rectangle out.
    Crop,
}

impl Tool {
    /// Every tool with its name and what it does.
    pub const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Brush, "Brush", "Paint on the picture"),
        (Self::Eraser, "Eraser", "Bring the original back"),
        (Self::Fill, "Fill", "Drag a rectangle to fill it: erase a thing"),
        (Self::Colours, "Colours", "Drag a rectangle to change the colours in it"),
        (Self::Patches, "Patches", "Blank whole patches of what the model sees"),
        (Self::Crop, "Crop", "Drag the rectangle that stays"),
    ];
}

/// What the tools are set to.
#[derive(Clone, Copy, Debug)]
pub struct ToolSettings {
    /// Brush and eraser, in pixels of the picture.
    pub brush: Brush,
    /// The paint.
    pub colour: [u8; 3],
    /// What an area is filled with.
    pub fill: Fill,
    /// How colours are changed.
    pub adjust: Adjust,
    /// Only where the hue is like that of the area's middle.
    pub only_like_middle: bool,
}

impl Default for ToolSettings {
    fn default() -> Self {
        Self {
            brush: Brush { size: 48.0, hardness: 0.8 },
            colour: [255, 255, 255],
            fill: Fill::Surroundings,
            adjust: Adjust { hue: 120.0, ..Adjust::default() },
            only_like_middle: true,
        }
    }
}

/// How two answers are shown together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Only one.
    Off,
    /// Both stages.
    SideBySide,
    /// One after the other.
    Flicker,
    /// One left, one right of a line.
    Swipe,
    /// First − second.
    Difference,
}

/// Two answers against each other.
pub struct Comparison {
    /// The answer that everything is held against.
    pub first: DocumentId,
    /// The other one.
    pub second: DocumentId,
    /// The other question with the first answer, so that tokens align.
    pub scored: Arc<Trace>,
    /// What changed in the words.
    pub words: Vec<Words>,
    /// What changed in the numbers.
    pub difference: TraceDifference,
}

/// What an intervention did.
pub struct Intervened {
    /// The document that it was measured on.
    pub on: DocumentId,
    /// What was done, as a line.
    pub what: String,
    /// The effect on the answer.
    pub effect: Effect,
    /// What became of the words of the answer.
    pub words: Vec<Words>,
}

/// The effect of each head.
pub struct HeadEffects {
    /// The document that they were measured on.
    pub on: DocumentId,
    /// [L, H]; `None` where it is not known yet.
    pub totals: Vec<Option<f32>>,
    /// Whether greedy decoding would have left the answer.
    pub changed: Vec<bool>,
}

/// The state of all of it.
pub struct WhatIf {
    /// The tool in use; `None` looks.
    pub tool: Option<Tool>,
    /// What the tools are set to.
    pub settings: ToolSettings,
    /// Ask after every stroke.
    pub live: bool,
    /// The picture that is edited.
    pub session: Option<Session>,
    /// The points of the gesture under way, in pixels of the original.
    pub gesture: Vec<[f64; 2]>,
    /// How both answers are shown.
    pub compare: Compare,
    /// Where the line of a swipe is, 0–1 of the stage.
    pub swipe: f32,
    /// Both answers.
    pub comparison: Option<Comparison>,
    /// The second stage, once it was needed.
    pub second_stage: Option<Stage>,
    /// Whose attention is cut.
    pub from: KnockFrom,
    /// The last intervention.
    pub intervened: Option<Intervened>,
    /// The effects of single heads.
    pub heads: Option<HeadEffects>,
    /// The edit that is being asked about.
    task: Option<u64>,
}

impl Default for WhatIf {
    fn default() -> Self {
        Self {
            tool: None,
            settings: ToolSettings::default(),
            live: true,
            session: None,
            gesture: Vec::new(),
            compare: Compare::Off,
            swipe: 0.5,
            comparison: None,
            second_stage: None,
            from: KnockFrom::Answer,
            intervened: None,
            heads: None,
            task: None,
        }
    }
}

/// What a panel asks for.
#[derive(Clone, Debug)]
pub enum WhatIfCommand {
    /// Takes a tool up, or puts it down.
    Tool(Option<Tool>),
    /// Does a step.
    Step(Step),
    /// Takes the last step back.
    UndoStep,
    /// Does it again.
    RedoStep,
    /// Back to the untouched picture.
    Reset,
    /// Asks about the edited picture.
    AskAgain,
    /// Saves the edited picture.
    SavePicture,
    /// Saves the steps.
    SaveEdits,
    /// Shows both answers so.
    Compare(Compare),
    /// Compares with another document.
    CompareWith(DocumentId),
    /// Covers the picture part by part.
    Occlusion,
    /// Switches each head off in turn.
    EachHead,
    /// Changes the model; the line says how.
    Intervene(Intervention, String),
}

/// Does what was asked for.
pub fn apply(app: &mut App, command: WhatIfCommand) {
    match command {
        WhatIfCommand::Tool(tool) => edit::take_up(app, tool),
        WhatIfCommand::Step(step) => edit::step(app, step),
        WhatIfCommand::UndoStep => edit::change(app, |edits| edits.undo()),
        WhatIfCommand::RedoStep => edit::change(app, |edits| edits.redo()),
        WhatIfCommand::Reset => edit::change(app, |edits| {
            let had = !edits.is_empty();
            while edits.undo() {}
            had
        }),
        WhatIfCommand::AskAgain => edit::ask_again(app),
        WhatIfCommand::SavePicture => edit::save_picture(app),
        WhatIfCommand::SaveEdits => edit::save_steps(app),
        WhatIfCommand::Compare(how) => show_both(app, how),
        WhatIfCommand::CompareWith(other) => runs::compare_with(app, other),
        WhatIfCommand::Occlusion => runs::occlusion_map(app),
        WhatIfCommand::EachHead => runs::each_head(app),
        WhatIfCommand::Intervene(change, what) => runs::intervene(app, change, what),
    }
}

/// What an action of the table does; false if it is none of ours.
pub fn run(app: &mut App, act: UiCommand) -> bool {
    match act {
        UiCommand::EditPicture => {
            let tool = if app.what_if.tool.is_some() { None } else { Some(Tool::Brush) };
            edit::take_up(app, tool);
        }
        UiCommand::AskEdited => edit::ask_again(app),
        UiCommand::OcclusionMap => runs::occlusion_map(app),
        UiCommand::EachHeadOff => runs::each_head(app),
        UiCommand::HeadOff => match shown_head(app) {
            Some((layer, head)) => head_off(app, layer, head),
            None => app.notify("Choose one layer and one head first.", false),
        },
        UiCommand::KnockOutPatches => cut_patches(app, false),
        UiCommand::KeepOnlyPatches => cut_patches(app, true),
        UiCommand::Undo if app.what_if.tool.is_some() => edit::change(app, |edits| edits.undo()),
        UiCommand::Redo if app.what_if.tool.is_some() => edit::change(app, |edits| edits.redo()),
        _ => return false,
    }
    true
}

fn shown_head(app: &App) -> Option<(u32, u32)> {
    let map = &app.doc()?.state().map;
    Some((map.layers.only()?, map.heads.only()?))
}

/// Switches one head off.
pub fn head_off(app: &mut App, layer: u32, head: u32) {
    let change = Intervention::AblateHeads(vec![(Layer(layer), Head(head))]);
    runs::intervene(app, change, format!("layer {layer} · head {head} off"));
}

/// Cuts the attention to the chosen patches, or to all others.
fn cut_patches(app: &mut App, keep: bool) {
    let Some(doc) = app.doc() else { return };
    let meta = doc.meta();
    let patches = &doc.state().selected;
    let keys: Vec<u32> =
        patches.iter().filter_map(|patch| Some(meta.key_of_patch(*patch)?.0)).collect();
    if keys.is_empty() {
        app.notify("Choose patches first: click or brush over the picture.", false);
        return;
    }
    let (from, layers, count) = (app.what_if.from, Vec::new(), keys.len());
    let patches = if count == 1 { "patch" } else { "patches" };
    let (change, what) = if keep {
        let what = format!("only {count} {patches} in sight");
        (Intervention::KeepPatches { keys, from, layers }, what)
    } else {
        let what = format!("{count} {patches} out of sight");
        (Intervention::Knock { keys, from, layers }, what)
    };
    runs::intervene(app, change, what);
}

/// Shows both answers, or one again.
fn show_both(app: &mut App, how: Compare) {
    let Some(first) = app.what_if.comparison.as_ref().map(|comparison| comparison.first) else {
        app.what_if.compare = Compare::Off;
        return;
    };
    app.what_if.compare = how;
    // Tokens are those of the first answer, with which the second was scored.
    if how != Compare::Off {
        app.show_document(first);
        edit::take_up(app, None);
    }
}

impl WhatIf {
    /// The two answers, if they are to be seen in place of `current`.
    pub fn seen_together(&self, current: Option<DocumentId>) -> Option<&Comparison> {
        let comparison = self.comparison.as_ref()?;
        (self.compare != Compare::Off && Some(comparison.first) == current).then_some(comparison)
    }

    /// Gives up a gesture, puts the tool down, or shows one answer again; false where there is
    /// nothing of the kind.
    pub fn put_down(&mut self) -> bool {
        if !self.gesture.is_empty() {
            self.gesture.clear();
        } else if self.tool.is_some() {
            self.tool = None;
        } else if self.compare != Compare::Off {
            self.compare = Compare::Off;
        } else {
            return false;
        }
        true
    }

    /// A closed document takes what was measured on it along.
    pub fn forget(&mut self, id: DocumentId) {
        self.comparison.take_if(|both| both.first == id || both.second == id);
        self.intervened.take_if(|done| done.on == id);
        self.heads.take_if(|heads| heads.on == id);
        if let Some(session) = self.session.take_if(|session| session.original == id) {
            drop(session);
            self.tool = None;
        }
        if let Some(session) = &mut self.session {
            session.edited.take_if(|edited| *edited == id);
        }
        if self.comparison.is_none() {
            self.compare = Compare::Off;
        }
    }
}

/// What came of drawing the second answer.
#[derive(Default)]
pub struct SecondDrawn {
    /// The second trace of a difference, which the first stage draws.
    pub trace: Option<Arc<Trace>>,
    /// Whether it is not complete yet.
    pub pending: bool,
    /// What went wrong, once.
    pub error: Option<String>,
}

impl WhatIf {
    /// Draws the second answer under the view of the first; for a difference, puts it into the view.
    pub(super) fn draw_second(
        &mut self,
        current: Option<DocumentId>,
        state: &mut ViewState,
        stage: &Stage,
        scale: f32,
    ) -> SecondDrawn {
        let Some(both) = self.seen_together(current) else { return SecondDrawn::default() };
        let trace = Arc::clone(&both.scored);
        if self.compare == Compare::Difference {
            state.second = Some(Second {
                // The caption says so.
                trace: Some(match both.difference.alignment {
                    Alignment::Scored => "the second, scored with this answer".into(),
                    _ => "the second".into(),
                }),
                map: state.map.clone(),
                mix: Mix::Difference,
            });
            return SecondDrawn { trace: Some(trace), ..SecondDrawn::default() };
        }
        if self.second_stage.is_none() {
            match stage.sibling() {
                // It has no place yet: the next frame gives it one.
                Ok(stage) => self.second_stage = Some(stage),
                Err(error) => {
                    self.compare = Compare::Off;
                    let error = Some(error.to_string());
                    return SecondDrawn { error, ..SecondDrawn::default() };
                }
            }
            return SecondDrawn { pending: true, ..SecondDrawn::default() };
        }
        let Some(second) = &mut self.second_stage else { return SecondDrawn::default() };
        let drawn = second.draw(state, Some(&trace), None, scale);
        SecondDrawn { trace: None, pending: drawn.pending, error: drawn.error }
    }

    /// Lets go of what lives on a device that was lost.
    pub fn forget_device(&mut self) {
        self.second_stage = None;
        if let Some(session) = &mut self.session {
            session.forget_texture();
        }
    }
}
