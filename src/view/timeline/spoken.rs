//! Captions in words that an audience understands: "When it says **fox**, layer 4 puts 99 % of its attention on the
//! picture".

use crate::trace::{STAT_COUNT, Stat, TokenKind, Trace, characters, spelled};
use crate::view::figure::{percent, token_text};
use crate::view::{MapSource, QueryKind, ViewKind, ViewState};
use std::collections::BTreeSet;

/// Shares as percentages, with the fewest decimals that tell them apart; without decimals where two decimals do not.
pub fn told_apart(shares: &[f32]) -> Vec<String> {
    const MOST_DECIMALS: usize = 2;
    let texts = |decimals| -> Vec<String> {
        shares.iter().map(|share| percent(f64::from(*share), decimals)).collect()
    };
    let differ = |texts: &Vec<String>| texts.iter().collect::<BTreeSet<_>>().len() == texts.len();
    (0..=MOST_DECIMALS).map(texts).find(differ).unwrap_or_else(|| texts(0))
}

/// The sentence of a share ("37 %"); `who` is the subject ("layer 4"), and `when` the clause before it.
pub fn attends(when: &str, who: &str, share: &str) -> String {
    let share = share.replace(' ', "\u{a0}");
    format!("{when}, {who} puts {share} of its attention on the picture")
}

/// The clause that names the words of a view: "When it says **fox**".
pub fn when(word: &str) -> String {
    format!("When it says **{word}**")
}

/// What a view shows, as a sentence with its words marked by `**`. The answer with its chosen words marked where nothing
/// can be said about attention; empty for a map of other positions.
pub fn spoken(state: &ViewState, trace: &Trace) -> String {
    let queries = &state.map.queries;
    if queries.kind != QueryKind::Answer {
        return String::new();
    }
    let clause = match chosen_words(state, trace).as_slice() {
        [] => "While it answers".to_owned(),
        words => when(&words.join(" ")),
    };
    let map = &state.map;
    let is_plain = map.source == MapSource::Attention && state.second.is_none();
    let (layer, head) = (map.layers.only(), map.heads.only());
    match state.view {
        ViewKind::Wall if is_plain => format!("{clause}: every head of every layer"),
        ViewKind::Heads if is_plain && layer.is_some() => {
            format!("{clause}: the heads of layer\u{a0}{}", layer.unwrap_or_default())
        }
        ViewKind::Causal => format!("{clause}: the causal graph of its attention"),
        ViewKind::Patch => {
            format!("{clause}: how much of it returns where activations are copied")
        }
        ViewKind::Overlay | ViewKind::Pictures if is_plain => {
            let Some(share) = image_share(state, trace) else {
                return sentence(trace, queries.set.named().unwrap_or_default());
            };
            let who = match (layer, head) {
                (Some(layer), Some(head)) => {
                    format!("head\u{a0}{head} of layer\u{a0}{layer}")
                }
                (Some(layer), None) => format!("layer\u{a0}{layer}"),
                (None, Some(head)) => format!("head\u{a0}{head} of all layers"),
                (None, None) => "the model".to_owned(),
            };
            attends(&clause, &who, &percent(f64::from(share), 0))
        }
        _ => sentence(trace, queries.set.named().unwrap_or_default()),
    }
}

/// The words of an answer, with the words of some tokens marked by `**…**`: the default caption for a view of these
/// tokens.
pub fn sentence(trace: &Trace, marked: &[u32]) -> String {
    let tokens = trace.meta().answer_tokens();
    let mut text = String::new();
    for run in characters(tokens) {
        let first = &tokens[run.start];
        if first.kind == TokenKind::Special {
            continue;
        }
        if first.begins_word() && !text.is_empty() {
            text.push(' ');
        }
        let word = token_text(&spelled(&tokens[run.clone()]));
        let is_marked = run.into_iter().any(|index| marked.contains(&(index as u32)));
        text.push_str(&if is_marked { format!("**{word}**") } else { word });
    }
    text
}

