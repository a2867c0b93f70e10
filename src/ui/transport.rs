//! Playing through tokens, layers, heads or video frames like a film.
//!
//! Steps are due at fixed times, and a frame that comes late takes only the newest one: a slow
//! machine shows fewer pictures, not a slower film.

use super::document::Document;
use crate::view::{AxisSet, Command, Queries, QueryKind};

/// The axis that playback steps through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlayAxis {
    /// Answer tokens.
    #[default]
    Tokens,
    /// Decoder layers.
    Layers,
    /// Heads.
    Heads,
    /// Frames of a video, or several pictures.
    Frames,
}

impl PlayAxis {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tokens, Self::Layers, Self::Heads, Self::Frames];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "Tokens",
            Self::Layers => "Layers",
            Self::Heads => "Heads",
            Self::Frames => "Frames",
        }
    }

    /// Index of the document's view on this axis, and length of the axis.
    pub fn position(self, doc: &Document) -> (u32, u32) {
        let map = &doc.state().map;
        let at = |set: &AxisSet| set.only().unwrap_or(0);
        match self {
            Self::Tokens if map.queries.kind == QueryKind::Answer => {
                (at(&map.queries.set), doc.extent.answers)
            }
            Self::Tokens => (0, doc.extent.answers),
            Self::Layers => {
                let model = &doc.extent.model;
                (model.layer_index(at(&map.layers)).unwrap_or(0), doc.extent.layers)
            }
            Self::Heads => (at(&map.heads), doc.extent.heads),
            Self::Frames => {
                let numbers = doc.extent.picture_numbers();
                let at = numbers.iter().position(|&number| number == doc.state().picture.index);
                (at.unwrap_or(0) as u32, numbers.len() as u32)
            }
        }
    }

    /// The place on this axis among all places: "4 of 9"; "all 9" for a mean, "3 of 9, together" for a choice of some.
    pub fn place_text(self, doc: &Document) -> String {
        let (at, len) = self.position(doc);
        let map = &doc.state().map;
        let set = match self {
            Self::Tokens if map.queries.kind != QueryKind::Answer => {
                return format!("{len} tokens");
            }
            Self::Tokens => &map.queries.set,
            Self::Layers => &map.layers,
            Self::Heads => &map.heads,
            Self::Frames => return format!("{} of {len}", at + 1),
        };
        match (set.only(), set.named()) {
            (Some(_), _) => format!("{} of {len}", at + 1),
            (None, Some(some)) => format!("{} of {len}, together", some.len()),
            (None, None) => format!("all {len}"),
        }
    }

    /// The command that shows a place on this axis of a document.
    pub fn command(self, doc: &Document, at: u32) -> Command {
        match self {
            Self::Tokens => Command::SetQueries(Queries::answer(at)),
            Self::Layers => Command::SetLayers(AxisSet::single(doc.extent.model.layer_number(at))),
            Self::Heads => Command::SetHeads(AxisSet::single(at)),
            Self::Frames => {
                let numbers = doc.extent.picture_numbers();
                Command::SetPicture(numbers.get(at as usize).copied().unwrap_or(at))
            }
        }
    }
}

/// Steps a second that can be chosen.
pub const SPEEDS: [f32; 7] = [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0];

/// The state of the playback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transport {
    /// Whether playback is running.
    pub playing: bool,
    /// The axis that is played.
    pub axis: PlayAxis,
    /// Steps a second.
    pub speed: f32,
    /// Whether playback starts again at the end.
    pub repeat: bool,
    /// When the next step is due, in seconds of the program's clock.
    due: Option<f64>,
}

impl Default for Transport {
    fn default() -> Self {
        Self { playing: false, axis: PlayAxis::Tokens, speed: 2.0, repeat: true, due: None }
    }
}

impl Transport {
    /// Starts or stops.
    pub fn toggle(&mut self) {
        self.playing = !self.playing;
        self.due = None;
    }

    /// Stops.
    pub fn stop(&mut self) {
        self.playing = false;
        self.due = None;
    }

    /// One speed up or down.
    pub fn change_speed(&mut self, by: i32) {
        let nearest = SPEEDS.iter().position(|&speed| speed >= self.speed).unwrap_or(0);
        let at = (nearest as i32 + by).clamp(0, SPEEDS.len() as i32 - 1);
        self.speed = SPEEDS[at as usize];
        self.due = None;
    }

    /// The index to show at `now`, given the present index `at`; `None` while no step is due. Playback stops
    /// at the end, unless it repeats.
    pub fn tick(&mut self, now: f64, at: u32, len: u32) -> Option<u32> {
        if !self.playing || len == 0 {
            return None;
        }
        let period = 1.0 / f64::from(self.speed.max(0.01));
        let due = *self.due.get_or_insert(now + period);
        if now < due {
            return None;
        }
        let steps = ((now - due) / period) as u32 + 1;
        self.due = Some(due + period * f64::from(steps));
        let next = at.saturating_add(steps);
        if next < len {
            return Some(next);
        }
        if self.repeat {
            return Some(next % len);
        }
        self.stop();
        Some(len - 1)
    }

    /// Seconds until the next step is due.
    pub fn wait(&self, now: f64) -> Option<f64> {
        self.playing.then(|| self.due.map_or(0.0, |due| (due - now).max(0.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_frame_takes_only_the_newest_step() {
        let mut film = Transport { speed: 2.0, ..Transport::default() };
        film.toggle();
        assert_eq!(film.tick(10.0, 0, 8), None);
        assert_eq!(film.tick(10.5, 0, 8), Some(1));
        assert_eq!(film.tick(10.6, 1, 8), None);
        assert_eq!(film.tick(12.1, 1, 8), Some(4), "three steps were due");
        assert_eq!(film.tick(13.5, 4, 6), Some(1), "it starts again");
        film.repeat = false;
        assert_eq!(film.tick(20.0, 5, 6), Some(5));
        assert!(!film.playing);
    }

    #[test]
    fn speeds_stay_within_their_list() {
        let mut film = Transport::default();
        for _ in 0..20 {
            film.change_speed(1);
        }
        assert_eq!(film.speed, 30.0);
        for _ in 0..20 {
            film.change_speed(-1);
        }
        assert_eq!(film.speed, 0.5);
    }
}
