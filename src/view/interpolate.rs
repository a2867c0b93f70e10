//! The transition from one state to another, for walkthroughs and recordings.
//!
//! Numbers are interpolated (camera, opacity, a fixed range); choices cannot be. Another map of the same trace becomes
//! a cross-fade of the two *maps*, so that one overlay blends into the other over an unchanged picture; any other
//! change becomes a cross-fade of two whole frames.

use super::{Camera, Mix, Range, Second, SecondRule, ViewKind, ViewState};
use crate::analysis::reduce::Keep;
use serde::{Deserialize, Serialize};

/// The speed profile of a transition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Easing {
    /// Constant speed.
    Linear,
    /// Slow at both ends (smootherstep: speed and acceleration are 0 there).
    #[default]
    InOut,
    /// Slow at the end.
    Out,
    /// No transition: the new state at once.
    Cut,
}

impl Easing {
    /// The share of the transition after a share of the time; 0 → 0 and 1 → 1 (a cut is complete at once).
    pub fn at(self, t: f64) -> f64 {
        let t = t.clamp(0.0, 1.0);
        match self {
            Self::Linear => t,
            Self::InOut => t * t * t * (t * (6.0 * t - 15.0) + 10.0),
            Self::Out => 1.0 - (1.0 - t).powi(3),
            Self::Cut => 1.0,
        }
    }
}

/// The state or frames to draw during a transition.
#[derive(Clone, Debug, PartialEq)]
pub enum Interpolated {
    /// One state.
    One(Box<ViewState>),
    /// Two frames, cross-faded as pictures: (1 − mix) × from + mix × to.
    Two {
        /// The old frame.
        from: Box<ViewState>,
        /// The new frame.
        to: Box<ViewState>,
        /// Weight of `to`, 0–1.
        mix: f64,
    },
}

/// The state or frames at a share `t` of the transition; at the ends, exactly the two states.
pub fn interpolate(from: &ViewState, to: &ViewState, t: f64) -> Interpolated {
    if t <= 0.0 || from == to {
        return Interpolated::One(Box::new(from.clone()));
    }
    if t >= 1.0 {
        return Interpolated::One(Box::new(to.clone()));
    }
    let mut state = with_numbers(from, to, t);
    if same_choices(&state, to) {
        return Interpolated::One(Box::new(state));
    }
    let unmixed = ViewState { map: to.map.clone(), second: to.second.clone(), ..state.clone() };
    let both_plain = from.second.is_none() && to.second.is_none();
    if both_plain && shows_one_map(to.view) && same_choices(&unmixed, to) {
        let mix = Mix::CrossFade { amount: t };
        state.second = Some(Second { trace: None, map: to.map.clone(), mix });
        return Interpolated::One(Box::new(state));
    }
    // In another view or picture the camera has another meaning: each frame then keeps its own.
    let (from, to) = if from.view == to.view && from.trace == to.trace && from.picture == to.picture
    {
        let arriving = ViewState { camera: state.camera, ..with_numbers(to, to, t) };
        (ViewState { camera: state.camera, ..from.clone() }, arriving)
    } else {
        (from.clone(), to.clone())
    };
    Interpolated::Two { from: Box::new(from), to: Box::new(to), mix: t }
}

/// Whether the view's stage is one map over one picture.
fn shows_one_map(view: ViewKind) -> bool {
    let spec = view.spec();
    spec.keep == Some(Keep::One) && spec.second == SecondRule::Mixed
}

/// `from` with every number interpolated towards `to`.
fn with_numbers(from: &ViewState, to: &ViewState, t: f64) -> ViewState {
    let mut state = from.clone();
    state.opacity = lerp(from.opacity, to.opacity, t);
    state.fade_below = lerp(from.fade_below, to.fade_below, t);
    state.text_scale = lerp(from.text_scale, to.text_scale, t);
    state.camera = eased_camera(from.camera, to.camera, t);
    state.normalise.range = match (from.normalise.range, to.normalise.range) {
        (Range::Fixed { min, max }, Range::Fixed { min: to_min, max: to_max }) => {
            Range::Fixed { min: lerp(min, to_min, t), max: lerp(max, to_max, t) }
        }
        (Range::Percentile { low, high }, Range::Percentile { low: to_low, high: to_high }) => {
            Range::Percentile { low: lerp(low, to_low, t), high: lerp(high, to_high, t) }
        }
        (kept, _) => kept,
    };
    if let (Some(second), Some(to_second)) = (&mut state.second, &to.second) {
        second.mix = match (second.mix, to_second.mix) {
            (Mix::CrossFade { amount }, Mix::CrossFade { amount: to }) => {
                Mix::CrossFade { amount: lerp(amount, to, t) }
            }
            (Mix::Swipe { position }, Mix::Swipe { position: to }) => {
                Mix::Swipe { position: lerp(position, to, t) }
            }
            (kept, _) => kept,
        };
    }
    // Elements drawn over the map switch half-way.
    if t >= 0.5 {
        state.caption.clone_from(&to.caption);
        state.hovered = to.hovered;
        state.selected.clone_from(&to.selected);
        (state.legend, state.grid) = (to.legend, to.grid);
    }
    state
}

/// Whether two states differ only in numbers that are interpolated and in elements drawn over the map.
fn same_choices(state: &ViewState, to: &ViewState) -> bool {
    let mut there = ViewState {
        opacity: to.opacity,
        fade_below: to.fade_below,
        text_scale: to.text_scale,
        camera: to.camera,
        caption: to.caption.clone(),
        hovered: to.hovered,
        selected: to.selected.clone(),
        legend: to.legend,
        grid: to.grid,
        ..state.clone()
    };
    let same_kind = |a, b| std::mem::discriminant::<Range>(&a) == std::mem::discriminant(&b);
    if same_kind(there.normalise.range, to.normalise.range) {
        there.normalise.range = to.normalise.range;
    }
    if let (Some(second), Some(to)) = (&mut there.second, &to.second)
        && std::mem::discriminant(&second.mix) == std::mem::discriminant(&to.mix)
    {
        second.mix = to.mix;
    }
    there == *to
}

fn lerp(from: f64, to: f64, t: f64) -> f64 {
    from + (to - from) * t
}

/// Zoom changes by a constant factor per time, and the corners of the visible window move on straight lines: the
/// content never moves faster than at the wider end.
fn eased_camera(from: Camera, to: Camera, t: f64) -> Camera {
    let zoom = from.zoom * (to.zoom / from.zoom).powf(t);
    // The centre has moved by the same share as the size of the window.
    let (from_size, to_size) = (from.zoom.recip(), to.zoom.recip());
    let way = if (from_size - to_size).abs() < 1e-9 {
        t
    } else {
        (zoom.recip() - from_size) / (to_size - from_size)
    };
    Camera { centre: from.centre_towards(to, way), zoom }
}
