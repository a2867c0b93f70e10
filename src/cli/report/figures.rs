//! The figures of a report, each as PNG and SVG.

use super::super::common::{bar, note};
use super::super::overlay;
use super::args::Args;
use super::comparison::{Compared, HeadDifference};
use super::folder::Folder;
use super::numbers::{Numbers, Ranked, Suspicious};
use crate::gpu::{Gpu, GpuOptions, Renderer, RendererOptions, Target};
use crate::record::{Provenance, Raster, png_bytes, svg};
use crate::table::statistics::{Counted, HeadColumn};
use crate::trace::Trace;
use crate::ui::error_text::error_text;
use crate::view::chart::{
    CellMark, Chart, Curve, CurvesChart, DistributionChart, Group, MatrixChart, RankedBar,
    RankingChart, SheetChart, SheetTile, TILE,
};
use crate::view::figure::{capital, head_name, number, percent, signed, thousands};
use crate::view::{ColorMap, Unit};
use image::{RgbImage, imageops};
use std::path::Path;
use std::sync::Arc;

/// Pixels of a PNG for each design unit.
const PNG_SCALE: f32 = 2.0;

/// A figure that was written.
pub(super) struct Drawn {
    /// The name of its files without the ending.
    pub name: &'static str,
    /// Its content in words.
    pub caption: String,
    /// The parts that are missing, each with its reason.
    pub missing: Vec<String>,
}

/// A figure before it is drawn: the layout at a scale.
struct Plan<'a> {
    name: &'static str,
    caption: String,
    chart: Box<dyn Fn(f32) -> Chart + 'a>,
    /// Pictures for the places of the chart.
    pictures: Vec<RgbImage>,
    /// Pictures that it lacks, and why.
    missing: Vec<String>,
}

/// Draws and writes all figures that the numbers allow.
pub(super) fn draw(args: &Args, found: &Numbers, folder: &Folder) -> anyhow::Result<Vec<Drawn>> {
    let of = Figures { column: args.quantity, found };
    let mut plans = vec![of.means(), of.spread(), of.ranking()];
    plans.extend(found.comparison.as_ref().map(|compared| of.difference(compared)));
    plans.extend(of.finders());
    plans.extend(of.distribution());
    let best = found.ranking.first().map(|head| [head.layer, head.head]);
    plans.extend(best.filter(|_| !found.suspicious.is_empty()).map(|best| of.sheet(best)));
    let mut painter = Painter::open(args)?;
    let progress = bar("drawing {bar:24} {pos}/{len}", plans.len() as u64);
    let mut drawn = Vec::new();
    for plan in plans {
        log::info!("drawing {}", plan.name);
        painter.write(&plan, found, folder)?;
        drawn.push(Drawn { name: plan.name, caption: plan.caption, missing: plan.missing });
        progress.inc(1);
    }
    progress.finish_and_clear();
    for missing in drawn.iter().flat_map(|drawn: &Drawn| &drawn.missing) {
        note(&format!("a sample has no picture: {missing}"));
    }
    painter.renderer.missing_glyphs().as_deref().into_iter().for_each(note);
    Ok(drawn)
}

/// The device that draws pixels.
struct Painter {
    gpu: Arc<Gpu>,
    renderer: Renderer,
    theme: crate::view::Theme,
}

impl Painter {
    fn open(args: &Args) -> anyhow::Result<Self> {
        let options = GpuOptions { adapter: args.adapter.clone(), ..GpuOptions::default() };
        let gpu = Gpu::open(&options)?;
        let renderer = Renderer::new(Arc::clone(&gpu), RendererOptions::offscreen())?;
        Ok(Self { gpu, renderer, theme: args.theme })
    }

    fn write(&mut self, plan: &Plan<'_>, found: &Numbers, folder: &Folder) -> anyhow::Result<()> {
        let provenance = Provenance {
            command: found.command.clone(),
            caption: plan.caption.clone(),
            ..Provenance::default()
        };
        let chart = (plan.chart)(PNG_SCALE);
        let target = Target::offscreen(&self.gpu, chart.figure.size)?;
        self.renderer.chart(&chart.figure, chart.map, self.theme, &target)?;
        let mut pixels = target.read(&self.gpu)?;
        for (place, picture) in chart.pictures.iter().zip(&plan.pictures) {
            let [width, height] =
                [place.width, place.height].map(|side| (side.round() as u32).max(1));
            let resized = imageops::resize(picture, width, height, imageops::FilterType::Triangle);
            let resized = image::DynamicImage::ImageRgb8(resized).into_rgba8();
            imageops::replace(
                &mut pixels,
                &resized,
                place.x.round() as i64,
                place.y.round() as i64,
            );
        }
        folder.write(&format!("{}.png", plan.name), &png_bytes(&pixels, &provenance)?)?;
        let chart = (plan.chart)(1.0);
        let mut rasters = Vec::new();
        for (place, picture) in chart.pictures.iter().zip(&plan.pictures) {
            let pixels = image::DynamicImage::ImageRgb8(picture.clone()).into_rgba8();
            let png = png_bytes(&pixels, &Provenance::default())?;
            rasters.push(Raster { rect: *place, png, pixelated: false });
        }
        let text = svg(&chart.figure, self.theme.palette(), chart.map, &rasters, None, &provenance);
        folder.write(&format!("{}.svg", plan.name), text.as_bytes())
    }
}

