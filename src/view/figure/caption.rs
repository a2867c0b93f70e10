//! The line that describes the view: "attention · answer token 3 fox · L4 H1, 20.9 % on the picture, 0.000–0.184". The same
//! text is in the window, below a saved figure and in its metadata.

use super::super::{
    Aggregate, AxisSet, Drawing, HeadSet, MapChoice, MapSource, Mix, Parts, PictureRule, Quantity,
    Queries, QueryKind, ViewState, pictures,
};
use super::color_limits::{CausalNumbers, Readout};
use super::text::{TextRun, head_name};
use crate::analysis::methods::Method;
use crate::analysis::patching::{Site, of_layer_map};
use crate::trace::{TokenInfo, TraceMeta, characters, spelled};

/// The place of a map over patches.
const PICTURE: &str = "picture";

/// A token as readable text: word-start marks removed, spaces as a thin mark, control characters by name.
pub fn token_text(piece: &str) -> String {
    let piece = match piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')) {
        Some(hex) => match u8::from_str_radix(hex, 16).map(char::from) {
            Ok(character) if character.is_ascii() => character.to_string(),
            _ => return piece.to_owned(),
        },
        None => piece.to_owned(),
    };
    // SentencePiece and byte-level BPE mark a word start with these.
    let word = piece.strip_prefix(['▁', 'Ġ', ' ']).unwrap_or(&piece);
    if word.is_empty() {
        return "space".into();
    }
    let mut text = String::new();
    for character in word.chars() {
        match character {
            '\n' | 'Ċ' => text.push_str("newline"),
            '\t' => text.push_str("tab"),
            '\r' => text.push_str("return"),
            ' ' | '▁' | 'Ġ' => text.push('·'),
            control if control.is_control() => {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(&format!("U+{:04X}", u32::from(control)));
            }
            other => text.push(other),
        }
    }
    text
}

/// The readable text of each of these tokens. Of several that spell one character with bytes, each has the character
/// and its own number: "狐 1/3".
pub fn token_names(tokens: &[TokenInfo]) -> Vec<String> {
    let mut names = Vec::with_capacity(tokens.len());
    for run in characters(tokens) {
        let count = run.len();
        match &tokens[run] {
            [token] => names.push(token_text(&token.text)),
            run => {
                let text = token_text(&spelled(run));
                names.extend((1..=count).map(|number| format!("{text} {number}/{count}")));
            }
        }
    }
    names
}

/// The readable text of one token among its neighbours, see [`token_names`].
pub fn token_name(tokens: &[TokenInfo], index: usize) -> Option<String> {
    /// No character is spelled by more tokens.
    const MOST_BYTES: usize = 4;
    let token = tokens.get(index)?;
    if !token.text.contains("<0x") {
        return Some(token_text(&token.text));
    }
    // A character may begin before these neighbours, but none of its tokens is further away.
    let first = index.saturating_sub(2 * MOST_BYTES);
    let near = &tokens[first..tokens.len().min(index + 2 * MOST_BYTES)];
    token_names(near).into_iter().nth(index - first)
}

/// Tokens joined to text again: pieces concatenated, word starts as spaces.
fn words(tokens: &[&TokenInfo]) -> String {
    let tokens: Vec<TokenInfo> = tokens.iter().map(|&token| token.clone()).collect();
    let mut text = String::new();
    for run in characters(&tokens) {
        if tokens[run.start].begins_word() && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&token_text(&spelled(&tokens[run])));
    }
    text
}

