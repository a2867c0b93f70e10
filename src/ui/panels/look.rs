//! Controls for drawing the map: every setting of the renderer, with presets.

use super::colors::ramp;
use crate::ui::intent::{Intent, SettingsChange};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::value_cache::range_of;
use crate::ui::widgets::{ink, muted, text_in};
use crate::view::{
    Blend, ColorMap, Command, HeadOrder, ImageForm, Interpolation, MapSource, Normalise, PatchGrid,
    Range, Scale, Theme, ViewState,
};
use egui::{Rect, Role, Sense, Slider, Ui, WidgetInfo, pos2, vec2};

const LABEL: f32 = 104.0;

/// Every control of the renderer.
#[derive(Default)]
pub struct Look;

impl PaneUi for Look {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let state = cx.current.map_or_else(|| cx.look.clone(), |doc| doc.state().clone());
        egui::ScrollArea::vertical().id_salt("look").show(ui, |ui| {
            presets(cx, ui);
            ui.add_space(theme::GRID);
            map_source(cx, ui, &state);
            colormap(cx, ui, &state);
            choice(cx, ui, "Blend", state.blend, Blend::ALL, Blend::name, Command::SetBlend);
            opacity(cx, ui, &state);
            fade(cx, ui, &state);
            choice(
                cx,
                ui,
                "Interpolation",
                state.interpolation,
                Interpolation::ALL,
                Interpolation::name,
                Command::SetInterpolation,
            );
            normalisation(cx, ui, &state);
            compare(cx, ui, &state);
            choice(
                cx,
                ui,
                "Patch grid",
                state.grid,
                PatchGrid::ALL,
                PatchGrid::name,
                Command::SetGrid,
            );
            choice(
                cx,
                ui,
                "Picture",
                state.picture.form,
                ImageForm::ALL,
                ImageForm::name,
                Command::SetImageForm,
            );
            choice(
                cx,
                ui,
                "Heads sorted by",
                state.head_order,
                &state.head_orders(),
                HeadOrder::name,
                Command::SetHeadOrder,
            );
            row(ui, "BOS column", |ui| {
                let mut remove = state.remove_bos;
                if ui
                    .checkbox(&mut remove, "leave out")
                    .on_hover_text(UiCommand::ToggleBos.hint())
                    .changed()
                {
                    cx.intents.command(Command::SetRemoveBos(remove));
                }
            });
            figure(cx, ui, &state);
            window(cx, ui);
        });
    }
}

fn row<R>(ui: &mut Ui, label: &str, add: impl FnOnce(&mut Ui) -> R) -> R {
    ui.horizontal(|ui| {
        let color = ink(ui).muted;
        let (rect, _) = ui.allocate_exact_size(vec2(LABEL, 24.0), Sense::hover());
        let font = theme::plain(theme::SMALL);
        text_in(ui, rect, egui::Align2::LEFT_CENTER, label, font, color);
        add(ui)
    })
    .inner
}

fn presets(cx: &PaneContext<'_>, ui: &mut Ui) {
    ui.horizontal(|ui| {
        if ui.button("Default").clicked() {
            cx.intents.act(UiCommand::DefaultLook);
        }
        let hint = "Jet at 50 % over the preprocessed picture, each map on its own range";
        if ui.button("LVLM-Interpret").on_hover_text(hint).clicked() {
            cx.intents.act(UiCommand::LvlmInterpretLook);
        }
    });
}

/// Attention, or a map that was added to the trace.
fn map_source(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    let names = |doc: &crate::ui::document::Document| {
        [&doc.extent.maps[..], &doc.extent.pages[..]].concat()
    };
    let maps = cx.current.map(names).unwrap_or_default();
    if maps.is_empty() {
        return;
    }
    row(ui, "Map", |ui| {
        combo(ui, "Map", state.map.source.name().to_owned(), |ui| {
            let sources =
                std::iter::once(MapSource::Attention).chain(maps.into_iter().map(MapSource::Named));
            for source in sources {
                let on = source == state.map.source;
                if ui.selectable_label(on, source.name()).clicked() {
                    cx.intents.command(Command::SetSource(source));
                }
            }
        });
    });
}

