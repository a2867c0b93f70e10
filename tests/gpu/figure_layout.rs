//! Properties of figure layouts: everything on the target, nothing on top of something else.

use proptest::prelude::*;
use vlmscope::analysis::causal::Mark;
use vlmscope::analysis::density::Frame;
use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};
use vlmscope::trace::{PatchRef, TokenKind, Trace};
use vlmscope::view::figure::*;
use vlmscope::view::*;

fn token(text: &str, kind: TokenKind) -> AxisToken {
    AxisToken { text: text.into(), kind, position: 0 }
}

fn axis(count: u32, marked: &[u32]) -> AxisMarks {
    AxisMarks { count, marked: marked.to_vec(), numbers: Vec::new() }
}

fn contents(aspect: f32, layers: u32, heads: u32) -> Vec<(ViewKind, Content)> {
    let tiles = (0..heads)
        .map(|head| HeadTile { head, image_share: 0.37, range: Some([0.0, 0.0184]) })
        .collect();
    let mut keys = vec![token("<s>", TokenKind::Special), token("USER:", TokenKind::System)];
    keys.extend((0..200).map(|_| token("", TokenKind::Image)));
    keys.extend((0..12).map(|_| token("question", TokenKind::Question)));
    keys.extend((0..6).map(|_| token("answer", TokenKind::Answer)));
    let queries = keys[202..].to_vec();
    let bar =
        |label: &str, value, is_image, is_sum| Bar { label: label.into(), value, is_image, is_sum };
    let bars = vec![
        bar("picture as a whole", 0.6, true, true),
        bar("question", 0.4, false, true),
        bar("circle", 0.1, false, false),
        bar("strongest patch", 0.05, true, false),
    ];
    vec![
        (ViewKind::Overlay, Content::Picture { aspect }),
        (ViewKind::Relevancy, Content::Relevancy { aspect, bars }),
        (ViewKind::Heads, Content::Heads { aspect, tiles, marked: vec![heads / 2] }),
        (
            ViewKind::Wall,
            Content::Wall {
                aspect,
                layers: axis(layers, &[layers / 2]),
                heads: axis(heads, &[0]),
                ranges: vec![[0.0, 0.0184]; (layers * heads) as usize],
                sorted: None,
            },
        ),
        (
            ViewKind::Wall,
            Content::Wall {
                aspect,
                layers: axis(layers, &[layers / 2]),
                heads: axis(heads, &[0]),
                ranges: vec![[0.0, 0.0184]; (layers * heads) as usize],
                sorted: Some(SortedHeads {
                    by: "attention inside “the fox”".into(),
                    heads: (0..layers).flat_map(|_| (0..heads).rev()).collect(),
                }),
            },
        ),
        (
            ViewKind::LayerHead,
            Content::Matrix {
                layers: axis(layers, &[]),
                heads: axis(heads, &[heads - 1]),
                values: Some((0..layers * heads).map(|i| i as f32 / 997.0).collect()),
            },
        ),
        (ViewKind::TokenMatrix, Content::TokenMatrix { first_query: 202, queries, keys }),
    ]
}

fn line() -> Vec<TextRun> {
    vec![
        TextRun::plain("attention · answer token 3 "),
        TextRun::strong("fox"),
        TextRun::plain(" · L4 H1 · picture, 0.000–0.184"),
    ]
}

fn lay_out(view: ViewKind, content: &Content, size: [u32; 2]) -> Figure {
    let state = ViewState { view, ..ViewState::default() };
    Figure::layout(&state, size, content, &line(), Some([0.0, 0.184]))
}

fn whole(figure: &Figure) -> PixelRect {
    PixelRect::from_edges(0.0, 0.0, figure.size[0] as f32, figure.size[1] as f32)
}