/// The description of a view state, with the numbers of its colour scale if they are known. `second` describes the second map's trace,
/// if it is another one.
pub fn caption(
    state: &ViewState,
    meta: &TraceMeta,
    second: Option<&TraceMeta>,
    readout: impl Into<Readout>,
) -> Vec<TextRun> {
    if let Some(text) = &state.caption.text {
        return vec![TextRun::plain(text)];
    }
    let readout = readout.into();
    if state.view.spec().drawing == Drawing::Tree {
        return joined(causal_parts(state, meta, readout));
    }
    if state.view.spec().drawing == Drawing::Table {
        return joined(patching_parts(state, meta, readout));
    }
    let mut parts = match state.shown_second() {
        None => map_parts(state, &state.map, meta),
        Some((other, mix)) => {
            let first = map_parts(state, &state.map, meta);
            let then = map_parts(state, &other.map, second.unwrap_or(meta));
            mixed(first, then, mix, other.trace.as_deref().zip(second))
        }
    };
    let spec = state.view.spec();
    let method = Method::of_tensor(state.map.source.name());
    let is_occlusion = method.is_some_and(|method| method.name == "occlusion");
    let is_copied = of_layer_map(state.map.source.name()).is_some();
    let unit = match (spec.has_maps(), spec.parts) {
        (true, _) if is_occlusion => "drop in log p when covered",
        (true, _) if is_copied => "share of the answer that returns",
        (true, _) => PICTURE,
        (false, Parts::QueriesKeys) => "all positions",
        (false, _) => state.quantity.description(),
    };
    let object = state.chosen_object().filter(|_| state.quantity == Quantity::Inside);
    let named = object.map(|object| format!("share inside {}", object.name));
    let unit = match &named {
        Some(named) if spec.drawing == Drawing::Matrix => named.as_str(),
        _ => unit,
    };
    let bos = if state.remove_bos && state.map.source == MapSource::Attention {
        " without BOS"
    } else {
        ""
    };
    let part = match spec.pictures {
        PictureRule::All => Some(all_pictures(meta)),
        PictureRule::Chosen => state.picture.part(meta),
    };
    let unit = match part.filter(|_| spec.has_maps()) {
        Some(part) if unit == PICTURE => part,
        Some(part) => format!("{unit}, {part}"),
        None => unit.to_owned(),
    };
    let notes = readout.notes();
    let place = format!("{unit}{bos}");
    // "20.9 % on the picture" already says where the map lies.
    let names_picture = readout.shares.iter().any(Option::is_some);
    if place != PICTURE || !names_picture {
        parts.push(vec![TextRun::plain(place)]);
    }
    let mut line = joined(parts);
    if !notes.is_empty() {
        // A separate run: if the line is too long, the notes are beside the legend.
        line.push(TextRun::plain(notes));
    }
    let range = readout.ends.caption(state);
    if !range.is_empty() {
        // A separate run: if the line is too long, it is dropped, and only the legend shows the range.
        line.push(TextRun::plain(range));
    }
    line
}

/// The caption of the widest selection that pointing at heads and words of the answer leads to: the mean of all layers and
/// heads, at the answer token with the longest name. The lines that it takes are kept free below a picture that must not
/// move while the selection changes.
pub fn widest_caption(
    state: &ViewState,
    meta: &TraceMeta,
    second: Option<&TraceMeta>,
    readout: impl Into<Readout>,
) -> Vec<TextRun> {
    let mut widest = state.clone();
    let map = &mut widest.map;
    (map.layers, map.heads, map.head_set) = (AxisSet::MEAN, AxisSet::MEAN, None);
    if map.queries.kind == QueryKind::Answer && map.queries.set.only().is_some() {
        let length = |index: &u32| {
            let token = meta.tokens.get(meta.prompt_len() + *index as usize);
            token.map_or(0, |token| token.text.chars().count())
        };
        let longest = (0..meta.generated() as u32).max_by_key(length);
        map.queries = longest.map_or_else(|| map.queries.clone(), Queries::answer);
    }
    let mut readout = readout.into();
    // The widest number of a share.
    readout.shares = readout.shares.map(|share| share.map(|_| 0.999));
    readout.outside = readout.outside.map(|share| share.map(|_| 0.999));
    caption(&widest, meta, second, readout)
}

