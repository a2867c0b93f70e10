//! State of what-if questions: edit the picture, ask again, compare; cover patches, cut attention, switch heads off.
//!
//! The first answer stays as it is: an edit opens a second document beside it, and a comparison draws both with
//! one view state. Measurements (an effect, a matrix of heads) belong to the document that they were made on.

pub mod patching;
pub mod session;

use super::document::DocumentId;
use super::stage::{StageRenderer, StageTraces};
use crate::analysis::diff::{Alignment, TraceDifference, Words};
use crate::analysis::inside::Inside;
use crate::analysis::patching::Site;
use crate::edit::{Adjust, Brush, Fill, Step};
use crate::gpu::Beside;
use crate::model::{Effect, KnockFrom};
use crate::trace::{ImageSpan, Trace, TraceMeta};
use crate::view::figure::Readout;
use crate::view::{AxisSet, MapChoice, Mix, Quantity, QueryKind, Second, ViewState};
use patching::{PatchAsk, Patching};
use session::Session;
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
    Colors,
    /// Blanks whole patches of what the model sees.
    Patches,
    /// Cuts a rectangle out.
    Crop,
}

impl Tool {
    /// Every tool with its name and what it does.
    pub const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Brush, "Brush", "Paint on the picture"),
        (Self::Eraser, "Eraser", "Restore the original"),
        (Self::Fill, "Fill", "Drag a rectangle to fill it, for example to erase an object"),
        (Self::Colors, "Colours", "Drag a rectangle to change the colours in it"),
        (Self::Patches, "Patches", "Blank whole patches of what the model sees"),
        (Self::Crop, "Crop", "Drag the rectangle to keep"),
    ];
}

/// Settings of the editing tools.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToolSettings {
    /// Brush and eraser, in pixels of the picture.
    pub brush: Brush,
    /// The paint.
    pub color: [u8; 3],
    /// Fill of an area.
    pub fill: Fill,
    /// Change of colours.
    pub adjust: Adjust,
    /// Only where the hue is like that of the area's middle.
    pub only_like_middle: bool,
}

impl Default for ToolSettings {
    fn default() -> Self {
        Self {
            brush: Brush { size: 48.0, hardness: 0.8 },
            color: [255, 255, 255],
            fill: Fill::Surroundings,
            adjust: Adjust { hue: 120.0, ..Adjust::default() },
            only_like_middle: true,
        }
    }
}

/// Ways to show two answers together.
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
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The first answer, which the other is compared with.
    pub first: DocumentId,
    /// The other one.
    pub second: DocumentId,
    /// The other question with the first answer, so that tokens align; of two answers to one question, the other answer.
    pub scored: Arc<Trace>,
    /// Differences between the words of both answers.
    pub words: Vec<Words>,
    /// Differences in numbers.
    pub difference: TraceDifference,
}

