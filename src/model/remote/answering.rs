//! The events of the answer that is being given, as messages: which attention goes with them.

use super::message::{Maps, PageMessage, PagesSent, ServerMessage, TensorInfo, TokenMessage};
use crate::model::event::{AskEvent, Page, Progress, TokenEvent};
use crate::trace::{Dtype, STAT_COUNT, TraceBuilder};
use half::f16;

/// The present answer, its pages so far, and what the client shows.
#[derive(Debug, Default)]
pub struct Answering {
    shown: Maps,
    current: Option<Current>,
}

/// Maps of a page that was sent before, which are on the stage now.
pub struct Shown {
    /// The request of the answer.
    pub id: u64,
    pub message: ServerMessage,
    pub page: Page,
    /// Indices of layer × H + head, in the order of the message.
    pub maps: Vec<usize>,
}

#[derive(Debug)]
struct Current {
    id: u64,
    pages: PagesSent,
    heads: usize,
    /// The pages that were sent in part.
    sent: Vec<Page>,
}

impl Answering {
    /// An answer begins.
    pub fn begin(&mut self, id: u64, pages: PagesSent) {
        self.current = Some(Current { id, pages, heads: 0, sent: Vec::new() });
    }

    /// The answer is complete, or failed.
    pub fn end(&mut self) {
        self.current = None;
    }

    /// The client shows other maps: returns them in the rows that it has.
    pub fn show(&mut self, maps: Maps) -> Vec<Shown> {
        if self.shown == maps {
            return Vec::new();
        }
        self.shown = maps;
        let Some(current) =
            self.current.as_ref().filter(|current| current.pages == PagesSent::Shown)
        else {
            return Vec::new();
        };
        let shown = |page: &Page| {
            let (named, maps) = chosen(page, &self.shown, current.heads);
            let message = PageMessage { query: page.query.0, keys: page.keys as u64, maps: named };
            Shown {
                id: current.id,
                message: ServerMessage::Page(message),
                page: page.clone(),
                maps,
            }
        };
        // The stage most likely shows the newest row.
        current.sent.iter().rev().map(shown).collect()
    }

    /// The message for an event, and its payload.
    ///
    /// # Errors
    /// Metadata without a JSON form.
    pub fn message(&mut self, event: AskEvent) -> Result<Option<(ServerMessage, Vec<u8>)>, String> {
        let Some(current) = &mut self.current else { return Ok(None) };
        Ok(Some(match event {
            AskEvent::Progress(Progress { stage, done, total }) => {
                (ServerMessage::Progress { stage, done, total }, Vec::new())
            }
            AskEvent::Notice(notice) => (ServerMessage::notice(notice), Vec::new()),
            AskEvent::Prompt(builder) => {
                current.heads = builder.meta().model.heads as usize;
                prompt(&builder)?
            }
            AskEvent::Token(token) => {
                let TokenEvent { index, token, text, page } = *token;
                let wanted = match current.pages {
                    PagesSent::None => Maps::None,
                    PagesSent::Shown => self.shown.clone(),
                    PagesSent::All => Maps::All,
                };
                // A model in this process sends a page with every token.
                let page = page.ok_or("a token has no page")?;
                let (maps, weights) = weights(&page, &wanted, current.heads);
                let mut payload = Vec::new();
                if current.pages != PagesSent::None {
                    payload.extend_from_slice(bytemuck::cast_slice::<f32, u8>(&page.stats));
                    payload.extend(weights);
                }
                let finite = |number: f32| number.is_finite().then_some(number);
                let message = TokenMessage {
                    index,
                    logprob: finite(token.logprob),
                    topk: token.topk.iter().map(|&(id, logprob)| (id, finite(logprob))).collect(),
                    token: token.token,
                    text,
                    page: PageMessage { query: page.query.0, keys: page.keys as u64, maps },
                };
                if current.pages == PagesSent::Shown {
                    current.sent.push(page);
                }
                (ServerMessage::Token(Box::new(message)), payload)
            }
            // Only an engine on another machine sends it.
            AskEvent::Page(_) => return Ok(None),
        }))
    }
}

/// The metadata, then the pictures.
fn prompt(builder: &TraceBuilder) -> Result<(ServerMessage, Vec<u8>), String> {
    let mut payload = builder.meta().to_json().map_err(|error| error.to_string())?.into_bytes();
    let meta_bytes = payload.len() as u64;
    let mut tensors = Vec::new();
    for (name, shape, bytes) in builder.pictures() {
        tensors.push(TensorInfo { name: name.to_owned(), dtype: Dtype::U8, shape: shape.to_vec() });
        payload.extend_from_slice(bytes);
    }
    Ok((ServerMessage::Prompt { meta_bytes, tensors }, payload))
}

/// The weights of some maps of a page, and the maps that there are.
fn weights(page: &Page, wanted: &Maps, heads: usize) -> (Maps, Vec<u8>) {
    let (named, maps) = chosen(page, wanted, heads);
    let mut bytes = Vec::with_capacity(maps.len() * page.keys * size_of::<f16>());
    for map in maps {
        let weights = &page.weights[map * page.keys..(map + 1) * page.keys];
        bytes.extend_from_slice(bytemuck::cast_slice::<f16, u8>(weights));
    }
    (named, bytes)
}

/// Those of the wanted maps that a page has, and their indices. A map that is named twice is taken once, so that a list
/// is never longer than the page.
fn chosen(page: &Page, wanted: &Maps, heads: usize) -> (Maps, Vec<usize>) {
    let layers = page.stats.len() / STAT_COUNT / heads.max(1);
    match wanted {
        Maps::None => (Maps::None, Vec::new()),
        Maps::All => (Maps::All, (0..layers * heads).collect()),
        Maps::These(list) => {
            let (mut there, mut maps) = (Vec::new(), Vec::new());
            let mut is_taken = vec![false; layers * heads];
            for &[layer, head] in list {
                if (head as usize) < heads && (layer as usize) < layers {
                    let map = layer as usize * heads + head as usize;
                    if !std::mem::replace(&mut is_taken[map], true) {
                        there.push([layer, head]);
                        maps.push(map);
                    }
                }
            }
            (Maps::These(there), maps)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Query;

    #[test]
    fn a_map_that_is_named_twice_is_taken_once() {
        // Two layers of two heads with three keys.
        let page = Page {
            query: Query(2),
            keys: 3,
            weights: (0..12).map(|at| f16::from_f32(at as f32)).collect(),
            stats: vec![0.0; 4 * STAT_COUNT].into(),
            there: None,
        };
        let wanted = Maps::These(vec![[1, 0], [1, 0], [0, 1], [7, 0], [1, 0], [0, 2]]);
        let (named, bytes) = weights(&page, &wanted, 2);
        assert_eq!(named, Maps::These(vec![[1, 0], [0, 1]]));
        let expected: Vec<u8> = [6, 7, 8, 3, 4, 5]
            .iter()
            .flat_map(|&at| f16::from_f32(at as f32).to_le_bytes())
            .collect();
        assert_eq!(bytes, expected);
        assert_eq!(weights(&page, &Maps::All, 2).1.len(), 24);
    }
}