/// The causal graph of a token: "causal graph · answer token 3 fox · L5 H2 · 6 of 12 nodes within distance 3".
fn causal_parts(state: &ViewState, meta: &TraceMeta, readout: Readout) -> Vec<Part> {
    let mut parts = vec![vec![TextRun::plain("causal graph")], first_token(state, meta)];
    match readout.causal {
        Some(CausalNumbers { layer, head, shown, nodes, radius }) => {
            parts.push(vec![TextRun::plain(head_name(layer, head))]);
            parts.push(vec![TextRun::plain(match shown {
                0 => "nothing explains the token".to_owned(),
                _ => format!("{shown} of {nodes} nodes within distance {radius}"),
            })]);
        }
        None => parts.extend(
            state.map.heads.only().map(|head| vec![TextRun::plain(format!("head {head}"))]),
        ),
    }
    parts
}

/// "residual stream copied · answer token 3 fox · share of the answer that returns".
fn patching_parts(state: &ViewState, meta: &TraceMeta, readout: Readout) -> Vec<Part> {
    let plain = |text: &str| vec![TextRun::plain(text)];
    let site = readout.patching.map(|numbers| numbers.site).or(state.site);
    let what = site.map_or("activations copied", copied);
    let mut parts = vec![plain(what), first_token(state, meta)];
    let Some(numbers) = readout.patching else { return parts };
    parts.push(plain(match numbers.is_estimate {
        true => "first-order estimate of the share of the answer that returns",
        false => "share of the answer that returns",
    }));
    if numbers.done < numbers.places {
        parts.push(plain(&format!("{} of {} places", numbers.done, numbers.places)));
    }
    parts
}

const fn copied(site: Site) -> &'static str {
    match site {
        Site::Residual => "residual stream copied",
        Site::Heads => "outputs of heads copied",
        Site::Mlp => "outputs of MLPs copied",
    }
}

/// The first of the chosen answer tokens.
fn first_token(state: &ViewState, meta: &TraceMeta) -> Part {
    let queries = &state.map.queries;
    let first = match queries.kind {
        QueryKind::Answer => queries.set.named().map_or(Some(0), |named| named.first().copied()),
        QueryKind::Position => None,
    };
    queries_part(&first.map_or_else(|| queries.clone(), Queries::answer), meta)
}

/// "2 pictures", "16 frames".
fn all_pictures(meta: &TraceMeta) -> String {
    let pictures = pictures(meta);
    let is_frames = meta.spans.iter().all(|span| span.frame.is_some());
    let what = if is_frames { "frame" } else { "picture" };
    format!("{} {what}{}", pictures.len(), if pictures.len() == 1 { "" } else { "s" })
}

type Part = Vec<TextRun>;

fn joined(parts: Vec<Part>) -> Vec<TextRun> {
    let mut runs: Vec<TextRun> = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            runs.push(TextRun::plain(" · "));
        }
        runs.extend(part);
    }
    runs
}

fn mixed(
    first: Vec<Part>,
    then: Vec<Part>,
    mix: Mix,
    other_trace: Option<(&std::path::Path, &TraceMeta)>,
) -> Vec<Part> {
    // Only parts that differ are written for both maps.
    let common: Vec<Part> = first.iter().filter(|part| then.contains(part)).cloned().collect();
    let own = |parts: Vec<Part>| -> Vec<TextRun> {
        let own: Vec<Part> = parts.into_iter().filter(|part| !common.contains(part)).collect();
        joined(all_heads(own))
    };
    let (mut a, mut b) = (own(first), own(then));
    if let Some((path, _)) = other_trace {
        let name = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        if a.is_empty() {
            a.push(TextRun::plain("this trace"));
        }
        let comma = if b.is_empty() { "" } else { " · " };
        b.insert(0, TextRun::plain(format!("{name}{comma}")));
    }
    let (before, between, after) = match mix {
        Mix::CrossFade { amount } => ("", " → ", format!(", {:.0} %", amount * 100.0)),
        Mix::Swipe { .. } => ("", " | ", String::new()),
        Mix::Difference => ("difference ", " − ", String::new()),
    };
    let mut runs = vec![TextRun::plain(before)];
    runs.extend(a);
    runs.push(TextRun::plain(between));
    runs.extend(b);
    runs.push(TextRun::plain(after));
    runs.retain(|run| !run.text.is_empty());
    // The shared part comes first: it is read once and holds for both.
    let mut parts = common;
    parts.push(runs);
    parts
}