/// The two sides of a comparison in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// Short, for a label: "Original", "This answer".
    pub short: [&'static str; 2],
    /// Within a sentence: "the original answer", "this answer".
    pub in_text: [&'static str; 2],
    /// The question of the second side: "the edited picture".
    pub scored: &'static str,
}

const EDIT: Names = Names {
    short: ["Original", "Edited"],
    in_text: ["the original answer", "the edited answer"],
    scored: "the edited picture",
};
const ANSWERS: Names = Names {
    short: ["This answer", "Other answer"],
    in_text: ["this answer", "the other answer"],
    scored: "the other question",
};

impl Comparison {
    /// Whether both answer one question, so that each is shown as it was given.
    pub fn is_of_answers(&self) -> bool {
        self.difference.alignment == Alignment::Shared
    }

    /// The same map of the second answer. Of two answers to one question, a token stands for the one that it is
    /// compared with, or else for the one at the same place.
    pub fn map_of_second(&self, map: &MapChoice) -> MapChoice {
        let mut map = map.clone();
        if !self.is_of_answers() || map.queries.kind != QueryKind::Answer {
            return map;
        }
        let Some(named) = map.queries.set.named() else { return map };
        let last = self.scored.shape().generated.saturating_sub(1) as u32;
        let of = |&token: &u32| {
            let pair = self.difference.tokens.iter().find(|[first, _]| *first == token);
            pair.map_or(token.min(last), |[_, second]| *second)
        };
        let tokens: Vec<u32> = named.iter().map(of).collect();
        map.queries.set = match (map.queries.set.only(), &tokens[..]) {
            (Some(_), &[token]) => AxisSet::single(token),
            _ => AxisSet::new(map.queries.set.aggregate(), tokens),
        };
        map
    }

    /// The same view of the second answer, see [`Self::map_of_second`].
    pub fn view_of_second(&self, state: &ViewState) -> ViewState {
        ViewState { map: self.map_of_second(&state.map), ..state.clone() }
    }
}

/// The result of an intervention.
#[derive(Clone, Debug)]
pub struct Intervened {
    /// The document that the intervention was measured on.
    pub on: DocumentId,
    /// Description of the intervention.
    pub what: String,
    /// The effect on the answer.
    pub effect: Effect,
    /// The words of the answer compared with those after the intervention.
    pub words: Vec<Words>,
    /// Whether attention was steered.
    pub is_steered: bool,
}

/// The effect of each head.
pub struct HeadEffects {
    /// The document that the effects were measured on.
    pub on: DocumentId,
    /// [L, H]; `None` for heads without a result so far.
    pub totals: Vec<Option<f32>>,
    /// Whether greedy decoding would diverge from the answer.
    pub changed: Vec<bool>,
}

/// The measurements of a document that was closed.
pub struct Forgotten {
    id: DocumentId,
    comparison: Option<Comparison>,
    intervened: Option<Intervened>,
    heads: Option<HeadEffects>,
    /// The edits of its picture.
    session: Option<Session>,
    /// The document whose edited picture it was about.
    session_of: Option<DocumentId>,
}

impl Forgotten {
    /// Bytes of the picture that was edited.
    pub fn picture_bytes(&self) -> usize {
        self.session.as_ref().map_or(0, Session::picture_bytes)
    }
}

/// The whole state of editing, comparing and intervening.
pub struct WhatIf {
    /// The tool in use; `None` for none.
    pub tool: Option<Tool>,
    /// The tool that was used last.
    pub last_tool: Tool,
    /// Settings of the tools.
    pub settings: ToolSettings,
    /// Whether every edit asks the model at once.
    pub live: bool,
    /// The picture that is edited.
    pub session: Option<Session>,
    /// The points of the gesture under way, in pixels of the original.
    pub gesture: Vec<[f64; 2]>,
    /// Way in which both answers are shown.
    pub compare: Compare,
    /// Position of the line of a swipe, 0–1 of the stage.
    pub swipe: f32,
    /// Both answers.
    pub comparison: Option<Comparison>,
    /// The second stage, once it was needed.
    pub second_stage: Option<StageRenderer>,
    /// The query rows whose attention a knock-out cuts.
    pub from: KnockFrom,
    /// The last intervention.
    pub intervened: Option<Intervened>,
    /// The effects of single heads.
    pub heads: Option<HeadEffects>,
    /// The table of copied activations.
    pub patching: Option<Patching>,
    /// The edit that is being asked about.
    pub(in crate::ui) task: Option<u64>,
    /// The strength of steering, and the document that it belongs to.
    pub steering: Option<(DocumentId, f32)>,
    /// The steered answer that is being computed.
    pub(in crate::ui) steering_task: Option<u64>,
}

/// The area that steering turns attention to: its name and key positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeredArea {
    /// "fox", "12 patches".
    pub name: String,
    /// Key positions of its patches.
    pub keys: Vec<u32>,
}

