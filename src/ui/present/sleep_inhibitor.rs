//! Holds the screen saver off while a presentation runs, where the platform lets a program ask for it.
//!
//! On Linux the desktop is asked first (org.freedesktop.ScreenSaver). Without such a service, as under a bare window
//! manager, the X server is asked instead (its extension suspends the screen saver and DPMS). Both forget the request
//! when the connection closes, so that a crash leaves nothing behind. Other systems are not asked.

use std::sync::mpsc::Sender;

/// Keeps the screen awake until it is dropped.
#[derive(Debug)]
pub struct SleepInhibitor {
    _ends: Option<Sender<()>>,
}

impl SleepInhibitor {
    /// Asks the session bus and the X display of the environment.
    pub fn hold() -> Self {
        Self::hold_at(None, None)
    }

    /// Asks the message bus at an address, else the X server of a display; `None` stands for the address in the
    /// environment. A thread of its own asks: a presentation must not wait for the answer.
    pub fn hold_at(bus: Option<&str>, display: Option<&str>) -> Self {
        Self { _ends: hold(bus, display) }
    }
}

#[cfg(target_os = "linux")]
fn hold(bus: Option<&str>, display: Option<&str>) -> Option<Sender<()>> {
    let (ends, end) = std::sync::mpsc::channel();
    let (bus, display) = (bus.map(str::to_owned), display.map(str::to_owned));
    let hold = move || match pollster::block_on(linux::Inhibited::ask(bus.as_deref())) {
        Ok(inhibited) => {
            let _ = end.recv();
            pollster::block_on(inhibited.end());
        }
        // If the X server refuses as well, the screen saver stays as it is.
        Err(_) => {
            if let Ok(_suspended) = linux::suspend_x(display.as_deref()) {
                let _ = end.recv();
            }
        }
    };
    std::thread::Builder::new().name("screen-saver".into()).spawn(hold).ok().map(|_| ends)
}

#[cfg(not(target_os = "linux"))]
const fn hold(_bus: Option<&str>, _display: Option<&str>) -> Option<Sender<()>> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use x11rb::protocol::screensaver::ConnectionExt as _;
    use x11rb::rust_connection::RustConnection;

    const SERVICE: &str = "org.freedesktop.ScreenSaver";
    const PATH: &str = "/org/freedesktop/ScreenSaver";

    /// A request that the desktop has granted.
    pub(super) struct Inhibited {
        bus: zbus::Connection,
        cookie: u32,
    }

    impl Inhibited {
        pub(super) async fn ask(address: Option<&str>) -> zbus::Result<Self> {
            let bus = match address {
                Some(address) => zbus::connection::Builder::address(address)?.build().await?,
                None => zbus::Connection::session().await?,
            };
            let body = ("vlmscope", "a presentation is running");
            let reply =
                bus.call_method(Some(SERVICE), PATH, Some(SERVICE), "Inhibit", &body).await?;
            let cookie = reply.body().deserialize()?;
            Ok(Self { bus, cookie })
        }

        pub(super) async fn end(self) {
            let Self { bus, cookie } = self;
            // If it fails: the request ends with the connection.
            let _ =
                bus.call_method(Some(SERVICE), PATH, Some(SERVICE), "UnInhibit", &(cookie,)).await;
        }
    }

    /// Suspends the screen saver for as long as the connection lives.
    pub(super) fn suspend_x(
        display: Option<&str>,
    ) -> Result<RustConnection, Box<dyn std::error::Error>> {
        let (x, _) = RustConnection::connect(display)?;
        // Version 1.1 introduced the request.
        let version = x.screensaver_query_version(1, 1)?.reply()?;
        if (version.server_major_version, version.server_minor_version) < (1, 1) {
            return Err("the X server's screen saver cannot be suspended".into());
        }
        x.screensaver_suspend(1)?.check()?;
        Ok(x)
    }
}
