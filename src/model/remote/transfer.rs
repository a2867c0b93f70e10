//! From the messages of an answer to a trace: while it grows, and when it is complete.

use super::connection::{Call, Connection};
use super::expected::{
    Expected, Limits, UNSOUND, are_finite, are_rows, fault_of_numbers, fault_of_small_numbers,
};
use super::file::{Numbers, RemoteFile};
use super::frame::MAX_MESSAGE_BYTES;
use super::message::{Maps, PageMessage, TensorInfo, TokenMessage};
use super::read::{does_not_fit, read_into, read_message};
use super::stage::Stage;
use crate::job::CancelToken;
use crate::model::error::Result;
use crate::model::event::{Page, TokenEvent};
use crate::trace::{
    AnswerToken, Dtype, MAX_MAPS, Query, STAT_COUNT, Trace, TraceBuilder, TraceMeta,
};
use half::f16;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that one request reads while a command waits for a whole trace.
const READ_BYTES: u64 = 16 << 20;
/// Requests on their way at the same time, so that none waits for the next one to be sent.
const READS_AHEAD: usize = 2;

/// The trace under construction of a `prompt` message; the error is the reason why it does not fit.
pub fn builder_of(
    meta_bytes: u64,
    tensors: &[TensorInfo],
    payload: &[u8],
) -> Result<TraceBuilder, String> {
    let at = usize::try_from(meta_bytes).ok().filter(|&at| at <= payload.len());
    let (meta, mut rest) = payload.split_at(at.ok_or("the metadata is cut")?);
    let meta = TraceMeta::from_json(meta).map_err(|error| error.to_string())?;
    let maps = u64::from(meta.model.layers) * u64::from(meta.model.heads);
    if !(1..=MAX_MAPS).contains(&maps) {
        return Err(format!("its model has {maps} heads in all"));
    }
    let mut builder = TraceBuilder::new(meta);
    let mut found = BTreeMap::new();
    for TensorInfo { name, dtype, shape } in tensors {
        let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
        let count = count.filter(|_| *dtype == Dtype::U8).ok_or("a picture is not of bytes")?;
        let (own, after) = rest.split_at_checked(count).ok_or("a picture is cut")?;
        found.insert(name.as_str(), (shape, own));
        rest = after;
    }
    for picture in 0..tensors.len() {
        let original = found.get(format!("picture.{picture}.original").as_str());
        let seen = found.get(format!("picture.{picture}.preprocessed").as_str());
        let Some(((_, original), (shape, rgb))) = original.zip(seen) else { break };
        let [height, width, 3] = shape.as_slice() else {
            return Err("a picture has another shape than [height, width, 3]".into());
        };
        let size = [*width as u32, *height as u32];
        builder.add_picture(picture, original, size, rgb).map_err(|error| error.to_string())?;
    }
    Ok(builder)
}

/// The rows of an answer that is being given, as far as their weights have arrived.
pub struct Growth {
    layers: usize,
    heads: usize,
    /// Positions of the prompt.
    prompt_len: usize,
    limits: Limits,
    /// The finished trace.
    expected: Expected,
    scale: f32,
    /// Tokens so far.
    tokens: usize,
    keeps_pages: bool,
    pages: BTreeMap<u32, Page>,
}

/// Follows an answer; pages are kept for the stage of a window.
pub fn growing(builder: &TraceBuilder, limits: Limits, stage: Option<Arc<Stage>>) -> Growth {
    let model = &builder.meta().model;
    Growth {
        layers: model.layer_numbers().len(),
        heads: model.heads as usize,
        prompt_len: builder.meta().prompt_len(),
        limits,
        expected: Expected::new(builder, limits),
        scale: builder.meta().attention_scale,
        tokens: 0,
        keeps_pages: stage.is_some(),
        pages: BTreeMap::new(),
    }
}

