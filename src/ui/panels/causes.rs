//! Causes of an answer token: importance of the heads, the explanation by distance, and the masking test.
//!
//! The graphs are learned from the attention in the trace, on a thread of their own; masking needs the model.

use crate::analysis::causal::{CausalResult, HeadResult, MaskedSet, MaskingResult, SetKind};
use crate::model::{BlankFill, KnockFrom, Mask};
use crate::trace::TraceMeta;
use crate::ui::causes::{CausesCommand, LEARNING, TESTING};
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::widgets::{hairline, ink, muted, primary_button, text_in};
use crate::ui::wording::in_window;
use crate::view::figure::{
    causal_ink, decimal, labelled, number, percent, signed, step_for, token_name,
};
use crate::view::{
    AxisSet, CausalTree, Command, Drawing, NodeFace, Theme, TreeNode, ViewState, patch_name,
};
use egui::{Align2, Color32, Rect, Role, Sense, Slider, Ui, WidgetInfo, pos2, vec2};

const ROW: f32 = 22.0;
/// Room that the scroll bar covers.
const SCROLL_BAR: f32 = 10.0;
const BARS: f32 = 44.0;
const BAR_LABELS: f32 = 16.0;

/// Ways to mask an explanation.
const MASKS: [(Mask, &str, &str); 4] = [
    (
        Mask::Knock(KnockFrom::Text),
        "Block attention of the text",
        "No position behind the picture attends to the masked ones",
    ),
    (
        Mask::Knock(KnockFrom::Answer),
        "Block attention of the answer",
        "The rows that predict the answer do not attend to the masked ones",
    ),
    (
        Mask::Blank(BlankFill::Mean),
        "Blank patches: mean colour",
        "Patches get the mean colour of the picture; attention to words is blocked",
    ),
    (
        Mask::Blank(BlankFill::Blur),
        "Blank patches: blur",
        "Patches are blurred; attention to words is blocked",
    ),
];

/// Causal graphs of the chosen answer token.
pub struct CausesPane {
    mask: Mask,
}

impl Default for CausesPane {
    fn default() -> Self {
        Self { mask: MASKS[0].0 }
    }
}

impl PaneUi for CausesPane {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current.filter(|doc| !doc.live) else {
            muted(ui, "Patches and words that explain a token of an answer, by a causal graph.");
            return;
        };
        let area = egui::ScrollArea::vertical().id_salt("causes").auto_shrink([false, true]);
        area.show(ui, |ui| {
            ui.set_max_width(ui.available_width() - SCROLL_BAR);
            let state = doc.state();
            match cx.values.stored_causal(doc, state) {
                Ok(Some(result)) => self.result(cx, ui, doc, &result),
                Ok(None) => invitation(cx, ui, doc),
                Err(error) => {
                    muted(ui, in_window(&error.to_string()).0);
                    invitation(cx, ui, doc);
                }
            }
        });
    }
}

/// Before the graphs were learned.
fn invitation(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    let running = cx.tasks.iter().any(|task| task.title == LEARNING);
    let answer = doc.extent.causal_answer(&doc.state().map.queries);
    let Ok(answer) = answer else {
        muted(ui, "Choose a word of the answer.");
        return;
    };
    let position = doc.meta().prompt_len + answer.0;
    let word = token_name(&doc.meta().tokens, position as usize).unwrap_or_default();
    let title = if running { "Learning…".to_owned() } else { format!("Explain “{word}”") };
    if primary_button(ui, &title, !running).clicked() {
        cx.intents.send(Intent::Causes(CausesCommand::Learn));
    }
    ui.add_space(theme::GRID);
    muted(
        ui,
        "A causal graph is learned over the patches and words that the token attends to, for each \
        head of the last layer (CLEANN). The nodes around the token explain it.",
    );
}