/// Pairs of labels that cover each other, with a pixel of slack.
fn collisions(figure: &Figure) -> Vec<(String, String)> {
    let boxes: Vec<PixelRect> = figure.labels.iter().map(Label::bounds).collect();
    let mut found = Vec::new();
    for (at, a) in boxes.iter().enumerate() {
        for (other, b) in boxes.iter().enumerate().skip(at + 1) {
            let both = a.intersection(b);
            if both.width > 1.0 && both.height > 1.0 {
                found.push((figure.labels[at].text(), figure.labels[other].text()));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn everything_stands_on_the_target_and_apart(
        width in 640_u32..4000, height in 480_u32..2400, aspect in 0.4_f32..2.5,
        layers in 1_u32..48, heads in 1_u32..48,
    ) {
        for (view, content) in contents(aspect, layers, heads) {
            let figure = lay_out(view, &content, [width, height]);
            let all = whole(&figure);
            prop_assert!(all.contains(&figure.stage), "{view}: {:?}", figure.stage);
            prop_assert!(figure.stage.contains(&figure.content), "{view}: {:?} {:?}", figure.stage, figure.content);
            for label in &figure.labels {
                prop_assert!(all.contains(&label.bounds()), "{view}: {} {:?}", label.text(), label.bounds());
                prop_assert!(label.baseline.iter().all(|c| c.is_finite()));
            }
            for fill in &figure.fills {
                prop_assert!(all.contains(&fill.rect), "{view}: {:?}", fill.rect);
            }
            let legend = figure.legend.as_ref().unwrap();
            prop_assert!(all.contains(&legend.bar));
            prop_assert!(!legend.bar.overlaps(&figure.stage), "{view}");
            for label in &figure.labels {
                prop_assert!(!legend.bar.overlaps(&label.bounds()), "{view}: {}", label.text());
            }
            let touching = collisions(&figure);
            prop_assert!(touching.is_empty(), "{view} {width}x{height}: {touching:?}");
        }
    }

    #[test]
    fn tiles_do_not_overlap_and_keep_their_aspect(
        width in 300_u32..4000, height in 300_u32..2400, aspect in 0.4_f32..2.5, heads in 1_u32..64,
    ) {
        let (view, content) = contents(aspect, 4, heads).swap_remove(2);
        let figure = lay_out(view, &content, [width, height]);
        prop_assert_eq!(figure.tiles.len(), heads as usize);
        for (at, (_, tile)) in figure.tiles.iter().enumerate() {
            prop_assert!(figure.stage.contains(tile));
            prop_assert!((tile.width / tile.height / aspect - 1.0).abs() < 1e-3);
            for (_, other) in &figure.tiles[at + 1..] {
                prop_assert!(!tile.overlaps(other));
            }
        }
    }

    #[test]
    fn any_target_and_camera_is_laid_out_without_a_panic(
        width in 1_u32..9000, height in 1_u32..9000, zoom in 0.05_f64..100.0,
        x in -1.0_f64..2.0, y in -1.0_f64..2.0, text_scale in 0.25_f64..8.0,
    ) {
        for (view, content) in contents(1.3, 32, 32) {
            let camera = Camera { centre: [x, y], zoom };
            let state = ViewState { view, camera, text_scale, ..ViewState::default() };
            let figure = Figure::layout(&state, [width, height], &content, &line(), Some([0.0, 1.0]));
            let numbers = [figure.stage, figure.content].map(|r| [r.x, r.y, r.width, r.height]);
            prop_assert!(numbers.iter().flatten().all(|number| number.is_finite()));
            prop_assert!(figure.stage.width >= 0.0 && figure.stage.height >= 0.0);
        }
    }

    #[test]
    fn zooming_keeps_the_centre_in_the_middle(zoom in 1.0_f64..50.0, x in 0.0_f64..1.0, y in 0.0_f64..1.0) {
        let camera = Camera { centre: [x, y], zoom };
        let state = ViewState { camera, ..ViewState::default() };
        let content = Content::Picture { aspect: 1.5 };
        let figure = Figure::layout(&state, [1280, 720], &content, &line(), None);
        let (at, middle) = (figure.content.at([x as f32, y as f32]), figure.stage.centre());
        prop_assert!((at[0] - middle[0]).abs() < 0.1 && (at[1] - middle[1]).abs() < 0.1);
    }
}

#[test]
fn the_foot_stands_under_the_picture_and_as_wide() {
    let content = Content::Picture { aspect: 1.0 };
    let figure = lay_out(ViewKind::Overlay, &content, [1080, 1920]);
    let legend = figure.legend.as_ref().unwrap();
    assert!(legend.bar.y - figure.content.bottom() < 80.0, "{legend:?} {:?}", figure.content);
    let caption = figure.labels.iter().find(|label| label.text().starts_with("attention")).unwrap();
    assert!((caption.bounds().x - figure.content.x).abs() < 1.0);
    // Moving the picture about does not move the foot.
    let camera = Camera { centre: [0.8, 0.9], zoom: 1.0 };
    let state = ViewState { camera, ..ViewState::default() };
    let moved = Figure::layout(&state, [1080, 1920], &content, &line(), Some([0.0, 0.184]));
    assert_eq!(moved.legend.unwrap().bar, legend.bar);
    assert!(!moved.stage.overlaps(&legend.bar));
}

#[test]
fn type_grows_with_the_target_and_is_never_tiny() {
    let at = |size| scale_of(size, 1.0);
    assert_eq!(at([1920, 1080]), 1.0);
    assert_eq!(at([3840, 2160]), 2.0);
    assert_eq!(at([1080, 1920]), 1.0);
    assert!(at([1280, 720]) * 12.0 >= 9.5);
    assert!(at([336, 336]) * 12.0 >= 9.0);
}

#[test]
fn a_figure_at_8k_is_the_figure_at_1080p_enlarged() {
    for (view, content) in contents(1.0, 32, 32) {
        let (small, large) =
            (lay_out(view, &content, [1920, 1080]), lay_out(view, &content, [7680, 4320]));
        assert_eq!(small.labels.len(), large.labels.len(), "{view}");
        for (a, b) in small.labels.iter().zip(&large.labels) {
            assert_eq!(a.runs, b.runs);
            assert!((a.size_px * 4.0 - b.size_px).abs() < 0.01);
            assert!((a.baseline[0] * 4.0 - b.baseline[0]).abs() < 6.0, "{view}: {}", a.text());
        }
    }
}

#[test]
fn the_smallest_targets_are_all_stage() {
    let figure = lay_out(ViewKind::Overlay, &Content::Picture { aspect: 1.0 }, [96, 96]);
    assert_eq!(figure.stage, whole(&figure));
    assert!(figure.labels.is_empty() && figure.legend.is_none());
}

#[test]
fn text_can_be_read_in_both_themes() {
    for theme in Theme::ALL {
        let palette = theme.palette();
        assert!(contrast(palette.text, palette.background) >= 7.0, "{theme}");
        assert!(contrast(palette.muted, palette.background) >= 4.5, "{theme}");
        assert!(contrast(palette.accent, palette.background) >= 4.5, "{theme}");
    }
}

fn trace() -> Trace {
    let geometry = Geometry::named("small").unwrap();
    Synthetic::new(geometry, RowsKept::Text, 3).unwrap().trace().unwrap()
}

#[test]
fn the_caption_says_what_is_shown() {
    let trace = trace();
    let text = |change: &dyn Fn(&mut ViewState)| {
        let mut state = ViewState::default();
        state.map.queries = Queries::answer(2);
        state.map.layers = AxisSet::single(3);
        state.map.heads = AxisSet::single(1);
        change(&mut state);
        text_of(&caption(&state, trace.meta(), None, Some([0.0, 0.184])))
    };
    assert_eq!(text(&|_| {}), "attention · answer token 2 triangle · L3 H1 · picture, 0.000–0.184");
    assert_eq!(
        text(&|state| state.map.heads = AxisSet::MAX),
        "attention · answer token 2 triangle · layer 3 · max of 6 heads · picture, 0.000–0.184"
    );
    let second = |mix| {
        move |state: &mut ViewState| {
            let mut map = state.map.clone();
            map.heads = AxisSet::single(4);
            state.second = Some(Second { trace: None, map, mix });
        }
    };
    assert_eq!(
        text(&second(Mix::Difference)),
        "attention · answer token 2 triangle · difference L3 H1 − L3 H4 · picture, 0.000–0.184"
    );
    assert_eq!(
        text(&|state| {
            state.view = ViewKind::LayerHead;
            state.quantity = Quantity::Entropy;
        }),
        "entropy · answer token 2 triangle · 4 layers × 6 heads · over the patches, 0.000–0.184 nats"
    );
    assert_eq!(text(&|state| state.caption.text = Some("mine".into())), "mine");
}

#[test]
fn heads_are_sorted_by_what_was_asked_for() {
    let trace = trace();
    let order = |head_order| {
        let mut state = ViewState { view: ViewKind::Heads, head_order, ..ViewState::default() };
        state.map.layers = AxisSet::single(2);
        match Content::new(&state, &trace) {
            Content::Heads { tiles, .. } => tiles,
            other => panic!("{other:?}"),
        }
    };
    let by_index: Vec<u32> = order(HeadOrder::Index).iter().map(|tile| tile.head).collect();
    assert_eq!(by_index, [0, 1, 2, 3, 4, 5]);
    let shares: Vec<f32> =
        order(HeadOrder::ImageShare).iter().map(|tile| tile.image_share).collect();
    assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]), "{shares:?}");
    assert!(shares[0] > shares[5]);
}