impl SteeredArea {
    /// The chosen patches, or else the patches of the chosen object of which at least half lies inside; `None` without any.
    pub fn of(meta: &TraceMeta, state: &ViewState) -> Option<Self> {
        let keys: Vec<u32> =
            state.selected.iter().filter_map(|patch| Some(meta.key_of_patch(*patch)?.0)).collect();
        if !keys.is_empty() {
            let patches = if keys.len() == 1 { "patch" } else { "patches" };
            return Some(Self { name: format!("{} {patches}", keys.len()), keys });
        }
        let object = state.objects.get(state.object? as usize)?;
        let inside = Inside::new(&meta.spans, Some(object.picture), &object.parts);
        let all = meta.spans.iter().flat_map(ImageSpan::keys).zip(inside.parts());
        let keys: Vec<u32> =
            all.filter(|(_, part)| **part >= 0.5).map(|(key, _)| key as u32).collect();
        (!keys.is_empty()).then(|| Self { name: object.name.clone(), keys })
    }
}

impl Default for WhatIf {
    fn default() -> Self {
        Self {
            tool: None,
            last_tool: Tool::Brush,
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
            patching: None,
            task: None,
            steering: None,
            steering_task: None,
        }
    }
}

/// Requests from the what-if panel.
#[derive(Clone, Debug)]
pub enum WhatIfCommand {
    /// Takes a tool up, or puts it down.
    Tool(Option<Tool>),
    /// Sets the tools.
    Settings(ToolSettings),
    /// Asks after every edit, or when told to.
    Live(bool),
    /// The points of the gesture under way, in pixels of the original; none ends it.
    Gesture(Vec<[f64; 2]>),
    /// Moves the line of a swipe, 0–1 of the stage.
    Swipe(f32),
    /// Cuts the attention of these rows.
    From(KnockFrom),
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
    /// Turns attention towards the chosen patches or the chosen object, by this strength.
    Steer(f32),
    /// Copies activations into the run on another picture.
    Patch(PatchAsk),
    /// Shows a layer of the copied activations on the stage.
    ShowPatched(Site, u32),
}

impl WhatIf {
    /// Names of the two answers that are compared.
    pub fn names(&self) -> &'static Names {
        let is_edit = |comparison: &Comparison, session: &Session| {
            comparison.first == session.original && Some(comparison.second) == session.edited
        };
        match (&self.comparison, &self.session) {
            (Some(comparison), Some(session)) if !is_edit(comparison, session) => &ANSWERS,
            (Some(_), None) => &ANSWERS,
            _ => &EDIT,
        }
    }

    /// The comparison, if it is shown in place of `current`.
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

    /// Takes out all measurements of a document that is closed.
    pub fn forget(&mut self, id: DocumentId) -> Forgotten {
        let comparison = self.comparison.take_if(|both| both.first == id || both.second == id);
        let intervened = self.intervened.take_if(|done| done.on == id);
        let heads = self.heads.take_if(|heads| heads.on == id);
        self.steering.take_if(|(of, _)| *of == id);
        self.patching.take_if(|patching| patching.of == id);
        let mut session = self.session.take_if(|session| session.original == id);
        if let Some(session) = &mut session {
            session.forget_texture();
            self.tool = None;
        }
        let session_of = self.session.as_mut().and_then(|session| {
            session.edited.take_if(|edited| *edited == id).map(|_| session.original)
        });
        if self.comparison.is_none() {
            self.compare = Compare::Off;
        }
        Forgotten { id, comparison, intervened, heads, session, session_of }
    }

    /// Puts the measurements of a document back, where no others have taken their place.
    pub fn bring_back(&mut self, forgotten: Forgotten) {
        let Forgotten { id, comparison, intervened, heads, session, session_of } = forgotten;
        self.comparison = self.comparison.take().or(comparison);
        self.intervened = self.intervened.take().or(intervened);
        self.heads = self.heads.take().or(heads);
        self.session = self.session.take().or(session);
        if let Some(session) = &mut self.session
            && session_of == Some(session.original)
        {
            session.edited.get_or_insert(id);
        }
    }
}

/// The result of drawing the second answer.
#[derive(Default)]
pub struct SecondDrawn {
    /// Whether the drawing is not complete yet.
    pub pending: bool,
    /// The error, reported once.
    pub error: Option<String>,
}

impl WhatIf {
    /// Puts the map of the second answer into the view of the first, where their difference is shown, and returns the
    /// trace of that map. What is drawn, hovered and exported is this view.
    pub fn subtract_second(
        &self,
        current: Option<DocumentId>,
        state: &mut ViewState,
    ) -> Option<Arc<Trace>> {
        let both = self.seen_together(current).filter(|_| self.compare == Compare::Difference)?;
        Some(subtract(both, state))
    }