impl CausesPane {
    fn result(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, result: &CausalResult) {
        let state = doc.state();
        ui.spacing_mut().item_spacing.y = 4.0;
        if state.view.spec().drawing != Drawing::Tree
            && primary_button(ui, "Show the graph", true)
                .on_hover_text(UiCommand::ShowCauses.hint())
                .clicked()
        {
            cx.intents.act(UiCommand::ShowCauses);
        }
        bars(cx, ui, doc, result);
        let mut shown = state.clone();
        shown.map.heads = cx.shown.map.heads.clone();
        shown.map.head_set.clone_from(&cx.shown.map.head_set);
        let head = match shown.causal_head(result) {
            Ok(head) => head,
            Err(error) => {
                muted(ui, in_window(&error.to_string()).0);
                return;
            }
        };
        match CausalTree::new(&shown, &doc.trace, result) {
            Ok(tree) => {
                sentence(ui, &tree, head);
                if tree.deepest > 0 {
                    if state.view.spec().drawing != Drawing::Tree {
                        // The line above the stage has the slider in the view of causes.
                        distance(cx, ui, state, result);
                    }
                    explanation(cx, ui, doc, &tree);
                    self.masking(cx, ui, doc, head, tree.radius);
                }
            }
            Err(error) => {
                muted(ui, in_window(&error.to_string()).0);
            }
        }
    }

    /// The masking test of a head: its controls and results.
    fn masking(
        &mut self,
        cx: &PaneContext<'_>,
        ui: &mut Ui,
        doc: &Document,
        head: &HeadResult,
        radius: usize,
    ) {
        hairline(ui);
        ui.label(theme::strong_text("Does the answer depend on it?", theme::SMALL));
        let running = cx.tasks.iter().any(|task| task.title == TESTING);
        ui.horizontal_wrapped(|ui| {
            let shown = MASKS.iter().find(|(mask, ..)| *mask == self.mask);
            egui::ComboBox::from_id_salt("mask")
                .width(190.0)
                .selected_text(shown.map_or("", |(_, name, _)| name))
                .show_ui(ui, |ui| {
                    for (mask, name, hint) in MASKS {
                        let item = ui.selectable_label(mask == self.mask, name);
                        if item.on_hover_text(hint).clicked() {
                            self.mask = mask;
                        }
                    }
                })
                .response
                .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Mask"));
            let title = if running { "Masking…" } else { "Mask and score" };
            let button = ui.add_enabled(!running, egui::Button::new(title));
            let hint =
                "Masks the explanation, and as many other tokens, and scores the token again";
            if button.on_hover_text(hint).clicked() {
                cx.intents.send(Intent::Causes(CausesCommand::Test(self.mask)));
            }
        });
        if let Some(masking) = &head.masking {
            masked(ui, doc.meta(), masking, radius);
        }
    }
}

/// A slider for the largest distance that is shown.
pub fn distance(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState, result: &CausalResult) {
    let range = result.parameters.range.max(1) as u32;
    let mut radius = state.radius.unwrap_or(range).min(range);
    ui.horizontal(|ui| {
        muted(ui, "Distance");
        let response = ui
            .add(Slider::new(&mut radius, 1..=range))
            .accessible_name("Distance from the token in the causal graph");
        if response.changed() {
            cx.intents.send(Intent::Scrub(Command::SetRadius(Some(radius))));
        }
        if response.drag_stopped() {
            cx.intents.send(Intent::Settle);
        }
    });
}

/// A slider for the head.
pub fn head(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState, result: &CausalResult) {
    let Some(last) = result.heads.iter().map(|head| head.head).max() else { return };
    let mut head = state.causal_head(result).map_or(0, |head| head.head);
    ui.horizontal(|ui| {
        muted(ui, "Head");
        let response =
            ui.add(Slider::new(&mut head, 0..=last)).accessible_name("Head of the causal graph");
        if response.changed() {
            cx.intents.send(Intent::Scrub(Command::SetHeads(AxisSet::single(head))));
        }
        if response.drag_stopped() {
            cx.intents.send(Intent::Settle);
        }
    });
}