impl Growth {
    /// The event of a token; the error is the reason why it does not fit.
    pub fn token(&mut self, message: TokenMessage, payload: &[u8]) -> Result<TokenEvent, String> {
        let TokenMessage { index, token, logprob, topk, text, page } = message;
        if index as usize != self.tokens || self.tokens >= self.limits.most_tokens {
            return Err(format!("its token {index} is not the next, or one too many"));
        }
        let is_known = |id: u32| (id as usize) < self.limits.vocab;
        if !is_known(token.id) || !topk.iter().all(|&(id, _)| is_known(id)) {
            return Err("it names a token that the model lacks".into());
        }
        if topk.len() > self.limits.topk {
            return Err("a token has more alternatives than asked for".into());
        }
        self.tokens += 1;
        let number = |number: Option<f32>| number.unwrap_or(f32::NAN);
        let token = AnswerToken {
            token,
            logprob: number(logprob),
            topk: topk.into_iter().map(|(id, logprob)| (id, number(logprob))).collect(),
        };
        if !self.keeps_pages {
            return Ok(TokenEvent { index, token, text, page: None });
        }
        let maps = self.layers * self.heads;
        let stats_bytes = maps * STAT_COUNT * size_of::<f32>();
        let (stats, weights) = payload.split_at_checked(stats_bytes).ok_or("its row is cut")?;
        if !are_finite(stats) {
            return Err(format!("the overview of a row {UNSOUND}"));
        }
        let stats: Arc<[f32]> =
            stats.chunks_exact(size_of::<f32>()).map(bytemuck::pod_read_unaligned).collect();
        let keys = self.keys(&page)?;
        if page.query as usize + 1 != self.prompt_len + index as usize {
            return Err(format!("the row of token {index} is of position {}", page.query));
        }
        let empty = Page {
            query: Query(page.query),
            keys,
            weights: vec![f16::ZERO; maps * keys].into(),
            stats,
            there: Some(vec![false; maps].into()),
        };
        let page = self.filled(&empty, &page.maps, weights)?;
        self.pages.insert(page.query.0, page.clone());
        Ok(TokenEvent { index, token, text, page: Some(page) })
    }

    /// More weights of a row; `None` if the row has not come.
    pub fn page(&mut self, message: PageMessage, payload: &[u8]) -> Result<Option<Page>, String> {
        let Some(page) = self.pages.get(&message.query) else { return Ok(None) };
        if page.keys as u64 != message.keys {
            return Err("a row has another length than before".into());
        }
        let page = self.filled(page, &message.maps, payload)?;
        self.pages.insert(page.query.0, page.clone());
        Ok(Some(page))
    }

    fn keys(&self, page: &PageMessage) -> Result<usize, String> {
        let most = self.prompt_len.saturating_add(self.limits.most_tokens);
        // All weights of a row fit in one message.
        let most =
            most.min(MAX_MESSAGE_BYTES / size_of::<f16>() / (self.layers * self.heads).max(1));
        let keys = usize::try_from(page.keys).ok();
        let keys = keys.filter(|&keys| keys <= most && (page.query as usize) < keys);
        keys.ok_or_else(|| format!("a row has {} keys", page.keys))
    }

    /// The page with more maps.
    fn filled(&self, page: &Page, maps: &Maps, payload: &[u8]) -> Result<Page, String> {
        let wanted: Vec<usize> = match maps {
            Maps::None => Vec::new(),
            Maps::All => (0..self.layers * self.heads).collect(),
            Maps::These(list) => list
                .iter()
                .map(|&[layer, head]| {
                    let fits = (layer as usize) < self.layers && (head as usize) < self.heads;
                    fits.then_some(layer as usize * self.heads + head as usize)
                })
                .collect::<Option<_>>()
                .ok_or("a row has maps that do not exist")?,
        };
        let map_bytes = page.keys * size_of::<f16>();
        if payload.len() != wanted.len() * map_bytes {
            return Err("the weights of a row do not fill their payload".into());
        }
        if !are_rows(payload, page.keys, self.scale) {
            return Err(format!("a row {UNSOUND}"));
        }
        let mut there = page.there.as_ref().map_or_else(Vec::new, |there| there.to_vec());
        let mut weights = page.weights.to_vec();
        for (map, bytes) in wanted.into_iter().zip(payload.chunks_exact(map_bytes.max(1))) {
            let place = &mut weights[map * page.keys..(map + 1) * page.keys];
            for (weight, bytes) in place.iter_mut().zip(bytes.chunks_exact(2)) {
                *weight = bytemuck::pod_read_unaligned(bytes);
            }
            there[map] = true;
        }
        let is_whole = there.iter().all(|&there| there);
        Ok(Page {
            weights: weights.into(),
            there: (!is_whole).then(|| there.into()),
            ..page.clone()
        })
    }

