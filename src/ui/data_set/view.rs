//! The view of a table, as data that a session keeps.

use crate::table::statistics::{Condition, Filter, HeadColumn, SampleColumns};
use crate::view::LayerHead;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Numbers of samples.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// A column of the samples table.
    Column(String),
    /// The number of the chosen heads.
    Heads,
}

impl Axis {
    /// The axis of a column.
    pub fn column(name: &str) -> Self {
        Self::Column(name.to_owned())
    }
}

/// The comparison that the matrix shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// None: means.
    #[default]
    Nothing,
    /// None: standard deviations.
    Spread,
    /// Samples for which a condition holds, against the others.
    Condition(Condition),
    /// The same samples in another table.
    Table(PathBuf),
}

/// The view of a table: quantity, heads, filter, order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSetView {
    /// The number of each head.
    pub column: HeadColumn,
    /// The samples that count.
    pub filter: Filter,
    /// The comparison.
    pub compared: Compared,
    /// The chosen heads, whose maps the samples show.
    pub heads: Vec<LayerHead>,
    /// The order of the samples.
    pub sort: Axis,
    /// Whether the largest number comes first.
    pub descending: bool,
    /// The axes of the plot: to the right and up.
    pub axes: [Axis; 2],
    /// The ends of the matrix's colours, where they were set.
    pub range: Option<[f64; 2]>,
}

impl DataSetView {
    /// Whether its conditions fit the samples of a table.
    pub fn fits(&self, samples: &SampleColumns) -> bool {
        let compared = match &self.compared {
            Compared::Condition(condition) => condition.mask(samples).is_ok(),
            _ => true,
        };
        compared && self.filter.mask(samples).is_ok()
    }
}

impl Default for DataSetView {
    fn default() -> Self {
        Self {
            column: HeadColumn::default(),
            filter: Filter::default(),
            compared: Compared::default(),
            heads: Vec::new(),
            // Improbable answers are most often the wrong ones.
            sort: Axis::column("logprob"),
            descending: false,
            axes: [Axis::column("logprob"), Axis::Heads],
            range: None,
        }
    }
}

/// A rectangle of the plot that selects the samples inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Brush {
    /// The axes of the plot on which it was drawn.
    pub axes: [Axis; 2],
    /// The smallest and the largest number on each axis.
    pub ranges: [[f64; 2]; 2],
}
