//! The heads and marked objects that a state chooses.

use super::{
    AxisSet, HeadOrder, HeadSet, LayerHead, MapChoice, MarkedObject, ViewError, ViewState,
};
use crate::analysis::inside::Inside;
use crate::analysis::outline::Outline;
use crate::trace::Trace;

impl MapChoice {
    /// The single heads that are chosen one by one: those of the set, or the only head of the only layer.
    pub fn chosen_heads(&self) -> Vec<LayerHead> {
        match (&self.head_set, self.layers.only(), self.heads.only()) {
            (Some(set), ..) => set.heads().to_vec(),
            (None, Some(layer), Some(head)) => vec![[layer, head]],
            (None, ..) => Vec::new(),
        }
    }

    /// Chooses single heads: none is the mean of all, one is a layer and a head, several are a set.
    pub fn choose_heads(&mut self, heads: Vec<LayerHead>) {
        self.head_set = None;
        match HeadSet::new(heads) {
            None => (self.layers, self.heads) = (AxisSet::MEAN, AxisSet::MEAN),
            Some(set) => match set.heads() {
                &[[layer, head]] => {
                    (self.layers, self.heads) = (AxisSet::single(layer), AxisSet::single(head));
                }
                _ => self.head_set = Some(set),
            },
        }
    }
}

/// Number of objects in a state.
const MOST_OBJECTS: usize = 64;
/// Number of points of all outlines of a state: a file of somebody else must not take minutes to draw.
const MOST_POINTS: usize = 50_000;

impl ViewState {
    /// The chosen object.
    pub fn chosen_object(&self) -> Option<&MarkedObject> {
        self.objects.get(self.object? as usize)
    }

    /// The orders of heads that can be chosen.
    pub fn head_orders(&self) -> Vec<HeadOrder> {
        let can = |order: &HeadOrder| *order != HeadOrder::Inside || self.chosen_object().is_some();
        HeadOrder::ALL.iter().copied().filter(can).collect()
    }

    /// The part of each patch that lies inside the chosen object; `None` if no object is chosen.
    pub fn inside(&self, trace: &Trace) -> Option<Inside> {
        Some(self.chosen_object()?.inside(trace))
    }

    /// A name for the next object: "object 2".
    pub fn next_object_name(&self) -> String {
        let is_free = |name: &String| self.objects.iter().all(|object| object.name != *name);
        let names = (self.objects.len() + 1..).map(|number| format!("object {number}"));
        names.take(MOST_OBJECTS + 1).find(is_free).unwrap_or_default()
    }

    /// Checks outlines and the choice of an object.
    pub(super) fn check_objects(&self) -> Result<(), ViewError> {
        let bad = |reason: String| Err(ViewError::Combination { reason });
        if self.objects.len() > MOST_OBJECTS {
            let count = self.objects.len();
            return bad(format!("it marks {count} objects; at most {MOST_OBJECTS} are allowed."));
        }
        let mut points = 0;
        for object in &self.objects {
            for part in &object.parts {
                if let Some((field, value, bounds)) = part.outline.fault() {
                    let name = &object.name;
                    return bad(format!(
                        "`{field}` of object `{name}` is {value}; it must be {bounds}."
                    ));
                }
                points += match &part.outline {
                    Outline::Lasso { points } | Outline::Stroke { points, .. } => points.len(),
                    Outline::All | Outline::Rectangle { .. } | Outline::Ellipse { .. } => 1,
                };
            }
        }
        if points > MOST_POINTS {
            return bad(format!(
                "its objects have {points} points; at most {MOST_POINTS} are allowed."
            ));
        }
        match self.object {
            Some(index) if self.chosen_object().is_none() => bad(format!(
                "object {index} is chosen, but there are {} objects, numbered from 0.",
                self.objects.len()
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_head_is_no_set() {
        let mut map = MapChoice::default();
        map.choose_heads(vec![[4, 1]]);
        assert_eq!((map.layers.only(), map.heads.only(), &map.head_set), (Some(4), Some(1), &None));
        assert_eq!(map.chosen_heads(), [[4, 1]]);
        map.choose_heads(vec![[7, 0], [4, 1]]);
        assert_eq!(map.chosen_heads(), [[4, 1], [7, 0]]);
        map.choose_heads(Vec::new());
        assert_eq!(map, MapChoice::default());
    }
}
