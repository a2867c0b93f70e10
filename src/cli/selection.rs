//! Flags for selections of numbers, shared by `render` and `export`.

use super::common::usage;
use crate::analysis::outline::{Outline, RegionPart};
use crate::trace::{ImageSpan, Rect, Trace};
use crate::view::{
    AxisSet, HeadSet, MapSource, MarkedObject, Mix, PictureChoice, Quantity, Queries, QueryKind,
    Second, SecondRule, ViewError, ViewState,
};
use std::path::PathBuf;

const ANSWERS: &str = "answer tokens";
const POSITIONS: &str = "positions";

/// Flags for a selection of numbers. They have one meaning in every command: [`Self::apply`] writes
/// them into a view state.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Selection {
    /// `attention`, or the name of a map or of pages (such as `gradient_attention`) in the trace
    /// (see `vlmscope inspect`).
    #[arg(long)]
    pub map: Option<String>,
    /// Answer tokens: 3; 2-4 or 2,5 (their mean); max:2-4; all [default: all that carry text]
    #[arg(long, value_name = "I[,J]", value_parser = |text: &str| text_of(ANSWERS, text), conflicts_with = "query", allow_negative_numbers = true)]
    pub token: Vec<String>,
    /// Query positions instead of answer tokens.
    #[arg(long, value_name = "POS", value_parser = |text: &str| text_of(POSITIONS, text), allow_negative_numbers = true)]
    pub query: Vec<String>,
    /// Layers: a number from 0, `last`, mean, max, or a set such as max:8-15 [default: mean]
    #[arg(long, value_parser = layers, allow_negative_numbers = true)]
    pub layer: Option<AxisFlag>,
    /// Heads: a number from 0, mean, max, or a set such as mean:0-7 [default: mean]
    #[arg(long, value_parser = heads, allow_negative_numbers = true)]
    pub head: Option<AxisFlag>,
    /// Mean of single heads of several layers, instead of --layer and --head: LAYER.HEAD, such as 4.1,7.0.
    #[arg(long, value_name = "L.H[,L.H]", value_parser = HeadSet::parse, conflicts_with_all = ["layer", "head"])]
    pub head_set: Option<HeadSet>,
    /// Leave out the BOS key and renormalise each row.
    #[arg(long)]
    pub remove_bos: bool,
    /// Token matrix with a column for every patch [default: one for each picture].
    #[arg(long)]
    pub every_patch: bool,

    #[command(flatten)]
    pub object: ObjectFlags,

    #[command(flatten)]
    pub picture: PictureFlags,

    /// Trace of the second map [default: the first trace].
    #[arg(long, value_name = "TRACE", help_heading = "Two maps")]
    pub second_trace: Option<PathBuf>,
    /// Source of the second map, as --map [default: the source of the first].
    #[arg(long, value_name = "MAP", help_heading = "Two maps")]
    pub second_map: Option<String>,
    /// Answer tokens of the second map, as --token [default: those of the first].
    #[arg(long, value_name = "I[,J]", value_parser = answers, allow_negative_numbers = true, help_heading = "Two maps")]
    pub second_token: Option<AxisSet>,
    /// Layers of the second map, as --layer [default: those of the first].
    #[arg(long, value_name = "LAYER", value_parser = layers, allow_negative_numbers = true, help_heading = "Two maps")]
    pub second_layer: Option<AxisFlag>,
    /// Heads of the second map, as --head [default: those of the first].
    #[arg(long, value_name = "HEAD", value_parser = heads, allow_negative_numbers = true, help_heading = "Two maps")]
    pub second_head: Option<AxisFlag>,
}

/// The object that is asked about.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ObjectFlags {
    /// Mark a box as an object, in pixels of the original picture; the matrix shows what lies inside.
    #[arg(long = "box", value_name = "LEFT,TOP,RIGHT,BOTTOM", value_parser = box_of, allow_hyphen_values = true, help_heading = "Objects")]
    pub corners: Option<Rect>,
    /// Choose the object of this name, which the state file marks.
    #[arg(long, value_name = "NAME", conflicts_with = "corners", help_heading = "Objects")]
    pub object: Option<String>,
}

impl ObjectFlags {
    /// Marks or chooses the object.
    ///
    /// # Errors
    /// A name that the state does not have.
    pub fn apply(&self, state: &mut ViewState) -> Result<(), ViewError> {
        if let Some(rect) = self.corners {
            let part = RegionPart::new(Outline::Rectangle { rect });
            let picture = state.picture.index;
            let object = MarkedObject { name: "box".into(), picture, parts: vec![part] };
            state.objects.push(object);
            state.object = Some(state.objects.len() as u32 - 1);
            state.set_quantity(Quantity::Inside);
            return Ok(());
        }
        let Some(name) = &self.object else { return Ok(()) };
        let found = state.objects.iter().position(|object| object.name == *name);
        let Some(found) = found else {
            let names: Vec<&str> = state.objects.iter().map(|object| &*object.name).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let reason = format!("no object is named `{name}`; the state marks {names}.");
            return Err(ViewError::Combination { reason });
        };
        state.object = Some(found as u32);
        state.set_quantity(Quantity::Inside);
        Ok(())
    }
}