    /// Puts what is seen of the second answer into the view of the first, for a figure, and returns its trace: the
    /// difference, or both answers left and right of a line.
    pub fn second_of_figure(
        &self,
        current: Option<DocumentId>,
        state: &mut ViewState,
    ) -> Option<Arc<Trace>> {
        let both = self.seen_together(current)?;
        let trace = subtract(both, state);
        let position = match self.compare {
            Compare::Off | Compare::Difference => return Some(trace),
            Compare::Swipe => f64::from(self.swipe),
            Compare::SideBySide | Compare::Flicker => 0.5,
        };
        if let Some(second) = &mut state.second {
            second.mix = Mix::Swipe { position };
        }
        Some(trace)
    }

    /// The numbers of both answers, where they share one legend: left and right of a line, or in turn.
    pub(super) fn readouts_of_both(
        &mut self,
        current: Option<DocumentId>,
        state: &ViewState,
        stage: &mut StageRenderer,
        trace: &Trace,
    ) -> Option<[Readout; 2]> {
        let both = self.seen_together(current)?;
        let (scored, of_second) = (Arc::clone(&both.scored), both.view_of_second(state));
        if !matches!(self.compare, Compare::Swipe | Compare::Flicker) {
            return None;
        }
        // A view that does not fit is reported when it is drawn.
        let first = stage.readout(state, trace).ok()?;
        let second = self.second_stage.as_mut()?.readout(&of_second, &scored).ok()?;
        Some([first, second])
    }

    /// As [`Self::subtract_second`], for the change in the layer × head matrix: however both answers are shown, and
    /// only if no map is pinned.
    pub fn second_of_matrix(
        &self,
        current: DocumentId,
        state: &mut ViewState,
    ) -> Option<Arc<Trace>> {
        let is_asked = state.quantity == Quantity::Change && state.second.is_none();
        let both = self.comparison.as_ref().filter(|both| is_asked && both.first == current)?;
        Some(subtract(both, state))
    }
}

/// Puts the map of the second answer into a view of the first; returns its trace.
fn subtract(both: &Comparison, state: &mut ViewState) -> Arc<Trace> {
    state.second = Some(Second {
        // The caption of the figure names it by this text.
        trace: Some(match both.difference.alignment {
            Alignment::Scored => "the second, scored with this answer".into(),
            _ => "the second".into(),
        }),
        map: both.map_of_second(&state.map),
        mix: Mix::Difference,
    });
    Arc::clone(&both.scored)
}

impl WhatIf {
    /// Draws the second answer under the view of the first on a stage of its own; nothing for a difference, which the
    /// first stage draws.
    pub(super) fn draw_second(
        &mut self,
        current: Option<DocumentId>,
        state: &ViewState,
        stage: &StageRenderer,
        beside: Option<Beside>,
        scale: f32,
    ) -> SecondDrawn {
        let both = self.seen_together(current).filter(|_| self.compare != Compare::Difference);
        let Some(both) = both else { return SecondDrawn::default() };
        let (trace, state) = (Arc::clone(&both.scored), both.view_of_second(state));
        if self.second_stage.is_none() {
            match stage.sibling() {
                // The stage gets its rectangle in the next frame.
                Ok(stage) => self.second_stage = Some(stage),
                Err(error) => {
                    self.compare = Compare::Off;
                    let error = Some(error.to_string());
                    return SecondDrawn { pending: false, error };
                }
            }
            return SecondDrawn { pending: true, error: None };
        }
        let Some(second) = &mut self.second_stage else { return SecondDrawn::default() };
        let drawn = second.draw(&state, Some(&trace), StageTraces { second: None, beside }, scale);
        SecondDrawn { pending: drawn.pending, error: drawn.error }
    }

    /// Drops textures and stages of a device that was lost.
    pub fn forget_device(&mut self) {
        self.second_stage = None;
        if let Some(session) = &mut self.session {
            session.forget_texture();
        }
    }
}