/// One bar for each head: its importance. A click chooses the head.
fn bars(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, result: &CausalResult) {
    // A ratio has no upper bound: one head would leave no height to the others.
    let height = |importance: f64| importance.ln_1p();
    let highest = result.heads.iter().filter_map(|head| head.importance).fold(0.0, f64::max);
    // Without attention on text, the ratio is infinite.
    let of_head = |head: &HeadResult| head.importance.unwrap_or(highest.max(1.0));
    let highest = result.heads.iter().map(of_head).fold(0.0, f64::max);
    let values: Vec<f64> = result.heads.iter().map(|head| height(of_head(head))).collect();
    let hint = "Largest attention on a patch over the largest on the text behind the picture; the \
        scale of the bars is logarithmic";
    ui.horizontal(|ui| {
        muted(ui, format!("Importance of the heads of layer {}", result.layer)).on_hover_text(hint);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            muted(ui, format!("0–{} (log)", number(highest, highest)));
        });
    });
    let size = vec2(ui.available_width(), BARS + BAR_LABELS);
    let (whole, response) = ui.allocate_exact_size(size, Sense::click());
    let name = "Importance of the heads: click to choose one";
    response.widget_info(|| WidgetInfo::labeled(Role::Unknown, true, name));
    if values.is_empty() {
        return;
    }
    let ink = ink(ui);
    let plot = Rect::from_min_max(whole.min, pos2(whole.right(), whole.bottom() - BAR_LABELS));
    let width = plot.width() / values.len() as f32;
    let hovered = response
        .hover_pos()
        .map(|at| (((at.x - plot.left()) / width).max(0.0) as usize).min(values.len() - 1));
    let shown = doc.state().causal_head(result).map(|head| head.head).ok();
    let marked: Vec<u32> = shown.into_iter().collect();
    let labels = labelled(values.len() as u32, &marked, step_for(width, 20.0));
    ui.painter().hline(plot.x_range(), plot.bottom(), egui::Stroke::new(1.0, ink.hairline));
    for (index, (entry, value)) in result.heads.iter().zip(&values).enumerate() {
        let share = if highest > 0.0 { (value / height(highest)) as f32 } else { 0.0 };
        let left = plot.left() + index as f32 * width;
        let gap = if width > 4.0 { 1.0 } else { 0.0 };
        let bar = Rect::from_min_max(
            pos2(left + gap, plot.bottom() - share * plot.height()),
            pos2(left + width - gap, plot.bottom()),
        );
        let is_shown = shown == Some(entry.head);
        let has_explanation = entry.graph.as_ref().is_some_and(|graph| graph.deepest() > 0);
        let color = if hovered == Some(index) {
            ink.hover
        } else if is_shown {
            ink.accent
        } else {
            // A head without an explanation is fainter.
            ink.muted.gamma_multiply(if has_explanation { 0.8 } else { 0.35 })
        };
        ui.painter().rect_filled(bar, 1.0, color);
        if labels.contains(&(index as u32)) {
            let middle = left + width / 2.0;
            let label = Rect::from_min_max(
                pos2(middle - 16.0, plot.bottom() + 2.0),
                pos2(middle + 16.0, whole.bottom()),
            );
            let color = if is_shown { ink.accent } else { ink.muted };
            let text = entry.head.to_string();
            text_in(ui, label, Align2::CENTER_CENTER, &text, theme::plain(11.0), color);
        }
    }
    let Some(entry) = hovered.and_then(|index| result.heads.get(index)) else { return };
    let command = Command::SetHeads(AxisSet::single(entry.head));
    if response.clicked() {
        cx.intents.command(command);
    } else {
        cx.preview(command);
        let importance = entry.importance.map_or_else(|| "∞".into(), |value| number(value, value));
        let text = format!("head {} · importance {importance}", entry.head);
        let at = Rect::from_min_size(plot.min, vec2(plot.width(), 16.0));
        text_in(ui, at, Align2::RIGHT_TOP, &text, theme::plain(theme::SMALL), ink.text);
    }
}

