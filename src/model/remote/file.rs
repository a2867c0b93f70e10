//! The file of a trace on another machine: ranges that have arrived, and a thread that fetches the others.
//!
//! Reading never waits. What a reader misses is fetched next, before the rest of the file.

use super::connection::Connection;
use super::expected::{UNSOUND, are_finite, are_rows, are_weights};
use super::read::{does_not_fit, read_into, read_message};
use super::stage::Stage;
use crate::job::CancelToken;
use crate::model::error::ModelError;
use crate::trace::{Dtype, RemoteBytes};
use half::f16;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// Bytes of one request in the background: at 10 Mbit/s, what is wanted meanwhile waits a fifth of a second.
const BACKGROUND_BYTES: u64 = 256 << 10;
/// Bytes of one request for what is wanted.
const WANTED_BYTES: u64 = 4 << 20;
/// The storage of a file is divided into blocks, which are made when bytes for them arrive.
const BLOCK_BYTES: u64 = 1 << 20;

#[derive(Debug, Default)]
struct State {
    blocks: BTreeMap<u64, Box<[u8]>>,
    /// Ascending, disjoint: start and end.
    present: BTreeMap<u64, u64>,
    wanted: Vec<Range<u64>>,
    failure: Option<String>,
}

/// Numbers of a file that are checked when they arrive.
#[derive(Clone, Debug)]
pub struct Numbers {
    pub dtype: Dtype,
    /// Their place in the file.
    pub place: Range<u64>,
    /// Number of keys, where they are the weights of one query and head after the other.
    pub keys: Option<usize>,
}

/// The file of a trace there.
#[derive(Debug)]
pub struct RemoteFile {
    connection: Weak<Connection>,
    number: u64,
    length_bytes: u64,
    state: Mutex<State>,
    /// Cancelled when nobody has the file any more: a server that does not answer would hold up the thread for ever.
    is_dropped: CancelToken,
    /// The numbers that are checked, and the scale of weights.
    numbers: OnceLock<(Vec<Numbers>, f32)>,
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        self.is_dropped.cancel();
    }
}

impl State {
    fn insert(&mut self, start: u64, bytes: &[u8]) {
        let mut offset = start;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (block, within) = (offset / BLOCK_BYTES, (offset % BLOCK_BYTES) as usize);
            let count = rest.len().min(BLOCK_BYTES as usize - within);
            let block = self
                .blocks
                .entry(block)
                .or_insert_with(|| vec![0; BLOCK_BYTES as usize].into_boxed_slice());
            block[within..within + count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            offset += count as u64;
        }
        self.add(start..offset);
    }

    fn add(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start == end {
            return;
        }
        // Ranges that touch or overlap become one.
        while let Some((&from, &to)) = self.present.range(..=end).next_back() {
            if to < start {
                break;
            }
            (start, end) = (start.min(from), end.max(to));
            self.present.remove(&from);
        }
        self.present.insert(start, end);
    }

    /// The first part of a range that has not arrived.
    fn missing_in(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let before = self.present.range(..=range.start).next_back();
        let start = before.map_or(range.start, |(_, &end)| end.max(range.start));
        let after = self.present.range(start..).next().map_or(u64::MAX, |(&start, _)| start);
        let end = after.min(range.end);
        (start < end).then_some(start..end)
    }

    /// Whether the weights of the queries and heads at `place` are sound that lie in a range and have arrived in full.
    fn has_sound_rows(
        &self,
        range: &Range<u64>,
        place: &Range<u64>,
        keys: usize,
        scale: f32,
    ) -> bool {
        let row_bytes = (keys * size_of::<f16>()).max(1);
        let Some(rows) = enclosing(range, place, row_bytes as u64) else { return true };
        let mut rows = rows.clone().step_by(row_bytes).map(|at| at..at + row_bytes as u64);
        rows.all(|row| self.missing_in(&row).is_some() || are_rows(&self.bytes(&row), keys, scale))
    }