#[test]
fn relevancy_shows_the_parts_of_the_whole_before_its_details() {
    let trace = trace();
    let mut state = ViewState { view: ViewKind::Relevancy, ..ViewState::default() };
    state.map.source = MapSource::Named("relevancy.llm".into());
    state.map.queries = Queries::answer(1);
    let Content::Relevancy { bars, .. } = Content::new(&state, &trace) else { panic!() };
    let (sums, details) = bars.split_at(4);
    assert!(sums.iter().all(|bar| bar.is_sum) && sums[0].label == "picture as a whole");
    let whole: f32 = sums.iter().map(|bar| bar.value).sum();
    assert!((whole - 1.0).abs() < 1e-4, "{sums:?}");
    assert!(details.len() == 4 && details.iter().all(|bar| !bar.is_sum), "{details:?}");
    assert!(details.windows(2).all(|pair| pair[0].value >= pair[1].value));
    // No detail contradicts the part that it belongs to.
    let (patch, words): (Vec<&Bar>, Vec<&Bar>) = details.iter().partition(|bar| bar.is_image);
    assert!(patch.len() == 1 && patch[0].value <= sums[0].value);
    assert!(words.iter().map(|bar| bar.value).sum::<f32>() <= sums[1].value + 1e-6);
}

#[test]
fn damage_in_a_relevancy_map_leaves_its_bars() {
    let trace = trace();
    let (g, t) = (trace.shape().generated, trace.shape().positions);
    let mut values = vec![0.25_f32; g * t];
    let question = trace.meta().question_range().start;
    values[t + question] = f32::INFINITY;
    values[t + question + 1] = f32::NAN;
    let trace = trace.with_map("relevancy.llm", &[g, t], &values).unwrap();
    let mut state = ViewState { view: ViewKind::Relevancy, ..ViewState::default() };
    state.map.source = MapSource::Named("relevancy.llm".into());
    state.map.queries = Queries::answer(1);
    let Content::Relevancy { bars, .. } = Content::new(&state, &trace) else { panic!() };
    assert_eq!(bars.len(), 8);
    assert!(bars.iter().all(|bar| bar.value.is_finite()), "{bars:?}");
    assert!((bars[..4].iter().map(|bar| bar.value).sum::<f32>() - 1.0).abs() < 1e-4);
}

