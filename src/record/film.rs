//! The recorder: moments at a fixed time step → frames → encoder.
//!
//! Three stages run at once: this thread records commands, the device draws and copies, a thread of its own encodes.
//! A ring of read-back buffers and a bounded queue connect them, so that memory use is constant and the slowest stage
//! sets the pace. A moment that shows the same as the one before is neither drawn nor copied again.

use super::encoder::{EncodeError, Encoder};
use super::painter::{Captions, OpenTraces, Painter};
use crate::gpu::{Gpu, GpuError, Pending, Pixels, ReadRing, Target};
use crate::job::{CancelToken, message_of};
use crate::logging::bug;
use crate::view::timeline::{Moment, Timeline, Walkthrough};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Frames in flight on the device while the next one is recorded.
const IN_FLIGHT: usize = 2;
/// Frames that wait for the encoder.
const QUEUED: usize = 2;
/// Interval between checks whether the recording was cancelled or the encoder has failed.
const PATIENCE: Duration = Duration::from_millis(100);

/// Input of a recording.
pub struct Film<'a> {
    /// The walkthrough.
    pub walkthrough: &'a Walkthrough,
    /// Its traces, open.
    pub traces: &'a OpenTraces,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Frames a second.
    pub fps: u32,
    /// Whether captions are drawn.
    pub captions: bool,
}

/// Progress of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Frames drawn.
    pub done: u64,
    /// Number of all frames.
    pub frames: u64,
}

/// Result of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Frames in the film.
    pub frames: u64,
    /// Frames that were drawn; the others show the same as the one before.
    pub drawn: u64,
    /// Length in seconds.
    pub seconds: f64,
    /// Characters that no font has, with advice; see [`crate::gpu::Renderer::missing_glyphs`].
    pub missing_glyphs: Option<String>,
}

/// A recording failed.
#[derive(Debug, thiserror::Error)]
pub enum FilmError {
    /// The recording was cancelled; no file is left.
    #[error("the recording was cancelled; nothing was written")]
    Cancelled,
    /// Drawing failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Encoding or writing failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// No thread could be started, or it panicked.
    #[error("the encoder's thread failed: {reason}")]
    Thread {
        /// Reason.
        reason: String,
    },
}

enum Message {
    Frame(Pixels),
    /// The previous frame once more.
    Again,
    /// The end of the film.
    End,
}

/// A frame in flight: a copy, or a repetition of the one before.
enum Coming {
    Copy(Pending),
    Again,
}

impl Film<'_> {
    /// Records the film. `progress` is called after every frame.
    ///
    /// # Errors
    /// If it is cancelled, drawing fails, or the encoder does; then the encoder removes what it
    /// wrote.
    pub fn record(
        &self,
        gpu: &Arc<Gpu>,
        encoder: Box<dyn Encoder>,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, FilmError> {
        let (send, receive) = bounded(QUEUED);
        let thread = std::thread::Builder::new()
            .name("vlmscope-encoder".into())
            .spawn(move || encode(encoder, &receive))
            .map_err(|error| FilmError::Thread { reason: error.to_string() })?;
        let mut run =
            EncoderThread { send: Some(send), thread: Some(thread), coming: VecDeque::new() };
        let summary = self.frames(gpu, &mut run, cancel, progress);
        match summary {
            Ok(summary) => {
                run.send(Message::End)?;
                run.join()?;
                Ok(summary)
            }
            Err(error) => {
                // Without an end message the encoder discards its film. Its own error takes precedence.
                run.join()?;
                Err(error)
            }
        }
    }

    fn frames(
        &self,
        gpu: &Arc<Gpu>,
        run: &mut EncoderThread,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, FilmError> {
        let timeline = Timeline::new(self.walkthrough);
        let frames = timeline.frames(self.fps);
        let target = Target::offscreen(gpu, self.size)?;
        let ring = ReadRing::new(gpu, self.size, IN_FLIGHT + QUEUED + 1)?;
        let captions = if self.captions { Captions::Film } else { Captions::Beside };
        let mut painter = Painter::new(gpu, self.size, self.walkthrough, captions)?;
        let mut before: Option<Moment> = None;
        let mut drawn = 0;
        for frame in 0..frames {
            if cancel.is_cancelled() {
                return Err(FilmError::Cancelled);
            }
            let moment = timeline.at(frame as f64 / f64::from(self.fps));
            let same = |before: &Moment, now: &Moment| {
                before.shown == now.shown && (!self.captions || before.said == now.said)
            };
            let Some(moment) = moment else {
                bug!("frame {frame} of {frames} lies after the walkthrough's end");
                break;
            };
            if before.as_ref().is_some_and(|before| same(before, &moment)) {
                run.coming.push_back(Coming::Again);
            } else {
                painter.paint(&moment, self.traces, &target)?;
                drawn += 1;
                let copy = loop {
                    if let Some(copy) = ring.start(&target, PATIENCE)? {
                        break copy;
                    }
                    // All buffers are at the encoder, or it has ended.
                    run.check()?;
                    if cancel.is_cancelled() {
                        return Err(FilmError::Cancelled);
                    }
                };
                run.coming.push_back(Coming::Copy(copy));
                before = Some(moment);
            }
            run.hand_over(IN_FLIGHT)?;
            progress(Progress { done: frame + 1, frames });
        }
        run.hand_over(0)?;
        for (_, trace) in self.traces.iter() {
            trace.check().map_err(GpuError::from)?;
        }
        let seconds = frames as f64 / f64::from(self.fps);
        Ok(Summary { frames, drawn, seconds, missing_glyphs: painter.missing_glyphs() })
    }
}

/// The channel to the encoder's thread.
struct EncoderThread {
    send: Option<Sender<Message>>,
    thread: Option<JoinHandle<Result<(), EncodeError>>>,
    coming: VecDeque<Coming>,
}

impl EncoderThread {
    /// Sends the oldest frames until at most `keep` are in flight.
    fn hand_over(&mut self, keep: usize) -> Result<(), FilmError> {
        while self.coming.len() > keep {
            let message = match self.coming.pop_front() {
                Some(Coming::Copy(copy)) => Message::Frame(copy.wait()?),
                Some(Coming::Again) => Message::Again,
                None => break,
            };
            self.send(message)?;
        }
        Ok(())
    }

    fn send(&mut self, message: Message) -> Result<(), FilmError> {
        let sent = self.send.as_ref().map(|send| send.send(message));
        match sent {
            Some(Ok(())) => Ok(()),
            // The encoder has stopped: its error gives the reason.
            _ => self.join(),
        }
    }

    fn check(&mut self) -> Result<(), FilmError> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) { self.join() } else { Ok(()) }
    }

    fn join(&mut self) -> Result<(), FilmError> {
        self.send = None;
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(payload)) => Err(FilmError::Thread { reason: message_of(payload.as_ref()) }),
        }
    }
}

fn encode(mut encoder: Box<dyn Encoder>, messages: &Receiver<Message>) -> Result<(), EncodeError> {
    for message in messages {
        match message {
            Message::Frame(pixels) => {
                let done = pixels.read(|rgba, stride| encoder.frame(rgba, stride));
                done.map_err(|error| EncodeError::Codec {
                    name: "read-back",
                    reason: error.to_string(),
                })??;
            }
            Message::Again => encoder.again()?,
            Message::End => return encoder.finish(),
        }
    }
    // The recording was given up: dropping the encoder removes its file.
    Ok(())
}