/// Joins "mean of 6 layers" and "mean of 8 heads", which beside another map are hard to tell from two maps.
fn all_heads(parts: Vec<Part>) -> Vec<Part> {
    let text = |part: &Part| part.iter().map(|run| run.text.as_str()).collect::<String>();
    let mut out: Vec<Part> = Vec::new();
    for part in parts {
        let heads = text(&part);
        let is_all = |how: &str| {
            let before = out.last().map(text).unwrap_or_default();
            let counts = |text: &str, unit: &str| {
                let count = text.strip_prefix(how).and_then(|rest| rest.strip_suffix(unit));
                count.is_some_and(|count| count.chars().all(|c| c.is_ascii_digit()))
            };
            counts(&before, " layers") && counts(&heads, " heads")
        };
        match ["mean", "max"].into_iter().find(|how| is_all(&format!("{how} of "))) {
            Some(how) => {
                out.pop();
                out.push(vec![TextRun::plain(format!("{how} of all heads"))]);
            }
            None => out.push(part),
        }
    }
    out
}

/// Source, tokens, layers and heads of one map, each a part of the line.
fn map_parts(state: &ViewState, map: &MapChoice, meta: &TraceMeta) -> Vec<Part> {
    let is_attention = map.source == MapSource::Attention;
    let spec = state.view.spec();
    let what = if spec.drawing == Drawing::Matrix {
        state.quantity.name().replace('-', " ")
    } else {
        let name = map.source.name();
        match (of_layer_map(name), Method::of_tensor(name)) {
            (Some((site, layer)), _) => format!("{} at layer {layer}", copied(site)),
            (None, Some(method)) if !is_attention => method.title.to_owned(),
            _ => name.trim_start_matches("map.").replace('.', " "),
        }
    };
    let mut parts = vec![vec![TextRun::plain(what)]];
    parts.push(if spec.every.tokens {
        vec![TextRun::plain("query × key")]
    } else {
        queries_part(&map.queries, meta)
    });
    if !is_attention {
        return parts;
    }
    let numbers = meta.model.layer_numbers();
    let (layers, heads) = (numbers.len() as u32, meta.model.heads);
    if spec.every.layers && spec.every.heads {
        parts.push(vec![TextRun::plain(format!("{layers} layers × {heads} heads"))]);
        return parts;
    }
    if let Some(set) = map.head_set.as_ref().filter(|_| !spec.every.heads) {
        parts.push(vec![TextRun::plain(head_set_text(set))]);
        return parts;
    }
    let axis = |every: bool, set: &AxisSet, name: &str, count: u32| {
        if every { format!("{count} {name}s") } else { set_text(set, name, count) }
    };
    if let (false, false, Some(layer), Some(head)) =
        (spec.every.layers, spec.every.heads, map.layers.only(), map.heads.only())
    {
        parts.push(vec![TextRun::plain(head_name(layer, head))]);
        return parts;
    }
    parts.push(vec![TextRun::plain(axis(spec.every.layers, &map.layers, "layer", layers))]);
    parts.push(vec![TextRun::plain(axis(spec.every.heads, &map.heads, "head", heads))]);
    parts
}

/// The name of the heads that a selection averages: "L4 H1", "mean of L4 H1, L7 H0", "layer 4 · mean of 8 heads".
pub fn caption_of_heads(map: &MapChoice, meta: &TraceMeta) -> String {
    let count = meta.model.layer_numbers().len() as u32;
    match (&map.head_set, map.layers.only().zip(map.heads.only())) {
        (Some(set), _) => head_set_text(set),
        (None, Some((layer, head))) => head_name(layer, head),
        (None, None) => format!(
            "{} · {}",
            set_text(&map.layers, "layer", count),
            set_text(&map.heads, "head", meta.model.heads)
        ),
    }
}