#[test]
fn a_map_without_layers_and_heads_is_refused_where_these_are_shown() {
    let trace = trace();
    let extent = Bounds::from_trace(&trace);
    for &view in ViewKind::ALL {
        let mut state = ViewState { view, ..ViewState::default() };
        state.map.source = MapSource::Named("relevancy.llm".into());
        if view == ViewKind::Diff {
            let map = state.map.clone();
            state.second = Some(Second { trace: None, map, mix: Mix::Difference });
        }
        let checked = extent.check(&state, None);
        if view.spec().needs_pages() {
            let text = checked.unwrap_err().to_string();
            assert!(text.contains(view.name()) && text.contains("relevancy.llm"), "{text}");
            assert!(text.contains("--map attention"), "{text}");
        } else {
            checked.unwrap();
        }
    }
    // In the window the view or the map gives way instead.
    let mut state = ViewState::default();
    state.map.source = MapSource::Named("relevancy.llm".into());
    let wall = Command::SetView(ViewKind::Wall).apply(&state, &extent).unwrap();
    assert_eq!((wall.view, &wall.map.source), (ViewKind::Wall, &MapSource::Attention));
    let source = MapSource::Named("relevancy.llm".into());
    let map = Command::SetSource(source.clone()).apply(&wall, &extent).unwrap();
    assert_eq!((map.view, &map.map.source), (ViewKind::Overlay, &source));
}