/// The figures of some numbers.
struct Figures<'a> {
    column: HeadColumn,
    found: &'a Numbers,
}

impl<'a> Figures<'a> {
    /// The samples that have a number: "1,800 of 2,000 samples of tiny-llava", or "2,000 samples of tiny-llava".
    fn samples(&self) -> String {
        self.of_models(self.found.counted)
    }

    fn of_models(&self, counted: Counted) -> String {
        format!("{} of {}", counted_text(counted), self.found.models.join(", "))
    }

    /// A matrix of numbers from the smallest to the largest one.
    fn matrix(
        &self,
        values: Vec<f64>,
        title: String,
        subtitle: String,
        unit: Unit,
    ) -> Box<dyn Fn(f32) -> Chart + 'a> {
        let range = range(&values);
        let largest = range[0].abs().max(range[1].abs());
        let found = self.found;
        Box::new(move |scale| {
            let print = |value: f64| number(value * unit.factor(), largest * unit.factor());
            MatrixChart {
                title: &title,
                subtitle: &subtitle,
                layers: &found.layers,
                heads: found.heads,
                values: &values,
                range,
                map: ColorMap::default(),
                print: &print,
                ends: range.map(|end| unit.text(end, largest)),
                marks: &[],
                frames: "",
                notes: "",
            }
            .chart(scale)
        })
    }

    fn means(&self) -> Plan<'a> {
        let values = self.found.means.iter().map(|head| head.mean).collect();
        let title = format!("Mean {} of every head", self.column.title());
        let caption = format!("{title}, over {}.", self.samples());
        let chart = self.matrix(values, title, self.samples(), self.column.unit());
        Plan { name: "heads_mean", caption, chart, pictures: Vec::new(), missing: Vec::new() }
    }

    fn spread(&self) -> Plan<'a> {
        let values = self.found.means.iter().map(|head| head.deviation).collect();
        let title = format!("Spread of {} over the samples", self.column.title());
        let caption =
            format!("Standard deviation of {} over {}.", self.column.title(), self.samples());
        let subtitle = format!("standard deviation · {}", self.samples());
        let chart = self.matrix(values, title, subtitle, self.column.difference_unit());
        Plan { name: "heads_spread", caption, chart, pictures: Vec::new(), missing: Vec::new() }
    }

    fn ranking(&self) -> Plan<'a> {
        let (found, unit) = (self.found, self.column.unit());
        let first = if self.column.is_low_first() { "smallest" } else { "largest" };
        let title = format!("Heads with the {first} {}", self.column.title());
        let resamples = match found.has_stability() {
            true => format!("{} resamples", found.resamples),
            false => "too few samples for resamples (–)".to_owned(),
        };
        let subtitle = format!("mean with 95 % interval · {} · {resamples}", self.samples());
        let caption = format!(
            "{title}: mean over {} with its 95 % interval, the share of {} resamples of the samples in which the head is among the first {}, and the 5–95 % interval of its rank.{}",
            self.samples(),
            found.resamples,
            found.ranking_first,
            if found.has_stability() { "" } else { " Too few samples for the last two." },
        );
        let axis = with_unit(self.column.title(), unit);
        let among = format!("among the first {}", found.ranking_first);
        let chart = move |scale| {
            let one = |head: &Ranked| RankedBar {
                name: head_name(head.layer, head.head),
                value: head.mean,
                interval: head.interval,
                stability: head.stability,
                ranks: head.ranks.map_or_else(|| "–".to_owned(), ranks),
            };
            let heads: Vec<RankedBar> = found.ranking.iter().map(one).collect();
            RankingChart {
                title: &title,
                subtitle: &subtitle,
                axis: &axis,
                factor: unit.factor(),
                among: &among,
                heads: &heads,
            }
            .chart(scale)
        };
        Plan {
            name: "ranking",
            caption,
            chart: Box::new(chart),
            pictures: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn difference(&self, compared: &'a Compared) -> Plan<'a> {
        let (found, unit) = (self.found, self.column.difference_unit());
        let [first, second] = &compared.groups;
        let title = format!("{}: {first} − {second}", capital(self.column.title()));
        let subtitle = match compared.is_paired {
            true => format!("{} of both tables", counted_text(compared.counted[0])),
            false => compared.counted.map(counted_text).join(" against "),
        };
        let caption = format!(
            "Difference of means of {}, {first} − {second}, over {subtitle}. {}",
            self.column.title(),
            compared.sentence
        );
        let values: Vec<f64> = compared.heads.iter().map(|head| head.difference).collect();
        let [low, high] = range(&values);
        let largest = low.abs().max(high.abs()).max(f64::MIN_POSITIVE);
        let written = move |value: f64| {
            let plain = number(value * unit.factor(), largest * unit.factor());
            if value > 0.0 { format!("+{plain}") } else { plain }
        };
        let mark = |head: &HeadDifference| {
            let half = (head.interval[1] - head.interval[0]) / 2.0 * unit.factor();
            let note = if half.is_finite() {
                format!("± {}", number(half, largest * unit.factor()))
            } else {
                String::new()
            };
            CellMark { framed: head.is_significant, note }
        };
        let marks: Vec<CellMark> = compared.heads.iter().map(mark).collect();
        let chart = move |scale| {
            MatrixChart {
                title: &title,
                subtitle: &subtitle,
                layers: &found.layers,
                heads: found.heads,
                values: &values,
                range: [-largest, largest],
                map: ColorMap::Coolwarm,
                print: &written,
                ends: [-largest, largest].map(|end| format!("{}{}", written(end), unit.suffix())),
                marks: &marks,
                frames: "differs after the correction for all heads",
                notes: "± half of the 95 % interval",
            }
            .chart(scale)
        };
        Plan {
            name: "difference",
            caption,
            chart: Box::new(chart),
            pictures: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn finders(&self) -> Option<Plan<'a>> {
        let found = self.found;
        found.finders.first()?;
        let title = "How well numbers find wrong answers";
        let subtitle = format!(
            "{} wrong and {} right answers with the number · 95 % interval of the AUC",
            between(found.finders.iter().map(|finder| finder.wrong)),
            between(found.finders.iter().map(|finder| finder.right))
        );
        let caption = format!("ROC curves: {subtitle} over 1,000 resamples.");
        let chart = move |scale| {
            let curves: Vec<Curve> = found
                .finders
                .iter()
                .map(|finder| Curve {
                    name: format!("{} {}", if finder.low { "low" } else { "high" }, finder.column),
                    note: format!(
                        "AUC {:.3}, {:.3} to {:.3}",
                        finder.auc, finder.interval[0], finder.interval[1]
                    ),
                    points: finder.roc.clone(),
                })
                .collect();
            CurvesChart {
                title,
                subtitle: &subtitle,
                axes: ["right answers that are called wrong", "wrong answers that are found"],
                curves: &curves,
            }
            .chart(scale)
        };
        Some(Plan {
            name: "wrong_answers",
            caption,
            chart: Box::new(chart),
            pictures: Vec::new(),
            missing: Vec::new(),
        })
    }

    fn distribution(&self) -> Option<Plan<'a>> {
        let of = self.found.distribution.as_ref()?;
        let unit = self.column.unit();
        let head = head_name(of.layer, of.head);
        let title =
            format!("{} of {head} for right and wrong answers", capital(self.column.title()));
        let count = of.right.len() + of.wrong.len();
        let subtitle =
            self.of_models(Counted { least: count, most: count, samples: self.found.samples });
        let caption = format!(
            "Distribution of {} of {head}, the first head of the ranking, over {} right and {} wrong answers ({subtitle}).",
            self.column.title(),
            thousands(of.right.len()),
            thousands(of.wrong.len())
        );
        let axis = with_unit(self.column.title(), unit);
        let chart = move |scale| {
            let group = |name: &str, values: &[f32]| Group {
                name: format!("{name} answers ({})", thousands(values.len())),
                values: values.iter().copied().map(f64::from).collect(),
            };
            DistributionChart {
                title: &title,
                subtitle: &subtitle,
                axis: &axis,
                factor: unit.factor(),
                groups: &[group("right", &of.right), group("wrong", &of.wrong)],
            }
            .chart(scale)
        };
        Some(Plan {
            name: "distribution",
            caption,
            chart: Box::new(chart),
            pictures: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// The most suspicious samples with the attention of a head.
    fn sheet(&self, [layer, head]: [u32; 2]) -> Plan<'a> {
        let found = self.found;
        let title = "The most suspicious samples";
        let by = found.suspicious_by;
        let caption = format!(
            "The samples with the lowest {by}, with the attention of {} over the answer. Orange answers are wrong.",
            head_name(layer, head)
        );
        let subtitle =
            format!("lowest {by} first · attention of {} over the answer", head_name(layer, head));
        let (mut pictures, mut missing, mut aspects) = (Vec::new(), Vec::new(), Vec::new());
        for sample in &found.suspicious {
            let picture = match &sample.trace {
                None => Err("no trace was kept"),
                Some(path) => picture_of(path, [layer, head]).map_err(|(short, why)| {
                    missing.push(format!("{}: {why}", sample.sample));
                    short
                }),
            };
            let aspect = |picture: &RgbImage| picture.width() as f32 / picture.height() as f32;
            aspects.push(picture.as_ref().map(aspect).map_err(|short| *short));
            pictures.extend(picture);
        }
        let chart = move |scale| {
            let tile = |(sample, aspect): (&Suspicious, &Result<f32, &'static str>)| SheetTile {
                picture: *aspect,
                question: sample.question.clone(),
                answer: sample.answer.clone(),
                expected: sample.expected.clone().unwrap_or_default(),
                correct: sample.correct,
                numbers: format!("{by} {} · {}", signed(sample.score, 3), sample.sample),
            };
            let tiles: Vec<SheetTile> = found.suspicious.iter().zip(&aspects).map(tile).collect();
            SheetChart { title, subtitle: &subtitle, tiles: &tiles }.chart(scale)
        };
        Plan { name: "samples", caption, chart: Box::new(chart), pictures, missing }
    }
}

/// The picture of a trace with the attention of a head, or why it cannot be drawn: in short, and with the details.
fn picture_of(path: &Path, head: [u32; 2]) -> Result<RgbImage, (&'static str, String)> {
    if !path.exists() {
        let place = if path.is_relative() {
            "is neither in the folder of the table nor in the current folder"
        } else {
            "does not exist"
        };
        return Err(("the trace is not there", format!("{} {place}", path.display())));
    }
    let drawn = Trace::open(path).map_err(anyhow::Error::from).and_then(|trace| {
        let drawn = overlay::draw_head(&trace, head, (TILE * PNG_SCALE) as u32)?;
        trace.check()?;
        Ok(drawn)
    });
    match drawn {
        Ok(Some(picture)) => Ok(picture),
        Ok(None) => Err(("the trace has no picture", format!("{} has no picture", path.display()))),
        Err(error) => Err(("the trace cannot be read", error_text(&error))),
    }
}

/// The smallest and the largest number; 0 and 1 without any.
fn range(values: &[f64]) -> [f64; 2] {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    finite
        .fold(None, |range, value| {
            let [low, high] = range.unwrap_or([value; 2]);
            Some([low.min(value), high.max(value)])
        })
        .unwrap_or([0.0, 1.0])
}

fn with_unit(name: &str, unit: Unit) -> String {
    match unit.suffix().trim() {
        "" => name.to_owned(),
        suffix => format!("{name}, {suffix}"),
    }
}

/// An interval of ranks: "1–3", or "2".
pub(super) fn ranks([low, high]: [f64; 2]) -> String {
    let [low, high] = [low, high].map(|rank| format!("{rank:.0}"));
    if low == high { low } else { format!("{low}–{high}") }
}

/// Samples that have a number: "4,350 of 5,966 samples", or "5,966 samples" if all have one.
pub(super) fn counted_text(of: Counted) -> String {
    match of.least == of.samples {
        true => format!("{} samples", thousands(of.samples)),
        false => {
            format!(
                "{} of {} samples",
                between([of.least, of.most].into_iter()),
                thousands(of.samples)
            )
        }
    }
}

/// "12", or "8 to 12".
fn between(counts: impl Iterator<Item = usize> + Clone) -> String {
    let ends = [counts.clone().min(), counts.max()].map(Option::unwrap_or_default);
    match ends.map(thousands) {
        [least, most] if least == most => least,
        [least, most] => format!("{least} to {most}"),
    }
}

/// A share with its interval, for the page.
pub(super) fn share_text(share: f64, [low, high]: [f64; 2]) -> String {
    format!("{} ({} to {})", percent(share, 1), percent(low, 1), percent(high, 1))
}
