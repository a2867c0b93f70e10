//! The maps that a window shows of a model on another machine: the server sends them first.

use super::connection::Connection;
use super::message::{ClientMessage, Maps};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Called when bytes of a trace have arrived that somebody wanted, or will not arrive.
pub type Arrived = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    maps: Maps,
    connection: Weak<Connection>,
}

/// The stage of a window.
pub struct Stage {
    state: Mutex<State>,
    arrived: Arrived,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("maps", &self.state().maps).finish_non_exhaustive()
    }
}

impl Stage {
    /// An empty stage.
    pub fn new(arrived: Arrived) -> Self {
        Self { state: Mutex::default(), arrived }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The window shows these maps, by index of their layer and head; `None`: all.
    pub fn show(&self, maps: Option<Vec<[u32; 2]>>) {
        let maps = match maps {
            None => Maps::All,
            Some(list) if list.is_empty() => Maps::None,
            Some(list) => Maps::These(list),
        };
        let mut state = self.state();
        if state.maps == maps {
            return;
        }
        state.maps = maps.clone();
        let connection = state.connection.upgrade();
        drop(state);
        if let Some(connection) = connection {
            // A lost connection is reported by the request that runs or comes next.
            let _ = connection.tell(&ClientMessage::Show { maps }, Vec::new());
        }
    }

    /// From now on the server of this connection is told.
    pub(super) fn attach(&self, connection: &Arc<Connection>) {
        let mut state = self.state();
        state.connection = Arc::downgrade(connection);
        let maps = state.maps.clone();
        drop(state);
        let _ = connection.tell(&ClientMessage::Show { maps }, Vec::new());
    }

    /// Bytes that were wanted have arrived.
    pub(super) fn tell_arrived(&self) {
        (self.arrived)();
    }
}
