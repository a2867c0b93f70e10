//! The shown matrix and ranking of a table as figures.

use super::as_csv::{matrix_csv, ranking_csv};
use super::statistics::Numbers;
use crate::gpu::Gpu;
use crate::record::{Provenance, png_bytes, svg};
use crate::table::statistics::{RankedHead, Ranking};
use crate::ui::figures::FigureRenderer;
use crate::view::chart::{CellMark, Chart, MatrixChart, RankedBar, RankingChart};
use crate::view::figure::{head_name, number};
use crate::view::{ColorMap, Theme, Unit};
use image::RgbaImage;
use std::path::Path;
use std::sync::Arc;

/// Pixels of a PNG for each design unit.
const PNG_SCALE: f32 = 2.0;
/// Heads in the figure of a ranking.
const MOST_RANKED: usize = 40;

/// A figure of a table.
pub struct TableFigure {
    /// The device.
    pub gpu: Arc<Gpu>,
    /// The numbers.
    pub numbers: Arc<Numbers>,
    /// The ranking, for a figure of it; else the figure is the matrix.
    pub ranking: Option<Arc<Ranking>>,
    /// The groups that are compared, and their samples.
    pub subtitle: String,
    /// Colours of the surface.
    pub theme: Theme,
}

impl std::fmt::Debug for TableFigure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableFigure").field("subtitle", &self.subtitle).finish_non_exhaustive()
    }
}

impl TableFigure {
    /// The bytes of a file, whose ending says which kind it is.
    ///
    /// # Errors
    /// If the device fails.
    pub fn bytes(&self, path: &Path, renderer: &FigureRenderer) -> anyhow::Result<Vec<u8>> {
        let provenance = Provenance { caption: self.caption(), ..Provenance::default() };
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        Ok(match ending.as_str() {
            "png" => png_bytes(&self.draw(renderer)?, &provenance)?,
            "svg" => {
                let chart = self.chart(1.0);
                svg(&chart.figure, self.theme.palette(), chart.map, &[], None, &provenance)
                    .into_bytes()
            }
            _ => self.csv().into_bytes(),
        })
    }

    /// Its numbers.
    pub fn csv(&self) -> String {
        match &self.ranking {
            Some(ranking) => ranking_csv(&self.numbers, ranking),
            None => matrix_csv(&self.numbers),
        }
    }

    /// Its pixels.
    ///
    /// # Errors
    /// If the device fails.
    pub fn draw(&self, renderer: &FigureRenderer) -> anyhow::Result<RgbaImage> {
        let chart = self.chart(PNG_SCALE);
        renderer.chart(&self.gpu, &chart, self.theme)
    }

    fn title(&self) -> String {
        let column = self.numbers.column.title();
        match (&self.ranking, self.numbers.comparison.is_some()) {
            (None, false) if self.numbers.shows_spread => {
                format!("Standard deviation of {column} of every head")
            }
            (None, false) => format!("Mean {column} of every head"),
            (None, true) => format!("Difference of {column} of every head"),
            (Some(_), false) => format!("Heads by their mean {column}"),
            (Some(_), true) => format!("Heads by their difference of {column}"),
        }
    }

    fn caption(&self) -> String {
        let sentence = self.numbers.comparison.as_ref().map(|comparison| comparison.sentence());
        format!("{}: {}. {}", self.title(), self.subtitle, sentence.unwrap_or_default())
    }

    fn unit(&self) -> Unit {
        match self.numbers.comparison.is_some() {
            true => self.numbers.column.difference_unit(),
            false => self.numbers.column.unit(),
        }
    }

    fn chart(&self, scale: f32) -> Chart {
        match &self.ranking {
            Some(ranking) => self.ranking_chart(ranking, scale),
            None => self.matrix_chart(scale),
        }
    }

    fn matrix_chart(&self, scale: f32) -> Chart {
        let (numbers, unit) = (&self.numbers, self.unit());
        let range = numbers.matrix.range.map(f64::from);
        let largest = range[0].abs().max(range[1].abs()).max(f64::MIN_POSITIVE);
        let print = |value: f64| number(value * unit.factor(), largest * unit.factor());
        let values = numbers.shown();
        let compared = numbers.comparison.iter().flat_map(|comparison| &comparison.cells);
        let marks: Vec<CellMark> = compared
            .map(|cell| {
                let half = (cell.interval[1] - cell.interval[0]) / 2.0;
                let note =
                    if half.is_finite() { format!("± {}", print(half)) } else { String::new() };
                CellMark { framed: cell.is_significant(), note }
            })
            .collect();
        let is_compared = !marks.is_empty();
        let map = if is_compared { ColorMap::Coolwarm } else { ColorMap::default() };
        let [frames, notes] = match is_compared {
            true => ["differs after the correction for all heads", "± half of the 95 % interval"],
            false => ["", ""],
        };
        MatrixChart {
            title: &self.title(),
            subtitle: &self.subtitle,
            layers: numbers.cube.layers(),
            heads: numbers.cube.heads(),
            values: &values,
            range,
            map,
            print: &print,
            ends: range.map(|end| unit.text(end, largest)),
            marks: &marks,
            frames,
            notes,
        }
        .chart(scale)
    }

    fn ranking_chart(&self, ranking: &Ranking, scale: f32) -> Chart {
        let (numbers, unit) = (&self.numbers, self.unit());
        let bar = |head: &RankedHead| {
            let [layer, index] = numbers.cube.head_of(head.cell)?;
            let interval = match &numbers.comparison {
                Some(comparison) => comparison.cells.get(head.cell)?.interval,
                None => numbers.moments.cells.get(head.cell)?.interval(),
            };
            let [low, high] = head.ranks.map(f64::round);
            let (ranks, stability) = match ranking.has_stability() {
                true if low < high => (format!("{low}–{high}"), Some(head.stability)),
                true => (low.to_string(), Some(head.stability)),
                false => ("–".to_owned(), None),
            };
            let name = head_name(layer, index);
            Some(RankedBar { name, value: head.value, interval, stability, ranks })
        };
        let heads: Vec<RankedBar> =
            ranking.heads.iter().take(MOST_RANKED).filter_map(bar).collect();
        let suffix = unit.suffix().trim();
        let column = numbers.column.title();
        let axis =
            if suffix.is_empty() { column.to_owned() } else { format!("{column} ({suffix})") };
        RankingChart {
            title: &self.title(),
            subtitle: &format!("with 95 % interval · {}", self.subtitle),
            axis: &axis,
            factor: unit.factor(),
            among: &format!("among the first {}", ranking.options.first),
            heads: &heads,
        }
        .chart(scale)
    }
}