#[test]
fn a_blend_that_would_hide_the_picture_is_half_strong_unless_said_otherwise() {
    let extent = Bounds::from_trace(&trace());
    let flat = Command::SetBlend(Blend::Flat).apply(&ViewState::default(), &extent).unwrap();
    assert_eq!(flat.opacity, 0.5);
    assert_eq!(Command::SetBlend(Blend::Glow).apply(&flat, &extent).unwrap().opacity, 1.0);
    let chosen = ViewState { opacity: 0.7, ..ViewState::default() };
    assert_eq!(Command::SetBlend(Blend::Flat).apply(&chosen, &extent).unwrap().opacity, 0.7);
    assert_eq!(ViewState::from_toml("blend = \"multiply\"").unwrap().opacity, 0.5);
    assert_eq!(ViewState::from_toml("blend = \"flat\"\nopacity = 1.0").unwrap().opacity, 1.0);
}

#[test]
fn every_view_and_every_scale_has_its_legend() {
    let ends = ColorLimits::Each { lows: [0.0, 0.001], highs: [0.1, 0.4] };
    for (view, content) in contents(1.0, 8, 8) {
        for &blend in Blend::ALL {
            let state = ViewState { view, blend, ..ViewState::default() };
            let contours = [Some([0.1, 0.2, 0.3, 0.4]), None];
            let readout = Readout { ends, contours, ..Readout::default() };
            let figure = Figure::layout(&state, [1280, 720], &content, &line(), readout);
            let says = |text: &str| figure.labels.iter().any(|label| label.text().contains(text));
            if blend == Blend::Contours && view.spec().over_picture {
                assert!(
                    figure.legend.is_none() && says("p50 0.100") && says("p97 0.400"),
                    "{view}"
                );
                let marks = |f: &&Fill| matches!(f.ink, Ink::Contour(_));
                assert_eq!(figure.fills.iter().filter(marks).count(), 4);
            } else {
                let legend = figure.legend.as_ref().unwrap();
                assert_eq!(legend.ends, ["min of each: 0–0.00100", "max of each: 0.100–0.400"]);
                let light = blend == Blend::Spotlight && view.spec().over_picture;
                assert_eq!(legend.map, if light { ColorMap::Grey } else { state.colormap });
            }
        }
    }
}

#[test]
fn a_long_legend_makes_do_with_a_small_target() {
    let ends = ColorLimits::Each { lows: [0.000_053, 0.000_709], highs: [0.001, 0.339] };
    for size in [[480, 360], [336, 336], [300, 700]] {
        for (view, content) in contents(1.0, 8, 8) {
            let state = ViewState { view, ..ViewState::default() };
            let figure = Figure::layout(&state, size, &content, &line(), Readout::from(ends));
            for label in &figure.labels {
                let inside = whole(&figure).contains(&label.bounds());
                assert!(inside, "{view} {size:?}: {}", label.text());
            }
            assert!(figure.legend.unwrap().bar.width > 20.0, "{view} {size:?}");
        }
    }
}

#[test]
fn a_caption_that_someone_wrote_is_not_cut_at_its_comma() {
    let mut state = ViewState::default();
    let text = "one, two, and a long sentence that goes on, and on, and on, to the very end of all";
    state.caption.text = Some(text.into());
    let content = Content::Picture { aspect: 1.0 };
    let lay = |state: &ViewState, line: &[TextRun]| {
        let figure = Figure::layout(state, [420, 420], &content, line, Some([0.0, 0.184]));
        let lines = figure.labels.iter().filter(|label| label.ink == Ink::Text);
        lines.map(|label| label.text()).collect::<Vec<_>>()
    };
    let shown = lay(&state, &[TextRun::plain(text)]);
    assert!(shown.len() == 2 && shown.join(" ") == text, "{shown:?}");
    // No more than two lines.
    let long = format!("{text}, and then {text}");
    let shown = lay(&state, &[TextRun::plain(long)]);
    assert!(shown.len() == 2 && shown[1].ends_with('…'), "{shown:?}");
    // The program's own line leaves its closing numbers to the legend.
    state.caption.text = None;
    let long = "attention · mean of answer tokens 0–4 · L4 H1 · picture";
    let shown = lay(&state, &[TextRun::plain(long), TextRun::plain(", 0.000–0.184")]);
    assert!(!shown.join(" ").contains("0.0"), "{shown:?}");
}

