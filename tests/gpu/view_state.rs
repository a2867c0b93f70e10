//! Properties of the view state: text round trip, bounds, undo, and the way between two states.

use proptest::prelude::*;
use proptest::sample::Index;
use vlmscope::analysis::outline::{Outline, RegionPart};
use vlmscope::trace::{ModelInfo, PatchRef, Rect};
use vlmscope::view::*;

fn extent() -> Bounds {
    Bounds {
        layers: 32,
        model: ModelInfo { layers: 32, ..ModelInfo::default() },
        heads: 16,
        prompt_len: 600,
        answers: 9,
        rows: (590..608).collect(),
        grids: vec![
            Grid { picture: 0, rows: 24, columns: 24 },
            Grid { picture: 1, rows: 3, columns: 5 },
        ],
        pages: Vec::new(),
        unplaced: None,
        maps: vec!["map.rollout".into(), "relevancy.llm".into()],
        has_head_effects: false,
    }
}

fn set(len: u32) -> impl Strategy<Value = AxisSet> {
    let aggregate =
        prop_oneof![Just(Aggregate::Mean), Just(Aggregate::Max), Just(Aggregate::Single)];
    (aggregate, prop::collection::vec(0..len, 0..5)).prop_map(|(how, ids)| AxisSet::new(how, ids))
}

fn queries() -> impl Strategy<Value = Queries> {
    let position = prop::collection::vec(590_u32..608, 1..4).prop_map(|ids| Queries {
        kind: QueryKind::Position,
        set: AxisSet::new(Aggregate::Max, ids),
    });
    prop_oneof![set(9).prop_map(|set| Queries { kind: QueryKind::Answer, set }), position]
}

fn map() -> impl Strategy<Value = MapChoice> {
    let answers = set(9).prop_map(|set| Queries { kind: QueryKind::Answer, set });
    let named = (answers, set(32)).prop_map(|(queries, layers)| MapChoice {
        source: MapSource::Named("map.rollout".into()),
        queries,
        layers,
        ..MapChoice::default()
    });
    let single = prop::collection::vec((0_u32..32, 0_u32..16), 0..4)
        .prop_map(|heads| HeadSet::new(heads.into_iter().map(|(l, h)| [l, h]).collect()));
    let attention =
        (set(32), set(16), single, queries()).prop_map(|(layers, heads, head_set, queries)| {
            MapChoice { source: MapSource::Attention, layers, heads, head_set, queries }
        });
    prop_oneof![3 => attention, 1 => named]
}

fn mix() -> impl Strategy<Value = Mix> {
    prop_oneof![
        (0.0..=1.0).prop_map(|amount| Mix::CrossFade { amount }),
        (0.0..=1.0).prop_map(|position| Mix::Swipe { position }),
        Just(Mix::Difference),
    ]
}

fn range() -> impl Strategy<Value = Range> {
    prop_oneof![
        Just(Range::PerMap),
        Just(Range::Shared),
        (-1.0..0.5, 0.6..2.0).prop_map(|(min, max)| Range::Fixed { min, max }),
        (0.0..40.0, 50.0..=100.0).prop_map(|(low, high)| Range::Percentile { low, high }),
    ]
}

fn patch() -> impl Strategy<Value = PatchRef> {
    (0_u32..24, 0_u32..24).prop_map(|(row, column)| PatchRef { span: 0, row, column })
}

fn object() -> impl Strategy<Value = MarkedObject> {
    let points = || prop::collection::vec([0.0..640.0, 0.0..480.0_f64], 1..6);
    let rect = (0.0..300.0, 0.0..200.0, 1.0..300.0, 1.0..200.0)
        .prop_map(|(x, y, width, height)| Rect { x, y, width, height });
    let outline = prop_oneof![
        rect.clone().prop_map(|rect| Outline::Rectangle { rect }),
        rect.prop_map(|rect| Outline::Ellipse { rect }),
        points().prop_map(|points| Outline::Lasso { points }),
        (points(), 1.0..60.0).prop_map(|(points, size)| Outline::Stroke { points, size }),
    ];
    let part = (outline, any::<bool>()).prop_map(|(outline, cut)| RegionPart { outline, cut });
    (".{0,12}", prop::collection::vec(part, 1..4)).prop_map(|(name, parts)| MarkedObject {
        name,
        picture: 0,
        parts,
    })
}

