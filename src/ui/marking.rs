//! Marking objects on the stage: the tool in use and the gesture under way. The objects themselves are in the view
//! state.

use crate::analysis::outline::{Outline, RegionPart, bounds};
use crate::trace::Rect;
use crate::view::{Command, MarkedObject, ViewState};

/// A tool that marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarkTool {
    /// A rectangle.
    #[default]
    Rectangle,
    /// A line drawn by hand around the object.
    Lasso,
    /// A brush that paints the object.
    Brush,
}

impl MarkTool {
    /// Every tool with its name and what it does.
    pub const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Rectangle, "Rectangle", "Drag a rectangle around the object"),
        (Self::Lasso, "Lasso", "Draw a line around the object"),
        (Self::Brush, "Brush", "Paint over the object"),
    ];
}

/// The effect of a gesture on the area that it encloses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkAction {
    /// A new object.
    New,
    /// More of the chosen object.
    Add,
    /// Less of the chosen object.
    Cut,
}

/// A gesture under way.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkGesture {
    /// Points in pixels of the original.
    pub points: Vec<[f64; 2]>,
    /// Index of the object that changes.
    pub index: u32,
    /// The object before the gesture.
    pub before: MarkedObject,
    /// The effect of the gesture.
    pub action: MarkAction,
}

/// The tool in use and the gesture under way.
#[derive(Clone, Debug)]
pub struct Marking {
    /// The tool; `None` for none.
    pub tool: Option<MarkTool>,
    /// The tool that was used last.
    pub last: MarkTool,
    /// Diameter of the brush in pixels of the original; `None`: a twelfth of the picture's longer side.
    pub brush: Option<f64>,
    /// The gesture under way.
    pub gesture: Option<MarkGesture>,
    /// The name that is being typed for the chosen object.
    pub renaming: Option<String>,
}

impl Default for Marking {
    fn default() -> Self {
        let last = MarkTool::default();
        Self { tool: None, last, brush: None, gesture: None, renaming: None }
    }
}

/// Requests about marking.
#[derive(Clone, Debug)]
pub enum MarkCommand {
    /// Takes a tool up, or puts it down.
    Tool(Option<MarkTool>),
    /// Sets the brush, in pixels of the original.
    Brush(f64),
    /// The gesture under way; `None` ends it.
    Gesture(Option<MarkGesture>),
    /// Changes the typed name; `None` ends typing.
    Rename(Option<String>),
}

impl Marking {
    /// Gives up the gesture, the name or the tool; false where there is nothing of the kind.
    pub fn put_down(&mut self) -> bool {
        if self.renaming.take().is_some() {
            return true;
        }
        let had_gesture = self.gesture.take().is_some();
        had_gesture || self.tool.take().is_some()
    }
}

impl MarkGesture {
    /// Starts at a point of a picture.
    pub fn new(state: &ViewState, picture: u32, action: MarkAction, point: [f64; 2]) -> Self {
        let chosen = state.object.zip(state.chosen_object());
        let chosen = chosen.filter(|(_, object)| object.picture == picture);
        let (index, before, action) = match chosen.filter(|_| action != MarkAction::New) {
            Some((index, object)) => (index, object.clone(), action),
            None => {
                let name = state.next_object_name();
                let object = MarkedObject { name, picture, parts: Vec::new() };
                (state.objects.len() as u32, object, MarkAction::New)
            }
        };
        Self { points: vec![point], index, before, action }
    }

    /// The change of the view, if the gesture is larger than `least` pixels; a stroke always is.
    pub fn command(&self, tool: MarkTool, brush: f64, least: f64) -> Option<Command> {
        let around = bounds(&self.points, 0.0)?;
        let is_large = around.width > least && around.height > least;
        let outline = match tool {
            MarkTool::Rectangle => {
                let (first, last) = (self.points.first()?, self.points.last()?);
                let Rect { width, height, .. } = bounds(&[*first, *last], 0.0)?;
                if width <= least || height <= least {
                    return None;
                }
                Outline::Rectangle { rect: bounds(&[*first, *last], 0.0)? }
            }
            MarkTool::Lasso if is_large && self.points.len() > 2 => {
                Outline::Lasso { points: self.points.clone() }
            }
            MarkTool::Lasso => return None,
            MarkTool::Brush => Outline::Stroke { points: self.points.clone(), size: brush },
        };
        let mut object = self.before.clone();
        object.parts.push(RegionPart { outline, cut: self.action == MarkAction::Cut });
        Some(Command::SetObject(self.index, Box::new(object)))
    }
}