fn combo(ui: &mut Ui, name: &str, current: String, add: impl FnOnce(&mut Ui)) {
    egui::ComboBox::from_id_salt(name)
        .width(ui.available_width().min(180.0))
        .selected_text(current)
        .show_ui(ui, add)
        .response
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, name));
}

fn choice<T: Copy + PartialEq>(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    name: &str,
    current: T,
    all: &[T],
    text: impl Fn(T) -> &'static str,
    command: impl Fn(T) -> Command,
) {
    row(ui, name, |ui| {
        combo(ui, name, text(current).to_owned(), |ui| {
            for &one in all {
                if ui.selectable_label(one == current, text(one)).clicked() {
                    cx.intents.command(command(one));
                }
            }
        });
    });
}

fn colormap(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    row(ui, "Colour map", |ui| {
        combo(ui, "Colour map", state.colormap.name().to_owned(), |ui| {
            for &map in ColorMap::ALL {
                ui.horizontal(|ui| {
                    let (rect, _) = ui.allocate_exact_size(vec2(56.0, 12.0), Sense::hover());
                    ramp(ui, map, rect);
                    if ui.selectable_label(map == state.colormap, map.name()).clicked() {
                        cx.intents.command(Command::SetColormap(map));
                        ui.close();
                    }
                });
            }
        });
        let (rect, _) =
            ui.allocate_exact_size(vec2(ui.available_width().max(8.0), 12.0), Sense::hover());
        ramp(
            ui,
            state.colormap,
            Rect::from_min_max(rect.min, pos2(rect.right() - 4.0, rect.bottom())),
        );
    });
}

fn opacity(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    row(ui, "Opacity", |ui| {
        let mut opacity = state.opacity;
        let slider = Slider::new(&mut opacity, 0.0..=1.0).fixed_decimals(2);
        let response = ui.add(slider).accessible_name("Opacity");
        if response.changed() {
            cx.intents.command(Command::SetOpacity(opacity));
        }
        if response.drag_stopped() {
            cx.intents.send(Intent::Settle);
        }
    });
}

/// The share of the attention below which a glow fades.
fn fade(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    row(ui, "Fade below", |ui| {
        let mut percent = state.fade_below * 100.0;
        let slider = Slider::new(&mut percent, 0.0..=100.0)
            .logarithmic(true)
            .smallest_positive(0.1)
            .max_decimals(1)
            .suffix(" %");
        let response = ui.add(slider).accessible_name("Fade below");
        let response = response.on_hover_text(
            "A map that puts less than this share of its attention on the picture glows less; 0 shows all alike",
        );
        if response.changed() {
            cx.intents.command(Command::SetFadeBelow(percent / 100.0));
        }
        if response.drag_stopped() {
            cx.intents.send(Intent::Settle);
        }
    });
}

/// Pins the present map; the controls above the stage choose how both are mixed.
fn compare(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    row(ui, "Compare", |ui| {
        let text = if state.second.is_some() { "Unpin the other map" } else { "Pin this map" };
        if ui.button(text).on_hover_text(UiCommand::PinMap.hint()).clicked() {
            cx.intents.act(UiCommand::PinMap);
        }
    });
}

const RANGES: [(&str, Range); 4] = [
    ("per map", Range::PerMap),
    ("shared across the view", Range::Shared),
    ("percentiles", Range::Percentile { low: 1.0, high: 99.0 }),
    ("fixed", Range::Fixed { min: 0.0, max: 0.05 }),
];

fn range_name(range: Range) -> &'static str {
    let same = |other: &Range| std::mem::discriminant(other) == std::mem::discriminant(&range);
    RANGES.iter().find(|(_, other)| same(other)).map_or("", |(name, _)| name)
}

