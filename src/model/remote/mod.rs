//! A model on another machine, driven over the standard input and output of a child process (docs/serve.md).
//!
//! [`serve`] is one side: one engine behind frames. [`RemoteEngine`] is the other: it starts ssh, or any program, and
//! has the operations of an engine in this process. Nothing listens on a port.

mod address;
mod answering;
mod assemble;
mod client;
mod connection;
mod expected;
mod experiments;
mod file;
mod frame;
mod limits;
mod message;
mod outbox;
mod payload;
mod process;
mod read;
mod receive;
mod said;
mod server;
mod shared;
mod stage;
mod store;
mod transfer;
mod work;

pub use address::{Address, ServeFlags};
pub use client::{RemoteEngine, RemoteOptions};
pub use frame::{Encoding, Envelope, Frame, FrameError, read_frame, write_frame};
pub use server::{ServeError, serve};
pub use stage::Stage;