    /// The finished trace.
    pub fn into_expected(self) -> Expected {
        self.expected
    }

    /// The overview numbers that have arrived, by query.
    pub fn stats(&self) -> impl Iterator<Item = (Query, &[f32])> {
        self.pages.values().map(|page| (page.query, &*page.stats))
    }

    /// The weights that have arrived: query, map and the weights of its first keys.
    pub fn arrived(&self) -> impl Iterator<Item = (Query, usize, &[f16])> {
        self.pages.values().flat_map(|page| {
            let is_there = |map: &usize| page.there.as_ref().is_none_or(|there| there[*map]);
            let maps = (0..page.weights.len() / page.keys.max(1)).filter(is_there);
            maps.map(|map| (page.query, map, &page.weights[map * page.keys..(map + 1) * page.keys]))
        })
    }
}

/// Ranges of a file with their bytes.
type Pieces<'a> = Vec<(Range<u64>, &'a [u8])>;

/// A complete answer whose file is still there.
pub struct Received {
    /// The number of the trace there.
    pub number: u64,
    /// Size of its file.
    pub file_bytes: u64,
    /// Start and length of the ranges in `payload`.
    pub ranges: Vec<[u64; 2]>,
    /// The bytes of the ranges.
    pub payload: Vec<u8>,
}

impl Received {
    /// The name of the trace in errors.
    fn name(host: &str) -> PathBuf {
        PathBuf::from(format!("the answer from {host}"))
    }

    /// The ranges, after a check that they ascend within the file and fill the payload.
    fn checked(&self) -> Result<Pieces<'_>, &'static str> {
        let (mut end, mut rest) = (0, self.payload.as_slice());
        let mut found = Vec::new();
        for &[start, length] in &self.ranges {
            let bytes =
                usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
            let (own, after) = bytes.ok_or("its first ranges are cut")?;
            if start < end || start.checked_add(length).is_none_or(|end| end > self.file_bytes) {
                return Err("its first ranges are not in the file");
            }
            end = start + length;
            found.push((start..end, own));
            rest = after;
        }
        if rest.is_empty() { Ok(found) } else { Err("its first ranges do not fill their payload") }
    }

    /// The trace as far as its first ranges tell it, and its file. Nothing else was fetched, or allocated for.
    fn opened(
        &self,
        connection: &Arc<Connection>,
        ranges: &Pieces<'_>,
        expected: &Expected,
    ) -> Result<(Trace, Arc<RemoteFile>)> {
        let file = RemoteFile::new(connection, self.number, self.file_bytes);
        for (range, bytes) in ranges {
            file.insert(range.start, bytes);
        }
        let name = Self::name(connection.host());
        let trace = Trace::from_remote(&name, self.file_bytes, Arc::clone(&file) as _)?;
        match expected.fault_of(&trace) {
            Some(fault) => Err(does_not_fit(connection, &fault)),
            None => Ok((trace, file)),
        }
    }

    /// Fetches the rest of the file.
    ///
    /// # Errors
    /// A lost connection, a cancelled request, or a file that is no trace.
    pub fn whole(
        self,
        connection: &Arc<Connection>,
        expected: &Expected,
        cancel: &CancelToken,
    ) -> Result<Trace> {
        let ranges = self.checked().map_err(|reason| does_not_fit(connection, reason))?;
        drop(self.opened(connection, &ranges, expected)?);
        let mut reads = Reads::new(connection, self.number, missing(&ranges, self.file_bytes));
        let mut file = Vec::new();
        for (range, bytes) in ranges {
            reads.append_until(&mut file, range.start, cancel)?;
            file.extend_from_slice(bytes);
        }
        reads.append_until(&mut file, self.file_bytes, cancel)?;
        let trace = Trace::from_file_bytes(&Self::name(connection.host()), file)?;
        match fault_of_numbers(&trace) {
            Some(fault) => Err(does_not_fit(connection, &fault)),
            None => Ok(trace),
        }
    }