fn of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn state() -> impl Strategy<Value = ViewState> {
    let views = &[ViewKind::Overlay, ViewKind::Heads, ViewKind::Wall, ViewKind::LayerHead];
    let look = (of(views), of(ColorMap::ALL), of(Blend::ALL), 0.0..=1.0, of(PatchGrid::ALL));
    let rest = (range(), of(Scale::ALL), 0.1..50.0, any::<[bool; 3]>(), of(ImageForm::ALL));
    let extra = (
        prop::option::of((map(), mix())),
        prop::option::of(patch()),
        prop::collection::btree_set(patch(), 0..4),
        prop::option::of(".{0,30}"),
        0.0..1.0,
        (prop::collection::vec(object(), 0..3), any::<Index>()),
        prop::option::of((-1.0..0.4, 0.5..1.0)),
    );
    (map(), look, rest, extra).prop_map(|(map, look, rest, extra)| {
        let (view, colormap, blend, opacity, grid) = look;
        let (range, scale, zoom, [remove_bos, legend, show], form) = rest;
        let (mut second, hovered, selected, text, x, (objects, chosen), matrix_range) = extra;
        let object = (!objects.is_empty()).then(|| chosen.index(objects.len()) as u32);
        let mut map = map;
        if view.spec().needs_pages() {
            // Maps without layers and heads are refused there.
            for map in std::iter::once(&mut map).chain(second.iter_mut().map(|(map, _)| map)) {
                if map.source != MapSource::Attention {
                    *map = MapChoice::default();
                }
            }
        }
        ViewState {
            view,
            map,
            colormap,
            blend,
            opacity,
            grid,
            remove_bos,
            legend,
            hovered,
            second: second.map(|(map, mix)| Second { trace: None, map, mix }),
            selected: selected.into_iter().collect(),
            normalise: Normalise { range, scale },
            camera: Camera { centre: [x, 1.0 - x], zoom },
            caption: Caption { show, text },
            picture: PictureChoice { form, ..PictureChoice::default() },
            object,
            objects,
            matrix_range: matrix_range.map(|(low, high)| [low, high]),
            ..ViewState::default()
        }
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        of(ViewKind::ALL).prop_map(Command::SetView),
        any::<bool>().prop_map(|far| Command::PanBy([if far { 0.7 } else { 0.1 }, -0.2])),
        (0.5..2.0, 0.0..1.0).prop_map(|(factor, x)| Command::ZoomBy { factor, about: [x, 0.3] }),
        set(40).prop_map(Command::SetLayers),
        set(16).prop_map(Command::SetHeads),
        (0_u32..40, 0_u32..20).prop_map(|(layer, head)| Command::SetLayerHead(layer, head)),
        queries().prop_map(Command::SetQueries),
        (-3..4_i32).prop_map(Command::StepLayer),
        (-3..4_i32).prop_map(Command::StepHead),
        (-3..4_i32).prop_map(Command::StepQuery),
        (map(), mix()).prop_map(|(map, mix)| {
            Command::SetSecond(Some(Box::new(Second { trace: None, map, mix })))
        }),
        mix().prop_map(Command::SetMix),
        (-0.5..1.5).prop_map(Command::SetOpacity),
        prop::option::of(patch()).prop_map(Command::Hover),
        prop::collection::vec(patch(), 0..4).prop_map(Command::AddPatches),
        prop::collection::vec(patch(), 0..4).prop_map(Command::RemovePatches),
        state().prop_map(|state| Command::Replace(Box::new(state))),
        Just(Command::LvlmInterpretLook),
        (0_u32..4, object()).prop_map(|(at, object)| Command::SetObject(at, Box::new(object))),
        (0_u32..4).prop_map(Command::RemoveObject),
        prop::option::of(0_u32..4).prop_map(Command::ChooseObject),
        of(Quantity::ALL).prop_map(Command::SetQuantity),
        prop::option::of([-0.5..0.5, 0.0..1.0]).prop_map(Command::SetMatrixRange),
        prop::collection::vec([0_u32..40, 0_u32..20], 0..4).prop_map(Command::SetHeadSet),
    ]
}

fn unhovered(state: &ViewState) -> ViewState {
    ViewState { hovered: None, ..state.clone() }
}

proptest! {
    #[test]
    fn a_state_survives_its_text(state in state()) {
        let text = state.to_toml().unwrap();
        prop_assert_eq!(ViewState::from_toml(&text).unwrap(), state);
    }

    #[test]
    fn every_generated_state_can_be_shown(state in state()) {
        extent().check(&state, None).unwrap();
    }

    #[test]
    fn a_set_survives_its_text(set in set(64)) {
        prop_assert_eq!(AxisSet::parse("layers", &set.to_string()).unwrap(), set);
    }

    #[test]
    fn undoing_everything_is_the_start_and_redoing_everything_the_end(
        start in state(), commands in prop::collection::vec((command(), any::<bool>()), 0..40),
    ) {
        let start = unhovered(&start);
        let mut history = History::new(start.clone());
        for (command, settle) in &commands {
            // A refused command leaves the state as it was.
            let before = history.state().clone();
            if history.apply(command, &extent()).is_err() {
                prop_assert_eq!(history.state(), &before);
            }
            extent().check(history.state(), None).unwrap();
            if *settle { history.settle(); }
        }
        let end = unhovered(history.state());
        while history.undo() {}
        prop_assert_eq!(unhovered(history.state()), start);
        while history.redo() {}
        prop_assert_eq!(unhovered(history.state()), end);
    }

    #[test]
    fn the_way_starts_and_ends_at_the_states_and_stays_showable(
        from in state(), to in state(), t in 0.0..1.0,
    ) {
        prop_assert_eq!(interpolate(&from, &to, 0.0), Interpolated::One(Box::new(from.clone())));
        prop_assert_eq!(interpolate(&from, &to, 1.0), Interpolated::One(Box::new(to.clone())));
        match interpolate(&from, &to, t) {
            Interpolated::One(state) => extent().check(&state, None).unwrap(),
            Interpolated::Two { from, to, mix } => {
                extent().check(&from, None).unwrap();
                extent().check(&to, None).unwrap();
                prop_assert!((0.0..=1.0).contains(&mix));
            }
        }
    }

    #[test]
    fn cameras_move_without_a_jump(from in state(), to in state()) {
        let to = ViewState { camera: to.camera, ..from.clone() };
        let at = |t| match interpolate(&from, &to, t) {
            Interpolated::One(state) => state.camera,
            Interpolated::Two { .. } => panic!("only the camera differs"),
        };
        let steps: Vec<Camera> = (0..=1000).map(|i| at(f64::from(i) / 1000.0)).collect();
        let whole_zoom = (to.camera.zoom / from.camera.zoom).ln().abs();
        for pair in steps.windows(2) {
            let zoom = (pair[1].zoom / pair[0].zoom).ln().abs();
            prop_assert!(zoom <= whole_zoom / 1000.0 + 1e-9);
            // In shares of the stage, at the wider end of the step.
            let nearer = pair[0].zoom.min(pair[1].zoom);
            let moved = (pair[1].centre[0] - pair[0].centre[0]).abs() * nearer;
            prop_assert!(moved < 0.2, "moved {moved} of the stage in one step");
        }
    }

    #[test]
    fn easings_start_end_and_never_go_back(t in 0.0..1.0, dt in 0.0..0.1) {
        for easing in [Easing::Linear, Easing::InOut, Easing::Out] {
            prop_assert_eq!(easing.at(0.0), 0.0);
            prop_assert!((easing.at(1.0) - 1.0).abs() < 1e-12);
            prop_assert!(easing.at(t + dt) >= easing.at(t) - 1e-12);
        }
    }
}

#[test]
fn another_head_of_the_same_trace_melts_as_a_map() {
    let from = ViewState::default();
    let mut to = from.clone();
    to.map.heads = AxisSet::single(3);
    to.camera.zoom = 4.0;
    let Interpolated::One(state) = interpolate(&from, &to, 0.25) else { panic!("one frame") };
    let second = state.second.unwrap();
    assert_eq!(second.map, to.map);
    assert_eq!(second.mix, Mix::CrossFade { amount: 0.25 });
    assert!((state.camera.zoom - 4.0_f64.powf(0.25)).abs() < 1e-12);
}

#[test]
fn a_dragged_slider_is_one_step_and_a_new_drag_another() {
    let mut history = History::new(ViewState::default());
    for opacity in [0.9, 0.8, 0.7] {
        history.apply(&Command::SetOpacity(opacity), &extent()).unwrap();
    }
    history.settle();
    history.apply(&Command::SetOpacity(0.2), &extent()).unwrap();
    assert!(history.undo());
    assert_eq!(history.state().opacity, 0.7);
    assert!(history.undo());
    assert_eq!(history.state(), &ViewState::default());
    assert!(!history.undo());
}

#[test]
fn zooming_keeps_the_point_under_the_pointer() {
    let about = [0.2, 0.7];
    let state = Command::ZoomBy { factor: 3.0, about }.apply(&ViewState::default(), &extent());
    let camera = state.unwrap().camera;
    for (about, centre) in about.iter().zip(camera.centre) {
        let before = about - 0.5;
        let after = (about - centre) * camera.zoom;
        assert!((before - after).abs() < 1e-12);
    }
}

#[test]
fn what_does_not_fit_is_named_with_what_there_is() {
    let says = |change: &dyn Fn(&mut ViewState)| {
        let mut state = ViewState::default();
        change(&mut state);
        extent().check(&state, None).unwrap_err().to_string()
    };
    assert_eq!(
        says(&|state| state.map.layers = AxisSet::single(40)),
        "layer 40 does not exist: the model has 32, numbered 0 to 31."
    );
    assert!(says(&|state| state.map.queries = Queries::answer(9)).contains("answer token 9"));
    let unkept = says(&|state| state.map.queries = Queries::position(3));
    assert!(unkept.contains("keeps 590-607") && unkept.contains("--rows all"), "{unkept}");
    let patch = PatchRef { span: 1, row: 3, column: 0 };
    assert!(says(&|state| state.selected = vec![patch]).contains("span 1 has 3 × 5 patches"));
    let unknown = says(&|state| state.map.source = MapSource::Named("map.x".into()));
    assert!(unknown.contains("map.x") && unknown.contains("relevancy.llm"), "{unknown}");
    assert!(says(&|state| state.opacity = f64::NAN).contains("opacity"));
    assert!(
        says(&|state| state.normalise.range = Range::Fixed { min: 1.0, max: 1.0 }).contains("max")
    );
    assert!(says(&|state| state.view = ViewKind::Diff).contains("second map"));
    assert!(says(&|state| state.picture.index = 2).contains("picture 2"));
    let mut no_picture = extent();
    no_picture.grids.clear();
    let error = no_picture.check(&ViewState::default(), None).unwrap_err();
    assert!(error.to_string().contains("token-matrix"));
}

#[test]
fn text_that_is_no_state_is_refused_with_its_line() {
    let error = ViewState::from_toml("view = \"wall\"\nopcity = 0.5\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("opcity"), "{error}");
    let error = ViewState::from_toml("version = 99\nfuture = 1\n").unwrap_err();
    assert!(matches!(error, ViewError::Newer { found: 99, supported: STATE_VERSION }));
    let error = ViewState::from_toml("[map]\nlayers = \"3-1\"\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("ascending range"), "{error}");
    let state = ViewState::from_toml("[map]\nlayers = 4\nqueries = 2\n").unwrap();
    assert_eq!(state.map.layers, AxisSet::single(4));
    assert_eq!(state.map.queries, Queries::answer(2));
}

#[test]
fn stepping_positions_skips_what_was_not_kept() {
    let mut extent = extent();
    extent.rows = vec![4, 7, 600];
    let mut state = ViewState::default();
    state.map.queries = Queries::position(4);
    let step = |state: &ViewState, by| Command::StepQuery(by).apply(state, &extent).unwrap();
    let next = step(&state, 1);
    assert_eq!(next.map.queries, Queries::position(7));
    assert_eq!(step(&next, 5).map.queries, Queries::position(600));
    assert_eq!(step(&next, -9).map.queries, Queries::position(4));
}