    /// The bytes of a range; those that have not arrived are 0.
    fn bytes(&self, range: &Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.copy(range.start, &mut bytes);
        bytes
    }

    fn copy(&self, offset: u64, bytes: &mut [u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (block, within) = (at / BLOCK_BYTES, (at % BLOCK_BYTES) as usize);
            let count = (bytes.len() - done).min(BLOCK_BYTES as usize - within);
            if let Some(block) = self.blocks.get(&block) {
                bytes[done..done + count].copy_from_slice(&block[within..within + count]);
            }
            done += count;
        }
    }
}

impl RemoteBytes for RemoteFile {
    fn read_into(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let range = offset..offset + bytes.len() as u64;
        if range.end > self.length_bytes {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut state = self.state();
        if state.missing_in(&range).is_none() {
            state.copy(offset, bytes);
            return Ok(());
        }
        if let Some(reason) = &state.failure {
            return Err(io::Error::other(reason.clone()));
        }
        // The part that was requested last is most likely still on the stage.
        state.wanted.retain(|wanted| *wanted != range);
        state.wanted.push(range);
        Err(ErrorKind::WouldBlock.into())
    }

    fn is_complete(&self) -> bool {
        self.state().missing_in(&(0..self.length_bytes)).is_none()
    }

    fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }
}

/// The parts of `place`, `part` bytes each, that lie in a range in full or in part.
fn enclosing(range: &Range<u64>, place: &Range<u64>, part: u64) -> Option<Range<u64>> {
    let part = part.max(1);
    let (start, end) = (range.start.max(place.start), range.end.min(place.end));
    let first = place.start + start.saturating_sub(place.start) / part * part;
    let last = place.start + end.saturating_sub(place.start).div_ceil(part) * part;
    (start < end).then(|| first..last.min(place.end))
}

/// The next step of the thread.
enum Next {
    Fetch(Range<u64>),
    Complete,
}