fn sentence(ui: &mut Ui, tree: &CausalTree, head: &HeadResult) {
    let stable = head.graph.iter().flat_map(|graph| &graph.edges);
    let stable = stable.filter(|edge| edge.share == Some(1.0)).count();
    let why =
        if tree.is_most_important { ", the most important one with an explanation" } else { "" };
    let text = if tree.deepest == 0 {
        format!("Head {}: nothing in this head explains the token.", tree.head)
    } else {
        format!(
            "Head {}{why}: {} nodes, {} edges, {stable} of them in all {} graphs.",
            tree.head,
            tree.graph_nodes.saturating_sub(1),
            tree.graph_edges,
            tree.runs.max(1)
        )
    };
    muted(ui, text);
}

/// The nodes by distance; the patch of the hovered row is marked on the stage.
fn explanation(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, tree: &CausalTree) {
    let of = if ui.visuals().dark_mode { Theme::Dark } else { Theme::Light };
    let map = cx.shown.shown_colormap();
    for node in tree.nodes.iter().skip(1) {
        let ink = causal_ink(of, node.depth);
        let color = of.palette().color(ink, |at| crate::gpu::colormap::color(map, at));
        node_row(cx, ui, doc, node, theme::color(color));
    }
}

fn node_row(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, node: &TreeNode, color: Color32) {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let name = node_name(doc.meta(), node);
    let label = format!("{name}, distance {}", node.depth);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
    if !ui.is_rect_visible(rect) {
        return;
    }
    let patch = node.face.patch();
    let is_marked = patch.is_some() && patch == cx.shown.hovered;
    if response.hovered() || is_marked {
        ui.painter().rect_filled(rect, 4.0, ink.raised);
    }
    let x = |share: f32| rect.left() + share * rect.width();
    let column = |from: f32, to: f32| {
        Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
    };
    let swatch = Rect::from_center_size(pos2(rect.left() + 8.0, rect.center().y), vec2(8.0, 8.0));
    ui.painter().rect_filled(swatch, 1.0, color);
    let font = || theme::plain(theme::SMALL);
    text_in(ui, column(0.07, 0.6), Align2::LEFT_CENTER, &name, font(), ink.text);
    let attention = number(f64::from(node.attention), f64::from(node.attention.max(1e-3)));
    text_in(ui, column(0.6, 0.8), Align2::RIGHT_CENTER, &attention, font(), ink.text);
    let share = node.share.map_or_else(String::new, |share| percent(f64::from(share), 0));
    text_in(ui, column(0.8, 0.99), Align2::RIGHT_CENTER, &share, font(), ink.muted);
    if let Some(patch) = patch {
        if response.clicked() {
            cx.intents.command(Command::SelectPatches(vec![patch]));
        } else if response.hovered() {
            cx.preview(Command::Hover(Some(patch)));
        }
    }
    response.on_hover_text(format!("{label}\n{}", facts(node)));
}

/// The numbers of a node: "attention 0.031 · in 80 % of the graphs".
pub fn facts(node: &TreeNode) -> String {
    let attention = number(f64::from(node.attention), f64::from(node.attention.max(1e-3)));
    let share = node
        .share
        .map(|share| format!(" · explains it in {} of the graphs", percent(f64::from(share), 0)));
    format!("attention {attention}{}", share.unwrap_or_default())
}

/// The name of a node: its word, or the place of its patch.
pub fn node_name(meta: &TraceMeta, node: &TreeNode) -> String {
    match &node.face {
        NodeFace::Patch(crop) => patch_name(meta, crop.patch),
        NodeFace::Word(text) => format!("“{text}”"),
    }
}

