//! A figure as SVG: cells, bars, lines and labels as vectors, pictures embedded.

use super::Provenance;
use crate::gpu::colormap;
use crate::view::ColorMap;
use crate::view::figure::{
    Align, Figure, Fill, Label, PixelRect, Stroke, ThemeColors, mixed, reads_right_to_left,
};
use base64::Engine as _;
use std::fmt::Write as _;

/// Pixels in a figure: a picture with its overlay, a wall.
#[derive(Clone, Debug)]
pub struct Raster {
    /// Rectangle in the figure, in pixels.
    pub rect: PixelRect,
    /// An encoded PNG.
    pub png: Vec<u8>,
    /// Shown as squares when enlarged (a texel is a cell of a matrix).
    pub pixelated: bool,
}

/// A matrix of coloured cells.
#[derive(Clone, Debug)]
pub struct Cells {
    /// Rectangle of the whole matrix, in pixels.
    pub rect: PixelRect,
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
    /// 0–1 row by row, `None` for a gap.
    pub values: Vec<Option<f32>>,
    /// Tooltips of the cells.
    pub titles: Vec<String>,
}

/// A figure as an SVG document.
pub fn svg(
    figure: &Figure,
    palette: ThemeColors,
    map: ColorMap,
    rasters: &[Raster],
    cells: Option<&Cells>,
    provenance: &Provenance,
) -> String {
    let mut out = Writer { text: String::new(), palette, map };
    let [width, height] = figure.size;
    out.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="Inter, 'Noto Sans', sans-serif" font-variant-numeric="tabular-nums">"#
    ));
    out.line(format_args!("<title>{}</title>", escaped(&provenance.caption)));
    let Provenance { command, shares, state, .. } = provenance;
    let parts = [command, shares, state].map(|part| part.trim_end());
    let origin = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
    out.line(format_args!("<metadata>{}</metadata>", escaped(&origin)));
    let background = hex(palette.background);
    out.line(format_args!(r#"<rect width="{width}" height="{height}" fill="{background}"/>"#));
    let stage = figure.stage;
    out.line(format_args!(
        r#"<clipPath id="stage"><rect {}/></clipPath>"#,
        rect_attributes(&stage)
    ));
    out.line(format_args!(r#"<g clip-path="url(#stage)">"#));
    for strokes in figure.strokes.chunk_by(is_continued) {
        out.strokes(strokes);
    }
    for raster in rasters {
        out.raster(raster);
    }
    if let Some(cells) = cells {
        out.cells(cells, &stage);
    }
    out.line(format_args!("</g>"));
    for fill in &figure.fills {
        out.fill(fill);
    }
    if let Some(legend) = &figure.legend {
        out.ramp(&legend.bar);
    }
    for label in &figure.labels {
        out.label(label);
    }
    out.line(format_args!("</svg>"));
    out.text
}

/// Whether a stroke begins where another one ends and looks the same.
fn is_continued(before: &Stroke, stroke: &Stroke) -> bool {
    let is_dot = |stroke: &Stroke| stroke.from == stroke.to;
    let look = |stroke: &Stroke| (stroke.width, stroke.ink, stroke.alpha);
    before.to == stroke.from && look(before) == look(stroke) && !is_dot(before) && !is_dot(stroke)
}

struct Writer {
    text: String,
    palette: ThemeColors,
    map: ColorMap,
}

impl Writer {
    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(arguments);
        self.text.push('\n');
    }

    fn color(&self, ink: crate::view::figure::Ink) -> String {
        hex(self.palette.color(ink, |value| colormap::color(self.map, value)))
    }

    /// Strokes that continue each other, as one line.
    fn strokes(&mut self, strokes: &[Stroke]) {
        let Some(stroke) = strokes.first() else { return };
        let map = self.map;
        let color = self.palette.color(stroke.ink, |value| colormap::color(map, value));
        let color = hex(mixed(self.palette.background, color, f64::from(stroke.alpha)));
        let ([x0, y0], [x1, y1], width) = (stroke.from, stroke.to, stroke.width);
        if stroke.from == stroke.to {
            let radius = width / 2.0;
            self.line(format_args!(
                r#"<circle cx="{x0:.2}" cy="{y0:.2}" r="{radius:.2}" fill="{color}"/>"#
            ));
        } else if strokes.len() > 1 {
            let mut points = format!("{x0:.2},{y0:.2}");
            for Stroke { to: [x, y], .. } in strokes {
                // Writing to a string cannot fail.
                let _ = write!(points, " {x:.2},{y:.2}");
            }
            self.line(format_args!(
                r#"<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width:.2}" stroke-linecap="round" stroke-linejoin="round"/>"#
            ));
        } else {
            self.line(format_args!(
                r#"<line x1="{x0:.2}" y1="{y0:.2}" x2="{x1:.2}" y2="{y1:.2}" stroke="{color}" stroke-width="{width:.2}" stroke-linecap="round"/>"#
            ));
        }
    }

    fn raster(&mut self, raster: &Raster) {
        let data = base64::engine::general_purpose::STANDARD.encode(&raster.png);
        let rendering = if raster.pixelated { r#" style="image-rendering:pixelated""# } else { "" };
        let rect = rect_attributes(&raster.rect);
        self.line(format_args!(
            r#"<image {rect} preserveAspectRatio="none"{rendering} href="data:image/png;base64,{data}"/>"#
        ));
    }

    fn cells(&mut self, cells: &Cells, stage: &PixelRect) {
        self.line(format_args!(r#"<g shape-rendering="crispEdges">"#));
        for (index, value) in cells.values.iter().enumerate() {
            let (row, column) = (index as u32 / cells.columns, index as u32 % cells.columns);
            let rect = cells.rect.cell(row, column, cells.rows, cells.columns);
            let Some(value) = value.filter(|_| rect.overlaps(stage)) else { continue };
            let color = hex(colormap::color(self.map, value));
            let rect = rect_attributes(&rect);
            match cells.titles.get(index) {
                Some(title) => self.line(format_args!(
                    r#"<rect {rect} fill="{color}"><title>{}</title></rect>"#,
                    escaped(title)
                )),
                None => self.line(format_args!(r#"<rect {rect} fill="{color}"/>"#)),
            }
        }
        self.line(format_args!("</g>"));
    }

    fn fill(&mut self, fill: &Fill) {
        let color = self.color(fill.ink);
        let rect = rect_attributes(&fill.rect);
        let alpha = fill.alpha;
        if alpha < 1.0 {
            self.line(format_args!(r#"<rect {rect} fill="{color}" fill-opacity="{alpha}"/>"#));
        } else {
            self.line(format_args!(r#"<rect {rect} fill="{color}"/>"#));
        }
    }

    fn ramp(&mut self, bar: &PixelRect) {
        /// Stops of the gradient: more than any viewer tells apart.
        const STOPS: u32 = 64;
        self.line(format_args!(r#"<linearGradient id="ramp">"#));
        for stop in 0..=STOPS {
            let at = stop as f32 / STOPS as f32;
            let color = hex(colormap::color(self.map, at));
            self.line(format_args!(r#"<stop offset="{at}" stop-color="{color}"/>"#));
        }
        self.line(format_args!("</linearGradient>"));
        let rect = rect_attributes(bar);
        self.line(format_args!(r#"<rect {rect} fill="url(#ramp)"/>"#));
    }

    fn label(&mut self, label: &Label) {
        let is_turned = reads_right_to_left(label.text().chars());
        // In text from right to left, the start is the right end.
        let anchor = match (label.align, is_turned) {
            (Align::Start, false) | (Align::End, true) => "start",
            (Align::Centre, _) => "middle",
            (Align::End, false) | (Align::Start, true) => "end",
        };
        let direction = if is_turned { r#" direction="rtl""# } else { "" };
        let emphasis = label.emphasis.map(|ink| format!(r#" fill="{}""#, self.color(ink)));
        let emphasis = emphasis.unwrap_or_default();
        let [x, y] = label.baseline;
        let color = self.color(label.ink);
        let size = label.size_px;
        let spans: String = label
            .runs
            .iter()
            .map(|run| {
                let text = escaped(&run.text);
                if run.strong {
                    format!(r#"<tspan font-weight="600"{emphasis}>{text}</tspan>"#)
                } else {
                    text
                }
            })
            .collect();
        self.line(format_args!(
            r#"<text x="{x:.2}" y="{y:.2}" font-size="{size:.2}" text-anchor="{anchor}"{direction} fill="{color}" xml:space="preserve">{spans}</text>"#
        ));
    }
}

fn rect_attributes(rect: &PixelRect) -> String {
    let PixelRect { x, y, width, height } = rect;
    format!(r#"x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}""#)
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Text for XML, without control characters that XML forbids.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(character),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {}
            other => out.push(other),
        }
    }
    out
}