fn normalisation(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    let Normalise { range, scale } = state.normalise;
    row(ui, "Range", |ui| {
        combo(ui, "Range", range_name(range).to_owned(), |ui| {
            for (name, other) in RANGES {
                if ui.selectable_label(range_name(range) == name, name).clicked() {
                    let range =
                        if matches!(other, Range::Fixed { .. }) { fixed(cx) } else { other };
                    cx.intents.command(Command::SetNormalise(Normalise { range, scale }));
                }
            }
        });
    });
    let mut ends = match range {
        Range::PerMap | Range::Shared => None,
        Range::Fixed { min, max } => Some(([min, max], 1e-4, "")),
        Range::Percentile { low, high } => Some(([low, high], 0.1, " %")),
    };
    if let Some((values, speed, unit)) = &mut ends {
        let mut changed = false;
        row(ui, "From, to", |ui| {
            for (value, name) in values.iter_mut().zip(["Range from", "Range to"]) {
                let drag = egui::DragValue::new(value).speed(*speed).max_decimals(5).suffix(*unit);
                changed |= ui.add(drag).accessible_name(name).changed();
            }
        });
        let [low, high] = *values;
        if changed && low < high {
            let range = match range {
                Range::Fixed { .. } => Range::Fixed { min: low, max: high },
                _ => Range::Percentile { low: low.max(0.0), high: high.min(100.0) },
            };
            cx.intents.command(Command::SetNormalise(Normalise { range, scale }));
        }
    }
    choice(cx, ui, "Scale", scale, Scale::ALL, Scale::name, |scale| {
        Command::SetNormalise(Normalise { range, scale })
    });
}

/// The present range as a fixed one.
fn fixed(cx: &PaneContext<'_>) -> Range {
    let Some(doc) = cx.current else { return Range::Fixed { min: 0.0, max: 1.0 } };
    let [min, max] = range_of(&cx.map(doc)).map(f64::from);
    Range::Fixed { min, max: max.max(min + 1e-6) }
}

/// Parts of a figure.
fn figure(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    row(ui, "Figure", |ui| {
        let mut caption = state.caption.show;
        if ui.checkbox(&mut caption, "caption").changed() {
            cx.intents.command(Command::ShowCaption(caption));
        }
        let mut legend = state.legend;
        if ui.checkbox(&mut legend, "legend").changed() {
            cx.intents.command(Command::ShowLegend(legend));
        }
    });
}

fn window(cx: &PaneContext<'_>, ui: &mut Ui) {
    ui.add_space(theme::GRID);
    muted(ui, "Window");
    row(ui, "Theme", |ui| {
        let name = |theme: Option<Theme>| match theme {
            None => "follow the system",
            Some(Theme::Dark) => "dark",
            Some(Theme::Light) => "light",
        };
        let current = cx.settings.theme;
        combo(ui, "Theme", name(current).into(), |ui| {
            for theme in [None, Some(Theme::Dark), Some(Theme::Light)] {
                if ui.selectable_label(theme == current, name(theme)).clicked() {
                    cx.intents.send(Intent::Settings(SettingsChange::Theme(theme)));
                }
            }
        });
    });
    row(ui, "Text size", |ui| {
        let hint = UiCommand::SmallerType.hint();
        if ui.button("−").on_hover_text(hint).clicked() {
            cx.intents.act(UiCommand::SmallerType);
        }
        let scale = theme::text_scale(ui.ctx(), cx.settings.font_scale);
        ui.label(format!("{:.0} %", scale * 100.0));
        if ui.button("+").on_hover_text(UiCommand::LargerType.hint()).clicked() {
            cx.intents.act(UiCommand::LargerType);
        }
    });
    row(ui, "Motion", |ui| {
        let mut animate = cx.settings.animate;
        if ui.checkbox(&mut animate, "cross-fade between views").changed() {
            cx.intents.send(Intent::Settings(SettingsChange::Animate(animate)));
        }
    });
}