/// The words of the answer that a view chooses; none if it takes all, or more than can be said.
fn chosen_words(state: &ViewState, trace: &Trace) -> Vec<String> {
    /// More words than these are not read.
    const MOST: usize = 4;
    let Some(chosen) = state.map.queries.set.named() else { return Vec::new() };
    let is_chosen = |word: &crate::trace::Word| {
        word.kind != TokenKind::Special
            && word.tokens.clone().any(|token| chosen.contains(&(token as u32)))
    };
    let words: Vec<String> = trace
        .meta()
        .answer_words()
        .iter()
        .filter(|word| is_chosen(word))
        .map(|word| {
            let text = token_text(&word.text);
            let plain = text.trim_matches(|c: char| !c.is_alphanumeric());
            if plain.is_empty() { text } else { plain.to_owned() }
        })
        .collect();
    if words.len() > MOST { Vec::new() } else { words }
}

/// Mean share of the chosen heads' attention that lies on the pictures, 0–1.
pub fn image_share(state: &ViewState, trace: &Trace) -> Option<f32> {
    let shape = trace.shape();
    let layers = state.map.layers.layer_indices(&trace.meta().model);
    let heads: Vec<usize> = match state.map.heads.named() {
        Some(heads) => heads.iter().map(|&head| head as usize).collect(),
        None => (0..shape.heads).collect(),
    };
    let mut shares = Vec::new();
    for row in state.map.queries.rows(trace).ok()? {
        let stats = trace.stats(row as usize)?;
        for &layer in &layers {
            for &head in &heads {
                let cell = (layer as usize * shape.heads + head) * STAT_COUNT;
                shares.push(*stats.get(cell + Stat::ImageSum as usize)?);
            }
        }
    }
    (!shares.is_empty()).then(|| shares.iter().sum::<f32>() / shares.len() as f32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use crate::view::{AxisSet, Queries};

    #[test]
    fn shares_have_the_decimals_that_tell_them_apart() {
        assert_eq!(told_apart(&[0.5, 0.25]), ["50 %", "25 %"]);
        assert_eq!(told_apart(&[0.9991, 0.996, 0.99]), ["99.9 %", "99.6 %", "99.0 %"]);
        assert_eq!(told_apart(&[0.99996, 0.99994, 0.5]), ["100.00 %", "99.99 %", "50.00 %"]);
        assert_eq!(told_apart(&[1.0, 1.0, 0.5]), ["100 %", "100 %", "50 %"]);
    }

    #[test]
    fn a_view_is_told_as_a_sentence() {
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::All, 1).unwrap().trace().unwrap();
        let mut state = ViewState::default();
        state.map.queries = Queries::answer(1);
        let word = trace.meta().answer_words()[1].plain();
        let clause = format!("When it says **{word}**");
        let all = spoken(&state, &trace);
        assert!(all.starts_with(&format!("{clause}, the model puts ")), "{all}");
        state.map.layers = AxisSet::single(1);
        assert!(spoken(&state, &trace).contains(", layer\u{a0}1 puts "));
        state.map.heads = AxisSet::single(0);
        let one = spoken(&state, &trace);
        let stats =
            trace.stats(trace.row_of_answer(crate::trace::AnswerIndex(1)).unwrap()).unwrap();
        let share = stats[trace.shape().heads * STAT_COUNT + Stat::ImageSum as usize];
        let share = percent(f64::from(share), 0).replace(' ', "\u{a0}");
        let rest =
            format!("head\u{a0}0 of layer\u{a0}1 puts {share} of its attention on the picture");
        assert_eq!(one, format!("{clause}, {rest}"));
        state.view = ViewKind::Wall;
        assert_eq!(spoken(&state, &trace), format!("{clause}: every head of every layer"));
        state.map.queries = Queries::position(0);
        assert_eq!(spoken(&state, &trace), "");
    }
}
