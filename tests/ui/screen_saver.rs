//! The screen saver is held off while a presentation runs: asked of a desktop on a bus of the
//! test's own, and of an X server of the test's own.
//!
//! Needs `dbus-daemon` and `Xvfb`: scripts/test installs them.
#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use vlmscope::ui::present::sleep_inhibitor::SleepInhibitor;
use x11rb::connection::Connection as _;
use x11rb::protocol::screensaver::ConnectionExt as _;
use x11rb::protocol::xproto::{Blanking, ConnectionExt as _, Exposures, ScreenSaver};
use x11rb::rust_connection::RustConnection;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const COOKIE: u32 = 77;

/// A process that ends with the test.
struct Server(Child);

impl Server {
    /// Starts a program that prints its address as its first line.
    fn start(program: &str, arguments: &[&str]) -> (Self, String) {
        let child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is needed by this test: {error}"));
        let mut server = Self(child);
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.trim().is_empty(), "{program} told no address");
        (server, line.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Call {
    Inhibit(String),
    UnInhibit(u32),
}

/// A desktop's screen saver that reports the calls it receives.
struct Saver(Sender<Call>);

#[zbus::interface(name = "org.freedesktop.ScreenSaver")]
impl Saver {
    fn inhibit(&self, program: String, _reason: String) -> u32 {
        self.0.send(Call::Inhibit(program)).unwrap();
        COOKIE
    }

    #[zbus(name = "UnInhibit")]
    fn uninhibit(&self, cookie: u32) {
        self.0.send(Call::UnInhibit(cookie)).unwrap();
    }
}

fn serve(address: &str) -> (zbus::Connection, Receiver<Call>) {
    let (sender, calls) = channel();
    let desktop = zbus::connection::Builder::address(address)
        .and_then(|bus| bus.name("org.freedesktop.ScreenSaver"))
        .and_then(|bus| bus.serve_at("/org/freedesktop/ScreenSaver", Saver(sender)))
        .unwrap();
    (pollster::block_on(desktop.build()).unwrap(), calls)
}

#[test]
fn the_desktop_is_asked_and_told_when_it_is_over() {
    let (_bus, address) =
        Server::start("dbus-daemon", &["--session", "--nofork", "--print-address"]);
    let (_desktop, calls) = serve(&address);
    let awake = SleepInhibitor::hold_at(Some(&address), Some(":no such display"));
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), Call::Inhibit("vlmscope".into()));
    assert!(calls.recv_timeout(Duration::from_millis(300)).is_err(), "it is held");
    drop(awake);
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), Call::UnInhibit(COOKIE));
}

/// Whether the server's saver comes, with a second's timeout, within three.
fn saver_comes(x: &RustConnection, root: u32) -> bool {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        // 1 is on.
        if x.screensaver_query_info(root).unwrap().reply().unwrap().state == 1 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

#[test]
fn the_x_server_is_asked_where_there_is_no_desktop() {
    let (_server, number) = Server::start(
        "Xvfb",
        &["-displayfd", "1", "-screen", "0", "64x64x24", "-noreset", "-nolisten", "tcp"],
    );
    let display = format!(":{number}");
    let since = Instant::now();
    let (x, screen) = loop {
        match RustConnection::connect(Some(&display)) {
            Ok(open) => break open,
            Err(error) => assert!(since.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let root = x.setup().roots[screen].root;
    x.set_screen_saver(1, 0, Blanking::PREFERRED, Exposures::ALLOWED).unwrap();
    assert!(saver_comes(&x, root), "this server has a saver");

    let awake = SleepInhibitor::hold_at(Some("unix:path=/nowhere/at/all"), Some(&display));
    // It asks on a thread of its own, so the saver may come once more before.
    let is_held = (0..3).any(|_| {
        x.force_screen_saver(ScreenSaver::RESET).unwrap();
        !saver_comes(&x, root)
    });
    assert!(is_held, "the saver is held off");
    drop(awake);
    assert!(saver_comes(&x, root), "the saver comes again when it is over");
}