pub(super) fn box_of(text: &str) -> Result<Rect, String> {
    let wrong = || format!("`{text}` is not LEFT,TOP,RIGHT,BOTTOM, such as 40,20,200,160");
    let numbers: Vec<f64> = text
        .split(',')
        .map(|part| part.trim().parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    let &[left, top, right, bottom] = numbers.as_slice() else { return Err(wrong()) };
    if !(right > left && bottom > top) {
        return Err(format!("`{text}` has no area: RIGHT must exceed LEFT, and BOTTOM TOP"));
    }
    Ok(Rect { x: left, y: top, width: right - left, height: bottom - top })
}

/// The choice among several pictures, frames and views.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct PictureFlags {
    /// Picture, if there are several, counted from 0.
    #[arg(long, help_heading = "Pictures")]
    pub picture: Option<u32>,
    /// Frame of a video, as `vlmscope inspect` numbers them.
    #[arg(long, value_name = "N", conflicts_with = "picture", help_heading = "Pictures")]
    pub frame: Option<u32>,
    /// One view of a picture that the model saw several times (a tile, the thumbnail), as `vlmscope inspect` numbers
    /// them [default: all views of the picture together].
    #[arg(long, value_name = "N", help_heading = "Pictures")]
    pub span: Option<u32>,
}

impl PictureFlags {
    /// Whether a flag is given.
    pub fn are_given(&self) -> bool {
        self.picture.is_some() || self.frame.is_some() || self.span.is_some()
    }

    /// Lays the flags over a choice.
    ///
    /// # Errors
    /// A frame that does not exist.
    pub fn apply(&self, choice: &mut PictureChoice, trace: &Trace) -> Result<(), ViewError> {
        let spans = &trace.meta().spans;
        if let Some(index) = self.frame {
            let frame = |span: &&ImageSpan| span.frame.is_some_and(|frame| frame.index == index);
            let Some(span) = spans.iter().find(frame) else {
                return Err(ViewError::NoFrame { index, frames: frames(spans) });
            };
            (choice.index, choice.view) = (span.picture, None);
        } else if let Some(index) = self.picture {
            (choice.index, choice.view) = (index, None);
        }
        if let Some(view) = self.span {
            choice.view = Some(view);
            let is_said = self.picture.is_some() || self.frame.is_some();
            if let Some(span) = spans.get(view as usize).filter(|_| !is_said) {
                choice.index = span.picture;
            }
        }
        Ok(())
    }
}

/// Layers or heads in the notation of flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AxisFlag {
    /// `all`: every one. A figure shows their mean; an array keeps the axis.
    All,
    /// `last`: the last layer.
    Last,
    /// A set of indices, and how it is reduced.
    Set(AxisSet),
}

impl AxisFlag {
    /// For heads: numbers are indices.
    fn heads(&self) -> AxisSet {
        match self {
            Self::All | Self::Last => AxisSet::MEAN,
            Self::Set(set) => set.clone(),
        }
    }

    /// As layers, which have the model's own numbers.
    fn layers(&self, trace: &Trace) -> AxisSet {
        match self {
            Self::All => AxisSet::MEAN,
            Self::Last => {
                let numbers = trace.meta().model.layer_numbers();
                AxisSet::single(numbers.last().copied().unwrap_or(0))
            }
            Self::Set(set) => set.clone(),
        }
    }
}

fn layers(text: &str) -> Result<AxisFlag, ViewError> {
    if text == "last" { Ok(AxisFlag::Last) } else { axis("layers", text) }
}

fn heads(text: &str) -> Result<AxisFlag, ViewError> {
    axis("heads", text)
}

fn axis(what: &'static str, text: &str) -> Result<AxisFlag, ViewError> {
    if text == "all" { Ok(AxisFlag::All) } else { AxisSet::parse(what, text).map(AxisFlag::Set) }
}

fn answers(text: &str) -> Result<AxisSet, ViewError> {
    AxisSet::parse(ANSWERS, text)
}

/// Checks a set of which [`joined`] needs the text.
fn text_of(what: &'static str, text: &str) -> Result<String, ViewError> {
    AxisSet::parse(what, text).map(|_| text.to_owned())
}

/// A flag that is given more than once is one list: `--token 3 --token 4` is `--token 3,4`.
fn joined(what: &'static str, texts: &[String]) -> Result<Option<AxisSet>, ViewError> {
    match texts {
        [] => Ok(None),
        texts => AxisSet::parse(what, &texts.join(",")).map(Some),
    }
}