/// In a narrow window the share was cut in the middle of its number.
#[test]
fn the_share_is_whole_at_every_width() {
    let state = ViewState::default();
    let trace = trace();
    let readout = Readout {
        ends: ColorLimits::One([0.0013, 0.0803]),
        shares: [Some(0.863), None],
        ..Readout::default()
    };
    let line = caption(&state, trace.meta(), None, readout);
    assert!(text_of(&line).contains("heads, 86.3 % on the picture, 0.0"), "{}", text_of(&line));
    let content = Content::Picture { aspect: 1.0 };
    for width in (440..1400).step_by(20) {
        let figure = Figure::layout(&state, [width, 420], &content, &line, readout);
        let texts: Vec<String> = figure.labels.iter().map(|label| label.text()).collect();
        let whole = |text: &&String| text.contains("86.3 % on the picture");
        assert_eq!(texts.iter().filter(whole).count(), 1, "{width}: {texts:?}");
        let words: Vec<_> = figure.labels.iter().filter(|label| label.ink == Ink::Text).collect();
        let spoken: Vec<String> = words.iter().map(|label| label.text()).collect();
        let spoken = spoken.join(" ");
        assert!(spoken.starts_with("attention") && !spoken.contains('…'), "{width}: {spoken}");
        // One place at every width: the caption.
        assert!(spoken.contains("86.3 % on the picture"), "{width}: {spoken}");
        for label in &figure.labels {
            assert!(label.bounds().right() <= width as f32 + 1.0, "{width}: {}", label.text());
        }
    }
}

#[test]
fn a_comparison_says_what_both_maps_share_before_what_differs() {
    let trace = trace();
    let mut state = ViewState::default();
    state.map.queries = Queries::answer(1);
    let mut map = state.map.clone();
    (map.layers, map.heads) = (AxisSet::single(2), AxisSet::single(3));
    let (all, one) = (state.map.clone(), map);
    for (mix, between) in [(Mix::Difference, " − "), (Mix::Swipe { position: 0.5 }, " | ")] {
        state.map = one.clone();
        state.second = Some(Second { trace: None, map: all.clone(), mix });
        let text = text_of(&caption(&state, trace.meta(), None, ColorLimits::Unknown));
        let token = text.find("answer token 1").unwrap();
        let heads = text.find(&format!("L2 H3{between}mean of all heads")).expect(&text);
        assert!(token < heads, "{text}");
    }
}

#[test]
fn contour_lines_differ_and_stand_out_from_black() {
    for &map in ColorMap::ALL {
        let color = |rank| contour_color(|at| vlmscope::gpu::colormap::color(map, at), rank);
        for rank in 0..CONTOURS {
            assert!(contrast(color(rank), [0; 3]) >= 4.5, "{map} {rank}");
            assert!((0..rank).all(|other| color(other) != color(rank)), "{map} {rank}");
        }
    }
}

/// On a tall figure the bars stand right under the picture, in its width, as one group.
#[test]
fn bars_stand_close_to_the_picture_on_a_tall_figure() {
    let trace = trace();
    let mut state = ViewState { view: ViewKind::Relevancy, ..ViewState::default() };
    state.map.source = MapSource::Named("relevancy.llm".into());
    state.map.queries = Queries::answer(1);
    let content = Content::new(&state, &trace);
    let figure = Figure::layout(&state, [1080, 1920], &content, &line(), Readout::default());
    let title = figure
        .labels
        .iter()
        .find(|label| label.runs[0].text.starts_with("share of the relevancy"))
        .unwrap();
    let picture = figure.content;
    let below = title.baseline[1] - picture.bottom();
    assert!(below > 0.0 && below <= 64.0 * figure.scale, "{below} px under the picture");
    assert!((title.baseline[0] - picture.x).abs() < 1.0, "flush with the picture's left edge");
    let lowest = figure.fills.iter().map(|fill| fill.rect.bottom()).fold(0.0, f32::max);
    let (over, under) = (picture.y, 1920.0 - lowest);
    assert!(over > 100.0 && under > 100.0, "in the middle: {over} px above, {under} px below");
}