/// "mean of L4 H1, L7 H0", "mean of 12 heads".
fn head_set_text(set: &HeadSet) -> String {
    /// More heads are counted, not named.
    const NAMED: usize = 4;
    match set.heads().len() {
        few if few <= NAMED => format!("mean of {}", set.names()),
        many => format!("mean of {many} heads"),
    }
}

/// "layer 4", "mean of 32 layers", "max of layers 0-7".
fn set_text(set: &AxisSet, name: &str, count: u32) -> String {
    if let Some(one) = set.only() {
        return format!("{name} {one}");
    }
    let how = aggregate_text(set.aggregate());
    match set.named() {
        None => format!("{how} of {count} {name}s"),
        Some(named) => {
            format!("{how} of {name}s {}", super::super::axis_set::ranges(named).replace('-', "–"))
        }
    }
}

const fn aggregate_text(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Single | Aggregate::Mean => "mean",
        Aggregate::Max => "max",
    }
}

/// "answer token 3 **fox**", "mean of answer tokens 2–4 **a brown fox**".
fn queries_part(queries: &Queries, meta: &TraceMeta) -> Part {
    /// A longer quotation would push the rest of the line away.
    const WORDS: usize = 8;
    let (name, first) = match queries.kind {
        QueryKind::Answer => ("answer token", meta.prompt_len()),
        QueryKind::Position => ("position", 0),
    };
    let token = |index: u32| meta.tokens.get(first + index as usize);
    if let Some(one) = queries.set.only() {
        let mut runs = vec![TextRun::plain(format!("{name} {one}"))];
        if let Some(name) = token_name(&meta.tokens, first + one as usize) {
            runs.push(TextRun::plain(" "));
            runs.push(TextRun::strong(name));
        }
        return runs;
    }
    let how = aggregate_text(queries.set.aggregate());
    let Some(named) = queries.set.named() else {
        let all = match queries.kind {
            QueryKind::Answer => format!("{how} of {} answer tokens", meta.generated()),
            QueryKind::Position => format!("{how} of all kept positions"),
        };
        return vec![TextRun::plain(all)];
    };
    let list = super::super::axis_set::ranges(named).replace('-', "–");
    let mut runs = vec![TextRun::plain(format!("{how} of {name}s {list}"))];
    let tokens: Vec<&TokenInfo> = named.iter().filter_map(|&index| token(index)).collect();
    if !tokens.is_empty() && tokens.len() <= WORDS {
        runs.push(TextRun::plain(" "));
        runs.push(TextRun::strong(words(&tokens)));
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_as_words() {
        assert_eq!(token_text("▁fox"), "fox");
        assert_eq!(token_text("ing"), "ing");
        assert_eq!(token_text("<0x0A>"), "newline");
        assert_eq!(token_text("▁"), "space");
        assert_eq!(token_text("a▁b"), "a·b");
        assert_eq!(token_text("</s>"), "</s>");
        assert_eq!(token_text("\u{1a}\u{1a}"), "U+001A U+001A");
    }

    #[test]
    fn bytes_of_a_character_are_named_by_it() {
        let token = |text: &str| TokenInfo {
            id: 0,
            text: text.into(),
            kind: crate::trace::TokenKind::Answer,
            turn: 0,
            word: Some(0),
        };
        let tokens = ["▁a", "<0xE7>", "<0x8B>", "<0x90>", "b", "<0xE7>"].map(token);
        let names = ["a", "狐 1/3", "狐 2/3", "狐 3/3", "b", "<0xE7>"];
        assert_eq!(token_names(&tokens), names);
        for (index, name) in names.into_iter().enumerate() {
            assert_eq!(token_name(&tokens, index).as_deref(), Some(name));
        }
        assert_eq!(words(&tokens[..4].iter().collect::<Vec<_>>()), "a狐");
    }
}