impl Selection {
    /// Applies the flags to a state. `from_file`: the state came from a file, so that fields without a flag keep their
    /// values.
    ///
    /// # Errors
    /// A frame that does not exist.
    pub fn apply(
        &self,
        state: &mut ViewState,
        trace: &Trace,
        from_file: bool,
    ) -> Result<(), ViewError> {
        let map = &mut state.map;
        set(&mut map.source, self.map.clone().map(MapSource::from));
        set(&mut map.layers, self.layer.as_ref().map(|layer| layer.layers(trace)));
        set(&mut map.heads, self.head.as_ref().map(AxisFlag::heads));
        if let Some(set) = joined(POSITIONS, &self.query)? {
            map.queries = Queries { kind: QueryKind::Position, set };
        } else if let Some(set) = joined(ANSWERS, &self.token)? {
            map.queries = Queries { kind: QueryKind::Answer, set };
        } else if !from_file {
            map.queries = Queries::answers(&trace.meta().spoken_answers());
        }
        if let Some(heads) = &self.head_set {
            map.choose_heads(heads.heads().to_vec());
        } else if self.layer.is_some() || self.head.is_some() {
            map.head_set = None;
        }
        state.remove_bos |= self.remove_bos;
        state.every_patch |= self.every_patch;
        self.picture.apply(&mut state.picture, trace)?;
        self.object.apply(state)?;
        if self.names_second() {
            self.apply_second(state, trace)?;
        }
        Ok(())
    }

    /// Whether a flag describes a second map.
    pub fn names_second(&self) -> bool {
        self.second_trace.is_some()
            || self.second_map.is_some()
            || self.second_token.is_some()
            || self.second_layer.is_some()
            || self.second_head.is_some()
    }

    fn apply_second(&self, state: &mut ViewState, trace: &Trace) -> Result<(), ViewError> {
        // Fields of the second map without a flag equal those of the first: flags describe the difference.
        let mut second = state.second.take().unwrap_or_else(|| Second {
            trace: None,
            map: state.map.clone(),
            mix: match state.view.spec().second {
                SecondRule::Subtracted => Mix::Difference,
                SecondRule::Mixed | SecondRule::Hidden => Mix::default(),
            },
        });
        second.trace = self.second_trace.clone().or(second.trace);
        let map = &mut second.map;
        set(&mut map.source, self.second_map.clone().map(MapSource::from));
        set(&mut map.layers, self.second_layer.as_ref().map(|layer| layer.layers(trace)));
        set(&mut map.heads, self.second_head.as_ref().map(AxisFlag::heads));
        if let Some(answers) = &self.second_token {
            map.queries = Queries { kind: QueryKind::Answer, set: answers.clone() };
        }
        state.second = Some(second);
        Ok(())
    }
}

/// The frames that there are, for messages.
fn frames(spans: &[ImageSpan]) -> String {
    let numbers: Vec<u32> = spans.iter().filter_map(|span| Some(span.frame?.index)).collect();
    if numbers.is_empty() { "no frames".into() } else { format!("frames {}", kept(&numbers)) }
}

/// Sets a field if a flag gives a value.
pub(crate) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// An error of the command line for a selection that does not fit a trace.
pub(crate) fn refused(path: &std::path::Path, error: &ViewError) -> anyhow::Error {
    usage(format!("{}: {error}", path.display()))
}

/// Positions as ranges: "4–17, 20".
pub(crate) fn kept(rows: &[u32]) -> String {
    let mut text = String::new();
    let mut rest = rows;
    while let Some(&first) = rest.first() {
        let run = (first..).zip(rest).take_while(|(expected, row)| expected == *row).count();
        let last = rest[run - 1];
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&if run == 1 { first.to_string() } else { format!("{first}–{last}") });
        rest = &rest[run..];
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn positions_are_listed_as_ranges() {
        assert_eq!(kept(&[4, 5, 6, 9, 11, 12]), "4–6, 9, 11–12");
        assert_eq!(kept(&[]), "");
    }

    #[test]
    fn a_flag_that_is_given_twice_names_the_members_of_both() {
        let together = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            joined(ANSWERS, &texts)
        };
        assert_eq!(together(&[]).ok(), Some(None));
        assert_eq!(together(&["3", "4", "1-2"]).ok(), Some(answers("1-4").ok()));
        assert_eq!(together(&["max:3", "4"]).ok(), Some(answers("max:3,4").ok()));
        for refused in [["3", "max:4"], ["all", "4"]] {
            let error = together(&refused).unwrap_err().to_string();
            assert!(error.contains(&refused.join(",")), "{error}");
        }
    }

    #[test]
    fn an_axis_is_a_set_or_a_word() {
        assert_eq!(layers("last").ok(), Some(AxisFlag::Last));
        assert_eq!(heads("all").ok(), Some(AxisFlag::All));
        assert_eq!(heads("3").ok(), Some(AxisFlag::Set(AxisSet::single(3))));
        assert!(heads("last").is_err() && layers("-1").is_err());
    }
}