/// Results of the masking test for the sets as large as the explanation within the radius.
fn masked(ui: &mut Ui, meta: &TraceMeta, masking: &MaskingResult, radius: usize) {
    let deepest = masking.sets.iter().filter_map(|set| set.depth).max().unwrap_or(0);
    let depth = radius.min(deepest);
    let name = MASKS.iter().find(|(mask, ..)| mask.name() == masking.mask);
    muted(ui, format!("{}, within distance {depth}", name.map_or("", |(_, name, _)| name)));
    let font = || theme::plain(theme::SMALL);
    let row = |ui: &mut Ui, texts: [&str; 5], color: Color32| {
        let (rect, response) =
            ui.allocate_exact_size(vec2(ui.available_width(), ROW - 2.0), Sense::hover());
        let [set, tokens, attention, delta, changes] = texts;
        let label = format!(
            "{set}: {tokens} tokens, attention {attention}, Δ log p {delta}, token changes: {changes}"
        );
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
        let x = |share: f32| rect.left() + share * rect.width();
        for (text, from, to, align) in [
            (set, 0.0, 0.37, Align2::LEFT_CENTER),
            (tokens, 0.37, 0.43, Align2::RIGHT_CENTER),
            (attention, 0.43, 0.64, Align2::RIGHT_CENTER),
            (delta, 0.64, 0.81, Align2::RIGHT_CENTER),
            (changes, 0.81, 0.99, Align2::RIGHT_CENTER),
        ] {
            let column = Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()));
            text_in(ui, column, align, text, font(), color);
        }
    };
    let (text, muted_ink) = (ink(ui).text, ink(ui).muted);
    row(ui, ["masked", "n", "attention", "Δ log p", "changes"], muted_ink);
    for (kind, title) in [
        (SetKind::Explanation, "explanation"),
        (SetKind::TopAttention, "highest attention"),
        (SetKind::TopRelevancy, "highest relevancy"),
        (SetKind::EqualAttention, "random, nearest"),
        (SetKind::Random, "random"),
    ] {
        let of_kind = |set: &&MaskedSet| set.kind == kind && set.depth == Some(depth);
        let sets: Vec<&MaskedSet> = masking.sets.iter().filter(of_kind).collect();
        if sets.is_empty() {
            continue;
        }
        let mean = |of: &dyn Fn(&MaskedSet) -> f32| {
            f64::from(sets.iter().map(|set| of(set)).sum::<f32>() / sets.len() as f32)
        };
        let changed = sets.iter().filter(|set| set.changes_token).count();
        let changes = match (sets.len(), changed) {
            (1, 1) => "yes".to_owned(),
            (1, _) => "no".to_owned(),
            (count, changed) => format!("{changed} of {count}"),
        };
        let tokens = sets.first().map_or(0, |set| set.positions.len()).to_string();
        let attention = decimal(mean(&|set| set.attention), 3);
        let delta = signed(mean(&|set| set.delta_logprob), 3);
        row(ui, [title, &tokens, &attention, &delta, &changes], text);
    }
    muted(
        ui,
        "Nearest: others whose attention is closest to that of the explanation; their sum may be far less.",
    );
    let limit = if masking.is_complete { "" } else { ", not all of them" };
    let smallest: Vec<String> = masking
        .sets
        .iter()
        .filter(|set| set.kind == SetKind::Smallest)
        .map(|set| {
            let names = set.positions.iter().map(|&position| position_name(meta, position));
            names.collect::<Vec<_>>().join(" + ")
        })
        .collect();
    let found = if smallest.is_empty() {
        format!("No part of the explanation changes the token ({} tried{limit}).", masking.tried)
    } else {
        format!(
            "Smallest parts that change the token ({} tried{limit}): {}.",
            masking.tried,
            smallest.join("; ")
        )
    };
    ui.add(egui::Label::new(theme::strong_text(&found, theme::SMALL)).wrap());
}

fn position_name(meta: &TraceMeta, position: u32) -> String {
    match meta.patch_of_key(position) {
        Some(patch) => patch_name(meta, patch),
        None => {
            let name = token_name(&meta.tokens, position as usize).unwrap_or_default();
            format!("“{name}”")
        }
    }
}
