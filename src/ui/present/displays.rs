//! The display of the stage, and the display that is left for the presenter.

use winit::dpi::{PhysicalPosition, PhysicalSize};
use winit::monitor::MonitorHandle;
use winit::window::Window;

/// Name, position and size of a display.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DisplayGeometry {
    name: Option<String>,
    position: PhysicalPosition<i32>,
    size: PhysicalSize<u32>,
}

impl DisplayGeometry {
    fn from_monitor(display: &MonitorHandle) -> Self {
        Self { name: display.name(), position: display.position(), size: display.size() }
    }

    /// Whether two displays overlap: a mirrored display shows the same as the other one.
    fn overlaps(&self, other: &Self) -> bool {
        let meet = |start: i32, length: u32, other_start: i32, other_length: u32| {
            let end = i64::from(start) + i64::from(length);
            let other_end = i64::from(other_start) + i64::from(other_length);
            i64::from(start) < other_end && i64::from(other_start) < end
        };
        meet(self.position.x, self.size.width, other.position.x, other.size.width)
            && meet(self.position.y, self.size.height, other.position.y, other.size.height)
    }
}

/// The default display of the stage: the last one that is not the main one.
pub fn default_display(displays: &[MonitorHandle], main: Option<&MonitorHandle>) -> usize {
    let others = displays.iter().rposition(|display| Some(display) != main);
    others.unwrap_or_default()
}

/// Makes winit receive RandR events about displays that are connected or removed under X11.
///
/// winit 0.30 selects RandR's events but never sets the extension up in Xlib, which therefore drops
/// them, and its list of displays stays what it was (rust-windowing/winit#3405).
#[cfg(target_os = "linux")]
pub fn hear_of_changes(window: &Window) {
    use winit::raw_window_handle::{HasDisplayHandle as _, RawDisplayHandle};
    let Ok(handle) = window.display_handle() else { return };
    let RawDisplayHandle::Xlib(handle) = handle.as_raw() else { return };
    let (Some(display), Ok(randr)) = (handle.display, x11_dl::xrandr::Xrandr::open()) else {
        return;
    };
    let (mut events, mut errors) = (0, 0);
    // SAFETY: the display is winit's and open as long as its window is; the call only looks the
    // extension up and tells Xlib how its events are read, by a library that stays loaded.
    unsafe { (randr.XRRQueryExtension)(display.as_ptr().cast(), &mut events, &mut errors) };
}

#[cfg(not(target_os = "linux"))]
pub fn hear_of_changes(_window: &Window) {}

/// The displays that there are, and the stage's among them.
pub struct Displays {
    handles: Vec<MonitorHandle>,
    places: Vec<DisplayGeometry>,
    /// Name of the display that was chosen for the stage, connected or not.
    home: Option<String>,
    stage: usize,
    other: Option<usize>,
}

impl Displays {
    /// With the stage on one of them.
    pub fn new(displays: &[MonitorHandle], stage: usize) -> Self {
        let handles = displays.to_vec();
        let places: Vec<DisplayGeometry> =
            handles.iter().map(DisplayGeometry::from_monitor).collect();
        let home = places.get(stage).and_then(|place| place.name.clone());
        let other = other(&places, stage);
        Self { handles, places, home, stage, other }
    }

    /// Takes the present displays; returns whether they differ from before. The stage stays on its chosen display
    /// while that is connected, and goes back when it is connected again.
    pub fn changed(&mut self, handles: Vec<MonitorHandle>) -> bool {
        let places: Vec<DisplayGeometry> =
            handles.iter().map(DisplayGeometry::from_monitor).collect();
        // While displays are rearranged the list may be empty.
        if places == self.places || places.is_empty() {
            return false;
        }
        let home = places.iter().position(|place| place.name == self.home);
        self.stage = home.unwrap_or(places.len() - 1);
        self.other = other(&places, self.stage);
        (self.handles, self.places) = (handles, places);
        true
    }

    /// The display of the stage.
    pub fn stage(&self) -> Option<&MonitorHandle> {
        self.handles.get(self.stage)
    }

    /// A display that shows nothing of the stage.
    pub fn other(&self) -> Option<&MonitorHandle> {
        self.handles.get(self.other?)
    }

    /// Whether the stage is on its chosen display.
    pub fn is_at_home(&self) -> bool {
        self.places.get(self.stage).is_none_or(|place| place.name == self.home)
    }

    /// The display of the stage, as text for the presenter.
    pub fn words(&self) -> String {
        let Some(place) = self.places.get(self.stage) else { return String::new() };
        let PhysicalSize { width, height } = place.size;
        let name = place.name.as_deref().unwrap_or_default();
        let place = format!("stage on display {} · {name} · {width} × {height}", self.stage);
        match &self.home {
            Some(home) if !self.is_at_home() => format!("{home} was disconnected · {place}"),
            _ => place,
        }
    }
}

fn other(places: &[DisplayGeometry], stage: usize) -> Option<usize> {
    let taken = places.get(stage)?;
    places.iter().position(|place| !place.overlaps(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(x: i32, y: i32, width: u32, height: u32) -> DisplayGeometry {
        let (position, size) = (PhysicalPosition::new(x, y), PhysicalSize::new(width, height));
        DisplayGeometry { name: None, position, size }
    }

    #[test]
    fn the_presenter_gets_a_display_that_shows_nothing_of_the_stage() {
        let (laptop, beside) = (place(0, 0, 1920, 1080), place(1920, 0, 1280, 720));
        assert_eq!(other(&[laptop.clone(), beside.clone()], 1), Some(0));
        assert_eq!(other(&[laptop.clone(), beside], 0), Some(1));
        let mirrored = place(0, 0, 1280, 720);
        assert_eq!(other(&[laptop.clone(), mirrored.clone()], 1), None, "a mirrored one is none");
        let above = place(0, -720, 1280, 720);
        assert_eq!(other(&[laptop, mirrored, above], 0), Some(2));
        assert_eq!(other(&[], 0), None);
    }
}