impl RemoteFile {
    /// A file of which nothing has arrived.
    pub fn new(connection: &Arc<Connection>, number: u64, length_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            connection: Arc::downgrade(connection),
            number,
            length_bytes,
            state: Mutex::default(),
            is_dropped: CancelToken::new(),
            numbers: OnceLock::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that have arrived.
    pub fn insert(&self, start: u64, bytes: &[u8]) {
        if start.saturating_add(bytes.len() as u64) <= self.length_bytes {
            self.state().insert(start, bytes);
        }
    }

    /// Checks these numbers when they arrive from now on.
    pub fn check_numbers(&self, numbers: Vec<Numbers>, scale: f32) {
        // Set once, before anything is fetched.
        let _ = self.numbers.set((numbers, scale));
    }

    /// Whether the numbers in a range are sound that lie there in full or in part. Bytes that have not arrived are 0,
    /// which never makes a number unsound. The sum over the keys is checked when the last of its weights is there.
    pub fn is_sound(&self, range: &Range<u64>) -> bool {
        let Some((numbers, scale)) = self.numbers.get() else { return true };
        let state = self.state();
        numbers.iter().all(|Numbers { dtype, place, keys }| {
            let size = (dtype.bitsize() / 8).max(1) as u64;
            let Some(whole) = enclosing(range, place, size) else { return true };
            let bytes = state.bytes(&whole);
            match (dtype, keys) {
                (Dtype::F16, Some(keys)) => {
                    are_weights(&bytes, *scale) && state.has_sound_rows(range, place, *keys, *scale)
                }
                (Dtype::F16, None) => are_weights(&bytes, *scale),
                (Dtype::F32, _) => are_finite(&bytes),
                _ => true,
            }
        })
    }

    /// Starts to fetch the rest, for as long as the file is used.
    pub fn fetch(self: &Arc<Self>, stage: &Arc<Stage>) {
        let (file, stage) = (Arc::downgrade(self), Arc::clone(stage));
        let run = move || fetch_all(&file, &stage);
        if let Err(error) = std::thread::Builder::new().name("pages".into()).spawn(run) {
            self.state().failure =
                Some(format!("the thread that fetches it cannot be started ({error})"));
        }
    }

    fn next(&self) -> Next {
        let mut state = self.state();
        while let Some(range) = state.wanted.last().cloned() {
            match state.missing_in(&range) {
                Some(missing) => {
                    let end = missing.end.min(missing.start + WANTED_BYTES);
                    return Next::Fetch(missing.start..end);
                }
                None => {
                    state.wanted.pop();
                }
            }
        }
        match state.missing_in(&(0..self.length_bytes)) {
            Some(missing) => {
                let end = missing.end.min(missing.start + BACKGROUND_BYTES);
                Next::Fetch(missing.start..end)
            }
            None => Next::Complete,
        }
    }

    /// Removes what is complete from what is wanted. Returns whether there was something.
    fn forget_complete(&self) -> bool {
        let mut state = self.state();
        let before = state.wanted.len();
        let wanted = std::mem::take(&mut state.wanted);
        state.wanted =
            wanted.into_iter().filter(|range| state.missing_in(range).is_some()).collect();
        state.wanted.len() < before
    }
}

/// Fetches a range. Returns whether something that was wanted is complete now. The file is not held meanwhile, so that
/// it can be dropped.
fn take(
    file: &Weak<RemoteFile>,
    number: u64,
    connection: &Weak<Connection>,
    range: &Range<u64>,
    is_dropped: &CancelToken,
) -> Result<bool, ModelError> {
    let Some(connection) = connection.upgrade() else {
        return Err(ModelError::ConnectionLost {
            host: String::new(),
            reason: "the model was closed before all pages were fetched".into(),
        });
    };
    let call = connection.call(&read_message(number, range), Vec::new())?;
    let mut at = range.start;
    read_into(&connection, &call, range.end - range.start, is_dropped, &mut |bytes| {
        if let Some(file) = file.upgrade() {
            file.insert(at, bytes);
        }
        at += bytes.len() as u64;
    })?;
    call.complete();
    if file.upgrade().is_some_and(|file| !file.is_sound(range)) {
        return Err(does_not_fit(&connection, &format!("its attention {UNSOUND}")));
    }
    Ok(file.upgrade().is_some_and(|file| file.forget_complete()))
}

/// Fetches a file until it is complete, or nobody has it any more.
fn fetch_all(file: &Weak<RemoteFile>, stage: &Stage) {
    while let Some(held) = file.upgrade() {
        let Next::Fetch(range) = held.next() else {
            stage.tell_arrived();
            return;
        };
        let (number, connection) = (held.number, held.connection.clone());
        let is_dropped = held.is_dropped.clone();
        drop(held);
        match take(file, number, &connection, &range, &is_dropped) {
            Ok(true) => stage.tell_arrived(),
            Ok(false) => {}
            Err(error) => {
                let reason = match error {
                    ModelError::ConnectionLost { reason, .. } => reason,
                    other => other.to_string(),
                };
                if let Some(file) = file.upgrade() {
                    file.state().failure = Some(reason.trim_end_matches('.').to_owned());
                }
                stage.tell_arrived();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut state = State::default();
        for (start, bytes) in [(10, 5), (20, 5), (15, 5), (0, 3), (22, 9)] {
            state.insert(start, &vec![start as u8; bytes]);
        }
        assert_eq!(
            state.present.iter().map(|(a, b)| (*a, *b)).collect::<Vec<_>>(),
            [(0, 3), (10, 31)]
        );
        assert_eq!(state.missing_in(&(0..40)), Some(3..10));
        assert_eq!(state.missing_in(&(12..31)), None);
        assert_eq!(state.missing_in(&(12..40)), Some(31..40));
        let mut bytes = [9; 8];
        state.copy(12, &mut bytes);
        assert_eq!(bytes, [10, 10, 10, 15, 15, 15, 15, 15]);
    }

    #[test]
    fn numbers_are_checked_however_they_are_cut() {
        let weights: Vec<u8> =
            [0.0, 1.0, 0.5].iter().flat_map(|&n| f16::from_f32(n).to_le_bytes()).collect();
        let arrives = |bytes: &[u8], cut: usize| {
            let file = RemoteFile {
                connection: Weak::new(),
                number: 1,
                length_bytes: 100,
                state: Mutex::default(),
                is_dropped: CancelToken::new(),
                numbers: OnceLock::new(),
            };
            let numbers = [(Dtype::F16, 11..17), (Dtype::F32, 20..28)];
            let numbers = numbers.map(|(dtype, place)| Numbers { dtype, place, keys: None });
            file.check_numbers(numbers.to_vec(), 1.0);
            let (first, rest) = bytes.split_at(cut);
            [(11, first), (11 + cut as u64, rest)].into_iter().all(|(start, bytes)| {
                file.insert(start, bytes);
                file.is_sound(&(start..start + bytes.len() as u64))
            })
        };
        let mut all = weights.clone();
        all.extend([0xff; 3]);
        all.extend([1.0_f32, -2.0].iter().flat_map(|n| n.to_le_bytes()));
        for cut in 0..all.len() {
            assert!(arrives(&all, cut), "{cut}: bytes between the places are no numbers");
            for (at, value) in [(1, 0xff), (3, 0x7c), (5, 0xbc), (12, 0x7f), (16, 0xff)] {
                let mut wrong = all.clone();
                wrong[at] = value;
                wrong[at - 1] = 0xff;
                assert!(!arrives(&wrong, cut), "{at}, cut at {cut}");
            }
        }
    }

    #[test]
    fn sums_over_keys_are_checked_however_the_weights_are_cut() {
        let bytes = |weights: &[f32]| -> Vec<u8> {
            let all = weights.iter().flat_map(|&n| f16::from_f32(4.0 * n).to_le_bytes());
            all.collect()
        };
        // Ranges of three bytes, the last ones first.
        let arrives = |weights: &[f32]| {
            let place = 5..5 + 2 * weights.len() as u64;
            let file = RemoteFile {
                connection: Weak::new(),
                number: 1,
                length_bytes: place.end,
                state: Mutex::default(),
                is_dropped: CancelToken::new(),
                numbers: OnceLock::new(),
            };
            let numbers = Numbers { dtype: Dtype::F16, place: place.clone(), keys: Some(3) };
            file.check_numbers(vec![numbers], 4.0);
            let bytes = bytes(weights);
            (0..bytes.len()).step_by(3).rev().all(|at| {
                let part = &bytes[at..(at + 3).min(bytes.len())];
                let start = place.start + at as u64;
                file.insert(start, part);
                file.is_sound(&(start..start + part.len() as u64))
            })
        };
        let sound = [0.5, 0.25, 0.25, 1.0, 0.0, 0.0, 0.3, 0.3, 0.4];
        assert!(arrives(&sound));
        for at in 0..sound.len() {
            let mut wrong = sound;
            wrong[at] = if wrong[at] > 0.5 { 0.5 } else { wrong[at] + 0.02 };
            assert!(!arrives(&wrong), "{at}");
        }
    }

    #[test]
    fn a_range_over_blocks_is_copied_whole() {
        let mut state = State::default();
        let bytes: Vec<u8> = (0..3 * BLOCK_BYTES).map(|at| (at % 251) as u8).collect();
        state.insert(BLOCK_BYTES - 7, &bytes);
        let mut read = vec![0; bytes.len()];
        state.copy(BLOCK_BYTES - 7, &mut read);
        assert_eq!(read, bytes);
    }
}
