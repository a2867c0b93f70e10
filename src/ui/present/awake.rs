//! Holds the screen saver off while a presentation runs, where the desktop lets programs ask for it
//! (org.freedesktop.ScreenSaver on Linux; elsewhere nothing is done).

use std::sync::mpsc::Sender;

/// Keeps the screen awake until it is dropped.
#[derive(Debug)]
pub struct Awake {
    _ends: Option<Sender<()>>,
}

impl Awake {
    /// Asks the desktop on a thread of its own: a presentation must not wait for it.
    pub fn hold() -> Self {
        Self { _ends: hold() }
    }
}

#[cfg(target_os = "linux")]
fn hold() -> Option<Sender<()>> {
    let (ends, end) = std::sync::mpsc::channel();
    let ask = async || -> zbus::Result<zbus::Connection> {
        let bus = zbus::Connection::session().await?;
        let name = "org.freedesktop.ScreenSaver";
        let body = ("vlmscope", "a presentation is running");
        let path = "/org/freedesktop/ScreenSaver";
        bus.call_method(Some(name), path, Some(name), "Inhibit", &body).await?;
        Ok(bus)
    };
    let hold = move || {
        // Without a desktop that knows the request the screen saver stays as it is. The request
        // ends with the connection, which ends when the presentation does.
        if let Ok(_bus) = pollster::block_on(ask()) {
            let _ = end.recv();
        }
    };
    std::thread::Builder::new().name("screen-saver".into()).spawn(hold).ok().map(|_| ends)
}

#[cfg(not(target_os = "linux"))]
const fn hold() -> Option<Sender<()>> {
    None
}