    /// A trace whose other bytes are fetched when they are read, and in the background.
    ///
    /// # Errors
    /// A file that is no trace.
    pub fn on_demand(
        self,
        connection: Arc<Connection>,
        stage: &Arc<Stage>,
        growth: Growth,
    ) -> Result<Trace> {
        let ranges = self.checked().map_err(|reason| does_not_fit(&connection, reason))?;
        let (trace, file) = self.opened(&connection, &ranges, &growth.expected)?;
        if let Some(fault) = fault_of_small_numbers(&trace) {
            return Err(does_not_fit(&connection, &fault));
        }
        let positions = trace.shape().positions;
        let places = trace.places_in_file().map(|(name, dtype, place)| {
            let keys = (name == "attention.weights").then_some(positions);
            Numbers { dtype, place, keys }
        });
        file.check_numbers(places.collect(), trace.meta().attention_scale);
        if !ranges.iter().all(|(range, _)| file.is_sound(range)) {
            return Err(does_not_fit(&connection, &format!("its attention {UNSOUND}")));
        }
        for (query, stats) in growth.stats() {
            let place = trace.row_of_query(query).and_then(|row| trace.place_of_stats(row));
            if let Some(place) = place {
                file.insert(place.start, bytemuck::cast_slice(stats));
            }
        }
        for (query, map, weights) in growth.arrived() {
            let Some(row) = trace.row_of_query(query) else { continue };
            let mut bytes = bytemuck::cast_slice::<f16, u8>(weights).to_vec();
            bytes.resize(positions * size_of::<f16>(), 0);
            if let Some(place) = trace.place_of_map(row, map) {
                file.insert(place.start, &bytes);
            }
        }
        file.fetch(stage);
        Ok(trace)
    }
}

/// The gaps between ranges.
fn missing(ranges: &[(Range<u64>, &[u8])], file_bytes: u64) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut end = 0;
    let last = file_bytes..file_bytes;
    for range in ranges.iter().map(|(range, _)| range).chain([&last]) {
        let mut start = end;
        while start < range.start {
            let stop = range.start.min(start + READ_BYTES);
            gaps.push(start..stop);
            start = stop;
        }
        end = range.end;
    }
    gaps
}

/// Reads of a file, in ascending order, some of them under way.
struct Reads<'a> {
    connection: &'a Arc<Connection>,
    number: u64,
    waiting: std::vec::IntoIter<Range<u64>>,
    under_way: std::collections::VecDeque<(Range<u64>, Call)>,
}

impl<'a> Reads<'a> {
    fn new(connection: &'a Arc<Connection>, number: u64, gaps: Vec<Range<u64>>) -> Self {
        let under_way = std::collections::VecDeque::new();
        Self { connection, number, waiting: gaps.into_iter(), under_way }
    }

    /// Appends what is missing until `file` has `end` bytes.
    fn append_until(&mut self, file: &mut Vec<u8>, end: u64, cancel: &CancelToken) -> Result<()> {
        while (file.len() as u64) < end {
            while self.under_way.len() < READS_AHEAD {
                let Some(range) = self.waiting.next() else { break };
                let message = read_message(self.number, &range);
                self.under_way.push_back((range, self.connection.call(&message, Vec::new())?));
            }
            let Some((range, call)) = self.under_way.pop_front() else {
                return Err(does_not_fit(self.connection, "its ranges leave a gap"));
            };
            read_into(self.connection, &call, range.end - range.start, cancel, &mut |bytes| {
                file.extend_from_slice(bytes);
            })?;
            call.complete();
        }
        Ok(())
    }
}