/// A causal tree of up to 50 nodes; patches and words, some of them long.
fn causal_trees() -> impl Strategy<Value = CausalTree> {
    let node = (any::<proptest::sample::Index>(), any::<bool>(), 1_usize..30, 0.0_f32..1.0);
    proptest::collection::vec(node, 0..50).prop_map(|drawn| {
        let node = |depth, parent, face, share| TreeNode {
            position: 0,
            depth,
            parent,
            attention: 0.1,
            share: Some(share),
            face,
        };
        let mut nodes = vec![node(0, 0, NodeFace::Word("fox".into()), 1.0)];
        let mut edges = Vec::new();
        for (above, is_patch, letters, share) in drawn {
            let last = nodes.last().map_or(0, |node| node.depth);
            let parents: Vec<usize> = (0..nodes.len())
                .filter(|&index| nodes[index].depth + 1 >= last && nodes[index].depth < 4)
                .collect();
            let parent = parents[above.index(parents.len())];
            let face = if is_patch {
                // Each node is another patch of 8 × 8.
                let (row, column) = (nodes.len() as u32 / 8, nodes.len() as u32 % 8);
                let patch = PatchRef { span: 0, row, column };
                let [x, y] = [column, row].map(|at| at as f32 / 8.0);
                let lit = [x, y, x + 0.125, y + 0.125];
                let around = [0.1, 0.1, 0.4, 0.4];
                let frame = Frame::Canvas(0);
                NodeFace::Patch(PatchCrop { patch, frame, around, lit, on_picture: Some(lit) })
            } else {
                NodeFace::Word("w".repeat(letters))
            };
            edges.push(TreeEdge {
                ends: [parent, nodes.len()],
                marks: [[Mark::Circle, Mark::Tail, Mark::Head][letters % 3], Mark::Head],
                share: Some(share),
                is_branch: true,
            });
            nodes.push(node(nodes[parent].depth + 1, parent, face, share));
        }
        let deepest = nodes.iter().map(|node| node.depth).max().unwrap_or(0);
        CausalTree {
            layer: 5,
            head: 2,
            is_most_important: true,
            radius: deepest.max(1),
            deepest,
            graph_nodes: nodes.len(),
            graph_edges: edges.len(),
            runs: 15,
            nodes,
            edges,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nodes_of_a_causal_tree_stand_apart_beside_the_picture(
        tree in causal_trees(), width in 640_u32..4000, height in 480_u32..2400,
        aspect in 0.5_f32..2.0, has_picture in any::<bool>(),
    ) {
        let picture = has_picture.then_some(Backdrop { frame: Frame::Canvas(0), aspect });
        let content = Content::Causal { picture, tree: Ok(Box::new(tree.clone())) };
        let figure = lay_out(ViewKind::Causal, &content, [width, height]);
        prop_assert_eq!(figure.nodes.len(), tree.nodes.len());
        prop_assert_eq!(figure.tiles.len(), usize::from(has_picture));
        for (at, (_, rect)) in figure.nodes.iter().enumerate() {
            prop_assert!(figure.stage.contains(rect), "{rect:?} {:?}", figure.stage);
            for (_, other) in figure.tiles.iter() {
                prop_assert!(!rect.overlaps(other), "{rect:?} lies on the picture");
            }
            for (_, other) in &figure.nodes[at + 1..] {
                prop_assert!(!rect.overlaps(other), "{rect:?} {other:?}");
            }
        }
        let words = tree.nodes.iter().filter(|node| node.face.patch().is_none()).count();
        prop_assert!(figure.labels.len() >= words, "every word is written");
        prop_assert!(figure.legend.is_none());
        for label in &figure.labels {
            prop_assert!(whole(&figure).contains(&label.bounds()), "{}", label.text());
        }
        let touching = collisions(&figure);
        prop_assert!(touching.is_empty(), "{width}x{height}: {touching:?}");
    }

    #[test]
    fn a_causal_tree_is_laid_out_for_any_target_and_camera(
        tree in causal_trees(), width in 1_u32..9000, height in 1_u32..9000,
        zoom in 0.05_f64..100.0, x in -1.0_f64..2.0, text_scale in 0.25_f64..8.0,
    ) {
        let picture = Some(Backdrop { frame: Frame::Canvas(0), aspect: 1.3 });
        let camera = Camera { centre: [x, 0.4], zoom };
        let state = ViewState { view: ViewKind::Causal, camera, text_scale, ..ViewState::default() };
        for tree in [Ok(Box::new(tree)), Err("No causal graph of this token yet".into())] {
            let content = Content::Causal { picture, tree };
            let figure = Figure::layout(&state, [width, height], &content, &line(), None);
            let finite = |rect: &PixelRect| [rect.x, rect.y, rect.width, rect.height].iter().all(|n| n.is_finite());
            prop_assert!(figure.nodes.iter().all(|(_, rect)| finite(rect)));
            prop_assert!(figure.crops.iter().all(|crop| finite(&crop.rect)));
            let numbers = figure.strokes.iter().flat_map(|stroke| [stroke.from, stroke.to].concat());
            prop_assert!(numbers.into_iter().all(f32::is_finite));
        }
    }
}
